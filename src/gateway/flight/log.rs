//! What a call has said, and how far each reader has read.

use std::collections::{BTreeMap, VecDeque};

use super::stored::Stored;
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

/// The pieces from the first one on. The newest are held as they came, up to the limit; older ones are [`Stored`] small, up to the
/// limit again. Once those take more, nobody can join, what everyone has read is dropped, and a reader who is further behind is cut
/// off: a slow reader costs memory, never time.
pub(super) struct Log {
    stored: Stored,
    /// Number of the first part that is stored.
    first: usize,
    parts: VecDeque<Part>,
    bytes: usize,
    limit_bytes: usize,
    /// The number of the part that each reader reads next.
    positions: BTreeMap<u64, usize>,
    readers: u64,
}

impl Log {
    pub(super) fn new(limit_bytes: usize) -> Self {
        let (stored, parts) = (Stored::default(), VecDeque::new());
        Self { stored, first: 0, parts, bytes: 0, limit_bytes, positions: BTreeMap::new(), readers: 0 }
    }

    /// Returns whether whoever joins now can read from the first part on.
    pub(super) fn is_joinable(&self) -> bool {
        self.first == 0
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
        while self.bytes > self.limit_bytes && self.parts.len() > 1 {
            let Some(oldest) = self.parts.pop_front() else { break };
            self.bytes -= oldest.bytes();
            match oldest {
                Part::Event(event) => self.stored.push(&event.data),
                // A whole answer is one part.
                Part::Whole(whole) => self.stored.push(&whole.body),
            }
        }
        self.trim();
    }

    /// Returns a reader's next part; `None` when it has read all there is.
    ///
    /// # Errors
    /// The part is no longer held.
    pub(super) fn next(&mut self, reader: u64) -> Result<Option<Part>, Failure> {
        let Some(position) = self.positions.get_mut(&reader) else { return Ok(None) };
        let Some(at) = position.checked_sub(self.first) else {
            let message = "This answer is shared with other requests and was read too slowly.";
            return Err(Failure::new(Code::Overloaded, message).after_trying());
        };
        let part = match at.checked_sub(self.stored.len()) {
            Some(at) => self.parts.get(at).cloned(),
            None => self.stored.get(at).map(|data| Part::Event(Event::read(data))),
        };
        if part.is_some() {
            *position += 1;
            self.trim();
        }
        Ok(part)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.stored.bytes()
    }

    /// Forgets what is too much. The newest part stays, however large: someone drives because someone wants it.
    fn trim(&mut self) {
        let slowest = self.positions.values().copied().min().unwrap_or(usize::MAX);
        while self.stored.len() > 0
            && (self.stored.bytes() > self.limit_bytes || (!self.is_joinable() && self.first < slowest))
        {
            self.stored.forget();
            self.first += 1;
        }
    }
}
