//! A router whose encoder is MiniLM itself: only heads and profiles are trained.

use std::path::Path;

use rayon::prelude::*;

use super::{INPUTS, MAX_TOKENS, Minilm, Precision, WIDTH};
use crate::{
    learning::{
        LearningError, Progress, TrainSettings, Work,
        data::Set,
        export::{self, Body, Trained},
        matrix::Matrix,
        train::{Inputs, examples, fit_heads},
    },
    scoring::load::Runtime,
};

/// Trains heads on the encoder's embeddings and writes the artifact to `out`, all of it or nothing.
///
/// # Errors
/// There is nothing to learn from, the encoder does not run, or the folder cannot be written.
pub fn train(
    (minilm, precision, runtime): (&Minilm, Precision, &Runtime),
    sets: &[Set],
    out: &Path,
    settings: TrainSettings,
    (work, progress): (&Work, &dyn Progress),
) -> Result<(), LearningError> {
    let examples = examples(sets, settings.lessons)?;
    let texts: Vec<&str> = examples.prompts.iter().map(String::as_str).collect();
    let tokens = minilm.tokens()?;
    let ids: Result<Vec<Vec<u32>>, _> = texts.par_iter().map(|text| tokens.ids(text)).collect();
    let ids = ids.map_err(|error| LearningError::Tokenizer(error.to_string()))?;
    progress.begin("embedding", texts.len() as u64);
    let name = format!("minilm-{precision:?}-{}", runtime.engine().name());
    let embeddings: Matrix = work.stage(&name, || minilm.teacher(runtime, precision)?.embed(&texts, progress))?;
    let dense = with_lengths(&embeddings, &ids);
    let inputs = Inputs { dense, embedding: WIDTH, presence: None, ids: &ids };
    let (heads, profiles) = fit_heads(&examples, &inputs, settings, (work, progress))?;
    progress.begin("writing", 1);
    let body = Body {
        onnx: minilm.write(&export::name(out), &heads, precision)?,
        outputs: heads.widths(WIDTH),
        tokenizer: minilm.tokenizer().to_vec(),
        max_tokens: MAX_TOKENS,
        tolerance: precision.tolerance(),
    };
    export::write(&Trained { settings, examples: &examples, body, profiles }, out)?;
    progress.step();
    Ok(())
}

/// Embeddings and, behind them, the logarithm of the number of tokens.
fn with_lengths(embeddings: &Matrix, ids: &[Vec<u32>]) -> Matrix {
    let mut dense = Matrix::zeros(embeddings.rows, INPUTS);
    for (index, (embedding, ids)) in embeddings.iter().zip(ids).enumerate() {
        let row = dense.row_mut(index);
        row.iter_mut().zip(embedding).for_each(|(value, entry)| *value = *entry);
        if let Some(last) = row.last_mut() {
            *last = (ids.len() as f32).ln();
        }
    }
    dense
}
