//! One model after another, cheap ones first.

use std::collections::BTreeSet;

use super::{
    Constraints, ParameterError, Strategy,
    outcome::{Ranked, decision},
    parameters::{check_bound, check_count},
};
use crate::domain::{
    Ask, Candidate, Cascade as Rungs, Decision, DeferralTest, Leg, ModelName, Needs, NoRoute, Plan, Reason, Rung,
    Statistic,
};

/// Most rungs of a cascade. Every rung that defers adds the time of a whole answer.
pub const MAX_RUNGS: usize = 8;

/// Most samples of a test of agreement.
const MAX_SAMPLES: usize = 8;

/// What [`Cascade`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct CascadeParameters {
    /// What every model must meet, judges too.
    pub constraints: Constraints,
    /// The models in the order in which they are asked, each with what sends the request on.
    pub rungs: Vec<Rung>,
    /// Whether an answer in doubt is given when nobody else answers.
    pub keeps_doubtful: bool,
    /// How many models stand by when the last rung fails.
    pub max_fallbacks: usize,
}

/// Asks models in a fixed order until an answer passes its tests.
///
/// A rung is left out where its model, or a judge of its answer, does not meet the constraints, and where the router predicts a
/// quality below what the rung wants (not without scores, and never the last rung that is left). The last rung's answer is accepted
/// without tests. Where no rung is left, the first other candidate answers.
#[derive(Clone, Debug)]
pub struct Cascade {
    parameters: CascadeParameters,
}

impl Cascade {
    /// Returns the strategy.
    ///
    /// # Errors
    /// There are too many rungs, a model has two, or a threshold is no number of its range.
    pub fn new(parameters: CascadeParameters) -> Result<Self, ParameterError> {
        check_count("rungs", parameters.rungs.len(), (0, MAX_RUNGS))?;
        let mut seen = BTreeSet::new();
        for rung in &parameters.rungs {
            if !seen.insert(&rung.leg.model) {
                return Err(ParameterError::Repeated(rung.leg.model.to_string()));
            }
        }
        for test in parameters.rungs.iter().flat_map(|rung| &rung.defer) {
            check(test)?;
        }
        Ok(Self { parameters })
    }

    /// Returns the rungs that a request may use.
    fn rungs(&self, ask: &Ask, fitting: &[&Candidate]) -> Vec<Rung> {
        let find = |leg: &Leg| fitting.iter().find(|candidate| candidate.model.name == leg.model);
        let all = &self.parameters.rungs;
        let possible = all.iter().filter(|rung| rung.legs().all(|leg| find(leg).is_some()));
        let possible: Vec<&Rung> = possible.collect();
        let last = possible.len().saturating_sub(1);
        let is_good_enough = |rung: &Rung| {
            let least = rung.at_least.filter(|_| ask.unscored.is_none());
            least.is_none_or(|least| find(&rung.leg).is_some_and(|candidate| candidate.estimate.quality >= least))
        };
        let chosen = possible.into_iter().enumerate().filter(|(index, rung)| *index == last || is_good_enough(rung));
        let mut rungs: Vec<Rung> = chosen.map(|(_, rung)| rung.clone()).collect();
        if let Some(last) = rungs.last_mut() {
            *last = Rung::of(last.leg.clone());
        }
        rungs
    }
}

impl Strategy for Cascade {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let rungs = self.rungs(ask, &gated.fitting);
        let place = |name: &ModelName| rungs.iter().position(|rung| rung.leg.model == *name);
        let is_judge = |name: &ModelName| rungs.iter().flat_map(Rung::legs).any(|judge| judge.model == *name);
        let mut order: Vec<_> = gated.fitting.iter().copied().map(Ranked::plain).collect();
        // A stable sort: the rungs first, the others in the policy's order.
        order.sort_by_key(|ranked| place(&ranked.candidate.model.name).unwrap_or(usize::MAX));
        let others = order.iter().map(|ranked| &ranked.candidate.model.name);
        let others = others.filter(|name| place(name).is_none() && !is_judge(name));
        let fallbacks = others.take(self.parameters.max_fallbacks).map(|model| Leg { model: model.clone() }).collect();
        let decided = decision(order, gated, Reason::Cascade, self.parameters.max_fallbacks)?;
        if rungs.len() < 2 {
            return Ok(decided);
        }
        let plan = Plan::Cascade(Rungs { rungs, fallbacks, keeps_doubtful: self.parameters.keeps_doubtful });
        Ok(Decision { plan, ..decided })
    }

    fn needs(&self) -> Needs {
        let reads_scores = self.parameters.rungs.iter().any(|rung| rung.at_least.is_some());
        if reads_scores { Needs::SCORES } else { Needs::NOTHING }
    }
}

fn check(test: &DeferralTest) -> Result<(), ParameterError> {
    match test {
        DeferralTest::Logprob { statistic, below, .. } => {
            if let Statistic::Quantile(share) = statistic {
                check_bound("quantile", *share, (0.0, 1.0))?;
            }
            check_bound("below", *below, (f64::MIN, 0.0))
        }
        DeferralTest::Margin { below, .. } => check_bound("below", *below, (0.0, f64::MAX)),
        DeferralTest::Entropy { above, .. } => check_bound("above", *above, (0.0, f64::MAX)),
        DeferralTest::Agreement { temperature, samples, .. } => {
            check_count("samples", *samples as usize, (1, MAX_SAMPLES))?;
            check_bound("temperature", *temperature, (0.0, 2.0))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::{Probability, ScoresUnavailable, Tag},
        routing::samples::{ask, candidate, expected},
    };

    fn leg(model: &str) -> Leg {
        Leg { model: ModelName::parse(model).unwrap() }
    }

    fn refusal() -> DeferralTest {
        DeferralTest::Refusal { phrases: Vec::new() }
    }

    fn rung(model: &str, tests: Vec<DeferralTest>) -> Rung {
        Rung { defer: tests, ..Rung::of(leg(model)) }
    }

    fn cascade(rungs: Vec<Rung>) -> Cascade {
        let constraints = Constraints::default();
        Cascade::new(CascadeParameters { constraints, rungs, keeps_doubtful: true, max_fallbacks: 1 }).unwrap()
    }

    fn three() -> Cascade {
        let judged = DeferralTest::Judge { leg: leg("judge"), below: Probability::clamped(0.5) };
        let middle = Rung { at_least: Some(Probability::clamped(0.6)), ..rung("b", vec![refusal(), judged]) };
        cascade(vec![rung("a", vec![refusal()]), middle, rung("c", Vec::new())])
    }

    fn candidates(middle: f64) -> Ask {
        let all = ["spare", "c", "judge", "a"].map(candidate);
        ask([all.to_vec(), vec![expected("b", middle, 1, 1)]].concat())
    }

    fn legs(strategy: &Cascade, ask: &Ask) -> Vec<String> {
        strategy.decide(ask).unwrap().plan.legs().map(|leg| leg.model.to_string()).collect()
    }

    #[test]
    fn rungs_come_in_their_order_with_their_judges_and_one_spare() {
        let decision = three().decide(&candidates(0.7)).unwrap();

        let Plan::Cascade(plan) = &decision.plan else { panic!("{:?}", decision.plan) };
        assert_eq!(legs(&three(), &candidates(0.7)), ["a", "b", "judge", "c", "spare"]);
        assert_eq!(plan.fallbacks, [leg("spare")]);
        assert_eq!((decision.reason, decision.alternatives.len()), (Reason::Cascade, 5));
    }

    #[test]
    fn a_rung_is_left_out_where_little_is_predicted_and_only_with_scores() {
        let mut unscored = candidates(0.5);
        unscored.unscored = Some(ScoresUnavailable::Late);

        assert_eq!(legs(&three(), &candidates(0.5)), ["a", "c", "spare"]);
        assert_eq!(legs(&three(), &unscored), ["a", "b", "judge", "c", "spare"]);
    }

    #[test]
    fn a_rung_is_left_out_where_its_model_or_its_judge_does_not_fit() {
        let mut ask = candidates(0.7);
        for name in ["b", "c", "a", "spare"] {
            let found = ask.candidates.iter_mut().find(|candidate| candidate.model.name.as_str() == name).unwrap();
            Arc::make_mut(&mut found.model).tags.insert(Tag("eu".into()));
        }
        ask.preferences.tags.insert(Tag("eu".into()));

        assert_eq!(legs(&three(), &ask), ["a", "c", "spare"]);
    }

    #[test]
    fn the_last_rung_that_is_left_has_no_tests() {
        let strategy = cascade(vec![rung("a", vec![refusal()]), rung("b", vec![refusal()]), rung("gone", Vec::new())]);

        let decision = strategy.decide(&ask(vec![candidate("a"), candidate("b")])).unwrap();

        let Plan::Cascade(plan) = decision.plan else { panic!("{:?}", decision.plan) };
        assert_eq!(plan.rungs, [rung("a", vec![refusal()]), rung("b", Vec::new())]);
    }

    #[test]
    fn one_rung_or_none_is_a_plain_plan() {
        let strategy = cascade(vec![rung("a", vec![refusal()]), rung("b", Vec::new())]);
        let plan =
            |names: &[&str]| strategy.decide(&ask(names.iter().map(|name| candidate(name)).collect())).unwrap().plan;

        assert_eq!(plan(&["x", "b"]), Plan::Single { leg: leg("b"), fallbacks: vec![leg("x")] });
        assert_eq!(plan(&["x", "y"]), Plan::Single { leg: leg("x"), fallbacks: vec![leg("y")] });
    }

    #[test]
    fn nonsense_is_refused() {
        let new = |rungs| {
            let constraints = Constraints::default();
            Cascade::new(CascadeParameters { constraints, rungs, keeps_doubtful: true, max_fallbacks: 1 }).unwrap_err()
        };
        let logprob = |below, statistic| vec![rung("a", vec![DeferralTest::Logprob { statistic, below, after: None }])];

        let many = (0..9).map(|index| rung(&format!("m{index}"), Vec::new())).collect();
        assert_eq!(new(many), ParameterError::BadCount { name: "rungs".into(), value: 9, min: 0, max: 8 });
        assert_eq!(new(vec![rung("a", Vec::new()); 2]), ParameterError::Repeated("a".into()));
        for rungs in [
            logprob(0.5, Statistic::Mean),
            logprob(f64::NAN, Statistic::Mean),
            logprob(-1.0, Statistic::Quantile(1.5)),
            vec![rung("a", vec![DeferralTest::Margin { below: -1.0, after: None }])],
        ] {
            assert!(matches!(new(rungs), ParameterError::OutOfRange { .. }));
        }
    }
}
