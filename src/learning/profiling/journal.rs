//! The file of a run: a line that says what it is of, then a line for each graded answer, written as it comes.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Answered, ProfilingError};
use crate::{domain::NanoUsd, learning::probes::Probe};

/// A graded answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradedProbe {
    /// The probe.
    pub probe: Arc<str>,
    /// Quality in `[0, 1]`.
    pub score: f64,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// What it cost.
    pub cost: NanoUsd,
    /// What was said, to look at.
    pub answer: String,
}

impl GradedProbe {
    /// Returns the grade of an answer.
    pub(super) fn of(probe: &Probe, answered: &Answered, is_good: bool) -> Self {
        Self {
            probe: Arc::clone(&probe.id),
            score: f64::from(u8::from(is_good)),
            input_tokens: answered.usage.input.0,
            output_tokens: answered.usage.output.0,
            cost: answered.cost,
            answer: answered.text.clone(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    run: String,
}

/// The file, open for more.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    graded: HashMap<Arc<str>, GradedProbe>,
}

impl Journal {
    /// Opens the file of a run, or begins it. `run` says what is asked of whom; a line that was cut short is dropped.
    ///
    /// # Errors
    /// It cannot be used, or holds another run.
    pub fn open(path: &Path, run: &str) -> Result<Self, ProfilingError> {
        let fails = |source| ProfilingError::Journal { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(fails(error)),
        };
        let whole = text.rfind('\n').and_then(|end| text.get(..=end)).unwrap_or_default();
        let mut lines = whole.lines();
        let graded = match lines.next() {
            Some(first) => {
                check_run(path, first, run)?;
                let read: Result<Vec<GradedProbe>, _> = lines.map(serde_json::from_str).collect();
                read.map_err(|error| fails(error.into()))?
            }
            None => Vec::new(),
        };
        let file = reopen(path, whole, run).map_err(fails)?;
        let graded = graded.into_iter().map(|graded| (Arc::clone(&graded.probe), graded)).collect();
        Ok(Self { path: path.to_owned(), file, graded })
    }

    /// Returns whether a probe was graded.
    pub fn has(&self, probe: &Probe) -> bool {
        self.graded.contains_key(&probe.id)
    }

    /// Returns the grade of a probe.
    pub fn of(&self, probe: &Probe) -> Option<&GradedProbe> {
        self.graded.get(&probe.id)
    }

    /// Returns every graded answer, in no order.
    pub fn graded(&self) -> Vec<&GradedProbe> {
        self.graded.values().collect()
    }

    /// Returns what the answers cost.
    pub fn cost(&self) -> NanoUsd {
        self.graded.values().map(|graded| graded.cost).sum()
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a grade down, at once.
    pub(super) fn keep(&mut self, graded: &GradedProbe) -> Result<(), ProfilingError> {
        let fails = |source: io::Error| ProfilingError::Journal { path: self.path.clone(), source };
        let line = serde_json::to_string(graded).map_err(|error| fails(error.into()))?;
        writeln!(self.file, "{line}").map_err(fails)?;
        self.graded.insert(Arc::clone(&graded.probe), graded.clone());
        Ok(())
    }

    /// Puts the file of a run that is done aside, so that the next run begins anew; returns where.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn finish(self) -> Result<PathBuf, ProfilingError> {
        let done = self.path.with_extension("done.jsonl");
        fs::rename(&self.path, &done).map_err(|source| ProfilingError::Journal { path: self.path, source })?;
        Ok(done)
    }
}

fn check_run(path: &Path, first: &str, run: &str) -> Result<(), ProfilingError> {
    let header: Header = serde_json::from_str(first)
        .map_err(|error| ProfilingError::Journal { path: path.to_owned(), source: error.into() })?;
    if header.run == run {
        return Ok(());
    }
    Err(ProfilingError::OtherRun { path: path.to_owned(), was: header.run, is: run.to_owned() })
}

/// Opens for appending after what is whole.
fn reopen(path: &Path, whole: &str, run: &str) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.set_len(whole.len() as u64)?;
    if whole.is_empty() {
        writeln!(file, "{}", serde_json::to_string(&Header { run: run.to_owned() })?)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graded(probe: &str) -> GradedProbe {
        let answer = "a\nb".to_owned();
        GradedProbe { probe: probe.into(), score: 1.0, input_tokens: 3, output_tokens: 4, cost: NanoUsd(5), answer }
    }

    #[test]
    fn a_run_that_was_stopped_in_the_middle_of_a_line_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/run.jsonl");
        let mut journal = Journal::open(&path, "one").unwrap();
        journal.keep(&graded("a")).unwrap();
        journal.keep(&graded("b")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();

        let mut resumed = Journal::open(&path, "one").unwrap();
        assert_eq!(resumed.graded(), [&graded("a")]);
        resumed.keep(&graded("b")).unwrap();
        assert_eq!(Journal::open(&path, "one").unwrap().cost(), NanoUsd(10));

        let done = resumed.finish().unwrap();
        assert!(done.exists() && Journal::open(&path, "one").unwrap().graded().is_empty());
    }

    #[test]
    fn another_run_is_not_mixed_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        drop(Journal::open(&path, "one").unwrap());

        let error = Journal::open(&path, "another").unwrap_err();

        assert!(matches!(&error, ProfilingError::OtherRun { .. }) && error.to_string().contains("--fresh"), "{error}");
    }
}
