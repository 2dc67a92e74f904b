//! The tokens of one answer, out of logits, wherever these come from.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    super::{
        hook::{Entry, Finish, Making, Spelled, Step},
        sampler::{Drawn, Likely},
        vocabulary::{Grammar, Vocabulary},
    },
    decode::Writing,
    proposer::Proposal,
};

/// Draws the tokens of one choice and tells of them.
pub(in super::super) struct Answering {
    vocabulary: Arc<Vocabulary>,
    making: Making,
    steps: mpsc::Sender<Step>,
    grammar: Option<Grammar>,
    limit: u64,
    tokens: u64,
}

impl Answering {
    /// Returns what tells of its tokens to `steps`, which must have room for every token of the answer and three more.
    pub(in super::super) fn new(vocabulary: Arc<Vocabulary>, making: Making, steps: mpsc::Sender<Step>) -> Self {
        Self { vocabulary, making, steps, grammar: None, limit: 0, tokens: 0 }
    }

    fn draw(&mut self, logits: Vec<f32>) -> Option<Drawn> {
        let Some(grammar) = &mut self.grammar else { return self.making.sampler.draw(logits, None) };
        let mask = grammar.mask()?;
        self.making.sampler.draw(logits, Some(&|token| mask.is_allowed(token)))
    }

    fn end(&mut self, finish: Finish) -> Option<u32> {
        let text = self.making.text.finish();
        let tokens = self.tokens;
        self.say(Step::Ended { finish, text, tokens });
        None
    }

    fn say(&self, step: Step) -> bool {
        self.steps.try_send(step).is_ok()
    }

    /// Draws a token; returns it if the answer goes on, and in any case.
    fn write(&mut self, logits: Vec<f32>) -> (Option<u32>, Option<u32>) {
        self.making.health.heard();
        let Some(drawn) = self.draw(logits) else {
            self.say(Step::Stuck);
            return (None, None);
        };
        (self.take(&drawn), Some(drawn.token))
    }

    fn take(&mut self, drawn: &Drawn) -> Option<u32> {
        if self.vocabulary.is_end(drawn.token) {
            return self.end(Finish::Stop);
        }
        self.tokens += 1;
        let is_complete = self.grammar.as_mut().is_some_and(|grammar| grammar.accept(drawn.token));
        let added = self.making.text.push(&self.vocabulary.bytes(drawn.token));
        let entry = entry(&self.vocabulary, drawn);
        if !self.say(Step::Token { text: added.text, entry }) {
            return None;
        }
        if added.is_stopped || is_complete {
            return self.end(Finish::Stop);
        }
        if self.tokens >= self.limit {
            return self.end(Finish::Length);
        }
        Some(drawn.token)
    }
}

fn entry(vocabulary: &Vocabulary, drawn: &Drawn) -> Option<Entry> {
    let spell = |likely: Likely| Spelled { bytes: vocabulary.spelling(likely.token), logprob: likely.logprob };
    let token = spell(Likely { token: drawn.token, logprob: drawn.logprob? });
    Some(Entry { token, top: drawn.top.iter().copied().map(spell).collect() })
}

impl Writing for Answering {
    fn begin(&mut self, prompt: usize) -> bool {
        let room = self.vocabulary.window().saturating_sub(prompt as u64).max(1);
        self.limit = self.making.max_tokens.map_or(room, |tokens| tokens.min(room)).max(1);
        match self.vocabulary.grammar(&self.making.format) {
            Ok(grammar) => self.grammar = grammar,
            Err(reason) => {
                self.say(Step::BadFormat(reason));
                return false;
            }
        }
        self.say(Step::Began { prompt_tokens: prompt as u64 })
    }

    fn next(&mut self, logits: Vec<f32>) -> Option<u32> {
        self.write(logits).0
    }

    fn judge(&mut self, logits: Vec<f32>, proposal: &Proposal) -> (Option<u32>, bool) {
        let (token, drawn) = self.write(logits);
        (token, drawn == Some(proposal.token))
    }

    fn left(&self) -> u64 {
        self.limit - self.tokens
    }
}
