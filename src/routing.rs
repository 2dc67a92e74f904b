//! Choosing: one file per strategy, pure and synchronous.
//!
//! A strategy looks at an [`Ask`] and at nothing else: no clock, no I/O, no chance but the ask's seed. The same ask gives the
//! same decision, so a record can replay it and the explain endpoint can show it without calling anyone.

use crate::domain::{Ask, Decision, NoRoute};

/// A way to choose.
pub trait Strategy: Send + Sync {
    /// Decides what will be done. `policy` and `policy_version` of the decision are filled in by the policy.
    ///
    /// # Errors
    /// No candidate meets the hard constraints.
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute>;

    /// Returns whether `decide` looks at scores; if not, the router model need not run.
    fn needs_scores(&self) -> bool;
}
