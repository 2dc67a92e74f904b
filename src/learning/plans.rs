//! What plans of several calls would have reached on recorded answers: offline, and reproducible by anyone.
//!
//! ```text
//! answers     records           -> who answered what, how well, at which cost, with which signals
//! priors      rows              -> what is expected of each model before anyone is asked
//! committee   rows              -> who is worth having on a committee
//! fitting     rows              -> probe and agree: what answers weigh (votes), and what asking on is worth (values)
//! contest     folds             -> that plan, routing, cascades and cascade routing, each by what was fitted on other prompts
//! agreement   answers of probes -> always probing: how likely each model is right, and who answers
//! trial       folds             -> probes and settings chosen on other prompts, and what came of them
//! promise     a match           -> the cheapest setting that keeps a promise on quality, and how often it was kept
//! channels    answers           -> how many independent voices a set of models has
//! synergy     answers           -> whether a vote can beat the best single model for the same money
//! deferral    signals           -> how well a test tells when a small model's answer is not enough
//! report      Markdown and JSON
//! ```
//!
//! # Invariants
//!
//! - Nothing that is reported of a prompt was fitted or chosen on it: probes, posteriors and settings come from other folds.
//! - No router takes part: what is measured is what the answers themselves say. So no prompt counts as seen.
//! - The same files and settings give the same report on any number of threads.

pub mod agreement;
pub mod answers;
pub mod ballots;
pub mod channels;
pub mod committee;
pub mod contest;
pub mod deferral;
pub mod fitting;
mod logistic;
pub mod offer;
pub mod priors;
pub mod promise;
pub mod report;
pub mod synergy;
pub mod trial;
pub mod values;
pub mod votes;

use rand::seq::SliceRandom;

use self::{
    answers::{Answered, Recorded},
    contest::report::ContestReport,
    report::{DeferralReport, ProbeReport, Report},
    synergy::SynergyReport,
};
use super::encoder::stage_rng;

/// Every prompt is judged by what the other four fifths say.
const FOLDS: usize = 5;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Public names of the models to choose from; empty for all that answered most prompts.
    pub only: Vec<String>,
    /// Whether each category is a set of its own.
    pub by_task: bool,
    /// Divisions into folds that figures are means of.
    pub seeds: u64,
    /// Resamples of every bootstrap.
    pub rounds: usize,
}

/// Measures what can be measured on each set: agreement where answers are recorded, deferral where signals are.
pub fn measure(sets: &[Recorded], settings: &Settings) -> Report {
    let mut report = Report {
        seeds: settings.seeds,
        rounds: settings.rounds,
        contests: Vec::new(),
        synergies: Vec::new(),
        probes: Vec::new(),
        deferral: Vec::new(),
    };
    for set in sets {
        let answered = Answered::of(set, &settings.only);
        let parts = answered.into_iter().flat_map(|set| if settings.by_task { set.by_category() } else { vec![set] });
        for part in parts {
            report.contests.extend(ContestReport::of(&part, settings));
            report.synergies.extend(SynergyReport::of(&part));
            report.probes.extend(ProbeReport::of(&part, settings));
        }
        report.deferral.extend(DeferralReport::of(set, settings));
    }
    report
}

/// Divides `count` prompts by chance: of each fold its own and the others, these in an order by chance too.
fn folds(count: usize, seed: u64) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut stage_rng(seed, 12));
    let of = |fold: usize| {
        let is_own = |place: usize| place % FOLDS == fold;
        let pick = |wanted: bool| {
            order.iter().enumerate().filter(|(place, _)| is_own(*place) == wanted).map(|(_, row)| *row).collect()
        };
        (pick(true), pick(false))
    };
    (0..FOLDS).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prompt_is_in_one_fold_and_seeds_divide_otherwise() {
        let mut own: Vec<usize> = folds(23, 1).into_iter().flat_map(|(own, _)| own).collect();
        own.sort_unstable();

        assert_eq!(own, (0..23).collect::<Vec<_>>());
        assert!(folds(23, 1).iter().all(|(own, others)| own.iter().all(|row| !others.contains(row))));
        assert_ne!(folds(23, 1), folds(23, 2));
    }
}
