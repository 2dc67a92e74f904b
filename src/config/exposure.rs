//! A gateway that other machines can reach must know who asks.

use std::net::SocketAddr;

use super::settings::Config;

/// The gateway would be open to other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to listen on {listen}: other machines can reach it and there are no API keys; \
     create one with `pointsman keys create`, or listen on 127.0.0.1"
)]
pub struct ExposedError {
    /// Where it would listen.
    pub listen: SocketAddr,
}

impl Config {
    /// Checks that the gateway is not open to other machines, given whether any key exists.
    ///
    /// # Errors
    /// The server listens off loopback and there are no keys.
    pub fn check_exposure(&self, has_keys: bool) -> Result<(), ExposedError> {
        let listen = self.server.listen;
        if listen.ip().is_loopback() || has_keys {
            return Ok(());
        }
        Err(ExposedError { listen })
    }
}
