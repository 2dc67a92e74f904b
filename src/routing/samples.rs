//! Candidates and asks for the tests of this room.

use std::{sync::Arc, time::Duration};

use jiff::civil::date;
use proptest::prelude::*;

use crate::domain::{
    Ask, Availability, Calibrated, Candidate, Estimate, Evidence, Familiarity, LoadStep, Modality, ModelFacts,
    ModelKind, ModelName, NanoUsd, Preferences, PricePerMillion, Prices, Probability, RequestFacts, Signals, Tag,
    Tokens,
};

/// Returns the facts of a model without any particular ability.
pub(crate) fn facts(name: &str) -> ModelFacts {
    ModelFacts {
        name: ModelName::parse(name).unwrap(),
        kind: ModelKind::Chat,
        prices: Prices {
            input: PricePerMillion::from_dollars(1.0),
            output: PricePerMillion::from_dollars(4.0),
            cached_input: None,
        },
        context_window: Tokens(32_000),
        max_output: Some(Tokens(8_000)),
        modalities: [Modality::Text].into(),
        has_tools: false,
        has_json_mode: true,
        has_json_schema: false,
        languages: Default::default(),
        tags: [].into(),
        profile: None,
        first_token_ms: 400.0,
        prompt_ms: 0.0,
        per_token_ms: 10.0,
        parameters_b: None,
        released: None,
        is_local: false,
        is_simulated: false,
    }
}

/// Returns a candidate of middling quality.
pub(crate) fn candidate(name: &str) -> Candidate {
    expected(name, 0.5, 1_000_000, 3_000)
}

/// Returns a candidate of which this is expected.
pub(crate) fn expected(name: &str, quality: f64, cost: u64, latency_ms: u64) -> Candidate {
    Candidate {
        model: Arc::new(facts(name)),
        estimate: Estimate {
            quality: Probability::clamped(quality),
            spread: 0.05,
            prior: Probability::clamped(quality),
            prior_spread: 0.1,
            is_prior: false,
            output_tokens: 250.0,
            cost: NanoUsd(cost),
            cost_upper: NanoUsd(cost * 4),
            latency: Duration::from_millis(latency_ms),
        },
        evidence: Evidence::default(),
        availability: Availability::Ready,
    }
}

/// Returns an ask without any wish.
pub(crate) fn ask(candidates: Vec<Candidate>) -> Ask {
    Ask {
        request: RequestFacts { input_tokens: Tokens(100), choices: 1, ..RequestFacts::default() },
        preferences: Preferences::default(),
        signals: Signals::default(),
        candidates,
        unscored: None,
        seed: 7,
    }
}

/// Generates candidates, some of which cannot be asked, and wishes, some of which cannot be met.
pub(crate) fn any_ask() -> impl Strategy<Value = Ask> {
    let candidates = proptest::collection::vec(any_candidate(), 0..7);
    (candidates, any_preferences(), any::<u64>(), any::<bool>()).prop_map(|(candidates, preferences, seed, tools)| {
        let candidates = candidates.into_iter().enumerate().map(|(index, make)| make.named(index)).collect();
        let mut ask = Ask { preferences, seed, ..ask(candidates) };
        ask.request.needs_tools = tools && seed % 4 == 0;
        ask.signals = any_signals(seed);
        ask
    })
}

/// Returns signals with numbers that every calibrator of the laws looks for, in half of the cases.
fn any_signals(seed: u64) -> Signals {
    let number = Calibrated { value: (seed % 11) as f64 / 50.0, mix: Probability::clamped((seed % 5) as f64 / 4.0) };
    let names = ["budget", "otherwise.budget"].into_iter().filter(|_| !seed.is_multiple_of(3));
    Signals {
        characters: seed % 1_000,
        familiarity: Familiarity { typicality: Probability::clamped(0.0), is_outside: seed.is_multiple_of(2) },
        calibrated: names.map(|name| (name.to_owned(), number)).collect(),
        ..Signals::default()
    }
}

#[derive(Clone, Debug)]
struct Draft {
    candidate: Candidate,
    facts: ModelFacts,
}

impl Draft {
    fn named(self, index: usize) -> Candidate {
        let name = ModelName::parse(&format!("model-{index}")).unwrap();
        Candidate { model: Arc::new(ModelFacts { name, ..self.facts }), ..self.candidate }
    }
}

fn any_candidate() -> impl Strategy<Value = Draft> {
    let figures = (0..=20u32, 0..=60u64, 0..=40u64, 0..=6u8);
    let abilities = (any::<bool>(), any::<bool>(), proptest::option::of(1..=500u32), proptest::option::of(0..=900i32));
    (figures, abilities).prop_map(|((quality, cost, latency, state), (is_eu, has_tools, size, age))| {
        let quality = f64::from(quality) / 20.0;
        let mut candidate = expected("model", quality, cost * 50_000, latency * 250);
        candidate.availability = match state {
            0 => Availability::BreakerOpen,
            1 => Availability::Loading { step: LoadStep::Reading, progress: Probability::clamped(0.5) },
            2 => Availability::Failed { reason: "no credentials".into() },
            _ => Availability::Ready,
        };
        let mut facts = facts("model");
        facts.tags = is_eu.then(|| Tag("eu".into())).into_iter().collect();
        facts.has_tools = has_tools;
        facts.parameters_b = size.map(f64::from);
        facts.released = age.map(|days| date(2026, 1, 1) - jiff::Span::new().days(days));
        Draft { candidate, facts }
    })
}

fn any_preferences() -> impl Strategy<Value = Preferences> {
    let limits = (proptest::option::of(0..=12_000_000u64), proptest::option::of(0..=10_000u64));
    (limits, any::<bool>(), proptest::option::of(0..=10u32)).prop_map(|((cost, latency), is_eu, quality)| Preferences {
        quality: quality.map(|tenths| Probability::clamped(f64::from(tenths) / 10.0)),
        max_cost: cost.map(NanoUsd),
        max_latency: latency.map(Duration::from_millis),
        tags: is_eu.then(|| Tag("eu".into())).into_iter().collect(),
        ..Preferences::default()
    })
}
