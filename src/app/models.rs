//! From the configuration's models to models that can be asked.

use std::sync::Arc;

use crate::{
    backends::{Backend, anthropic::Anthropic, http::Http, openai::OpenAi, scripted::Scripted},
    config::{Config, ModelSettings, ModelSource},
    domain::ModelFacts,
    execute::{Model, ModelParts, Models},
    runtime::SharedClock,
    scoring::Live,
};

use super::{AppError, local, offline::Offline, router_model::RouterModel};

/// What backends are built with.
pub(super) struct Ground<'a> {
    pub(super) config: &'a Config,
    pub(super) http: &'a Http,
    pub(super) clock: &'a SharedClock,
    pub(super) scorer: Option<&'a Arc<Live>>,
    /// Whether models are really reached; otherwise decisions can be made and explained, and nothing is called.
    pub(super) is_live: bool,
}

impl Ground<'_> {
    /// Builds every model of the configuration.
    pub(super) fn models(&self) -> Result<Models, AppError> {
        let neighbours = local::Neighbours::default();
        let models = self.config.models.iter().map(|settings| self.model(settings, &neighbours));
        let models: Result<Vec<_>, _> = models.collect();
        Ok(Models::new(models?))
    }

    fn model(&self, settings: &ModelSettings, neighbours: &local::Neighbours) -> Result<Arc<Model>, AppError> {
        let parts = ModelParts {
            facts: Arc::clone(&settings.facts),
            backend: self.backend(settings, neighbours)?,
            upstream_model: upstream_model(settings),
            timeouts: settings.timeouts,
            max_concurrency: settings.max_concurrency,
        };
        Ok(Arc::new(Model::new(parts, &self.config.resilience)))
    }

    fn backend(&self, settings: &ModelSettings, neighbours: &local::Neighbours) -> Result<Arc<dyn Backend>, AppError> {
        if !self.is_live {
            return Ok(Arc::new(Offline));
        }
        let facts: &ModelFacts = &settings.facts;
        let clock = Arc::clone(self.clock);
        Ok(match &settings.source {
            ModelSource::OpenAi(remote) => Arc::new(OpenAi::build(remote, self.http)?),
            ModelSource::Anthropic(remote) => Arc::new(Anthropic::build(remote, facts, self.http, clock)?),
            ModelSource::Scripted(script) => Arc::new(Scripted::new(script.clone(), clock)),
            ModelSource::Router => Arc::new(RouterModel::new(self.scorer.map(Arc::clone))),
            ModelSource::Together(together) => local::together(facts, together, (clock, neighbours))?,
            ModelSource::Local(settings) => local::start(facts, settings, self.config, (clock, neighbours))?,
        })
    }
}

fn upstream_model(settings: &ModelSettings) -> Arc<str> {
    match &settings.source {
        ModelSource::OpenAi(remote) | ModelSource::Anthropic(remote) => Arc::clone(&remote.upstream_model),
        ModelSource::Local(_) | ModelSource::Together(_) | ModelSource::Router | ModelSource::Scripted(_) => {
            Arc::from(settings.facts.name.as_str())
        }
    }
}

/// Returns who serves a model, for `/v1/models`.
pub(super) fn owner(settings: &ModelSettings) -> String {
    match &settings.source {
        ModelSource::OpenAi(remote) | ModelSource::Anthropic(remote) => remote.provider.to_string(),
        ModelSource::Local(_) | ModelSource::Together(_) => "local".to_owned(),
        ModelSource::Router => "pointsman".to_owned(),
        ModelSource::Scripted(_) => "simulated".to_owned(),
    }
}
