//! Weak or strong: the measures of RouteLLM (2406.18665, section 3).

use serde::Serialize;

use super::metrics::Figure;

/// How well two models are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Preference<T> {
    /// Mean share of the performance gap recovered, over all shares of strong calls.
    pub apgr: T,
    /// Smallest share of strong calls that recovers half of the gap.
    pub cpt_50: T,
    /// Smallest share of strong calls that recovers 80 % of the gap.
    pub cpt_80: T,
}

impl Preference<Figure> {
    /// Puts intervals to a value from its bootstrap samples.
    pub fn with_intervals(value: Preference<f64>, samples: &[Preference<f64>]) -> Self {
        let figure = |of: fn(&Preference<f64>) -> f64| Figure::of(of(&value), samples.iter().map(of));
        Self { apgr: figure(|of| of.apgr), cpt_50: figure(|of| of.cpt_50), cpt_80: figure(|of| of.cpt_80) }
    }
}

/// Prompts in the order in which a router would send them to the strong model.
#[derive(Clone, Debug)]
pub struct Order {
    /// Number of the prompt and what the strong model's answer gains over the weak one's.
    gains: Vec<(usize, f64)>,
}

impl Order {
    /// Sorts prompts by `preference`, the largest first; equals stay in their order. `gains` are strong less weak scores.
    pub fn by(preference: &[f64], gains: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..gains.len()).collect();
        let of = |index: usize| preference.get(index).copied().unwrap_or(f64::NEG_INFINITY);
        order.sort_by(|a, b| of(*b).total_cmp(&of(*a)));
        Self { gains: order.into_iter().filter_map(|index| Some((index, *gains.get(index)?))).collect() }
    }

    /// Measures weighted prompts: the area under the share of the gap recovered over the share of strong calls, by trapezoids.
    pub fn measure(&self, weights: &[f32]) -> Preference<f64> {
        let weighted = || {
            let weight = |index: usize| weights.get(index).copied().map_or(0.0, f64::from);
            self.gains.iter().map(move |(index, gain)| (weight(*index), *gain)).filter(|(weight, _)| *weight > 0.0)
        };
        let total: f64 = weighted().map(|(weight, _)| weight).sum();
        let gap: f64 = weighted().map(|(weight, gain)| weight * gain).sum();
        let (mut area, mut share, mut recovered) = (0.0, 0.0, 0.0);
        let (mut cpt_50, mut cpt_80) = (f64::NAN, f64::NAN);
        for (weight, gain) in weighted() {
            let before = recovered;
            recovered += weight * gain / gap;
            share += weight / total;
            area += weight / total * (before + recovered) / 2.0;
            for (cpt, wanted) in [(&mut cpt_50, 0.5), (&mut cpt_80, 0.8)] {
                if cpt.is_nan() && recovered >= wanted - 1e-12 {
                    *cpt = share;
                }
            }
        }
        Preference { apgr: area, cpt_50, cpt_80 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn four_prompts_are_worked_out_by_hand() {
        // Strong helps on prompts 0 and 2. In the order 0, 1, 2, 3 the share recovered is 0, 1/2, 1/2, 1, 1.
        let found = Order::by(&[0.9, 0.8, 0.7, 0.1], &[1.0, 0.0, 1.0, 0.0]).measure(&[1.0; 4]);

        assert!((found.apgr - (0.25 + 0.5 + 0.75 + 1.0) / 4.0).abs() < 1e-12);
        assert!((found.cpt_50 - 0.25).abs() < 1e-12);
        assert!((found.cpt_80 - 0.75).abs() < 1e-12);
    }

    #[test]
    fn a_prompt_drawn_twice_counts_twice() {
        let twice = Order::by(&[0.9, 0.1], &[1.0, 0.0]).measure(&[2.0, 1.0]);
        let spelled_out = Order::by(&[0.9, 0.9, 0.1], &[1.0, 1.0, 0.0]).measure(&[1.0; 3]);

        assert!((twice.apgr - spelled_out.apgr).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn no_order_beats_the_true_one(
            rows in prop::collection::vec((0.0_f64..1.0, -1_i32..=1), 4..60).prop_filter(
                "the strong model is better", |rows| rows.iter().map(|row| row.1).sum::<i32>() > 0),
        ) {
            let gains: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let guess: Vec<f64> = rows.iter().map(|row| row.0).collect();
            let weights = vec![1.0; rows.len()];

            let (guessed, known) = (Order::by(&guess, &gains), Order::by(&gains, &gains));

            prop_assert!(known.measure(&weights).apgr >= guessed.measure(&weights).apgr - 1e-9);
        }
    }

    #[test]
    fn chance_recovers_half_of_the_gap_on_average() {
        use rand::Rng;
        let mut rng = crate::learning::encoder::stage_rng(5, 0);
        let gains: Vec<f64> = (0..500).map(|index| [1.0, 0.0, 0.0, -1.0, 1.0][index % 5]).collect();
        let runs = 200;

        let mut draw = || (0..500).map(|_| rng.random_range(0.0..1.0)).collect::<Vec<f64>>();
        let total: f64 = (0..runs).map(|_| Order::by(&draw(), &gains).measure(&[1.0; 500]).apgr).sum();

        // The standard error of the mean of 200 runs is about 0.003.
        assert!((total / f64::from(runs) - 0.5).abs() < 0.015, "{}", total / f64::from(runs));
    }
}
