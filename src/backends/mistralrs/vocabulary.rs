//! What the tokens of a model mean.

use std::sync::Arc;

use mistralrs_core::llguidance::{Matcher, ParserFactory, api::TopLevelGrammar, toktrie::SimpleVob};

use crate::wire::chat::ResponseFormat;

/// Bytes of text that a token hardly ever exceeds: the longest of common vocabularies are runs of 64 to 128 blanks.
const LONGEST_TOKEN: u64 = 128;

/// A model's tokens, its end tokens and the length of its context.
pub(super) struct Vocabulary {
    parsers: Arc<ParserFactory>,
    ends: Vec<u32>,
    end: u32,
    window: u64,
}

impl Vocabulary {
    /// Returns the vocabulary; `None` when the model has no end token, without which no answer could be ended.
    pub(super) fn new(parsers: Arc<ParserFactory>, ends: Vec<u32>, window: u64) -> Option<Self> {
        let end = *ends.first()?;
        Some(Self { parsers, ends, end, window })
    }

    /// Returns the bytes that a token adds to the text; none for special tokens.
    pub(super) fn bytes(&self, token: u32) -> Vec<u8> {
        self.parsers.tok_env().tok_trie().decode_ext(&[token], false)
    }

    /// Returns the bytes by which a token is named, special ones too.
    pub(super) fn spelling(&self, token: u32) -> Vec<u8> {
        self.parsers.tok_env().tok_trie().decode_ext(&[token], true)
    }

    /// Returns whether a token ends an answer.
    pub(super) fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// Returns every token that ends an answer.
    pub(super) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Returns the token that ends an answer.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Returns the tokens of a text.
    pub(super) fn tokens(&self, text: &str) -> Vec<u32> {
        self.parsers.tok_env().tokenize(text)
    }

    /// Returns a token that is one letter.
    pub(super) fn letter(&self) -> Option<u32> {
        let trie = self.parsers.tok_env().tok_trie();
        let is_letter = |token: &u32| matches!(trie.token(*token), [letter] if letter.is_ascii_alphabetic());
        (0..u32::try_from(trie.vocab_size()).unwrap_or(u32::MAX)).find(is_letter)
    }

    /// Checks that every token means the same here and there.
    ///
    /// # Errors
    /// It does not; the text says where.
    pub(super) fn agrees_with(&self, other: &Self) -> Result<(), String> {
        let (own, others) = (self.parsers.tok_env().tok_trie(), other.parsers.tok_env().tok_trie());
        if own.vocab_size() != others.vocab_size() {
            return Err(format!("{} tokens against {}", own.vocab_size(), others.vocab_size()));
        }
        let differs = |token: &u32| own.token(*token) != others.token(*token);
        match (0..u32::try_from(own.vocab_size()).unwrap_or(u32::MAX)).find(differs) {
            Some(token) => Err(format!("token {token} is not the same")),
            None => Ok(()),
        }
    }

    /// Returns the longest prompt plus answer, in tokens.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Returns a number of tokens that `text` has at the least. Reading a prompt cannot be stopped, so one that does not fit
    /// must never reach the engine; text far too long is not even cut into tokens.
    pub(super) fn at_least(&self, text: &str) -> u64 {
        let bytes = text.len() as u64;
        if bytes > self.window.saturating_mul(LONGEST_TOKEN) {
            return bytes / LONGEST_TOKEN;
        }
        self.parsers.tok_env().tokenize(text).len() as u64
    }

    /// Returns the grammar of a response format; `None` for free text.
    ///
    /// # Errors
    /// The schema is not one that can be kept; the text says why.
    pub(super) fn grammar(&self, format: &ResponseFormat) -> Result<Option<Grammar>, String> {
        let schema = match format {
            ResponseFormat::Text => return Ok(None),
            ResponseFormat::JsonObject => serde_json::json!({ "type": "object" }),
            ResponseFormat::JsonSchema(schema) => serde_json::from_str(schema).map_err(|error| error.to_string())?,
        };
        self.keep(TopLevelGrammar::from_json_schema(schema)).map(Some)
    }

    /// Returns a grammar to be kept.
    ///
    /// # Errors
    /// It is not one that can be kept; the text says why.
    pub(super) fn keep(&self, grammar: TopLevelGrammar) -> Result<Grammar, String> {
        let matcher = Matcher::new(self.parsers.create_parser(grammar));
        match matcher.get_error() {
            Some(error) => Err(error),
            None => Ok(Grammar(matcher)),
        }
    }
}

/// What an answer must look like, token by token.
pub(super) struct Grammar(Matcher);

impl Grammar {
    /// Returns the tokens that may come next; `None` when the grammar is broken.
    pub(super) fn mask(&mut self) -> Option<Mask> {
        self.0.compute_mask_or_eos().ok().map(Mask)
    }

    /// Takes a token; returns whether the text is complete and cannot go on.
    pub(super) fn accept(&mut self, token: u32) -> bool {
        self.0.consume_token(token).is_err() || self.0.is_stopped()
    }
}

/// The tokens that may come next.
pub(super) struct Mask(SimpleVob);

impl Mask {
    /// Makes every other token impossible.
    pub(super) fn forbid(&self, logits: &mut [f32]) {
        // Models pad their logits beyond the vocabulary.
        if let Some(padding) = logits.get_mut(self.0.len()..) {
            padding.fill(f32::NEG_INFINITY);
        }
        self.0.iter_unset_entries(|token| {
            if let Some(logit) = logits.get_mut(token) {
                *logit = f32::NEG_INFINITY;
            }
        });
    }

    #[cfg(test)]
    pub(super) fn of(allowed: &[bool]) -> Self {
        Self(SimpleVob::from_slice(allowed))
    }
}
