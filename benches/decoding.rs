//! What our own decoding costs: the same model, the same prompt and greedy tokens, by `mistralrs` used directly and by a local model
//! of ours (its sampler, seeds, exact log-probabilities and stop strings included), then with speculation.
//!
//! The modes take turns, so that whatever else the machine does hits all alike; figures are medians over pairs of rounds. The
//! model is SmolLM2-135M where `pointsman models pull` has fetched it, else the trained tiny one: `cargo test --bench decoding`;
//! the hot crates are optimised in every profile.

#![expect(clippy::print_stdout, reason = "the figures are the purpose of this program")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may stop at the first surprise")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use mistralrs::{GgufModelBuilder, Model, RequestBuilder, Response, TextMessageRole, TextModelBuilder, TokenSource};
use pointsman::{
    artifacts::{Kind, State, Store, catalogue},
    backends::{
        Backend,
        mistralrs::{Local, WeightPlace},
    },
    config::{Draft, Environment, LocalSettings, SpeculateSettings, SpeculateWhen, WeightSource},
    domain::{CallContext, KeyId, ModelCall, ModelName, Priority, Reply, RequestId, TenantId, Timeouts, Waited},
    runtime::SystemClock,
    wire::{chat::ChatCall, parse::Limits},
};
use tokio::{runtime::Builder, time::Instant};

const ROUNDS: usize = 11;
const TOKENS: usize = 48;
const QUESTION: &str = "Count from 1 to 60.";

/// Seconds to the first token, and for each token after it.
#[derive(Clone, Copy)]
struct Figure {
    first: f64,
    each: f64,
}

fn main() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (name, weights) = weights();
        let theirs = direct(&weights).await;
        let ours = local(&weights, None).await;
        let lookup = SpeculateSettings { draft: Draft::Lookup, gamma: 4, adapts: true, when: SpeculateWhen::Always };
        let speculative = local(&weights, Some(lookup)).await;
        let mut figures = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..=ROUNDS {
            let taken = [by_library(&theirs).await, by_us(&ours).await, by_us(&speculative).await];
            // The first round warms caches up.
            if round > 0 {
                figures.iter_mut().zip(taken).for_each(|(figures, taken)| figures.push(taken));
            }
        }
        tell(&name, &figures);
    });
}

fn tell(name: &str, figures: &[Vec<Figure>; 3]) {
    println!("{name}, {TOKENS} greedy tokens, medians of {ROUNDS} rounds\n");
    println!("| | tokens per second | against the library | first token, ms |\n|---|---|---|---|");
    for (mode, taken) in ["mistralrs itself", "plain", "speculative, lookup"].iter().zip(figures) {
        let ratios = figures[0].iter().zip(taken).map(|(theirs, ours)| theirs.each / ours.each).collect();
        let speed = middle(taken.iter().map(|figure| 1.0 / figure.each).collect());
        let first = middle(taken.iter().map(|figure| figure.first * 1e3).collect());
        println!("| {mode} | {speed:.1} | {:.3} | {first:.1} |", middle(ratios));
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the model's name and its weights.
fn weights() -> (String, PathBuf) {
    let store = Store::new(Environment::System.data_dir());
    let name = "smollm2-135m-instruct";
    let package = catalogue::find(Kind::Model, name).unwrap();
    if store.state(package).unwrap() != State::Installed {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-family/target");
        return ("the trained tiny model".to_owned(), tiny);
    }
    let path = store.path(package).unwrap();
    // What a local model runs on here, once it has been loaded.
    let quick = path.with_file_name(path.file_name().unwrap().to_string_lossy().replace("Q4_1", "Q8_0"));
    (name.to_owned(), if quick.exists() { quick } else { path })
}

async fn direct(weights: &Path) -> Model {
    if weights.is_dir() {
        let builder = TextModelBuilder::new(weights.display()).with_token_source(TokenSource::None).with_force_cpu();
        return builder.with_prefix_cache_n(None).with_max_num_seqs(1).build().await.unwrap();
    }
    let (folder, file) = (weights.parent().unwrap(), weights.file_name().unwrap().to_string_lossy());
    let builder = GgufModelBuilder::new(folder.display(), vec![file]).with_token_source(TokenSource::None);
    builder.with_force_cpu().with_prefix_cache_n(None).with_max_num_seqs(1).build().await.unwrap()
}

async fn local(weights: &Path, speculate: Option<SpeculateSettings>) -> Arc<Local> {
    let settings = LocalSettings { speculate, ..LocalSettings::of(WeightSource::Path(weights.to_owned())) };
    let place = WeightPlace { store: Store::new(Environment::System.data_dir()), may_fetch: false };
    let local = Local::start(ModelName::parse("m").unwrap(), settings, place, Arc::new(SystemClock::default()));
    local.settled().await;
    local
}

async fn by_library(model: &Model) -> Figure {
    let request = RequestBuilder::new()
        .add_message(TextMessageRole::User, QUESTION)
        .set_deterministic_sampler()
        .set_sampler_max_len(TOKENS);
    let begun = Instant::now();
    let mut stream = model.stream_chat_request(request).await.unwrap();
    let mut times = Vec::new();
    while let Some(response) = stream.next().await {
        if let Response::Chunk(_) = response {
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    figure(&times)
}

async fn by_us(local: &Local) -> Figure {
    let call = call();
    let begun = Instant::now();
    let Reply::Stream(mut events) = local.chat(call).await.unwrap() else { return Figure { first: 0.0, each: 0.0 } };
    let mut times = Vec::new();
    while let Some(event) = events.next().await {
        if event.unwrap().has_content {
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    figure(&times)
}

fn figure(times: &[f64]) -> Figure {
    let (first, last) = (times[0], times[times.len() - 1]);
    Figure { first, each: (last - first) / (times.len() - 1) as f64 }
}

fn call() -> ModelCall {
    let body = format!(
        r#"{{"model":"m","stream":true,"temperature":0,"max_tokens":{TOKENS},"messages":[{{"role":"user","content":"{QUESTION}"}}]}}"#
    );
    let chat = ChatCall::parse(body.into(), &Limits { messages: 8, choices: 1, depth: 16 }).unwrap();
    ModelCall {
        chat: Arc::new(chat),
        is_streaming: true,
        context: CallContext {
            request: RequestId::fresh(),
            tenant: TenantId::parse("t").unwrap(),
            key: KeyId::parse("open").unwrap(),
            model: ModelName::parse("m").unwrap(),
            upstream_model: "m".into(),
            timeouts: Timeouts::default(),
            deadline: Instant::now() + Duration::from_secs(600),
            priority: Priority::default(),
            draft: None,
            drafter: None,
            waited: Waited::default(),
        },
    }
}
