//! How often one key may be sent to a policy's strong models.

use std::{collections::BTreeSet, time::Duration};

use super::{ids::ModelName, scores::Probability};

/// A bound on the share of one key's requests that strong models answer. Text can be made to look hard; what that can cost is
/// bounded here.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// The strong models.
    pub models: BTreeSet<ModelName>,
    /// Largest share of a key's requests that they may answer.
    pub share: Probability,
    /// The time over which the share is taken.
    pub window: Duration,
    /// Requests that they may answer in each window whatever the share, so that a key with few requests is not held to it.
    pub grace: u32,
}
