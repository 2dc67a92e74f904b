//! What a candidate is worth, and who is worth more.

use std::cmp::Ordering;

use jiff::civil::Date;

use super::Goals;
use crate::{
    domain::{Calibrated, Candidate, Estimate, ModelFacts, NanoUsd, Probability, Terms},
    routing::bound::lower_bound,
};

/// One unit of cost in the objective: a cent. On MMLU-Pro and ZeroEval nine of ten answers, over all models, cost between 0.003
/// and 1.2 of it.
pub(in crate::routing) const DOLLARS_PER_UNIT: f64 = 0.01;
/// One unit of verbosity in the objective.
const TOKENS_PER_UNIT: f64 = 1_000.0;
const DAYS_PER_YEAR: f64 = 365.25;

/// A candidate with its share of the objective.
pub(super) struct Placed<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) terms: Terms,
    pub(super) is_good_enough: bool,
}

/// How cost enters the objective.
#[derive(Clone, Copy)]
pub(super) enum Price {
    /// With the policy's weight.
    Weight(f64),
    /// With the weight that recent requests found for the budget.
    Found(Calibrated),
    /// As a bound on this request.
    Within(NanoUsd),
}

/// The objective for one ask.
pub(super) struct Objective {
    pub(super) price: Price,
    pub(super) latency_weight: f64,
    pub(super) goals: Goals,
    pub(super) field: Field,
    /// How many spreads below its estimate a quality counts; `None` for the estimate itself.
    pub(super) below: Option<f64>,
    pub(super) least_quality: Option<Probability>,
}

impl Objective {
    pub(super) fn place<'a>(&self, candidate: &'a Candidate) -> Placed<'a> {
        let terms = self.terms(candidate);
        let is_good_enough = self.least_quality.is_none_or(|least| terms.quality >= least.value());
        Placed { candidate, terms, is_good_enough }
    }

    pub(super) fn better_first(&self, one: &Placed<'_>, other: &Placed<'_>) -> Ordering {
        if let (Price::Within(budget), true, true) = (self.price, one.is_good_enough, other.is_good_enough) {
            let excess = |placed: &Placed<'_>| {
                let cost = placed.candidate.estimate.cost;
                if cost > budget { cost } else { NanoUsd::ZERO }
            };
            return excess(one).cmp(&excess(other)).then_with(|| better_first(one, other));
        }
        if !one.is_good_enough && !other.is_good_enough {
            return other.terms.quality.total_cmp(&one.terms.quality).then_with(|| better_first(one, other));
        }
        other.is_good_enough.cmp(&one.is_good_enough).then_with(|| better_first(one, other))
    }

    fn terms(&self, candidate: &Candidate) -> Terms {
        let estimate = &candidate.estimate;
        let judged = self.below.map_or(estimate.quality, |factor| lower_bound(estimate, factor));
        let quality = judged.value();
        let cost = -self.cost_weight() * estimate.cost.dollars() / DOLLARS_PER_UNIT;
        let latency = -self.latency_weight * estimate.latency.as_secs_f64();
        let goals = -self.penalties(&candidate.model, estimate);
        // Adding zero turns the minus zero of an unused weight into zero.
        let [cost, latency, goals] = [cost, latency, goals].map(|term| term + 0.0);
        Terms { quality, cost, latency, goals, utility: quality + cost + latency + goals }
    }

    fn cost_weight(&self) -> f64 {
        match self.price {
            Price::Weight(weight) => weight,
            Price::Found(found) => found.value,
            Price::Within(_) => 0.0,
        }
    }

    fn penalties(&self, model: &ModelFacts, estimate: &Estimate) -> f64 {
        self.goals.size * self.field.relative_size(model)
            + self.goals.recency * self.field.years_behind(model)
            + self.goals.verbosity * estimate.output_tokens / TOKENS_PER_UNIT
    }
}

fn better_first(one: &Placed<'_>, other: &Placed<'_>) -> Ordering {
    let (one_estimate, other_estimate): (&Estimate, &Estimate) = (&one.candidate.estimate, &other.candidate.estimate);
    other
        .terms
        .utility
        .total_cmp(&one.terms.utility)
        .then(one_estimate.cost.cmp(&other_estimate.cost))
        .then(one_estimate.latency.cmp(&other_estimate.latency))
        .then(other_estimate.quality.value().total_cmp(&one_estimate.quality.value()))
}

/// What the fitting candidates have in common as a yardstick.
pub(super) struct Field {
    largest_b: Option<f64>,
    newest: Option<Date>,
    oldest: Option<Date>,
}

impl Field {
    pub(super) fn of(fitting: &[&Candidate]) -> Self {
        let dates = || fitting.iter().filter_map(|fit| fit.model.released);
        let sizes = fitting.iter().filter_map(|fit| fit.model.parameters_b).filter(|size| *size > 0.0);
        Self { largest_b: sizes.max_by(f64::total_cmp), newest: dates().max(), oldest: dates().min() }
    }

    fn relative_size(&self, model: &ModelFacts) -> f64 {
        match (model.parameters_b, self.largest_b) {
            (Some(size), Some(largest)) => (size / largest).clamp(0.0, 1.0),
            _ => 1.0,
        }
    }

    fn years_behind(&self, model: &ModelFacts) -> f64 {
        match (model.released.or(self.oldest), self.newest) {
            (Some(released), Some(newest)) => f64::from((newest - released).get_days()) / DAYS_PER_YEAR,
            _ => 0.0,
        }
    }
}
