//! Drawing the next token from a model's logits.
//!
//! mistral.rs's own sampler has no seed, gives log10 of a distribution after masking, and is greedy only by accident of a
//! parameter; this one is seeded, reports exact natural log-probabilities of the model's own distribution (before penalties,
//! temperature and nucleus), and is greedy at temperature 0.
//!
//! ```text
//! logits -> Own            the model's own distribution: log-probabilities, entropy, margin
//!        -> bias, penalties, mask          in place
//!        -> temperature, min-p, top-k, top-p -> Distribution
//!        -> a draw, or the verdict on a proposed token
//! ```
//!
//! The order is vLLM's: bias, penalties, temperature, min-p, top-k, top-p. The logits are copied once.

mod distribution;
mod exponential;
mod likelihood;

use std::collections::{HashMap, HashSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

pub(super) use self::{distribution::Proposal, likelihood::Likely};
use self::{
    distribution::{Cut, Distribution, likeliest},
    likelihood::Own,
};
use super::vocabulary::Mask;
use crate::{domain::TokenSignal, wire::chat::Sampling};

/// A drawn token and what the model itself held of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drawn {
    pub(super) token: u32,
    /// How sure the model was.
    pub(super) signal: TokenSignal,
    /// The likeliest tokens, if they were asked for.
    pub(super) top: Vec<Likely>,
}

/// Draws token after token for one choice.
pub(super) struct Sampler {
    sampling: Sampling,
    top: usize,
    random: ChaCha12Rng,
    prompt: HashSet<u32>,
    drawn: HashMap<u32, u32>,
    // Room for shifted logits, so that no token has to ask for it again.
    spare: Vec<f32>,
}

impl Sampler {
    /// Returns a sampler; the same seed, choice and logits give the same tokens. With each come the `top` likeliest.
    pub(super) fn new(sampling: &Sampling, seed: u64, choice: u32, top: usize) -> Self {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        random.set_stream(u64::from(choice));
        let (prompt, drawn, spare) = (HashSet::new(), HashMap::new(), Vec::new());
        Self { sampling: sampling.clone(), top, random, prompt, drawn, spare }
    }

    /// Takes note of the prompt, whose tokens the repetition penalty counts too.
    pub(super) fn read(&mut self, prompt: &[u32]) {
        if self.sampling.repetition_penalty.is_some_and(|penalty| penalty != 1.0) {
            self.prompt.extend(prompt);
        }
    }

    /// Takes note of a token of the answer, for the penalties on the next ones.
    fn take(&mut self, token: u32) {
        *self.drawn.entry(token).or_default() += 1;
    }

    /// Draws the next token among those that `mask` allows, and takes note of it; `None` when there is none. With a proposal that
    /// was drawn from odds, the draw is a verdict on it, of the same distribution.
    pub(super) fn draw(
        &mut self,
        logits: &[f32],
        mask: Option<&Mask>,
        proposal: Option<&Proposal<'_>>,
    ) -> Option<Drawn> {
        let target = self.adjusted(logits, mask)?;
        let token = match proposal {
            Some(proposal) => self.verdict(&target, proposal),
            None => self.pick(&target),
        };
        self.spare = target.into_buffer();
        self.take(token);
        let own = Own::of(logits);
        let logit = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let top = own.top(logits, self.top);
        Some(Drawn { token, signal: own.signal(logit), top })
    }

    /// Returns the distribution that the next token is drawn from: after bias, penalties, mask, temperature and cuts. `None` when
    /// no token is possible.
    fn adjusted(&mut self, logits: &[f32], mask: Option<&Mask>) -> Option<Distribution> {
        if self.is_greedy() && !self.shifts() && mask.is_none() {
            return likeliest(logits).map(Distribution::certain);
        }
        let mut shifted = std::mem::take(&mut self.spare);
        shifted.clear();
        shifted.extend_from_slice(logits);
        self.shift(&mut shifted);
        if let Some(mask) = mask {
            mask.forbid(&mut shifted);
        }
        let best = likeliest(&shifted)?;
        if self.is_greedy() {
            self.spare = shifted;
            return Some(Distribution::certain(best));
        }
        Distribution::of(shifted, best, &self.cut())
    }

    /// Draws a token without taking note of it.
    fn pick(&mut self, distribution: &Distribution) -> u32 {
        distribution.pick(self.random.random())
    }

    /// Returns a proposed token, or another one: whichever, it is distributed as `target` (Leviathan et al. 2023, algorithm 1:
    /// the proposal stands with probability `min(1, p/q)`; else the token is drawn from what `p` exceeds `q` by). A proposal that
    /// is certain stands where it is what would be drawn anyway, which is as likely, and gives the text that the seed gives.
    fn verdict(&mut self, target: &Distribution, proposal: &Proposal<'_>) -> u32 {
        let Some(odds) = proposal.odds else { return self.pick(target) };
        let aim: f64 = self.random.random();
        let share = odds.get(proposal.token as usize).copied().unwrap_or(0.0);
        if aim * f64::from(share) < target.share(proposal.token) {
            return proposal.token;
        }
        match target.beyond(odds) {
            Some(rest) => self.pick(&rest),
            None => self.pick(target),
        }
    }

    fn is_greedy(&self) -> bool {
        let Sampling { temperature, top_p, top_k, .. } = &self.sampling;
        temperature.is_some_and(|temperature| temperature <= 0.0)
            || top_p.is_some_and(|share| share <= 0.0)
            || *top_k == Some(1)
    }

    /// Returns whether bias or penalties may move a logit now.
    fn shifts(&self) -> bool {
        let Sampling { logit_bias, presence_penalty, frequency_penalty, repetition_penalty, .. } = &self.sampling;
        !logit_bias.is_empty()
            || presence_penalty.is_some()
            || frequency_penalty.is_some()
            || repetition_penalty.is_some()
    }

    /// Adds the bias and takes the penalties off.
    fn shift(&self, logits: &mut [f32]) {
        for (token, bias) in &self.sampling.logit_bias {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit += bias;
            }
        }
        if let Some(penalty) = self.sampling.repetition_penalty.filter(|penalty| *penalty != 1.0) {
            self.penalise_repetition(logits, penalty as f32);
        }
        self.penalise_answer(logits);
    }

    /// Keskar et al. 2019, section 4.1, as vLLM has it: what stands in the prompt or the answer is divided by the penalty where
    /// its logit is positive, and multiplied by it where not.
    fn penalise_repetition(&self, logits: &mut [f32], penalty: f32) {
        let answered = self.drawn.keys().filter(|token| !self.prompt.contains(token));
        for token in self.prompt.iter().chain(answered) {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    /// OpenAI's penalties: each token drawn so far loses the presence penalty once and the frequency penalty per occurrence.
    fn penalise_answer(&self, logits: &mut [f32]) {
        let presence = self.sampling.presence_penalty.unwrap_or(0.0);
        let frequency = self.sampling.frequency_penalty.unwrap_or(0.0);
        if presence == 0.0 && frequency == 0.0 {
            return;
        }
        for (token, count) in &self.drawn {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit = (f64::from(*logit) - presence - frequency * f64::from(*count)) as f32;
            }
        }
    }

    fn cut(&self) -> Cut {
        Cut {
            temperature: self.sampling.temperature.unwrap_or(1.0),
            min_p: self.sampling.min_p.unwrap_or(0.0),
            top_k: self.sampling.top_k.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0),
            top_p: self.sampling.top_p.unwrap_or(1.0),
        }
    }
}

#[cfg(test)]
mod tests;
