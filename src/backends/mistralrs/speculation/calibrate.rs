//! Whether speculation pays on this machine: measured, not guessed.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    super::{
        engine::{EngineError, template_message},
        vocabulary::Vocabulary,
    },
    counts::{Counted, Counts},
    decode::{Writing, decode},
    order::{Aid, Order},
    pace::{Costs, Pace},
    passes::Passes,
    proposer::Proposal,
};
use crate::wire::chat::{Message, Role};

/// Tokens that are decoded each way. Fewer would be noise; more would keep a model from being ready.
const TOKENS: u64 = 24;

/// A text that invites to be repeated, as lookup likes it, and that any draft can write.
const TASK: &str = "Repeat this text word for word: The points send each train down the right line, and the line to the \
    harbour is the longest of them all. The points send each train down the right line.";

/// Tokens per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Speeds {
    /// Decoded one by one.
    pub(in super::super) plain: f64,
    /// Decoded with proposals.
    pub(in super::super) speculative: f64,
}

/// Writes greedily, says nothing, and looks at the clock.
struct Silent {
    vocabulary: Arc<Vocabulary>,
    left: u64,
    ticks: Arc<Mutex<Vec<Instant>>>,
}

impl Silent {
    /// Returns the likeliest token that does not end the answer: the time for a number of tokens is measured.
    fn choose(&self, logits: &[f32]) -> Option<u32> {
        let tokens = (0..).zip(logits.iter().copied()).filter(|(token, _)| !self.vocabulary.is_end(*token));
        tokens.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(token, _)| token)
    }
}

impl Writing for Silent {
    fn begin(&mut self, _: &[u32]) -> bool {
        true
    }

    fn next(&mut self, logits: Vec<f32>) -> Option<u32> {
        self.ticks.lock().push(Instant::now());
        self.left = self.left.checked_sub(1)?;
        self.choose(&logits)
    }

    fn judge(&mut self, logits: Vec<f32>, proposal: &Proposal) -> (Option<u32>, bool) {
        let token = self.next(logits);
        (token, token == Some(proposal.token))
    }

    fn left(&self) -> u64 {
        self.left
    }
}

/// Measures plain decoding, then decoding with what `aid` gives. What is learnt of costs goes to `costs`.
///
/// # Errors
/// The engine failed.
pub(in super::super) async fn measure(
    passes: &mut Passes,
    aid: Aid,
    pace: Pace,
    costs: &Arc<Costs>,
) -> Result<Speeds, EngineError> {
    let (plain, _) = speed(passes, Aid::Nothing, Pace::new(0, false, false), costs).await?;
    let (speculative, _) = speed(passes, aid, pace, costs).await?;
    Ok(Speeds { plain, speculative })
}

/// Decodes the task once; returns tokens per second and what was done.
///
/// # Errors
/// The engine failed.
pub(in super::super) async fn speed(
    passes: &mut Passes,
    aid: Aid,
    pace: Pace,
    costs: &Arc<Costs>,
) -> Result<(f64, Counted), EngineError> {
    let task = Message { role: Role::User, text: TASK.to_owned(), parts: Vec::new() };
    let prompt = passes.prompt(vec![template_message(&task)]).await?;
    let vocabulary = Arc::clone(passes.vocabulary());
    let ticks = Arc::new(Mutex::new(Vec::new()));
    let writing = Box::new(Silent { vocabulary, left: TOKENS, ticks: Arc::clone(&ticks) });
    let counts = Arc::new(Counts::default());
    let order = Order { writing, aid, pace, costs: Arc::clone(costs), counts: Arc::clone(&counts) };
    if let Some(work) = order.work(prompt, passes.vocabulary()) {
        decode(passes, work).await?;
    }
    let ticks = ticks.lock();
    // From the first token on, so that reading the prompt does not count.
    let span = ticks.first().zip(ticks.last()).map(|(first, last)| *last - *first);
    let seconds = span.unwrap_or_default().as_secs_f64();
    let speed = if seconds > 0.0 { (ticks.len() - 1) as f64 / seconds } else { 0.0 };
    Ok((speed, counts.counted()))
}
