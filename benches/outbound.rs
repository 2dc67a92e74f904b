//! Where outbound calls should run: one client per worker, or one on a shared runtime?
//!
//! Two workers with a one-thread runtime each, as actix has them, ask a loopback server that answers at once; the two modes take
//! turns, so that whatever else the machine does hits both alike. `cargo test --no-default-features --bench outbound` is enough:
//! the hot crates are optimised in every profile.

#![expect(clippy::print_stdout, reason = "the figures are the purpose of this program")]
#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use futures_util::{StreamExt, future::join_all};
use pointsman::{
    backends::{Backend, http::Http, openai::OpenAi},
    config::RemoteSettings,
    domain::{CallContext, KeyId, ModelCall, ModelName, Priority, ProviderName, Reply, RequestId, TenantId, Timeouts},
    runtime::Tasks,
    wire::{chat::ChatCall, parse::Limits},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    time::Instant,
};

const WORKERS: usize = 2;
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 21;
const CHUNKS: usize = 40;

fn main() {
    let server = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let shared = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().unwrap();
    let address = serve(&server);
    let workers: Vec<_> = (0..WORKERS).map(|_| worker()).collect();
    for (is_streaming, calls) in [(false, 150), (true, 30)] {
        let modes = [Http::per_worker(), Http::shared(shared.handle().clone(), Tasks::default())];
        let mut figures = [Vec::new(), Vec::new()];
        for round in 0..=ROUNDS {
            for (mode, figures) in modes.iter().zip(&mut figures) {
                let figure = run(&workers, mode, address, is_streaming, calls);
                // The first round opens the connections.
                if round > 0 {
                    figures.push(figure);
                }
            }
        }
        let [per_worker, shared] = &figures;
        let ratios = per_worker.iter().zip(shared).map(|(one, other)| (one.0 / other.0, one.1 / other.1)).collect();
        let (rate, _) = middle(ratios);
        println!("streaming {is_streaming}: per worker has {rate:.2} of the shared rate, median over pairs of rounds");
        for (name, figures) in ["per worker", "shared"].iter().zip(figures) {
            let (rate, median) = middle(figures);
            println!("streaming {is_streaming}, {name}: {rate:.0} calls per second, median {:.2} ms", median * 1000.0);
        }
    }
}

/// One round of one mode, for one worker.
#[derive(Clone)]
struct Round {
    http: Http,
    address: SocketAddr,
    is_streaming: bool,
    calls: usize,
    times: mpsc::Sender<Vec<f64>>,
}

/// A thread with a runtime of its own, which keeps its connections from round to round.
fn worker() -> mpsc::Sender<Round> {
    let (sender, rounds) = mpsc::channel::<Round>();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        for round in rounds {
            round.times.send(runtime.block_on(work(&round))).unwrap();
        }
    });
    sender
}

/// Returns calls per second over all workers, and the median seconds of one call.
fn run(
    workers: &[mpsc::Sender<Round>],
    http: &Http,
    address: SocketAddr,
    is_streaming: bool,
    calls: usize,
) -> (f64, f64) {
    let start = Instant::now();
    let (times, arrivals) = mpsc::channel();
    for worker in workers {
        let http = http.clone();
        worker.send(Round { http, address, is_streaming, calls, times: times.clone() }).unwrap();
    }
    drop(times);
    let mut times: Vec<f64> = arrivals.iter().flatten().collect();
    times.sort_by(f64::total_cmp);
    (times.len() as f64 / start.elapsed().as_secs_f64(), times.get(times.len() / 2).copied().unwrap_or_default())
}

async fn work(round: &Round) -> Vec<f64> {
    let settings = RemoteSettings {
        provider: ProviderName::parse("loopback").unwrap(),
        base_url: format!("http://{}/v1", round.address),
        api_key: None,
        headers: Vec::new(),
        upstream_model: "m".into(),
    };
    let backend = OpenAi::build(&settings, &round.http).unwrap();
    let connection = async || {
        let mut times = Vec::new();
        for _ in 0..round.calls {
            let start = Instant::now();
            read(backend.chat(call(round.is_streaming)).await.unwrap()).await;
            times.push(start.elapsed().as_secs_f64());
        }
        times
    };
    join_all((0..CONNECTIONS).map(|_| connection())).await.into_iter().flatten().collect()
}

async fn read(reply: Reply) {
    if let Reply::Stream(mut events) = reply {
        while let Some(event) = events.next().await {
            event.unwrap();
        }
    }
}

fn call(is_streaming: bool) -> ModelCall {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let limits = Limits { messages: 10, choices: 1, depth: 16 };
    ModelCall {
        chat: Arc::new(ChatCall::parse(body.into(), &limits).unwrap()),
        is_streaming,
        context: CallContext {
            request: RequestId::fresh(),
            tenant: TenantId::parse("t").unwrap(),
            key: KeyId::parse("open").unwrap(),
            model: ModelName::parse("m").unwrap(),
            upstream_model: "m".into(),
            timeouts: Timeouts::default(),
            deadline: Instant::now() + Duration::from_secs(60),
            priority: Priority::default(),
            draft: None,
            drafter: None,
            waited: pointsman::domain::Waited::default(),
        },
    }
}

fn middle(mut figures: Vec<(f64, f64)>) -> (f64, f64) {
    figures.sort_by(|a, b| a.0.total_cmp(&b.0));
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

fn serve(runtime: &Runtime) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::default();
    tasks.clone().spawn_on(
        async move {
            while let Ok((socket, _)) = listener.accept().await {
                tasks.spawn(answer(socket));
            }
        },
        runtime.handle(),
    );
    address
}

/// Every request fits one packet and is answered at once; a stream comes in one packet per chunk.
async fn answer(mut socket: TcpStream) {
    socket.set_nodelay(true).unwrap();
    let whole = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    let whole =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{whole}", whole.len());
    let chunk =
        sized("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"},\"finish_reason\":null}]}\n\n");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let end = format!("{}0\r\n\r\n", sized("data: [DONE]\n\n"));
    let mut request = vec![0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut request).await {
        let is_streaming = request.get(..count).unwrap_or_default().windows(13).any(|part| part == b"\"stream\":true");
        let parts = if is_streaming { 1 + CHUNKS + 1 } else { 1 };
        for part in 0..parts {
            let bytes = match part {
                0 if is_streaming => head,
                0 => &whole,
                _ if part == parts - 1 => &end,
                _ => &chunk,
            };
            if socket.write_all(bytes.as_bytes()).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn sized(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}
