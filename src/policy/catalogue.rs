//! What policies may refer to: the configured models under their names and aliases, and fitted committees.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    config::Config,
    domain::{ModelFacts, ModelKind, ModelName, PolicyName},
    routing::agreement::{AgreementDocument, AgreementModel},
};

/// The models that policies are compiled against.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    awake: Vec<Arc<ModelFacts>>,
    asleep: BTreeMap<ModelName, String>,
    aliases: BTreeMap<String, String>,
    needed: Vec<PolicyName>,
    /// By name; what is wrong with those that cannot be used.
    agreements: BTreeMap<String, Result<Arc<AgreementModel>, String>>,
}

/// What a name in a policy stands for.
pub(super) enum Meaning<'a> {
    /// A model that can be asked.
    Awake(&'a Arc<ModelFacts>),
    /// A model whose provider lacks this environment variable.
    Asleep(&'a ModelName, &'a str),
    /// Nothing.
    Unknown,
}

impl Catalogue {
    /// Returns the catalogue of a configuration.
    pub fn of(config: &Config) -> Self {
        let targets = config.aliases.values().chain(&config.catch_all);
        let named = targets.filter_map(|target| PolicyName::parse(target.strip_prefix("auto:")?).ok());
        let mut catalogue = Self {
            awake: config.models.iter().map(|model| Arc::clone(&model.facts)).collect(),
            asleep: config.asleep.iter().cloned().collect(),
            aliases: config.aliases.clone(),
            needed: named.chain([config.default_policy.clone()]).collect(),
            agreements: BTreeMap::new(),
        };
        let load = |(name, path): (&String, &std::path::PathBuf)| (name.clone(), catalogue.load(name, path));
        catalogue.agreements = config.agreements.iter().map(load).collect();
        catalogue
    }

    /// Reads a fitted committee, whose members must be models that are configured, awake or not.
    fn load(&self, name: &str, path: &Path) -> Result<Arc<AgreementModel>, String> {
        let told = |error: &dyn std::fmt::Display| {
            format!("the agreement model \"{name}\" in {} cannot be used: {error}", path.display())
        };
        let bytes = std::fs::read(path).map_err(|error| told(&error))?;
        let document: AgreementDocument = serde_json::from_slice(&bytes).map_err(|error| told(&error))?;
        let model = document.compile(|model| self.canonical(model.as_str()).as_ref() == Some(model));
        model.map(Arc::new).map_err(|error| told(&error))
    }

    /// Returns a fitted committee, or what is wrong with it; `None` where there is none of that name.
    pub(super) fn agreement(&self, name: &str) -> Option<&Result<Arc<AgreementModel>, String>> {
        self.agreements.get(name)
    }

    /// Returns the names of fitted committees.
    pub(super) fn agreements(&self) -> impl Iterator<Item = &str> {
        self.agreements.keys().map(String::as_str)
    }

    /// Returns the catalogue of models without a configuration.
    pub fn of_models(awake: Vec<Arc<ModelFacts>>) -> Self {
        Self { awake, ..Self::default() }
    }

    /// Returns the policies that the configuration refers to.
    pub(super) fn needed(&self) -> &[PolicyName] {
        &self.needed
    }

    /// Returns the chat models that can be asked, in the order of the configuration.
    pub(super) fn chat_models(&self) -> impl Iterator<Item = &Arc<ModelFacts>> {
        self.awake.iter().filter(|facts| facts.kind == ModelKind::Chat)
    }

    pub(super) fn find(&self, name: &str) -> Meaning<'_> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        if let Some(facts) = self.awake.iter().find(|facts| facts.name.as_str() == name) {
            return Meaning::Awake(facts);
        }
        match self.asleep.get_key_value(name) {
            Some((name, variable)) => Meaning::Asleep(name, variable),
            None => Meaning::Unknown,
        }
    }

    /// Returns the model that a name or an alias stands for.
    pub(super) fn canonical(&self, name: &str) -> Option<ModelName> {
        match self.find(name) {
            Meaning::Awake(facts) => Some(facts.name.clone()),
            Meaning::Asleep(model, _) => Some(model.clone()),
            Meaning::Unknown => None,
        }
    }

    /// Returns every name that stands for a model.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let models =
            self.awake.iter().map(|facts| facts.name.as_str()).chain(self.asleep.keys().map(ModelName::as_str));
        models.chain(self.aliases.keys().map(String::as_str))
    }
}
