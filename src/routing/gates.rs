//! Hard constraints, checked before any score is looked at.
//!
//! Availability comes last, so that a candidate rejected for it would fit in every other way: from that follows whether the
//! caller hears "no model can do this" or "come again when the model is loaded".

use std::{collections::BTreeSet, time::Duration};

use crate::domain::{
    Ask, Availability, Candidate, Estimate, Language, Modality, ModelFacts, ModelName, NanoUsd, NoRoute, Preferences,
    PricePerMillion, Rejection, RejectionCode, RequestFacts, Tag, Tokens,
};

/// What a policy demands of every model it may choose, whatever the request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraints {
    /// Properties the model must have.
    pub tags: BTreeSet<Tag>,
    /// Modalities the model must read.
    pub modalities: BTreeSet<Modality>,
    /// Whether the model must call tools.
    pub needs_tools: bool,
    /// Whether the model must keep to a JSON schema.
    pub needs_json_schema: bool,
    /// Smallest context window.
    pub min_context_window: Option<Tokens>,
    /// Highest list price of the prompt.
    pub max_input_price: Option<PricePerMillion>,
    /// Highest list price of the answer.
    pub max_output_price: Option<PricePerMillion>,
    /// Most one request may cost.
    pub max_cost: Option<NanoUsd>,
    /// What rules that hold leave of the candidates, each with its name.
    pub rules: Vec<(String, BTreeSet<ModelName>)>,
}

/// The candidates of an ask, parted by the gates; both lists keep the policy's order.
pub(super) struct Gated<'a> {
    pub(super) fitting: Vec<&'a Candidate>,
    pub(super) rejected: Vec<(&'a Candidate, Rejection)>,
}

impl Constraints {
    /// Parts the candidates into those that may be chosen and those that may not.
    ///
    /// An open breaker keeps a model out only as long as there is another one: where open breakers are all that stands
    /// between a request and an answer, those models are let through.
    pub(super) fn sift<'a>(&self, ask: &'a Ask) -> Result<Gated<'a>, NoRoute> {
        part(ask, |candidate| self.check(ask, candidate))
    }

    /// Returns what both demand.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.tags.extend(other.tags.iter().cloned());
        self.modalities.extend(&other.modalities);
        self.rules.extend(other.rules.iter().cloned());
        Self {
            needs_tools: self.needs_tools || other.needs_tools,
            needs_json_schema: self.needs_json_schema || other.needs_json_schema,
            min_context_window: self.min_context_window.max(other.min_context_window),
            max_input_price: least(self.max_input_price, other.max_input_price),
            max_output_price: least(self.max_output_price, other.max_output_price),
            max_cost: least(self.max_cost, other.max_cost),
            ..self
        }
    }

    fn check(&self, ask: &Ask, candidate: &Candidate) -> Result<(), Rejection> {
        let facts = &candidate.model;
        check_size(facts, &ask.request)?;
        self.check_context_window(facts)?;
        self.check_abilities(facts, &ask.request)?;
        check_language(facts, ask.signals.language)?;
        self.check_rules(facts)?;
        check_tags(facts, &self.tags, "policy")?;
        self.check_prices(facts)?;
        check_cost(&candidate.estimate, self.max_cost, "policy")?;
        check_wishes(candidate, &ask.preferences)
    }

    fn check_context_window(&self, facts: &ModelFacts) -> Result<(), Rejection> {
        let least = self.min_context_window.unwrap_or_default();
        if facts.context_window >= least {
            return Ok(());
        }
        let message = format!(
            "its context window of {} tokens is below the policy's minimum of {}",
            facts.context_window.0, least.0
        );
        reject(RejectionCode::ContextWindow, message)
    }

    fn check_abilities(&self, facts: &ModelFacts, request: &RequestFacts) -> Result<(), Rejection> {
        let mut needed = request.modalities.iter().chain(&self.modalities);
        if let Some(modality) = needed.find(|modality| !facts.modalities.contains(modality)) {
            return reject(RejectionCode::Modality, format!("it does not read {}", modality.name()));
        }
        if (request.needs_tools || self.needs_tools) && !facts.has_tools {
            return reject(RejectionCode::Tools, "it does not call tools");
        }
        if request.needs_json && !(facts.has_json_mode || facts.has_json_schema) {
            return reject(RejectionCode::Json, "it does not answer in JSON on demand");
        }
        if (request.needs_json_schema || self.needs_json_schema) && !facts.has_json_schema {
            return reject(RejectionCode::JsonSchema, "it does not keep to a JSON schema");
        }
        Ok(())
    }

    fn check_rules(&self, facts: &ModelFacts) -> Result<(), Rejection> {
        match self.rules.iter().find(|(_, models)| !models.contains(&facts.name)) {
            Some((rule, _)) => reject(RejectionCode::Rule, format!("the rule \"{rule}\" leaves it out")),
            None => Ok(()),
        }
    }

    fn check_prices(&self, facts: &ModelFacts) -> Result<(), Rejection> {
        check_price("prompt", facts.prices.input, self.max_input_price)?;
        check_price("answer", facts.prices.output, self.max_output_price)
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Parts the candidates of a request that named its model: only what the caller demands is checked, what the model can do is
/// left for the provider to say.
pub(super) fn sift_named(ask: &Ask) -> Result<Gated<'_>, NoRoute> {
    part(ask, |candidate| check_wishes(candidate, &ask.preferences))
}

fn part<'a>(ask: &'a Ask, check: impl Fn(&Candidate) -> Result<(), Rejection>) -> Result<Gated<'a>, NoRoute> {
    let verdict = |candidate: &Candidate| check(candidate).and_then(|()| check_availability(&candidate.availability));
    let verdicts: Vec<_> = ask.candidates.iter().map(|candidate| (candidate, verdict(candidate))).collect();
    let is_anyone_ready = verdicts.iter().any(|(_, verdict)| verdict.is_ok());

    let mut gated = Gated { fitting: Vec::new(), rejected: Vec::new() };
    for (candidate, verdict) in verdicts {
        match verdict {
            Ok(()) => gated.fitting.push(candidate),
            Err(why) if why.code == RejectionCode::BreakerOpen && !is_anyone_ready => gated.fitting.push(candidate),
            Err(why) => gated.rejected.push((candidate, why)),
        }
    }
    withhold(&mut gated, &ask.signals.withheld);
    if gated.fitting.is_empty() { Err(no_route(gated.rejected)) } else { Ok(gated) }
}

/// Takes out the strong models that the key has used up, unless nobody else is left: a quota moves requests, it refuses none.
fn withhold(gated: &mut Gated<'_>, withheld: &BTreeSet<ModelName>) {
    let is_withheld = |candidate: &&Candidate| withheld.contains(&candidate.model.name);
    if gated.fitting.iter().all(is_withheld) {
        return;
    }
    for candidate in gated.fitting.extract_if(.., |candidate| is_withheld(&&**candidate)) {
        let message = "this key has used up its share of the policy's strong models".to_owned();
        gated.rejected.push((candidate, Rejection { code: RejectionCode::Quota, message }));
    }
}

fn no_route(rejected: Vec<(&Candidate, Rejection)>) -> NoRoute {
    NoRoute { rejected: rejected.into_iter().map(|(candidate, why)| (candidate.model.name.clone(), why)).collect() }
}

fn check_size(facts: &ModelFacts, request: &RequestFacts) -> Result<(), Rejection> {
    let answer = request.max_output.unwrap_or(Tokens(1));
    if request.input_tokens + answer > facts.context_window {
        let message = format!(
            "about {} tokens of prompt and {} of answer exceed its context window of {}",
            request.input_tokens.0, answer.0, facts.context_window.0
        );
        return reject(RejectionCode::ContextWindow, message);
    }
    match facts.max_output {
        Some(longest) if request.max_output.is_some() && answer > longest => {
            let message = format!("it answers in {} tokens at most, the request asks for {}", longest.0, answer.0);
            reject(RejectionCode::MaxOutput, message)
        }
        _ => Ok(()),
    }
}

/// A language that could not be told keeps no model out.
fn check_language(facts: &ModelFacts, language: Option<Language>) -> Result<(), Rejection> {
    let Some(language) = language.filter(|_| !facts.languages.is_empty()) else { return Ok(()) };
    if facts.languages.contains(&language) {
        return Ok(());
    }
    let known: Vec<&str> = facts.languages.iter().map(|known| known.code()).collect();
    reject(RejectionCode::Language, format!("the prompt is in {language}, it is good at {}", known.join(", ")))
}

fn check_wishes(candidate: &Candidate, preferences: &Preferences) -> Result<(), Rejection> {
    check_tags(&candidate.model, &preferences.tags, "request")?;
    check_cost(&candidate.estimate, preferences.max_cost, "request")?;
    check_latency(&candidate.estimate, preferences.max_latency)
}

fn check_tags(facts: &ModelFacts, wanted: &BTreeSet<Tag>, by: &str) -> Result<(), Rejection> {
    let missing: Vec<&str> = wanted.difference(&facts.tags).map(|tag| tag.0.as_str()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    reject(RejectionCode::Tag, format!("it is not tagged {}, which the {by} asks for", missing.join(", ")))
}

fn check_price(of: &str, price: PricePerMillion, cap: Option<PricePerMillion>) -> Result<(), Rejection> {
    match cap {
        Some(cap) if price > cap => {
            let (price, cap) = (price.dollars(), cap.dollars());
            let message = format!("its price of ${price} per million {of} tokens is above the policy's cap of ${cap}");
            reject(RejectionCode::Price, message)
        }
        _ => Ok(()),
    }
}

fn check_cost(estimate: &Estimate, most: Option<NanoUsd>, by: &str) -> Result<(), Rejection> {
    match most {
        Some(most) if estimate.cost_upper > most => {
            let (upper, most) = (estimate.cost_upper.dollars(), most.dollars());
            let message = format!("it may cost up to ${upper}, above the {by}'s limit of ${most}");
            reject(RejectionCode::MaxCost, message)
        }
        _ => Ok(()),
    }
}

fn check_latency(estimate: &Estimate, most: Option<Duration>) -> Result<(), Rejection> {
    match most {
        Some(most) if estimate.latency > most => {
            let (expected, most) = (estimate.latency.as_millis(), most.as_millis());
            let message =
                format!("its answer is expected to take {expected} ms, above the request's limit of {most} ms");
            reject(RejectionCode::MaxLatency, message)
        }
        _ => Ok(()),
    }
}

fn check_availability(availability: &Availability) -> Result<(), Rejection> {
    match availability {
        Availability::Ready => Ok(()),
        Availability::Loading { progress, .. } => {
            let percent = progress.value() * 100.0;
            reject(RejectionCode::ModelLoading, format!("it is loading, {percent:.0} % done"))
        }
        Availability::BreakerOpen => {
            reject(RejectionCode::BreakerOpen, "it failed too often lately and is given a pause")
        }
        Availability::Failed { .. } => reject(RejectionCode::ModelFailed, "it failed to start or has no credentials"),
    }
}

fn reject(code: RejectionCode, message: impl Into<String>) -> Result<(), Rejection> {
    Err(Rejection { code, message: message.into() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::{LoadStep, Probability},
        error::Code,
        routing::samples::{ask, candidate},
    };

    fn rejection(constraints: &Constraints, ask: &Ask) -> Rejection {
        constraints.sift(ask).err().expect("no route").rejected.remove(0).1
    }

    fn change_model(ask: &mut Ask, change: fn(&mut ModelFacts)) {
        change(Arc::make_mut(&mut ask.candidates[0].model));
    }

    #[test]
    fn a_language_keeps_out_only_models_that_name_others() {
        let mut ask = ask(vec![candidate("any"), candidate("german")]);
        Arc::make_mut(&mut ask.candidates[1].model).languages.extend(Language::parse("de").ok());
        let fitting = |ask: &Ask| Constraints::default().sift(ask).unwrap().fitting.len();

        let unknown = fitting(&ask);
        ask.signals.language = Language::parse("de").ok();
        let german = fitting(&ask);
        ask.signals.language = Language::parse("fr").ok();
        let why = Constraints::default().sift(&ask).unwrap().rejected.remove(0).1;

        assert_eq!((unknown, german), (2, 2));
        assert_eq!(why.message, "the prompt is in fr, it is good at de");
    }

    #[test]
    fn a_prompt_beyond_the_context_window_is_rejected_with_figures() {
        let mut ask = ask(vec![candidate("small")]);
        ask.request.input_tokens = Tokens(100_000);
        ask.request.max_output = Some(Tokens(500));

        let no_route = Constraints::default().sift(&ask).err().unwrap();

        let why = &no_route.rejected[0].1;
        assert_eq!(why.code, RejectionCode::ContextWindow);
        assert_eq!(why.message, "about 100000 tokens of prompt and 500 of answer exceed its context window of 32000");
        assert_eq!(no_route.code(), Code::ContextLengthExceeded);
    }

    #[test]
    fn each_constraint_names_itself() {
        let demand = |change: fn(&mut Constraints, &mut Ask)| {
            let (mut constraints, mut ask) = (Constraints::default(), ask(vec![candidate("model")]));
            change(&mut constraints, &mut ask);
            rejection(&constraints, &ask).code
        };

        let codes = [
            demand(|_, ask| ask.request.max_output = Some(Tokens(20_000))),
            demand(|_, ask| ask.request.modalities = vec![Modality::Image]),
            demand(|_, ask| ask.request.needs_tools = true),
            demand(|_, ask| ask.request.needs_json_schema = true),
            demand(|_, ask| {
                ask.request.needs_json = true;
                change_model(ask, |facts| facts.has_json_mode = false);
            }),
            demand(|_, ask| {
                ask.signals.language = Language::parse("fr").ok();
                change_model(ask, |facts| facts.languages.extend(Language::parse("de").ok()));
            }),
            demand(|_, ask| ask.preferences.tags.extend([Tag("eu".into())])),
            demand(|constraints, _| constraints.tags.extend([Tag("eu".into())])),
            demand(|constraints, _| constraints.max_output_price = Some(PricePerMillion(1))),
            demand(|constraints, _| constraints.max_cost = Some(NanoUsd(1))),
            demand(|_, ask| ask.preferences.max_cost = Some(NanoUsd(1))),
            demand(|_, ask| ask.preferences.max_latency = Some(Duration::from_millis(1))),
            demand(|constraints, _| constraints.min_context_window = Some(Tokens(1_000_000))),
            demand(|constraints, _| constraints.rules.push(("house".into(), BTreeSet::new()))),
        ];

        assert_eq!(
            codes.map(RejectionCode::name),
            [
                "max_output",
                "modality",
                "tools",
                "json_schema",
                "json",
                "language",
                "tag",
                "tag",
                "price",
                "max_cost",
                "max_cost",
                "max_latency",
                "context_window",
                "rule"
            ]
        );
    }

    #[test]
    fn a_used_up_share_keeps_strong_models_back_as_long_as_there_are_others() {
        let mut both = ask(vec![candidate("strong"), candidate("weak")]);
        both.signals.withheld = [candidate("strong").model.name.clone()].into();
        let mut alone = both.clone();
        alone.candidates.truncate(1);
        let names = |ask: &Ask| -> Vec<String> {
            let gated = Constraints::default().sift(ask).unwrap_or_else(|none| panic!("{none}"));
            gated.fitting.iter().map(|candidate| candidate.model.name.to_string()).collect()
        };

        assert_eq!(names(&both), ["weak"]);
        assert_eq!(names(&alone), ["strong"]);
    }

    #[test]
    fn a_loading_model_that_fits_makes_the_caller_come_again() {
        let mut loading = candidate("local");
        loading.availability = Availability::Loading { step: LoadStep::Reading, progress: Probability::clamped(0.4) };
        let ask = ask(vec![loading]);

        let no_route = Constraints::default().sift(&ask).err().unwrap();

        assert_eq!(no_route.rejected[0].1.message, "it is loading, 40 % done");
        assert_eq!(no_route.code(), Code::ModelLoading);
    }

    #[test]
    fn an_open_breaker_is_passed_only_when_nothing_else_is_left() {
        let mut broken = candidate("broken");
        broken.availability = Availability::BreakerOpen;
        let alone = ask(vec![broken.clone()]);
        let beside_another = ask(vec![broken, candidate("ready")]);
        let constraints = Constraints::default();

        let let_through = constraints.sift(&alone).unwrap();
        let kept_out = constraints.sift(&beside_another).unwrap();

        assert_eq!(let_through.fitting[0].model.name.as_str(), "broken");
        assert_eq!(kept_out.fitting[0].model.name.as_str(), "ready");
        assert_eq!(kept_out.rejected[0].1.code, RejectionCode::BreakerOpen);
    }

    #[test]
    fn the_cause_of_a_failed_start_stays_with_the_admins() {
        let mut failed = candidate("local");
        failed.availability = Availability::Failed { reason: "/srv/weights is missing".into() };

        let why = rejection(&Constraints::default(), &ask(vec![failed]));

        assert!(!why.message.contains("weights"));
    }
}
