//! Running the Python code of an answer against tests.
//!
//! The code runs in a process of its own: `python3 -I -S` in an empty folder, with an empty environment, at most five seconds of
//! processor time and ten of any time, 512 MiB of memory and files of 1 MiB; an audit hook refuses sockets, processes, writing
//! and reading elsewhere. That stops accidents and careless code. It is no wall against code that is written to break out,
//! which is why no code runs unless the person at the command line allowed it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::domain::final_answer::{fenced, without_thoughts};

/// Of any time; the process is killed after it.
const LIMIT: Duration = Duration::from_secs(10);

/// Between two looks at a process that runs.
const LOOK: Duration = Duration::from_millis(10);

/// What the process runs: it limits itself, then runs the answer and the tests.
const RUNNER: &str = include_str!("sandbox.py");

/// Why code cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// There is no interpreter.
    #[error("python3 does not run; install it, or leave out --allow-code")]
    NoPython(#[source] io::Error),
    /// The folder for the code cannot be used.
    #[error("cannot use {path} to run code in")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A place where answers' code may run.
#[derive(Clone, Debug)]
pub struct Sandbox {
    base: PathBuf,
}

impl Sandbox {
    /// Returns a sandbox in the system's folder for temporary files, once an interpreter was found.
    ///
    /// # Errors
    /// `python3` does not run.
    pub fn open() -> Result<Self, SandboxError> {
        let mut version = Command::new("python3");
        version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        version.status().map_err(SandboxError::NoPython)?;
        Ok(Self { base: std::env::temp_dir() })
    }

    /// Returns whether the code in an answer passes the tests.
    ///
    /// # Errors
    /// The code could not even be started.
    ///
    /// # Cancel safety
    /// Dropping the future kills the process.
    pub async fn passes(&self, answer: &str, tests: &str) -> Result<bool, SandboxError> {
        let word = Uuid::now_v7().simple().to_string();
        let place = Place::make(&self.base, answer, tests)?;
        let mut running = Running(start(&place.folder, &word)?);
        let is_good = running.end(LIMIT).await.is_some_and(|status| status.success());
        Ok(is_good && fs::read(place.folder.join(OUTPUT)).is_ok_and(|said| said.ends_with(word.as_bytes())))
    }
}

const OUTPUT: &str = "output";

/// A folder that goes with its value.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn make(base: &Path, answer: &str, tests: &str) -> Result<Self, SandboxError> {
        let place = Self { folder: base.join(format!("pointsman-{}", Uuid::now_v7().simple())) };
        let fails = |source| SandboxError::Folder { path: place.folder.clone(), source };
        fs::create_dir(&place.folder).map_err(fails)?;
        for (name, text) in [("run.py", RUNNER), ("answer.py", code_of(answer)), ("tests.py", tests)] {
            fs::write(place.folder.join(name), text).map_err(fails)?;
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::debug!(error = %error, "a folder for code was not removed");
        }
    }
}

/// A process that ends with its value.
struct Running(Child);

impl Running {
    /// Waits for the process; `None` when it did not end in time.
    async fn end(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            match self.0.try_wait() {
                Ok(None) => sleep(LOOK).await,
                ended => return ended.ok().flatten(),
            }
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        if self.0.kill().is_ok() {
            self.0.wait().ok();
        }
    }
}

fn start(folder: &Path, word: &str) -> Result<Child, SandboxError> {
    let output = File::create(folder.join(OUTPUT));
    let output = output.map_err(|source| SandboxError::Folder { path: folder.to_owned(), source })?;
    let mut command = Command::new("python3");
    // The name is looked up on the program's own path; the code gets an empty environment.
    command.args(["-I", "-S", "-B", "run.py", word]).current_dir(folder).env_clear();
    command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
    command.spawn().map_err(SandboxError::NoPython)
}

/// Returns the code of an answer: its last fenced block, or all of it.
fn code_of(answer: &str) -> &str {
    let answer = without_thoughts(answer);
    fenced(answer).unwrap_or(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::probes::{Check, ProbeSet};

    async fn passes(code: &str, tests: &str) -> bool {
        Sandbox::open().unwrap().passes(code, tests).await.unwrap()
    }

    #[tokio::test]
    async fn code_that_passes_its_tests_is_good() {
        for probe in ProbeSet::embedded().unwrap().probes {
            let Check::Python(tests) = &probe.grade else { continue };
            assert!(passes(&probe.good_answer(), tests).await, "{}", probe.id);
        }
    }

    #[tokio::test]
    async fn code_that_fails_ends_early_or_is_no_code_is_bad() {
        let tests = "assert f(1) == 2";

        for bad in [
            "```python\ndef f(x):\n    return x\n```",
            "```python\ndef f(x):\n    return y\n```",
            "```python\nimport os\nos._exit(0)\n```",
            "raise SystemExit(0)",
            "I cannot do that.",
            "",
        ] {
            assert!(!passes(bad, tests).await, "{bad}");
        }
        assert!(passes("Here:\n```python\ndef f(x):\n    print(x)\n    return x + 1\n```\nDone.", tests).await);
    }

    #[tokio::test]
    async fn code_that_reaches_out_is_stopped() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        let write = format!("open({:?}, 'w').write('x')", outside.path());
        let read = format!("open({:?}).read()", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));

        for bad in ["import subprocess\nsubprocess.run(['true'])", "import socket\nsocket.socket()", &write, &read] {
            assert!(!passes(bad, "").await, "{bad}");
        }
        assert!(passes("import math, re, collections, heapq, itertools", "assert math.gcd(4, 6) == 2").await);
    }

    #[tokio::test]
    async fn code_that_takes_too_much_is_stopped() {
        assert!(!passes("x = bytearray(1 << 30)", "").await);
        let mut running =
            Running(Command::new("python3").args(["-c", "input()"]).stdin(Stdio::piped()).spawn().unwrap());

        assert_eq!(running.end(Duration::ZERO).await, None);
    }
}
