//! Fits what answers weigh: a conditional logit over the distinct answers and "none of them", by Newton's method.
//!
//! The log-likelihood is concave, and a prior of precision 1 on every weight holds it where votes never differ.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: weights are numbered by the members asked")]

use super::ballots::Ballot;
use crate::{
    learning::matrix::Normal,
    routing::agreement::{Answer, Heard, MemberSet, VotesDocument},
};

/// Precision of the prior of every weight at 0: what one prompt says.
const PRECISION: f64 = 1.0;
/// Newton's method has converged long before on everything that was measured.
const MOST_STEPS: usize = 12;
/// It has converged when no weight moves more.
const TOLERANCE: f64 = 1e-6;

/// Fits the weights of a set of members.
pub fn fit(asked: MemberSet, ballots: &[Ballot]) -> VotesDocument {
    let layout = Layout { members: asked.iter().collect() };
    let choices: Vec<Choice> = ballots.iter().map(|ballot| layout.choice(asked, ballot)).collect();
    let mut weights = vec![0.0; layout.width()];
    for _ in 0..MOST_STEPS {
        let step = newton(&choices, &weights);
        weights.iter_mut().zip(&step).for_each(|(weight, step)| *weight += step);
        if step.iter().all(|step| step.abs() < TOLERANCE) {
            break;
        }
    }
    layout.named(&weights)
}

/// Alternatives of one prompt: features of each, and its share of being right.
struct Choice {
    features: Vec<Vec<f32>>,
    right: Vec<f64>,
}

fn newton(choices: &[Choice], weights: &[f64]) -> Vec<f64> {
    let mut system = Normal::new(weights.len());
    for choice in choices {
        let chances = chances(choice, weights);
        let mut mean = vec![0.0_f32; weights.len()];
        for ((features, right), chance) in choice.features.iter().zip(&choice.right).zip(&chances) {
            system.add(features, *chance, right - chance);
            mean.iter_mut().zip(features).for_each(|(mean, feature)| *mean += *chance as f32 * feature);
        }
        system.add(&mean, -1.0, 0.0);
    }
    for (index, weight) in weights.iter().enumerate() {
        system.add_diagonal(index, PRECISION, -PRECISION * weight);
    }
    system.solve()
}

fn chances(choice: &Choice, weights: &[f64]) -> Vec<f64> {
    let utility = |features: &Vec<f32>| -> f64 { features.iter().zip(weights).map(|(a, b)| f64::from(*a) * b).sum() };
    let utilities: Vec<f64> = choice.features.iter().map(utility).collect();
    let top = utilities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = utilities.iter().map(|utility| (utility - top).exp()).sum();
    utilities.iter().map(|utility| (utility - top).exp() / total).collect()
}

/// Where weights stand: of members, slopes and lengths of members, pairs, none.
struct Layout {
    members: Vec<usize>,
}

impl Layout {
    fn pairs(&self) -> usize {
        self.members.len() * (self.members.len() - 1) / 2
    }

    fn width(&self) -> usize {
        3 * self.members.len() + self.pairs() + 3
    }

    fn choice(&self, asked: MemberSet, ballot: &Ballot) -> Choice {
        let mut answers: Vec<i64> = Vec::new();
        for member in &self.members {
            if let Answer::Said(answer) = ballot.answers[*member]
                && !answers.contains(&answer)
            {
                answers.push(answer);
            }
        }
        let mut right: Vec<f64> = answers.iter().map(|answer| ballot.quality(asked, *answer)).collect();
        // Where graders find two different answers right, they share.
        let total = right.iter().sum::<f64>();
        right.iter_mut().for_each(|share| *share /= total.max(1.0));
        right.push((1.0 - total).max(0.0));
        let heard = ballot.heard(asked);
        let mut features: Vec<Vec<f32>> = answers.iter().map(|answer| self.features(ballot, &heard, *answer)).collect();
        features.push(self.none(ballot, &heard));
        Choice { features, right }
    }

    fn features(&self, ballot: &Ballot, heard: &Heard, answer: i64) -> Vec<f32> {
        let (size, mut features) = (self.members.len(), vec![0.0; self.width()]);
        let mut pair = 3 * size;
        for (place, member) in self.members.iter().enumerate() {
            let says = |member: usize| ballot.answers[member] == Answer::Said(answer);
            if says(*member) {
                features[place] = 1.0;
                features[size + place] = ballot.logits[*member] as f32;
                features[2 * size + place] = heard.length(*member) as f32;
            }
            for other in &self.members[place + 1..] {
                if says(*member) && says(*other) {
                    features[pair] = 1.0;
                }
                pair += 1;
            }
        }
        features
    }

    fn none(&self, ballot: &Ballot, heard: &Heard) -> Vec<f32> {
        let (width, mut features) = (self.width(), vec![0.0; self.width()]);
        let sum: f64 = self.members.iter().map(|member| ballot.logits[*member]).sum();
        let lengths: f64 = self.members.iter().map(|member| heard.length(*member)).sum();
        features[width - 3] = 1.0;
        features[width - 2] = (sum / self.members.len() as f64) as f32;
        features[width - 1] = (lengths / self.members.len() as f64) as f32;
        features
    }

    fn named(&self, weights: &[f64]) -> VotesDocument {
        let size = self.members.len();
        let none = &weights[3 * size + self.pairs()..];
        VotesDocument {
            asked: self.members.clone(),
            weight: weights[..size].to_vec(),
            slope: weights[size..2 * size].to_vec(),
            length: weights[2 * size..3 * size].to_vec(),
            pair: weights[3 * size..3 * size + self.pairs()].to_vec(),
            none: [none[0], none[1], none[2]],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::agreement::{MOST_MEMBERS, VoteWeights};

    /// Two members that say 1 or 2; quality 0.5 has the logit 0, so only constants count.
    fn ballot(answers: [i64; 2], right: i64) -> Ballot {
        let mut ballot = Ballot {
            answers: [Answer::Unasked; MOST_MEMBERS],
            logits: [0.0; MOST_MEMBERS],
            tokens: [f64::exp(5.0) - 1.0; MOST_MEMBERS],
            expected_cost: [0.0; MOST_MEMBERS],
            score: [0.0; MOST_MEMBERS],
            cost: [0.0; MOST_MEMBERS],
        };
        for (member, answer) in answers.iter().enumerate() {
            ballot.answers[member] = Answer::Said(*answer);
            ballot.score[member] = if *answer == right { 1.0 } else { 0.0 };
        }
        ballot
    }

    #[test]
    fn frequencies_are_found_and_what_is_predicted_is_what_was_fitted() {
        // When they agree nine of ten are right; when they differ six are the first's, three the second's, one nobody's.
        let mut ballots = Vec::new();
        for index in 0..1000 {
            ballots.push(ballot([1, 1], if index % 10 < 9 { 1 } else { 3 }));
            ballots.push(ballot([1, 2], [1, 1, 1, 1, 1, 1, 2, 2, 2, 3][index % 10]));
        }
        let both = MemberSet::of([0, 1]);

        let weights = VoteWeights::from(&fit(both, &ballots));

        let posterior = |ballot: &Ballot| weights.posterior(&ballot.heard(both), &ballot.logits);
        let (agree, differ) = (posterior(&ballots[0]), posterior(&ballots[1]));
        assert!((agree.best() - 0.9).abs() < 0.01, "{agree:?}");
        assert!((differ.best() - 0.6).abs() < 0.01 && (differ.second() - 0.3).abs() < 0.01, "{differ:?}");
        assert!((differ.none - 0.1).abs() < 0.01);
    }

    #[test]
    fn where_all_were_silent_or_always_right_weights_stay_finite() {
        let mut silent = ballot([1, 1], 1);
        silent.answers = [Answer::Silent; MOST_MEMBERS];

        for ballots in [vec![silent; 50], vec![ballot([1, 1], 1); 50]] {
            let weights = fit(MemberSet::of([0, 1]), &ballots);
            assert!(weights.weight.iter().chain(&weights.none).chain(&weights.pair).all(|weight| weight.is_finite()));
        }
    }
}
