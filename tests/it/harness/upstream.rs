//! A provider that does what a test tells it, good or bad, and writes down everything that it served.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::{Semaphore, watch},
};

use super::soon;

/// One thing the upstream does while it answers.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends the head of a chunked answer.
    Head(u16, Vec<(&'static str, String)>),
    /// Sends one chunk of the body.
    Send(Vec<u8>),
    /// Waits until the test gives one permit, or until the client hangs up.
    Wait(Arc<Semaphore>),
    /// Waits until the client hangs up.
    Stall,
    /// Ends the body properly.
    End,
    /// Closes the connection without ending the body.
    Cut,
}

/// How an attempt ended, from the upstream's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The whole script was played.
    Played,
    /// The client hung up first.
    ClientGone,
}

/// One attempt that the upstream served.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) model: String,
    /// How many others ran when it arrived.
    pub(crate) beside: usize,
    /// How it ended and how long after its arrival; `None` while it runs.
    pub(crate) ended: Option<(Ended, Duration)>,
    /// Tokens that the answer reported.
    pub(crate) tokens: Option<(u64, u64)>,
}

impl Served {
    /// Returns the request's body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the gateway sends JSON")
    }
}

type Play = Arc<dyn Fn(&Value) -> Vec<Step> + Send + Sync>;

#[derive(Default)]
struct State {
    plays: Mutex<HashMap<String, VecDeque<Play>>>,
    journal: Mutex<Vec<Served>>,
    changed: watch::Sender<()>,
}

/// The upstream.
pub(crate) struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
}

impl Upstream {
    /// Starts an upstream on a free port; what no script covers is answered properly.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, shared.clone()));
            }
        });
        Self { address, state }
    }

    /// Returns the base URL that a provider's configuration names.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Plays `steps` for the next request to `model`; the last script given is played again and again.
    pub(crate) fn plays(&self, model: &str, steps: Vec<Step>) {
        self.plays_with(model, move |_| steps.clone());
    }

    /// Plays what `play` makes of the request's body.
    pub(crate) fn plays_with(&self, model: &str, play: impl Fn(&Value) -> Vec<Step> + Send + Sync + 'static) {
        self.state.plays.lock().entry(model.to_owned()).or_default().push_back(Arc::new(play));
    }

    /// Answers `model` with `text`, whole or streamed as asked.
    pub(crate) fn answers(&self, model: &str, text: &str) {
        let text = text.to_owned();
        self.plays_with(model, move |body| answer(body, &text));
    }

    /// Returns everything served so far, in the order of arrival.
    pub(crate) fn journal(&self) -> Vec<Served> {
        self.state.journal.lock().clone()
    }

    /// Waits until the journal is as `condition` wants it and returns it.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&[Served]) -> bool) -> Vec<Served> {
        let mut changed = self.state.changed.subscribe();
        soon(what, async {
            loop {
                let journal = self.journal();
                if condition(&journal) {
                    return journal;
                }
                changed.changed().await.unwrap();
            }
        })
        .await
    }
}

/// Returns the head of an event stream.
pub(crate) fn stream_head() -> Step {
    Step::Head(200, vec![("content-type", "text/event-stream".to_owned())])
}

/// Returns one event.
pub(crate) fn event(data: &Value) -> Step {
    Step::Send(format!("data: {data}\n\n").into_bytes())
}

/// Returns the event that carries `text`.
pub(crate) fn delta(text: &str) -> Step {
    event(&piece(json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}])))
}

/// Returns the event that ends the only choice.
pub(crate) fn finish() -> Step {
    event(&piece(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}])))
}

/// Returns the event that carries usage alone.
pub(crate) fn usage_event() -> Step {
    let mut chunk = piece(json!([]));
    chunk["usage"] = usage();
    event(&chunk)
}

/// Returns the end marker of OpenAI's streams.
pub(crate) fn done() -> Step {
    Step::Send(b"data: [DONE]\n\n".to_vec())
}

/// Returns a refusal with an OpenAI-shaped body.
pub(crate) fn refuses(status: u16, message: &str) -> Vec<Step> {
    let body = json!({"error": {"message": message, "type": "some_error", "param": null, "code": null}});
    json_answer(status, &body)
}

/// Returns a whole JSON answer.
pub(crate) fn json_answer(status: u16, body: &Value) -> Vec<Step> {
    let head = Step::Head(status, vec![("content-type", "application/json".to_owned())]);
    vec![head, Step::Send(body.to_string().into_bytes()), Step::End]
}

/// Returns a chunk of a streamed answer.
pub(crate) fn piece(choices: Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": choices})
}

/// Returns the usage that every proper answer reports.
pub(crate) fn usage() -> Value {
    json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18})
}

/// Returns a proper answer to `body`.
pub(crate) fn answer(body: &Value, text: &str) -> Vec<Step> {
    if body["stream"] != true {
        return json_answer(200, &completion(text));
    }
    let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(position, _)| position);
    let (first, second) = text.split_at(middle);
    let mut steps = vec![stream_head(), delta(first), delta(second), finish()];
    if body["stream_options"]["include_usage"] == true {
        steps.push(usage_event());
    }
    steps.extend([done(), Step::End]);
    steps
}

/// Returns a whole chat completion.
pub(crate) fn completion(text: &str) -> Value {
    let message = json!({"role": "assistant", "content": text});
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage(),
    })
}

async fn serve(connection: TcpStream, state: Arc<State>) {
    drop(connection.set_nodelay(true));
    let (mut reader, mut writer) = connection.into_split();
    while let Ok(Some(mut served)) = receive(&mut reader).await {
        let arrived = Instant::now();
        let body = serde_json::from_slice(&served.body).unwrap_or_default();
        let steps = steps_for(&state, &served, &body);
        let position = {
            let mut journal = state.journal.lock();
            served.beside = journal.iter().filter(|other| other.ended.is_none()).count();
            journal.push(served);
            journal.len() - 1
        };
        state.changed.send_replace(());
        let is_cut = steps.iter().any(|step| matches!(step, Step::Cut));
        let tokens = steps.iter().find_map(reported_tokens);
        let ended = play(steps, &mut reader, &mut writer).await;
        if let Some(entry) = state.journal.lock().get_mut(position) {
            entry.ended = Some((ended, arrived.elapsed()));
            entry.tokens = tokens;
        }
        state.changed.send_replace(());
        if is_cut || ended == Ended::ClientGone {
            return;
        }
    }
}

fn steps_for(state: &State, served: &Served, body: &Value) -> Vec<Step> {
    let play = {
        let mut plays = state.plays.lock();
        plays.get_mut(&served.model).and_then(|queue| {
            let is_last = queue.len() == 1;
            if is_last { queue.front().cloned() } else { queue.pop_front() }
        })
    };
    match play {
        Some(play) => play(body),
        None => proper(&served.path, body),
    }
}

fn proper(path: &str, body: &Value) -> Vec<Step> {
    let usage = json!({"prompt_tokens": 3, "total_tokens": 3});
    match path {
        "/v1/embeddings" => {
            let data = json!([{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]);
            json_answer(200, &json!({"object": "list", "data": data, "model": "served", "usage": usage}))
        }
        "/v1/completions" => {
            let choices = json!([{"index": 0, "text": "hello", "finish_reason": "stop", "logprobs": null}]);
            let answer = json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "served", "choices": choices, "usage": self::usage()});
            json_answer(200, &answer)
        }
        _ => answer(body, "Hello there."),
    }
}

fn reported_tokens(step: &Step) -> Option<(u64, u64)> {
    let Step::Send(bytes) = step else { return None };
    let text = std::str::from_utf8(bytes).ok()?;
    let json: Value = serde_json::from_str(text.trim().trim_start_matches("data: ")).ok()?;
    Some((json["usage"]["prompt_tokens"].as_u64()?, json["usage"]["completion_tokens"].as_u64().unwrap_or(0)))
}

async fn receive(reader: &mut OwnedReadHalf) -> io::Result<Option<Served>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if reader.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a number"));
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if reader.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let model = json["model"].as_str().unwrap_or_default().to_owned();
    Ok(Some(Served { path, headers, body, model, beside: 0, ended: None, tokens: None }))
}

async fn play(steps: Vec<Step>, reader: &mut OwnedReadHalf, writer: &mut OwnedWriteHalf) -> Ended {
    for step in steps {
        let written = match step {
            Step::Head(status, headers) => writer.write_all(head(status, &headers).as_bytes()).await,
            Step::Send(bytes) => writer.write_all(&chunked(&bytes)).await,
            Step::End => writer.write_all(b"0\r\n\r\n").await,
            Step::Cut => return Ended::Played,
            Step::Stall => {
                hang_up(reader).await;
                return Ended::ClientGone;
            }
            Step::Wait(gate) => tokio::select! {
                permit = gate.acquire() => { permit.unwrap().forget(); Ok(()) }
                () = hang_up(reader) => return Ended::ClientGone,
            },
        };
        if written.is_err() {
            return Ended::ClientGone;
        }
    }
    Ended::Played
}

fn head(status: u16, headers: &[(&'static str, String)]) -> String {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\ntransfer-encoding: chunked\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

fn chunked(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

// A client that pipelines would be mistaken for one that is still there; the gateway's does not.
async fn hang_up(reader: &mut OwnedReadHalf) {
    let mut byte = [0; 1];
    while matches!(reader.read(&mut byte).await, Ok(1)) {}
}
