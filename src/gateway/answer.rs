//! What the gateway is given besides a body, and what it gives back.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    admission::RateStatus,
    domain::{
        CacheOutcome, DecisionId, ModelName, NanoUsd, PlanKind, PolicyName, Preferences, Principal, Reply, RequestId,
        StageTimes,
    },
    error::Code,
};

/// What `api` knows of a request besides its body.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The request.
    pub request: RequestId,
    /// When its head arrived.
    pub arrived: Instant,
    /// How long authentication took.
    pub auth: Duration,
    /// How long parsing took.
    pub parse: Duration,
    /// Who asks.
    pub principal: Principal,
    /// What it wants: the `pointsman` field and the headers, joined.
    pub preferences: Preferences,
}

/// What the response's head says of the way the request went.
#[derive(Clone, Debug)]
pub struct Passage {
    /// The request.
    pub request: RequestId,
    /// The decision; feedback refers to it.
    pub decision: DecisionId,
    /// The model whose answer this is; `None` when none answered.
    pub model: Option<ModelName>,
    /// The policy that decided.
    pub policy: Option<PolicyName>,
    /// Its version.
    pub policy_version: u64,
    /// The kind of plan; `None` for cached answers.
    pub plan: Option<PlanKind>,
    /// What the cache did.
    pub cache: CacheOutcome,
    /// What it cost; `None` while a stream runs.
    pub cost: Option<NanoUsd>,
    /// Stage times.
    pub times: StageTimes,
    /// The key's rates; `None` before admission.
    pub rates: Option<RateStatus>,
}

impl Passage {
    /// Returns the passage of a request of which nothing else is known yet.
    pub(super) fn of(request: RequestId, decision: DecisionId) -> Self {
        Self {
            request,
            decision,
            model: None,
            policy: None,
            policy_version: 0,
            plan: None,
            cache: CacheOutcome::Bypass,
            cost: None,
            times: StageTimes::default(),
            rates: None,
        }
    }
}

/// What a stream cost, known once it has ended; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Bill(Arc<OnceLock<NanoUsd>>);

impl Bill {
    /// Returns the cost; `None` while the stream runs.
    pub fn get(&self) -> Option<NanoUsd> {
        self.0.get().copied()
    }

    /// Writes the cost down; only the first call counts.
    pub(super) fn set(&self, cost: NanoUsd) {
        self.0.get_or_init(|| cost);
    }
}

/// An answer on its way to the caller: a stream if the caller asked for one, else whole. The stream carries usage exactly
/// where the caller asked for it, and books the request when it ends or is dropped. If the request asked for an explanation,
/// the body (of a stream, its first event) already carries it in its `pointsman` field.
#[derive(Debug)]
pub struct Answer {
    /// The body.
    pub reply: Reply,
    /// The head.
    pub passage: Passage,
    /// What a stream cost, for its last words.
    pub bill: Bill,
}

/// No answer.
#[derive(Debug)]
pub struct Refusal {
    /// What went wrong.
    pub code: Code,
    /// A sentence for the caller.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
    /// When to come again.
    pub retry_after: Option<Duration>,
    /// How far the request came; `None` before a decision.
    pub passage: Option<Box<Passage>>,
}

/// One model or policy as `/v1/models` lists it.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The name to put into a request.
    pub name: String,
    /// Who serves it: a provider's name, `local`, `simulated`, or `pointsman` for policies.
    pub owner: String,
    /// When it was released or configured, in Unix seconds.
    pub created: i64,
}

/// One line of `/readyz`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Check {
    /// What was looked at: `router`, `ledger`, `model:<name>`, `policies`, `draining`.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// Whether the gateway is not ready without it.
    pub required: bool,
    /// A sentence for people.
    pub detail: String,
    /// Share of loading done, `[0, 1]`, while it loads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
}

/// Whether the gateway can take traffic, with every reason.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Health {
    /// Whether every required check is fine.
    pub ready: bool,
    /// Every check.
    pub checks: Vec<Check>,
}
