//! The same scores for every prompt: for tests, and for routing by price alone.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Engine, Scorer};
use crate::domain::{Familiarity, Length, Prior, Probability, PromptView, Quality, Scores, ScoresUnavailable};

/// A scorer that looks at nothing.
#[derive(Clone, Debug)]
pub struct Constant {
    answer: Result<Scores, ScoresUnavailable>,
}

impl Constant {
    /// Returns a scorer that predicts these qualities for every prompt; other models get their mean, or one half.
    pub fn new(quality: impl IntoIterator<Item = (String, f64)>) -> Self {
        let quality: HashMap<Arc<str>, Quality> = quality
            .into_iter()
            .map(|(name, mean)| {
                (name.into(), Quality { mean: Probability::clamped(mean), spread: 0.0, verbosity: 1.0 })
            })
            .collect();
        let total: f64 = quality.values().map(|quality| quality.mean.value()).sum();
        let prior = if quality.is_empty() { 0.5 } else { total / quality.len() as f64 };
        Self {
            answer: Ok(Scores {
                embedding: Arc::new([1.0]),
                latent: Arc::new([0.0]),
                length: Length { median: 200.0, upper: 800.0 },
                quality,
                prior: Prior::flat(Probability::clamped(prior), 0.25),
                familiarity: Familiarity::UNKNOWN,
                topics: Vec::new(),
                conformal: None,
                artifact: Arc::from("constant"),
                took: Duration::ZERO,
            }),
        }
    }

    /// Returns a scorer that never has scores.
    pub fn unavailable(why: ScoresUnavailable) -> Self {
        Self { answer: Err(why) }
    }
}

#[async_trait]
impl Scorer for Constant {
    async fn score(&self, _prompt: &PromptView, _deadline: Duration) -> Result<Scores, ScoresUnavailable> {
        self.answer.clone()
    }

    fn engine(&self) -> Engine {
        Engine::Constant
    }

    fn artifact(&self) -> &str {
        "constant"
    }

    fn checksum(&self) -> &str {
        "constant"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Tokens;

    #[tokio::test]
    async fn every_prompt_gets_the_same_scores_and_the_mean_as_prior() {
        let scorer = Constant::new([("small".to_owned(), 0.4), ("large".to_owned(), 0.8)]);
        let prompt = PromptView { text: "".into(), input_tokens: Tokens(0), turns: 1 };

        let scores = scorer.score(&prompt, Duration::from_millis(1)).await.unwrap();

        assert_eq!(scores.quality["large"].mean.value(), 0.8);
        assert!((scores.prior.logit - (0.6_f64 / 0.4).ln()).abs() < 1e-9);
    }
}
