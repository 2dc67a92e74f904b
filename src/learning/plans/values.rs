//! Fits what asking on is worth: fitted value iteration, backward over the sets of members that may have been asked.
//!
//! From the largest sets down: what came of each prompt when the fitted rule went on from there is known, so what asking one more
//! would have come to is regressed on what was known before it was asked (Ernst, Geurts and Wehenkel 2005, with ridge regression).
//! Gain and later dollars are regressed apart, so that a caller's own costs can take the place of those of the records.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: members, sets and rates are numbered by the committee")]

use rayon::prelude::*;

use super::ballots::Ballot;
use crate::{
    learning::matrix::Normal,
    routing::agreement::{
        FurtherDocument, MOST_MEMBERS, MemberSet, Posterior, VoteWeights, WorthDocument, features, first_features,
        first_width, width,
    },
};

/// Precision of the prior of every coefficient but the constant at 0, in prompts.
const PRECISION: f64 = 1.0;

/// What came of every prompt when the rule went on from one set: quality, and dollars from there on; by rate, then by prompt.
type Outcomes = Vec<Vec<(f32, f32)>>;

/// What is fitted, and on what.
pub struct Values<'a> {
    /// Prompts.
    pub ballots: &'a [Ballot],
    /// Members of the committee.
    pub members: usize,
    /// Members that are asked at most.
    pub most: usize,
    /// Weights of a dollar.
    pub rates: &'a [f64],
    /// What answers weigh, by set.
    pub votes: &'a [(MemberSet, VoteWeights)],
}

impl Values<'_> {
    /// Returns what asking first and asking on is worth.
    pub fn fit(&self) -> (Vec<WorthDocument>, Vec<FurtherDocument>) {
        let mut outcomes: Vec<Outcomes> = vec![Vec::new(); 1 << MOST_MEMBERS];
        let mut further = Vec::new();
        for (set, votes) in self.votes.iter().rev() {
            let seen: Vec<Seen> = self.ballots.par_iter().map(|ballot| Seen::of(ballot, *set, votes)).collect();
            let nexts: Vec<usize> = self.next(*set).collect();
            let worths: Vec<WorthDocument> = nexts
                .par_iter()
                .map(|next| {
                    let rows: Vec<Vec<f32>> = self.rows(|index, ballot| {
                        let features = features(&seen[index].posterior, ballot.logits[*next]);
                        features[..width(self.members)].iter().map(|value| *value as f32).collect()
                    });
                    self.regress(&rows, &outcomes[set.with(*next).index()], |index| seen[index].posterior.best())
                })
                .collect();
            outcomes[set.index()] = self.follow(*set, &seen, (&nexts, &worths), &outcomes);
            let entries = nexts.into_iter().zip(worths);
            further.extend(entries.map(|(next, worth)| FurtherDocument { asked: set.iter().collect(), next, worth }));
        }
        let rows = self.rows(|_, ballot| {
            let features = first_features(&ballot.logits, self.members);
            features[..first_width(self.members)].iter().map(|value| *value as f32).collect()
        });
        let first = (0..self.members)
            .map(|member| self.regress(&rows, &outcomes[MemberSet::default().with(member).index()], |_| 0.0));
        further.reverse();
        (first.collect(), further)
    }

    fn next(&self, set: MemberSet) -> impl Iterator<Item = usize> {
        (0..self.members).filter(move |member| !set.has(*member) && set.len() < self.most)
    }

    fn rows(&self, of: impl Fn(usize, &Ballot) -> Vec<f32> + Sync) -> Vec<Vec<f32>> {
        self.ballots.iter().enumerate().map(|(index, ballot)| of(index, ballot)).collect()
    }

    /// Regresses what came of a set on what was known before, at every rate. The first feature of every row is 1.
    fn regress(&self, rows: &[Vec<f32>], outcomes: &Outcomes, before: impl Fn(usize) -> f64) -> WorthDocument {
        let width = rows.first().map_or(0, Vec::len);
        let mut system = Normal::new(width);
        rows.iter().for_each(|row| system.add(row, 1.0, 0.0));
        (0..width).for_each(|index| system.add_diagonal(index, if index == 0 { 1e-9 } else { PRECISION }, 0.0));
        let sides = |of: &dyn Fn(usize, (f32, f32)) -> f64| -> Vec<Vec<f64>> {
            outcomes.iter().map(|outcomes| side(rows, outcomes, of)).collect()
        };
        let mut all = sides(&|index, outcome| f64::from(outcome.0) - before(index));
        all.extend(sides(&|_, outcome| f64::from(outcome.1)));
        let mut gain = system.solve_for(all);
        let later = gain.split_off(self.rates.len());
        WorthDocument { gain, later }
    }

    /// Returns what comes of every prompt from a set on, by the rule that was fitted.
    fn follow(
        &self,
        set: MemberSet,
        seen: &[Seen],
        (nexts, worths): (&[usize], &[WorthDocument]),
        outcomes: &[Outcomes],
    ) -> Outcomes {
        let one = |place: usize, rate: f64, index: usize| {
            let (seen, ballot) = (&seen[index], &self.ballots[index]);
            let best = seen.posterior.best();
            let mut chosen = (best, None);
            for (next, worth) in nexts.iter().zip(worths) {
                let features = features(&seen.posterior, ballot.logits[*next]);
                let gain = product(&worth.gain[place], &features).min(1.0 - best);
                let cost = ballot.expected_cost[*next] + product(&worth.later[place], &features).max(0.0);
                let value = best + gain - rate * cost;
                if value > chosen.0 {
                    chosen = (value, Some(*next));
                }
            }
            match chosen.1 {
                None => (seen.given as f32, 0.0),
                Some(next) => {
                    let (quality, later) = outcomes[set.with(next).index()][place][index];
                    (quality, later + ballot.cost[next] as f32)
                }
            }
        };
        let at = |(place, rate): (usize, &f64)| (0..seen.len()).map(|index| one(place, *rate, index)).collect();
        self.rates.par_iter().enumerate().map(at).collect()
    }
}

/// What is believed of a prompt after a set was asked, and the quality of the answer that would be given.
struct Seen {
    posterior: Posterior,
    given: f64,
}

impl Seen {
    fn of(ballot: &Ballot, set: MemberSet, votes: &VoteWeights) -> Self {
        let posterior = votes.posterior(&ballot.heard(set), &ballot.logits);
        Self { given: ballot.given(set, &posterior), posterior }
    }
}

fn product(coefficients: &[f64], features: &[f64]) -> f64 {
    coefficients.iter().zip(features).map(|(a, b)| a * b).sum()
}

/// Returns the sum of rows, each as often as its target says.
fn side(rows: &[Vec<f32>], outcomes: &[(f32, f32)], target: &dyn Fn(usize, (f32, f32)) -> f64) -> Vec<f64> {
    let mut side = vec![0.0; rows.first().map_or(0, Vec::len)];
    for (index, (row, outcome)) in rows.iter().zip(outcomes).enumerate() {
        let target = target(index, *outcome);
        side.iter_mut().zip(row).for_each(|(sum, value)| *sum += target * f64::from(*value));
    }
    side
}
