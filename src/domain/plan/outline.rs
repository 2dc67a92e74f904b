//! A plan in words, for people.

use std::fmt;

use super::{Cascade, Choosing, Ensemble, Leg, Plan, Topology};
use crate::domain::deferral::DeferralTest;

/// Writes a plan in one line: who is asked, in which order, and what decides.
pub(super) fn write(plan: &Plan, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match plan {
        Plan::Single { leg, fallbacks } | Plan::Speculative { leg, fallbacks, .. } => {
            write!(f, "{}{}", leg.model, behind(fallbacks))
        }
        Plan::Cascade(cascade) => write_cascade(cascade, f),
        Plan::CascadeRouting(routed) => {
            let models: Vec<&str> = routed.prospects.iter().map(|prospect| prospect.leg.model.as_str()).collect();
            write!(
                f,
                "{} first, of {}, at most {}",
                models.first().unwrap_or(&"nobody"),
                models.join(", "),
                routed.most_legs
            )
        }
        Plan::Ensemble(ensemble) => write_ensemble(ensemble, f),
        Plan::Hedged(hedged) => {
            let (leg, second) = (&hedged.leg.model, &hedged.second.model);
            write!(f, "{leg}, {second} too if it is slow{}", behind(&hedged.fallbacks))
        }
        Plan::Topology(topology) => write_topology(topology, f),
        Plan::Agree(agree) => {
            let members: Vec<&str> = agree.members.iter().map(|member| member.leg.model.as_str()).collect();
            let (first, all) = (members.first().unwrap_or(&"nobody"), members.join(", "));
            write!(f, "{first} first, of the committee {all}{}", behind(&agree.fallbacks))
        }
    }
}

fn behind(fallbacks: &[Leg]) -> String {
    fallbacks.iter().map(|leg| format!(", then {}", leg.model)).collect()
}

fn write_cascade(cascade: &Cascade, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, rung) in cascade.rungs.iter().enumerate() {
        let comma = if index > 0 { ", else " } else { "" };
        write!(f, "{comma}{}", rung.leg.model)?;
        let tests: Vec<&str> = rung.defer.iter().map(DeferralTest::name).collect();
        if !tests.is_empty() {
            write!(f, " if it passes {}", tests.join(", "))?;
        }
    }
    write!(f, "{}", behind(&cascade.fallbacks))
}

fn write_ensemble(ensemble: &Ensemble, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let members: Vec<&str> = ensemble.members.iter().map(|member| member.leg.model.as_str()).collect();
    write!(f, "{} at once, ", members.join(", "))?;
    match &ensemble.choose {
        Choosing::Vote => write!(f, "by vote")?,
        Choosing::Consistency => write!(f, "by probability")?,
        Choosing::Judge { leg, .. } => write!(f, "the best for {}", leg.model)?,
    }
    write!(f, "{}", behind(&ensemble.fallbacks))
}

fn write_topology(topology: &Topology, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let tasks = topology.tasks.iter().map(|task| format!("{} ({})", task.leg.model, task.does.name()));
    write!(f, "{}{}", tasks.collect::<Vec<_>>().join(", "), behind(&topology.fallbacks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Duty, Extractor, Hedged, Member, ModelName, Rung, Task};

    fn leg(name: &str) -> Leg {
        Leg { model: ModelName::parse(name).unwrap() }
    }

    #[test]
    fn every_kind_says_who_is_asked_and_what_decides() {
        let refusal = DeferralTest::Refusal { phrases: Vec::new() };
        let rungs = vec![Rung { defer: vec![refusal], ..Rung::of(leg("a")) }, Rung::of(leg("b"))];
        let cascade = Plan::Cascade(Cascade { rungs, fallbacks: vec![leg("c")], keeps_doubtful: true });
        let members = ["a", "b"].map(|name| Member { leg: leg(name), weight: 1.0, temperature: None }).to_vec();
        let choose = Choosing::Judge { leg: leg("c"), enough: 1.0 };
        let ensemble = Ensemble { members, extract: Extractor::Text, choose, patience_ms: None, fallbacks: Vec::new() };
        let (quantile, start_ms, share) = (0.9, 1, 0.1);
        let hedged = Hedged { leg: leg("a"), second: leg("b"), fallbacks: vec![leg("c")], quantile, start_ms, share };
        let task = |name, does, after| Task { leg: leg(name), does, after, max_tokens: None };
        let tasks = vec![task("a", Duty::Answer, vec![]), task("b", Duty::Revise, vec![0])];

        let said = [
            Plan::Single { leg: leg("a"), fallbacks: vec![leg("b")] },
            cascade,
            Plan::Ensemble(ensemble),
            Plan::Hedged(hedged),
            Plan::Topology(Topology { tasks, fallbacks: Vec::new() }),
        ]
        .map(|plan| plan.to_string());

        let expected = [
            "a, then b",
            "a if it passes refusal, else b, then c",
            "a, b at once, the best for c",
            "a, b too if it is slow, then c",
            "a (answer), b (revise)",
        ];
        assert_eq!(said, expected);
    }
}
