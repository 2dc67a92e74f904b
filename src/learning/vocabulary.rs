//! The tokenizer: WordPiece, trained on the prompts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;
use tokenizers::{
    AddedToken, Model as _, TokenizerBuilder, TokenizerImpl,
    decoders::DecoderWrapper,
    models::wordpiece::{WordPiece, WordPieceTrainer},
    normalizers::BertNormalizer,
    pre_tokenizers::{PreTokenizerWrapper, bert::BertPreTokenizer, digits::Digits, sequence::Sequence},
    processors::PostProcessorWrapper,
};

use super::LearningError;
use crate::scoring::words::{normalizer, pre_tokenizer};

/// Stands for what the vocabulary does not cover; id 0.
pub const UNKNOWN: &str = "[UNK]";

/// Longest word that is looked at; bounds the time that a word of rare letters can take.
const MAX_WORD: usize = 40;

/// A trained vocabulary.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Vocabulary {
    /// `tokenizer.json`.
    pub json: Vec<u8>,
    /// Tokens by id.
    pub tokens: Vec<String>,
}

type Trainee = TokenizerImpl<WordPiece, BertNormalizer, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// Trains a vocabulary of about `size` pieces.
///
/// # Errors
/// The trainer refuses the texts.
pub fn train_vocabulary(texts: &[&str], size: usize) -> Result<Vocabulary, LearningError> {
    let failed = |error: tokenizers::Error| LearningError::Tokenizer(error.to_string());
    let splitting = Sequence::new(vec![BertPreTokenizer.into(), Digits::new(true).into()]);
    let mut tokenizer: Trainee = TokenizerBuilder::new()
        .with_model(WordPiece::default())
        .with_normalizer(Some(BertNormalizer::new(true, true, Some(false), true)))
        .with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(splitting)))
        .with_post_processor(None)
        .with_decoder(None)
        .build()
        .map_err(failed)?;
    let alphabet = alphabet(texts);
    let mut trainer = WordPieceTrainer::builder()
        .vocab_size(size)
        .min_frequency(3)
        .show_progress(false)
        .special_tokens(first_pieces(&alphabet))
        .build();
    let keep = |text: &&str| -> String {
        text.to_lowercase().chars().map(|letter| if alphabet.contains(&letter) { letter } else { ' ' }).collect()
    };
    let texts: Vec<String> = texts.iter().map(keep).collect();
    tokenizer.train(&mut trainer, texts.iter()).map_err(failed)?;
    Ok(document(tokenizer.get_model().get_vocab()))
}

/// Returns the characters that are frequent enough to learn from.
fn alphabet(texts: &[&str]) -> BTreeSet<char> {
    const FREQUENT: usize = 20;
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for letter in texts.iter().flat_map(|text| text.chars()).flat_map(char::to_lowercase) {
        *counts.entry(letter).or_default() += 1;
    }
    let is_kept =
        |(letter, count): &(char, usize)| *count >= FREQUENT && !letter.is_whitespace() && !letter.is_control();
    counts.into_iter().filter(is_kept).map(|(letter, _)| letter).collect()
}

/// Returns the unknown token and every character, at the beginning of a word and within one. The trainer would number them in
/// the order of a hash map and break ties by these numbers, so they are given to it in order.
fn first_pieces(alphabet: &BTreeSet<char>) -> Vec<AddedToken> {
    let within = alphabet.iter().filter(|letter| !letter.is_ascii_punctuation() && !letter.is_numeric());
    let pieces = [UNKNOWN.to_owned()]
        .into_iter()
        .chain(alphabet.iter().map(char::to_string))
        .chain(within.map(|letter| format!("##{letter}")));
    pieces.map(|piece| AddedToken::from(piece, true)).collect()
}

/// Writes the tokenizer with sorted keys: the same vocabulary gives the same bytes.
fn document(vocabulary: HashMap<String, u32>) -> Vocabulary {
    let mut pieces: Vec<(u32, String)> = vocabulary.into_iter().map(|(token, id)| (id, token)).collect();
    pieces.sort();
    let tokens: Vec<String> = pieces.into_iter().map(|(_, token)| token).collect();
    let vocab: serde_json::Map<String, serde_json::Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let document = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": normalizer(), "pre_tokenizer": pre_tokenizer(), "post_processor": null, "decoder": null,
        "model": {"type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": MAX_WORD, "vocab": vocab},
    });
    Vocabulary { json: document.to_string().into_bytes(), tokens }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_texts_give_the_same_vocabulary() {
        let texts =
            ["the train leaves at seven; the other train waits", "points are set, signals are green: go"].repeat(20);

        let (first, second) = (train_vocabulary(&texts, 120).unwrap(), train_vocabulary(&texts, 120).unwrap());

        assert_eq!(first.json, second.json);
        assert_eq!(first.tokens[0], UNKNOWN);
        assert!(first.tokens.contains(&"train".to_owned()));
    }
}
