//! What the router expects of every model on every prompt: the asks that strategies get to see.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    expected_cost::ExpectedCost,
    outcomes::{Model, Outcomes},
};
use crate::{
    domain::{
        Ask, Availability, Candidate, Evidence, Modality, ModelFacts, ModelKind, ModelName, NanoUsd, Needs,
        Preferences, PricePerMillion, Prices, RequestFacts, Scores, Signals, Tokens,
    },
    learning::LearningError,
    routing::estimate,
    scoring::{Artifact, Session, evidence::TrainingEvidence, profiles::Profiles, router::scores_of},
};

/// The router that is measured.
pub struct Subject<'a> {
    /// What it is made of.
    pub artifact: &'a Artifact,
    /// What runs its graph.
    pub session: &'a mut dyn Session,
}

impl Subject<'_> {
    /// Returns the scores of a prompt, as the gateway gets them.
    ///
    /// # Errors
    /// The graph fails.
    pub fn score(&mut self, prompt: &str) -> Result<Scores, LearningError> {
        let failed = |error: &dyn std::fmt::Display| LearningError::Graph(error.to_string());
        let start = Instant::now();
        let ids = self.artifact.tokens.ids(prompt).map_err(|error| failed(&error))?;
        let outputs = self.session.run(&ids).map_err(|error| failed(&error))?;
        Ok(scores_of(self.artifact, outputs, start.elapsed()))
    }
}

/// Window assumed of every model: data tell of none, and all answers in them fitted.
const CONTEXT_WINDOW: Tokens = Tokens(128_000);

/// Everything that strategies ask of the training data.
const EVIDENCE: Needs = Needs { clusters: true, neighbours: true, ..Needs::SCORES };

/// What is known of a set's models besides the router's own profiles.
#[derive(Clone, Debug, Default)]
pub struct Scene<'a> {
    /// Profiles of models that the router does not know.
    pub fitted: Option<Profiles>,
    /// Expected costs of models without prices, by model.
    pub costs: Vec<Option<ExpectedCost>>,
    /// What the router's training data say near a prompt; `None` where no strategy asks.
    pub evidence: Option<&'a TrainingEvidence>,
}

/// Everything expected of the models on the prompts of a set.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// One per prompt; the candidates are the outcomes' models in their order.
    pub asks: Vec<Ask>,
    /// L2-normalised embedding by prompt.
    pub embeddings: Vec<Arc<[f32]>>,
    /// How long scoring took, by prompt.
    pub took: Vec<Duration>,
}

impl Forecast {
    /// Makes the asks of scored prompts.
    ///
    /// # Errors
    /// A model's name is none that the gateway takes.
    pub fn of(outcomes: &Outcomes, scores: Vec<Scores>, scene: &Scene<'_>) -> Result<Self, LearningError> {
        let facts: Result<Vec<_>, _> = outcomes.models.iter().map(|model| facts(model).map(Arc::new)).collect();
        let facts = facts?;
        let mut forecast = Self { asks: Vec::new(), embeddings: Vec::new(), took: Vec::new() };
        for (index, (row, mut scores)) in outcomes.rows.iter().zip(scores).enumerate() {
            let more = scene.fitted.as_ref().map(|profiles| profiles.qualities(&scores.latent).0);
            scores.quality.extend(more.into_iter().flatten());
            let near = scene.evidence.map(|evidence| evidence.near(&scores.embedding, EVIDENCE)).unwrap_or_default();
            let request = RequestFacts {
                input_tokens: Tokens(row.input_tokens.round() as u64),
                choices: 1,
                ..RequestFacts::default()
            };
            let candidates = facts.iter().zip(&scene.costs).map(|(facts, cost)| Candidate {
                evidence: near.get(facts.profile_name()).cloned().unwrap_or_default(),
                ..candidate(facts, &request, &scores, cost)
            });
            forecast.asks.push(Ask {
                candidates: candidates.collect(),
                preferences: Preferences::default(),
                signals: Signals {
                    familiarity: scores.familiarity,
                    topics: scores.topics.clone(),
                    characters: row.prompt.chars().count() as u64,
                    ..Signals::default()
                },
                request,
                unscored: None,
                seed: index as u64,
            });
            forecast.embeddings.push(scores.embedding);
            forecast.took.push(scores.took);
        }
        Ok(forecast)
    }

    /// Returns the predicted qualities, `[prompt][model]`.
    pub fn quality(&self) -> Vec<Vec<f64>> {
        let row = |ask: &Ask| ask.candidates.iter().map(|candidate| candidate.estimate.quality.value()).collect();
        self.asks.iter().map(row).collect()
    }

    /// Returns the expected costs in USD, `[prompt][model]`.
    pub fn cost(&self) -> Vec<Vec<f64>> {
        let row = |ask: &Ask| ask.candidates.iter().map(|candidate| candidate.estimate.cost.dollars()).collect();
        self.asks.iter().map(row).collect()
    }
}

fn candidate(
    facts: &Arc<ModelFacts>,
    request: &RequestFacts,
    scores: &Scores,
    cost: &Option<ExpectedCost>,
) -> Candidate {
    let mut estimate = estimate(facts, request, Some(scores), None);
    if let Some(cost) = cost {
        estimate.cost = NanoUsd::from_dollars(cost.of(request.input_tokens.0 as f64, scores.length.median));
    }
    Candidate { model: Arc::clone(facts), estimate, evidence: Evidence::default(), availability: Availability::Ready }
}

/// Returns what is assumed of a model of a set.
///
/// # Errors
/// Its name is none that the gateway takes.
pub fn facts(model: &Model) -> Result<ModelFacts, LearningError> {
    let (input, output) = model.prices.unwrap_or_default();
    Ok(ModelFacts {
        name: ModelName::parse(&model.name)?,
        kind: ModelKind::Chat,
        prices: Prices {
            input: PricePerMillion::from_dollars(input),
            output: PricePerMillion::from_dollars(output),
            cached_input: None,
        },
        context_window: CONTEXT_WINDOW,
        max_output: None,
        modalities: [Modality::Text].into(),
        has_tools: false,
        has_json_schema: false,
        has_json_mode: false,
        languages: [].into(),
        prompt_ms: 0.0,
        tags: [].into(),
        profile: Some(model.name.clone()),
        first_token_ms: 0.0,
        per_token_ms: 0.0,
        parameters_b: model.parameters_b,
        released: None,
        is_local: false,
        is_simulated: false,
    })
}
