//! What is to be expected of a model on a prompt: quality, length, cost and time.

use std::time::Duration;

use crate::domain::{Estimate, ModelFacts, NanoUsd, Probability, RequestFacts, Scores, Tokens, Usage};

/// Expected answer length without scores, in tokens. The median answer has about 100 tokens on MMLU-Pro and 200 on ZeroEval;
/// this stands above both, because conversation is not multiple choice and a cost is better guessed high.
pub const DEFAULT_OUTPUT_TOKENS: f64 = 256.0;

/// Longest answer assumed for the upper cost where neither request nor model sets a limit:
/// ours, a bound and not a measurement. Filling the whole window would rule out every model of a long one.
pub const DEFAULT_LONGEST_ANSWER: Tokens = Tokens(4_096);

/// Quality assumed without scores: nothing is known.
pub const DEFAULT_QUALITY: f64 = 0.5;

/// Its standard deviation: that of a number of which nothing is known but that it lies in `[0, 1]`.
pub const DEFAULT_SPREAD: f64 = 0.29;

/// A model's speed as measured on its last answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredLatency {
    /// Milliseconds to the first token, less what the prompts' lengths account for; `None` before the first answer.
    pub first_token_ms: Option<f64>,
    /// Milliseconds for each token after the first; `None` before the first answer of more than one token.
    pub per_token_ms: Option<f64>,
    /// Milliseconds that a request would wait for its turn now, in a queue of this process.
    pub queue_ms: f64,
}

/// Returns what is expected of a model on a prompt.
///
/// - Quality: that of the model's profile; without a profile the prior over all profiles; without scores
///   [`DEFAULT_QUALITY`]. The latter two are marked as priors.
/// - Length: the predicted median times the model's verbosity, at most [`longest_answer`].
/// - Cost: list prices for prompt and expected answer, times the number of choices. The upper cost is that of the longest
///   answer allowed.
/// - Latency: the wait for a turn, plus time to the first token of an empty prompt, plus the time for reading the prompt, plus time per token; the first
///   and the last measured where they have been measured. Choices run in parallel.
pub fn estimate(
    model: &ModelFacts,
    request: &RequestFacts,
    scores: Option<&Scores>,
    measured: Option<MeasuredLatency>,
) -> Estimate {
    let longest = longest_answer(model, request);
    let profile = scores.and_then(|scores| scores.quality.get(model.profile_name()));
    let verbosity = profile.map_or(1.0, |profile| profile.verbosity);
    let median = scores.map_or(DEFAULT_OUTPUT_TOKENS, |scores| scores.length.median * verbosity);
    let output_tokens = bounded(median, longest.0 as f64);
    let (prior, prior_spread) = match scores {
        Some(scores) => (scores.prior.quality(model), scores.prior.spread),
        None => (Probability::clamped(DEFAULT_QUALITY), DEFAULT_SPREAD),
    };
    let (quality, spread) = profile.map_or((prior, prior_spread), |profile| (profile.mean, profile.spread));
    Estimate {
        quality,
        spread,
        prior,
        prior_spread,
        is_prior: profile.is_none(),
        output_tokens,
        cost: cost(model, request, Tokens(output_tokens.ceil() as u64)),
        cost_upper: cost(model, request, longest),
        latency: latency(model, measured, (request.input_tokens, output_tokens)),
    }
}

/// Returns the longest answer that request, model and context window allow, or [`DEFAULT_LONGEST_ANSWER`] where only the
/// context window does; at least one token.
pub fn longest_answer(model: &ModelFacts, request: &RequestFacts) -> Tokens {
    let room = model.context_window.0.saturating_sub(request.input_tokens.0);
    let limit = match (request.max_output, model.max_output) {
        (Some(asked), Some(able)) => asked.min(able),
        (Some(limit), None) | (None, Some(limit)) => limit,
        (None, None) => DEFAULT_LONGEST_ANSWER,
    };
    Tokens(limit.0.min(room).max(1))
}

fn cost(model: &ModelFacts, request: &RequestFacts, answer: Tokens) -> NanoUsd {
    let output = Tokens(answer.0.saturating_mul(u64::from(request.choices.max(1))));
    model.prices.cost(&Usage { input: request.input_tokens, output, ..Usage::default() })
}

fn latency(model: &ModelFacts, measured: Option<MeasuredLatency>, (prompt, output_tokens): (Tokens, f64)) -> Duration {
    let idle = measured.and_then(|measured| measured.first_token_ms).unwrap_or(model.first_token_ms);
    let queue = measured.map_or(0.0, |measured| measured.queue_ms);
    let first = queue + idle + model.prefill_ms(prompt);
    let each = measured.and_then(|measured| measured.per_token_ms).unwrap_or(model.per_token_ms);
    let seconds = (first + each * (output_tokens - 1.0)) / 1_000.0;
    // An answer that is predicted to take longer than a Duration holds is out of reach of any limit.
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

fn bounded(tokens: f64, longest: f64) -> f64 {
    if tokens.is_nan() { DEFAULT_OUTPUT_TOKENS.min(longest) } else { tokens.clamp(1.0, longest) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::{Familiarity, Length, Prior, Quality},
        routing::samples::facts,
    };

    fn request() -> RequestFacts {
        RequestFacts { input_tokens: Tokens(1_000), choices: 1, ..RequestFacts::default() }
    }

    fn scores() -> Scores {
        let quality = Quality { mean: Probability::clamped(0.8), spread: 0.05, verbosity: 1.5 };
        Scores {
            embedding: Arc::new([]),
            latent: Arc::new([]),
            length: Length { median: 100.0, upper: 400.0 },
            quality: [(Arc::from("profiled"), quality)].into(),
            prior: Prior::flat(Probability::clamped(0.6), 0.2),
            familiarity: Familiarity::UNKNOWN,
            topics: Vec::new(),
            conformal: None,
            artifact: Arc::from("test"),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn a_profiled_model_is_judged_by_its_profile() {
        let estimate = estimate(&facts("profiled"), &request(), Some(&scores()), None);

        assert_eq!((estimate.quality.value(), estimate.is_prior), (0.8, false));
        assert_eq!(estimate.output_tokens, 150.0);
        // 1,000 tokens at $1 and 150 at $4 per million; 400 ms and 149 times 10 ms.
        assert_eq!(estimate.cost, NanoUsd(1_000_000 + 600_000));
        assert_eq!(estimate.cost_upper, NanoUsd(1_000_000 + 8_000 * 4_000));
        assert_eq!(estimate.latency, Duration::from_millis(400 + 1_490));
    }

    #[test]
    fn an_unknown_model_is_taken_for_an_average_one() {
        let estimate = estimate(&facts("unknown"), &request(), Some(&scores()), None);

        assert!((estimate.quality.value() - 0.6).abs() < 1e-9);
        assert!(estimate.is_prior);
        assert_eq!(estimate.output_tokens, 100.0);
    }

    #[test]
    fn nothing_is_known_without_scores() {
        let estimate = estimate(&facts("profiled"), &request(), None, None);

        assert_eq!((estimate.quality.value(), estimate.is_prior), (DEFAULT_QUALITY, true));
        assert_eq!(estimate.output_tokens, DEFAULT_OUTPUT_TOKENS);
    }

    #[test]
    fn the_caller_s_limit_shortens_the_answer() {
        let request = RequestFacts { max_output: Some(Tokens(20)), ..request() };

        let estimate = estimate(&facts("profiled"), &request, Some(&scores()), None);

        assert_eq!(estimate.output_tokens, 20.0);
        assert_eq!(estimate.cost, estimate.cost_upper);
    }

    #[test]
    fn measured_speed_replaces_the_configured_one() {
        let measured = MeasuredLatency { first_token_ms: Some(100.0), per_token_ms: None, queue_ms: 0.0 };

        let estimate = estimate(&facts("unknown"), &request(), Some(&scores()), Some(measured));

        assert_eq!(estimate.latency, Duration::from_millis(100 + 990));
    }

    #[test]
    fn a_long_prompt_delays_the_first_token() {
        let model = ModelFacts { prompt_ms: 50.0, ..facts("unknown") };
        let long = RequestFacts { input_tokens: Tokens(20_000), ..request() };

        let (short, long) = (estimate(&model, &request(), None, None), estimate(&model, &long, None, None));

        assert_eq!(long.latency - short.latency, Duration::from_millis(19 * 50));
    }

    #[test]
    fn every_choice_is_paid() {
        let request = RequestFacts { choices: 3, ..request() };

        let estimate = estimate(&facts("unknown"), &request, Some(&scores()), None);

        assert_eq!(estimate.cost, NanoUsd(1_000_000 + 3 * 400_000));
    }

    #[test]
    fn a_window_without_a_stated_limit_is_not_filled() {
        let mut model = facts("unknown");
        model.max_output = None;
        let nearly_full = RequestFacts { input_tokens: Tokens(31_900), ..request() };

        assert_eq!(longest_answer(&model, &request()), DEFAULT_LONGEST_ANSWER);
        assert_eq!(longest_answer(&model, &nearly_full), Tokens(100));
    }
}
