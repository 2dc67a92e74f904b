//! What will be done. A plan is data: strategies return it, `execute` interprets it, records store it.
//!
//! Legs are counted in the order of [`Plan::legs`]; that number is what attempts and verdicts call their leg.

mod agree;
mod cascade;
mod ensemble;
mod hedged;
mod outline;
mod routed;
mod topology;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    agree::{Agree, AgreeMember, AgreeStep, Committee, Course, MemberState},
    cascade::{Cascade, Rung},
    ensemble::{Choosing, Ensemble, Member},
    hedged::Hedged,
    routed::{AnswerEvidence, CascadeRouting, ModelProspect},
    topology::{Duty, Task, Topology},
};
use super::{ids::ModelName, money::NanoUsd};

/// One call in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The model that is asked.
    pub model: ModelName,
}

/// How a request is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Plan {
    /// One model answers; if it fails before the first byte, the next fallback does.
    Single {
        /// The first choice.
        leg: Leg,
        /// Asked in this order when the one before failed.
        fallbacks: Vec<Leg>,
    },
    /// As [`Plan::Single`], and a local model drafts the answers of local models, which check its tokens.
    Speculative {
        /// The first choice.
        leg: Leg,
        /// The model that drafts; it is no leg, because it answers nothing.
        draft: ModelName,
        /// Asked in this order when the one before failed.
        fallbacks: Vec<Leg>,
    },
    /// One model after another, until an answer passes its tests.
    Cascade(Cascade),
    /// After every answer the step that is worth most: stop, or ask one more.
    CascadeRouting(CascadeRouting),
    /// Several answers at once, of which one is given.
    Ensemble(Ensemble),
    /// A committee, one after another, until another answer is worth no more than it costs.
    Agree(Agree),
    /// As [`Plan::Single`], and the first fallback starts when the first choice is slow to begin.
    Hedged(Hedged),
    /// Tasks of which the later ones get the answers of the earlier ones.
    Topology(Topology),
}

/// The name of a kind of plan, a closed set for headers and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// [`Plan::Single`].
    Single,
    /// [`Plan::Speculative`].
    Speculative,
    /// [`Plan::Cascade`].
    Cascade,
    /// [`Plan::CascadeRouting`].
    CascadeRouting,
    /// [`Plan::Ensemble`].
    Ensemble,
    /// [`Plan::Agree`].
    Agree,
    /// [`Plan::Hedged`].
    Hedged,
    /// [`Plan::Topology`].
    Topology,
}

impl PlanKind {
    /// Returns the snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Speculative => "speculative",
            Self::Cascade => "cascade",
            Self::CascadeRouting => "cascade_routing",
            Self::Ensemble => "ensemble",
            Self::Agree => "agree",
            Self::Hedged => "hedged",
            Self::Topology => "topology",
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        outline::write(self, f)
    }
}

impl Plan {
    /// Returns the kind.
    pub const fn kind(&self) -> PlanKind {
        match self {
            Self::Single { .. } => PlanKind::Single,
            Self::Speculative { .. } => PlanKind::Speculative,
            Self::Cascade(_) => PlanKind::Cascade,
            Self::CascadeRouting(_) => PlanKind::CascadeRouting,
            Self::Ensemble(_) => PlanKind::Ensemble,
            Self::Agree(_) => PlanKind::Agree,
            Self::Hedged(_) => PlanKind::Hedged,
            Self::Topology(_) => PlanKind::Topology,
        }
    }

    /// Returns every leg in the order in which it may run.
    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        let legs: Vec<&Leg> = match self {
            Self::Single { leg, fallbacks } | Self::Speculative { leg, fallbacks, .. } => {
                std::iter::once(leg).chain(fallbacks).collect()
            }
            Self::Cascade(cascade) => cascade.legs().collect(),
            Self::CascadeRouting(routed) => routed.legs().collect(),
            Self::Ensemble(ensemble) => ensemble.legs().collect(),
            Self::Agree(agree) => agree.legs().collect(),
            Self::Hedged(hedged) => hedged.legs().collect(),
            Self::Topology(topology) => topology.legs().collect(),
        };
        legs.into_iter()
    }

    /// Returns the most that the plan may cost when every leg costs at most its model's `upper` estimate: the dearest of legs of
    /// which only one is paid for, the sum of those that may all be.
    pub fn worst_cost(&self, upper: impl Fn(&ModelName) -> NanoUsd) -> NanoUsd {
        let dearest = |legs: &[Leg]| legs.iter().map(|leg| upper(&leg.model)).max().unwrap_or_default();
        match self {
            Self::Single { leg, fallbacks } | Self::Speculative { leg, fallbacks, .. } => {
                upper(&leg.model).max(dearest(fallbacks))
            }
            Self::Cascade(cascade) => {
                let rungs = cascade.rungs.iter().flat_map(Rung::legs).map(|leg| upper(&leg.model)).sum::<NanoUsd>();
                rungs + dearest(&cascade.fallbacks)
            }
            Self::Topology(topology) => {
                let tasks = topology.tasks.iter().map(|task| upper(&task.leg.model)).sum::<NanoUsd>();
                tasks + dearest(&topology.fallbacks)
            }
            Self::Hedged(hedged) => {
                (upper(&hedged.leg.model) + upper(&hedged.second.model)).max(dearest(&hedged.fallbacks))
            }
            Self::Agree(agree) => {
                let members: NanoUsd = agree.members.iter().map(|member| upper(&member.leg.model)).sum();
                members + dearest(&agree.fallbacks)
            }
            Self::Ensemble(ensemble) => {
                let judge = ensemble.judge().map(|leg| upper(&leg.model)).unwrap_or_default();
                let members = ensemble.members.iter().map(|member| upper(&member.leg.model) + judge);
                // Fallbacks are asked where no member has answered, and then after members that may have been billed.
                members.sum::<NanoUsd>() + dearest(&ensemble.fallbacks)
            }
            Self::CascadeRouting(routed) => {
                let mut models: Vec<_> = routed.prospects.iter().map(|prospect| upper(&prospect.leg.model)).collect();
                models.sort_unstable_by(|a, b| b.cmp(a));
                let judges: NanoUsd =
                    routed.evidence.iter().filter_map(|one| one.judge()).map(|leg| upper(&leg.model)).sum();
                models.into_iter().take(routed.most_legs as usize).map(|model| model + judges).sum()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DeferralTest, Probability};

    fn leg(name: &str) -> Leg {
        Leg { model: ModelName::parse(name).unwrap() }
    }

    fn upper(model: &ModelName) -> NanoUsd {
        NanoUsd(match model.as_str() {
            "small" => 1,
            "judge" => 10,
            _ => 100,
        })
    }

    fn cascade() -> Plan {
        let judge = DeferralTest::Judge { leg: leg("judge"), below: Probability::clamped(0.5) };
        let small = Rung { defer: vec![judge], ..Rung::of(leg("small")) };
        let (rungs, fallbacks) = (vec![small, Rung::of(leg("large"))], vec![leg("spare"), leg("other")]);
        Plan::Cascade(Cascade { rungs, fallbacks, keeps_doubtful: true })
    }

    #[test]
    fn the_legs_of_a_cascade_are_its_models_and_judges_in_their_order() {
        let plan = cascade();

        let legs: Vec<&str> = plan.legs().map(|leg| leg.model.as_str()).collect();

        assert_eq!(legs, ["small", "judge", "large", "spare", "other"]);
    }

    #[test]
    fn a_cascade_may_cost_all_its_rungs_and_one_fallback() {
        let single = Plan::Single { leg: leg("small"), fallbacks: vec![leg("large")] };

        assert_eq!(cascade().worst_cost(upper), NanoUsd(1 + 10 + 100 + 100));
        assert_eq!(single.worst_cost(upper), NanoUsd(100));
    }

    #[test]
    fn a_plan_reads_back_as_it_was_written() {
        let text = serde_json::to_string(&cascade()).unwrap();

        assert!(text.starts_with(r#"{"kind":"cascade","rungs":[{"leg":{"model":"small"}"#), "{text}");
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), cascade());
    }
}
