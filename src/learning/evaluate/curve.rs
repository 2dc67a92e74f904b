//! The non-decreasing upper hull of cost and quality, and what can be read off it.

/// A hull; between two of its points, what a coin between their settings gives.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Curve {
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// Keeps the corners of the upper hull, from the cheapest point to the highest one.
    pub fn hull(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut points: Vec<(f64, f64)> = points.into_iter().collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
        let mut corners: Vec<(f64, f64)> = Vec::new();
        for point in points {
            if corners.last().is_some_and(|last| point.1 <= last.1) {
                continue;
            }
            while let [.., a, b] = corners.as_slice() {
                let is_below = (b.1 - a.1) * (point.0 - a.0) <= (point.1 - a.1) * (b.0 - a.0);
                if !is_below {
                    break;
                }
                corners.pop();
            }
            corners.push(point);
        }
        Self { points: corners }
    }

    /// Returns the corners, cheapest first.
    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// Returns the mean height between two costs: AIQ (RouterBench, 2403.12031, section 3.3), in the unit of quality. Left of
    /// the cheapest point nothing can be had; right of the dearest one its quality.
    pub fn mean_height(&self, (low, high): (f64, f64)) -> f64 {
        if high <= low {
            return self.height(high);
        }
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else { return 0.0 };
        let mut area = 0.0;
        for ends in self.points.windows(2) {
            let [left, right] = ends else { continue };
            let (from, to) = (left.0.max(low), right.0.min(high));
            if to > from {
                area += (to - from) * (self.height(from) + self.height(to)) / 2.0;
            }
        }
        area += (high - last.0.max(low)).max(0.0) * last.1;
        debug_assert!(first.0 <= last.0);
        area / (high - low)
    }

    /// Returns the quality at a cost.
    pub fn height(&self, cost: f64) -> f64 {
        let after = self.points.partition_point(|point| point.0 <= cost);
        match (after.checked_sub(1).and_then(|before| self.points.get(before)), self.points.get(after)) {
            (Some(left), Some(right)) => left.1 + (right.1 - left.1) * (cost - left.0) / (right.0 - left.0),
            (Some(last), None) => last.1,
            (None, _) => 0.0,
        }
    }

    /// Returns the cost of a quality; `None` if the hull does not reach it.
    pub fn cost_of(&self, quality: f64) -> Option<f64> {
        let first = self.points.first()?;
        if quality <= first.1 {
            return Some(first.0);
        }
        let ends = self.points.windows(2).find(|ends| matches!(ends, [_, right] if right.1 >= quality))?;
        let [left, right] = ends else { return None };
        Some(left.0 + (right.0 - left.0) * (quality - left.1) / (right.1 - left.1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hull_leaves_out_what_lies_below_its_chords() {
        let curve = Curve::hull([(1.0, 0.2), (2.0, 0.3), (3.0, 0.8), (4.0, 0.5)]);

        assert_eq!(curve.points(), [(1.0, 0.2), (3.0, 0.8)]);
    }

    #[test]
    fn the_mean_height_of_two_models_is_worked_out_by_hand() {
        let curve = Curve::hull([(1.0, 0.4), (3.0, 0.8)]);

        // From 1 to 3 a line with its middle at 0.6, from 3 to 5 flat at 0.8.
        assert!((curve.mean_height((1.0, 3.0)) - 0.6).abs() < 1e-12);
        assert!((curve.mean_height((1.0, 5.0)) - 0.7).abs() < 1e-12);
        // Nothing can be had for less than the cheapest.
        assert!((curve.mean_height((0.0, 2.0)) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn the_cost_of_a_quality_lies_on_the_chord() {
        let curve = Curve::hull([(1.0, 0.4), (3.0, 0.8)]);

        assert_eq!(curve.cost_of(0.3), Some(1.0));
        assert!(curve.cost_of(0.6).is_some_and(|cost| (cost - 2.0).abs() < 1e-12));
        assert_eq!(curve.cost_of(0.9), None);
    }

    fn points() -> impl Strategy<Value = Vec<(f64, f64)>> {
        prop::collection::vec((0.0_f64..1.0, 0.0_f64..1.0), 1..20)
    }

    proptest! {
        #[test]
        fn no_point_lies_above_its_hull(points in points()) {
            let curve = Curve::hull(points.clone());

            for (cost, quality) in points {
                prop_assert!(curve.height(cost) >= quality - 1e-9);
            }
        }

        #[test]
        fn more_to_choose_from_never_lowers_the_area(points in points(), more in points()) {
            let few = Curve::hull(points.clone());
            let many = Curve::hull(points.into_iter().chain(more));

            prop_assert!(many.mean_height((0.1, 0.9)) >= few.mean_height((0.1, 0.9)) - 1e-9);
        }

        #[test]
        fn the_area_lies_between_the_ends(points in points()) {
            let curve = Curve::hull(points.clone());
            let cheapest = points.iter().map(|point| point.0).fold(1.0, f64::min);
            let best = points.iter().map(|point| point.1).fold(0.0, f64::max);

            let area = curve.mean_height((cheapest, 1.0));

            prop_assert!(area <= best + 1e-9 && area >= curve.height(cheapest) - 1e-9);
        }

        #[test]
        fn the_cost_of_a_quality_buys_it(points in points(), quality in 0.0_f64..1.0) {
            let curve = Curve::hull(points);

            if let Some(cost) = curve.cost_of(quality) {
                prop_assert!(curve.height(cost + 1e-12) >= quality - 1e-6);
            }
        }
    }
}
