//! What a call has said, and how far each reader has read.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    domain::{Event, WholeReply},
    error::Code,
    gateway::failure::Failure,
};

/// One piece of an answer.
#[derive(Clone)]
pub(in crate::gateway) enum Part {
    /// All of it.
    Whole(WholeReply),
    /// The next event.
    Event(Event),
}

impl Part {
    fn bytes(&self) -> usize {
        match self {
            Self::Whole(whole) => whole.body.len(),
            Self::Event(event) => event.data.len(),
        }
    }
}

/// The pieces from the first one on. Once they take more than the limit nobody can join, what everyone has read is dropped, and
/// a reader who is further behind than the limit is cut off: a slow reader costs memory, never time.
pub(super) struct Log {
    parts: VecDeque<Part>,
    /// Number of the first part that is still held.
    base: usize,
    bytes: usize,
    limit_bytes: usize,
    is_whole: bool,
    /// The number of the part that each reader reads next.
    positions: BTreeMap<u64, usize>,
    readers: u64,
}

impl Log {
    pub(super) fn new(limit_bytes: usize) -> Self {
        let parts = VecDeque::new();
        Self { parts, base: 0, bytes: 0, limit_bytes, is_whole: true, positions: BTreeMap::new(), readers: 0 }
    }

    /// Returns whether whoever joins now can read from the first part on.
    pub(super) fn is_joinable(&self) -> bool {
        self.is_whole
    }

    /// Lets a reader in, at the first part.
    pub(super) fn join(&mut self) -> u64 {
        self.readers += 1;
        self.positions.insert(self.readers, 0);
        self.readers
    }

    /// Lets a reader out; returns whether it was the last.
    pub(super) fn leave(&mut self, reader: u64) -> bool {
        self.positions.remove(&reader);
        self.trim();
        self.positions.is_empty()
    }

    pub(super) fn push(&mut self, part: Part) {
        self.bytes += part.bytes();
        self.parts.push_back(part);
        self.is_whole &= self.bytes <= self.limit_bytes;
        self.trim();
    }

    /// Returns a reader's next part; `None` when it has read all there is.
    ///
    /// # Errors
    /// The part is no longer held.
    pub(super) fn next(&mut self, reader: u64) -> Result<Option<Part>, Failure> {
        let Some(position) = self.positions.get_mut(&reader) else { return Ok(None) };
        let Some(at) = position.checked_sub(self.base) else {
            let message = "This answer is shared with other requests and was read too slowly.";
            return Err(Failure::new(Code::Overloaded, message).after_trying());
        };
        let Some(part) = self.parts.get(at).cloned() else { return Ok(None) };
        *position += 1;
        self.trim();
        Ok(Some(part))
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn trim(&mut self) {
        if self.is_whole {
            return;
        }
        let slowest = self.positions.values().copied().min().unwrap_or(usize::MAX);
        while self.base < slowest || self.bytes > self.limit_bytes {
            // The newest part stays, however large: someone drives because someone wants it.
            if self.parts.len() <= 1 && self.base >= slowest {
                return;
            }
            let Some(part) = self.parts.pop_front() else { return };
            self.bytes -= part.bytes();
            self.base += 1;
        }
    }
}
