//! Drawing one choice, token by token, out of whatever gives the logits.
//!
//! A [`Drawing`] knows nothing of engines: it takes logits, and says which token comes. So the hook of one engine drives it, and
//! so can what verifies several proposed tokens in one pass, or adds up the logits of several models. In a step: grammar mask,
//! sampler, text and stop strings, limit; what happened goes to a channel as a [`Step`].

use std::sync::Arc;

use mistralrs_core::llguidance::api::TopLevelGrammar;
use tokio::sync::mpsc;

use super::{
    queue::Pulse,
    sampler::{Drawn, Likely, Proposal, Sampler},
    text::Text,
    tools::MARKS,
    vocabulary::{Grammar, Vocabulary},
};
use crate::{
    domain::TokenSignal,
    wire::chat::{ResponseFormat, Sampling},
};

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// The model's end token, or a stop string.
    Stop,
    /// The caller's limit, or the end of the context.
    Length,
    /// The model called functions. No drawing says so: it shows in the text.
    ToolCalls,
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
        /// How sure the model was of it.
        signal: TokenSignal,
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
    /// What must be written instead of a format.
    pub(super) calls: Option<TopLevelGrammar>,
    /// Whether special tokens that mark calls are text.
    pub(super) shows_marks: bool,
    pub(super) max_tokens: Option<u64>,
    /// Whether steps carry entries for `logprobs`.
    pub(super) wants_logprobs: bool,
    /// Told of every token.
    pub(super) pulse: Arc<Pulse>,
}

impl Making {
    /// Returns what makes a single token, whatever it is.
    pub(super) fn one_token() -> Self {
        Self {
            sampler: Sampler::new(&Sampling::default(), 0, 0, 0),
            text: Text::new(&[]),
            format: ResponseFormat::Text,
            calls: None,
            shows_marks: false,
            max_tokens: Some(1),
            wants_logprobs: false,
            pulse: Arc::default(),
        }
    }
}

/// The state of one choice.
pub(super) struct Drawing {
    making: Making,
    steps: mpsc::Sender<Step>,
    grammar: Option<Grammar>,
    limit: Option<u64>,
    tokens: u64,
    latest: Option<u32>,
}

impl Drawing {
    /// Returns the drawing of a choice that reports to `steps`, which must have room for every token of the answer and three more.
    pub(super) fn new(making: Making, steps: mpsc::Sender<Step>) -> Self {
        Self { making, steps, grammar: None, limit: None, tokens: 0, latest: None }
    }

    /// Returns whether a step was taken.
    pub(super) fn has_begun(&self) -> bool {
        self.limit.is_some()
    }

    /// Lets the listener go, who would otherwise wait for more.
    pub(super) fn hang_up(&mut self) {
        self.steps = mpsc::channel(1).0;
    }

    /// Takes note of the prompt; `false` when there is nothing to write, or nobody to read it. Steps do it by themselves.
    pub(super) fn begin(&mut self, vocabulary: &Vocabulary, prompt: &[u32]) -> bool {
        self.try_begin(vocabulary, prompt).is_some()
    }

    /// Draws a token from `logits` and says so; `None` when the answer has ended, after which no step may be taken. `context` is
    /// all ids so far: at the first step, the prompt.
    pub(super) fn step(&mut self, vocabulary: &Vocabulary, logits: &[f32], context: &[u32]) -> Option<u32> {
        self.making.pulse.heard();
        self.try_begin(vocabulary, context)?;
        self.write(vocabulary, logits, None)
    }

    /// As [`Drawing::step`], with a prompt that is noted already, and the token is the one proposed or another, by a rule that
    /// leaves the distribution as it is.
    pub(super) fn judge(
        &mut self,
        vocabulary: &Vocabulary,
        logits: &[f32],
        proposal: Option<&Proposal<'_>>,
    ) -> Option<u32> {
        self.making.pulse.heard();
        self.write(vocabulary, logits, proposal)
    }

    /// Returns the token drawn last, whether it is part of the answer or its end.
    pub(super) fn latest(&self) -> Option<u32> {
        self.latest
    }

    /// Returns how many tokens the answer may still have.
    pub(super) fn left(&self) -> u64 {
        self.limit.unwrap_or(0).saturating_sub(self.tokens)
    }

    fn write(&mut self, vocabulary: &Vocabulary, logits: &[f32], proposal: Option<&Proposal<'_>>) -> Option<u32> {
        let Some(drawn) = self.draw(logits, proposal) else {
            self.say(Step::Stuck)?;
            return None;
        };
        self.latest = Some(drawn.token);
        if vocabulary.is_end(drawn.token) {
            return self.end(Finish::Stop);
        }
        self.tokens += 1;
        let is_complete = self.grammar.as_mut().is_some_and(|grammar| grammar.accept(drawn.token));
        let added = self.making.text.push(&self.bytes(vocabulary, drawn.token));
        let entry = self.making.wants_logprobs.then(|| entry(vocabulary, &drawn));
        self.say(Step::Token { text: added.text, entry, signal: drawn.signal })?;
        if added.is_stopped || is_complete {
            return self.end(Finish::Stop);
        }
        if self.left() == 0 {
            return self.end(Finish::Length);
        }
        Some(drawn.token)
    }

    /// The first call knows the prompt; `None` when the answer is over.
    fn try_begin(&mut self, vocabulary: &Vocabulary, prompt: &[u32]) -> Option<()> {
        if self.limit.is_some() {
            return (!self.steps.is_closed()).then_some(());
        }
        let prompt_tokens = prompt.len() as u64;
        let room = vocabulary.window().saturating_sub(prompt_tokens).max(1);
        self.limit = Some(self.making.max_tokens.map_or(room, |tokens| tokens.min(room)).max(1));
        self.making.sampler.read(prompt);
        // Here and not at the call, because a large schema takes milliseconds and this thread has them.
        let grammar = match self.making.calls.take() {
            Some(calls) => vocabulary.keep(calls).map(Some),
            None => vocabulary.grammar(&self.making.format),
        };
        match grammar {
            Ok(grammar) => self.grammar = grammar,
            Err(reason) => {
                self.say(Step::BadFormat(reason))?;
                return None;
            }
        }
        self.say(Step::Began { prompt_tokens })
    }

    fn draw(&mut self, logits: &[f32], proposal: Option<&Proposal<'_>>) -> Option<Drawn> {
        let mask = match &mut self.grammar {
            Some(grammar) => Some(grammar.mask()?),
            None => None,
        };
        self.making.sampler.draw(logits, mask.as_ref(), proposal)
    }

    fn bytes(&self, vocabulary: &Vocabulary, token: u32) -> Vec<u8> {
        if self.making.shows_marks {
            let spelling = vocabulary.spelling(token);
            if MARKS.iter().any(|mark| mark.as_bytes() == spelling) {
                return spelling;
            }
        }
        vocabulary.bytes(token)
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

fn entry(vocabulary: &Vocabulary, drawn: &Drawn) -> Entry {
    let spell = |likely: Likely| Spelled { bytes: vocabulary.spelling(likely.token), logprob: likely.logprob };
    let token = spell(Likely { token: drawn.token, logprob: drawn.signal.logprob });
    Entry { token, top: drawn.top.iter().copied().map(spell).collect() }
}
