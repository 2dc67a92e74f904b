//! Whether a new artifact may replace the one in use.
//!
//! Both choose a model for the same prompts, which neither was trained on, at several weights of cost; a prompt's value is the
//! quality that came of the choice less the weighted cost, averaged over the weights. The difference of the two is resampled over
//! prompts, pairs kept together (paired bootstrap), and sets count alike whatever their size.

use std::{collections::HashMap, path::Path};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    LearningError, Progress,
    data::{Record, Set},
    evaluate::{bootstrap::Resamples, forecast::Subject, parts::Seen},
};
use crate::domain::Scores;

/// How much quality the difference between the cheapest and the dearest model may cost: from nothing to nearly all.
const WEIGHTS: [f64; 5] = [0.0, 0.05, 0.1, 0.2, 0.4];
const ROUNDS: usize = 2_000;
const SEED: u64 = 7;
/// Fewer prompts of a set say nothing.
const LEAST_PROMPTS: usize = 50;
/// Worse in more resamples than this means worse: three to one.
const WORSE: f64 = 0.75;

/// One set's part of the comparison.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Trial {
    /// The set.
    pub set: String,
    /// Prompts that neither was trained on.
    pub prompts: usize,
    /// Mean value by the artifact in use, in points.
    pub in_use: f64,
    /// Mean value by the candidate, in points.
    pub candidate: f64,
}

/// The candidate beside the artifact in use.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// By set.
    pub trials: Vec<Trial>,
    /// Mean difference over the sets, candidate less in use, in points, with its 95 % interval.
    pub difference: (f64, f64, f64),
    /// Share of the resamples in which the candidate is worse.
    pub worse: f64,
    /// Models that only the artifact in use has a profile of.
    pub lost: Vec<String>,
}

impl Comparison {
    /// Returns whether the candidate is worse: in more than three of four resamples. Where nothing can be compared it is not
    /// known to be better, and counts as worse.
    pub fn is_worse(&self) -> bool {
        self.trials.is_empty() || self.worse > WORSE
    }

    fn of(values: &[Values]) -> Self {
        let mean = |values: &[f64], weights: Option<&[f32]>| {
            let weight = |index: usize| weights.and_then(|weights| weights.get(index)).map_or(1.0, |w| f64::from(*w));
            let total: f64 = (0..values.len()).map(weight).sum();
            100.0 * values.iter().enumerate().map(|(index, value)| value * weight(index)).sum::<f64>() / total.max(1.0)
        };
        let trials = values.iter().map(|set| Trial {
            set: set.name.clone(),
            prompts: set.in_use.len(),
            in_use: mean(&set.in_use, None),
            candidate: mean(&set.candidate, None),
        });
        let trials: Vec<Trial> = trials.collect();
        let count = values.len().max(1) as f64;
        let mut rounds = vec![0.0; ROUNDS];
        for set in values {
            let differences: Vec<f64> = set.candidate.iter().zip(&set.in_use).map(|(new, old)| new - old).collect();
            let resamples = Resamples::draw(&vec![1.0; differences.len()], ROUNDS, SEED);
            let means = resamples.measure(|weights| mean(&differences, Some(weights)));
            rounds.iter_mut().zip(means).for_each(|(sum, mean)| *sum += mean / count);
        }
        let worse = rounds.iter().filter(|difference| **difference < 0.0).count() as f64 / ROUNDS as f64;
        rounds.sort_by(f64::total_cmp);
        let at = |share: f64| rounds.get((share * (ROUNDS - 1) as f64) as usize).copied().unwrap_or(0.0);
        let difference = trials.iter().map(|trial| trial.candidate - trial.in_use).sum::<f64>() / count;
        Self { trials, difference: (difference, at(0.025), at(0.975)), worse, lost: Vec::new() }
    }
}

/// What came of every prompt of a set.
struct Values {
    name: String,
    in_use: Vec<f64>,
    candidate: Vec<f64>,
}

/// Compares two artifacts on what was held back.
///
/// # Errors
/// A list of seen prompts is missing, or a graph fails.
pub fn compare(
    sets: &[Set],
    candidate: &mut Subject<'_>,
    in_use: &mut Subject<'_>,
    progress: &dyn Progress,
) -> Result<Comparison, LearningError> {
    let seen = (candidate.artifact.seen()?, in_use.artifact.seen()?);
    progress.begin("comparing", sets.len() as u64);
    let mut values = Vec::new();
    for set in sets {
        let models = shared_models(set, (candidate, in_use));
        let seen = (Seen::new(set, &seen.0), Seen::new(set, &seen.1));
        let is_fresh = |record: &&Record| {
            let prompt = &record.prompt;
            !seen.0.has(prompt) && !seen.1.has(prompt)
        };
        let fresh: Vec<&Record> = set.records.iter().filter(is_fresh).collect();
        if models.len() >= 2 && fresh.len() >= LEAST_PROMPTS {
            let case = Case::of(set, models);
            let (new, old) = (case.values(&fresh, candidate)?, case.values(&fresh, in_use)?);
            values.push(Values { name: set.meta.name.clone(), in_use: old, candidate: new });
        }
        progress.step();
    }
    let has =
        |subject: &Subject<'_>, name: &str| subject.artifact.profiles.profiles.iter().any(|one| *one.name == *name);
    let known = in_use.artifact.profiles.profiles.iter().map(|profile| profile.name.to_string());
    let lost = known.filter(|name| !has(candidate, name)).collect();
    Ok(Comparison { lost, ..Comparison::of(&values) })
}

/// Copies the artifact in `from` to the folder that a gateway uses, in one step: whoever opens it finds the old or the new one,
/// whole. The old one stays beside it as `<name>.previous`.
///
/// # Errors
/// The copy cannot be written or moved.
pub fn install(from: &Path, to: &Path) -> Result<(), LearningError> {
    let beside = |suffix: &str| to.with_file_name(format!("{}.{suffix}", file_name(to)));
    let (next, previous) = (beside("next"), beside("previous"));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LearningError::Unwritable { path, source }
    };
    remove(&next).map_err(failed(&next))?;
    copy(from, &next).map_err(failed(&next))?;
    if !to.exists() {
        return std::fs::rename(&next, to).map_err(failed(to));
    }
    exchange(&next, to).map_err(failed(to))?;
    remove(&previous).map_err(failed(&previous))?;
    std::fs::rename(&next, &previous).map_err(failed(&previous))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (entry, place) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if entry.is_dir() {
            copy(&entry, &place)?;
        } else {
            std::fs::copy(entry, place)?;
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> std::io::Result<()> {
    if folder.exists() { std::fs::remove_dir_all(folder) } else { Ok(()) }
}

/// Swaps two folders; where the file system cannot in one step, in three that a running gateway does not notice.
fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    if renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    let aside = one.with_extension("aside");
    std::fs::rename(other, &aside)?;
    std::fs::rename(one, other)?;
    std::fs::rename(aside, one)
}

/// Returns column and name of the models that both artifacts have a profile of.
fn shared_models(set: &Set, (one, other): (&Subject<'_>, &Subject<'_>)) -> Vec<(usize, String)> {
    let has =
        |subject: &Subject<'_>, name: &str| subject.artifact.profiles.profiles.iter().any(|one| *one.name == *name);
    let names = set.meta.models.iter().map(|model| model.name()).enumerate();
    names.filter(|(_, name)| has(one, name) && has(other, name)).collect()
}

/// A set's models with their mean costs, as a share of the dearest one's.
struct Case {
    models: Vec<(usize, String)>,
    cost: HashMap<usize, f64>,
}

impl Case {
    fn of(set: &Set, models: Vec<(usize, String)>) -> Self {
        let mean = |column: usize| {
            let costs: Vec<f64> = set.records.iter().filter_map(|record| *record.cost.get(column)?).collect();
            costs.iter().sum::<f64>() / costs.len().max(1) as f64
        };
        let cost: HashMap<usize, f64> = models.iter().map(|(column, _)| (*column, mean(*column))).collect();
        let dearest = cost.values().copied().fold(f64::MIN_POSITIVE, f64::max);
        Self { models, cost: cost.into_iter().map(|(column, cost)| (column, cost / dearest)).collect() }
    }

    fn values(&self, records: &[&Record], subject: &mut Subject<'_>) -> Result<Vec<f64>, LearningError> {
        let mut values = Vec::with_capacity(records.len());
        for record in records {
            values.push(self.value(record, &subject.score(&record.prompt)?));
        }
        Ok(values)
    }

    /// Averages over the weights what came of the choice; models that did not run cannot be chosen.
    fn value(&self, record: &Record, scores: &Scores) -> f64 {
        let ran = |column: usize| record.score.get(column).copied().flatten();
        let cost = |column: usize| self.cost.get(&column).copied().unwrap_or(0.0);
        let quality = |name: &str| scores.quality.get(name).map_or(0.0, |quality| quality.mean.value());
        let realised = WEIGHTS.map(|weight| {
            let choices = self.models.iter().filter_map(|(column, name)| {
                let score = ran(*column)?;
                Some((quality(name) - weight * cost(*column), score - weight * cost(*column)))
            });
            choices.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |(_, realised)| realised)
        });
        realised.iter().sum::<f64>() / WEIGHTS.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str, in_use: impl Fn(usize) -> f64, candidate: impl Fn(usize) -> f64) -> Values {
        let row = |of: &dyn Fn(usize) -> f64| (0..400).map(of).collect();
        Values { name: name.to_owned(), in_use: row(&in_use), candidate: row(&candidate) }
    }

    fn even(index: usize) -> f64 {
        f64::from(u8::from(index.is_multiple_of(2)))
    }

    #[test]
    fn an_artifact_is_not_worse_than_itself() {
        let same = Comparison::of(&[values("one", even, even)]);

        assert!(!same.is_worse(), "{same:?}");
        assert_eq!(same.difference, (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_candidate_that_fails_where_the_other_did_not_is_worse() {
        let fails_some = |index: usize| if index.is_multiple_of(8) { 0.0 } else { even(index) };

        let found = Comparison::of(&[values("one", even, fails_some), values("two", even, even)]);

        assert!(found.is_worse(), "{found:?}");
        assert!((found.difference.0 + 6.25).abs() < 1e-9 && found.difference.2 < 0.0, "{found:?}");
    }

    #[test]
    fn small_sets_weigh_as_much_as_large_ones() {
        let better = values("one", even, |_| 1.0);
        let mut worse = values("two", |_| 1.0, even);
        worse.in_use.truncate(60);
        worse.candidate.truncate(60);

        let found = Comparison::of(&[better, worse]);

        assert!(found.difference.0.abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn an_installed_artifact_replaces_the_one_in_use_which_stays_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("mine-v2"), folder.path().join("in-use"));
        let write = |folder: &Path, text: &str| {
            std::fs::create_dir_all(folder.join("plots")).unwrap();
            std::fs::write(folder.join("router.yaml"), text).unwrap();
            std::fs::write(folder.join("plots/one.svg"), text).unwrap();
        };
        let read = |folder: &Path| std::fs::read_to_string(folder.join("router.yaml")).unwrap();
        write(&from, "second");
        write(&to, "first");

        install(&from, &to).unwrap();
        let after_one = (read(&to), read(&folder.path().join("in-use.previous")));
        write(&from, "third");
        install(&from, &to).unwrap();

        assert_eq!(after_one, ("second".to_owned(), "first".to_owned()));
        assert_eq!(
            (read(&to), read(&folder.path().join("in-use.previous"))),
            ("third".to_owned(), "second".to_owned())
        );
        assert_eq!(read(&from), "third");
        assert!(to.join("plots/one.svg").exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn without_prompts_to_compare_nothing_is_promoted() {
        assert!(Comparison::of(&[]).is_worse());
    }
}
