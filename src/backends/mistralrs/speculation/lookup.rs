//! Proposals out of what is already written: the prompt, the answer so far, and a text that the answer may resemble.
//!
//! The longest end of the text that occurs before is looked up, and what followed there is proposed (prompt lookup decoding;
//! Saxena 2023). It costs no model, and is right where a text is rewritten, quoted or continued in its own pattern.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{
    super::engine::EngineError,
    proposer::{Proposal, Proposer},
};

/// An end must have so many tokens to be worth looking up; one alone occurs everywhere.
const SHORTEST: usize = 2;

/// Ends are compared up to this length; a longer match is no better a guess.
const LONGEST: usize = 16;

/// Earlier places of the same pair of tokens that are compared, latest first.
const PLACES: usize = 8;

type Pair = [u32; SHORTEST];

/// Looks up how the text went on before.
pub(in super::super) struct Lookup {
    text: Indexed,
    resembled: Indexed,
    prompt: usize,
}

/// Tokens, and where each pair of them ends.
#[derive(Default)]
struct Indexed {
    tokens: Vec<u32>,
    ends: HashMap<Pair, Vec<usize>>,
}

impl Lookup {
    /// Returns a lookup for the answer to a prompt of `prompt` tokens, which may resemble `resembled`.
    pub(in super::super) fn new(prompt: usize, resembled: &[u32]) -> Self {
        let mut lookup = Self { text: Indexed::default(), resembled: Indexed::default(), prompt };
        lookup.resembled.extend(resembled);
        lookup
    }

    fn guess(&mut self, text: &[u32], most: usize) -> &[u32] {
        self.text.extend(text.get(self.text.tokens.len()..).unwrap_or_default());
        if text.len() == self.prompt && !self.resembled.tokens.is_empty() {
            return self.resembled.after(0, most);
        }
        match (self.text.best(text), self.resembled.best(text)) {
            (Some((own, place)), other) if other.is_none_or(|(length, _)| own > length) => self.text.after(place, most),
            (_, Some((_, place))) => self.resembled.after(place, most),
            (_, None) => &[],
        }
    }
}

#[async_trait]
impl Proposer for Lookup {
    fn expects(&mut self, text: &[u32]) -> bool {
        !self.guess(text, 1).is_empty()
    }

    async fn propose(&mut self, text: &[u32], most: usize) -> Result<Vec<Proposal>, EngineError> {
        Ok(self.guess(text, most).iter().map(|token| Proposal { token: *token, odds: None }).collect())
    }
}

impl Indexed {
    fn extend(&mut self, tokens: &[u32]) {
        for token in tokens {
            self.tokens.push(*token);
            if let Some(pair) = self.tokens.last_chunk::<SHORTEST>() {
                self.ends.entry(*pair).or_default().push(self.tokens.len());
            }
        }
    }

    /// Returns how long an end of `text` was found and the place after it: the longest, of equals the latest. The end of the
    /// tokens themselves is no find.
    fn best(&self, text: &[u32]) -> Option<(usize, usize)> {
        let places = self.ends.get(text.last_chunk::<SHORTEST>()?)?;
        let inner = places.iter().rev().copied().filter(|place| *place < self.tokens.len());
        let found = inner.take(PLACES).map(|place| (self.common(place, text), place));
        found.reduce(|best, other| if other.0 > best.0 { other } else { best })
    }

    /// Returns how many tokens before `place` are those at the end of `text`.
    fn common(&self, place: usize, text: &[u32]) -> usize {
        let before = self.tokens.iter().take(place).rev();
        before.zip(text.iter().rev()).take(LONGEST).take_while(|(token, other)| token == other).count()
    }

    fn after(&self, place: usize, most: usize) -> &[u32] {
        let end = self.tokens.len().min(place.saturating_add(most));
        self.tokens.get(place..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guess(lookup: &mut Lookup, text: &[u32], most: usize) -> Vec<u32> {
        lookup.guess(text, most).to_vec()
    }

    #[test]
    fn what_followed_the_longest_earlier_end_is_proposed() {
        let text = [1, 2, 3, 4, 9, 2, 3, 7, 1, 2, 3];

        assert_eq!(guess(&mut Lookup::new(11, &[]), &text, 3), [4, 9, 2]);
    }

    #[test]
    fn of_equal_ends_the_latest_counts() {
        assert_eq!(guess(&mut Lookup::new(9, &[]), &[1, 2, 3, 9, 1, 2, 4, 1, 2], 1), [4]);
    }

    #[test]
    fn a_text_without_repetition_gives_no_guess() {
        let mut lookup = Lookup::new(4, &[]);

        assert!(!lookup.expects(&[1, 2, 3, 4]));
        assert!(lookup.expects(&[1, 2, 3, 4, 1, 2]));
    }

    #[test]
    fn an_answer_begins_like_the_text_it_may_resemble_and_finds_back_to_it() {
        let mut lookup = Lookup::new(2, &[5, 6, 7, 8, 9]);

        assert_eq!(guess(&mut lookup, &[1, 2], 2), [5, 6]);
        assert_eq!(guess(&mut lookup, &[1, 2, 5, 0], 2), [0; 0]);
        assert_eq!(guess(&mut lookup, &[1, 2, 5, 0, 6, 7], 9), [8, 9]);
    }

    proptest! {
        #[test]
        fn a_guess_is_what_searching_everything_finds(text in prop::collection::vec(0_u32..4, 0..60)) {
            let mut lookup = Lookup::new(text.len(), &[]);
            let mut longest = 0;
            for place in SHORTEST..text.len() {
                let common = (1..=LONGEST.min(place)).take_while(|n| text[place - n] == text[text.len() - n]).count();
                longest = longest.max(common);
            }

            let found = lookup.guess(&text, 1).to_vec();

            // Few places are compared, so that a match may be shorter than the longest, but there is one where one is.
            prop_assert_eq!(found.is_empty(), longest < SHORTEST);
        }
    }
}
