//! The cut of long prompts.
//!
//! What a prompt asks for stands at its beginning or at its end; the middle is material. So a long prompt is cut twice by the
//! same rule, head and tail: first in bytes, so that a prompt of ten megabytes costs no more than one of three kilobytes, then
//! in tokens.

use std::borrow::Cow;

/// Bytes kept on each side; twice this exceeds [`MAX_TOKENS`] tokens of English, code and CJK text, which have three to five
/// bytes a token.
pub const HALF_BYTES: usize = 1_536;

/// Tokens that are scored unless the artifact says less.
pub const MAX_TOKENS: usize = 512;

/// Returns the text, or its first and last [`HALF_BYTES`] with a line break between them, cut where characters end.
pub fn cut_text(text: &str) -> Cow<'_, str> {
    if text.len() <= 2 * HALF_BYTES {
        return Cow::Borrowed(text);
    }
    let (head, _) = text.split_at(text.floor_char_boundary(HALF_BYTES));
    let (_, tail) = text.split_at(text.ceil_char_boundary(text.len() - HALF_BYTES));
    Cow::Owned(format!("{head}\n{tail}"))
}

/// Leaves the first and the last half of `most` ids.
pub fn cut_tokens(ids: &mut Vec<u32>, most: usize) {
    let half = most / 2;
    if ids.len() > most {
        ids.drain(half..ids.len() - half);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ten_megabytes_are_cut_to_head_and_tail() {
        let text = format!("begin{}end", "é".repeat(5_000_000));

        let cut = cut_text(&text);

        assert!(cut.len() <= 2 * HALF_BYTES + 1);
        assert!(cut.starts_with("begin") && cut.ends_with("end"));
    }

    #[test]
    fn long_id_lists_keep_both_ends() {
        let mut ids: Vec<u32> = (0..2_000).collect();

        cut_tokens(&mut ids, MAX_TOKENS);

        assert_eq!(ids.len(), MAX_TOKENS);
        assert_eq!((ids[0], ids[255], ids[256], ids[511]), (0, 255, 1_744, 1_999));
    }

    proptest! {
        #[test]
        fn short_texts_stay_as_they_are(text in ".{0,300}") {
            prop_assert_eq!(cut_text(&text), text.as_str());
        }
    }
}
