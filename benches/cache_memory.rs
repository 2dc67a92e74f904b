//! Does memory stay under the caches' limits while a million distinct requests pass?
//!
//! Each request looks up, misses, and stores an answer of about a kilobyte: first in the exact cache, then in the semantic one, where
//! a thousand system messages part the prompts. The process's own memory (`VmRSS`) is read all along; it must not grow by more than
//! the limit and a tenth. `cargo bench --profile dev --bench cache_memory`; `COUNT=100000` for a shorter run.

#![expect(clippy::print_stdout, reason = "the figures are the purpose of this program")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark may stop at the first surprise")]

use std::{process::ExitCode, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use pointsman::{
    cache::{
        CacheKey, CacheStore, CachedAnswer, MemoryCache, Provenance,
        semantic::{Place, Probe, SemanticCache, marks::Marks},
    },
    domain::{ModelName, NanoUsd, SemanticRule, Tag, TenantId, Usage, WholeReply},
    runtime::SystemClock,
};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LIMIT: usize = 64 << 20;
const WIDTH: usize = 128;
const PLACES: u64 = 1_000;
const HOUR: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let count = std::env::var("COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Each in a process of its own: what one has freed would hide what the other takes.
    let grown = match std::env::args().nth(1).as_deref() {
        Some("exact") => runtime.block_on(exact(count)),
        Some("semantic") => semantic(count),
        _ => {
            let passes = ["exact", "semantic"].map(|name| {
                let program = std::env::current_exe().unwrap();
                std::process::Command::new(program).arg(name).status().unwrap().success()
            });
            return if passes == [true, true] { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    if grown <= LIMIT + LIMIT / 10 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn exact(count: u64) -> usize {
    let cache = MemoryCache::new(LIMIT as u64, 1 << 20, Arc::new(SystemClock::default()));
    let mut growth = Growth::new("exact");
    for number in 0..count {
        let key = key(number);
        assert!(cache.get(&key).await.is_none());
        cache.put(key, answer(number), HOUR).await;
        growth.look(number);
    }
    let (bytes, entries) = cache.size().await;
    growth.tell(bytes, entries)
}

fn semantic(count: u64) -> usize {
    let cache = SemanticCache::new(LIMIT, Arc::new(SystemClock::default()));
    let (rule, mut growth) = (SemanticRule::default(), Growth::new("semantic"));
    for number in 0..count {
        let place = Place { partition: key(number % PLACES), pool: key(0), policy: Arc::from("bench") };
        let embedding: Arc<[f32]> = (0..WIDTH).map(|at| if at as u64 == number % 128 { 1.0 } else { 0.0 }).collect();
        let marks = Arc::new(Marks::of(&format!("What does lever {number} of the signal box in the valley move?")));
        let probe = Probe { embedding, marks };
        cache.look_up(&place, &probe, &rule, 0.5);
        let answer = answer(number);
        let bytes = answer.bytes();
        cache.put(&place, &probe, (answer, bytes), HOUR);
        growth.look(number);
    }
    let (bytes, entries) = cache.size();
    growth.tell(bytes as u64, entries as u64)
}

fn key(number: u64) -> CacheKey {
    CacheKey(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// Returns an answer of 500 to 1,500 bytes.
fn answer(number: u64) -> Arc<CachedAnswer> {
    let text = "x".repeat(400 + (number * 7_919 % 1_000) as usize);
    let message = format!(r#"{{"role":"assistant","content":"{number} {text}"}}"#);
    let body = format!(r#"{{"choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}]}}"#);
    let body = Bytes::copy_from_slice(body.as_bytes());
    let provenance = Provenance {
        key: key(number),
        tenant: TenantId::parse("acme").unwrap(),
        policy: None,
        tags: vec![Tag("docs".to_owned())],
        stored: Timestamp::UNIX_EPOCH,
    };
    Arc::new(CachedAnswer {
        reply: WholeReply::read(body),
        model: ModelName::parse("m").unwrap(),
        usage: Usage::default(),
        cost: NanoUsd(7),
        provenance,
    })
}

/// How much the process has grown since a cache was made.
struct Growth {
    name: &'static str,
    before: usize,
    most: usize,
}

impl Growth {
    fn new(name: &'static str) -> Self {
        Self { name, before: resident(), most: 0 }
    }

    fn look(&mut self, number: u64) {
        if number.is_multiple_of(1_000) {
            self.most = self.most.max(resident().saturating_sub(self.before));
        }
    }

    fn tell(&self, bytes: u64, entries: u64) -> usize {
        let share = self.most as f64 / LIMIT as f64;
        println!(
            "{}: limit {LIMIT} bytes, counted {bytes} of {entries} entries, grown by {} at most: {share:.3} of the limit",
            self.name, self.most
        );
        self.most
    }
}

/// Returns the memory that the process holds, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes << 10
}
