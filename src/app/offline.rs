//! The backend of `pointsman route`: decisions are made and explained, nothing is called.

use async_trait::async_trait;

use crate::{
    backends::Backend,
    domain::{Availability, BackendError, ModelCall, Reply},
    error::Code,
};

/// Counts as ready and answers nothing.
pub(super) struct Offline;

#[async_trait]
impl Backend for Offline {
    async fn chat(&self, call: ModelCall) -> Result<Reply, BackendError> {
        let message = format!("Model {} is not reached when a request is only explained.", call.context.model);
        Err(BackendError::new(Code::Unsupported, message, "an explaining gateway was asked for an answer"))
    }

    fn availability(&self) -> Availability {
        Availability::Ready
    }
}
