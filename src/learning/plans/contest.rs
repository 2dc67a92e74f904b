//! Plans against each other on one set: each is fitted on some prompts, its settings are chosen by what came of others, and it is
//! reported on prompts that had no part in either.
//!
//! Every fifth prompt is reported by what the other four fifths say. These are divided in three: each part is played by what was
//! fitted on the other two, and the means over all say which setting is as good as the best single model, or the best for a share
//! of its cost. Then the plan is fitted on all four fifths.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: folds, prompts and settings are numbered by the set")]

pub mod agree;
pub mod cascade;
pub mod cascade_routing;
pub mod report;
pub mod routing;
pub mod scorers;

use rayon::prelude::*;

use super::{
    answers::{Answered, Row},
    folds,
    trial::{Points, best, singles},
};

/// A plan that was fitted, at several weights of a dollar.
pub trait Contender: Send + Sync {
    /// Returns cost and quality of a prompt at every setting.
    fn play(&self, row: &Row) -> Vec<(f32, f32)>;
}

/// Every plan, in the order of the tables.
pub const CONTENDERS: [(&str, Fit); 4] = [
    ("probe and agree", agree::Agree::fit),
    ("routing by category", routing::Routing::fit),
    ("threshold cascade", cascade::Cascade::fit),
    ("cascade routing", cascade_routing::CascadeRouting::fit),
];

/// Fits a plan to rows.
pub type Fit = fn(&Answered, &[&Row]) -> Option<Box<dyn Contender>>;

/// How many settings every contender has; the first has no regard for cost.
pub const SETTINGS: usize = super::committee::SETTINGS;

/// What came of one division into folds.
#[derive(Clone, Debug)]
pub struct Match {
    /// By setting.
    pub points: Vec<Points>,
    /// At the cheapest setting that was as good as the best single model elsewhere.
    pub parity: Points,
    /// By share of the best single model's cost ([`SHARES`]): at the best setting that cost at most that elsewhere.
    pub shares: Vec<Points>,
}

impl Match {
    /// Returns what came of the setting for a share, by its number.
    pub fn share(&self, place: usize) -> &Points {
        &self.shares[place]
    }
}

/// Of the prompts that plans are fitted on, parts that say which settings are good.
const PARTS: usize = 3;

/// Shares of the best single model's cost that settings are chosen for.
pub const SHARES: [f64; 5] = [0.07, 0.14, 0.3, 0.5, 0.8];

/// Plays a set; `None` where the plan cannot be fitted.
pub fn play(set: &Answered, fit: Fit, seed: u64) -> Option<Match> {
    let blank = vec![(0.0, 0.0); set.rows.len()];
    let mut result =
        Match { points: vec![blank.clone(); SETTINGS], parity: blank.clone(), shares: vec![blank; SHARES.len()] };
    for (own, others) in folds(set.rows.len(), seed) {
        let others: Vec<&Row> = others.iter().map(|row| &set.rows[*row]).collect();
        let chosen = Chosen::elsewhere(set, &others, fit)?;
        let contender = fit(set, &others)?;
        let played: Vec<Vec<(f32, f32)>> = own.par_iter().map(|row| contender.play(&set.rows[*row])).collect();
        for (row, played) in own.iter().zip(played) {
            result.points.iter_mut().zip(&played).for_each(|(points, point)| points[*row] = *point);
            result.parity[*row] = played[chosen.parity];
            result.shares.iter_mut().zip(&chosen.shares).for_each(|(points, place)| points[*row] = played[*place]);
        }
    }
    Some(result)
}

/// Settings by what came of prompts that had no part in the fit.
struct Chosen {
    parity: usize,
    shares: Vec<usize>,
}

impl Chosen {
    fn elsewhere(set: &Answered, rows: &[&Row], fit: Fit) -> Option<Self> {
        let mut sums = vec![(0.0, 0.0); SETTINGS];
        for part in 0..PARTS {
            let pick = |is_own: bool| -> Vec<&Row> {
                let rows = rows.iter().enumerate().filter(|(index, _)| (index % PARTS == part) == is_own);
                rows.map(|(_, row)| *row).collect()
            };
            let contender = fit(set, &pick(false))?;
            let points: Vec<Vec<(f32, f32)>> = pick(true).into_par_iter().map(|row| contender.play(row)).collect();
            for (place, point) in points.iter().flat_map(|points| points.iter().enumerate()) {
                let sum: &mut (f64, f64) = &mut sums[place];
                *sum = (sum.0 + f64::from(point.0), sum.1 + f64::from(point.1));
            }
        }
        let means: Vec<(f64, f64)> =
            sums.iter().map(|sum| (sum.0 / rows.len() as f64, sum.1 / rows.len() as f64)).collect();
        let singles = singles(rows);
        let (cost, quality) = singles[best(&singles)];
        let top = top(&means, |_| true, |point| point.1).unwrap_or(0);
        let cheapest = means.iter().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let within = |share: f64| {
            let limit = (share * cost).max(cheapest);
            self::top(&means, |point| point.0 <= limit, |point| point.1).unwrap_or(top)
        };
        Some(Self {
            parity: self::top(&means, |point| point.1 >= quality, |point| -point.0).unwrap_or(top),
            shares: SHARES.map(within).to_vec(),
        })
    }
}

/// Returns the number of the best allowed point; of equals the last.
fn top(
    points: &[(f64, f64)],
    is_allowed: impl Fn(&(f64, f64)) -> bool,
    value: impl Fn(&(f64, f64)) -> f64,
) -> Option<usize> {
    let allowed = points.iter().enumerate().filter(|(_, point)| is_allowed(point));
    allowed.max_by(|a, b| value(a.1).total_cmp(&value(b.1))).map(|(place, _)| place)
}
