//! What can go wrong between sending a request and the last byte of its answer, before anyone reads what it says.

use std::error::Error;

use crate::error::Code;

/// A failed exchange. The texts hold no URL, no header and no body.
#[derive(Debug, thiserror::Error)]
pub(in crate::backends) enum HttpError {
    /// No client could be built.
    #[error("cannot build the client: {0}")]
    Client(String),
    /// No connection, so nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection ended before the answer did.
    #[error("the exchange broke off: {0}")]
    Cut(String),
    /// The task that forwards the answer ended, because the program does.
    #[error("the outbound runtime is going down")]
    Ending,
}

impl HttpError {
    /// Returns the row of the error table.
    pub(in crate::backends) const fn code(&self) -> Code {
        match self {
            Self::Client(_) => Code::Internal,
            Self::Connect(_) => Code::UpstreamUnreachable,
            Self::Cut(_) => Code::UpstreamCut,
            Self::Ending => Code::ShuttingDown,
        }
    }
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let text = with_causes(&error);
        if error.is_builder() {
            Self::Client(text)
        } else if error.is_connect() {
            Self::Connect(text)
        } else {
            Self::Cut(text)
        }
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
