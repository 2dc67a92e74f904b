//! A provider for tests: a raw TCP server on loopback that says what it is told, byte for byte, and writes down what it hears.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::{config::RemoteSettings, domain::ProviderName, runtime::Tasks};

/// One step of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Writes these bytes at once.
    Say(Vec<u8>),
    /// Says nothing until the other side closes the connection.
    Stall,
    /// Closes the connection.
    HangUp,
}

/// What happened at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A whole request arrived: its head in lower case, and its body.
    Request {
        /// Request line and headers.
        head: String,
        /// Body.
        body: String,
    },
    /// The other side closed the connection while the provider was answering.
    Left,
}

/// The server; it ends with the test's runtime.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    seen: tokio::sync::Mutex<mpsc::UnboundedReceiver<Seen>>,
}

impl Upstream {
    /// Starts a server that plays one script after the other, the last one for ever.
    pub(crate) async fn start(scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (journal, seen) = mpsc::unbounded_channel();
        let stage = Stage { scripts: Arc::new(Mutex::new(scripts.into())), journal, tasks: Tasks::default() };
        stage.tasks.clone().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                stage.tasks.spawn(stage.clone().serve(socket));
            }
        });
        Self { address, seen: tokio::sync::Mutex::new(seen) }
    }

    /// Waits for the next thing that happens.
    pub(crate) async fn next(&self) -> Seen {
        self.seen.lock().await.recv().await.unwrap()
    }

    /// Returns settings that lead here.
    pub(crate) fn settings(&self) -> RemoteSettings {
        RemoteSettings {
            provider: ProviderName::parse("acme").unwrap(),
            base_url: format!("http://{}/v1", self.address),
            api_key: Some(SecretString::from("sk-canary")),
            headers: vec![("x-team".to_owned(), SecretString::from("blue"))],
            upstream_model: "upstream-toy".into(),
        }
    }
}

#[derive(Clone)]
struct Stage {
    scripts: Arc<Mutex<VecDeque<Vec<Act>>>>,
    journal: mpsc::UnboundedSender<Seen>,
    tasks: Tasks,
}

impl Stage {
    async fn serve(self, mut socket: TcpStream) {
        while let Some(request) = read_request(&mut socket).await {
            self.journal.send(request).ok();
            let script = self.next_script();
            for act in script {
                match act {
                    Act::Say(bytes) => {
                        if socket.write_all(&bytes).await.is_err() {
                            self.journal.send(Seen::Left).ok();
                            return;
                        }
                    }
                    Act::Stall => {
                        // Whatever comes, nothing more is expected here: only the end.
                        while socket.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
                        self.journal.send(Seen::Left).ok();
                        return;
                    }
                    Act::HangUp => return,
                }
            }
        }
    }

    fn next_script(&self) -> Vec<Act> {
        let mut scripts = self.scripts.lock();
        if scripts.len() > 1 { scripts.pop_front().unwrap() } else { scripts[0].clone() }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen::Request { head: text, body: String::from_utf8_lossy(&bytes[head..]).into_owned() })
}

/// Returns a whole response.
pub(crate) fn response(status: u16, headers: &str, body: &str) -> Act {
    let length = body.len();
    Act::Say(format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes())
}

/// Returns a whole JSON response.
pub(crate) fn json(status: u16, body: &str) -> Act {
    response(status, "content-type: application/json\r\n", body)
}

/// Returns the head of an event stream that ends where the connection ends.
pub(crate) fn stream_head() -> Act {
    Act::Say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec())
}

/// Returns an event stream that is complete as HTTP goes: `body`, then a hang-up.
pub(crate) fn event_stream(body: &str) -> Vec<Act> {
    vec![stream_head(), Act::Say(body.as_bytes().to_vec()), Act::HangUp]
}

/// Returns the same in two packets, cut after `at` bytes.
pub(crate) fn cut_stream(body: &str, at: usize) -> Vec<Act> {
    let (first, rest) = body.as_bytes().split_at(at);
    vec![stream_head(), Act::Say(first.to_vec()), Act::Say(rest.to_vec()), Act::HangUp]
}
