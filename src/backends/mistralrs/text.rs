//! Text out of token bytes: whole characters only, and nothing at or after a stop string.
//!
//! A token may end inside a character, and a stop string may begin in one token and end in another. What could still become
//! part of either is held back; what comes out does not depend on where the tokens cut the text.

/// What a token added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    /// Text that can be shown.
    pub(super) text: String,
    /// Whether a stop string is complete; nothing may follow.
    pub(super) is_stopped: bool,
}

/// The text of one choice while it grows.
pub(super) struct Text {
    stops: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl Text {
    /// Returns an empty text that ends before any of `stops`.
    pub(super) fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).map(|stop| stop.clone().into_bytes()).collect();
        Self { stops, held: Vec::new() }
    }

    /// Adds a token's bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Added {
        self.held.extend_from_slice(bytes);
        if let Some(start) = self.first_stop() {
            self.held.truncate(start);
            return Added { text: self.finish(), is_stopped: true };
        }
        let keep = self.begun_stop().max(begun_character(&self.held));
        let rest = self.held.split_off(self.held.len() - keep);
        let text = self.finish();
        self.held = rest;
        Added { text, is_stopped: false }
    }

    /// Returns what was held back, at the end of the answer.
    pub(super) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }

    /// Returns where the stop string begins that is complete first.
    fn first_stop(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| {
            let start = self.held.windows(stop.len()).position(|window| window == stop)?;
            Some((start + stop.len(), start))
        });
        found.min().map(|(_, start)| start)
    }

    /// Returns the length of the longest end of the text that begins a stop string.
    fn begun_stop(&self) -> usize {
        let begun = |stop: &Vec<u8>| {
            let longest = self.held.len().min(stop.len().saturating_sub(1));
            (1..=longest).rev().find(|length| stop.get(..*length).is_some_and(|begin| self.held.ends_with(begin)))
        };
        self.stops.iter().filter_map(begun).max().unwrap_or(0)
    }
}

/// Returns how many bytes at the end begin a character without ending it.
fn begun_character(bytes: &[u8]) -> usize {
    let begins = |length: usize| {
        let end = bytes.get(bytes.len().checked_sub(length)?..)?;
        let error = std::str::from_utf8(end).err()?;
        (error.valid_up_to() == 0 && error.error_len().is_none()).then_some(length)
    };
    (1..=3).rev().find_map(begins).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(stops: &[&str], tokens: &[&[u8]]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut text = Text::new(&stops);
        let mut out = String::new();
        for token in tokens {
            let added = text.push(token);
            out.push_str(&added.text);
            if added.is_stopped {
                return (out, true);
            }
        }
        out.push_str(&text.finish());
        (out, false)
    }

    #[test]
    fn a_character_cut_by_tokens_comes_whole() {
        let mut text = Text::new(&[]);

        let (first, second) = (text.push(&"é".as_bytes()[..1]), text.push(&"é".as_bytes()[1..]));

        assert_eq!((first.text.as_str(), second.text.as_str()), ("", "é"));
    }

    #[test]
    fn a_stop_string_over_three_tokens_is_found_and_not_shown() {
        assert_eq!(whole(&["END"], &[b"a E", b"N", b"D b"]), ("a ".to_owned(), true));
    }

    #[test]
    fn what_only_began_like_a_stop_string_is_shown() {
        assert_eq!(whole(&["END"], &[b"a EN", b"G"]), ("a ENG".to_owned(), false));
        assert_eq!(whole(&["END"], &[b"a EN"]), ("a EN".to_owned(), false));
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        assert_eq!(whole(&[], &[b"a\xff", b"b\xe2\x82"]), ("a\u{fffd}b\u{fffd}".to_owned(), false));
    }

    proptest! {
        #[test]
        fn cutting_into_tokens_changes_nothing(
            text in "[abcé€😀]{0,24}",
            stops in prop::collection::vec("[abcé]{1,3}", 0..3),
            cuts in prop::collection::vec(1_usize..5, 0..40),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let mut tokens = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (token, after) = rest.split_at(cut.min(rest.len()));
                tokens.push(token);
                rest = after;
            }
            tokens.push(rest);

            prop_assert_eq!(whole(&stops, &tokens), whole(&stops, &[text.as_bytes()]));
        }
    }
}
