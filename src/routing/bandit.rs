//! Learning while serving: what callers thought of earlier answers moves the choice.

use super::{
    Constraints, ParameterError, Strategy, Weight,
    chance::{Draws, uniform},
    gates::Gated,
    outcome::{Ranked, decision},
    parameters::check_weight,
    quality_cost::DOLLARS_PER_UNIT,
};
use crate::domain::{
    Ask, BanditAlgorithm, Candidate, Decision, Learner, Needs, NoRoute, Observed, Probability, Reason, Terms,
};

/// The most that may be left to chance, whatever a policy says.
pub const MAX_EXPLORATION: f64 = 0.1;

/// Draws behind the propensity of a Thompson choice: its standard error is at most 0.022.
const DRAWS: u32 = 512;

/// What [`Bandit`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct BanditParameters {
    /// What every model must meet.
    pub constraints: Constraints,
    /// How grades are summed up.
    pub learner: Learner,
    /// How many standard deviations above the mean a model is judged by, with [`BanditAlgorithm::Linucb`].
    pub width: f64,
    /// Share of requests that go to a fitting model drawn at random, in `[0, 0.1]`.
    pub exploration: f64,
    /// Quality given up to save one US cent of expected cost.
    pub cost_weight: Weight,
    /// Quality given up to save one second of expected time to the last token.
    pub latency_weight: Weight,
    /// How many models stand by.
    pub max_fallbacks: usize,
}

/// Chooses the candidate of the greatest utility `u_m = q_m - w_cost * cents_m - w_latency * seconds_m`, where `q_m` is not the
/// predicted quality but what graded traffic makes of it: an upper bound, `mean + width * spread` (LinUCB), or a draw from a
/// Beta distribution of that mean and spread (Thompson). With a small probability a fitting candidate is drawn instead, each
/// with the same one, so that nothing is ever ruled out for good.
///
/// The propensity of the first leg is `(1 - e) p + e / k` with exploration share `e` and `k` fitting candidates. `p` is exact
/// for LinUCB (1 or 0); for Thompson it is the share of 512 further draws from the same seed in which the same candidate wins,
/// the deciding draw included.
#[derive(Clone, Debug)]
pub struct Bandit {
    parameters: BanditParameters,
}

impl Bandit {
    /// Returns the strategy.
    ///
    /// # Errors
    /// A number is negative, infinite, not a number or out of its bounds.
    pub fn new(parameters: BanditParameters) -> Result<Self, ParameterError> {
        parameters.cost_weight.check("cost_weight")?;
        parameters.latency_weight.check("latency_weight")?;
        check_weight("width", parameters.width)?;
        check_within("exploration", parameters.exploration, 0.0, MAX_EXPLORATION)?;
        check_within("prior", parameters.learner.prior_weight, 0.1, 1e6)?;
        check_within("discount", parameters.learner.discount, 0.5, 1.0)?;
        Ok(Self { parameters })
    }

    /// Returns the terms of every fitting candidate for one draw of their qualities.
    fn terms(&self, ask: &Ask, gated: &Gated<'_>, draws: &mut Draws) -> Vec<Terms> {
        gated.fitting.iter().map(|candidate| self.term(ask, candidate, draws)).collect()
    }

    fn term(&self, ask: &Ask, candidate: &Candidate, draws: &mut Draws) -> Terms {
        let wish = ask.preferences.quality.map(Probability::value);
        let (observed, estimate) = (observed(candidate), &candidate.estimate);
        let quality = match self.parameters.learner.algorithm {
            BanditAlgorithm::Linucb => observed.mean.value() + self.parameters.width * observed.spread,
            BanditAlgorithm::Thompson => draws.beta(observed.mean.value(), observed.spread),
        };
        let cost = -self.parameters.cost_weight.at(wish) * estimate.cost.dollars() / DOLLARS_PER_UNIT;
        let latency = -self.parameters.latency_weight.at(wish) * estimate.latency.as_secs_f64();
        // Adding zero turns the minus zero of an unused weight into zero.
        let [cost, latency] = [cost, latency].map(|term| term + 0.0);
        Terms { quality, cost, latency, goals: 0.0, utility: quality + cost + latency }
    }

    /// Returns the probability with which the candidate at `chosen` comes first without exploration.
    fn share_of(&self, chosen: usize, ask: &Ask, gated: &Gated<'_>, (best, draws): (usize, &mut Draws)) -> f64 {
        let is_chosen = u32::from(chosen == best);
        if self.parameters.learner.algorithm == BanditAlgorithm::Linucb {
            return f64::from(is_chosen);
        }
        let wins = (0..DRAWS).filter(|_| best_of(&self.terms(ask, gated, draws)) == chosen).count();
        (f64::from(is_chosen) + wins as f64) / f64::from(DRAWS + 1)
    }

    /// Returns the candidate that chance puts first, if it does.
    fn explored(&self, ask: &Ask, fitting: usize) -> Option<usize> {
        if fitting == 0 || uniform(ask.seed, "explore") >= self.parameters.exploration {
            return None;
        }
        let place = uniform(ask.seed, "explored") * fitting as f64;
        Some((place as usize).min(fitting - 1))
    }
}

impl Strategy for Bandit {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let mut draws = Draws::new(ask.seed, "bandit");
        let terms = self.terms(ask, &gated, &mut draws);
        let best = best_of(&terms);
        let explored = self.explored(ask, gated.fitting.len());
        let chosen = explored.unwrap_or(best);
        let share = self.share_of(chosen, ask, &gated, (best, &mut draws));
        let exploration = self.parameters.exploration;
        let propensity = (1.0 - exploration) * share + exploration / gated.fitting.len().max(1) as f64;
        let order = in_order(&terms, &gated, chosen);
        let reason = match explored {
            Some(_) => Reason::Explored,
            None if ask.unscored.is_some() => Reason::ScorerUnavailable,
            None => Reason::BestUtility,
        };
        let decision = decision(order, gated, reason, self.parameters.max_fallbacks)?;
        Ok(Decision { propensity: Probability::clamped(propensity), ..decision })
    }

    fn needs(&self) -> Needs {
        Needs { traffic: true, ..Needs::SCORES }
    }

    fn learner(&self) -> Option<Learner> {
        Some(self.parameters.learner)
    }
}

/// Returns what is known of a candidate: without graded traffic, what the router predicts.
fn observed(candidate: &Candidate) -> Observed {
    let estimate = &candidate.estimate;
    let predicted = Observed { mean: estimate.quality, weight: 0.0, spread: estimate.spread };
    candidate.evidence.traffic.unwrap_or(predicted)
}

/// Returns the place of the greatest utility; the first of equals.
fn best_of(terms: &[Terms]) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (place, terms) in terms.iter().enumerate() {
        if terms.utility > best.1 {
            best = (place, terms.utility);
        }
    }
    best.0
}

/// Returns the candidates, `chosen` first, the others by utility.
fn in_order<'a>(terms: &[Terms], gated: &Gated<'a>, chosen: usize) -> Vec<Ranked<'a>> {
    let mut placed: Vec<_> = gated.fitting.iter().zip(terms).enumerate().collect();
    placed.sort_by(|(_, (_, one)), (_, (_, other))| other.utility.total_cmp(&one.utility));
    placed.sort_by_key(|(place, _)| *place != chosen);
    placed.into_iter().map(|(_, (&candidate, &terms))| Ranked { candidate, terms: Some(terms) }).collect()
}

fn check_within(name: &str, value: f64, min: f64, max: f64) -> Result<(), ParameterError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ParameterError::OutOfBounds { name: name.to_owned(), value, min, max })
}

#[cfg(test)]
mod tests;
