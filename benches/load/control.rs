//! What Pointsman is measured against: `control upstream` answers at once, `control proxy URL` passes through and does nothing
//! else. Both print the address they listen on; both are for measurements on loopback only.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a tool for measurements: it says where it listens and stops at the first fault"
)]

use std::{env, io, time::Duration};

use actix_web::{
    App, HttpResponse, HttpServer,
    http::StatusCode,
    web::{self, Bytes, Data},
};
use futures_util::stream;
use tokio::time::{MissedTickBehavior, interval};

const WHOLE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"fast","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog, and then it does so again."},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":16,"total_tokens":27}}"#;

const EVENTS: usize = 16;

/// Between two events of the model `paced`; far below the 40 ms of a delayed acknowledgement.
const PAUSE: Duration = Duration::from_millis(5);

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["upstream"] => actix_web::rt::System::new().block_on(upstream()),
        ["proxy", target] => actix_web::rt::System::new().block_on(proxy((*target).to_owned())),
        _ => Err(io::Error::other("usage: control upstream | control proxy URL")),
    }
}

async fn upstream() -> io::Result<()> {
    let events = Data::new(events());
    let server = HttpServer::new(move || App::new().app_data(events.clone()).default_service(web::to(answer)));
    let server = server.workers(1).tcp_nodelay(true).bind("127.0.0.1:0")?;
    println!("listening on http://{}", server.addrs()[0]);
    server.run().await
}

async fn answer(body: Bytes, events: Data<Vec<Bytes>>) -> HttpResponse {
    let has = |text: &[u8]| body.windows(text.len()).any(|window| window == text);
    if !has(b"\"stream\":true") {
        return HttpResponse::Ok().content_type("application/json").body(WHOLE);
    }
    let mut response = HttpResponse::Ok();
    response.content_type("text/event-stream");
    if has(b"\"model\":\"paced\"") {
        response.streaming(paced(events.to_vec()))
    } else {
        response.body(events.concat())
    }
}

fn paced(events: Vec<Bytes>) -> impl stream::Stream<Item = io::Result<Bytes>> {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((events.into_iter(), ticks), |(mut events, mut ticks)| async move {
        let event = events.next()?;
        ticks.tick().await;
        Some((Ok(event), (events, ticks)))
    })
}

fn events() -> Vec<Bytes> {
    let chunk = |rest: &str| {
        let head = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"fast""#;
        Bytes::from(format!("data: {head},{rest}}}\n\n"))
    };
    let word = |at| format!(r#""choices":[{{"index":0,"delta":{{"content":"word{at} "}},"finish_reason":null}}]"#);
    let usage = r#""usage":{"prompt_tokens":11,"completion_tokens":16,"total_tokens":27}"#;
    let mut events: Vec<Bytes> = (0..EVENTS).map(|at| chunk(&word(at))).collect();
    events.push(chunk(r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}]"#));
    events.push(chunk(&format!(r#""choices":[],{usage}"#)));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

struct Target {
    client: reqwest::Client,
    url: String,
}

async fn proxy(url: String) -> io::Result<()> {
    // Fails only if a provider was installed before, which then serves as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let server = HttpServer::new(move || {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client");
        App::new().app_data(Data::new(Target { client, url: url.clone() })).default_service(web::to(pass))
    });
    let server = server.workers(2).tcp_nodelay(true).bind("127.0.0.1:0")?;
    println!("listening on http://{}", server.addrs()[0]);
    server.run().await
}

async fn pass(body: Bytes, target: Data<Target>) -> HttpResponse {
    let request = target.client.post(&target.url).header("content-type", "application/json").body(body);
    match request.send().await {
        Ok(answer) => {
            let kind = answer.headers().get("content-type").cloned();
            let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
            let mut response = HttpResponse::build(status);
            if let Some(kind) = kind.as_ref().and_then(|kind| kind.to_str().ok()) {
                response.content_type(kind);
            }
            response.streaming(answer.bytes_stream())
        }
        Err(error) => HttpResponse::BadGateway().body(error.to_string()),
    }
}
