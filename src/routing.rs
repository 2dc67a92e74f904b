//! Choosing: one file per strategy, pure and synchronous.
//!
//! A strategy looks at an [`Ask`] and at nothing else: no clock, no I/O, no chance but the ask's seed. The same ask gives the
//! same decision, so a record can replay it and the explain endpoint can show it without calling anyone.
//!
//! # How a decision comes about
//!
//! ```text
//! estimate   facts, request, scores, measured latency -> Estimate    once per candidate, by the gateway
//! evidence   graded prompts near this one            -> how often each model was right there, for those who need it
//! numbers    recent asks                             -> what a budget or a share makes of a strategy's weight or threshold
//! gates      hard constraints of policy and request   -> who may be chosen, and why the others may not
//! rules      what is known of the request             -> which strategy decides, and among whom
//! strategy   one of them                              -> the order of those who may
//! outcome    order                                    -> Decision: the first is the leg, the next ones its fallbacks
//! explain    Decision, Ask                            -> JSON for machines, a table for people
//! ```
//!
//! # Invariants
//!
//! - A chosen model, and every fallback, meets every hard constraint; no score ever outweighs one.
//! - A rule that holds is final: where none of its models fits, no other rule or strategy is asked.
//! - A number found in recent traffic is used only with the router artifact that it was found with.
//! - Every candidate of the ask appears exactly once among the decision's alternatives.
//! - With weights only on cost and latency, the choice of `quality_cost` lies on the Pareto front.
//!
//! To add a strategy: a file here with parameters, a constructor that refuses nonsense ([`ParameterError`]) and an
//! implementation of [`Strategy`]; then an arm in the policy compiler.

mod agree;
pub mod agreement;
mod bandit;
mod bound;
mod budget;
mod calibration;
mod capability;
mod cascade;
mod cascade_routing;
mod chance;
mod cluster;
mod difficulty;
mod ensemble;
pub mod estimate;
mod evidence;
pub mod explain;
mod fixed;
mod front;
mod gates;
mod hedging;
mod language;
#[cfg(test)]
mod laws;
mod named;
mod nearest;
mod next_step;
mod outcome;
mod outside;
mod parameters;
mod preference;
mod quality_cost;
mod rules;
#[cfg(test)]
pub(crate) mod samples;
mod speculative;
mod topology;
mod weighted;

pub use agree::{AgreeParameters, Agreeing};
pub use bandit::{Bandit, BanditParameters, MAX_EXPLORATION};
pub use bound::{Confidence, Interval};
pub use calibration::{Calibration, Calibrator, MIN_ROWS};
pub use capability::{Capability, CapabilityParameters, Preference};
pub use cascade::{Cascade, CascadeParameters, MAX_RUNGS};
pub use cascade_routing::{CascadeRouting, CascadeRoutingParameters};
pub use cluster::{Cluster, ClusterParameters};
pub use difficulty::{Difficulty, DifficultyParameters};
pub use ensemble::{EnsembleParameters, MAX_MEMBERS, Voting};
pub use estimate::{MeasuredLatency, estimate};
pub use explain::Explanation;
pub use fixed::{Fixed, FixedParameters};
pub use gates::Constraints;
pub use hedging::{Hedging, HedgingParameters};
pub use language::language_of;
pub use named::Named;
pub use nearest::{Nearest, NearestParameters};
pub use next_step::{Belief, MAX_PROSPECTS, NextStep, Outlook, Prospect, ProspectState, next_step, observe};
pub use outside::{Outside, OutsideRule};
pub use parameters::{DEFAULT_MAX_FALLBACKS, ParameterError, Weight};
pub use preference::{StrongGoal, WinRate, WinRateParameters};
pub use quality_cost::{CostGoal, Goals, QualityCost, QualityCostParameters};
pub use rules::{Condition, ParseHoursError, Pattern, PatternError, Rule, Rules, Span, Window};
pub use speculative::Speculative;
pub use topology::{MAX_TASKS, Tasks, Topologies, TopologyParameters};
pub use weighted::{Weighted, WeightedParameters};

use std::{collections::BTreeSet, sync::Arc};

use crate::domain::{Ask, Decision, Learner, Needs, NoRoute};

/// A way to choose.
pub trait Strategy: Send + Sync {
    /// Decides what will be done. `policy` and `policy_version` of the decision are filled in by the policy.
    ///
    /// # Errors
    /// No candidate meets the hard constraints.
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute>;

    /// Returns what `decide` looks at; nothing else is computed.
    fn needs(&self) -> Needs;

    /// Returns the names of what it looks for in a text and finds in this one; they come back in
    /// [`Signals::matched`](crate::domain::Signals::matched), so that a record can replay a decision without the text.
    fn observe(&self, _text: &str) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// Returns the numbers that it lets recent traffic set; they come back in
    /// [`Signals::calibrated`](crate::domain::Signals::calibrated).
    fn calibrators(&self) -> Vec<Arc<dyn Calibrator>> {
        Vec::new()
    }

    /// Returns how graded traffic is to be summed up for it; it comes back in
    /// [`Evidence::traffic`](crate::domain::Evidence::traffic). A policy has one memory: where several of its strategies learn,
    /// the first says how.
    fn learner(&self) -> Option<Learner> {
        None
    }

    /// Returns the probabilities with which its bounds are to hold, where it reads them off the artifact's errors; what those
    /// say comes back in [`Signals::tails`](crate::domain::Signals::tails).
    fn shares(&self) -> Vec<f64> {
        Vec::new()
    }
}
