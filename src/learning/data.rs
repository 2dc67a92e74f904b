//! Outcomes of models on prompts, in the documented format: `meta.json` and `records.jsonl[.zst]` in a folder.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{LearningError, names::public_name};
use crate::scoring::artifact::{prompt_hash, question_hash};

/// Licences that let weights be derived and shipped; a licence field must begin with one.
const OPEN_LICENCES: [&str; 5] = ["Apache-2.0", "MIT", "BSD", "CC0", "CC-BY-4.0"];

/// The licence of the gateway's own traffic: weights learned from it are for those whose traffic it is.
pub const OWN_TRAFFIC: &str = "own traffic";

/// A set without validation records lends every tenth prompt, by hash.
const HELD_BACK: u64 = 10;

/// `meta.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Meta {
    /// The set's name.
    pub name: String,
    /// Its licence.
    #[serde(default)]
    pub license: String,
    /// Its models, in the order of the arrays of the records.
    pub models: Vec<ModelMeta>,
}

/// A model of a set.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ModelMeta {
    /// The name that the source gives it.
    pub id: String,
    /// USD per million prompt tokens.
    pub in_price: Option<f64>,
    /// USD per million answer tokens.
    pub out_price: Option<f64>,
    /// Parameters in billions.
    #[serde(default)]
    pub params_b: Option<f64>,
}

impl ModelMeta {
    /// Returns its public name, the name of its profile.
    pub fn name(&self) -> String {
        public_name(&self.id)
    }
}

/// What a record is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose, calibrate and report.
    Val,
    /// To report.
    Test,
}

/// One prompt and what became of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    /// Its name in the set.
    #[serde(default)]
    pub id: String,
    /// Benchmark or category.
    #[serde(default)]
    pub task: String,
    /// A finer category.
    #[serde(default)]
    pub sub: Option<String>,
    /// What a router sees.
    pub prompt: String,
    /// What it is used for; files of one's own need not say.
    pub split: Option<Split>,
    /// Quality in `[0, 1]` by model.
    pub score: Vec<Option<f64>>,
    /// Tokens of each answer.
    #[serde(default)]
    pub out_tok: Vec<Option<f64>>,
    /// Tokens of the prompt.
    #[serde(default)]
    pub in_tok: Option<f64>,
    /// USD of each call.
    #[serde(default)]
    pub cost: Vec<Option<f64>>,
    /// Not to be used.
    #[serde(default)]
    pub contaminated: bool,
}

impl Record {
    /// Returns the finest category.
    pub fn category(&self) -> &str {
        self.sub.as_deref().unwrap_or(&self.task)
    }
}

/// A set of records.
#[derive(Clone, Debug)]
pub struct Set {
    /// Its description.
    pub meta: Meta,
    /// Its records.
    pub records: Vec<Record>,
}

impl Set {
    /// Returns where a model stands in the arrays of the records, by public name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.meta.models.iter().position(|model| model.name() == name)
    }

    /// Returns whether weights learned from it may be shipped.
    pub fn is_open(&self) -> bool {
        let own = [OWN_TRAFFIC];
        OPEN_LICENCES.iter().chain(&own).any(|licence| self.meta.license.starts_with(licence))
            && !self.meta.license.contains("NC")
    }
}

/// Reads every set of a folder, in the order of their names; a folder with `meta.json`, or a records file beside one, is a
/// single set. Records without prompt text and contaminated ones are left out.
///
/// # Errors
/// There is no set, or one is malformed.
pub fn read_sets(path: &Path) -> Result<Vec<Set>, LearningError> {
    let single = if path.is_file() { path.parent().unwrap_or(path) } else { path };
    if single.join("meta.json").is_file() {
        return Ok(vec![read_set(single, path.is_file().then_some(path))?]);
    }
    let sets: Result<Vec<Set>, LearningError> =
        set_folders(path)?.iter().map(|folder| read_set(folder, None)).collect();
    Ok(sets?.into_iter().filter(|set| !set.records.is_empty()).collect())
}

/// Returns the folders of sets in a folder, in the order of their names; of a set its own.
///
/// # Errors
/// There is none.
pub(super) fn set_folders(path: &Path) -> Result<Vec<PathBuf>, LearningError> {
    if path.join("meta.json").is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|source| unreadable(path, source))?;
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.retain(|folder| folder.join("meta.json").is_file());
    folders.sort();
    if folders.is_empty() {
        return Err(LearningError::NoData { path: path.to_owned() });
    }
    Ok(folders)
}

fn unreadable(path: &Path, source: std::io::Error) -> LearningError {
    LearningError::Unreadable { path: path.to_owned(), source }
}

fn read_set(folder: &Path, records: Option<&Path>) -> Result<Set, LearningError> {
    let meta = read_meta(folder)?;
    let path = records.map_or_else(|| records_of(folder), Path::to_owned);
    let records = parse_records(&path, &read_text(&path)?, meta.models.len())?;
    Ok(Set { meta, records })
}

/// Reads `meta.json` of a set's folder.
pub(super) fn read_meta(folder: &Path) -> Result<Meta, LearningError> {
    let path = folder.join("meta.json");
    let bytes = std::fs::read(&path).map_err(|source| unreadable(&path, source))?;
    serde_json::from_slice(&bytes).map_err(|error| malformed(&path, 0, &error))
}

/// Returns where the records of a set's folder are.
pub(super) fn records_of(folder: &Path) -> PathBuf {
    let packed = folder.join("records.jsonl.zst");
    if packed.is_file() { packed } else { folder.join("records.jsonl") }
}

/// Reads records, packed or plain.
pub(super) fn read_text(path: &Path) -> Result<Vec<u8>, LearningError> {
    let bytes = std::fs::read(path).map_err(|source| unreadable(path, source))?;
    if path.extension().is_some_and(|extension| extension == "zst") {
        return zstd::decode_all(bytes.as_slice()).map_err(|source| unreadable(path, source));
    }
    Ok(bytes)
}

pub(super) fn malformed(path: &Path, line: usize, error: &dyn std::fmt::Display) -> LearningError {
    LearningError::Malformed { path: path.to_owned(), line, message: error.to_string() }
}

fn parse_records(path: &Path, text: &[u8], models: usize) -> Result<Vec<Record>, LearningError> {
    let mut records = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let record: Record = parse_record(line).map_err(|error| malformed(path, index + 1, &error))?;
        check_record(&record, models).map_err(|message| malformed(path, index + 1, &message))?;
        if !record.contaminated && !record.prompt.trim().is_empty() {
            records.push(record);
        }
    }
    Ok(records)
}

fn check_record(record: &Record, models: usize) -> Result<(), String> {
    if record.score.len() != models {
        return Err(format!("{} scores for {models} models", record.score.len()));
    }
    for (name, values) in [("out_tok", &record.out_tok), ("cost", &record.cost)] {
        if !values.is_empty() && values.len() != models {
            return Err(format!("{} entries of `{name}` for {models} models", values.len()));
        }
        if let Some(bad) = values.iter().flatten().find(|value| !(0.0..f64::INFINITY).contains(*value)) {
            return Err(format!("`{name}` has {bad}; it must be at least 0 and finite"));
        }
    }
    match record.score.iter().flatten().find(|score| !(0.0..=1.0).contains(*score)) {
        Some(bad) => Err(format!("a score is {bad}; scores lie between 0 and 1")),
        None => Ok(()),
    }
}

/// Parses a line. Python writes what it does not know as `NaN`, which is not JSON; such a line is read again with `null`.
pub(super) fn parse_record<T: DeserializeOwned>(line: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(line).or_else(|error| {
        let text = String::from_utf8_lossy(line);
        let patched = text.replace(",NaN", ",null").replace("[NaN", "[null");
        if patched == text { Err(error) } else { serde_json::from_str(&patched) }
    })
}

/// Returns whether a prompt of this hash is lent for validation where a set does not say.
pub fn is_lent(hash: u64) -> bool {
    hash.is_multiple_of(HELD_BACK)
}

/// What is held back: validation prompts of every set and, of sets without any, every tenth prompt. A prompt that one set
/// holds back is held back in all.
#[derive(Clone, Debug, Default)]
pub struct HeldBack {
    held: HashSet<u64>,
    shared: HashSet<u64>,
}

/// A first line of more different questions of one set than this belongs to a template, not to a question: of ZeroEval's prompts on code,
/// all begin with the same line.
const QUESTIONS_OF_A_LINE: usize = 3;

/// Which prompts are learned from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lessons {
    /// Those that are not held back: what is learned can be measured on the rest.
    #[default]
    Training,
    /// All: for weights that are shipped after others, learned the same way, were measured.
    Everything,
}

impl HeldBack {
    /// Collects what these lessons leave out.
    pub fn from(sets: &[Set], lessons: Lessons) -> Self {
        match lessons {
            Lessons::Training => Self::of(sets),
            Lessons::Everything => Self { held: HashSet::new(), shared: shared_lines(sets) },
        }
    }

    /// Collects them.
    pub fn of(sets: &[Set]) -> Self {
        let mut held_back = Self { held: HashSet::new(), shared: shared_lines(sets) };
        for set in sets.iter().filter(|set| set.is_open()) {
            let has_val = set.records.iter().any(|record| record.split == Some(Split::Val));
            for record in &set.records {
                let key = held_back.key(&record.prompt);
                let is_lent = !has_val && is_lent(key);
                if is_lent || matches!(record.split, Some(Split::Val | Split::Test)) {
                    held_back.held.insert(key);
                }
            }
        }
        held_back
    }

    /// Returns whether training must not see the prompt.
    pub fn holds(&self, prompt: &str) -> bool {
        self.held.contains(&self.key(prompt))
    }

    /// Returns what a prompt is known by: its first line, or all of the question where many share that line.
    pub fn key(&self, prompt: &str) -> u64 {
        let line = prompt_hash(prompt);
        if self.shared.contains(&line) { question_hash(prompt) } else { line }
    }
}

fn shared_lines(sets: &[Set]) -> HashSet<u64> {
    let mut shared = HashSet::new();
    for set in sets {
        let mut questions: HashMap<u64, HashSet<u64>> = HashMap::new();
        for record in &set.records {
            questions.entry(prompt_hash(&record.prompt)).or_default().insert(question_hash(&record.prompt));
        }
        questions.retain(|_, questions| questions.len() > QUESTIONS_OF_A_LINE);
        shared.extend(questions.into_keys());
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(licence: &str, prompts: &[(&str, Option<Split>)]) -> Set {
        let meta = Meta { name: "made-up".to_owned(), license: licence.to_owned(), models: Vec::new() };
        let record = |(prompt, split): &(&str, Option<Split>)| Record {
            id: String::new(),
            task: "t".to_owned(),
            sub: None,
            prompt: (*prompt).to_owned(),
            split: *split,
            score: Vec::new(),
            out_tok: Vec::new(),
            in_tok: None,
            cost: Vec::new(),
            contaminated: false,
        };
        Set { meta, records: prompts.iter().map(record).collect() }
    }

    #[test]
    fn a_licence_that_only_mentions_an_open_one_is_not_open() {
        assert!(set("Apache-2.0 (repo)", &[]).is_open());
        assert!(!set("no licence file; code MIT", &[]).is_open());
        assert!(!set("CC-BY-4.0-NC", &[]).is_open());
        assert!(!set("", &[]).is_open());
    }

    #[test]
    fn a_question_held_back_by_one_set_is_held_back_with_other_choices_too() {
        let sets = [
            set("MIT", &[("What is it?\nA. x", Some(Split::Val))]),
            set(
                "MIT",
                &[(" what is it?\nB. y", Some(Split::Train)), ("Other", Some(Split::Train)), ("V", Some(Split::Val))],
            ),
        ];

        let held_back = HeldBack::of(&sets);

        assert!(held_back.holds(" what is it?\nB. y"));
        assert!(!held_back.holds("Other"));
    }

    #[test]
    fn a_line_that_many_questions_share_does_not_hold_them_all_back() {
        let template = |number: usize| format!("You are given a function.\n\ndef f(x): return x + {number}");
        let prompts: Vec<String> = (0..9).map(template).collect();
        let of = |index: usize| (prompts[index].as_str(), Some(if index == 0 { Split::Val } else { Split::Train }));
        let records: Vec<_> = (0..prompts.len()).map(of).collect();

        let held_back = HeldBack::of(&[set("MIT", &records)]);

        assert!(held_back.holds(&prompts[0]));
        assert!(prompts[1..].iter().all(|prompt| !held_back.holds(prompt)));
    }

    #[test]
    fn scores_and_costs_that_cannot_be_are_told_with_their_line() {
        let path = Path::new("records.jsonl");
        let refusal = |line: &str| parse_records(path, format!("\n{line}").as_bytes(), 2).unwrap_err().to_string();

        let text = refusal(r#"{"prompt":"x","score":[1]}"#);
        assert_eq!(text, "records.jsonl, line 2: 1 scores for 2 models");
        let text = refusal(r#"{"prompt":"x","score":[1,7]}"#);
        assert_eq!(text, "records.jsonl, line 2: a score is 7; scores lie between 0 and 1");
        let text = refusal(r#"{"prompt":"x","score":[1,0],"cost":[-1,0]}"#);
        assert_eq!(text, "records.jsonl, line 2: `cost` has -1; it must be at least 0 and finite");
        let text = refusal(r#"{"prompt":"x","score":[1,0],"cost":[1]}"#);
        assert_eq!(text, "records.jsonl, line 2: 1 entries of `cost` for 2 models");
        assert!(refusal(r#"{"prompt":"x""#).starts_with("records.jsonl, line 2: "));
    }
}
