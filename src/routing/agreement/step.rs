//! Stop with the best answer, or ask on: what each would be worth.
//!
//! ```text
//! value(stop)  = p1
//! value(ask m) = p1 + gain_m(z) - charge_m - rate later_m(z)        z = features of the posterior and of logit q_m
//! ```
//!
//! All in units of a right answer. `charge_m` is what asking m costs by the caller's weights of money and time; `rate` is what a
//! dollar weighs, read off the charges against the mean costs that the model was fitted with. `gain` and `later` (dollars after
//! m's answer) were fitted at several weights of a dollar; between two of them values are on the straight line.

use std::cmp::Ordering;

use super::{
    heard::{Heard, MOST_MEMBERS, MemberSet},
    posterior::{Posterior, VoteWeights, at},
};
use crate::domain::ModelName;

/// Kinks of the values of asking on in the probability of the best answer: they bend most where it is nearly certain.
const KINKS: [f64; 5] = [0.4, 0.6, 0.75, 0.85, 0.93];

/// How many features the values of asking on are linear in, beside one for each member.
pub const FEATURES: usize = 10 + KINKS.len();

/// Features with room for the largest committee; [`width`] of them are used.
pub type Features = [f64; FEATURES + MOST_MEMBERS];

/// Returns how many features a committee of this many members has.
pub const fn width(members: usize) -> usize {
    FEATURES + members
}

/// Returns the features of a posterior and of the logit of whom to ask: constant, probabilities of the best answer, of the second
/// and of none, the former crossed with the latter two, distinct answers against doubt, the logit, the logit against both, and
/// what the best probability exceeds each kink by; then doubt against who gave the best answer.
pub fn features(posterior: &Posterior, logit: f64) -> Features {
    let (best, second, none) = (posterior.best(), posterior.second(), posterior.none);
    let doubt = 1.0 - best;
    let many = posterior.answers().len() as f64 * doubt;
    let mut features = [0.0; FEATURES + MOST_MEMBERS];
    let plain = [1.0, best, second, none, best * second, best * none, many, logit, logit * best, logit * none];
    let bent = KINKS.map(|kink| (best - kink).max(0.0));
    features.iter_mut().zip(plain.into_iter().chain(bent)).for_each(|(place, value)| *place = value);
    if let Some(place) = posterior.answers().first().and_then(|leader| features.get_mut(FEATURES + leader.0)) {
        *place = doubt;
    }
    features
}

/// Features before anyone was asked, with room for the largest committee; [`first_width`] of them are used.
pub type FirstFeatures = [f64; first_width(MOST_MEMBERS)];

/// Returns how many features a committee of this many members has before anyone was asked.
pub const fn first_width(members: usize) -> usize {
    1 + members + members * (members + 1) / 2
}

/// Returns the features before anyone was asked: constant, the logits of all members, and their products by pair and by square.
pub fn first_features(logits: &[f64], members: usize) -> FirstFeatures {
    let mut features = [0.0; first_width(MOST_MEMBERS)];
    let logit = |member: usize| at(logits, member);
    let products = (0..members).flat_map(|one| (one..members).map(move |other| logit(one) * logit(other)));
    let values = std::iter::once(1.0).chain((0..members).map(logit)).chain(products);
    features.iter_mut().zip(values).for_each(|(place, value)| *place = value);
    features
}

/// What asking each member would cost, in units of a right answer; `None` of who may not be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Charges {
    by_member: [Option<f64>; MOST_MEMBERS],
}

impl Charges {
    /// Takes charges in the order of the members. NaN is not to be asked, below 0 is free.
    pub fn new(by_member: impl IntoIterator<Item = Option<f64>>) -> Self {
        let mut charges = Self { by_member: [None; MOST_MEMBERS] };
        let sound = |charge: Option<f64>| charge.filter(|charge| !charge.is_nan()).map(|charge| charge.max(0.0));
        charges.by_member.iter_mut().zip(by_member).for_each(|(place, charge)| *place = sound(charge));
        charges
    }

    /// Returns what asking a member costs; `None` if it may not be asked.
    pub fn of(&self, member: usize) -> Option<f64> {
        self.by_member.get(member).copied().flatten()
    }
}

/// Linear functions of features, one per weight of a dollar.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Worth {
    /// Expected quality after asking on, less the best answer's probability.
    pub(super) gain: Vec<Vec<f64>>,
    /// Expected dollars after the answer of whom is asked.
    pub(super) later: Vec<Vec<f64>>,
}

/// A member, in the order of the document.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The model.
    pub model: ModelName,
    /// USD a call, in the mean over what the document was fitted on.
    pub mean_cost: f64,
    /// Its mean quality there, `[0, 1]`: what is expected of it where nothing is predicted.
    pub mean_quality: f64,
}

/// A compiled document.
#[derive(Clone, Debug, PartialEq)]
pub struct AgreementModel {
    pub(super) members: Vec<Member>,
    pub(super) most: usize,
    /// Weights of a dollar, ascending.
    pub(super) rates: Vec<f64>,
    /// By set of members.
    pub(super) votes: Vec<Option<VoteWeights>>,
    /// By member.
    pub(super) first: Vec<Worth>,
    /// By set asked and next member.
    pub(super) further: Vec<[Option<Worth>; MOST_MEMBERS]>,
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The answer of this member is given: the first that gave the likeliest answer, or the likeliest member when nobody answered.
    Stop(usize),
    /// This member is asked.
    Ask(usize),
    /// Nobody has been asked and nobody may be.
    Nobody,
}

/// One thing that could be done, with what it is worth in units of a right answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alternative {
    /// What.
    pub step: Step,
    /// Expected quality, less charges and later costs.
    pub value: f64,
}

/// A step with its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// What is done next.
    pub step: Step,
    /// What was believed.
    pub posterior: Posterior,
    /// Everything that could be done: stopping first, then members in order.
    pub alternatives: Vec<Alternative>,
}

impl AgreementModel {
    /// Returns the members.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns how many members are asked at most.
    pub const fn most(&self) -> usize {
        self.most
    }

    /// Returns the weights of a dollar that values were fitted at.
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// Returns what is believed of the answers heard.
    pub fn posterior(&self, heard: &Heard, logits: &[f64]) -> Posterior {
        let votes = self.votes.get(heard.asked().index()).and_then(Option::as_ref);
        votes.map_or_else(Posterior::default, |votes| votes.posterior(heard, logits))
    }

    /// Returns what is done next. `logits` are of predicted qualities, by member; of equals, stopping and then the first member.
    pub fn step(&self, heard: &Heard, logits: &[f64], charges: &Charges) -> Advice {
        let posterior = self.posterior(heard, logits);
        let asked = heard.asked();
        let mut alternatives = Vec::with_capacity(self.members.len() + 1);
        if !asked.is_empty() {
            let stop = Step::Stop(self.speaker(&posterior, asked, logits));
            alternatives.push(Alternative { step: stop, value: posterior.best() });
        }
        if asked.len() < self.most {
            let place = Place::of(&self.rates, self.rate(charges));
            let ask = |member: usize| self.ask(member, (asked, &posterior), (logits, charges), place);
            alternatives.extend((0..self.members.len()).filter_map(ask));
        }
        let better = |a: &&Alternative, b: &&Alternative| {
            // Of equals the first: `min_by` with the order turned round.
            b.value.partial_cmp(&a.value).unwrap_or(Ordering::Equal)
        };
        let step = alternatives.iter().min_by(better).map_or(Step::Nobody, |best| best.step);
        Advice { step, posterior, alternatives }
    }

    /// Returns what a dollar weighs by the charges of those who may be asked, against the mean costs that were fitted.
    fn rate(&self, charges: &Charges) -> f64 {
        let priced = self.members.iter().enumerate().filter_map(|(index, member)| {
            let charge = charges.of(index)?;
            charge.is_finite().then_some((charge, member.mean_cost))
        });
        let (charged, spent) = priced.fold((0.0, 0.0), |sum, (charge, cost)| (sum.0 + charge, sum.1 + cost));
        if spent > 0.0 { charged / spent } else { 0.0 }
    }

    fn ask(
        &self,
        member: usize,
        (asked, posterior): (MemberSet, &Posterior),
        (logits, charges): (&[f64], &Charges),
        place: Place,
    ) -> Option<Alternative> {
        let charge = charges.of(member).filter(|_| !asked.has(member))?;
        let best = posterior.best();
        let (gain, later) = if asked.is_empty() {
            let worth = self.first.get(member)?;
            worth.at(place, &first_features(logits, self.members.len()))
        } else {
            let worth = self.further.get(asked.index())?.get(member)?.as_ref()?;
            worth.at(place, &features(posterior, at(logits, member)))
        };
        // No answer is more than right, and no call gives money back.
        let value = best + gain.min(1.0 - best) - charge - place.rate * later.max(0.0);
        Some(Alternative { step: Step::Ask(member), value })
    }

    /// Returns whose answer is given: the first that gave the likeliest one; when all were silent, the most promising member.
    fn speaker(&self, posterior: &Posterior, asked: MemberSet, logits: &[f64]) -> usize {
        // Of equals the first.
        let promising = || asked.iter().min_by(|a, b| at(logits, *b).total_cmp(&at(logits, *a)));
        posterior.answers().first().map(|answer| answer.0).or_else(promising).unwrap_or(0)
    }
}

/// Where a weight of a dollar lies among those that were fitted.
#[derive(Clone, Copy, Debug)]
struct Place {
    below: usize,
    above: usize,
    share: f64,
    rate: f64,
}

impl Place {
    /// Returns the place of a rate; outside of what was fitted that of the nearest end.
    fn of(rates: &[f64], rate: f64) -> Self {
        let above = rates.partition_point(|known| *known < rate).min(rates.len().saturating_sub(1));
        let below = if at(rates, above) > rate { above.saturating_sub(1) } else { above };
        let (low, high) = (at(rates, below), at(rates, above));
        let share = if high > low { ((rate - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        Self { below, above, share, rate }
    }
}

impl Worth {
    /// Returns gain and later dollars.
    fn at(&self, place: Place, features: &[f64]) -> (f64, f64) {
        (between(&self.gain, place, features), between(&self.later, place, features))
    }
}

fn between(functions: &[Vec<f64>], place: Place, features: &[f64]) -> f64 {
    let value = |index: usize| {
        functions.get(index).map_or(0.0, |function| function.iter().zip(features).map(|(a, b)| a * b).sum::<f64>())
    };
    let low = value(place.below);
    if place.share > 0.0 { low + place.share * (value(place.above) - low) } else { low }
}
