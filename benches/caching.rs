//! How long the caches take: a lookup by meaning among 1,000, 10,000 and 100,000 entries; an exact hit through every stage of the
//! gateway, beside the same request answered by a simulated model that takes no time; and a thousand equal requests at once, of
//! which one calls, beside a thousand that all do.
//!
//! `cargo bench --profile dev --bench caching` spares a second build of all dependencies; set `CARGO_PROFILE_DEV_OPT_LEVEL=3` then.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use pointsman::{
    app::{App, Mode},
    cache::{
        CacheKey,
        semantic::{Place, Probe, SemanticCache, marks::Marks},
    },
    config::{Config, Environment, Source},
    domain::{KeyId, KeyLimits, Preferences, Principal, RequestId, SemanticRule, TenantId},
    gateway::{Gateway, RequestContext},
    runtime::SystemClock,
    wire::{chat::ChatCall, parse::Limits},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

/// The width of the shipped router's embedding.
const WIDTH: usize = 128;
/// What prompts are about: each lies near one of so many centres.
const TOPICS: usize = 300;
const AT_ONCE: u32 = 1_000;

fn near(centre: &[f32], spread: f32, rng: &mut ChaCha8Rng) -> Arc<[f32]> {
    let vector: Vec<f32> = centre.iter().map(|value| value + spread * rng.random_range(-0.5..0.5)).collect();
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.into_iter().map(|value| value / length).collect()
}

fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup by meaning");
    let rule = SemanticRule::default();
    let place = Place { partition: CacheKey([1; 32]), pool: CacheKey([1; 32]), policy: Arc::from("bench") };
    let marks = Arc::new(Marks::of("how far is it"));
    for size in [1_000, 10_000, 100_000] {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let topics: Vec<Arc<[f32]>> = (0..TOPICS).map(|_| near(&[0.0; WIDTH], 1.0, &mut rng)).collect();
        let cache = SemanticCache::new(usize::MAX, Arc::new(SystemClock::default()));
        let probe = |rng: &mut ChaCha8Rng, at: usize| {
            let embedding = near(topics.get(at % TOPICS).unwrap(), 0.1, rng);
            Probe { embedding, marks: Arc::clone(&marks) }
        };
        for at in 0..size {
            cache.put(&place, &probe(&mut rng, at), (at, 0), Duration::from_secs(86_400));
        }
        let probes: Vec<Probe> = (0..TOPICS).map(|at| probe(&mut rng, at)).collect();
        let mut turn = probes.iter().cycle();
        group.bench_function(format!("{size} entries"), |bencher| {
            bencher.iter(|| black_box(cache.look_up(&place, turn.next().unwrap(), &rule, 0.5)));
        });
    }
}

const CONFIG: &str = "
schema_version: 1
models:
  - { name: made-up, simulated: { first_token: 0ms, per_token: 0ms } }
  - { name: slow, simulated: { first_token: 20ms, per_token: 0ms } }
router: { enabled: false }
accounting: { enabled: false }
";

fn gateway(runtime: &Runtime) -> Arc<Gateway> {
    let source = Source { name: "bench.yaml".to_owned(), text: CONFIG.to_owned() };
    let config = Config::compile(&source, None, &Environment::Fixed([].into())).unwrap();
    let _inside = runtime.enter();
    Arc::clone(App::compose(config, Mode::Live).unwrap().gateway())
}

/// Asks and reads the whole answer.
async fn ask(gateway: &Gateway, model: &str, seed: u32) -> usize {
    let text = "What do the levers in a signal box move, and who may pull them?";
    let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"{text}"}}],"seed":{seed}}}"#);
    let call = ChatCall::parse(body.into(), &Limits { messages: 9, choices: 1, depth: 9 }).unwrap();
    let principal = Principal {
        tenant: TenantId::parse("default").unwrap(),
        key: KeyId::parse("open").unwrap(),
        limits: KeyLimits::default(),
        policies: Vec::new(),
    };
    let context = RequestContext {
        request: RequestId::fresh(),
        arrived: Instant::now(),
        auth: Duration::ZERO,
        parse: Duration::ZERO,
        principal,
        preferences: Preferences::default(),
    };
    let answer = gateway.chat(call, context).await.unwrap();
    answer.passage.cache.name().len()
}

fn end_to_end(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let gateway = gateway(&runtime);
    let mut seed = 0;
    let mut group = criterion.benchmark_group("through every stage");
    group.bench_function("exact hit", |bencher| bencher.iter(|| runtime.block_on(ask(&gateway, "made-up", 0))));
    group.bench_function("miss, call and keep", |bencher| {
        bencher.iter(|| {
            seed += 1;
            runtime.block_on(ask(&gateway, "made-up", seed))
        });
    });
}

fn followers(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let gateway = gateway(&runtime);
    let mut seed = 0;
    let mut group = criterion.benchmark_group("a thousand at once, of a model that takes 20 ms");
    group.throughput(Throughput::Elements(AT_ONCE.into())).sample_size(20);
    for (name, different) in [("equal", 0), ("all different", 1)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let first = seed + 1;
                seed += AT_ONCE;
                let asked = (0..AT_ONCE).map(|at| ask(&gateway, "slow", first + different * at));
                runtime.block_on(join_all(asked))
            });
        });
    }
}

criterion_group!(benches, lookups, end_to_end, followers);
criterion_main!(benches);
