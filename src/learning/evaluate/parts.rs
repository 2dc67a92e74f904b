//! Which prompts are learned from, which tune and which are reported.

use std::collections::{HashMap, HashSet};

use crate::{
    learning::data::{Record, Set, Split},
    scoring::artifact::{prompt_hash, question_hash},
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
    /// Whether the router was trained on most of what is learned from: then its own profiles are of the same tests, asked and
    /// graded in the same way.
    pub is_familiar: bool,
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
    pub fn of(set: &'a Set, seen: &[u64], fit: &'a Fit) -> Self {
        let seen = Seen::new(set, seen);
        let is_train = |record: &&Record| record.split == Some(Split::Train);
        let (train, others): (Vec<&Record>, Vec<&Record>) = set.records.iter().partition(|record| is_train(record));
        let known = train.iter().filter(|record| seen.has(&record.prompt)).count();
        // A question that several sets ask is no sign that the router was trained on this one.
        let is_known = 2 * known > train.len();
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
        let fit = to_fit(set, fit, &fresh);
        let familiar = fit.iter().filter(|(_, record)| seen.has(&record.prompt)).count();
        let is_familiar = 2 * familiar > fit.len();
        Self { fit, asked, left_out, is_familiar }
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
    let keys = Keys::of(sources.iter().copied().chain([set]));
    let asked: HashSet<u64> = asked.iter().flat_map(|record| keys.get(&record.prompt)).collect();
    let is_free = |record: &&Record| keys.get(&record.prompt).iter().all(|key| !asked.contains(key));
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
pub struct Seen<'a> {
    sorted: &'a [u64],
    keys: Keys,
}

impl<'a> Seen<'a> {
    /// Takes the sorted hashes that an artifact lists; prompts are those of a set.
    pub fn new(set: &Set, sorted: &'a [u64]) -> Self {
        Self { sorted, keys: Keys::of(std::iter::once(set)) }
    }

    /// Returns whether a prompt was trained on.
    pub fn has(&self, prompt: &str) -> bool {
        self.keys.get(prompt).iter().any(|key| self.sorted.binary_search(key).is_ok())
    }
}

/// What prompts are known by. Few-shot prompts begin alike and end with the question, so a prompt is known by its first line and
/// by the first line of its last block; but a line that many questions share belongs to a template, and there the whole of the
/// prompt or block counts.
struct Keys {
    shared: HashSet<u64>,
}

/// A first line of more different questions than this is a template's.
const QUESTIONS_OF_A_LINE: usize = 3;

impl Keys {
    fn of<'a>(sets: impl Iterator<Item = &'a Set>) -> Self {
        let mut questions: HashMap<u64, HashSet<u64>> = HashMap::new();
        for record in sets.flat_map(|set| &set.records) {
            for text in [&*record.prompt, last_block(&record.prompt)] {
                questions.entry(prompt_hash(text)).or_default().insert(text_hash(last_block(&record.prompt)));
            }
        }
        questions.retain(|_, questions| questions.len() > QUESTIONS_OF_A_LINE);
        Self { shared: questions.into_keys().collect() }
    }

    fn get(&self, prompt: &str) -> Vec<u64> {
        let mut keys = Vec::with_capacity(4);
        for text in [prompt, last_block(prompt)] {
            let line = prompt_hash(text);
            if !self.shared.contains(&line) {
                keys.push(line);
            }
            keys.push(question_hash(text));
        }
        keys
    }
}

fn last_block(prompt: &str) -> &str {
    prompt.trim_end().rsplit("\n\n").next().unwrap_or(prompt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::data::Meta;

    fn record(prompt: &str, split: Option<Split>) -> Record {
        let line = serde_json::json!({ "prompt": prompt, "score": [1.0, 0.0] });
        Record { split, ..serde_json::from_value(line).unwrap() }
    }

    fn set(name: &str, records: Vec<Record>) -> Set {
        let meta = serde_json::json!({ "name": name, "models": [{ "id": "a" }, { "id": "b" }] });
        Set { meta: serde_json::from_value::<Meta>(meta).unwrap(), records }
    }

    fn shots(question: usize) -> String {
        format!("What is one and one?\nTwo.\n\nWhat is {question} and {question}?\nA. 1\nB. 2")
    }

    fn prompts<'a>(parts: &'a Parts<'_>) -> Vec<&'a str> {
        parts.asked.iter().map(|(record, _)| record.prompt.as_str()).collect()
    }

    #[test]
    fn a_few_shot_prompt_counts_as_seen_by_its_question_and_not_by_its_examples() {
        let records = (0..20).map(|question| record(&shots(question), None)).collect();
        let mut seen = [prompt_hash("What is one and one?"), prompt_hash("What is 7 and 7?")];
        seen.sort_unstable();

        let set = set("s", records);
        let parts = Parts::of(&set, &seen, &Fit::Nothing);

        assert_eq!((parts.asked.len(), parts.left_out), (19, 1));
        assert!(!prompts(&parts).contains(&shots(7).as_str()));
    }

    #[test]
    fn with_val_and_test_the_one_tunes_and_the_other_is_reported() {
        let records = ["a", "b"].map(|name| record(name, Some(if name == "a" { Split::Val } else { Split::Test })));

        let set = set("s", records.to_vec());
        let parts = Parts::of(&set, &[], &Fit::Own);

        assert_eq!(parts.asked[0].1, Fold::Tune);
        assert_ne!(parts.asked[1].1, Fold::Tune);
    }

    #[test]
    fn without_a_split_everything_is_reported() {
        let set = set("s", (0..9).map(|index| record(&format!("question {index}"), None)).collect());

        let parts = Parts::of(&set, &[], &Fit::Own);

        assert_eq!((parts.asked.len(), parts.fit.len()), (9, 0));
    }

    #[test]
    fn a_set_of_training_prompts_that_the_router_never_saw_lends_some() {
        let records = (0..200).map(|index| record(&format!("question {index}"), Some(Split::Train))).collect();
        let set = set("s", records);

        let parts = Parts::of(&set, &[], &Fit::Own);

        assert!((40..80).contains(&parts.asked.len()), "{}", parts.asked.len());
        assert_eq!(parts.asked.len() + parts.fit.len(), 200);
        assert_eq!(Parts::of(&set, &[], &Fit::Nothing).asked.len(), 200);
    }

    #[test]
    fn nothing_is_learned_from_a_prompt_that_is_asked() {
        let asked = set("s", vec![record("Is it so?\nA. yes\nB. no", None)]);
        let others = ["Is it so?\nA. no\nB. yes", "Is it otherwise?"].map(|prompt| record(prompt, Some(Split::Train)));

        let fit = Fit::From(vec![set("other", others.to_vec())]);
        let parts = Parts::of(&asked, &[], &fit);

        let learned: Vec<&str> = parts.fit.iter().map(|(_, record)| record.prompt.as_str()).collect();
        assert_eq!(learned, ["Is it otherwise?"]);
    }
}
