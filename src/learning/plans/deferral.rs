//! Deferral: of which prompts the small model's answer is kept, and which go on to the large one.
//!
//! A test orders prompts, the least trusted answers first; its curve is the mean score over the share that goes on. Its figure
//! is the area under the curve over that of chance, as a share of what one who knows both scores gets. Signals: Gupta et al.,
//! arXiv 2404.10136; here means over the tokens, as that is what was recorded.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: orders are permutations of the cases")]

use super::{
    answers::{Line, Recorded},
    folds,
    logistic::{fit, predict},
};

/// A prompt that a small and a large model answered, with the signals of the small one's answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    /// Score of the small model.
    pub small: f64,
    /// Score of the large model.
    pub large: f64,
    /// Mean log-probability.
    pub log_probability: f64,
    /// Mean entropy.
    pub entropy: f64,
    /// Share of samples that find the answer right.
    pub verified: f64,
    /// Tokens of the answer.
    pub tokens: f64,
}

/// Returns the cases of a set of two models with signals.
pub fn cases(set: &Recorded) -> Vec<Case> {
    let is_pair = set.meta.models.len() == 2;
    set.lines.iter().filter(|_| is_pair).filter_map(case).collect()
}

fn case(line: &Line) -> Option<Case> {
    Some(Case {
        small: line.score[0]?,
        large: line.score[1]?,
        log_probability: line.avg_logp?,
        entropy: line.avg_entropy?,
        verified: line.self_verify?,
        tokens: (*line.out_tok.first()?)?,
    })
}

/// A name, and how far an answer is trusted: higher is more.
pub type Test = (&'static str, fn(&Case) -> f64);

/// How answers are trusted by one signal.
pub const TESTS: [Test; 4] = [
    ("mean log-probability", |case| case.log_probability),
    ("mean entropy", |case| -case.entropy),
    ("self-verification, 8 samples", |case| case.verified),
    ("length of the answer", |case| -case.tokens),
];

/// Returns how far each answer is trusted by a test over all signals that was fitted on other prompts: the probability that
/// keeping it loses nothing.
pub fn learned(cases: &[Case], seed: u64) -> Vec<f64> {
    let mut trust = vec![0.0; cases.len()];
    for (own, others) in folds(cases.len(), seed) {
        let rows: Vec<Vec<f32>> = others.iter().map(|case| features(&cases[*case])).collect();
        let targets: Vec<f64> = others.iter().map(|case| kept(&cases[*case])).collect();
        let weights = fit(&rows, &targets);
        own.iter().for_each(|case| trust[*case] = predict(&weights, &features(&cases[*case])));
    }
    trust
}

/// From 0, where all is lost by keeping the answer, to 1, where all is lost by going on.
fn kept(case: &Case) -> f64 {
    (1.0 + case.small - case.large) / 2.0
}

fn features(case: &Case) -> Vec<f32> {
    let length = case.tokens.ln_1p() - 4.0;
    let [log_probability, entropy, verified] = [case.log_probability, case.entropy, case.verified - 0.5];
    let crossed = [log_probability * length, verified * length, log_probability * verified];
    let plain = [1.0, log_probability, entropy, verified, length, length * length];
    plain.iter().chain(&crossed).map(|feature| *feature as f32).collect()
}

/// Returns the area over chance as a share of the best there could be, on weighted cases. Of equals the order of the cases counts.
pub fn normalised_area(cases: &[Case], trust: &[f64], weights: &[f32]) -> f64 {
    let gain: Vec<f64> = cases.iter().map(kept).collect();
    let (found, best) = (area(cases, trust, weights), area(cases, &gain, weights));
    let chance = (mean(cases, weights, |case| case.small) + mean(cases, weights, |case| case.large)) / 2.0;
    (found - chance) / (best - chance)
}

fn mean(cases: &[Case], weights: &[f32], of: fn(&Case) -> f64) -> f64 {
    let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    cases.iter().zip(weights).map(|(case, weight)| f64::from(*weight) * of(case)).sum::<f64>() / total
}

/// The mean height of the curve: straight between one prompt and the next.
fn area(cases: &[Case], trust: &[f64], weights: &[f32]) -> f64 {
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by(|a, b| trust[*a].total_cmp(&trust[*b]));
    let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    let mut height = mean(cases, weights, |case| case.small);
    let mut area = 0.0;
    for case in order {
        let share = f64::from(weights[case]) / total;
        let next = height + share * (cases[case].large - cases[case].small);
        area += share * (height + next) / 2.0;
        height = next;
    }
    area
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(small: f64, large: f64, log_probability: f64) -> Case {
        Case { small, large, log_probability, entropy: 0.5, verified: 0.5, tokens: 50.0 }
    }

    fn cases_of_two_kinds() -> Vec<Case> {
        (0..100).map(|index| if index % 2 == 0 { case(1.0, 1.0, -0.1) } else { case(0.0, 1.0, -0.9) }).collect()
    }

    #[test]
    fn a_test_that_knows_is_worth_all_and_one_that_errs_less_than_nothing() {
        let cases = cases_of_two_kinds();
        let weights = vec![1.0; cases.len()];
        let trust: Vec<f64> = cases.iter().map(|case| case.log_probability).collect();
        let mistrust: Vec<f64> = trust.iter().map(|trust| -trust).collect();

        assert!((normalised_area(&cases, &trust, &weights) - 1.0).abs() < 1e-9);
        assert!((normalised_area(&cases, &mistrust, &weights) + 1.0).abs() < 1e-9);
    }

    #[test]
    fn an_area_is_worked_out_by_hand() {
        // Heights 1/2, then 1 after the first half: (1/2 + 1)/2 for half of the way, 1 for the other half.
        let cases = [case(1.0, 1.0, -0.1), case(0.0, 1.0, -0.9)];

        let found = area(&cases, &[1.0, 0.0], &[1.0, 1.0]);

        assert!((found - 0.875).abs() < 1e-12, "{found}");
    }

    #[test]
    fn what_tells_is_learned_on_other_prompts_and_noise_is_worth_nothing() {
        let cases = cases_of_two_kinds();
        let noise: Vec<Case> = (0..1000_usize)
            .map(|index| {
                case(if index * 7919 % 13 < 6 { 1.0 } else { 0.0 }, 1.0, -((index * 104_729 % 101) as f64) / 101.0)
            })
            .collect();

        assert!(normalised_area(&cases, &learned(&cases, 1), &vec![1.0; cases.len()]) > 0.99);
        assert!(normalised_area(&noise, &learned(&noise, 1), &vec![1.0; noise.len()]).abs() < 0.15);
    }
}
