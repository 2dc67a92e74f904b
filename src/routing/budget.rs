//! The price of quality that meets a budget.
//!
//! A choice that maximises `a_m - lambda c_m` gets cheaper as lambda grows, in steps: at some lambda a cheaper model draws level
//! with the chosen one and takes over. [`Budget`] gathers those steps over recent requests and finds the lambda at which their
//! mean cost meets the budget. There one step hangs in the balance; it is taken with the probability that meets the budget
//! exactly (mixing at ties as CARROT does, arXiv 2502.03261), which matters where many requests look the same.

use super::calibration::Calibrator;
use crate::domain::{Ask, Calibrated, NanoUsd, Probability};

/// The key of the number that a budget finds.
pub(super) const NAME: &str = "budget";

/// Values of lambda that differ by less, relatively, are one step: rounding is smaller, what prices can tell apart is larger.
const SAME_STEP: f64 = 1e-12;

/// Turns an ask into a table: for each model that could be chosen its utility without the cost, and its cost in cents.
pub(super) type Table = Box<dyn Fn(&Ask) -> Option<Vec<f64>> + Send + Sync>;

/// Finds lambda, in utility per cent, for a mean cost per request.
pub(super) struct Budget {
    /// Mean cost per request, in cents.
    pub(super) cents: f64,
    pub(super) table: Table,
}

impl Calibrator for Budget {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn row(&self, ask: &Ask) -> Option<Vec<f64>> {
        (self.table)(ask)
    }

    /// Where even the cheapest choices cost more than the budget, lambda is large enough to make them.
    fn fit(&self, rows: &[&[f64]]) -> Option<Calibrated> {
        let paths: Vec<Path> = rows.iter().filter_map(|row| Path::of(row)).collect();
        let mut steps: Vec<Step> = paths.iter().flat_map(|path| path.steps.iter().copied()).collect();
        steps.sort_by(|one, other| one.lambda.total_cmp(&other.lambda));
        let spent: f64 = paths.iter().map(|path| path.dearest).sum();
        Some(descend(&steps, spent, self.cents * paths.len() as f64))
    }
}

/// Returns the budget in the unit of the tables.
pub(super) fn cents(amount: NanoUsd) -> f64 {
    amount.dollars() * 100.0
}

/// A cheaper model takes over.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    lambda: f64,
    saves: f64,
}

/// How the choice for one request moves as lambda grows from 0.
#[derive(Debug, PartialEq)]
struct Path {
    /// Cost of the choice at 0.
    dearest: f64,
    /// In the order of lambda.
    steps: Vec<Step>,
}

impl Path {
    /// Walks the upper hull of (cost, utility) from its best point to its cheapest. Quadratic in the number of models.
    fn of(row: &[f64]) -> Option<Self> {
        let models: Vec<(f64, f64)> =
            row.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect();
        let by_utility =
            |one: &&(f64, f64), other: &&(f64, f64)| one.0.total_cmp(&other.0).then(other.1.total_cmp(&one.1));
        let &(mut utility, mut cost) = models.iter().max_by(by_utility)?;
        let (dearest, mut steps) = (cost, Vec::new());
        loop {
            let cheaper = models.iter().filter(|(_, other)| *other < cost);
            let level = cheaper.map(|&(a, c)| ((utility - a) / (cost - c), a, c));
            let Some((lambda, a, c)) = level.min_by(|x, y| x.0.total_cmp(&y.0).then(x.2.total_cmp(&y.2))) else {
                return Some(Self { dearest, steps });
            };
            steps.push(Step { lambda, saves: cost - c });
            (utility, cost) = (a, c);
        }
    }
}

/// Takes steps, in order, until no more is spent than there is.
fn descend(steps: &[Step], mut spent: f64, budget: f64) -> Calibrated {
    let mut lambda = 0.0;
    for group in steps.chunk_by(|one, other| other.lambda - one.lambda <= SAME_STEP * other.lambda.abs()) {
        if spent <= budget {
            break;
        }
        let saves: f64 = group.iter().map(|step| step.saves).sum();
        lambda = group.first().map_or(lambda, |step| step.lambda);
        if spent - saves <= budget {
            let keeps = (budget - (spent - saves)) / saves;
            return Calibrated { value: lambda, mix: Probability::clamped(keeps) };
        }
        spent -= saves;
    }
    Calibrated { value: lambda, mix: Probability::clamped(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(cents: f64, rows: &[&[f64]]) -> (f64, f64) {
        let found = Budget { cents, table: Box::new(|_| None) }.fit(rows).unwrap();
        (found.value, found.mix.value())
    }

    /// Good for 10 cents, fair for 4, poor for 1: the fair one draws level at 0.02, the poor one at 0.1.
    const ROW: [f64; 6] = [0.9, 10.0, 0.78, 4.0, 0.48, 1.0];

    #[test]
    fn a_path_walks_the_hull_from_the_best_to_the_cheapest() {
        let path = Path::of(&[&ROW[..], &[0.5, 3.0, 0.1, 12.0]].concat()).unwrap();

        assert_eq!(path.dearest, 10.0);
        let steps: Vec<(f64, f64)> = path.steps.iter().map(|step| ((step.lambda * 1e6).round(), step.saves)).collect();
        assert_eq!(steps, [(20_000.0, 6.0), (100_000.0, 3.0)]);
    }

    #[test]
    fn a_budget_between_two_steps_takes_one_of_them_in_part() {
        let rows: Vec<&[f64]> = vec![&ROW; 40];

        let (lambda, mix) = fit(7.0, &rows);
        assert!((lambda - 0.02).abs() < 1e-12 && (mix - 0.5).abs() < 1e-12, "{lambda} {mix}");
        let (lambda, mix) = fit(1.75, &rows);
        assert!((lambda - 0.1).abs() < 1e-12 && (mix - 0.25).abs() < 1e-12, "{lambda} {mix}");
    }

    #[test]
    fn a_budget_that_is_never_reached_costs_no_quality() {
        assert_eq!(fit(10.0, &[&ROW]), (0.0, 0.0));
    }

    #[test]
    fn a_budget_that_cannot_be_met_buys_the_cheapest() {
        let (lambda, mix) = fit(0.5, &[&ROW]);

        assert!((lambda - 0.1).abs() < 1e-12 && mix == 0.0);
    }

    #[test]
    fn a_row_without_models_says_nothing() {
        assert_eq!(Path::of(&[]), None);
        assert_eq!(fit(1.0, &[&[]]), (0.0, 0.0));
    }
}
