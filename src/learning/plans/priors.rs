//! What is expected of a model before anyone is asked: its means by category, each shrunk towards its overall mean.
//!
//! `q_dm = (sum of the scores of m in d + n0 mean of m) / (n_d + n0)`; costs likewise. For a prompt that was counted, its own
//! outcome is taken out again, so that what is fitted on expectations sees them as a new prompt would.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: models and categories are numbered by the set")]

use super::answers::Row;

/// What the overall mean counts for, in prompts of the category (`n0`).
const SHRINKAGE: f64 = 20.0;

/// Sums by category and model.
#[derive(Clone, Debug)]
pub struct Priors {
    score: Sums,
    cost: Sums,
}

/// Who is expected to score and to cost how much.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// By model, `[0, 1]`.
    pub quality: Vec<f64>,
    /// By model, USD.
    pub cost: Vec<f64>,
}

impl Priors {
    /// Counts rows.
    pub fn of(rows: &[&Row]) -> Self {
        Self { score: Sums::of(rows, |row| &row.score), cost: Sums::of(rows, |row| &row.cost) }
    }

    /// Returns what is expected on a prompt that was not counted.
    pub fn expect(&self, row: &Row) -> Expected {
        Expected { quality: self.score.means(row.category, None), cost: self.cost.means(row.category, None) }
    }

    /// Returns what is expected on a prompt that was counted, without what is known of it.
    pub fn expect_without(&self, row: &Row) -> Expected {
        Expected {
            quality: self.score.means(row.category, Some(&row.score)),
            cost: self.cost.means(row.category, Some(&row.cost)),
        }
    }

    /// Returns the mean cost of each model, USD.
    pub fn mean_costs(&self) -> Vec<f64> {
        self.means().0
    }

    /// Returns mean cost (USD) and mean quality of each model.
    pub fn means(&self) -> (Vec<f64>, Vec<f64>) {
        let of = |sums: &Sums| sums.total.iter().map(|total| total / sums.rows.max(1.0)).collect();
        (of(&self.cost), of(&self.score))
    }
}

#[derive(Clone, Debug)]
struct Sums {
    rows: f64,
    total: Vec<f64>,
    /// By category: prompts, and sums by model.
    categories: Vec<(f64, Vec<f64>)>,
}

impl Sums {
    fn of(rows: &[&Row], values: fn(&Row) -> &Vec<f64>) -> Self {
        let models = rows.first().map_or(0, |row| row.score.len());
        let categories = rows.iter().map(|row| row.category + 1).max().unwrap_or(0);
        let mut sums = Self {
            rows: rows.len() as f64,
            total: vec![0.0; models],
            categories: vec![(0.0, vec![0.0; models]); categories],
        };
        for row in rows {
            let (count, own) = &mut sums.categories[row.category];
            *count += 1.0;
            own.iter_mut().zip(values(row)).for_each(|(sum, value)| *sum += value);
            sums.total.iter_mut().zip(values(row)).for_each(|(sum, value)| *sum += value);
        }
        sums
    }

    fn means(&self, category: usize, without: Option<&Vec<f64>>) -> Vec<f64> {
        let left_out = if without.is_some() { 1.0 } else { 0.0 };
        let of = |model: usize| {
            let own = without.map_or(0.0, |values| values[model]);
            let overall = (self.total[model] - own) / (self.rows - left_out).max(1.0);
            let (count, sum) = match self.categories.get(category) {
                Some((count, sums)) => (count - left_out, sums[model] - own),
                None => (0.0, 0.0),
            };
            (sum + SHRINKAGE * overall) / (count + SHRINKAGE)
        };
        (0..self.total.len()).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(category: usize, score: f64) -> Row {
        Row { score: vec![score], cost: vec![2.0 * score], category, ..Row::default() }
    }

    #[test]
    fn means_are_shrunk_and_an_unknown_category_has_the_overall_one() {
        let rows: Vec<Row> = (0..40).map(|index| row(index / 20, if index < 20 { 1.0 } else { 0.0 })).collect();
        let priors = Priors::of(&rows.iter().collect::<Vec<_>>());

        // 20 prompts of the category, and 20 of the overall mean of a half.
        assert_eq!(priors.expect(&row(0, 0.0)).quality, [0.75]);
        assert_eq!(priors.expect(&row(0, 0.0)).cost, [1.5]);
        assert_eq!(priors.expect(&row(7, 0.0)).quality, [0.5]);
    }

    #[test]
    fn of_a_counted_prompt_nothing_is_left() {
        let rows: Vec<Row> = (0..10).map(|index| row(0, if index == 3 { 1.0 } else { 0.0 })).collect();
        let counted: Vec<&Row> = rows.iter().collect();
        let others: Vec<&Row> = rows.iter().enumerate().filter(|(index, _)| *index != 3).map(|(_, row)| row).collect();

        let without = Priors::of(&counted).expect_without(&rows[3]);

        assert_eq!(without, Priors::of(&others).expect(&rows[3]));
        assert_eq!(without.quality, [0.0]);
    }
}
