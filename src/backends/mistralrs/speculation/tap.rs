//! What runs inside the engine while a pass reads token after token.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mistralrs::{CustomLogitsProcessor, Tensor};
use parking_lot::Mutex;

/// Takes the logits after the latest token and gives the next token, or `None` when it has read enough.
pub(super) type Reader = Box<dyn FnMut(Vec<f32>) -> Option<u32> + Send>;

/// Lets a [`Reader`] choose a sequence's tokens.
///
/// The sequence ends by an error: no end token is ever given to the engine, which would keep the sequence's cache for good. An
/// engine forgets an error that comes with the prompt, so the earliest end is at the second token.
pub(super) struct Tap {
    state: Mutex<State>,
    /// Any token; it follows where the reader had enough at once.
    spare: u32,
}

struct State {
    reader: Option<Reader>,
    /// New tokens that the engine should see in its first pass.
    expected: usize,
    calls: usize,
    given: Vec<u32>,
    is_lost: bool,
}

/// How a pass ended.
pub(super) enum Ending {
    /// The reader had enough; it had given these tokens, and all of them are computed.
    Read(Vec<u32>),
    /// The engine no longer had what the pass was to build on, or died with the request; the reader was not called.
    Lost,
    /// The engine gave up.
    Broken,
}

impl Tap {
    pub(super) fn new(reader: Reader, expected: usize, spare: u32) -> Self {
        let state = State { reader: Some(reader), expected, calls: 0, given: Vec::new(), is_lost: false };
        Self { state: Mutex::new(state), spare }
    }

    /// Returns how the pass ended, once it has.
    pub(super) fn ending(&self) -> Ending {
        let mut state = self.state.lock();
        if state.is_lost || state.calls == 0 {
            return Ending::Lost;
        }
        if state.reader.is_some() {
            return Ending::Broken;
        }
        Ending::Read(std::mem::take(&mut state.given))
    }

    fn next(&self, logits: Vec<f32>, seen: usize) -> mistralrs::Result<u32> {
        let mut state = self.state.lock();
        state.calls += 1;
        if state.calls == 1 && seen != state.expected {
            state.is_lost = true;
            state.reader = None;
        }
        let token = state.reader.as_mut().and_then(|reader| reader(logits));
        match token {
            Some(token) => state.given.push(token),
            None => state.reader = None,
        }
        match token {
            Some(token) => Ok(token),
            None if state.calls == 1 => Ok(self.spare),
            None => Err(ended("the pass has read enough")),
        }
    }
}

fn ended(what: &str) -> candle_core::Error {
    candle_core::Error::Msg(what.to_owned())
}

impl CustomLogitsProcessor for Tap {
    fn apply(&self, logits: &Tensor, context: &[u32]) -> mistralrs::Result<Tensor> {
        let values: Vec<f32> = logits.to_vec1()?;
        let length = values.len();
        // A panic would kill the engine's thread.
        let token = catch_unwind(AssertUnwindSafe(|| self.next(values, context.len())))
            .unwrap_or_else(|_| Err(ended("the reader panicked")))?;
        one_hot(token, length, logits)
    }
}

/// Returns logits that leave one token possible.
pub(super) fn one_hot(token: u32, length: usize, like: &Tensor) -> mistralrs::Result<Tensor> {
    let mut forced = vec![0.0_f32; length];
    if let Some(slot) = forced.get_mut(token as usize) {
        *slot = 1.0;
    }
    Tensor::from_vec(forced, length, like.device())
}
