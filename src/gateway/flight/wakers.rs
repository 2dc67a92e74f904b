//! Who waits for a flight to go on.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Wake, Waker},
};

use parking_lot::Mutex;

/// One waker per reader. As a waker itself it wakes all of them: each looks, and the first to look drives the call.
#[derive(Default)]
pub(super) struct Wakers(Mutex<HashMap<u64, Waker>>);

impl Wakers {
    pub(super) fn register(&self, reader: u64, waker: &Waker) {
        self.0.lock().insert(reader, waker.clone());
    }

    pub(super) fn forget(&self, reader: u64) {
        let forgotten = self.0.lock().remove(&reader);
        drop(forgotten);
        // Had it been woken to drive the call, another has to.
        self.wake_all();
    }

    pub(super) fn wake_all(&self) {
        self.wake_others(u64::MAX);
    }

    pub(super) fn wake_others(&self, reader: u64) {
        let mut waiting = self.0.lock();
        let own = waiting.remove(&reader);
        let woken = std::mem::take(&mut *waiting);
        waiting.extend(own.map(|waker| (reader, waker)));
        drop(waiting);
        woken.into_values().for_each(Waker::wake);
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}
