//! Places for requests in flight.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// Counts requests in flight. The limit comes with each entry, because policies and keys change while requests run.
#[derive(Debug, Default)]
pub(super) struct Gate {
    in_flight: AtomicU32,
}

impl Gate {
    /// Takes a place; `None` when `limit` are taken.
    pub(super) fn enter(gate: &Arc<Self>, limit: u32) -> Option<Slot> {
        let one_more = |taken: u32| (taken < limit).then(|| taken.saturating_add(1));
        gate.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Slot { gate: Arc::clone(gate) })
    }

    /// Returns how many places are taken.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }
}

/// A place at a gate; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Slot {
    gate: Arc<Gate>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gate.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_gate_opens_again_when_a_place_is_freed() {
        let gate = Arc::new(Gate::default());
        let first = Gate::enter(&gate, 1);

        assert!(Gate::enter(&gate, 1).is_none());
        drop(first);

        assert!(Gate::enter(&gate, 1).is_some());
        assert_eq!(gate.in_flight(), 0);
    }

    #[test]
    fn the_limit_holds_under_many_threads() {
        let gate = Arc::new(Gate::default());
        let highest = AtomicU32::new(0);

        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Some(_slot) = Gate::enter(&gate, 3) {
                            highest.fetch_max(gate.in_flight(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });

        assert!((1..=3).contains(&highest.into_inner()));
        assert_eq!(gate.in_flight(), 0);
    }
}
