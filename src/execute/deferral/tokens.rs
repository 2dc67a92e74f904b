//! What token probabilities say of an answer as a whole.

use super::Objection;
use crate::domain::{Cause, Statistic, TokenSignal};

/// Returns the statistic of the tokens' log-probabilities; `None` without tokens.
pub(in crate::execute) fn statistic(statistic: Statistic, signals: &[TokenSignal]) -> Option<f64> {
    let logprobs = signals.iter().map(|signal| signal.logprob);
    match statistic {
        _ if signals.is_empty() => None,
        Statistic::Sum => Some(logprobs.sum()),
        Statistic::Mean => Some(logprobs.sum::<f64>() / signals.len() as f64),
        Statistic::Minimum => logprobs.min_by(f64::total_cmp),
        Statistic::Quantile(share) => quantile(logprobs.collect(), share),
    }
}

/// Returns the mean difference between the likeliest and the second token; `None` where no token tells it.
pub(super) fn mean_margin(signals: &[TokenSignal]) -> Option<f64> {
    let margins: Vec<f64> = signals.iter().filter_map(|signal| signal.margin).collect();
    (!margins.is_empty()).then(|| margins.iter().sum::<f64>() / margins.len() as f64)
}

/// Returns the mean entropy in nats; `None` where no token tells it.
pub(super) fn mean_entropy(signals: &[TokenSignal]) -> Option<f64> {
    let entropies: Vec<f64> = signals.iter().filter_map(|signal| signal.entropy).collect();
    (!entropies.is_empty()).then(|| entropies.iter().sum::<f64>() / entropies.len() as f64)
}

/// Returns the objection to a value above the bound, or to one that is missing.
pub(super) fn high(value: Option<f64>, above: f64, cause: Cause) -> Option<Objection> {
    match value {
        None => Some(Objection::of(Cause::NoSignals)),
        Some(value) => (value > above || value.is_nan()).then(|| Objection::because(cause, value)),
    }
}

/// Returns the objection to a value below the bound, or to one that is missing.
pub(super) fn low(value: Option<f64>, below: f64, cause: Cause) -> Option<Objection> {
    match value {
        None => Some(Objection::of(Cause::NoSignals)),
        Some(value) => (value < below || value.is_nan()).then(|| Objection::because(cause, value)),
    }
}

/// Returns the quantile of a share in `[0, 1]`, linear between the two values next to it.
fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let place = share.clamp(0.0, 1.0) * values.len().saturating_sub(1) as f64;
    let (low, high) = (values.get(place.floor() as usize)?, values.get(place.ceil() as usize)?);
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(logprobs: &[f64]) -> Vec<TokenSignal> {
        logprobs.iter().map(|&logprob| TokenSignal { logprob, entropy: None, margin: None }).collect()
    }

    #[test]
    fn statistics_are_what_they_are_called() {
        let five = signals(&[-1.0, -5.0, -2.0, -4.0, -3.0]);
        let of = |kind| statistic(kind, &five).unwrap();

        assert_eq!((of(Statistic::Mean), of(Statistic::Sum), of(Statistic::Minimum)), (-3.0, -15.0, -5.0));
        let quantiles = [0.0, 0.1, 0.25, 0.5, 1.0].map(|share| of(Statistic::Quantile(share)));
        assert_eq!(quantiles, [-5.0, -4.6, -4.0, -3.0, -1.0]);
    }

    #[test]
    fn nothing_is_said_of_no_tokens() {
        for kind in [Statistic::Mean, Statistic::Sum, Statistic::Minimum, Statistic::Quantile(0.5)] {
            assert_eq!(statistic(kind, &[]), None);
        }
        assert_eq!(mean_margin(&signals(&[-1.0])), None);
    }

    #[test]
    fn what_is_no_number_is_low() {
        assert_eq!(low(Some(f64::NAN), -1.0, Cause::Logprob).unwrap().cause, Cause::Logprob);
        assert_eq!(low(Some(-1.0), -1.0, Cause::Logprob), None);
    }
}
