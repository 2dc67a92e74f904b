//! Keeping a model: loaded when it is asked for, gone when it is idle, watched while it works.

use std::{
    sync::{Arc, Once, Weak, atomic::Ordering},
    thread,
    time::Duration,
};

use super::{Inner, load, loaded::Loaded, memory, status::Phase};

/// How often a model is looked at.
const PERIOD: Duration = Duration::from_millis(250);

/// Watches a model on a thread of its own, which ends with it: an engine that spins may hold every other thread up.
pub(super) fn watch(inner: &Arc<Inner>) {
    let weak = Arc::downgrade(inner);
    let spawned = thread::Builder::new().name("model-watch".to_owned()).spawn(move || look(&weak));
    if let Err(error) = spawned {
        tracing::warn!(model = %inner.name, %error, "no thread to watch the local model: stalls go unnoticed");
    }
}

fn look(weak: &Weak<Inner>) {
    loop {
        thread::park_timeout(PERIOD);
        let Some(inner) = weak.upgrade() else { return };
        inner.look();
    }
}

impl Inner {
    fn look(&self) {
        for pulse in self.shared.queue.pulses() {
            if pulse.check(self.settings.stall_after) {
                self.shared.health.stalled();
                tracing::error!(model = %self.name, "the local model makes no token; others are asked until it is heard again");
            }
        }
        for engine in self.loaded().iter().flat_map(|loaded| loaded.engines()) {
            engine.notice_death();
        }
        let is_idle = |longest| self.shared.queue.idle_for().is_some_and(|idle| idle >= longest);
        if self.report.phase() == Phase::Ready && self.settings.keep_alive.is_some_and(is_idle) {
            self.unload("it had no work");
        }
    }

    /// Starts loading unless the model is in memory or on its way there.
    pub(super) fn start_loading(self: &Arc<Self>) {
        if self.loaded.read().is_some() || self.is_loading.swap(true, Ordering::AcqRel) {
            return;
        }
        self.report.enter(Phase::Loading);
        let inner = Arc::clone(self);
        let spawned = thread::Builder::new().name("model-loader".to_owned()).spawn(move || {
            inner.load();
            inner.is_loading.store(false, Ordering::Release);
        });
        if let Err(error) = spawned {
            self.report.fail(format!("no thread to load it: {error}"));
            self.is_loading.store(false, Ordering::Release);
        }
    }

    /// Lets a model that failed or was taken out try again.
    pub(super) fn load_again(self: &Arc<Self>) {
        self.shared.health.pardon();
        self.start_loading();
    }

    /// Gives the model's memory back as soon as nobody uses it; the next request loads it again.
    pub(super) fn unload(&self, why: &str) {
        if self.loaded.write().take().is_some() {
            self.report.enter(Phase::Asleep);
            tracing::info!(model = %self.name, "the local model is unloaded: {why}");
        }
    }

    fn load(&self) {
        leave_a_core_free();
        let (begun, before) = (self.clock.elapsed(), memory::resident_bytes());
        let loaded = load::load(&self.settings, &self.place, (&self.report, &self.shared.health));
        match loaded {
            Ok((first, more)) => {
                let took = self.clock.elapsed().saturating_sub(begun);
                let grown = memory::resident_bytes().saturating_sub(before);
                let loaded = Arc::new(Loaded::new(first, more, grown));
                self.start_speculating(&loaded);
                self.shared.queue.touch();
                *self.loaded.write() = Some(loaded);
                self.report.ready(took);
                tracing::info!(model = %self.name, load.seconds = took.as_secs_f64(), "the local model is ready");
            }
            Err(error) => {
                tracing::error!(model = %self.name, %error, "the local model did not load");
                self.report.fail(error.to_string());
            }
        }
    }
}

/// Matrix products run on rayon's pool; with every core in it, requests would wait for the network threads.
fn leave_a_core_free() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(cores.saturating_sub(1).max(1));
        if let Err(error) = pool.build_global() {
            tracing::debug!(%error, "the thread pool for matrix products was already set up");
        }
    });
}
