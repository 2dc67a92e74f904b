//! One client on a runtime of its own; chunks cross over through a bounded channel.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::{Client, Request, Response, StatusCode, header::HeaderMap};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{Body, HttpError, Incoming, build_client};
use crate::runtime::Tasks;

/// Chunks under way between the runtimes; more only delays the moment when a slow reader slows the provider down.
const CHUNKS: usize = 16;

/// `None` says that the body ended well.
type Chunk = Option<Result<Bytes, HttpError>>;

struct Head {
    status: StatusCode,
    headers: HeaderMap,
}

/// The runtime and its clients, one for each connect timeout.
#[derive(Debug)]
pub(super) struct Shared {
    runtime: Handle,
    tasks: Tasks,
    clients: Mutex<HashMap<Duration, Client>>,
}

impl Shared {
    pub(super) fn new(runtime: Handle, tasks: Tasks) -> Self {
        Self { runtime, tasks, clients: Mutex::default() }
    }

    pub(super) async fn send(&self, request: Request, connect: Duration) -> Result<Incoming, HttpError> {
        let client = self.client(connect)?;
        let (head, arrival) = oneshot::channel();
        let (sender, chunks) = mpsc::channel(CHUNKS);
        self.tasks.spawn_on(forward(client, request, head, sender), &self.runtime);
        let Head { status, headers } = arrival.await.unwrap_or(Err(HttpError::Ending))?;
        Ok(Incoming { status, headers, body: Body::Forwarded(Forwarded { chunks }) })
    }

    fn client(&self, connect: Duration) -> Result<Client, HttpError> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(&connect) {
            return Ok(client.clone());
        }
        let client = build_client(connect)?;
        clients.insert(connect, client.clone());
        Ok(client)
    }
}

/// A body that arrives from the shared runtime; dropping it ends the forwarding task, and with it the exchange.
#[derive(Debug)]
pub(in crate::backends) struct Forwarded {
    chunks: mpsc::Receiver<Chunk>,
}

impl Forwarded {
    /// The end is told apart from a forwarding task that died: the first sends `None`, the second closes the channel.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        match self.chunks.recv().await {
            Some(Some(chunk)) => chunk.map(Some),
            Some(None) => Ok(None),
            None => Err(HttpError::Ending),
        }
    }
}

/// Runs on the shared runtime until the answer ends or its reader is gone, whichever comes first.
async fn forward(
    client: Client,
    request: Request,
    mut head: oneshot::Sender<Result<Head, HttpError>>,
    chunks: mpsc::Sender<Chunk>,
) {
    let answered = tokio::select! {
        () = head.closed() => return,
        answered = client.execute(request) => answered,
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(error) => {
            head.send(Err(error.into())).ok();
            return;
        }
    };
    let headers = std::mem::take(response.headers_mut());
    if head.send(Ok(Head { status: response.status(), headers })).is_ok() {
        forward_body(response, chunks).await;
    }
}

async fn forward_body(mut response: Response, chunks: mpsc::Sender<Chunk>) {
    loop {
        let chunk = tokio::select! {
            () = chunks.closed() => return,
            chunk = response.chunk() => chunk.map_err(HttpError::from).transpose(),
        };
        let is_last = !matches!(chunk, Some(Ok(_)));
        if chunks.send(chunk).await.is_err() || is_last {
            return;
        }
    }
}
