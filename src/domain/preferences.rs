//! What one request wants of the routing, from the `pointsman` field and from headers.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{cache_rule::CacheControl, model::Tag, money::NanoUsd, scores::Probability};

/// A request's own wishes; a policy bounds how far they move its weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Preferences {
    /// How much quality matters against cost and latency: 0 cheapest, 1 best, `None` the policy's own weights.
    pub quality: Option<Probability>,
    /// Most this request may cost (a hard constraint).
    pub max_cost: Option<NanoUsd>,
    /// Expected time to the last token must stay under this (a hard constraint).
    pub max_latency: Option<Duration>,
    /// Properties the model must have (hard constraints).
    pub tags: BTreeSet<Tag>,
    /// What the request says about caching.
    pub cache: CacheControl,
    /// What a stored answer is marked with, so that an admin finds it again; it does not change which answers are shared.
    #[serde(default)]
    pub cache_tags: BTreeSet<Tag>,
    /// Answers are shared only with requests of the same scope, within the tenant.
    #[serde(default)]
    pub scope: Option<String>,
    /// Whether the answer carries the whole decision in its `pointsman` field.
    pub explain: bool,
}
