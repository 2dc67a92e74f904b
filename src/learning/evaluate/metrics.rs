//! The measures of a router on weighted prompts, and their intervals.

use serde::Serialize;

use super::{
    choices::{Choices, Tuned, mean},
    curve::Curve,
};

/// A figure with its 95 % interval; NaN (`null` in JSON) where it means nothing for the set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// On all prompts.
    pub value: f64,
    /// 2.5 % quantile.
    pub low: f64,
    /// 97.5 % quantile.
    pub high: f64,
}

impl Figure {
    /// Returns a value with the interval of its bootstrap sample. Samples that are not finite are left out.
    pub fn of(value: f64, sample: impl IntoIterator<Item = f64>) -> Self {
        let mut sample: Vec<f64> = sample.into_iter().filter(|value| value.is_finite()).collect();
        sample.sort_by(f64::total_cmp);
        let last = sample.len().saturating_sub(1) as f64;
        let at = |share: f64| sample.get((share * last).round() as usize).copied().unwrap_or(value);
        Self { value, low: at(0.025), high: at(0.975) }
    }
}

/// How many measures there are.
pub const COUNT: usize = 9;

/// The measures, as numbers or as figures with intervals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Metrics<T> {
    /// Mean height of the hull between the cheapest and the dearest single model (AIQ), in points.
    pub aiq: T,
    /// Share of the way from the hull of single models to the oracle's, in percent.
    pub gap_closed: T,
    /// Cost of 95 % of the best single model's quality on the hull, in percent of that model's cost.
    pub cost_at_95: T,
    /// Cost of the best single model's quality on the hull, in percent of that model's cost.
    pub cost_at_100: T,
    /// Gain@B: quality without regard for cost over the best single model's, in percent.
    pub gain: T,
    /// PerfGain: the same at the setting that was best on the prompts that tune.
    pub perf_gain: T,
    /// CostSave: cost below that of the best single model, in percent of it, at the cheapest setting that was as good on the
    /// prompts that tune.
    pub cost_save: T,
    /// Quality at that setting less that of the best single model, in points.
    pub parity: T,
    /// Arena score at the setting that was best by it on the prompts that tune, in percent.
    pub arena: T,
}

impl<T: Copy> Metrics<T> {
    /// Names the measures of an array in the order of the fields.
    pub fn named(values: [T; COUNT]) -> Self {
        let [aiq, gap_closed, cost_at_95, cost_at_100, gain, perf_gain, cost_save, parity, arena] = values;
        Self { aiq, gap_closed, cost_at_95, cost_at_100, gain, perf_gain, cost_save, parity, arena }
    }
}

/// What all routers are held against on the same weighted prompts.
#[derive(Clone, Debug)]
pub struct Yardstick {
    /// Hull of the single models.
    pub singles: Curve,
    /// Hull of the oracle.
    pub oracle: Curve,
    /// Mean cost of the cheapest and of the dearest single model.
    pub range: (f64, f64),
    /// Cost and quality of the best single model.
    pub best: (f64, f64),
}

impl Yardstick {
    /// Measures single models and oracle; `best` is the number of the best single model on all prompts.
    pub fn of(singles: &[(f64, f64)], best: usize, oracle: &Choices, weights: &[f32]) -> Self {
        let cheapest = singles.iter().map(|single| single.0).fold(f64::INFINITY, f64::min);
        let dearest = singles.iter().map(|single| single.0).fold(0.0, f64::max);
        Self {
            singles: Curve::hull(singles.iter().copied()),
            oracle: Curve::hull(oracle.means(weights)),
            range: (cheapest, dearest),
            best: singles.get(best).copied().unwrap_or((f64::NAN, f64::NAN)),
        }
    }

    /// Measures a hull: AIQ, gap closed, cost at 95 % and at 100 % of the best single model's quality.
    pub fn measure_hull(&self, hull: &Curve) -> [f64; 4] {
        let (floor, ceiling) = (self.singles.mean_height(self.range), self.oracle.mean_height(self.range));
        let aiq = hull.mean_height(self.range);
        let cost = |share: f64| hull.cost_of(share * self.best.1).map_or(f64::NAN, |cost| 100.0 * cost / self.best.0);
        [100.0 * aiq, 100.0 * (aiq - floor) / (ceiling - floor), cost(0.95), cost(1.0)]
    }
}

/// Measures one run of a router. Without costs only gains mean something.
pub fn measure(
    choices: &Choices,
    tuned: &Tuned,
    yardstick: &Yardstick,
    weights: &[f32],
    has_costs: bool,
) -> [f64; COUNT] {
    let [aiq, gap_closed, cost_at_95, cost_at_100] = match has_costs {
        true => yardstick.measure_hull(&Curve::hull(choices.means(weights))),
        false => [f64::NAN; 4],
    };
    let priced = |value: f64| if has_costs { value } else { f64::NAN };
    let over_best = |quality: f64| 100.0 * (quality / yardstick.best.1 - 1.0);
    let (parity_cost, parity_quality) = mean(&tuned.parity, weights);
    let (arena_cost, arena_quality) = mean(&tuned.arena, weights);
    [
        aiq,
        gap_closed,
        cost_at_95,
        cost_at_100,
        over_best(choices.free_quality(weights)),
        over_best(mean(&tuned.best, weights).1),
        priced(100.0 * (1.0 - parity_cost / yardstick.best.0)),
        priced(100.0 * (parity_quality - yardstick.best.1)),
        priced(100.0 * arena(arena_quality, arena_cost)),
    ]
}

/// Returns the arena score (RouterArena, 2510.00202): the weighted harmonic mean of quality and of how cheap a query is,
/// `S = (1 + b) A C / (b A + C)` with `b = 0.1` and `C = (log2 200 - log2 c) / (log2 200 - log2 0.0044)`, `c` in USD per thousand
/// queries. `C` is held to `[0, 1]`.
pub fn arena(quality: f64, cost: f64) -> f64 {
    const WEIGHT: f64 = 0.1;
    const DEAREST: f64 = 200.0;
    const CHEAPEST: f64 = 0.0044;
    let cheapness = (DEAREST / (1_000.0 * cost)).log2() / (DEAREST / CHEAPEST).log2();
    let cheapness = cheapness.clamp(0.0, 1.0);
    let weighted = WEIGHT * quality + cheapness;
    if weighted > 0.0 { (1.0 + WEIGHT) * quality * cheapness / weighted } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_arena_score_is_worked_out_by_hand() {
        // A dollar per thousand queries: C = log2(200) / log2(200 / 0.0044) = 7.6439 / 15.4721 = 0.49404.
        let cheapness = 0.494_04;
        let by_hand = 1.1 * 0.8 * cheapness / (0.08 + cheapness);

        assert!((arena(0.8, 0.001) - by_hand).abs() < 1e-4, "{}", arena(0.8, 0.001));
        assert_eq!(arena(0.8, 0.3), 0.0);
        assert_eq!(arena(0.0, 0.001), 0.0);
        assert!((arena(1.0, 0.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn an_interval_leaves_out_a_fortieth_on_each_side() {
        let figure = Figure::of(0.5, (0..=1000).map(|index| f64::from(index) / 1000.0));

        assert_eq!((figure.value, figure.low, figure.high), (0.5, 0.025, 0.975));
    }

    proptest! {
        #[test]
        fn an_arena_score_lies_between_nothing_and_quality(quality in 0.0_f64..=1.0, cost in 0.0_f64..1.0) {
            let score = arena(quality, cost);

            prop_assert!((0.0..=1.0).contains(&score));
        }
    }
}
