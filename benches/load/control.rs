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

const WHOLE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"fast","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog, and then it does so again."},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":16,"total_tokens":27}}"#;

const EVENTS: usize = 16;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["upstream"] => actix_web::rt::System::new().block_on(upstream()),
        ["proxy", target] => actix_web::rt::System::new().block_on(proxy((*target).to_owned())),
        _ => Err(io::Error::other("usage: control upstream | control proxy URL")),
    }
}

async fn upstream() -> io::Result<()> {
    let stream = Data::new(stream());
    let server = HttpServer::new(move || App::new().app_data(stream.clone()).default_service(web::to(answer)));
    let server = server.workers(1).bind("127.0.0.1:0")?;
    println!("listening on http://{}", server.addrs()[0]);
    server.run().await
}

async fn answer(body: Bytes, stream: Data<Bytes>) -> HttpResponse {
    let is_streaming = body.windows(13).any(|window| window == b"\"stream\":true");
    if is_streaming {
        return HttpResponse::Ok().content_type("text/event-stream").body(Bytes::clone(&stream));
    }
    HttpResponse::Ok().content_type("application/json").body(WHOLE)
}

fn stream() -> Bytes {
    let mut text = String::new();
    for position in 0..EVENTS {
        text += &format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"fast\",\
             \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"word{position} \"}},\"finish_reason\":null}}]}}\n\n"
        );
    }
    text += "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"fast\",\
             \"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    text += "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"fast\",\"choices\":[],\
             \"usage\":{\"prompt_tokens\":11,\"completion_tokens\":16,\"total_tokens\":27}}\n\ndata: [DONE]\n\n";
    Bytes::from(text)
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
    let server = server.workers(2).bind("127.0.0.1:0")?;
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
