//! Which answer is right: a conditional logit over the distinct answers and "none of them" (McFadden 1974).
//!
//! ```text
//! u(a)    = sum over m who said a of (w_m + s_m logit q_m + l_m z_m) + sum over pairs m < n who said a of v_mn
//! u(none) = b + s mean of logit q_m + l mean of z_m over those asked
//! P       = softmax(u)
//! ```
//!
//! `q_m` is the quality that was predicted of member m before anyone was asked, `z_m` how long its answer is. All weights belong
//! to one set of members.

use super::heard::{Answer, Heard, MOST_MEMBERS, MemberSet};

/// Predicted qualities are held this far from 0 and 1, so that one certain prediction does not outweigh every vote.
const MARGIN: f64 = 0.01;

/// Returns the logit of a quality, which is first held to `[0.01, 0.99]`; that of NaN is 0.
pub fn clamped_logit(quality: f64) -> f64 {
    let quality = if quality.is_nan() { 0.5 } else { quality.clamp(MARGIN, 1.0 - MARGIN) };
    (quality / (1.0 - quality)).ln()
}

/// What answers of one set of members weigh.
#[derive(Clone, Debug, PartialEq)]
pub struct VoteWeights {
    /// By member of the committee; 0 of who is not in the set.
    pub weight: [f64; MOST_MEMBERS],
    /// By member, per unit of logit.
    pub slope: [f64; MOST_MEMBERS],
    /// By member, per unit of the length of its answer.
    pub length: [f64; MOST_MEMBERS],
    /// By pair of members, the lower number first.
    pub pair: [[f64; MOST_MEMBERS]; MOST_MEMBERS],
    /// Of "none of them": a constant, per unit of the mean logit, and per unit of the mean length.
    pub none: [f64; 3],
}

/// How likely each answer is to be right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Posterior {
    /// Distinct answers: the member with the lowest number that gave it, the answer, its probability; the likeliest first.
    answers: [(usize, i64, f64); MOST_MEMBERS],
    count: usize,
    /// Probability that no answer is right.
    pub none: f64,
}

impl Posterior {
    /// Returns the distinct answers: the first member that gave it, the answer, its probability; likeliest first.
    pub fn answers(&self) -> &[(usize, i64, f64)] {
        self.answers.get(..self.count).unwrap_or_default()
    }

    /// Returns the likeliest answer's probability; 0 when nobody answered.
    pub fn best(&self) -> f64 {
        self.answers().first().map_or(0.0, |answer| answer.2)
    }

    /// Returns the second likeliest answer's probability; 0 when there is none.
    pub fn second(&self) -> f64 {
        self.answers().get(1).map_or(0.0, |answer| answer.2)
    }
}

impl VoteWeights {
    /// Returns the posterior over what was heard. `logits` are of predicted qualities, by member ([`clamped_logit`]).
    pub fn posterior(&self, heard: &Heard, logits: &[f64]) -> Posterior {
        let (mut posterior, groups) = distinct(heard);
        for (place, group) in posterior.answers.iter_mut().zip(groups).take(posterior.count) {
            place.2 = self.utility(group, heard, logits);
        }
        posterior.none = self.none_utility(heard, logits);
        normalise(&mut posterior);
        let count = posterior.count;
        if let Some(answers) = posterior.answers.get_mut(..count) {
            // The sort is stable: of equals the one that the member with the lowest number gave.
            answers.sort_by(|a, b| b.2.total_cmp(&a.2));
        }
        posterior
    }

    fn utility(&self, voters: MemberSet, heard: &Heard, logits: &[f64]) -> f64 {
        let mut utility = 0.0;
        for member in voters.iter() {
            utility += at(&self.weight, member) + at(&self.slope, member) * at(logits, member);
            utility += at(&self.length, member) * heard.length(member);
            let others = voters.iter().filter(|other| *other > member);
            utility += others.map(|other| self.pair.get(member).map_or(0.0, |row| at(row, other))).sum::<f64>();
        }
        utility
    }

    fn none_utility(&self, heard: &Heard, logits: &[f64]) -> f64 {
        let asked = heard.asked();
        let mean = |of: &dyn Fn(usize) -> f64| asked.iter().map(of).sum::<f64>() / asked.len().max(1) as f64;
        let [constant, slope, length] = self.none;
        constant + slope * mean(&|member| at(logits, member)) + length * mean(&|member| heard.length(member))
    }
}

pub(super) fn at(values: &[f64], index: usize) -> f64 {
    values.get(index).copied().unwrap_or(0.0)
}

/// Returns the distinct answers, and who gave each.
fn distinct(heard: &Heard) -> (Posterior, [MemberSet; MOST_MEMBERS]) {
    let mut posterior = Posterior::default();
    let mut groups = [MemberSet::default(); MOST_MEMBERS];
    for member in 0..MOST_MEMBERS {
        let Answer::Said(answer) = heard.answer(member) else { continue };
        let known = posterior.answers().iter().position(|known| known.1 == answer);
        let place = known.unwrap_or(posterior.count);
        if known.is_none() {
            posterior.count += 1;
            posterior.answers.iter_mut().skip(place).take(1).for_each(|new| *new = (member, answer, 0.0));
        }
        groups.iter_mut().skip(place).take(1).for_each(|group| *group = group.with(member));
    }
    (posterior, groups)
}

/// Turns utilities into probabilities.
fn normalise(posterior: &mut Posterior) {
    let top = posterior.answers().iter().map(|answer| answer.2).fold(posterior.none, f64::max);
    let weight = |utility: f64| (utility - top).exp();
    let total = posterior.answers().iter().map(|answer| weight(answer.2)).sum::<f64>() + weight(posterior.none);
    let count = posterior.count;
    posterior.answers.iter_mut().take(count).for_each(|answer| answer.2 = weight(answer.2) / total);
    posterior.none = weight(posterior.none) / total;
}
