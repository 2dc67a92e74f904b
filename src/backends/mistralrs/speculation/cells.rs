//! Keys and values that a model computed, kept between passes.
//!
//! mistral.rs drops a sequence's cache with the sequence. What makes passes over one growing text cheap is kept here instead:
//! a [`Store`] shares its memory with an entry of the engine's prefix cache, which [`super::passes`] plants once and fills again
//! after each pass.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use mistralrs::{Result, Tensor};
use mistralrs_core::Pipeline;
use tokio::sync::Mutex;

/// The axis of a layer's keys and values along which the tokens lie.
const TOKENS: usize = 2;

/// The engine grows a layer's memory by so many tokens at a time.
const BLOCK: usize = 512;

type Read = dyn Fn(usize) -> Result<Vec<Tensor>> + Send + Sync;

/// The keys and values that a model holds after its latest pass.
#[derive(Clone)]
pub(super) struct Cells(Arc<Read>);

impl Cells {
    /// Returns the cells of a model; `None` where they cannot be cut to a length: sliding windows, recurrent states.
    pub(super) async fn of(pipeline: &Mutex<dyn Pipeline>) -> Option<Self> {
        let cache = pipeline.lock().await.cache().clone();
        if cache.is_hybrid() {
            return None;
        }
        // Asking another kind of cache for the normal one panics, and the kind has no name outside its crate.
        let is_plain = catch_unwind(AssertUnwindSafe(|| {
            cache.normal().0.iter().all(|layer| !layer.is_rotating() && !layer.is_shared())
        }));
        if !is_plain.unwrap_or(false) {
            return None;
        }
        Some(Self(Arc::new(move |length| {
            let mut cells = Vec::new();
            for layer in &cache.normal().0 {
                let mut layer = layer.clone();
                layer.set_len(length)?;
                cells.extend(layer.k()?);
                cells.extend(layer.v()?);
            }
            Ok(cells)
        })))
    }

    /// Returns views of the first `length` tokens, layer by layer.
    fn first(&self, length: usize) -> Result<Vec<Tensor>> {
        (self.0)(length)
    }
}

/// Memory for the keys and values of a text of up to `length` tokens.
pub(super) struct Store {
    length: usize,
    cells: Vec<Tensor>,
}

impl Store {
    /// Returns the memory that the model's latest pass wrote to, which was over `length` tokens and one more.
    ///
    /// # Errors
    /// The model holds no such memory.
    pub(super) fn shared(cells: &Cells, length: usize) -> Result<Self> {
        let cells = cells.first((length + 1).next_multiple_of(BLOCK))?;
        Ok(Self { length, cells })
    }

    /// Returns how many tokens fit.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Takes over the tokens from `begin` to `end` that the model's latest pass was over; what does not fit is left out.
    ///
    /// # Errors
    /// The model does not hold them.
    pub(super) fn take(&self, cells: &Cells, begin: usize, end: usize) -> Result<()> {
        copy(&cells.first(end)?, &self.cells, begin, end.min(self.length))
    }

    /// Takes over the first `end` tokens of another store.
    ///
    /// # Errors
    /// The stores are of different models.
    pub(super) fn take_from(&self, other: &Self, end: usize) -> Result<()> {
        copy(&other.cells, &self.cells, 0, end)
    }
}

fn copy(from: &[Tensor], to: &[Tensor], begin: usize, end: usize) -> Result<()> {
    if begin >= end {
        return Ok(());
    }
    for (from, to) in from.iter().zip(to) {
        let rows = from.narrow(TOKENS, begin, end - begin)?.contiguous()?;
        to.slice_set(&rows, TOKENS, begin)?;
    }
    Ok(())
}
