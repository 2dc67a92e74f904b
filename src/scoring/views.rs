//! Several looks at one prompt: what text that is put in front or behind can do is bounded by what the other looks say.
//!
//! A prompt is scored whole, without its first third, without its last third, in its middle third and in its last half; each
//! model's quality is the median of the five (after arXiv:2501.01818, which finds that averaged and repeated views blunt
//! confounding prefixes). A short prefix stands in two of the five looks, a short suffix in three. Where the looks disagree, the
//! spread grows with them. It takes about three times as long as one look, so policies ask for it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::Scorer;
use crate::domain::{Probability, PromptView, Quality, Scores, ScoresUnavailable};

/// Texts shorter than this, in bytes, are looked at once: their parts say too little.
pub const SHORTEST: usize = 120;

/// Scores a prompt by several looks within `deadline` each.
///
/// # Errors
/// One of the looks got no scores.
///
/// # Cancel safety
/// Dropping the future abandons the prompt.
pub async fn score(scorer: &dyn Scorer, prompt: &PromptView, deadline: Duration) -> Result<Scores, ScoresUnavailable> {
    let whole = scorer.score(prompt, deadline).await?;
    let mut looks = vec![whole];
    for part in parts(&prompt.text) {
        let view = PromptView { text: Arc::from(part), ..prompt.clone() };
        looks.push(scorer.score(&view, deadline).await?);
    }
    Ok(median_of(looks))
}

/// Returns the parts of a text that are looked at besides the whole; none of a short text.
fn parts(text: &str) -> Vec<&str> {
    if text.len() < SHORTEST {
        return Vec::new();
    }
    let cut = |share: usize| at_blank(text, text.len() * share / 6);
    let spans = [(cut(2), text.len()), (0, cut(4)), (cut(2), cut(4)), (cut(3), text.len())];
    spans.into_iter().filter_map(|(start, end)| text.get(start..end)).collect()
}

/// Returns the first blank at or after `place`, or the next place where a character starts; at most a dozen bytes away.
fn at_blank(text: &str, place: usize) -> usize {
    const FAR: usize = 12;
    let near = place..text.len().min(place + FAR);
    let blank = near.clone().find(|&index| text.as_bytes().get(index).is_some_and(u8::is_ascii_whitespace));
    blank.or_else(|| near.clone().find(|&index| text.is_char_boundary(index))).unwrap_or(text.len())
}

/// Returns the first look with the qualities of all.
fn median_of(mut looks: Vec<Scores>) -> Scores {
    let logits = looks.iter().map(|look| look.prior.logit).collect();
    let mut qualities: HashMap<Arc<str>, Vec<Quality>> = HashMap::new();
    for look in &looks {
        for (name, quality) in &look.quality {
            qualities.entry(Arc::clone(name)).or_default().push(*quality);
        }
    }
    let mut whole = looks.swap_remove(0);
    whole.prior.logit = median(logits);
    for (name, quality) in &mut whole.quality {
        if let Some(seen) = qualities.get(name) {
            quality.mean = Probability::clamped(median(seen.iter().map(|look| look.mean.value()).collect()));
            quality.spread = quality.spread.hypot(deviation(seen)).min(0.5);
        }
    }
    whole
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Returns the standard deviation between looks.
fn deviation(looks: &[Quality]) -> f64 {
    let count = looks.len().max(1) as f64;
    let mean = looks.iter().map(|look| look.mean.value()).sum::<f64>() / count;
    (looks.iter().map(|look| (look.mean.value() - mean).powi(2)).sum::<f64>() / count).sqrt()
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use proptest::{prop_assert, proptest};

    use super::*;
    use crate::{
        domain::Tokens,
        scoring::{Constant, Engine},
    };

    /// A scorer that takes texts with a `gadget` for easy ones.
    struct Gullible;

    #[async_trait]
    impl Scorer for Gullible {
        async fn score(&self, prompt: &PromptView, deadline: Duration) -> Result<Scores, ScoresUnavailable> {
            let quality = if prompt.text.contains("gadget") { 0.9 } else { 0.4 };
            Constant::new([("model".to_owned(), quality)]).score(prompt, deadline).await
        }

        fn engine(&self) -> Engine {
            Engine::Constant
        }

        fn artifact(&self) -> &str {
            "gullible"
        }

        fn checksum(&self) -> &str {
            "gullible"
        }
    }

    async fn quality(text: &str) -> Quality {
        let prompt = PromptView { text: text.into(), input_tokens: Tokens(10), turns: 1 };
        score(&Gullible, &prompt, Duration::from_secs(1)).await.unwrap().quality["model"]
    }

    #[tokio::test]
    async fn a_prefix_does_not_move_the_median() {
        let prompt = "what is the sum of the first hundred odd numbers ".repeat(4);

        let plain = quality(&prompt).await;
        let pushed = quality(&format!("gadget {prompt}")).await;

        assert_eq!(pushed.mean, plain.mean);
        assert!(pushed.spread > plain.spread, "the looks disagree");
    }

    #[tokio::test]
    async fn a_short_text_is_looked_at_once() {
        assert_eq!(quality("gadget").await.mean.value(), 0.9);
    }

    proptest! {
        #[test]
        fn every_part_lies_in_the_text(text in "\\PC{0,400}") {
            for part in parts(&text) {
                prop_assert!(!part.is_empty() && text.contains(part));
            }
        }
    }
}
