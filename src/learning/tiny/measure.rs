//! Lessons as tokens, and how well models answer them.

use std::collections::BTreeMap;

use candle_core::{D, Device, Tensor};

use super::{TinyError, lessons::Lesson, llama::Llama, words::Words};

/// A lesson as tokens.
#[derive(Clone, Debug)]
pub struct Read {
    /// What kind of question it is.
    pub kind: &'static str,
    /// The whole chat.
    pub ids: Vec<u32>,
    /// Where the answer begins.
    begin: usize,
}

impl Read {
    /// Reads a lesson as the chat that it is in a prompt.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn new(lesson: &Lesson, words: &Words) -> Result<Self, TinyError> {
        let Lesson { kind, question, answer } = lesson;
        let mut ids = words.ids(&format!("<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"))?;
        let begin = ids.len();
        ids.extend(words.ids(&format!("{answer}<|im_end|>"))?);
        Ok(Self { kind, ids, begin })
    }

    /// Returns the answer's tokens, its end included.
    pub fn expected(&self) -> &[u32] {
        self.ids.get(self.begin..).unwrap_or_default()
    }
}

/// Returns the logits from which each token of the answers is chosen, `[tokens of all answers, vocabulary] f32`.
///
/// # Errors
/// When a computation fails.
pub fn answers(llama: &Llama, batch: &[Read]) -> Result<Tensor, TinyError> {
    let length = batch.iter().map(|read| read.ids.len()).max().unwrap_or_default();
    let (mut ids, mut rows) = (Vec::with_capacity(batch.len() * length), Vec::new());
    for (index, read) in batch.iter().enumerate() {
        ids.extend(&read.ids);
        ids.resize((index + 1) * length, 0);
        let first = index * length + read.begin - 1;
        rows.extend((first..first + read.expected().len()).filter_map(|row| u32::try_from(row).ok()));
    }
    let hidden = llama.forward(&Tensor::from_vec(ids, (batch.len(), length), &Device::Cpu)?)?;
    let count = rows.len();
    llama.logits(&hidden.index_select(&Tensor::from_vec(rows, count, &Device::Cpu)?, 0)?)
}

/// How a pair fares on held-out questions.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// By kind of question: questions, and those that target and draft answer right to the last token when decoding greedily.
    pub right: BTreeMap<&'static str, [usize; 3]>,
    /// Tokens of right answers.
    pub tokens: usize,
    /// Of those, where draft and target would choose the same token after the same right text.
    pub agreed: usize,
}

impl Measured {
    /// Returns the share of tokens on which draft and target agree, in `[0, 1]`.
    pub fn agreement(&self) -> f64 {
        self.agreed as f64 / self.tokens.max(1) as f64
    }

    /// Returns the shares of questions that target and draft answer right, in `[0, 1]`.
    pub fn accuracy(&self) -> (f64, f64) {
        let sum = |index: usize| self.right.values().filter_map(|counts| counts.get(index)).sum::<usize>() as f64;
        let all = sum(0).max(1.0);
        (sum(1) / all, sum(2) / all)
    }
}

/// Measures both models. Greedy decoding gives the right answer exactly if each token is the likeliest after the right ones.
///
/// # Errors
/// When a computation fails.
pub fn measure(target: &Llama, draft: &Llama, exam: &[Read]) -> Result<Measured, TinyError> {
    let mut measured = Measured::default();
    for batch in exam.chunks(32) {
        let (by_target, by_draft) = (chosen(target, batch)?, chosen(draft, batch)?);
        measured.tokens += by_target.len();
        measured.agreed += by_target.iter().zip(&by_draft).filter(|(a, b)| a == b).count();
        let (mut by_target, mut by_draft) = (by_target.into_iter(), by_draft.into_iter());
        for read in batch {
            let is_right = |of: &mut std::vec::IntoIter<u32>| {
                let count = read.expected().len();
                let text: Vec<u32> = of.take(count).collect();
                usize::from(text == read.expected())
            };
            let (right, draft_right) = (is_right(&mut by_target), is_right(&mut by_draft));
            let [all, first, second] = measured.right.entry(read.kind).or_default();
            *all += 1;
            *first += right;
            *second += draft_right;
        }
    }
    Ok(measured)
}

fn chosen(llama: &Llama, batch: &[Read]) -> Result<Vec<u32>, TinyError> {
    Ok(answers(llama, batch)?.argmax(D::Minus1)?.to_vec1()?)
}
