//! What runs inside the engine for every token.
//!
//! mistral.rs calls a logits processor synchronously with all logits and the ids so far, and draws from what it returns. This
//! one draws itself and returns a distribution in which only its own choice is possible; the end of an answer is the model's
//! end token, forced. So seeds, likelihoods, stop strings and limits are exact, and a caller that left costs one token.
//!
//! A panic here would kill the engine thread, so none gets out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use mistralrs::{CustomLogitsProcessor, Tensor};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    queue::Turn,
    sampler::{Drawn, Likely, Report, Sampler},
    status::Health,
    text::Text,
    vocabulary::{Grammar, Vocabulary},
};
use crate::wire::chat::{ResponseFormat, Sampling};

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// The model's end token, or a stop string.
    Stop,
    /// The caller's limit, or the end of the context.
    Length,
}

/// One token with its text, for `logprobs`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spelled {
    pub(super) bytes: Vec<u8>,
    pub(super) logprob: f64,
}

/// The `logprobs` entry of one token.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) token: Spelled,
    pub(super) top: Vec<Spelled>,
}

/// What the engine says of a running answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// The prompt is read.
    Began {
        /// Its tokens.
        prompt_tokens: u64,
    },
    /// A token was drawn; its text may still be held back.
    Token {
        /// Text that can be shown now.
        text: String,
        /// Its likelihoods, if wanted.
        entry: Option<Entry>,
    },
    /// Nothing more comes.
    Ended {
        /// Why.
        finish: Finish,
        /// Text that had been held back.
        text: String,
        /// Tokens of the answer, the end token not counted.
        tokens: u64,
    },
    /// The response format is not one that can be kept.
    BadFormat(String),
    /// The model cannot go on: no token is possible.
    Stuck,
}

/// What an answer is made with.
pub(super) struct Making {
    pub(super) sampler: Sampler,
    pub(super) text: Text,
    pub(super) format: ResponseFormat,
    pub(super) max_tokens: Option<u64>,
    pub(super) health: Arc<Health>,
}

impl Making {
    /// Returns what makes a single token, whatever it is.
    pub(super) fn one_token() -> Self {
        Self {
            sampler: Sampler::new(&Sampling::default(), 0, 0, Report::default()),
            text: Text::new(&[]),
            format: ResponseFormat::Text,
            max_tokens: Some(1),
            health: Arc::default(),
        }
    }
}

/// Draws the tokens of one choice.
pub(super) struct Hook {
    vocabulary: Arc<Vocabulary>,
    running: Mutex<Option<Running>>,
}

struct Running {
    making: Making,
    steps: mpsc::Sender<Step>,
    grammar: Option<Grammar>,
    limit: Option<u64>,
    tokens: u64,
    has_ended: bool,
    // Given back when the answer ends: from then on the engine may start another sequence, and this one is out of its batch.
    _turn: Turn,
}

impl Hook {
    /// Returns a hook that reports to `steps`, which must have room for every token of the answer and three more.
    pub(super) fn new(vocabulary: Arc<Vocabulary>, making: Making, steps: mpsc::Sender<Step>, turn: Turn) -> Self {
        let running = Running { making, steps, grammar: None, limit: None, tokens: 0, has_ended: false, _turn: turn };
        Self { vocabulary, running: Mutex::new(Some(running)) }
    }

    /// Returns the token to force.
    fn next(&self, logits: Vec<f32>, context: usize) -> u32 {
        let mut slot = self.running.lock();
        let is_first = slot.as_ref().is_some_and(|running| running.limit.is_none());
        let step = |running: &mut Running| running.step(&self.vocabulary, logits, context);
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
            // The listener must not wait for that next call.
            running.steps = mpsc::channel(1).0;
        }
        _ => *slot = None,
    }
}

impl CustomLogitsProcessor for Hook {
    fn apply(&self, logits: &Tensor, context: &[u32]) -> mistralrs::Result<Tensor> {
        let values: Vec<f32> = logits.to_vec1()?;
        let mut forced = vec![0.0_f32; values.len()];
        let token = self.next(values, context.len());
        if let Some(slot) = forced.get_mut(token as usize) {
            *slot = 1.0;
        }
        let length = forced.len();
        Tensor::from_vec(forced, length, logits.device())
    }
}

impl Running {
    /// Draws a token and says so; `None` when the answer has ended.
    fn step(&mut self, vocabulary: &Vocabulary, logits: Vec<f32>, context: usize) -> Option<u32> {
        self.making.health.heard();
        let limit = self.begin(vocabulary, context)?;
        let Some(drawn) = self.draw(logits) else {
            self.say(Step::Stuck)?;
            return None;
        };
        if vocabulary.is_end(drawn.token) {
            return self.end(Finish::Stop);
        }
        self.tokens += 1;
        let is_complete = self.grammar.as_mut().is_some_and(|grammar| grammar.accept(drawn.token));
        let added = self.making.text.push(&vocabulary.bytes(drawn.token));
        self.say(Step::Token { text: added.text, entry: entry(vocabulary, &drawn) })?;
        if added.is_stopped || is_complete {
            return self.end(Finish::Stop);
        }
        if self.tokens >= limit {
            return self.end(Finish::Length);
        }
        Some(drawn.token)
    }

    /// Returns how many tokens the answer may have; the first call knows the length of the prompt.
    fn begin(&mut self, vocabulary: &Vocabulary, context: usize) -> Option<u64> {
        if let Some(limit) = self.limit {
            return (!self.steps.is_closed()).then_some(limit);
        }
        let room = vocabulary.window().saturating_sub(context as u64).max(1);
        let limit = self.making.max_tokens.map_or(room, |tokens| tokens.min(room)).max(1);
        self.limit = Some(limit);
        // Here and not at the call, because a large schema takes milliseconds and this thread has them.
        match vocabulary.grammar(&self.making.format) {
            Ok(grammar) => self.grammar = grammar,
            Err(reason) => {
                self.say(Step::BadFormat(reason))?;
                return None;
            }
        }
        self.say(Step::Began { prompt_tokens: context as u64 })?;
        Some(limit)
    }

    fn draw(&mut self, logits: Vec<f32>) -> Option<Drawn> {
        let Some(grammar) = &mut self.grammar else { return self.making.sampler.draw(logits, None) };
        let mask = grammar.mask()?;
        self.making.sampler.draw(logits, Some(&|token| mask.is_allowed(token)))
    }

    fn end(&mut self, finish: Finish) -> Option<u32> {
        let text = self.making.text.finish();
        let tokens = self.tokens;
        self.say(Step::Ended { finish, text, tokens })?;
        None
    }

    /// Says a step; `None` when nobody listens any more.
    fn say(&self, step: Step) -> Option<()> {
        self.steps.try_send(step).ok()
    }
}

fn entry(vocabulary: &Vocabulary, drawn: &Drawn) -> Option<Entry> {
    let spell = |likely: Likely| Spelled { bytes: vocabulary.spelling(likely.token), logprob: likely.logprob };
    let token = spell(Likely { token: drawn.token, logprob: drawn.logprob? });
    Some(Entry { token, top: drawn.top.iter().copied().map(spell).collect() })
}
