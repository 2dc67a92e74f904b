//! Expected costs of models whose prices nobody states: of sets that only recorded what each call cost.

use crate::learning::matrix::Normal;

/// What a call is expected to cost, linear in the prompt's tokens and the expected answer's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpectedCost {
    fixed: f64,
    per_input: f64,
    per_output: f64,
    range: (f64, f64),
}

/// A call that was paid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paid {
    /// Tokens of the prompt.
    pub input: f64,
    /// Expected tokens of the answer: what will be known when the next call is to be paid, unlike the true length.
    pub output: f64,
    /// USD.
    pub cost: f64,
}

/// Ridge penalty on the slopes, in squared thousands of tokens: a few prompts move them.
const PENALTY: f64 = 0.05;
/// Costs are fitted in millionths of a dollar and tokens in thousands, which keeps the system's entries alike.
const MICRO: f64 = 1e6;
const THOUSAND: f64 = 1e3;

impl ExpectedCost {
    /// Fits calls by least squares; `None` without calls. An expected cost lies between a fifth and five times the mean, so
    /// that no prompt is taken to cost nothing.
    pub fn fit(calls: &[Paid]) -> Option<Self> {
        let mean = calls.iter().map(|call| call.cost).sum::<f64>() / calls.len() as f64;
        if calls.is_empty() || mean <= 0.0 {
            return None;
        }
        let mut system = Normal::new(3);
        for call in calls {
            system.add(&[1.0, (call.input / THOUSAND) as f32, (call.output / THOUSAND) as f32], 1.0, call.cost * MICRO);
        }
        system.add_diagonal(0, 1e-9, 0.0);
        (1..3).for_each(|slope| system.add_diagonal(slope, PENALTY, 0.0));
        let solution = system.solve();
        let at = |index: usize| solution.get(index).copied().filter(|value| value.is_finite()).unwrap_or(0.0);
        Some(Self {
            fixed: at(0) / MICRO,
            per_input: at(1) / MICRO / THOUSAND,
            per_output: at(2) / MICRO / THOUSAND,
            range: (mean / 5.0, mean * 5.0),
        })
    }

    /// Returns USD.
    pub fn of(&self, input: f64, output: f64) -> f64 {
        (self.fixed + self.per_input * input + self.per_output * output).clamp(self.range.0, self.range.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_found_in_what_was_paid() {
        let call = |index: i32| {
            let (input, output) = (f64::from(100 + 37 * (index % 11)), f64::from(50 + 91 * (index % 7)));
            Paid { input, output, cost: (2.0 * input + 8.0 * output) / 1e6 }
        };
        let calls: Vec<Paid> = (0..200).map(call).collect();

        let expected = ExpectedCost::fit(&calls).unwrap();

        let error = expected.of(300.0, 400.0) / ((600.0 + 3_200.0) / 1e6) - 1.0;
        assert!(error.abs() < 0.02, "{error}");
    }

    #[test]
    fn nothing_is_expected_from_nothing() {
        assert_eq!(ExpectedCost::fit(&[]), None);
    }
}
