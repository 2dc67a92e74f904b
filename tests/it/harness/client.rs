//! A client that shows every byte and can leave at any moment: HTTP/1.1 on a bare socket, one request per connection.

use std::{collections::HashMap, io, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{
    soon,
    sse::{Frame, Frames},
};

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    address: SocketAddr,
    method: String,
    path: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// Returns a request without a body.
    pub(crate) fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { address, method, path, version: "HTTP/1.1", headers: Vec::new(), body: None }
    }

    /// Speaks HTTP/1.0, as older proxies do.
    pub(crate) fn old(mut self) -> Self {
        self.version = "HTTP/1.0";
        self
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds an API key.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    /// Sets a JSON body.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").bytes(body.to_string())
    }

    /// Sets the body's bytes.
    pub(crate) fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the request and returns the open connection before any answer.
    pub(crate) async fn dispatch(&self) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await.expect("the server accepts connections");
        let mut head = format!("{} {} {}\r\nhost: {}\r\n", self.method, self.path, self.version, self.address);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(self.body.as_deref().unwrap_or_default());
        // A server that refuses early may close before it has read everything; its answer is still there to read.
        drop(stream.write_all(&bytes).await);
        BufReader::new(stream)
    }

    /// Sends the request and reads the head of the answer.
    pub(crate) async fn send(&self) -> Response {
        let connection = self.dispatch().await;
        soon(&format!("an answer to {} {}", self.method, self.path), Response::read(connection)).await
    }
}

enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// An answer whose body is read as it comes. Dropping it closes the connection.
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: HashMap<String, String>,
    framing: Framing,
    connection: BufReader<TcpStream>,
    frames: Frames,
}

impl Response {
    /// Reads the head of an answer.
    pub(crate) async fn read(mut connection: BufReader<TcpStream>) -> Self {
        let status_line = line(&mut connection).await.expect("the server answers");
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut headers = HashMap::new();
        loop {
            let header = line(&mut connection).await.expect("the head is whole");
            let Some((name, value)) = header.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let framing = match headers.get("content-length") {
            Some(length) => Framing::Length(length.parse().expect("content-length is a number")),
            None if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") => Framing::Chunked,
            None => Framing::UntilClose,
        };
        let status = status.unwrap_or_else(|| panic!("no status in {status_line:?}"));
        Self { status, headers, framing, connection, frames: Frames::default() }
    }

    /// Returns the answer itself if it has this status.
    pub(crate) async fn with_status(self, status: u16) -> Self {
        if self.status != status {
            let got = self.status;
            panic!("status {got} instead of {status}: {}", self.text().await);
        }
        self
    }

    /// Returns a header; empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns more of the body; `None` at its end.
    ///
    /// # Errors
    /// The connection broke before the end.
    pub(crate) async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        match &mut self.framing {
            Framing::Length(0) => Ok(None),
            Framing::Length(left) => {
                let mut buffer = vec![0; (*left).min(64 << 10)];
                let count = self.connection.read(&mut buffer).await?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *left -= count;
                buffer.truncate(count);
                Ok(Some(buffer))
            }
            Framing::Chunked => chunk(&mut self.connection).await,
            Framing::UntilClose => {
                let mut buffer = vec![0; 64 << 10];
                let count = self.connection.read(&mut buffer).await?;
                buffer.truncate(count);
                Ok((count > 0).then_some(buffer))
            }
        }
    }

    /// Returns the next frame of a stream; `None` at its end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.next() {
                return Some(frame);
            }
            let bytes = soon("the next frame", self.chunk()).await.expect("the stream ends properly")?;
            self.frames.push(&bytes);
        }
    }

    /// Returns the next frame that is no comment; `None` at the end.
    pub(crate) async fn event(&mut self) -> Option<Frame> {
        loop {
            match self.frame().await? {
                Frame::Comment(_) => {}
                event @ Frame::Data(_) => return Some(event),
            }
        }
    }

    /// Returns every event up to the end of the stream.
    pub(crate) async fn events(mut self) -> Vec<Frame> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }

    /// Returns the whole body.
    pub(crate) async fn body(mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(bytes) = soon("the body", self.chunk()).await.expect("the body is whole") {
            body.extend(bytes);
        }
        body
    }

    /// Returns the whole body as text.
    pub(crate) async fn text(self) -> String {
        String::from_utf8(self.body().await).expect("the body is UTF-8")
    }

    /// Returns the whole body as JSON.
    pub(crate) async fn json(self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
    }
}

async fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

async fn chunk(connection: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let size = line(connection).await?;
    let size = usize::from_str_radix(&size, 16).map_err(|error| io::Error::other(format!("{error}: {size:?}")))?;
    let mut bytes = vec![0; size];
    connection.read_exact(&mut bytes).await?;
    line(connection).await?;
    Ok((size > 0).then_some(bytes))
}
