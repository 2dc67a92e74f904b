//! Asking the probes.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use super::{GradedProbe, Journal, ProfilingError};
use crate::{
    domain::{NanoUsd, Usage},
    learning::probes::{Check, Probe, Sandbox, SandboxError},
};

/// Who is asked.
#[async_trait]
pub trait Subject: Sync {
    /// Asks one prompt in a conversation of its own.
    ///
    /// # Errors
    /// There is no answer.
    async fn answer(&self, prompt: &str) -> Result<Answered, AskError>;
}

/// An answer and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The text.
    pub text: String,
    /// Tokens.
    pub usage: Usage,
    /// What it cost.
    pub cost: NanoUsd,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AskError {
    /// A sentence.
    pub message: String,
    /// Whether asking again can help.
    pub is_retryable: bool,
    /// How long to wait before; `None` where nobody said.
    pub retry_after: Option<Duration>,
}

/// How to ask.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// Prompts in flight at once, at least 1.
    pub concurrency: usize,
    /// Tries for one prompt, the first included.
    pub attempts: u32,
    /// First pause between tries; doubles each time.
    pub pause: Duration,
    /// Longest pause, also where the provider asks for a longer one.
    pub longest_pause: Duration,
    /// Failed prompts in a row that end the run: then it is not the prompts.
    pub failures: usize,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            concurrency: 4,
            attempts: 6,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            failures: 8,
        }
    }
}

/// Asks the probes that the journal does not have yet, and calls `told` after each with its grade, or with why there is none.
/// Probes that stay without an answer are left out; the journal then lacks them.
///
/// # Errors
/// The subject answers nothing at all, code cannot be run, or the journal cannot be written.
///
/// # Cancel safety
/// Dropping the future stops the run; what was graded is in the journal.
pub async fn ask_all(
    subject: &dyn Subject,
    (probes, sandbox): (&[&Probe], Option<&Sandbox>),
    settings: &RunSettings,
    journal: &mut Journal,
    mut told: impl FnMut(Result<&GradedProbe, &AskError>),
) -> Result<(), ProfilingError> {
    let open: Vec<&&Probe> = probes.iter().filter(|probe| !journal.has(probe)).collect();
    let asked = open.into_iter().map(|probe| ask_one(subject, probe, sandbox, settings));
    let mut answers = stream::iter(asked).buffer_unordered(settings.concurrency.max(1));
    let mut failed = 0;
    while let Some(answer) = answers.next().await {
        match answer? {
            Ok(graded) => {
                failed = 0;
                journal.keep(&graded)?;
                told(Ok(&graded));
            }
            Err(error) => {
                failed += 1;
                told(Err(&error));
                if failed >= settings.failures {
                    return Err(ProfilingError::Unanswered { failed, last: error.message });
                }
            }
        }
    }
    Ok(())
}

async fn ask_one(
    subject: &dyn Subject,
    probe: &Probe,
    sandbox: Option<&Sandbox>,
    settings: &RunSettings,
) -> Result<Result<GradedProbe, AskError>, SandboxError> {
    let answered = match ask_patiently(subject, &probe.prompt, settings).await {
        Ok(answered) => answered,
        Err(error) => return Ok(Err(error)),
    };
    let is_good = is_good(probe, &answered.text, sandbox).await?;
    Ok(Ok(GradedProbe::of(probe, &answered, is_good)))
}

async fn ask_patiently(subject: &dyn Subject, prompt: &str, settings: &RunSettings) -> Result<Answered, AskError> {
    let mut pause = settings.pause;
    for _ in 1..settings.attempts {
        match subject.answer(prompt).await {
            Err(error) if error.is_retryable => {
                sleep(error.retry_after.unwrap_or(pause).min(settings.longest_pause)).await;
                pause = pause.saturating_mul(2);
            }
            outcome => return outcome,
        }
    }
    subject.answer(prompt).await
}

/// Without a sandbox, code is not asked for; see [`Probe::runs_code`].
async fn is_good(probe: &Probe, answer: &str, sandbox: Option<&Sandbox>) -> Result<bool, SandboxError> {
    match (&probe.grade, sandbox) {
        (Check::Python(tests), Some(sandbox)) => sandbox.passes(answer, tests).await,
        (check, _) => Ok(check.accepts(answer).unwrap_or(false)),
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::{domain::Tokens, learning::probes::ProbeSet};

    /// Answers what `play` says of the prompt and of how often it was asked.
    struct Scripted<F>(Mutex<Vec<String>>, F);

    #[async_trait]
    impl<F: Fn(&str, usize) -> Result<String, AskError> + Sync> Subject for Scripted<F> {
        async fn answer(&self, prompt: &str) -> Result<Answered, AskError> {
            let times = {
                let mut asked = self.0.lock();
                asked.push(prompt.to_owned());
                asked.iter().filter(|one| *one == prompt).count()
            };
            let usage = Usage { input: Tokens(10), output: Tokens(5), ..Usage::default() };
            (self.1)(prompt, times).map(|text| Answered { text, usage, cost: NanoUsd(7) })
        }
    }

    fn subject<F: Fn(&str, usize) -> Result<String, AskError>>(play: F) -> Scripted<F> {
        Scripted(Mutex::default(), play)
    }

    fn busy(seconds: u64) -> AskError {
        let retry_after = Some(Duration::from_secs(seconds));
        AskError { message: "Too many requests.".to_owned(), is_retryable: true, retry_after }
    }

    fn journal(folder: &tempfile::TempDir) -> Journal {
        Journal::open(&folder.path().join("run.jsonl"), "a test").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_graded_and_kept_and_not_asked_for_again() {
        let (folder, set) = (tempfile::tempdir().unwrap(), ProbeSet::embedded().unwrap());
        let probes: Vec<&Probe> = set.probes.iter().filter(|probe| !probe.runs_code()).take(60).collect();
        let good = |prompt: &str| probes.iter().find(|probe| probe.prompt == prompt).unwrap().good_answer();
        let knows = subject(|prompt, _| Ok(if prompt.len() % 2 == 0 { good(prompt) } else { "No idea.".to_owned() }));
        let settings = RunSettings::default();

        ask_all(&knows, (&probes[..20], None), &settings, &mut journal(&folder), |_| {}).await.unwrap();
        let mut again = journal(&folder);
        ask_all(&knows, (&probes, None), &settings, &mut again, |_| {}).await.unwrap();

        assert_eq!(knows.0.lock().len(), 60, "each probe is asked once");
        assert_eq!(again.graded().len(), 60);
        for graded in again.graded() {
            let probe = probes.iter().find(|probe| probe.id == graded.probe).unwrap();
            assert_eq!(graded.score, f64::from(u8::from(probe.prompt.len() % 2 == 0)), "{}", probe.id);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_provider_is_asked_again_when_it_said() {
        let (folder, set) = (tempfile::tempdir().unwrap(), ProbeSet::embedded().unwrap());
        let probes: Vec<&Probe> = set.probes.iter().take(1).collect();
        let busy_twice = subject(|_, times| if times < 3 { Err(busy(30)) } else { Ok("1".to_owned()) });
        let start = tokio::time::Instant::now();

        let mut journal = journal(&folder);
        ask_all(&busy_twice, (&probes, None), &RunSettings::default(), &mut journal, |_| {}).await.unwrap();

        assert_eq!((start.elapsed().as_secs(), journal.graded().len()), (60, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_answered_is_not_graded() {
        let (folder, set) = (tempfile::tempdir().unwrap(), ProbeSet::embedded().unwrap());
        let probes: Vec<&Probe> = set.probes.iter().take(30).collect();
        let refuses_some = subject(|prompt, _| match prompt.len() % 3 {
            0 => Err(AskError { message: "Filtered.".to_owned(), is_retryable: false, retry_after: None }),
            _ => Ok("no".to_owned()),
        });
        let refused = probes.iter().filter(|probe| probe.prompt.len() % 3 == 0).count();
        let settings = RunSettings { concurrency: 1, failures: 30, ..RunSettings::default() };

        let (mut journal, mut failures) = (journal(&folder), 0);
        let told = |outcome: Result<&GradedProbe, &AskError>| failures += usize::from(outcome.is_err());
        ask_all(&refuses_some, (&probes, None), &settings, &mut journal, told).await.unwrap();

        assert_eq!((failures, journal.graded().len()), (refused, 30 - refused));
    }

    #[tokio::test(start_paused = true)]
    async fn a_subject_that_never_answers_ends_the_run() {
        let (folder, set) = (tempfile::tempdir().unwrap(), ProbeSet::embedded().unwrap());
        let probes: Vec<&Probe> = set.probes.iter().collect();
        let down = subject(|_, _| Err(busy(1)));

        let outcome = ask_all(&down, (&probes, None), &RunSettings::default(), &mut journal(&folder), |_| {}).await;

        assert!(matches!(outcome, Err(ProfilingError::Unanswered { failed: 8, .. })), "{outcome:?}");
        assert!(down.0.lock().len() < 100);
    }
}
