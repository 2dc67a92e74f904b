//! WordPiece for ASCII text, exactly as `tokenizers` does it, without its bookkeeping of offsets.
//!
//! Lower case; control characters fall away; words end at blanks; each punctuation mark and each digit stands alone; a word is
//! covered from the left by the longest pieces of the vocabulary, or is unknown as a whole.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// A WordPiece vocabulary.
pub struct Words {
    /// Pieces that begin a word.
    first: HashMap<Box<[u8]>, u32>,
    /// Pieces that go on with one, without the prefix.
    further: HashMap<Box<[u8]>, u32>,
    longest: usize,
    unknown: u32,
    max_word: usize,
}

#[derive(Deserialize)]
struct Document {
    normalizer: Value,
    pre_tokenizer: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: HashMap<String, u32>,
}

/// Returns the normaliser that this file implements.
pub fn normalizer() -> Value {
    json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": false, "lowercase": true})
}

/// Returns the word splitting that this file implements.
pub fn pre_tokenizer() -> Value {
    json!({"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}, {"type": "Digits", "individual_digits": true}]})
}

impl Words {
    /// Reads `tokenizer.json`; `None` when it is of another kind.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(json).ok()?;
        let model = document.model;
        if document.normalizer != normalizer() || document.pre_tokenizer != pre_tokenizer() || model.kind != "WordPiece"
        {
            return None;
        }
        let unknown = *model.vocab.get(&model.unk_token)?;
        let mut words = Self {
            first: HashMap::new(),
            further: HashMap::new(),
            longest: 0,
            unknown,
            max_word: model.max_input_chars_per_word,
        };
        for (token, id) in model.vocab {
            words.longest = words.longest.max(token.len());
            match token.strip_prefix(&model.continuing_subword_prefix) {
                Some(rest) if !rest.is_empty() => words.further.insert(rest.as_bytes().into(), id),
                _ => words.first.insert(token.as_bytes().into(), id),
            };
        }
        Some(words)
    }

    /// Returns the ids of an ASCII text.
    pub fn ids(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut word: Vec<u8> = Vec::with_capacity(32);
        for byte in text.bytes() {
            // Vertical tab and form feed count as control characters.
            if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                self.end_word(&mut word, &mut ids);
            } else if byte.is_ascii_control() {
                continue;
            } else if byte.is_ascii_punctuation() || byte.is_ascii_digit() {
                self.end_word(&mut word, &mut ids);
                word.push(byte);
                self.end_word(&mut word, &mut ids);
            } else {
                word.push(byte.to_ascii_lowercase());
            }
        }
        self.end_word(&mut word, &mut ids);
        ids
    }

    fn end_word(&self, word: &mut Vec<u8>, ids: &mut Vec<u32>) {
        if word.is_empty() {
            return;
        }
        match self.first.get(word.as_slice()) {
            Some(id) if word.len() <= self.max_word => ids.push(*id),
            _ => self.cover(word, ids),
        }
        word.clear();
    }

    /// Covers a word by its longest pieces from the left.
    fn cover(&self, word: &[u8], ids: &mut Vec<u32>) {
        let before = ids.len();
        let mut rest = if word.len() > self.max_word { &[] } else { word };
        let mut pieces = &self.first;
        while !rest.is_empty() {
            let longest = rest.len().min(self.longest);
            let found = (1..=longest).rev().find_map(|length| {
                let (piece, after) = rest.split_at(length);
                pieces.get(piece).map(|id| (*id, after))
            });
            let Some((id, after)) = found else {
                ids.truncate(before);
                break;
            };
            ids.push(id);
            rest = after;
            pieces = &self.further;
        }
        if ids.len() == before {
            ids.push(self.unknown);
        }
    }
}
