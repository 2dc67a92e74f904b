//! The local models of this process, known to each other by name: one may be another's draft.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::Local;
use crate::domain::ModelName;

/// How long a model waits for one that is to be started beside it.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(10);

/// Local models by name.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    known: Arc<watch::Sender<HashMap<ModelName, Weak<Local>>>>,
}

impl Neighbours {
    /// Makes a model known to the others.
    pub(super) fn enter(&self, name: ModelName, local: &Arc<Local>) {
        self.known.send_modify(|known| {
            known.insert(name, Arc::downgrade(local));
        });
    }

    /// Returns the model of this name, if there is one.
    pub(super) fn find(&self, name: &ModelName) -> Option<Arc<Local>> {
        self.known.borrow().get(name).and_then(Weak::upgrade)
    }

    /// Waits for the model of this name to be started; `None` when it is not.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn await_model(&self, name: &ModelName) -> Option<Arc<Local>> {
        let mut known = self.known.subscribe();
        // Whether it came shows in what is asked next.
        drop(timeout(ARRIVAL_LIMIT, known.wait_for(|known| known.contains_key(name))).await);
        self.find(name)
    }
}
