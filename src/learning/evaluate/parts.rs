//! Which prompts are learned from, which tune and which are reported.

use std::collections::HashSet;

use crate::{
    learning::data::{Record, Set, Split},
    scoring::artifact::prompt_hash,
};

/// What a prompt that the router did not see is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fold {
    /// Operating points are chosen on it; it is not reported.
    Tune,
    /// Reported with operating points that were chosen on [`Fold::Second`].
    First,
    /// Reported with operating points that were chosen on [`Fold::First`].
    Second,
}

/// From where profiles of models that the router does not know, and baselines, learn.
#[derive(Clone, Debug)]
pub enum Fit {
    /// From the training prompts of the set itself.
    Own,
    /// From the training prompts of other sets: those of the same name, or else those with a model in common.
    From(Vec<Set>),
    /// From nothing.
    Nothing,
}

/// The parts of a set.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// To learn from, each with the set that it comes from.
    pub fit: Vec<(&'a Set, &'a Record)>,
    /// To tune and to report.
    pub asked: Vec<(&'a Record, Fold)>,
    /// Prompts left out because the router was trained on them.
    pub left_out: usize,
}

/// A set of training prompts only, none of which the router has seen, lends this many of ten to be reported.
const LENT_OF_TEN: u64 = 3;

impl<'a> Parts<'a> {
    /// Divides a set.
    ///
    /// Asked is everything that is not training data; of a set that has nothing else and that the router was trained on, what
    /// the router did not see; of one that it was not trained on, three of ten prompts by hash, or all if nothing is to be
    /// learned from the set. With `val` and `test` records, `val` tunes and `test` is reported; otherwise each half of the
    /// prompts, by hash, is reported with what was chosen on the other.
    pub fn of(set: &'a Set, seen: &Seen<'_>, fit: &'a Fit) -> Self {
        let is_train = |record: &&Record| record.split == Some(Split::Train);
        let (train, others): (Vec<&Record>, Vec<&Record>) = set.records.iter().partition(|record| is_train(record));
        let is_known = train.iter().any(|record| seen.has(&record.prompt));
        let asked: Vec<&Record> = match (others.is_empty(), is_known, fit) {
            (false, _, _) => others,
            (true, false, Fit::Own) => train.iter().copied().filter(|record| is_lent(&record.prompt)).collect(),
            (true, _, _) => train.clone(),
        };
        let fresh: Vec<&Record> = asked.iter().copied().filter(|record| !seen.has(&record.prompt)).collect();
        let left_out = asked.len() - fresh.len();
        let (has_val, has_test) = (has(&fresh, Split::Val), has(&fresh, Split::Test));
        let asked: Vec<(&Record, Fold)> =
            fresh.iter().map(|record| (*record, fold(record, has_val && has_test))).collect();
        Self { fit: to_fit(set, fit, &fresh), asked, left_out }
    }
}

fn has(records: &[&Record], split: Split) -> bool {
    records.iter().any(|record| record.split == Some(split))
}

fn fold(record: &Record, tunes_on_val: bool) -> Fold {
    match (tunes_on_val, record.split) {
        (true, Some(Split::Val)) => Fold::Tune,
        _ if text_hash(&record.prompt) & 16 == 0 => Fold::First,
        _ => Fold::Second,
    }
}

fn is_lent(prompt: &str) -> bool {
    text_hash(prompt) % 10 < LENT_OF_TEN
}

/// Of the whole text: few-shot prompts often begin alike.
fn text_hash(text: &str) -> u64 {
    blake3::hash(text.as_bytes()).as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Training prompts, without any that is asked, under whatever name.
fn to_fit<'a>(set: &'a Set, fit: &'a Fit, asked: &[&Record]) -> Vec<(&'a Set, &'a Record)> {
    let sources: Vec<&Set> = match fit {
        Fit::Own => vec![set],
        Fit::From(sets) => related(set, sets),
        Fit::Nothing => Vec::new(),
    };
    let asked: HashSet<u64> = asked.iter().flat_map(|record| keys(&record.prompt)).collect();
    let is_free = |record: &&Record| keys(&record.prompt).iter().all(|key| !asked.contains(key));
    let is_train = |record: &&Record| record.split == Some(Split::Train);
    let records =
        |source: &'a Set| source.records.iter().filter(is_train).filter(is_free).map(move |record| (source, record));
    sources.into_iter().flat_map(records).collect()
}

fn related<'a>(set: &Set, sets: &'a [Set]) -> Vec<&'a Set> {
    let namesakes: Vec<&Set> = sets.iter().filter(|other| other.meta.name == set.meta.name).collect();
    if !namesakes.is_empty() {
        return namesakes;
    }
    let shares = |other: &&Set| other.meta.models.iter().any(|model| set.column(&model.name()).is_some());
    sets.iter().filter(shares).collect()
}

/// The prompts that a router was trained on.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    sorted: &'a [u64],
}

impl<'a> Seen<'a> {
    /// Takes sorted hashes, as an artifact lists them.
    pub fn new(sorted: &'a [u64]) -> Self {
        Self { sorted }
    }

    fn has(&self, prompt: &str) -> bool {
        keys(prompt).iter().any(|key| self.sorted.binary_search(key).is_ok())
    }
}

/// Few-shot prompts end with the question, so a prompt is known by its first line and by the first line of its last block.
fn keys(prompt: &str) -> [u64; 2] {
    let last = prompt.trim_end().rsplit("\n\n").next().unwrap_or(prompt);
    [prompt_hash(prompt), prompt_hash(last)]
}
