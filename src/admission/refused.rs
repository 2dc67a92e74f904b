//! Why a request may not go in.

use std::time::Duration;

use jiff::civil::Date;

use super::{
    budgets::{Exceeded, Period},
    rates::RateStatus,
};
use crate::{
    domain::{NanoUsd, PolicyName},
    error::Code,
};

/// When to come again after a limit on requests in flight; how long others take is not known.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// Why a request may not go in; displayed, it is a sentence for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The program is ending.
    #[error("The gateway is going down; try again shortly.")]
    ShuttingDown,
    /// The key is restricted to other policies.
    #[error("This key may only use {}.", policy_names(.allowed))]
    Forbidden {
        /// What it may use.
        allowed: Vec<PolicyName>,
    },
    /// The gateway's own limit.
    #[error("The gateway is at its limit of requests in flight; try again shortly.")]
    GatewayBusy,
    /// The policy's limit.
    #[error("Policy {policy} is at its limit of {limit} requests in flight; try again shortly.")]
    PolicyBusy {
        /// The policy.
        policy: PolicyName,
        /// Its limit.
        limit: u32,
    },
    /// The key's limit.
    #[error("This key is at its limit of {limit} requests in flight; wait for one to end.")]
    KeyBusy {
        /// Its limit.
        limit: u32,
    },
    /// Requests per minute.
    #[error("This key is at its limit of {limit} requests per minute; try again later.")]
    TooManyRequests {
        /// The limit.
        limit: u64,
        /// When the next one may come; `None` means never.
        wait: Option<Duration>,
    },
    /// Tokens per minute.
    #[error("This request may need {needed} tokens, which this key's limit of {limit} tokens per minute does not allow {}.",
        if .wait.is_some() { "now; try again later" } else { "at all; shorten it or lower its token limit" })]
    TooManyTokens {
        /// The limit.
        limit: u64,
        /// What the request was expected to need.
        needed: u64,
        /// When there will be enough; `None` means never.
        wait: Option<Duration>,
    },
    /// Money.
    #[error("This request may cost up to ${needed}, but of this key's {period} budget of ${budget} only ${left} is left{}.",
        resets_at(*.resets))]
    BudgetExceeded {
        /// Which budget.
        period: Period,
        /// The budget.
        budget: NanoUsd,
        /// What is left of it.
        left: NanoUsd,
        /// What the request may cost.
        needed: NanoUsd,
        /// The day (UTC) on which it is whole again.
        resets: Option<Date>,
    },
}

impl Refused {
    pub(super) fn budget(exceeded: Exceeded, needed: NanoUsd) -> Self {
        let Exceeded { period, budget, left, resets } = exceeded;
        Self::BudgetExceeded { period, budget, left, needed, resets }
    }

    /// Returns the class.
    pub fn code(&self) -> Code {
        match self {
            Self::ShuttingDown => Code::ShuttingDown,
            Self::Forbidden { .. } => Code::Forbidden,
            Self::GatewayBusy | Self::PolicyBusy { .. } => Code::Overloaded,
            Self::KeyBusy { .. } | Self::TooManyRequests { .. } | Self::TooManyTokens { .. } => Code::RateLimited,
            Self::BudgetExceeded { .. } => Code::BudgetExceeded,
        }
    }

    /// Returns when to come again; `None` when waiting does not help, or not within the day.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ShuttingDown | Self::GatewayBusy | Self::PolicyBusy { .. } | Self::KeyBusy { .. } => Some(BUSY_PAUSE),
            Self::TooManyRequests { wait, .. } | Self::TooManyTokens { wait, .. } => *wait,
            Self::Forbidden { .. } | Self::BudgetExceeded { .. } => None,
        }
    }
}

/// A refusal with the key's rates at that moment, for the response's headers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{refused}")]
pub struct AdmitError {
    /// Why.
    pub refused: Box<Refused>,
    /// The key's rates; empty when they were not looked at.
    pub rates: Box<RateStatus>,
}

impl AdmitError {
    pub(super) fn new(refused: Refused, rates: RateStatus) -> Self {
        Self { refused: Box::new(refused), rates: Box::new(rates) }
    }

    /// Returns the class.
    pub fn code(&self) -> Code {
        self.refused.code()
    }

    /// Returns when to come again; `None` when waiting does not help.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refused.retry_after()
    }
}

impl From<Refused> for AdmitError {
    fn from(refused: Refused) -> Self {
        Self::new(refused, RateStatus::default())
    }
}

fn policy_names(allowed: &[PolicyName]) -> String {
    let names: Vec<String> = allowed.iter().map(|policy| format!("auto:{policy}")).collect();
    names.join(", ")
}

fn resets_at(day: Option<Date>) -> String {
    day.map(|day| format!("; it is whole again on {day} (UTC)")).unwrap_or_default()
}
