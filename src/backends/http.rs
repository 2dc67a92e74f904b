//! Outbound HTTP: the one place where a client is built, and the two ways of owning it.
//!
//! A pooled connection belongs to the runtime that opened it. [`Http::per_worker`] therefore keeps one client per thread and
//! runtime; [`Http::shared`] keeps one client on a runtime of its own and hands the chunks over through a bounded channel.
//! Callers cannot tell which: they send a request and read chunks, and dropping either cancels the call upstream.
//!
//! Per worker is the default: it was never slower. `benches/outbound.rs`, two workers of 16 connections on two busy cores, medians
//! over 21 pairs of rounds, four runs: 1.01 to 1.48 times the shared mode's rate for whole answers (37 000 against 24 000 calls a
//! second in the quietest run), 1.00 to 1.15 times for streams of 40 chunks.
//!
//! No client follows redirects, reads proxies from the environment or retries: where a request goes, and how often, is said by
//! the plan alone.

pub(super) mod endpoint;
mod error;
pub(super) mod events;
pub(super) mod refusal;
mod said;
mod shared;

use std::{cell::RefCell, collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{Client, ClientBuilder, Request, Response, StatusCode, header::HeaderMap, redirect};
use tokio::runtime::{self, Handle};

pub use self::endpoint::SettingsError;
pub(super) use self::error::HttpError;
use self::shared::{Forwarded, Shared};
use crate::runtime::Tasks;

/// Idle connections are closed before the common 60 seconds of load balancers, so that a request rarely meets a closed one.
const POOL_IDLE: Duration = Duration::from_secs(50);

/// How often a silent HTTP/2 connection with calls on it is asked whether it still lives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long it may take to say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends requests; clones share their connections.
#[derive(Clone, Debug)]
pub struct Http {
    mode: Mode,
}

#[derive(Clone, Debug)]
enum Mode {
    PerWorker,
    Shared(Arc<Shared>),
}

impl Http {
    /// Returns a sender with one client per calling thread.
    pub fn per_worker() -> Self {
        Self { mode: Mode::PerWorker }
    }

    /// Returns a sender whose connections all live on `runtime`.
    pub fn shared(runtime: Handle, tasks: Tasks) -> Self {
        Self { mode: Mode::Shared(Arc::new(Shared::new(runtime, tasks))) }
    }

    /// Sends a request and returns once the head of the response is there.
    ///
    /// # Cancel safety
    /// Dropping the future, or the body it returned, closes the exchange.
    pub(super) async fn send(&self, request: Request, connect: Duration) -> Result<Incoming, HttpError> {
        match &self.mode {
            Mode::PerWorker => Ok(Incoming::direct(client_of_this_worker(connect)?.execute(request).await?)),
            Mode::Shared(shared) => shared.send(request, connect).await,
        }
    }
}

/// The head of a response, and its body still to come.
#[derive(Debug)]
pub(super) struct Incoming {
    /// HTTP status.
    pub(super) status: StatusCode,
    /// Response headers.
    pub(super) headers: HeaderMap,
    /// What follows.
    pub(super) body: Body,
}

impl Incoming {
    fn direct(mut response: Response) -> Self {
        let headers = std::mem::take(response.headers_mut());
        Self { status: response.status(), headers, body: Body::Direct(response) }
    }
}

/// The body of a response.
#[derive(Debug)]
pub(super) enum Body {
    Direct(Response),
    Forwarded(Forwarded),
}

impl Body {
    /// Returns the next chunk, or `None` at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        match self {
            Self::Direct(response) => Ok(response.chunk().await?),
            Self::Forwarded(forwarded) => forwarded.chunk().await,
        }
    }
}

thread_local! {
    static CLIENTS: RefCell<HashMap<(runtime::Id, Duration), Client>> = RefCell::default();
}

/// The runtime is part of the key: a thread may run one runtime after another. So is the connect timeout, which belongs to a
/// client as a whole.
fn client_of_this_worker(connect: Duration) -> Result<Client, HttpError> {
    let runtime = Handle::try_current().map_err(|error| HttpError::Client(error.to_string()))?.id();
    CLIENTS.with_borrow_mut(|clients| {
        if let Some(client) = clients.get(&(runtime, connect)) {
            return Ok(client.clone());
        }
        let client = build_client(connect)?;
        clients.insert((runtime, connect), client.clone());
        Ok(client)
    })
}

/// On a machine without any root certificate the platform's verifier cannot be built; such a machine can still reach plain
/// `http://` servers, so it gets a client that trusts nobody.
fn build_client(connect: Duration) -> Result<Client, HttpError> {
    install_crypto();
    match settings(connect).build() {
        Ok(client) => Ok(client),
        Err(error) => {
            let cause = HttpError::from(error);
            tracing::warn!(error = %cause, "no system root certificates, so no https:// provider can be reached: {cause}");
            Ok(settings(connect).tls_certs_only([]).build()?)
        }
    }
}

fn settings(connect: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .retry(reqwest::retry::never())
        .tcp_nodelay(true)
        .tcp_keepalive(KEEP_ALIVE_INTERVAL)
        .connect_timeout(connect)
        .pool_idle_timeout(POOL_IDLE)
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
}

/// The client panics where no provider is installed, so tests and library users get the one that the program installs.
fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread was faster.
        rustls::crypto::ring::default_provider().install_default().ok();
    }
}
