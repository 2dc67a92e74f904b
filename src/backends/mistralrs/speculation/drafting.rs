//! Proposals out of a smaller model that shares the vocabulary.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use tokio::sync::OwnedMutexGuard;

use super::{
    super::{engine::EngineError, queue::Turn},
    passes::Passes,
    proposer::{Proposal, Proposer},
};

/// The stream of a seed's generator that drafts draw from, apart from those of the choices, which count from 0.
const STREAM: u64 = 1 << 63;

/// Lets a draft model write on.
pub(in super::super) struct Drafting {
    passes: OwnedMutexGuard<Passes>,
    drawing: Drawing,
    // The draft model answers nobody else meanwhile.
    turn: Turn,
}

/// How the draft draws its tokens: at the target's temperature, because the likelier a proposal is to both, the likelier it is
/// accepted. What else shapes the target's tokens is left to the target.
#[derive(Clone)]
struct Drawing {
    temperature: f64,
    random: ChaCha12Rng,
}

/// One run of the draft.
struct Run {
    drawing: Drawing,
    proposals: Vec<Proposal>,
}

impl Drafting {
    /// Returns the drafts of one choice; the same seed and choice give the same proposals.
    pub(in super::super) fn new(
        mut passes: OwnedMutexGuard<Passes>,
        turn: Turn,
        temperature: f64,
        (seed, choice): (u64, u32),
    ) -> Self {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        random.set_stream(STREAM + u64::from(choice));
        passes.forget();
        Self { passes, drawing: Drawing { temperature, random }, turn }
    }

    /// Returns how many tokens the draft's context has room for after `text`.
    fn room(&self, text: &[u32]) -> usize {
        let window = usize::try_from(self.passes.vocabulary().window()).unwrap_or(usize::MAX);
        window.saturating_sub(text.len() + 1)
    }
}

#[async_trait]
impl Proposer for Drafting {
    fn expects(&mut self, text: &[u32]) -> bool {
        self.room(text) > 0
    }

    async fn propose(&mut self, text: &[u32], most: usize) -> Result<Vec<Proposal>, EngineError> {
        let most = most.min(self.room(text));
        if most == 0 {
            return Ok(Vec::new());
        }
        self.turn.pulse().heard();
        let run = Arc::new(Mutex::new(Run { drawing: self.drawing.clone(), proposals: Vec::new() }));
        let reading = Arc::clone(&run);
        let vocabulary = Arc::clone(self.passes.vocabulary());
        let reader = move |logits: Vec<f32>| {
            let mut run = reading.lock();
            let proposal = run.drawing.draw(&logits)?;
            let token = proposal.token;
            run.proposals.push(proposal);
            // An end token is proposed like any other, but nothing follows it.
            (run.proposals.len() < most && !vocabulary.is_end(token)).then_some(token)
        };
        self.passes.run(text, Box::new(reader)).await?;
        let mut run = run.lock();
        self.drawing = run.drawing.clone();
        Ok(std::mem::take(&mut run.proposals))
    }
}

impl Drawing {
    /// Draws a token; `None` where the logits leave none.
    fn draw(&mut self, logits: &[f32]) -> Option<Proposal> {
        let (best, highest) = likeliest(logits)?;
        if self.temperature <= 0.0 {
            return Some(Proposal { token: best, odds: None });
        }
        let weight = |logit: &f32| ((f64::from(*logit) - f64::from(highest)) / self.temperature).exp();
        // Broken logits count as impossible.
        let weights: Vec<f64> =
            logits.iter().map(weight).map(|weight| if weight.is_nan() { 0.0 } else { weight }).collect();
        let total: f64 = weights.iter().sum();
        let odds: Vec<f32> = weights.iter().map(|weight| (weight / total) as f32).collect();
        let mut left = self.random.random::<f64>() * odds.iter().map(|share| f64::from(*share)).sum::<f64>();
        let drawn = (0..).zip(&odds).find(|(_, share)| {
            left -= f64::from(**share);
            left < 0.0
        });
        let token = drawn.map_or(best, |(token, _)| token);
        Some(Proposal { token, odds: Some(odds) })
    }
}

fn likeliest(logits: &[f32]) -> Option<(u32, f32)> {
    let possible = (0..).zip(logits.iter().copied()).filter(|(_, logit)| *logit > f32::NEG_INFINITY);
    possible.reduce(|best, other| if other.1 > best.1 { other } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(temperature: f64) -> Drawing {
        Drawing { temperature, random: ChaCha12Rng::seed_from_u64(1) }
    }

    #[test]
    fn without_temperature_the_likeliest_is_certain() {
        let proposal = drawing(0.0).draw(&[0.0, f32::NAN, 2.0, 1.0]).unwrap();

        assert_eq!(proposal, Proposal { token: 2, odds: None });
        assert!(drawing(0.0).draw(&[f32::NAN, f32::NEG_INFINITY]).is_none());
    }

    #[test]
    fn tokens_are_drawn_as_often_as_their_odds_say() {
        let mut drawing = drawing(1.0);
        let proposals: Vec<Proposal> =
            (0..4_000).map(|_| drawing.draw(&[3_f32.ln(), 0.0, f32::NAN]).unwrap()).collect();

        let first = proposals.iter().filter(|proposal| proposal.token == 0).count();
        // Three to one; 4,000 draws have a standard deviation of 27.
        assert!((2_850..3_150).contains(&first), "{first}");
        assert_eq!(proposals[0].odds.as_ref().unwrap()[2], 0.0);
        assert!((proposals[0].odds.as_ref().unwrap()[0] - 0.75).abs() < 1e-6);
    }
}
