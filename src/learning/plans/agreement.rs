//! Probe and agree: cheap models answer first, and how they agree says who is likely to be right.
//!
//! ```text
//! z = [1, equal answers by pair, no answer by probe, lengths of the answers, length of the prompt]
//! post_m = sigmoid(w_m z)        choice = argmax post_m - weight * cost_m, probes being paid already
//! ```
//!
//! Ours; equality is of final answers: a letter, a number, a program's output.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: probes and models are numbered by the set")]

use super::{
    answers::Row,
    logistic::{fit, predict},
};

/// Logarithms of lengths lie around this, and so far around it.
const USUAL_LENGTH: (f64, f64) = (5.0, 1.5);

/// How likely each model is right, given the answers of the probes.
#[derive(Clone, Debug)]
pub struct Agreement {
    probes: Vec<usize>,
    weights: Vec<Vec<f64>>,
    /// Mean USD by model; of a probe 0.
    further: Vec<f64>,
}

impl Agreement {
    /// Fits posteriors and expected costs of every model to rows.
    pub fn fit(probes: &[usize], rows: &[&Row]) -> Self {
        let features: Vec<Vec<f32>> = rows.iter().map(|row| features(probes, row)).collect();
        let models = rows.first().map_or(0, |row| row.score.len());
        let weights = (0..models).map(|model| {
            let scores: Vec<f64> = rows.iter().map(|row| row.score[model]).collect();
            fit(&features, &scores)
        });
        let further = (0..models).map(|model| {
            let total: f64 = rows.iter().map(|row| row.cost[model]).sum();
            if probes.contains(&model) { 0.0 } else { total / rows.len() as f64 }
        });
        Self { probes: probes.to_vec(), weights: weights.collect(), further: further.collect() }
    }

    /// Returns who answers when a dollar weighs `weight`; of equals the first.
    pub fn choose(&self, row: &Row, weight: f64) -> usize {
        let seen = features(&self.probes, row);
        let mut best = (0, f64::NEG_INFINITY);
        for (model, weights) in self.weights.iter().enumerate() {
            let utility = predict(weights, &seen) - weight * self.further[model];
            if utility > best.1 {
                best = (model, utility);
            }
        }
        best.0
    }

    /// Returns cost and score of a prompt that is answered by a model after all probes were asked.
    pub fn outcome(&self, row: &Row, model: usize) -> (f32, f32) {
        outcome(&self.probes, row, model)
    }
}

/// Returns cost and score of a prompt that is answered by a model after all probes were asked.
pub fn outcome(probes: &[usize], row: &Row, model: usize) -> (f32, f32) {
    let asked: f64 = probes.iter().map(|probe| row.cost[*probe]).sum();
    let further = if probes.contains(&model) { 0.0 } else { row.cost[model] };
    ((asked + further) as f32, row.score[model] as f32)
}

/// Returns the probe whose answer most probes gave; of equals the first of `probes`. Who gave no answer has no vote.
pub fn vote(probes: &[usize], row: &Row) -> usize {
    let votes = |probe: usize| match row.answer[probe] {
        Some(_) => probes.iter().filter(|other| row.answer[**other] == row.answer[probe]).count(),
        None => 0,
    };
    let mut best = (probes[0], votes(probes[0]));
    for probe in probes {
        if votes(*probe) > best.1 {
            best = (*probe, votes(*probe));
        }
    }
    best.0
}

/// Returns whether all probes gave the same answer.
pub fn is_unanimous(probes: &[usize], row: &Row) -> bool {
    let first = row.answer[probes[0]];
    first.is_some() && probes.iter().all(|probe| row.answer[*probe] == first)
}

fn features(probes: &[usize], row: &Row) -> Vec<f32> {
    let fact = |is_so: bool| if is_so { 1.0 } else { 0.0 };
    let length = |tokens: f64| ((tokens.ln_1p() - USUAL_LENGTH.0) / USUAL_LENGTH.1) as f32;
    let mut features = vec![1.0];
    for (index, one) in probes.iter().enumerate() {
        for other in &probes[index + 1..] {
            features.push(fact(row.answer[*one].is_some() && row.answer[*one] == row.answer[*other]));
        }
        features.push(fact(row.answer[*one].is_none()));
        features.push(length(row.tokens[*one]));
    }
    features.push(length(row.input_tokens));
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(answer: [Option<i64>; 4], score: [f64; 4]) -> Row {
        Row {
            answer: answer.to_vec(),
            score: score.to_vec(),
            cost: vec![1.0, 2.0, 3.0, 20.0],
            tokens: vec![50.0; 4],
            input_tokens: 100.0,
            category: 0,
        }
    }

    #[test]
    fn a_vote_goes_to_the_larger_group_and_of_equals_to_the_first_probe() {
        let of = |answers: [Option<i64>; 4]| vote(&[2, 0, 1], &row(answers, [0.0; 4]));

        assert_eq!(of([Some(1), Some(1), Some(2), None]), 0);
        assert_eq!(of([Some(1), Some(2), Some(3), None]), 2);
        assert_eq!(of([None, None, Some(3), None]), 2);
        assert_eq!(of([None, Some(4), None, None]), 1);
    }

    #[test]
    fn silence_is_no_agreement() {
        assert!(is_unanimous(&[0, 1], &row([Some(1), Some(1), Some(2), None], [0.0; 4])));
        assert!(!is_unanimous(&[0, 1], &row([None, None, Some(2), None], [0.0; 4])));
        assert!(!is_unanimous(&[0, 2], &row([Some(1), Some(1), Some(2), None], [0.0; 4])));
    }

    #[test]
    fn who_agrees_is_believed_and_who_does_not_is_passed_on_while_that_pays() {
        // Probes that agree are right; where they do not, only the dear model is.
        let agree = row([Some(1), Some(1), Some(9), Some(1)], [1.0, 1.0, 0.0, 1.0]);
        let differ = row([Some(1), Some(2), Some(9), Some(3)], [0.0, 0.0, 0.0, 1.0]);
        let rows: Vec<&Row> = (0..100).map(|index| if index % 2 == 0 { &agree } else { &differ }).collect();

        let agreement = Agreement::fit(&[0, 1], &rows);

        assert_eq!(agreement.choose(&agree, 0.01), 0);
        assert_eq!(agreement.choose(&differ, 0.01), 3);
        // A dollar is worth more than any answer: nobody further is asked.
        assert!(agreement.choose(&differ, 10.0) < 2);
        assert_eq!(agreement.outcome(&differ, 3), (23.0, 1.0));
        assert_eq!(agreement.outcome(&agree, 1), (3.0, 1.0));
    }
}
