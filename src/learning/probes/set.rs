//! The probes inside the program.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rust_embed::RustEmbed;
use serde::{Deserialize, Serialize};

use super::Check;
use crate::scoring::artifact::sha256;

#[derive(RustEmbed)]
#[folder = "probes"]
struct Files;

/// How hard a probe is for a model of middling ability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Most models answer it.
    Easy,
    /// Good models answer it.
    Medium,
    /// Only strong models answer it reliably.
    Hard,
}

/// A prompt whose answers can be graded.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Unique, for instance `arithmetic-07`.
    pub id: Arc<str>,
    /// What it is about, the name of its file.
    pub topic: Arc<str>,
    /// How hard it is.
    pub level: Level,
    /// What is asked.
    pub prompt: String,
    /// What a good answer is.
    pub grade: Check,
    good: Option<String>,
    bad: Option<String>,
}

impl Probe {
    /// Returns an answer that is good.
    pub fn good_answer(&self) -> String {
        self.good.clone().unwrap_or_else(|| self.grade.answer())
    }

    /// Returns an answer that is bad; a refusal where nothing nearer is written down.
    pub fn bad_answer(&self) -> &str {
        self.bad.as_deref().unwrap_or("I am not able to answer that.")
    }

    /// Returns whether grading it runs code that the model wrote.
    pub fn runs_code(&self) -> bool {
        matches!(self.grade, Check::Python(_))
    }
}

/// Why a probe set cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("probes/{file}, line {line}")]
pub struct ProbeSetError {
    file: String,
    line: usize,
    #[source]
    source: serde_json::Error,
}

/// Probes and what they are called together.
#[derive(Clone, Debug)]
pub struct ProbeSet {
    /// By topic, each topic in the order of its file.
    pub probes: Vec<Probe>,
    /// Changes whenever a probe does; lower-case hexadecimal digits.
    pub checksum: String,
}

impl ProbeSet {
    /// Reads the probes inside the program.
    ///
    /// # Errors
    /// A line is no probe; a test keeps that from being shipped.
    pub fn embedded() -> Result<Self, ProbeSetError> {
        let mut names: Vec<String> =
            Files::iter().map(Cow::into_owned).filter(|name| name.ends_with(".jsonl")).collect();
        names.sort();
        let (mut probes, mut all) = (Vec::new(), Vec::new());
        for name in names {
            let bytes = Files::get(&name).map(|file| file.data).unwrap_or_default();
            let lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
            for (index, line) in lines {
                let read = serde_json::from_slice(line);
                probes.push(read.map_err(|source| ProbeSetError { file: name.clone(), line: index + 1, source })?);
            }
            all.extend_from_slice(&bytes);
        }
        Ok(Self { probes, checksum: sha256(&all) })
    }

    /// Returns at most so many probes, the same from every topic and level as far as they go.
    pub fn balanced(&self, most: usize) -> Vec<&Probe> {
        let mut places: BTreeMap<(&str, Level), usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, &Probe)> = Vec::with_capacity(self.probes.len());
        for probe in &self.probes {
            let place = places.entry((&probe.topic, probe.level)).or_default();
            ranked.push((*place, probe));
            *place += 1;
        }
        ranked.sort_by_key(|(place, _)| *place);
        ranked.into_iter().take(most).map(|(_, probe)| probe).collect()
    }

    /// Returns the topics in order.
    pub fn topics(&self) -> BTreeSet<Arc<str>> {
        self.probes.iter().map(|probe| Arc::clone(&probe.topic)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn hundreds_of_probes_are_spread_over_topics_and_levels() {
        let set = ProbeSet::embedded().unwrap();

        assert!(set.probes.len() >= 300, "{}", set.probes.len());
        let ids: HashSet<_> = set.probes.iter().map(|probe| &probe.id).collect();
        let prompts: HashSet<_> = set.probes.iter().map(|probe| &probe.prompt).collect();
        assert_eq!((ids.len(), prompts.len()), (set.probes.len(), set.probes.len()));
        let mut cells: BTreeMap<(&str, Level), usize> = BTreeMap::new();
        set.probes.iter().for_each(|probe| *cells.entry((&probe.topic, probe.level)).or_default() += 1);
        assert_eq!(cells.len(), 3 * set.topics().len(), "every topic has every level");
        assert!(cells.values().all(|count| *count >= 8), "{cells:?}");
    }

    #[test]
    fn a_part_of_the_set_is_as_balanced_as_the_whole() {
        let set = ProbeSet::embedded().unwrap();

        let part = set.balanced(54);

        let mut cells: BTreeMap<(&str, Level), usize> = BTreeMap::new();
        part.iter().for_each(|probe| *cells.entry((&probe.topic, probe.level)).or_default() += 1);
        assert!(cells.len() == 27 && cells.values().all(|count| *count == 2), "{cells:?}");
        assert_eq!(set.balanced(10_000).len(), set.probes.len());
    }

    #[test]
    fn every_check_accepts_its_good_answer_also_when_it_is_wrapped() {
        for probe in ProbeSet::embedded().unwrap().probes {
            let good = probe.good_answer();
            let Some(verdict) = probe.grade.accepts(&good) else { continue };
            assert!(verdict, "{}: {good:?}", probe.id);
            let wrapped = match &probe.grade {
                Check::Number(_) => format!("First I look at 3 and 14.\n\nThe answer is **{good}**."),
                Check::Text(_) => {
                    format!("Let me think about this step by step, which takes many words in total.\n\nAnswer: {good}")
                }
                Check::Json(_) | Check::Output(_) => format!("Here it is:\n\n```\n{good}\n```\n"),
                Check::Rules(_) | Check::Python(_) => format!("\n{good}\n"),
            };
            assert_eq!(probe.grade.accepts(&wrapped), Some(true), "{}: {wrapped:?}", probe.id);
        }
    }

    #[test]
    fn every_check_refuses_bad_answers() {
        for probe in ProbeSet::embedded().unwrap().probes {
            for bad in ["", probe.bad_answer()] {
                assert_ne!(probe.grade.accepts(bad), Some(true), "{}: {bad:?}", probe.id);
            }
        }
    }

    #[test]
    fn the_right_answer_to_another_probe_is_wrong() {
        let probes = ProbeSet::embedded().unwrap().probes;

        for topic in ["arithmetic", "word_problems", "extraction", "knowledge", "instructions"] {
            let of_topic: Vec<&Probe> = probes.iter().filter(|probe| &*probe.topic == topic).collect();
            let accepted = of_topic.iter().zip(of_topic.iter().skip(1));
            let accepted = accepted.filter(|(probe, other)| probe.grade.accepts(&other.good_answer()) == Some(true));
            assert!(accepted.count() * 10 <= of_topic.len(), "{topic}");
        }
    }
}
