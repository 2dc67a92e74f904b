//! The tokenizer: byte-level BPE, learned from the words of the lessons. Digits stay apart, so that numbers can be computed.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::{
    TinyError,
    lessons::{Lesson, Part},
};

/// Special tokens by their ids: the end of a text, the begin and the end of a message.
pub const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
/// Lessons whose words are counted.
const COUNTED: usize = 2_000;
/// More than the few words need: all of them become one token.
const MOST_MERGES: usize = 400;

/// A tokenizer with its document.
pub struct Words {
    document: Value,
    tokenizer: Tokenizer,
}

impl Words {
    /// Learns the tokenizer.
    ///
    /// # Errors
    /// When the document made is none that can be read.
    pub fn learn(seed: u64) -> Result<Self, TinyError> {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let lessons = (0..COUNTED).map(|_| Lesson::draw(&mut random, Part::Training));
        let texts = lessons.flat_map(|lesson| [lesson.question, lesson.answer, "user".into(), "assistant".into()]);
        Self::of(document(&merges(counted(texts))))
    }

    /// Reads a tokenizer's document.
    ///
    /// # Errors
    /// When it is none.
    pub fn of(document: Value) -> Result<Self, TinyError> {
        let tokenizer = Tokenizer::from_bytes(document.to_string()).map_err(|error| failed(&error))?;
        Ok(Self { document, tokenizer })
    }

    /// Returns the document, as `tokenizer.json` holds it.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Returns how many tokens there are.
    #[expect(clippy::len_without_is_empty, reason = "256 bytes are always there")]
    pub fn len(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Returns the tokens of a text with its special tokens.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, TinyError> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(|error| failed(&error))?;
        Ok(encoding.get_ids().to_vec())
    }
}

fn failed(error: &tokenizers::Error) -> TinyError {
    TinyError::Tokenizer(error.to_string())
}

/// Counts words of letters, with the space before them; a word is its pieces.
fn counted(texts: impl Iterator<Item = String>) -> BTreeMap<Vec<String>, u64> {
    let mut counts = BTreeMap::new();
    for text in texts {
        let mut word: Vec<String> = Vec::new();
        for letter in text.chars().chain(['.']) {
            if letter.is_ascii_alphabetic() {
                word.push(letter.to_string());
                continue;
            }
            let whole = std::mem::take(&mut word);
            if whole.iter().any(|piece| piece != SPACE) {
                *counts.entry(whole).or_insert(0) += 1;
            }
            if letter == ' ' {
                word.push(SPACE.to_owned());
            }
        }
    }
    counts
}

/// The name of the byte 32.
const SPACE: &str = "\u{120}";

/// Joins the most frequent neighbours, again and again (Sennrich et al. 2016, algorithm 1); ties go to the first in order.
fn merges(mut words: BTreeMap<Vec<String>, u64>) -> Vec<(String, String)> {
    let mut merges = Vec::new();
    while merges.len() < MOST_MERGES {
        let mut pairs: BTreeMap<(&String, &String), u64> = BTreeMap::new();
        for (word, count) in &words {
            for pair in word.windows(2) {
                if let [left, right] = pair {
                    *pairs.entry((left, right)).or_insert(0) += count;
                }
            }
        }
        let best = pairs.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
        let Some(((left, right), _)) = best else { break };
        let (left, right) = (left.clone(), right.clone());
        words = words.into_iter().map(|(word, count)| (joined(word, &left, &right), count)).collect();
        merges.push((left, right));
    }
    merges
}

fn joined(word: Vec<String>, left: &str, right: &str) -> Vec<String> {
    let mut whole: Vec<String> = Vec::with_capacity(word.len());
    let mut may_join = false;
    for piece in word {
        match whole.last_mut() {
            Some(last) if may_join && last == left && piece == right => {
                last.push_str(&piece);
                may_join = false;
            }
            _ => {
                whole.push(piece);
                may_join = true;
            }
        }
    }
    whole
}

/// Returns GPT-2's names of the 256 bytes: printable ones name themselves, the others follow from U+0100 on.
fn byte_names() -> Vec<String> {
    let is_own_name = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut spare = 256_u32..;
    let mut name = |byte: u32| if is_own_name(byte) { Some(byte) } else { spare.next() };
    (0..256).filter_map(|byte| name(byte).and_then(char::from_u32)).map(String::from).collect()
}

fn document(merges: &[(String, String)]) -> Value {
    let mut tokens: Vec<String> = SPECIAL.iter().map(|name| (*name).to_owned()).collect();
    tokens.extend(byte_names());
    for (left, right) in merges {
        let token = format!("{left}{right}");
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    let vocabulary: serde_json::Map<String, Value> =
        tokens.into_iter().zip(0..).map(|(token, id): (String, u32)| (token, id.into())).collect();
    let added: Vec<Value> = SPECIAL.iter().zip(0..).map(|(name, id): (_, u32)| special(name, id)).collect();
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": added, "pre_tokenizer": byte_level, "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary,
            "merges": merges.iter().map(|(left, right)| format!("{left} {right}")).collect::<Vec<_>>(),
        },
    })
}

fn special(name: &str, id: u32) -> Value {
    json!({ "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_one_token_and_digits_stay_apart() {
        let words = Words::learn(1).unwrap();

        assert_eq!(words.ids("<|im_start|>assistant").unwrap().len(), 2);
        assert_eq!(words.ids("Sort 12").unwrap().len(), 4, "Sort, a space, 1 and 2");
    }

    #[test]
    fn a_seed_gives_one_tokenizer() {
        assert_eq!(Words::learn(1).unwrap().document(), Words::learn(1).unwrap().document());
    }
}
