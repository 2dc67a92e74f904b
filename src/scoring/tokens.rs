//! Text to token ids.
//!
//! `tokenizer.json` is the truth and the crate `tokenizers` reads it. For ASCII text, and a tokenizer of the kind that
//! `pointsman train` writes, [`words`](super::words) does the same in a tenth of the time.

use std::borrow::Cow;

use tokenizers::Tokenizer;

use super::{
    text::{MAX_TOKENS, cut_text, cut_tokens},
    words::Words,
};

/// The id that stands for an empty prompt and for what the vocabulary does not cover.
pub const UNKNOWN_ID: u32 = 0;

/// Why a text has no ids.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// `tokenizer.json` is not a tokenizer.
    #[error("not a tokenizer: {0}")]
    Document(String),
    /// The tokenizer refused the text.
    #[error("the tokenizer failed: {0}")]
    Text(String),
}

/// Turns text into ids.
pub struct Tokens {
    tokenizer: Tokenizer,
    words: Option<Words>,
    most: usize,
}

impl Tokens {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(json: &[u8]) -> Result<Self, TokensError> {
        let tokenizer = Tokenizer::from_bytes(json).map_err(|error| TokensError::Document(error.to_string()))?;
        Ok(Self { tokenizer, words: Words::parse(json), most: MAX_TOKENS })
    }

    /// Returns the same with another longest prompt, in tokens; half of them come from the head, half from the tail.
    #[must_use]
    pub fn cut_to(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Returns the whole words of the vocabulary, three letters and more, in order.
    pub fn words(&self) -> Vec<String> {
        let is_word = |token: &String| token.len() >= 3 && token.chars().all(char::is_alphabetic);
        let mut words: Vec<String> = self.tokenizer.get_vocab(true).into_keys().filter(is_word).collect();
        words.sort_unstable();
        words
    }

    /// Returns how many ids there are: all are below it.
    pub fn count(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Returns the ids of a text, cut by the rule of [`text`](super::text), with the tokens that the tokenizer puts around
    /// every text; never empty.
    ///
    /// # Errors
    /// The tokenizer failed.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, TokensError> {
        let text = cut_text(text);
        let mut ids = match &self.words {
            Some(words) if text.is_ascii() => words.ids(&text),
            _ => self.ids_of_any(text)?,
        };
        cut_tokens(&mut ids, self.most);
        if ids.is_empty() {
            ids.push(UNKNOWN_ID);
        }
        Ok(ids)
    }

    fn ids_of_any(&self, text: Cow<'_, str>) -> Result<Vec<u32>, TokensError> {
        let encoding = self.tokenizer.encode_fast(text, true).map_err(|error| TokensError::Text(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scoring::{
        folder::{DEFAULT_ARTIFACT, Folder},
        languages::QUESTIONS,
    };

    fn shipped() -> Tokens {
        Tokens::parse(&Folder::Embedded(DEFAULT_ARTIFACT).read("tokenizer.json").unwrap()).unwrap()
    }

    #[test]
    fn the_shipped_tokenizer_is_one_that_words_understands() {
        assert!(shipped().words.is_some());
    }

    #[test]
    fn an_empty_text_has_one_id() {
        assert_eq!(shipped().ids(" \n\t").unwrap(), [UNKNOWN_ID]);
    }

    #[test]
    fn twenty_languages_and_binary_have_ids_in_range() {
        let tokens = shipped();
        for text in QUESTIONS.into_iter().chain(["\u{0}\u{1}\u{fffd}\u{202e}"]) {
            let ids = tokens.ids(text).unwrap();

            assert!(!ids.is_empty() && ids.iter().all(|id| (*id as usize) < tokens.count()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn words_agree_with_the_tokenizers_crate_on_ascii(text in "[ -~\t\n\r\u{0}-\u{7f}]{0,200}") {
            let tokens = shipped();
            let expected = tokens.ids_of_any(Cow::Borrowed(&text)).unwrap();

            prop_assert_eq!(tokens.words.as_ref().unwrap().ids(&text), expected);
        }
    }
}
