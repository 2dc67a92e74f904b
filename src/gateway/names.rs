//! What a request's `model` means: a policy, or a model by name.

use std::{collections::BTreeMap, sync::Arc};

use super::failure::Failure;
use crate::{
    domain::{CacheRule, Limits, ModelKind, ModelName, Needs, PolicyName, Timeouts},
    error::Code,
    execute::Models,
    policy::{Policy, PolicySet},
};

/// The name that asks for the default policy.
pub const AUTO: &str = "auto";
const AUTO_PREFIX: &str = "auto:";
/// Names this similar (Jaro-Winkler) are offered as a correction.
const SIMILAR: f64 = 0.8;

/// Other names, and what an unknown one means.
#[derive(Clone, Debug)]
pub struct Names {
    /// Alias to name; checked by `config` to have no loops.
    pub aliases: BTreeMap<String, String>,
    /// What any unknown name means; `None` refuses it.
    pub catch_all: Option<String>,
    /// The policy behind `auto`.
    pub default_policy: PolicyName,
    /// Models without credentials, with the environment variable that would wake each.
    pub asleep: BTreeMap<ModelName, String>,
}

/// What will answer.
#[derive(Clone)]
pub(super) enum Target {
    /// A policy chooses.
    Policy(Arc<Policy>),
    /// The caller chose.
    Model(ModelName),
}

/// Finds out what a request's `model` means.
pub(super) struct Resolver<'a> {
    pub(super) names: &'a Names,
    pub(super) policies: &'a PolicySet,
    pub(super) models: &'a Models,
}

impl Target {
    /// Returns the policy's name, if a policy chooses.
    pub(super) fn policy_name(&self) -> Option<&PolicyName> {
        match self {
            Self::Policy(policy) => Some(&policy.name),
            Self::Model(_) => None,
        }
    }

    /// Returns what has to be known before the decision.
    pub(super) fn needs(&self) -> Needs {
        match self {
            // Prompts are matched by the embedding that comes with the scores.
            Self::Policy(policy) if policy.cache.semantic.is_some() => policy.strategy.needs().or(Needs::SCORES),
            Self::Policy(policy) => policy.strategy.needs(),
            Self::Model(_) => Needs::NOTHING,
        }
    }

    /// Returns whether prompts are scored by several looks.
    pub(super) fn is_robust(&self) -> bool {
        matches!(self, Self::Policy(policy) if policy.is_robust)
    }

    /// Checks that a named model is of the kind that an endpoint asks.
    ///
    /// # Errors
    /// It is of the other kind.
    pub(super) fn must_be(&self, kind: ModelKind, models: &Models) -> Result<(), Failure> {
        let Self::Model(name) = self else { return Ok(()) };
        let found = models.get(name.as_str()).map_or(kind, |model| model.facts.kind);
        if found == kind {
            return Ok(());
        }
        let message = match found {
            ModelKind::Embedding => format!("The model '{name}' embeds text and does not chat; use /v1/embeddings."),
            ModelKind::Chat => format!("The model '{name}' chats and does not embed; name an embedding model."),
        };
        Err(Failure::new(Code::InvalidRequest, message).at("model"))
    }

    /// Returns the policy's own timeouts.
    pub(super) fn timeouts(&self) -> Option<Timeouts> {
        match self {
            Self::Policy(policy) => policy.timeouts,
            Self::Model(_) => None,
        }
    }

    /// Returns what one request may use up.
    pub(super) fn limits(&self) -> Limits {
        match self {
            Self::Policy(policy) => policy.limits.clone(),
            Self::Model(_) => Limits::default(),
        }
    }

    /// Returns what may be cached; for a named model deterministic requests only.
    pub(super) fn cache_rule(&self) -> CacheRule {
        match self {
            Self::Policy(policy) => policy.cache.clone(),
            Self::Model(_) => CacheRule::default(),
        }
    }
}

impl Resolver<'_> {
    /// Returns the target that `requested` names.
    ///
    /// # Errors
    /// No such name.
    pub(super) fn resolve(&self, requested: &str) -> Result<Target, Failure> {
        self.find(requested).ok_or_else(|| self.unknown(requested))
    }

    fn find(&self, requested: &str) -> Option<Target> {
        let name = self.names.aliases.get(requested).map_or(requested, String::as_str);
        let found = self.find_exact(name);
        // Whoever names a policy, or a model that is asleep, means that one: it is told, not caught.
        let is_meant = name.starts_with(AUTO_PREFIX) || self.names.asleep.contains_key(name);
        let catch_all = self.names.catch_all.as_deref().filter(|_| !is_meant);
        found.or_else(|| self.find_exact(catch_all?))
    }

    fn find_exact(&self, name: &str) -> Option<Target> {
        if name == AUTO {
            return self.policy(self.names.default_policy.as_str());
        }
        if let Some(policy) = name.strip_prefix(AUTO_PREFIX) {
            return self.policy(policy);
        }
        self.models.get(name).map(|model| Target::Model(model.facts.name.clone()))
    }

    fn policy(&self, name: &str) -> Option<Target> {
        self.policies.policies.get(name).cloned().map(Target::Policy)
    }

    fn unknown(&self, requested: &str) -> Failure {
        let name = self.names.aliases.get(requested).map_or(requested, String::as_str);
        if let Some(variable) = self.names.asleep.get(name) {
            let message =
                format!("The model '{name}' is asleep: start the gateway with {variable} in its environment.");
            return Failure::new(Code::ModelNotFound, message).at("model");
        }
        let policies = self.policies.policies.keys().map(|name| format!("{AUTO_PREFIX}{name}"));
        let known = self.models.iter().map(|model| model.facts.name.to_string()).chain(policies);
        let best = known
            .map(|name| (strsim::jaro_winkler(requested, &name), name))
            .filter(|(similarity, _)| *similarity >= SIMILAR)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = match best {
            Some((_, name)) => format!("Did you mean '{name}'?"),
            None => "GET /v1/models lists what there is.".to_owned(),
        };
        Failure::new(Code::ModelNotFound, format!("The model '{}' does not exist. {hint}", shown(requested)))
            .at("model")
    }
}

/// Cuts a caller's text to what an error message should repeat.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
