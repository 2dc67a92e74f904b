//! Models: how each is reached and what routing may know of it.

use std::{collections::BTreeSet, sync::Arc};

use secrecy::SecretString;

use super::{Compiler, names::is_reserved};
use crate::{
    config::{
        document::{ModelDocument, ProviderDocument, SimulatedDocument, TimeoutsDocument, WireDocument},
        environment::SecretError,
        path::Path,
        settings::*,
    },
    domain::{
        Modality, ModelFacts, ModelKind, ModelName, PricePerMillion, Prices, ProviderName, Tag, Timeouts, Tokens,
    },
};

/// What a provider's credentials came to.
enum Access {
    Open { api_key: Option<SecretString>, headers: Vec<(String, SecretString)> },
    Asleep(String),
    Refused,
}

/// A way to a model, or why there is none now.
pub(super) enum Way {
    Reached(ModelSource),
    Asleep(String),
    Refused,
}

impl Compiler<'_, '_> {
    /// Returns the models that can be reached, and those asleep with the variable that would wake them.
    pub(super) fn models(&mut self) -> (Vec<ModelSettings>, Vec<(ModelName, String)>) {
        self.check_providers();
        let (mut awake, mut asleep) = (Vec::new(), Vec::new());
        let mut names = BTreeSet::new();
        for (index, model) in self.document.models.iter().enumerate() {
            let at = Path::root().key("models").index(index);
            if !names.insert(model.name.as_str()) {
                self.report.add(&at.key("name"), format!("the model \"{}\" is there twice", model.name));
            }
            let name = self.name(model, &at);
            let way = self.way(model, &at);
            match (name, way) {
                (Some(name), Way::Reached(source)) => awake.push(self.settings(model, name, source, &at)),
                (Some(name), Way::Asleep(variable)) => asleep.push((name, variable)),
                // There is a fault, so nobody will run this configuration; policies may still refer to the model.
                (Some(name), Way::Refused) => asleep.push((name, String::new())),
                (None, _) => {}
            }
        }
        (awake, asleep)
    }

    fn name(&mut self, model: &ModelDocument, at: &Path) -> Option<ModelName> {
        if is_reserved(&model.name) {
            self.report.add(&at.key("name"), format!("\"{}\" already means a policy", model.name));
        }
        match ModelName::parse(&model.name) {
            Ok(name) => Some(name),
            Err(error) => {
                self.report.add(&at.key("name"), error.to_string());
                None
            }
        }
    }

    /// Tells of faults in providers once, also of providers without models.
    fn check_providers(&mut self) {
        for (name, provider) in &self.document.providers {
            let at = Path::root().key("providers").key(name);
            if let Err(error) = ProviderName::parse(name) {
                self.report.add(&at, error.to_string());
            }
            if let Some(Err(error)) = provider.api_key.as_deref().map(|text| self.environment.secret(text))
                && !matches!(error, SecretError::Missing(_))
            {
                self.refuse_secret(&error, &at.key("api_key"));
            }
            for (header, value) in &provider.headers {
                let place = at.key("headers").key(header);
                if header.is_empty() || !header.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
                    self.report.add(&place, format!("\"{header}\" is not the name of a header"));
                }
                if let Err(error @ SecretError::Unreadable { .. }) = self.environment.header(value) {
                    self.refuse_secret(&error, &place);
                }
            }
        }
    }

    fn way(&mut self, model: &ModelDocument, at: &Path) -> Way {
        let ways = [
            model.provider.is_some(),
            model.local.is_some(),
            model.together.is_some(),
            model.simulated.is_some(),
            model.router,
        ];
        let count = ways.iter().filter(|is_given| **is_given).count();
        if count != 1 {
            let help = "give exactly one of \"provider\", \"local\", \"together\", \"simulated\" and \"router\"";
            self.report.add_with_help(at, format!("the model \"{}\" is reached in {count} ways", model.name), help);
            return Way::Refused;
        }
        if model.upstream.is_some() && model.provider.is_none() {
            self.report.add(&at.key("upstream"), "only a provider's model has another name there");
        }
        if let Some(provider) = &model.provider {
            return self.remote(model, provider, at);
        }
        if let Some(local) = &model.local {
            return self.local((local, model.context_window), &model.name, &at.key("local"));
        }
        if let Some(together) = &model.together {
            return self.together(together, &at.key("together"));
        }
        match &model.simulated {
            Some(simulated) => Way::Reached(ModelSource::Scripted(scripted(simulated))),
            None => Way::Reached(ModelSource::Router),
        }
    }

    fn remote(&mut self, model: &ModelDocument, provider: &str, at: &Path) -> Way {
        let Some(document) = self.document.providers.get(provider) else {
            let known = self.document.providers.keys().map(String::as_str);
            self.report.add_unknown(&at.key("provider"), "provider", provider, known);
            return Way::Refused;
        };
        let Ok(name) = ProviderName::parse(provider) else { return Way::Refused };
        let (api_key, headers) = match self.access(document) {
            Access::Open { api_key, headers } => (api_key, headers),
            Access::Asleep(variable) => return Way::Asleep(variable),
            Access::Refused => return Way::Refused,
        };
        let settings = RemoteSettings {
            provider: name,
            base_url: document.base_url.trim_end_matches('/').to_owned(),
            api_key,
            headers,
            upstream_model: model.upstream.as_deref().unwrap_or(&model.name).into(),
        };
        Way::Reached(match document.wire {
            WireDocument::Openai => ModelSource::OpenAi(settings),
            WireDocument::Anthropic => ModelSource::Anthropic(settings),
        })
    }

    /// Reads a provider's credentials; what is wrong with them was told before.
    fn access(&self, provider: &ProviderDocument) -> Access {
        let key = provider.api_key.as_deref().map(|text| self.environment.secret(text)).transpose();
        let headers: Result<Vec<_>, _> = provider
            .headers
            .iter()
            .map(|(name, value)| self.environment.header(value).map(|value| (name.clone(), value)))
            .collect();
        match (key, headers) {
            (Ok(api_key), Ok(headers)) => Access::Open { api_key, headers },
            (Err(SecretError::Missing(variable)), _) | (_, Err(SecretError::Missing(variable))) => {
                Access::Asleep(variable)
            }
            (Err(_), _) | (_, Err(_)) => Access::Refused,
        }
    }

    fn settings(&mut self, model: &ModelDocument, name: ModelName, source: ModelSource, at: &Path) -> ModelSettings {
        if model.max_output.is_some_and(|most| most > model.context_window) {
            self.report.add(&at.key("max_output"), "the longest answer exceeds context_window");
        }
        let provider = model.provider.as_ref().and_then(|name| self.document.providers.get(name));
        let timeouts = timeouts(model.timeouts, provider.map(|provider| provider.timeouts).unwrap_or_default());
        let facts = Arc::new(facts(model, name, &source));
        ModelSettings { facts, source, timeouts, max_concurrency: model.max_concurrency }
    }
}

fn scripted(simulated: &SimulatedDocument) -> ScriptedSettings {
    ScriptedSettings {
        answer: simulated.answer.clone(),
        first_token: simulated.first_token.0,
        per_token: simulated.per_token.0,
    }
}

fn timeouts(own: TimeoutsDocument, shared: TimeoutsDocument) -> Timeouts {
    let default = Timeouts::default();
    let pick = |own: Option<crate::config::Period>, shared: Option<crate::config::Period>, default| {
        own.or(shared).map_or(default, |period| period.0)
    };
    Timeouts {
        connect: pick(own.connect, shared.connect, default.connect),
        first_token: pick(own.first_token, shared.first_token, default.first_token),
        idle: pick(own.idle, shared.idle, default.idle),
        total: pick(own.total, shared.total, default.total),
    }
}

fn facts(model: &ModelDocument, name: ModelName, source: &ModelSource) -> ModelFacts {
    let kind = if model.router { ModelKind::Embedding } else { model.kind };
    ModelFacts {
        name,
        kind,
        prices: Prices {
            input: PricePerMillion::from_dollars(model.prices.input),
            output: PricePerMillion::from_dollars(model.prices.output),
            cached_input: model.prices.cached_input.map(PricePerMillion::from_dollars),
        },
        context_window: Tokens(model.context_window),
        max_output: model.max_output.map(Tokens),
        modalities: model.modalities.iter().copied().chain([Modality::Text]).collect(),
        has_tools: model.tools,
        has_json_mode: model.json_mode,
        has_json_schema: model.json_schema,
        languages: model.languages.iter().copied().collect(),
        tags: model.tags.iter().cloned().map(Tag).collect(),
        profile: model.profile.clone(),
        first_token_ms: model.latency.first_token_ms,
        prompt_ms: model.latency.prompt_ms,
        per_token_ms: model.latency.per_token_ms,
        parameters_b: model.parameters_b,
        released: model.released,
        is_local: matches!(source, ModelSource::Local(_) | ModelSource::Together(_) | ModelSource::Router),
        is_simulated: matches!(source, ModelSource::Scripted(_)),
    }
}
