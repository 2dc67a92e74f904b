//! Speculative decoding: several tokens of one answer in one pass.
//!
//! Something cheap proposes how the answer goes on, and the model checks all proposals in one pass
//! (Leviathan, Kalman, Matias 2023, "Fast Inference from Transformers via Speculative Decoding").
//!
//! ```text
//! proposer   what guesses: `lookup` in what is written, `drafting` by a smaller model
//! pace       how many guesses at a time pay on this machine, from costs measured and acceptance seen
//! passes     passes of a model over a growing text (`cells` its keys and values, `tap` what reads its logits)
//! decode     one answer: propose, check, judge
//! worker     the thread that decodes
//! ```

mod answering;
mod calibrate;
mod cells;
mod counts;
mod decode;
mod drafting;
mod lookup;
mod order;
mod pace;
mod passes;
mod proposer;
mod speculator;
mod tap;
mod worker;

#[cfg(test)]
mod tests;

pub(super) use {
    answering::Answering,
    calibrate::speed,
    counts::Counted,
    decode::Writing,
    drafting::Drafting,
    order::Aid,
    pace::{Costs, Pace},
    passes::{Messages, Passes},
    speculator::{Speculator, off},
};
