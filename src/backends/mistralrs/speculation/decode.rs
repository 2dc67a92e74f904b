//! One answer, decoded with proposals.
//!
//! ```text
//! run    the prompt, and two tokens at the least
//! loop   propose    gamma tokens after the text
//!        rows       one pass of the target over them
//!        judge      token by token, each with the logits that the target has there: as if it had drawn it itself
//!        or run     token by token, where there is no guess or none pays
//! ```
//!
//! Whatever shapes an answer (penalties, grammar, stop strings, limits, log-probabilities) depends on the tokens before, and is
//! applied to each row only when those are settled. So nothing of it is excluded, and a proposal that the grammar forbids is
//! rejected like any other.
//!
//! # Exactness
//!
//! A greedy answer is that of plain decoding, up to rounding: a pass over several rows adds up in another order than a pass over
//! one. In single precision that is about a millionth of a logit, and no token of the tests differs; in half precision two
//! tokens whose logits tie to three digits may change places. With a temperature, tokens are accepted by Leviathan's rule, whose
//! distribution is the target's own (Leviathan et al. 2023, appendix A.1).

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    super::engine::EngineError,
    counts::Counts,
    pace::{Costs, Pace, REST},
    passes::Passes,
    proposer::{Proposal, Proposer},
};

/// Makes the tokens of one answer out of logits.
pub(in super::super) trait Writing: Send {
    /// Takes note that a prompt is read; `false` when there is nothing to write.
    fn begin(&mut self, prompt: &[u32]) -> bool;

    /// Draws the next token; `None` when the answer has ended or nobody listens any more.
    fn next(&mut self, logits: Vec<f32>) -> Option<u32>;

    /// Accepts the proposed token or draws another, by Leviathan's rule; returns the token, `None` as in [`Writing::next`], and
    /// whether it is the proposed one.
    fn judge(&mut self, logits: Vec<f32>, proposal: &Proposal) -> (Option<u32>, bool);

    /// Returns how many tokens the answer may still have.
    fn left(&self) -> u64;
}

/// What an answer is decoded with.
pub(in super::super) struct Work {
    /// The prompt and what is written.
    pub(in super::super) text: Vec<u32>,
    /// What makes tokens out of logits.
    pub(in super::super) writing: Box<dyn Writing>,
    /// What guesses; `None` decodes plainly.
    pub(in super::super) proposer: Option<Box<dyn Proposer>>,
    /// How many guesses at a time.
    pub(in super::super) pace: Pace,
    /// What things take on this machine.
    pub(in super::super) costs: Arc<Costs>,
    /// What was done.
    pub(in super::super) counts: Arc<Counts>,
}

/// An answer under way.
struct Decoding {
    work: Work,
    is_over: bool,
    /// Tokens to decode plainly before proposals are tried again.
    rest: usize,
    run: Run,
}

/// A run of plain decoding.
#[derive(Default)]
struct Run {
    tokens: usize,
    latest: Option<Instant>,
}

/// Decodes an answer to its end, or until nobody listens any more.
///
/// # Errors
/// The target's engine failed. A proposer that fails is left out from there on.
pub(in super::super) async fn decode(passes: &mut Passes, work: Work) -> Result<(), EngineError> {
    passes.forget();
    let mut decoding = Decoding { work, is_over: false, rest: 0, run: Run::default() };
    decoding = decoding.plain(passes).await?;
    while !decoding.is_over {
        let proposals = decoding.proposals().await;
        let goes_on = !proposals.is_empty() && decoding.check(passes, &proposals).await?;
        if !goes_on && !decoding.is_over {
            decoding = decoding.plain(passes).await?;
        }
    }
    passes.settle().await;
    Ok(())
}

impl Decoding {
    /// Decodes token by token until there is something to propose.
    async fn plain(mut self, passes: &mut Passes) -> Result<Self, EngineError> {
        self.run = Run::default();
        let text = self.work.text.clone();
        let slot = Arc::new(Mutex::new(Some(self)));
        let reader = || {
            let reading = Arc::clone(&slot);
            Box::new(move |logits| reading.lock().as_mut().and_then(|decoding| decoding.read(logits)))
        };
        // An engine that was started again has forgotten the text, and reads it anew.
        if passes.run(&text, reader()).await?.is_none() && passes.run(&text, reader()).await?.is_none() {
            return Err(EngineError::Died);
        }
        let decoding = slot.lock().take();
        decoding.ok_or(EngineError::Died)
    }

    /// Takes the logits after the text and returns the token to go on with, if plain decoding goes on.
    fn read(&mut self, logits: Vec<f32>) -> Option<u32> {
        let now = Instant::now();
        if let Some(latest) = self.run.latest.replace(now) {
            self.work.costs.note_plain(1, now - latest);
        }
        let Some(token) = self.work.writing.next(logits) else {
            self.is_over = true;
            return None;
        };
        self.work.text.push(token);
        self.work.counts.note_plain(1);
        self.run.tokens += 1;
        self.rest = self.rest.saturating_sub(1);
        // The engine computes a second token in any case.
        let may_stop = self.run.tokens > 1 && self.rest == 0 && self.room() > 0;
        (!(may_stop && self.expects())).then_some(token)
    }

    fn expects(&mut self) -> bool {
        let text = &self.work.text;
        self.work.proposer.as_mut().is_some_and(|proposer| proposer.expects(text))
    }

    /// Returns how many proposals could be of use: one token less than the answer may still have, because the pass that checks
    /// them gives one more.
    fn room(&self) -> usize {
        usize::try_from(self.work.writing.left()).unwrap_or(usize::MAX).saturating_sub(1)
    }

    async fn proposals(&mut self) -> Vec<Proposal> {
        let paying = self.work.pace.proposals(&self.work.costs);
        // Where it does not pay, one proposal after a rest shows whether that has changed.
        let most = paying.max(1).min(self.room());
        let Some(proposer) = &mut self.work.proposer else { return Vec::new() };
        let begun = Instant::now();
        let proposals = if most == 0 {
            Vec::new()
        } else {
            match proposer.propose(&self.work.text, most).await {
                Ok(proposals) => proposals,
                Err(error) => {
                    tracing::warn!(%error, "proposals failed, the answer goes on without");
                    self.work.proposer = None;
                    return Vec::new();
                }
            }
        };
        self.work.costs.note_proposals(proposals.len(), begun.elapsed());
        self.rest = if paying == 0 { REST } else { 0 };
        proposals
    }

    /// Checks proposals in one pass of the target; returns whether there are further ones to be made at once.
    async fn check(&mut self, passes: &mut Passes, proposals: &[Proposal]) -> Result<bool, EngineError> {
        let tokens = proposals.iter().map(|proposal| proposal.token);
        let text: Vec<u32> = self.work.text.iter().copied().chain(tokens).collect();
        let begun = Instant::now();
        let Some(rows) = passes.rows(&text, proposals.len() + 1).await? else { return Ok(false) };
        self.judge(rows, proposals);
        passes.settle().await;
        self.work.costs.note_pass(proposals.len(), begun.elapsed());
        Ok(self.rest == 0 && self.expects())
    }

    fn judge(&mut self, rows: Vec<Vec<f32>>, proposals: &[Proposal]) {
        let (mut accepted, mut made) = (0, 0);
        let mut proposals = proposals.iter();
        let proposed = proposals.len();
        for logits in rows {
            let proposal = proposals.next();
            let (token, is_accepted) = match proposal {
                Some(proposal) => self.work.writing.judge(logits, proposal),
                None => (self.work.writing.next(logits), false),
            };
            accepted += usize::from(is_accepted);
            self.is_over = token.is_none();
            self.work.text.extend(token);
            made += usize::from(token.is_some());
            if !is_accepted || self.is_over {
                break;
            }
        }
        self.work.pace.note(accepted, accepted < proposed && !self.is_over);
        self.work.counts.note_pass(proposed, accepted, made);
    }
}
