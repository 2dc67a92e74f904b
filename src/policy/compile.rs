//! From a policy's text to a policy that can be used: every name resolved, every fault told.

mod agree;
mod bandit;
mod cache;
mod cascade;
mod cascade_routing;
mod ensemble;
mod rules;
mod scored;
mod strategy;
mod topology;

use std::sync::Arc;

use self::{rules::Last, strategy::Scope};
use super::{
    Policy,
    catalogue::{Catalogue, Meaning},
    document::{CandidatesDocument, ConstraintsDocument, PolicyDocument},
};
use crate::{
    cache::Origin,
    config::{Faults, Report, Source, check, document::TimeoutsDocument, path::Path},
    domain::{
        Limits, ModelKind, ModelName, NanoUsd, PolicyName, PricePerMillion, Probability, Quota, Timeouts, Tokens,
    },
    routing::{Calibration, Constraints, Hedging, HedgingParameters, Strategy},
};

/// What stands for every model with a tag among the candidates.
const TAG_SELECTOR: &str = "tag:";

/// Compiles a policy.
///
/// # Errors
/// The text has faults; all of them are told.
pub fn compile(source: &Source, id: (PolicyName, u64), catalogue: &Catalogue) -> Result<Policy, Faults> {
    let checked = check::<PolicyDocument>(source)?;
    let mut report = checked.report(source);
    let compiler = Compiler { document: &checked.document, catalogue, report: &mut report, notes: Vec::new() };
    let policy = compiler.policy(id, Origin::of([source.text.as_str()]));
    let mut faults = checked.faults(report);
    let Some(policy) = policy else {
        faults.sort();
        faults.0.dedup();
        return Err(faults);
    };
    // What rules inherit is compiled for each of them.
    faults.sort();
    faults.0.dedup();
    faults.or(policy)
}

struct Compiler<'a, 'r> {
    document: &'a PolicyDocument,
    catalogue: &'a Catalogue,
    report: &'a mut Report<'r>,
    notes: Vec<String>,
}

impl Compiler<'_, '_> {
    fn policy(mut self, (name, version): (PolicyName, u64), fingerprint: Origin) -> Option<Policy> {
        let candidates = self.candidates();
        let quota = self.quota(&candidates);
        let document = self.document;
        let cache = self.cache();
        let scope = self.scope(&candidates);
        let strategy = self.top_strategy(&scope)?;
        Some(Policy {
            name,
            version,
            fingerprint,
            description: document.description.clone(),
            candidates,
            calibration: Arc::new(Calibration::new(strategy.calibrators())),
            strategy,
            limits: Limits {
                max_cost: document.limits.max_cost.map(NanoUsd::from_dollars),
                max_concurrency: document.limits.max_concurrency,
                total_timeout: document.limits.total_timeout.map(|period| period.0),
            },
            is_robust: document.robust,
            quota,
            cache,
            timeouts: document.timeouts.map(timeouts),
            notes: self.notes,
        })
    }

    fn top_strategy(&mut self, scope: &Scope) -> Option<Arc<dyn Strategy>> {
        let at = Path::root().key("strategy");
        let Some(document) = &self.document.strategy else {
            self.report.add(&at, "a policy needs a strategy");
            return None;
        };
        let strategy = self.ruled(&self.document.rules, &Last { document, at }, scope, &Path::root().key("rules"))?;
        self.hedged(strategy)
    }

    /// Returns the strategy with its plans hedged, if the policy says so.
    fn hedged(&mut self, strategy: Arc<dyn Strategy>) -> Option<Arc<dyn Strategy>> {
        let Some(hedge) = self.document.hedge else { return Some(strategy) };
        let at = Path::root().key("hedge");
        if self.document.fallbacks == 0 {
            self.report.add_with_help(&at, "there is nobody to hedge with", "set \"fallbacks\" to 1 at least");
        }
        let start_ms = u64::try_from(hedge.start.0.as_millis()).unwrap_or(u64::MAX);
        let parameters = HedgingParameters { quantile: hedge.quantile, start_ms, share: hedge.share };
        let hedging = Hedging::new(strategy, parameters).map_err(|error| self.report.add(&at, error.to_string()));
        Some(Arc::new(hedging.ok()?))
    }

    fn candidates(&mut self) -> Vec<ModelName> {
        match &self.document.candidates {
            CandidatesDocument::All(_) => self.catalogue.chat_models().map(|facts| facts.name.clone()).collect(),
            CandidatesDocument::These(selectors) => self.all_selected(selectors, &Path::root().key("candidates")),
        }
    }

    fn quota(&mut self, candidates: &[ModelName]) -> Option<Quota> {
        let quota = self.document.quota.as_ref()?;
        let at = Path::root().key("quota").key("models");
        let models = self.all_selected(&quota.models, &at);
        if models.iter().any(|model| !candidates.contains(model)) {
            self.notes.push("the quota names models that are not among the candidates".to_owned());
        }
        Some(Quota {
            models: models.into_iter().collect(),
            share: Probability::clamped(quota.share),
            window: quota.window.0,
            grace: quota.grace,
        })
    }

    fn all_selected(&mut self, selectors: &[String], at: &Path) -> Vec<ModelName> {
        let mut found: Vec<ModelName> = Vec::new();
        for (index, selector) in selectors.iter().enumerate() {
            for name in self.selected(selector, &at.index(index)) {
                if !found.contains(&name) {
                    found.push(name);
                }
            }
        }
        found
    }

    fn selected(&mut self, selector: &str, at: &Path) -> Vec<ModelName> {
        let Some(tag) = selector.strip_prefix(TAG_SELECTOR) else {
            return self
                .model(selector, at)
                .into_iter()
                .filter(|(_, is_awake)| *is_awake)
                .map(|(name, _)| name)
                .collect();
        };
        let tagged = self.catalogue.chat_models().filter(|facts| facts.tags.iter().any(|known| known.0 == tag));
        let names: Vec<ModelName> = tagged.map(|facts| facts.name.clone()).collect();
        if names.is_empty() {
            self.note(format!("no model that is awake has the tag \"{tag}\""));
        }
        names
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Returns the model that a name stands for and whether it is awake.
    fn model(&mut self, name: &str, at: &Path) -> Option<(ModelName, bool)> {
        match self.catalogue.find(name) {
            Meaning::Awake(facts) if facts.kind != ModelKind::Chat => {
                self.report.add(at, format!("the model \"{name}\" does not chat"));
                None
            }
            Meaning::Awake(facts) => Some((facts.name.clone(), true)),
            Meaning::Asleep(model, variable) => {
                let note = format!("{model} is asleep until {variable} is set");
                // A model with faults of its own is listed as asleep without a variable; its faults are told elsewhere.
                if !variable.is_empty() {
                    self.note(note);
                }
                Some((model.clone(), false))
            }
            Meaning::Unknown => {
                self.report.add_unknown(at, "model", name, self.catalogue.names());
                None
            }
        }
    }

    /// Returns a model that the strategy names; it has to be a candidate.
    fn chosen(&mut self, name: &str, candidates: &[ModelName], at: &Path) -> Option<ModelName> {
        let (model, is_awake) = self.model(name, at)?;
        if is_awake && !candidates.contains(&model) {
            let help = "add it to \"candidates\"";
            self.report.add_with_help(at, format!("the model \"{name}\" is not among the candidates"), help);
        }
        Some(model)
    }

    /// Returns what the policy as a whole says to its strategy.
    fn scope(&self, candidates: &[ModelName]) -> Scope {
        Scope {
            candidates: candidates.to_vec(),
            constraints: Constraints {
                max_cost: self.document.limits.max_cost.map(NanoUsd::from_dollars),
                ..constraints(&self.document.constraints)
            },
            max_fallbacks: self.document.fallbacks,
        }
    }
}

fn constraints(document: &ConstraintsDocument) -> Constraints {
    Constraints {
        tags: document.tags.clone(),
        modalities: document.modalities.clone(),
        needs_tools: document.tools,
        needs_json_schema: document.json_schema,
        min_context_window: document.min_context_window.map(Tokens),
        max_input_price: document.max_input_price.map(PricePerMillion::from_dollars),
        max_output_price: document.max_output_price.map(PricePerMillion::from_dollars),
        max_cost: None,
        rules: Vec::new(),
    }
}

fn timeouts(document: TimeoutsDocument) -> Timeouts {
    let default = Timeouts::default();
    Timeouts {
        connect: document.connect.map_or(default.connect, |period| period.0),
        first_token: document.first_token.map_or(default.first_token, |period| period.0),
        idle: document.idle.map_or(default.idle, |period| period.0),
        total: document.total.map_or(default.total, |period| period.0),
    }
}
