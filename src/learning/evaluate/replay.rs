//! What a strategy chooses where its choices follow from what came before: prompts are served one after the other.
//!
//! Numbers that recent traffic sets (budgets, shares) and grades that callers send (bandits) come in as they do in the gateway:
//! a decision knows nothing of its own prompt's outcome, and all of the prompts before it. A grade is the score of the model that
//! answered; nothing is learned of the others.

use std::sync::Arc;

use rand::seq::SliceRandom;

use super::{SEED, choices::Picks, outcomes::Outcomes};
use crate::{
    domain::{Ask, Conformal, ModelName, PolicyName, Tail},
    feedback::{Experience, Start},
    learning::encoder::stage_rng,
    routing::{Calibration, Strategy},
};

/// Its own stream of chance.
const STAGE: u64 = 22;
/// The artifact that all prompts are scored with.
const ARTIFACT: &str = "evaluated";

/// What prompts are served to.
pub struct Replay<'a> {
    /// The prompts, as the strategy is asked about them.
    pub asks: &'a [Ask],
    /// The prompts with what became of them.
    pub outcomes: &'a Outcomes,
    /// The asks of training prompts: what is known before the first one.
    pub lessons: &'a [Ask],
    /// The artifact's errors, for bounds that are read off them.
    pub conformal: Option<&'a Conformal>,
}

impl Replay<'_> {
    /// Returns the picks of a strategy among some models (all if it names none) on all prompts, served in an order by `seed`.
    pub fn picks(&self, strategy: &dyn Strategy, among: Option<&[ModelName]>, seed: u64) -> Picks {
        let mut served = Served::new(strategy, among, self);
        let mut order: Vec<usize> = (0..self.asks.len()).collect();
        order.shuffle(&mut stage_rng(SEED + seed, STAGE));
        let mut picks = vec![0; self.asks.len()];
        for index in order {
            let Some(pick) = served.one(index) else { continue };
            picks.get_mut(index).into_iter().for_each(|slot| *slot = pick);
        }
        picks
    }
}

/// A strategy with its memory.
struct Served<'a> {
    strategy: &'a dyn Strategy,
    among: Option<&'a [ModelName]>,
    replay: &'a Replay<'a>,
    calibration: Calibration,
    experience: Experience,
    policy: Option<PolicyName>,
    artifact: Arc<str>,
    tails: Vec<Tail>,
}

impl<'a> Served<'a> {
    fn new(strategy: &'a dyn Strategy, among: Option<&'a [ModelName]>, replay: &'a Replay<'a>) -> Self {
        let artifact: Arc<str> = ARTIFACT.into();
        let lessons: Vec<Ask> = replay.lessons.iter().map(|ask| narrowed(ask, among)).collect();
        let calibration = Calibration::new(strategy.calibrators());
        calibration.start(&artifact, &lessons);
        let (experience, policy) = (Experience::default(), PolicyName::parse("replayed").ok());
        if let Some(policy) = &policy {
            experience.begin(policy, &artifact, || Start::of(Arc::clone(&artifact), &lessons));
        }
        let tail = |share: f64| Some(Tail { share, factor: replay.conformal?.factor(share) });
        let tails = strategy.shares().into_iter().filter_map(tail).collect();
        Self { strategy, among, replay, calibration, experience, policy, artifact, tails }
    }

    /// Serves one prompt and learns from it; `None` when no model fits.
    fn one(&mut self, index: usize) -> Option<usize> {
        let row = self.replay.outcomes.rows.get(index)?;
        let all = &self.replay.asks.get(index)?.candidates;
        let mut ask = narrowed(self.replay.asks.get(index)?, self.among);
        ask.signals.artifact = Some(Arc::clone(&self.artifact));
        ask.signals.calibrated = self.calibration.numbers(&self.artifact);
        ask.signals.tails.clone_from(&self.tails);
        ask.signals.matched = self.strategy.observe(&row.prompt);
        let learner = self.strategy.learner().zip(self.policy.as_ref());
        if let Some((learner, policy)) = learner {
            self.experience.tell(policy, learner, &mut ask);
        }
        let decision = self.strategy.decide(&ask).ok()?;
        let model = decision.plan.legs().next()?.model.clone();
        self.calibration.learn(&ask);
        let pick = all.iter().position(|candidate| candidate.model.name == model)?;
        if let Some((_, policy)) = learner {
            self.experience.teach(policy, &ask, &model, *row.score.get(pick)?);
        }
        Some(pick)
    }
}

fn narrowed(ask: &Ask, among: Option<&[ModelName]>) -> Ask {
    let mut ask = ask.clone();
    if let Some(among) = among {
        ask.candidates.retain(|candidate| among.contains(&candidate.model.name));
    }
    ask
}

/// Returns whether what a strategy chooses follows from what came before, or from the prompt's text.
pub fn has_memory(strategy: &dyn Strategy) -> bool {
    strategy.learner().is_some() || !strategy.calibrators().is_empty() || !strategy.shares().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{BanditAlgorithm, Learner, NanoUsd},
        learning::evaluate::{
            families::with_cost,
            outcomes::{Model, Row},
            parts::Fold,
        },
        routing::{
            Bandit, BanditParameters, Constraints, CostGoal, Weight,
            samples::{ask, expected},
        },
    };

    const PROMPTS: usize = 400;

    /// The router takes both for equally good; the second one is always right, the first one never.
    fn misjudged() -> (Vec<Ask>, Outcomes) {
        let one = ask(vec![expected("never", 0.6, 10, 1), expected("always", 0.55, 30, 1)]);
        let row = |index: usize| Row {
            id: index.to_string(),
            prompt: "a prompt".to_owned(),
            task: "task".to_owned(),
            category: "task".to_owned(),
            input_tokens: 1.0,
            fold: Fold::First,
            score: vec![0.0, 1.0],
            cost: vec![1e-8, 3e-8],
        };
        let model = |name: &str| Model { name: name.to_owned(), column: 0, prices: None, parameters_b: None };
        let models = vec![model("never"), model("always")];
        (vec![one; PROMPTS], Outcomes { models, rows: (0..PROMPTS).map(row).collect(), has_costs: true })
    }

    fn share_of_second(picks: &[usize]) -> f64 {
        picks.iter().filter(|pick| **pick == 1).count() as f64 / picks.len() as f64
    }

    #[test]
    fn a_bandit_learns_from_the_prompts_before_and_from_nothing_else() {
        let (asks, outcomes) = misjudged();
        let replay = Replay { asks: &asks, outcomes: &outcomes, lessons: &[], conformal: None };
        let bandit = Bandit::new(BanditParameters {
            constraints: Constraints::default(),
            learner: Learner { algorithm: BanditAlgorithm::Linucb, prior_weight: 20.0, discount: 1.0 },
            width: 0.5,
            exploration: 0.02,
            cost_weight: Weight::fixed(0.0),
            latency_weight: Weight::fixed(0.0),
            max_fallbacks: 0,
        })
        .unwrap();

        let picks = replay.picks(&bandit, None, 1);

        let share = share_of_second(&picks);
        // It cannot know at once, and finds out long before the end.
        assert!((0.8..1.0).contains(&share), "{share}");
        assert_eq!(picks, replay.picks(&bandit, None, 1), "the same order, the same choices");
    }

    #[test]
    fn a_budget_finds_the_mix_that_meets_it() {
        let (mut asks, outcomes) = misjudged();
        asks.iter_mut().enumerate().for_each(|(index, ask)| {
            ask.seed = index as u64;
            ask.candidates[1].estimate.quality = crate::domain::Probability::clamped(0.9);
        });
        let replay = Replay { asks: &asks, outcomes: &outcomes, lessons: &asks, conformal: None };
        let strategy = with_cost(CostGoal::Budget(NanoUsd(20))).unwrap();

        let share = share_of_second(&replay.picks(&*strategy, None, 1));

        // Halfway between 10 and 30; 400 draws have a standard deviation of 2.5 %.
        assert!((0.4..0.6).contains(&share), "{share}");
    }

    #[test]
    fn a_policy_chooses_among_its_own_candidates() {
        let (asks, outcomes) = misjudged();
        let replay = Replay { asks: &asks, outcomes: &outcomes, lessons: &[], conformal: None };
        let cheapest = crate::routing::Capability::new(crate::routing::CapabilityParameters::default());
        let only = [asks[0].candidates[1].model.name.clone()];

        assert_eq!(share_of_second(&replay.picks(&cheapest, None, 1)), 0.0);
        assert_eq!(share_of_second(&replay.picks(&cheapest, Some(&only), 1)), 1.0);
    }
}
