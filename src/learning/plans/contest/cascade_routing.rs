//! Cascade routing (Dekoninck et al., arXiv 2410.10347, section 4): after every answer, the best superset of the models asked
//! says who is asked next, or that nobody is.
//!
//! ```text
//! tau(M) = E[max over m in M of q_m] - rate sum over m in M of c_m          q_m ~ N(expected, (scale sigma_m)^2) before it was asked
//! ```
//!
//! After that the best answer so far is as good as the posterior over all answers says, the one of probe and agree.
//!
//! Of the best superset the cheapest member that is left is asked. With `scale` 0 and supersets of one it is plain routing, with
//! a fixed order a plain cascade: both are among its settings, and for every weight of a dollar the setting is that with the best
//! utility on the prompts that it is fitted on.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: models are numbered by the set")]

use rayon::prelude::*;

use super::{
    Contender,
    cascade::{Chain, chains, follow, scored},
    routing::pick,
    scorers::Scorers,
};
use crate::{
    learning::plans::{
        answers::{Answered, Row},
        ballots::Ballot,
        committee::{self, choose, rates},
        fitting::MEMBERS,
        priors::{Expected, Priors},
        votes,
    },
    routing::agreement::{MemberSet, VoteWeights},
};

/// How far the spread of expectations is believed.
const SCALES: [f64; 2] = [1.0, 2.0];
/// Settings are chosen on this many prompts at most: differences between them are far larger than what more would tell.
const MOST_JUDGED: usize = 3_000;
/// Heights at which the distribution of the maximum is looked at.
const HEIGHTS: usize = 24;

/// How one prompt is served.
#[derive(Clone, Debug)]
enum Setting {
    Route,
    Chain(Chain),
    Supersets(f64),
}

/// A setting for every weight of a dollar.
pub struct CascadeRouting {
    priors: Priors,
    scorers: Scorers,
    order: Vec<usize>,
    votes: Vec<Option<VoteWeights>>,
    spread: Vec<f64>,
    settings: Vec<(f64, Setting)>,
}

impl CascadeRouting {
    /// Fits it.
    pub fn fit(_: &Answered, rows: &[&Row]) -> Option<Box<dyn Contender>> {
        let priors = Priors::of(rows);
        let scorers = Scorers::fit(rows, &priors);
        let costs = priors.mean_costs();
        let mut order = choose(rows, MEMBERS);
        let scores = scored(rows, &priors, &scorers);
        let chains = chains(rows, &scores, (&order, &priors));
        order.sort_by(|a, b| costs[*a].total_cmp(&costs[*b]));
        let expected: Vec<Expected> = rows.iter().map(|row| priors.expect_without(row)).collect();
        let spread = spreads(&scores, &expected);
        let ballots = Ballot::of_counted(rows, &priors, &order);
        let mut votes = vec![None; 1 << order.len()];
        for set in MemberSet::all(order.len(), order.len()) {
            votes[set.index()] = Some(VoteWeights::from(&votes::fit(set, &ballots)));
        }
        let mut plan = Self { priors, scorers, order, votes, spread, settings: Vec::new() };
        let step = rows.len().div_ceil(MOST_JUDGED).max(1);
        let judged = rows.iter().zip(&expected).zip(&scores).zip(&ballots).step_by(step);
        let cases: Vec<Case<'_>> =
            judged.map(|(((row, expected), scores), ballot)| Case { row, expected, scores, ballot }).collect();
        let settings = committee::settings(&rates(rows))
            .into_iter()
            .zip(chains)
            .map(|(rate, chain)| (rate, plan.best(&cases, rate, chain)));
        plan.settings = settings.collect();
        Some(Box::new(plan))
    }

    fn best(&self, cases: &[Case<'_>], rate: f64, chain: Chain) -> Setting {
        let mut settings = vec![Setting::Route, Setting::Chain(chain)];
        settings.extend(SCALES.map(Setting::Supersets));
        let utility = |setting: &Setting| -> f64 {
            let of = |case: &Case<'_>| {
                let (cost, quality) = self.serve(case, rate, setting);
                f64::from(quality) - rate * f64::from(cost)
            };
            cases.par_iter().map(of).collect::<Vec<f64>>().iter().sum()
        };
        let tried: Vec<f64> = settings.iter().map(utility).collect();
        let best = (0..tried.len()).max_by(|a, b| tried[*a].total_cmp(&tried[*b])).unwrap_or(0);
        settings.swap_remove(best)
    }

    fn serve(&self, case: &Case<'_>, rate: f64, setting: &Setting) -> (f32, f32) {
        match setting {
            Setting::Route => {
                let model = pick(case.expected, rate);
                (case.row.cost[model] as f32, case.row.score[model] as f32)
            }
            Setting::Chain(chain) => follow(chain, case.row, |model| case.scores[model]),
            Setting::Supersets(scale) => self.by_supersets(case, rate, *scale),
        }
    }

    fn by_supersets(&self, case: &Case<'_>, rate: f64, scale: f64) -> (f32, f32) {
        let (mut asked, mut cost) = (MemberSet::default(), 0.0);
        loop {
            let votes = self.votes[asked.index()].as_ref();
            let posterior =
                votes.map(|votes| votes.posterior(&case.ballot.heard(asked), &case.ballot.logits)).unwrap_or_default();
            let open: Vec<Open> = (0..self.order.len())
                .filter(|member| !asked.has(*member))
                .map(|member| {
                    let model = self.order[member];
                    let spread = (scale * self.spread[model]).max(1e-3);
                    Open {
                        member,
                        mean: case.expected.quality[model],
                        spread,
                        charge: rate * case.expected.cost[model],
                    }
                })
                .collect();
            let Some(member) = next(posterior.best(), &open, !asked.is_empty()) else {
                return (cost as f32, case.ballot.given(asked, &posterior) as f32);
            };
            cost += case.ballot.cost[member];
            asked = asked.with(member);
        }
    }
}

impl Contender for CascadeRouting {
    fn play(&self, row: &Row) -> Vec<(f32, f32)> {
        let expected = self.priors.expect(row);
        let scores: Vec<f64> = (0..row.score.len()).map(|model| self.scorers.score(row, &expected, model)).collect();
        let ballot = Ballot::of(row, &expected, &self.order);
        let case = Case { row, expected: &expected, scores: &scores, ballot: &ballot };
        self.settings.iter().map(|(rate, setting)| self.serve(&case, *rate, setting)).collect()
    }
}

/// A prompt with what was expected of every model, and the scores of their answers.
struct Case<'a> {
    row: &'a Row,
    expected: &'a Expected,
    scores: &'a [f64],
    ballot: &'a Ballot,
}

/// A member that may still be asked.
struct Open {
    member: usize,
    mean: f64,
    spread: f64,
    charge: f64,
}

/// Returns how far the scores of answers lie around what was expected, by model.
fn spreads(scores: &[Vec<f64>], expected: &[Expected]) -> Vec<f64> {
    let models = scores.first().map_or(0, Vec::len);
    let of = |model: usize| {
        let squares = scores.iter().zip(expected).map(|(score, own)| (score[model] - own.quality[model]).powi(2));
        (squares.sum::<f64>() / scores.len() as f64).sqrt()
    };
    (0..models).map(of).collect()
}

/// Returns who is asked next: the cheapest member of the best superset, or nobody. `open` are those left, cheapest first; `reached`
/// is how good the best answer so far is.
fn next(reached: f64, open: &[Open], may_stop: bool) -> Option<usize> {
    let height = |step: usize| reached + (1.0 - reached) * (step as f64 + 0.5) / HEIGHTS as f64;
    // The chance that each of those left stays below each height.
    let below: Vec<[f64; HEIGHTS]> =
        open.iter().map(|one| std::array::from_fn(|step| normal((height(step) - one.mean) / one.spread))).collect();
    let mut best = (if may_stop { reached } else { f64::NEG_INFINITY }, None);
    for set in 1_usize..1 << open.len() {
        let mut all_below = [1.0; HEIGHTS];
        let mut charge = 0.0;
        for (place, below) in below.iter().enumerate().filter(|(place, _)| set >> place & 1 == 1) {
            charge += open[place].charge;
            all_below.iter_mut().zip(below).for_each(|(all, own)| *all *= own);
        }
        let above: f64 = all_below.iter().map(|below| 1.0 - below).sum();
        let value = reached + (1.0 - reached) * above / HEIGHTS as f64 - charge;
        if value > best.0 {
            best = (value, Some(open[set.trailing_zeros() as usize].member));
        }
    }
    best.1
}

/// Returns the standard normal distribution function (Abramowitz and Stegun, 26.2.17; off by at most 7.5e-8).
fn normal(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let polynomial =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial;
    if x >= 0.0 { 1.0 - tail } else { tail }
}
