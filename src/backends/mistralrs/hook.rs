//! What runs inside the engine for every token.
//!
//! mistral.rs calls a logits processor synchronously with all logits and the ids so far, and draws from what it returns. This
//! one has its [`Drawing`] draw and returns a distribution in which only that token is possible; the end of an answer is the
//! model's end token, forced. So seeds, likelihoods, stop strings and limits are exact, and a caller that left costs one token.
//!
//! A panic here would kill the engine thread, so none gets out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use mistralrs::{CustomLogitsProcessor, Tensor};
use parking_lot::Mutex;

use super::{drawing::Drawing, queue::Turn, vocabulary::Vocabulary};

/// Draws the tokens of one choice.
pub(super) struct Hook {
    vocabulary: Arc<Vocabulary>,
    running: Mutex<Option<Running>>,
}

struct Running {
    drawing: Drawing,
    has_ended: bool,
    // Given back when the answer ends: from then on the engine may start another sequence, and this one is out of its batch.
    _turn: Turn,
}

impl Hook {
    /// Returns a hook that holds `turn` until the answer has ended.
    pub(super) fn new(vocabulary: Arc<Vocabulary>, drawing: Drawing, turn: Turn) -> Self {
        let running = Running { drawing, has_ended: false, _turn: turn };
        Self { vocabulary, running: Mutex::new(Some(running)) }
    }

    /// Returns the token to force.
    fn next(&self, logits: &[f32], context: &[u32]) -> u32 {
        let mut slot = self.running.lock();
        let is_first = slot.as_ref().is_some_and(|running| !running.drawing.has_begun());
        let step = |running: &mut Running| running.drawing.step(&self.vocabulary, logits, context);
        let token = slot.as_mut().filter(|running| !running.has_ended).and_then(|running| {
            // After a panic the state is never used again, so nobody sees it half changed.
            catch_unwind(AssertUnwindSafe(|| step(running))).unwrap_or(None)
        });
        if token.is_none() {
            end(&mut slot, is_first);
        }
        token.unwrap_or(self.vocabulary.end())
    }
}

/// Gives the turn back: the engine will take the sequence out of its batch. After the very first token it does so only at the
/// next call (it forgets an end that comes with the prompt), so the turn is kept until then.
fn end(slot: &mut Option<Running>, is_first: bool) {
    match slot {
        Some(running) if is_first => {
            running.has_ended = true;
            running.drawing.hang_up();
        }
        _ => *slot = None,
    }
}

impl CustomLogitsProcessor for Hook {
    fn apply(&self, logits: &Tensor, context: &[u32]) -> mistralrs::Result<Tensor> {
        let values: Vec<f32> = logits.to_vec1()?;
        let token = self.next(&values, context);
        let mut forced = values;
        forced.fill(0.0);
        if let Some(slot) = forced.get_mut(token as usize) {
            *slot = 1.0;
        }
        let length = forced.len();
        Tensor::from_vec(forced, length, logits.device())
    }
}
