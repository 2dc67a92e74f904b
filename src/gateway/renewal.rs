//! Answers past their time: served once more each time while they are asked for anew.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Gateway, RequestContext, run::Run};
use crate::{
    cache::CacheKey,
    domain::{CacheControl, RequestId},
    wire::chat::ChatCall,
};

/// The answers that are being asked for anew: each only once at a time.
#[derive(Clone, Default)]
pub(super) struct Renewals(Arc<Mutex<HashSet<CacheKey>>>);

/// The duty to ask for one answer anew; dropping it ends it.
struct Renewal {
    all: Renewals,
    key: CacheKey,
}

impl Renewals {
    fn begin(&self, key: CacheKey) -> Option<Renewal> {
        self.0.lock().insert(key).then(|| Renewal { all: self.clone(), key })
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.key);
    }
}

impl Gateway {
    /// Asks anew for what a request is answered with now. It is a request of its own, of the same caller: admitted, booked and
    /// counted like any other. One that fails leaves the old answer until its time is over for good.
    pub(super) fn renew(&self, run: &Run, key: CacheKey, call: &Arc<ChatCall>) {
        let (Some(renewal), Some(gateway)) = (self.renewals.begin(key), self.me.upgrade()) else { return };
        let mut preferences = run.context().preferences.clone();
        preferences.cache = CacheControl { no_cache: true, no_store: false };
        preferences.explain = false;
        let context = RequestContext {
            request: RequestId::fresh(),
            arrived: Instant::now(),
            preferences,
            ..run.context().clone()
        };
        let call = ChatCall { is_streaming: false, wants_usage: false, ..(**call).clone() };
        self.parts.tasks.spawn(asked(gateway, call, context, renewal));
    }
}

fn asked(gateway: Arc<Gateway>, call: ChatCall, context: RequestContext, renewal: Renewal) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        // What becomes of it is in its record.
        drop(gateway.chat(call, context).await);
        drop(renewal);
    })
}
