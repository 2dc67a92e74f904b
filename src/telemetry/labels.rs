//! The closed sets behind labels that are not enums: models, providers, policies.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arc_swap::ArcSwap;

use crate::{
    config::{Config, ModelSource},
    domain::{ModelName, PolicyName},
    error::Code,
};

/// The label value of everything that is not in a closed set.
pub const OTHER: &str = "other";

/// The provider of models that run on this machine.
pub const LOCAL: &str = "local";

/// The label value where there is nothing to name.
pub const NONE: &str = "none";

/// The names that may become label values.
#[derive(Debug, Default)]
pub struct Labels {
    providers: HashMap<ModelName, Arc<str>>,
    policies: ArcSwap<HashSet<PolicyName>>,
}

impl Labels {
    /// Returns the names of the configuration.
    pub fn of(config: &Config) -> Self {
        let models = config.models.iter().map(|model| (model.facts.name.clone(), provider(&model.source)));
        Self::new(models, [config.default_policy.clone()])
    }

    /// Returns the given names: models with the provider that serves them, and policies.
    pub fn new(
        models: impl IntoIterator<Item = (ModelName, Arc<str>)>,
        policies: impl IntoIterator<Item = PolicyName>,
    ) -> Self {
        let policies = policies.into_iter().collect::<HashSet<_>>();
        Self { providers: models.into_iter().collect(), policies: ArcSwap::from_pointee(policies) }
    }

    /// Replaces the policy names, after a reload.
    pub fn set_policies(&self, policies: impl IntoIterator<Item = PolicyName>) {
        self.policies.store(Arc::new(policies.into_iter().collect()));
    }

    /// Returns the model's name if it is configured.
    pub fn model<'a>(&self, model: &'a ModelName) -> &'a str {
        if self.providers.contains_key(model) { model.as_str() } else { OTHER }
    }

    /// Returns the provider of a configured model.
    pub fn provider(&self, model: &ModelName) -> &str {
        self.providers.get(model).map_or(OTHER, |provider| provider)
    }

    /// Returns the policy's name if it is known; `none` where none decided.
    pub fn policy<'a>(&self, policy: Option<&'a PolicyName>) -> &'a str {
        match policy {
            None => NONE,
            Some(policy) if self.policies.load().contains(policy) => policy.as_str(),
            Some(_) => OTHER,
        }
    }

    /// Returns the `model` field of a request if it names something configured, so that no caller's text is told.
    pub fn requested<'a>(&self, requested: &'a str) -> &'a str {
        let is_policy = |name: &str| self.policies.load().contains(name);
        let is_known = requested == "auto"
            || requested.strip_prefix("auto:").is_some_and(is_policy)
            || self.providers.contains_key(requested);
        if is_known { requested } else { OTHER }
    }
}

/// Returns an error code's name if it is in the table of codes.
pub fn code(name: Option<&str>) -> &'static str {
    let Some(name) = name else { return NONE };
    Code::ALL.iter().map(|code| code.name()).find(|known| *known == name).unwrap_or(OTHER)
}

fn provider(source: &ModelSource) -> Arc<str> {
    match source {
        ModelSource::OpenAi(remote) | ModelSource::Anthropic(remote) => remote.provider.as_str().into(),
        ModelSource::Local(_) | ModelSource::Together(_) => LOCAL.into(),
        ModelSource::Router => "router".into(),
        ModelSource::Scripted(_) => "scripted".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        let model = (ModelName::parse("small").unwrap(), Arc::from("acme"));
        Labels::new([model], [PolicyName::parse("cheap").unwrap()])
    }

    #[test]
    fn what_is_configured_keeps_its_name() {
        let labels = labels();
        let model = ModelName::parse("small").unwrap();
        let policy = PolicyName::parse("cheap").unwrap();

        assert_eq!(labels.model(&model), "small");
        assert_eq!(labels.provider(&model), "acme");
        assert_eq!(labels.policy(Some(&policy)), "cheap");
        assert_eq!(labels.requested("auto:cheap"), "auto:cheap");
    }

    #[test]
    fn everything_else_is_other() {
        let labels = labels();
        let stranger = ModelName::parse("stranger").unwrap();
        let policy = PolicyName::parse("stranger").unwrap();

        assert_eq!(labels.model(&stranger), OTHER);
        assert_eq!(labels.provider(&stranger), OTHER);
        assert_eq!(labels.policy(Some(&policy)), OTHER);
        assert_eq!(labels.requested("my secret"), OTHER);
        assert_eq!(code(Some("made_up")), OTHER);
    }

    #[test]
    fn a_reload_replaces_the_policies() {
        let labels = labels();
        let fresh = PolicyName::parse("fresh").unwrap();

        labels.set_policies([fresh.clone()]);

        assert_eq!(labels.policy(Some(&fresh)), "fresh");
        assert_eq!(labels.policy(Some(&PolicyName::parse("cheap").unwrap())), OTHER);
    }
}
