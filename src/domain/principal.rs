//! Who is asking.

use super::{
    ids::{KeyId, PolicyName, TenantId},
    limits::KeyLimits,
};

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The tenant: scope of caches and records.
    pub tenant: TenantId,
    /// The key that was used; `open` when the gateway runs without keys.
    pub key: KeyId,
    /// What the key may use.
    pub limits: KeyLimits,
    /// Policies the key may use; empty means all of them, and models named directly. A key restricted to policies may not name
    /// models: that would be a way around.
    pub policies: Vec<PolicyName>,
}
