//! Records that are still open, for whoever must wait for one.

use std::time::Duration;

use dashmap::DashMap;
use tokio::{sync::Notify, time::timeout};

use crate::domain::{DecisionId, TenantId};

/// The decisions of requests that are under way.
#[derive(Debug, Default)]
pub struct OpenRecords {
    tenants: DashMap<DecisionId, TenantId>,
    closed: Notify,
}

impl OpenRecords {
    pub(super) fn open(&self, decision: DecisionId, tenant: TenantId) {
        self.tenants.insert(decision, tenant);
    }

    /// Must be called when whoever keeps records has this one.
    pub(super) fn close(&self, decision: &DecisionId) {
        self.tenants.remove(decision);
        self.closed.notify_waiters();
    }

    /// Waits until the tenant's request of this decision has left its record, for `longest` at most. Of what is not open, or
    /// another tenant's, it knows nothing and does not wait.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn settled(&self, decision: DecisionId, tenant: &TenantId, longest: Duration) {
        let waiting = async {
            loop {
                // Asked for before looking, so that a record which closes in between is noticed.
                let closed = self.closed.notified();
                if !self.is_open(&decision, tenant) {
                    return;
                }
                closed.await;
            }
        };
        // Whoever waited for too long finds no record, and is told so.
        drop(timeout(longest, waiting).await);
    }

    fn is_open(&self, decision: &DecisionId, tenant: &TenantId) -> bool {
        self.tenants.get(decision).is_some_and(|owner| owner.value() == tenant)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_for_an_open_record_goes_on_when_it_closes() {
        let (records, decision) = (OpenRecords::default(), DecisionId::fresh());
        let owner = tenant("acme");
        records.open(decision, owner.clone());
        let mut waiting = Box::pin(records.settled(decision, &owner, LONG));

        assert!(poll!(&mut waiting).is_pending());
        records.close(&decision);

        assert!(waiting.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_another_tenants_request_or_for_ever() {
        let (records, decision) = (OpenRecords::default(), DecisionId::fresh());
        let owner = tenant("acme");
        records.open(decision, owner.clone());

        assert!(records.settled(decision, &tenant("other"), LONG).now_or_never().is_some());
        assert!(records.settled(DecisionId::fresh(), &owner, LONG).now_or_never().is_some());
        records.settled(decision, &owner, LONG).await;
    }
}
