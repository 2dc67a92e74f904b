//! Writes an artifact's folder: beside its place first, then moved, so that a half-written one is never found.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{LearningError, evidence, examples::Examples, train::TrainSettings};
use crate::scoring::{
    Session,
    artifact::{
        EVIDENCE_BIN, GOLDEN_JSONL, GoldenLine, MODEL_ONNX, OutputWidths, PROFILES_JSON, ROUTER_YAML, RouterDocument,
        SCHEMA_VERSION, SEEN_BIN, TOKENIZER_JSON, sha256,
    },
    profiles::Profiles,
    session::{ATTENTION_MASK, INPUT_IDS},
    session_rten::{RtenGraph, RtenSession},
    tokens::Tokens,
};

/// Everything that training found.
pub struct Trained<'a> {
    /// How it was trained.
    pub settings: TrainSettings,
    /// What it was trained on.
    pub examples: &'a Examples,
    /// The encoder with its heads.
    pub body: Body,
    /// What models can do.
    pub profiles: Profiles,
}

/// An encoder with its heads, as it is written.
pub struct Body {
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// The graph.
    pub onnx: Vec<u8>,
    /// Width of its outputs.
    pub outputs: OutputWidths,
    /// Tokens that it looks at.
    pub max_tokens: usize,
    /// How far engines may differ.
    pub tolerance: f32,
}

/// Engines agree on f32 graphs to about 2e-7 of each sum; sums here have up to 512 terms.
pub const TOLERANCE: f32 = 2e-5;

/// Prompts of the golden file: what people ask, in several scripts and at the edges; none from the data.
const GOLDEN_PROMPTS: [&str; 12] = [
    "",
    "What is the capital of France?",
    "Write a Python function that reverses a linked list and explain its complexity.",
    "Solve for x: 3x^2 - 12x + 9 = 0. Show your steps.",
    "Translate to German: The train leaves at 7:45 from platform 3.",
    "A shop sells pens at 3 for $2. How much do 18 pens cost?",
    "Summarise the plot of Hamlet in two sentences.",
    "Was kostet ein Fahrschein nach Zürich?",
    "请用三句话解释光合作用。",
    "Which of the following is a noble gas?\nA. Oxygen\nB. Argon\nC. Nitrogen\nD. Hydrogen",
    "SELECT name FROM users WHERE age > 30 ORDER BY name;",
    "\u{0}\u{1}\u{fffd} \u{202e}binary 🚂🚃🚃",
];

/// Writes the folder; an existing one is replaced.
///
/// # Errors
/// It cannot be written, or the graph does not run.
pub fn write(trained: &Trained<'_>, out: &Path) -> Result<(), LearningError> {
    let golden = golden(&trained.body)?;
    let evidence = evidence::write(trained.examples, &trained.body, &trained.profiles, trained.settings.seed)?;
    let profiles = serde_json::to_vec(&trained.profiles).map_err(|error| unwritable(out, error.into()))?;
    let seen = trained.examples.seen.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::from([
        (MODEL_ONNX, trained.body.onnx.clone()),
        (TOKENIZER_JSON, trained.body.tokenizer.clone()),
        (PROFILES_JSON, profiles),
        (GOLDEN_JSONL, golden),
        (SEEN_BIN, seen),
        (EVIDENCE_BIN, evidence),
    ]);
    let document = document(trained, name(out), &files);
    let yaml = serde_saphyr::to_string(&document).map_err(|error| LearningError::Graph(error.to_string()))?;
    files.insert(ROUTER_YAML, yaml.into_bytes());
    place(&files, out)
}

/// Returns the router's name: its folder's.
pub fn name(out: &Path) -> String {
    out.file_name().map_or_else(|| "router".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn document(trained: &Trained<'_>, name: String, files: &BTreeMap<&str, Vec<u8>>) -> RouterDocument {
    RouterDocument {
        schema_version: SCHEMA_VERSION,
        name,
        licence: "Apache-2.0".to_owned(),
        seed: trained.settings.seed,
        max_tokens: trained.body.max_tokens,
        inputs: BTreeMap::from([
            (INPUT_IDS.to_owned(), "i64 [batch, seq]".to_owned()),
            (ATTENTION_MASK.to_owned(), "f32 [batch, seq]".to_owned()),
        ]),
        outputs: trained.body.outputs,
        tolerance: trained.body.tolerance,
        sha256: files.iter().map(|(file, bytes)| ((*file).to_owned(), sha256(bytes))).collect(),
    }
}

/// Runs the golden prompts on RTen, which is always there.
fn golden(body: &Body) -> Result<Vec<u8>, LearningError> {
    let failed = |error: &dyn std::fmt::Display| LearningError::Graph(error.to_string());
    let tokens = Tokens::parse(&body.tokenizer).map_err(|error| failed(&error))?.cut_to(body.max_tokens);
    let graph = RtenGraph::load(body.onnx.clone()).map_err(|error| failed(&error))?;
    let mut session = RtenSession::new(graph);
    let long = "One more question about trains: when does the next one leave? ".repeat(100);
    let mut lines = Vec::new();
    for prompt in GOLDEN_PROMPTS.into_iter().chain([long.as_str()]) {
        let ids = tokens.ids(prompt).map_err(|error| failed(&error))?;
        let outputs = session.run(&ids).map_err(|error| failed(&error))?;
        let (embedding, latent, output_tokens) = (outputs.embedding, outputs.latent, outputs.output_tokens);
        let line = GoldenLine { prompt: prompt.to_owned(), ids, embedding, latent, output_tokens };
        serde_json::to_writer(&mut lines, &line).map_err(|error| failed(&error))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn place(files: &BTreeMap<&str, Vec<u8>>, out: &Path) -> Result<(), LearningError> {
    let draft = out.with_extension("draft");
    let fails = |path: &Path| {
        let path: PathBuf = path.to_owned();
        move |source| unwritable(&path, source)
    };
    if draft.exists() {
        std::fs::remove_dir_all(&draft).map_err(fails(&draft))?;
    }
    std::fs::create_dir_all(&draft).map_err(fails(&draft))?;
    for (file, bytes) in files {
        let path = draft.join(file);
        std::fs::write(&path, bytes).map_err(fails(&path))?;
    }
    if out.exists() {
        std::fs::remove_dir_all(out).map_err(fails(out))?;
    }
    std::fs::rename(&draft, out).map_err(fails(out))
}

fn unwritable(path: &Path, source: std::io::Error) -> LearningError {
    LearningError::Unwritable { path: path.to_owned(), source }
}
