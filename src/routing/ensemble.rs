//! Several models at once.

use super::{
    Constraints, ParameterError, Strategy,
    outcome::{Ranked, decision},
    parameters::{check_bound, check_count},
};
use crate::domain::{
    Ask, Choosing, Decision, Ensemble, Extractor, Leg, Member, ModelName, Needs, NoRoute, Plan, Reason,
};

/// Most calls of an ensemble.
pub const MAX_MEMBERS: usize = 16;

/// What [`Voting`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct EnsembleParameters {
    /// What every model must meet, the judge too.
    pub constraints: Constraints,
    /// Who is asked at once; a model that is sampled several times stands here as often.
    pub members: Vec<Member>,
    /// What of the answers is compared.
    pub extract: Extractor,
    /// How one is chosen.
    pub choose: Choosing,
    /// How long others are waited for once there is an answer, in milliseconds.
    pub patience_ms: Option<u64>,
    /// How many models stand by when no member answers.
    pub max_fallbacks: usize,
}

/// Asks a fixed set of members at once. Members that do not meet the constraints are left out; where that leaves one, or none, the
/// plan is a single one. Where the judge does not meet them, the members vote.
#[derive(Clone, Debug)]
pub struct Voting {
    parameters: EnsembleParameters,
}

impl Voting {
    /// Returns the strategy.
    ///
    /// # Errors
    /// There are too many members, or a number lies outside of its range or is none.
    pub fn new(parameters: EnsembleParameters) -> Result<Self, ParameterError> {
        check_count("members", parameters.members.len(), (0, MAX_MEMBERS))?;
        for member in &parameters.members {
            check_bound("weight", member.weight, (f64::MIN_POSITIVE, f64::MAX))?;
            check_bound("temperature", member.temperature.unwrap_or_default(), (0.0, 2.0))?;
        }
        if let Choosing::Judge { enough, .. } = &parameters.choose {
            check_bound("enough", *enough, (0.0, 1.0))?;
        }
        Ok(Self { parameters })
    }
}

impl Strategy for Voting {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let fits = |model: &ModelName| gated.fitting.iter().any(|candidate| candidate.model.name == *model);
        let members = self.parameters.members.iter().filter(|member| fits(&member.leg.model));
        let members: Vec<Member> = members.cloned().collect();
        let choose = match &self.parameters.choose {
            Choosing::Judge { leg, .. } if !fits(&leg.model) => Choosing::Vote,
            other => other.clone(),
        };
        let judge = match &choose {
            Choosing::Judge { leg, .. } => Some(leg.model.clone()),
            Choosing::Vote | Choosing::Consistency => None,
        };
        let place = |name: &ModelName| members.iter().position(|member| member.leg.model == *name);
        let mut order: Vec<_> = gated.fitting.iter().copied().map(Ranked::plain).collect();
        // A stable sort: the members first, the others in the policy's order.
        order.sort_by_key(|ranked| place(&ranked.candidate.model.name).unwrap_or(usize::MAX));
        let others = order.iter().map(|ranked| &ranked.candidate.model.name);
        let others = others.filter(|name| place(name).is_none() && judge.as_ref() != Some(name));
        let fallbacks = others.take(self.parameters.max_fallbacks).map(|model| Leg { model: model.clone() }).collect();
        let decided = decision(order, gated, Reason::Ensemble, self.parameters.max_fallbacks)?;
        if members.len() < 2 {
            return Ok(decided);
        }
        let (extract, patience_ms) = (self.parameters.extract.clone(), self.parameters.patience_ms);
        let plan = Plan::Ensemble(Ensemble { members, extract, choose, patience_ms, fallbacks });
        Ok(Decision { plan, ..decided })
    }

    fn needs(&self) -> Needs {
        Needs::NOTHING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::samples::{ask, candidate};

    fn member(model: &str) -> Member {
        Member { leg: leg(model), weight: 1.0, temperature: None }
    }

    fn leg(model: &str) -> Leg {
        Leg { model: ModelName::parse(model).unwrap() }
    }

    fn parameters(members: &[&str], choose: Choosing) -> EnsembleParameters {
        EnsembleParameters {
            constraints: Constraints::default(),
            members: members.iter().map(|model| member(model)).collect(),
            extract: Extractor::Choice,
            choose,
            patience_ms: None,
            max_fallbacks: 1,
        }
    }

    fn judged() -> Choosing {
        Choosing::Judge { leg: leg("judge"), enough: 1.0 }
    }

    fn legs(parameters: EnsembleParameters, names: &[&str]) -> Vec<String> {
        let ask = ask(names.iter().map(|name| candidate(name)).collect());
        let decision = Voting::new(parameters).unwrap().decide(&ask).unwrap();
        assert_eq!((decision.reason, decision.alternatives.len()), (Reason::Ensemble, names.len()));
        decision.plan.legs().map(|leg| leg.model.to_string()).collect()
    }

    #[test]
    fn members_judge_and_spares_are_the_legs() {
        let all = ["spare", "b", "judge", "a", "other"];

        assert_eq!(legs(parameters(&["a", "b", "a"], judged()), &all), ["a", "b", "a", "judge", "spare"]);
        assert_eq!(legs(parameters(&["a", "b"], Choosing::Vote), &all), ["a", "b", "spare"]);
    }

    #[test]
    fn who_does_not_fit_is_left_out_and_one_alone_is_a_plain_plan() {
        assert_eq!(legs(parameters(&["a", "b", "gone"], judged()), &["a", "b"]), ["a", "b"]);
        assert_eq!(legs(parameters(&["a", "gone"], Choosing::Vote), &["x", "a"]), ["a", "x"]);
        assert_eq!(legs(parameters(&["gone"], Choosing::Vote), &["x", "y"]), ["x", "y"]);
    }

    #[test]
    fn nonsense_is_refused() {
        let with = |weight, temperature| {
            let members = vec![Member { weight, temperature, ..member("a") }; 2];
            EnsembleParameters { members, ..parameters(&[], Choosing::Vote) }
        };

        for bad in [
            with(0.0, None),
            with(f64::NAN, None),
            with(-1.0, None),
            with(1.0, Some(3.0)),
            parameters(&["a"; 17], Choosing::Vote),
            parameters(&["a"], Choosing::Judge { leg: leg("judge"), enough: f64::NAN }),
        ] {
            assert!(Voting::new(bad).is_err());
        }
    }
}
