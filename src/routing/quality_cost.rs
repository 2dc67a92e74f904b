//! The best quality for the money: Tryage's objective.

mod objective;

use std::sync::Arc;

pub(super) use self::objective::DOLLARS_PER_UNIT;
use self::objective::{Field, Objective, Placed, Price};
use super::{
    Calibrator, Confidence, Constraints, ParameterError, Strategy, Weight,
    budget::{self, Budget},
    chance::uniform,
    gates::Gated,
    outcome::{Ranked, decision},
    parameters::check_weight,
};
use crate::domain::{Ask, Candidate, Decision, ModelName, NanoUsd, Needs, NoRoute, Probability, Reason};

/// Utilities that differ by less are a tie: rounding is smaller, and no prediction is that fine.
const TIE: f64 = 1e-9;

/// Weights of further goals; each is a penalty and 0 turns it off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Goals {
    /// Quality given up for not having to use the largest fitting candidate: parameters relative to the largest known size
    /// among the fitting candidates. An unknown size counts as the largest.
    pub size: f64,
    /// Quality given up per year by which a model is older than the newest fitting candidate. An unknown date counts as the
    /// oldest known one.
    pub recency: f64,
    /// Quality given up per thousand expected tokens of answer.
    pub verbosity: f64,
}

/// What is to be spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CostGoal {
    /// Quality given up to save one US cent of expected cost.
    Weight(Weight),
    /// Expected cost of a request in the mean over recent requests; the weight follows from it. Callers cannot move it.
    Budget(NanoUsd),
}

impl From<Weight> for CostGoal {
    fn from(weight: Weight) -> Self {
        Self::Weight(weight)
    }
}

/// What [`QualityCost`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityCostParameters {
    /// What every model must meet.
    pub constraints: Constraints,
    /// What is to be spent.
    pub cost: CostGoal,
    /// Quality given up to save one second of expected time to the last token.
    pub latency_weight: Weight,
    /// Further goals.
    pub goals: Goals,
    /// Judges by the quality that holds with this probability instead of the expected one.
    pub confidence: Option<Confidence>,
    /// Models whose quality, judged so, reaches this come before all others; those come with the best first, whatever they
    /// cost.
    pub least_quality: Option<Probability>,
    /// The model that is tried first when there are no scores; `None` leaves that to the objective over the priors.
    pub default_model: Option<ModelName>,
    /// How many models stand by.
    pub max_fallbacks: usize,
}

/// Chooses the candidate of the greatest utility:
///
/// ```text
/// u_m = q_m - w_cost * cents_m - w_latency * seconds_m
///           - (w_size * size_m + w_recency * years_behind_m + w_verbosity * thousand_tokens_m)
/// ```
///
/// (Tryage, arXiv 2308.11601, whose user flags are the further goals here.) The units are absolute, so that a candidate
/// that comes or goes does not turn the order of the others around. A caller's `quality` moves `w_cost` and `w_latency`
/// between the policy's bounds ([`Weight::at`]). Equal utility: the cheaper, then the faster, then the better, then the
/// policy's order. Fallbacks follow in the same order. With a confidence, `q_m` is a lower bound of the quality.
///
/// With a budget `w_cost` comes from recent requests ([`Calibration`](super::Calibration)), and a tie goes to the dearer
/// model with the probability that meets the budget. Before there are recent requests, and without scores, each request by
/// itself keeps to the budget: the best model that is expected to cost no more, or else the cheapest.
#[derive(Clone, Debug)]
pub struct QualityCost {
    parameters: QualityCostParameters,
}

impl QualityCost {
    /// Returns the strategy.
    ///
    /// # Errors
    /// A weight is negative, infinite or not a number, or lies outside its bounds.
    pub fn new(parameters: QualityCostParameters) -> Result<Self, ParameterError> {
        match parameters.cost {
            CostGoal::Weight(weight) => weight.check("cost_weight")?,
            CostGoal::Budget(budget) => check_weight("budget", budget.dollars())?,
        }
        parameters.latency_weight.check("latency_weight")?;
        check_weight("goals.size", parameters.goals.size)?;
        check_weight("goals.recency", parameters.goals.recency)?;
        check_weight("goals.verbosity", parameters.goals.verbosity)?;
        Ok(Self { parameters })
    }

    fn rank<'a>(&self, ask: &Ask, gated: &Gated<'a>) -> Vec<Placed<'a>> {
        let objective = self.objective(ask, &gated.fitting);
        let mut ranked: Vec<_> = gated.fitting.iter().map(|&fit| objective.place(fit)).collect();
        // A stable sort: what is equal in everything stays in the policy's order.
        ranked.sort_by(|one, other| objective.better_first(one, other));
        if ask.unscored.is_some() {
            ranked.sort_by_key(|placed| !self.is_default(&placed.candidate.model.name));
        }
        ranked
    }

    fn is_default(&self, model: &ModelName) -> bool {
        self.parameters.default_model.as_ref() == Some(model)
    }

    fn objective(&self, ask: &Ask, fitting: &[&Candidate]) -> Objective {
        let quality = ask.preferences.quality.map(|quality| quality.value());
        Objective {
            price: self.price(ask, quality),
            latency_weight: self.parameters.latency_weight.at(quality),
            goals: self.parameters.goals,
            field: Field::of(fitting),
            below: self.parameters.confidence.map(|confidence| confidence.factor(&ask.signals.tails)),
            least_quality: self.parameters.least_quality,
        }
    }

    fn price(&self, ask: &Ask, quality: Option<f64>) -> Price {
        match self.parameters.cost {
            CostGoal::Weight(weight) => Price::Weight(weight.at(quality)),
            CostGoal::Budget(each) => match ask.signals.calibrated.get(budget::NAME) {
                Some(&found) if ask.unscored.is_none() => Price::Found(found),
                _ => Price::Within(each),
            },
        }
    }

    /// Returns utility without cost, and cost in cents, of every model among which the cost decides.
    fn table(&self, ask: &Ask) -> Option<Vec<f64>> {
        let gated = self.parameters.constraints.sift(ask).ok()?;
        let free = Objective { price: Price::Weight(0.0), ..self.objective(ask, &gated.fitting) };
        let mut placed: Vec<_> = gated.fitting.iter().map(|&fit| free.place(fit)).collect();
        placed.sort_by(|one, other| free.better_first(one, other));
        // Where no model is good enough the best is taken whatever it costs.
        let among = placed.iter().filter(|one| one.is_good_enough).count().max(1);
        placed.truncate(among);
        Some(placed.iter().flat_map(|one| [one.terms.utility, budget::cents(one.candidate.estimate.cost)]).collect())
    }
}

impl Strategy for QualityCost {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let mut ranked = self.rank(ask, &gated);
        let propensity = match self.price(ask, None) {
            Price::Found(found) => break_tie(&mut ranked, found.mix, ask.seed),
            Price::Weight(_) | Price::Within(_) => Probability::ONE,
        };
        let order = ranked.into_iter().map(|one| Ranked { candidate: one.candidate, terms: Some(one.terms) }).collect();
        let reason = if ask.unscored.is_some() { Reason::ScorerUnavailable } else { Reason::BestUtility };
        Ok(Decision { propensity, ..decision(order, gated, reason, self.parameters.max_fallbacks)? })
    }

    fn needs(&self) -> Needs {
        Needs::SCORES
    }

    fn shares(&self) -> Vec<f64> {
        self.parameters.confidence.and_then(Confidence::conformal_share).into_iter().collect()
    }

    fn calibrators(&self) -> Vec<Arc<dyn Calibrator>> {
        let CostGoal::Budget(each) = self.parameters.cost else { return Vec::new() };
        let same = self.clone();
        let table = Box::new(move |ask: &Ask| same.table(ask));
        vec![Arc::new(Budget { cents: budget::cents(each), table })]
    }
}

/// Puts the dearest of those that tie for the first place there with probability `mix`, else the cheapest, and returns the
/// probability of what came to pass.
fn break_tie(ranked: &mut Vec<Placed<'_>>, mix: Probability, seed: u64) -> Probability {
    let Some(best) = ranked.first().map(|first| (first.is_good_enough, first.terms.utility)) else {
        return Probability::ONE;
    };
    let ties = |one: &Placed<'_>| one.is_good_enough == best.0 && best.1 - one.terms.utility <= TIE;
    let tied = || ranked.iter().enumerate().filter(|(_, one)| ties(one));
    let cost = |&(_, one): &(usize, &Placed<'_>)| one.candidate.estimate.cost;
    let (Some((cheapest, least)), Some((dearest, most))) = (tied().min_by_key(cost), tied().max_by_key(cost)) else {
        return Probability::ONE;
    };
    if cost(&(0, least)) == cost(&(0, most)) {
        return Probability::ONE;
    }
    let takes_dearest = uniform(seed, budget::NAME) < mix.value();
    let (winner, propensity) = if takes_dearest { (dearest, mix.value()) } else { (cheapest, 1.0 - mix.value()) };
    let winner = ranked.remove(winner);
    ranked.insert(0, winner);
    Probability::clamped(propensity)
}

#[cfg(test)]
mod tests;
