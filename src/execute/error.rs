//! Why a plan gave no answer.

use std::time::Duration;

use crate::{
    domain::{BackendError, ModelName, NanoUsd},
    error::Code,
};

/// No leg of a plan answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The last attempt failed and there was nothing left to try.
    #[error("model {model} failed after {attempts} attempts in all: {error}")]
    Backend {
        /// The model of the last attempt.
        model: ModelName,
        /// Attempts over all legs.
        attempts: u32,
        /// How the last attempt failed.
        #[source]
        error: Box<BackendError>,
    },
    /// The request's time was up before a leg could start.
    #[error("the deadline passed after {attempts} attempts")]
    DeadlineExceeded {
        /// Attempts over all legs.
        attempts: u32,
    },
    /// What is left of the request's money does not pay for any leg.
    #[error("model {model} may cost {upper}, {left} is left")]
    TooDear {
        /// The last model that was left out.
        model: ModelName,
        /// What it may cost.
        upper: NanoUsd,
        /// What the request may still spend.
        left: NanoUsd,
    },
    /// The plan names a model that is not configured.
    #[error("the plan names the unknown model {model}")]
    UnknownModel {
        /// The model.
        model: ModelName,
    },
}

impl ExecuteError {
    /// Returns the class.
    pub fn code(&self) -> Code {
        match self {
            Self::Backend { error, .. } => error.code,
            Self::DeadlineExceeded { .. } => Code::DeadlineExceeded,
            Self::TooDear { .. } => Code::NoRoute,
            Self::UnknownModel { .. } => Code::ModelNotFound,
        }
    }

    /// Returns a sentence for the caller.
    pub fn message(&self) -> String {
        match self {
            Self::Backend { error, .. } => error.message.clone(),
            Self::DeadlineExceeded { .. } => "The request's time was up before a model answered.".to_owned(),
            Self::TooDear { model, upper, left } => {
                let (upper, left) = (upper.dollars(), left.dollars());
                format!("Model {model} may cost up to ${upper}, but the request may only spend ${left} more.")
            }
            Self::UnknownModel { model } => format!("The model {model} does not exist."),
        }
    }

    /// Returns when to come again, if the provider said.
    pub fn retry_after(&self) -> Option<Duration> {
        self.backend().and_then(|error| error.retry_after)
    }

    /// Returns the field at fault, if the provider said.
    pub fn param(&self) -> Option<&str> {
        self.backend().and_then(|error| error.param.as_deref())
    }

    /// Returns the HTTP status of the provider's answer, if there was one.
    pub fn upstream_status(&self) -> Option<u16> {
        self.backend().and_then(|error| error.upstream_status)
    }

    /// Returns the model that the error is about.
    pub fn model(&self) -> Option<&ModelName> {
        match self {
            Self::Backend { model, .. } | Self::TooDear { model, .. } | Self::UnknownModel { model } => Some(model),
            Self::DeadlineExceeded { .. } => None,
        }
    }

    /// Returns whether any model was asked.
    pub fn was_attempted(&self) -> bool {
        self.attempts() > 0
    }

    /// Returns how many attempts were made.
    pub(super) fn attempts(&self) -> u32 {
        match self {
            Self::Backend { attempts, .. } | Self::DeadlineExceeded { attempts } => *attempts,
            Self::TooDear { .. } | Self::UnknownModel { .. } => 0,
        }
    }

    fn backend(&self) -> Option<&BackendError> {
        match self {
            Self::Backend { error, .. } => Some(error),
            Self::DeadlineExceeded { .. } | Self::TooDear { .. } | Self::UnknownModel { .. } => None,
        }
    }
}
