//! The flights under way, by what they answer.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::{Flight, Reader};
use crate::{
    cache::CacheKey,
    gateway::{keep::Keep, stream::Opening},
};

type Table = Mutex<HashMap<CacheKey, Weak<Flight>>>;

/// The flights that can be joined. The tenant is part of every key, so nobody joins another tenant's flight.
#[derive(Clone, Default)]
pub(in crate::gateway) struct Flights(Arc<Table>);

/// Where a request sits.
pub(in crate::gateway) enum Seat {
    /// It leads: it has to launch the call.
    Leader(Lead),
    /// It reads what another one leads.
    Follower(Reader),
}

/// The duty to launch a call. Dropping it lets another lead.
pub(in crate::gateway) struct Lead {
    flight: Arc<Flight>,
    reader: Option<Reader>,
}

impl Flights {
    /// Joins the flight of this key, or begins it.
    pub(in crate::gateway) fn board(&self, key: CacheKey, limit_bytes: usize) -> Seat {
        loop {
            let seen = self.0.lock().get(&key).cloned();
            // The flight must not be dropped under the table's lock, which its place takes.
            if let Some(reader) = seen.as_ref().and_then(Weak::upgrade).and_then(join) {
                return Seat::Follower(reader);
            }
            let flight = Flight::new(limit_bytes, Some(Place { table: self.clone(), key }));
            let mut table = self.0.lock();
            let is_unchanged = match (table.get(&key), &seen) {
                (None, _) => true,
                (Some(now), Some(seen)) => now.ptr_eq(seen),
                (Some(_), None) => false,
            };
            if is_unchanged {
                table.insert(key, Arc::downgrade(&flight));
                drop(table);
                return Seat::Leader(Lead::of(flight));
            }
            drop(table);
        }
    }
}

#[cfg(test)]
impl Flights {
    /// Returns how many flights the table holds.
    pub(super) fn under_way(&self) -> usize {
        self.0.lock().len()
    }
}

fn join(flight: Arc<Flight>) -> Option<Reader> {
    let id = {
        let mut state = flight.state.lock();
        (state.end.is_none() && state.log.is_joinable()).then(|| state.log.join())
    }?;
    Some(Reader::new(flight, id, false))
}

impl Lead {
    /// Returns the duty to launch a call that nobody else reads.
    pub(in crate::gateway) fn alone(limit_bytes: usize) -> Self {
        Self::of(Flight::new(limit_bytes, None))
    }

    fn of(flight: Arc<Flight>) -> Self {
        let id = flight.state.lock().log.join();
        let reader = Reader::new(Arc::clone(&flight), id, true);
        Self { flight, reader: Some(reader) }
    }

    /// Launches the call; returns the leader's own reader, and the flight for its record.
    pub(in crate::gateway) fn launch(
        mut self,
        opening: Opening,
        keep: Keep,
        is_streaming: bool,
    ) -> (Option<Reader>, Arc<Flight>) {
        self.flight.launch(opening, keep, is_streaming);
        (self.reader.take(), Arc::clone(&self.flight))
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flight.abandon();
    }
}

/// A flight's place in the table; it leaves the table with the flight.
pub(super) struct Place {
    table: Flights,
    key: CacheKey,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.table.0.lock();
        // A newer flight may have taken the place.
        if table.get(&self.key).is_some_and(|flight| flight.strong_count() == 0) {
            table.remove(&self.key);
        }
    }
}
