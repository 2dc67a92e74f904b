//! A router artifact: `routers/<name>/`, read whole and checked whole.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    evidence::TrainingEvidence,
    folder::Folder,
    onnx,
    profiles::Profiles,
    session::{Outputs, SessionError},
    text::MAX_TOKENS,
    tokens::{Tokens, TokensError},
};

/// Holds the other files' checksums.
pub const ROUTER_YAML: &str = "router.yaml";
/// The graph.
pub const MODEL_ONNX: &str = "model.onnx";
/// The tokenizer.
pub const TOKENIZER_JSON: &str = "tokenizer.json";
/// The profiles.
pub const PROFILES_JSON: &str = "profiles.json";
/// Prompts with their outputs.
pub const GOLDEN_JSONL: &str = "golden.jsonl";
/// Hashes of the prompts that it was trained on.
pub const SEEN_BIN: &str = "seen.bin";
/// What the training data say of models; an artifact may do without.
pub const EVIDENCE_BIN: &str = "evidence.bin";

/// What people read; the only file without a checksum besides `router.yaml`.
pub const CARD_MD: &str = "CARD.md";

/// The layout that this program reads.
pub const SCHEMA_VERSION: u32 = 1;

/// The document `router.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterDocument {
    /// The layout; [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name and version, for instance `static-v2`.
    pub name: String,
    /// Licence of the weights.
    pub licence: String,
    /// The seed it was trained with.
    pub seed: u64,
    /// Tokens that are scored; longer prompts are cut head and tail.
    pub max_tokens: usize,
    /// Inputs of the graph, `name: dtype [shape]`.
    pub inputs: BTreeMap<String, String>,
    /// Width of each output; rows are prompts.
    pub outputs: OutputWidths,
    /// Largest difference to `golden.jsonl` that the self test accepts.
    pub tolerance: f32,
    /// SHA-256 of every other file but the card.
    pub sha256: BTreeMap<String, String>,
}

/// Width of each output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputWidths {
    /// Entries of the embedding.
    pub embedding: usize,
    /// Entries of the latent.
    pub latent: usize,
    /// Always 2: median and 90 % quantile.
    pub output_tokens: usize,
}

/// A line of `golden.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenLine {
    /// The prompt.
    pub prompt: String,
    /// Its ids.
    pub ids: Vec<u32>,
    /// The graph's output.
    pub embedding: Vec<f32>,
    /// The graph's output.
    pub latent: Vec<f32>,
    /// The graph's output.
    pub output_tokens: Vec<f32>,
}

/// Why an artifact is not loaded. Every message names the folder and the file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read; a folder that was copied half lacks some.
    #[error("router {folder}: cannot read {file}")]
    Unreadable {
        /// The artifact.
        folder: String,
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("router {folder}: {file} is malformed: {message}")]
    Malformed {
        /// The artifact.
        folder: String,
        /// The file.
        file: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The layout is another program version's.
    #[error(
        "router {folder}: {ROUTER_YAML} has schema_version {found}, this program reads {SCHEMA_VERSION}; train it again"
    )]
    SchemaVersion {
        /// The artifact.
        folder: String,
        /// Its layout.
        found: u32,
    },
    /// A file was changed or cut.
    #[error("router {folder}: {file} does not match its checksum (expected {expected}, found {found}); copy it again")]
    Checksum {
        /// The artifact.
        folder: String,
        /// The file.
        file: String,
        /// In `router.yaml`.
        expected: String,
        /// On disk.
        found: String,
    },
    /// The engine did not take the graph.
    #[error("router {folder}: {MODEL_ONNX}")]
    Session {
        /// The artifact.
        folder: String,
        /// Why.
        #[source]
        source: SessionError,
    },
    /// The graph does not give what `golden.jsonl` pins.
    #[error("router {folder}: the self test failed on golden line {line}: {message}")]
    SelfTest {
        /// The artifact.
        folder: String,
        /// Counted from 1.
        line: usize,
        /// What differs.
        message: String,
    },
    /// The configured engine is not there.
    #[error("the configured router engine is not available")]
    Engine(#[source] SessionError),
}

/// Everything in the folder but the card, checked.
pub struct Artifact {
    /// `router.yaml`.
    pub document: RouterDocument,
    /// The first 16 digits of the SHA-256 of `router.yaml`, which covers every other file but the card: what a calibration
    /// belongs to.
    pub checksum: Arc<str>,
    /// The graph.
    pub onnx: Cow<'static, [u8]>,
    /// `tokenizer.json`.
    pub tokens: Tokens,
    /// `profiles.json`.
    pub profiles: Profiles,
    /// `golden.jsonl`.
    pub golden: Vec<GoldenLine>,
    /// `evidence.bin`; `None` when the artifact has none.
    pub evidence: Option<TrainingEvidence>,
    folder: Folder,
}

impl std::fmt::Debug for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Artifact").field("name", &self.document.name).field("checksum", &self.checksum).finish()
    }
}

impl Artifact {
    /// Reads and checks a folder; the graph itself is checked by [`Artifact::self_test`].
    ///
    /// # Errors
    /// A file is missing, changed, malformed, or not finite.
    pub fn read(folder: &Folder) -> Result<Self, LoadError> {
        let yaml = read(folder, ROUTER_YAML)?;
        let document = parse_document(folder, &yaml)?;
        let files = Files { folder, document: &document };
        let onnx = files.checked(MODEL_ONNX)?;
        onnx::check(&onnx).map_err(|error| malformed(folder, MODEL_ONNX, &error))?;
        let tokens = Tokens::parse(&files.checked(TOKENIZER_JSON)?)
            .map_err(|error: TokensError| malformed(folder, TOKENIZER_JSON, &error))?
            .cut_to(document.max_tokens);
        let profiles = parse_profiles(folder, &document, &files.checked(PROFILES_JSON)?)?;
        let golden = parse_golden(folder, &files.checked(GOLDEN_JSONL)?)?;
        let evidence = files.evidence()?;
        let checksum = short(&sha256(&yaml));
        Ok(Self { document, checksum, onnx, tokens, profiles, golden, evidence, folder: folder.clone() })
    }

    /// Returns the sorted hashes of the prompts that it was trained on, as [`prompt_hash`] gives them.
    ///
    /// # Errors
    /// `seen.bin` is missing or changed.
    pub fn seen(&self) -> Result<Vec<u64>, LoadError> {
        let bytes = Files { folder: &self.folder, document: &self.document }.checked(SEEN_BIN)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect())
    }

    /// Returns the folder it came from, for messages.
    pub fn folder(&self) -> String {
        self.folder.to_string()
    }

    /// Compares what `run` gives with the golden lines: ids exactly, outputs within the tolerance.
    ///
    /// # Errors
    /// The engine fails, a shape or number differs, or a number is not finite.
    pub fn self_test(&self, mut run: impl FnMut(&[u32]) -> Result<Outputs, SessionError>) -> Result<(), LoadError> {
        for (index, golden) in self.golden.iter().enumerate() {
            let differs = |message: String| LoadError::SelfTest { folder: self.folder(), line: index + 1, message };
            let ids = self.tokens.ids(&golden.prompt).map_err(|error| differs(error.to_string()))?;
            if ids != golden.ids {
                return Err(differs("the tokenizer gives other ids".to_owned()));
            }
            let outputs = run(&ids).map_err(|source| LoadError::Session { folder: self.folder(), source })?;
            self.compare(&outputs, golden).map_err(differs)?;
        }
        Ok(())
    }

    fn compare(&self, outputs: &Outputs, golden: &GoldenLine) -> Result<(), String> {
        let widths = self.document.outputs;
        for (name, width, found, expected) in [
            ("embedding", widths.embedding, &outputs.embedding, &golden.embedding),
            ("latent", widths.latent, &outputs.latent, &golden.latent),
            ("output_tokens", widths.output_tokens, &outputs.output_tokens, &golden.output_tokens),
        ] {
            if found.len() != width || expected.len() != width {
                return Err(format!("{name} has {} entries, router.yaml says {width}", found.len()));
            }
            let largest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0_f32, nan_max);
            if largest.is_nan() || largest > self.document.tolerance {
                return Err(format!("{name} differs by {largest:e}, tolerance {:e}", self.document.tolerance));
            }
        }
        Ok(())
    }
}

/// The larger of two numbers; NaN when one is NaN.
fn nan_max(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }
}

/// Returns the hash under which a prompt is known to have been trained on: of its first line that is not blank, so that the
/// same question counts as the same with other answers to choose from.
pub fn prompt_hash(prompt: &str) -> u64 {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    text_hash(&line.to_lowercase())
}

/// Returns the hash under which a prompt is known whose first line many questions share: of all its lines but the answers to
/// choose from. A prompt of one line has the hash that [`prompt_hash`] gives it.
pub fn question_hash(prompt: &str) -> u64 {
    let lines = prompt.lines().map(str::trim).filter(|line| !line.is_empty() && !is_choice(line));
    let lines: Vec<String> = lines.map(str::to_lowercase).collect();
    text_hash(&lines.join("\n"))
}

/// `A. ...`, `B) ...`, `(C) ...` or a bare `Answer:`.
fn is_choice(line: &str) -> bool {
    let mut characters = line.trim_start_matches('(').chars();
    let is_letter = characters.next().is_some_and(|first| first.is_ascii_uppercase());
    let is_marked = characters.next().is_some_and(|second| matches!(second, '.' | ')' | ':'));
    (is_letter && is_marked) || line.eq_ignore_ascii_case("answer:")
}

fn text_hash(text: &str) -> u64 {
    let hash = blake3::hash(text.as_bytes());
    hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Enough digits that two artifacts of one operator never meet.
fn short(checksum: &str) -> Arc<str> {
    Arc::from(checksum.get(..16).unwrap_or(checksum))
}

/// Returns the checksum as lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Files<'a> {
    folder: &'a Folder,
    document: &'a RouterDocument,
}

impl Files<'_> {
    fn checked(&self, file: &str) -> Result<Cow<'static, [u8]>, LoadError> {
        let bytes = read(self.folder, file)?;
        let expected = self.document.sha256.get(file).cloned().unwrap_or_else(|| "none".to_owned());
        let found = sha256(&bytes);
        if found != expected {
            return Err(LoadError::Checksum {
                folder: self.folder.to_string(),
                file: file.to_owned(),
                expected,
                found,
            });
        }
        Ok(bytes)
    }

    fn evidence(&self) -> Result<Option<TrainingEvidence>, LoadError> {
        if !self.document.sha256.contains_key(EVIDENCE_BIN) {
            return Ok(None);
        }
        let (bytes, widths) = (self.checked(EVIDENCE_BIN)?, self.document.outputs);
        let evidence = TrainingEvidence::parse(&bytes, widths.embedding, widths.latent);
        evidence.map(Some).map_err(|error| malformed(self.folder, EVIDENCE_BIN, &error))
    }
}

fn read(folder: &Folder, file: &str) -> Result<Cow<'static, [u8]>, LoadError> {
    folder.read(file).map_err(|source| LoadError::Unreadable {
        folder: folder.to_string(),
        file: file.to_owned(),
        source,
    })
}

fn malformed(folder: &Folder, file: &'static str, message: &dyn std::fmt::Display) -> LoadError {
    LoadError::Malformed { folder: folder.to_string(), file, message: message.to_string() }
}

fn parse_document(folder: &Folder, yaml: &[u8]) -> Result<RouterDocument, LoadError> {
    let text = std::str::from_utf8(yaml).map_err(|error| malformed(folder, ROUTER_YAML, &error))?;
    let document: RouterDocument =
        serde_saphyr::from_str(text).map_err(|error| malformed(folder, ROUTER_YAML, &error))?;
    if document.schema_version != SCHEMA_VERSION {
        return Err(LoadError::SchemaVersion { folder: folder.to_string(), found: document.schema_version });
    }
    if !(document.tolerance > 0.0 && document.tolerance < 1.0) {
        return Err(malformed(folder, ROUTER_YAML, &"tolerance must lie between 0 and 1"));
    }
    if !(2..=MAX_TOKENS).contains(&document.max_tokens) {
        return Err(malformed(folder, ROUTER_YAML, &format!("max_tokens must lie between 2 and {MAX_TOKENS}")));
    }
    Ok(document)
}

fn parse_profiles(folder: &Folder, document: &RouterDocument, json: &[u8]) -> Result<Profiles, LoadError> {
    let profiles: Profiles = serde_json::from_slice(json).map_err(|error| malformed(folder, PROFILES_JSON, &error))?;
    let (latent, embedding) = (document.outputs.latent, document.outputs.embedding);
    let surroundings = || profiles.surroundings.as_ref().and_then(|surroundings| surroundings.fault(embedding));
    if let Some(fault) = profiles.fault(latent).or_else(surroundings) {
        return Err(malformed(folder, PROFILES_JSON, &fault));
    }
    Ok(profiles)
}

fn parse_golden(folder: &Folder, bytes: &[u8]) -> Result<Vec<GoldenLine>, LoadError> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let golden: Result<Vec<GoldenLine>, _> = lines.map(serde_json::from_slice).collect();
    let golden = golden.map_err(|error| malformed(folder, GOLDEN_JSONL, &error))?;
    if golden.is_empty() {
        return Err(malformed(folder, GOLDEN_JSONL, &"it has no line, so nothing would be tested"));
    }
    Ok(golden)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::scoring::folder::DEFAULT_ARTIFACT;

    const FILES: [&str; 7] =
        [ROUTER_YAML, MODEL_ONNX, TOKENIZER_JSON, PROFILES_JSON, GOLDEN_JSONL, SEEN_BIN, EVIDENCE_BIN];

    fn copy() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in FILES {
            let bytes = Folder::Embedded(DEFAULT_ARTIFACT).read(file).unwrap();
            std::fs::write(folder.path().join(file), bytes).unwrap();
        }
        folder
    }

    fn load(folder: &Path) -> Result<Artifact, LoadError> {
        Artifact::read(&Folder::Disk(folder.to_owned()))
    }

    /// Writes a changed file and its new checksum.
    fn replace(folder: &Path, file: &str, bytes: &[u8]) {
        let yaml = std::fs::read_to_string(folder.join(ROUTER_YAML)).unwrap();
        let mut document: RouterDocument = serde_saphyr::from_str(&yaml).unwrap();
        document.sha256.insert(file.to_owned(), sha256(bytes));
        std::fs::write(folder.join(file), bytes).unwrap();
        std::fs::write(folder.join(ROUTER_YAML), serde_saphyr::to_string(&document).unwrap()).unwrap();
    }

    #[test]
    fn the_shipped_artifact_is_whole_and_its_copy_is_too() {
        let folder = copy();

        let artifact = load(folder.path()).unwrap();

        assert_eq!(artifact.document.name, DEFAULT_ARTIFACT);
        assert!(artifact.seen().unwrap().is_sorted());
    }

    #[test]
    fn a_half_copied_folder_names_the_missing_file() {
        for file in [ROUTER_YAML, MODEL_ONNX, TOKENIZER_JSON, PROFILES_JSON, GOLDEN_JSONL] {
            let folder = copy();
            std::fs::remove_file(folder.path().join(file)).unwrap();

            let error = load(folder.path()).unwrap_err();

            assert!(matches!(&error, LoadError::Unreadable { file: named, .. } if named == file), "{error}");
        }
    }

    #[test]
    fn a_cut_file_does_not_match_its_checksum() {
        let folder = copy();
        let bytes = std::fs::read(folder.path().join(MODEL_ONNX)).unwrap();
        std::fs::write(folder.path().join(MODEL_ONNX), &bytes[..bytes.len() / 2]).unwrap();

        assert!(matches!(load(folder.path()), Err(LoadError::Checksum { .. })));
    }

    #[test]
    fn a_weight_that_is_not_a_number_is_found() {
        let folder = copy();
        let bytes = std::fs::read(folder.path().join(MODEL_ONNX)).unwrap();
        let mut model = onnx::check(&bytes).unwrap();
        let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
        tensor.raw_data[400..404].copy_from_slice(&f32::NAN.to_le_bytes());
        replace(folder.path(), MODEL_ONNX, &prost::Message::encode_to_vec(&model));

        let error = load(folder.path()).unwrap_err();

        assert!(error.to_string().contains("not finite"), "{error}");
    }

    #[test]
    fn a_file_of_another_kind_is_malformed() {
        for file in [MODEL_ONNX, TOKENIZER_JSON, PROFILES_JSON, GOLDEN_JSONL] {
            let folder = copy();
            replace(folder.path(), file, b"not what it should be");

            let error = load(folder.path()).unwrap_err();

            assert!(matches!(&error, LoadError::Malformed { file: named, .. } if *named == file), "{error}");
        }
    }

    #[test]
    fn a_profile_of_another_length_is_refused() {
        let folder = copy();
        let bytes = std::fs::read(folder.path().join(PROFILES_JSON)).unwrap();
        let mut profiles: Profiles = serde_json::from_slice(&bytes).unwrap();
        profiles.profiles[0].vector.pop();
        replace(folder.path(), PROFILES_JSON, &serde_json::to_vec(&profiles).unwrap());

        assert!(matches!(load(folder.path()), Err(LoadError::Malformed { file: PROFILES_JSON, .. })));
    }

    #[test]
    fn another_layout_is_refused_by_its_number() {
        let folder = copy();
        let yaml = std::fs::read_to_string(folder.path().join(ROUTER_YAML)).unwrap();
        let newer = yaml.replace("schema_version: 1", "schema_version: 9");
        std::fs::write(folder.path().join(ROUTER_YAML), newer).unwrap();

        assert!(matches!(load(folder.path()), Err(LoadError::SchemaVersion { found: 9, .. })));
    }
}
