//! How long tokenising and scoring one prompt takes, on one thread: the router inside the program at 16, 128 and 512 tokens and at
//! ten megabytes, and all-MiniLM-L6-v2 beside it, on both engines.
//!
//! ONNX Runtime takes part where `pointsman runtime install` has put it, the encoder where `pointsman train --encoder minilm`
//! has, both in `POINTSMAN_DATA_DIR`. `pointsman speed` gives p50 and p99.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use pointsman::{
    artifacts::{
        Kind, Silent, State, Store,
        catalogue::{self, MINILM},
    },
    config::Environment,
    learning::{
        evaluate::speed::{huge, made_up},
        graph::Heads,
        minilm::{INPUTS, Minilm, Precision},
    },
    scoring::{
        Artifact, Session,
        folder::{DEFAULT_ARTIFACT, Folder},
        load::Runtime,
        router::scores_of,
        session_onnx::{find_library, load_library},
        tokens::Tokens,
    },
};

const LENGTHS: [usize; 3] = [16, 128, 512];

fn runtimes() -> Vec<Runtime> {
    let library = find_library(None, &Environment::System.data_dir()).ok();
    let onnxruntime = library.map(|path| Runtime::OnnxRuntime(load_library(&path).unwrap()));
    onnxruntime.into_iter().chain([Runtime::Rten]).collect()
}

fn prompts(tokens: &Tokens) -> Vec<(String, String)> {
    let lengths = LENGTHS.map(|count| (format!("{count} tokens"), made_up(tokens, count)));
    lengths.into_iter().chain([("10 MB".to_owned(), huge())]).collect()
}

fn shipped(criterion: &mut Criterion) {
    let artifact = Artifact::read(&Folder::Embedded(DEFAULT_ARTIFACT)).unwrap();
    for runtime in runtimes() {
        let mut group = criterion.benchmark_group(format!("{DEFAULT_ARTIFACT} on {}", runtime.engine().name()));
        let mut session = open(&runtime, &artifact.onnx);
        for (name, text) in prompts(&artifact.tokens) {
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let ids = artifact.tokens.ids(&text).unwrap();
                    scores_of(&artifact, session.run(&ids).unwrap(), Duration::ZERO)
                });
            });
        }
    }
}

fn minilm(criterion: &mut Criterion) {
    let store = Store::new(Environment::System.data_dir());
    let package = catalogue::find(Kind::Encoder, MINILM).unwrap();
    if store.state(package).unwrap() != State::Installed {
        return;
    }
    let minilm = Minilm::install(&store, &Silent).unwrap();
    let tokens = minilm.tokens().unwrap();
    for (runtime, precision) in
        runtimes().iter().flat_map(|runtime| [Precision::Int8, Precision::F32].map(|precision| (runtime, precision)))
    {
        let name = format!("{MINILM} {precision:?} on {}", runtime.engine().name());
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        let onnx = minilm.write(MINILM, &Heads::silent(INPUTS), precision).unwrap();
        let mut session = open(runtime, &onnx);
        for (name, text) in prompts(&tokens) {
            group.bench_function(name, |bencher| {
                bencher.iter(|| session.run(&tokens.ids(&text).unwrap()).unwrap());
            });
        }
    }
}

fn open(runtime: &Runtime, onnx: &[u8]) -> Box<dyn Session> {
    runtime.sessions(onnx, 1).unwrap().remove(0)
}

criterion_group!(benches, shipped, minilm);
criterion_main!(benches);
