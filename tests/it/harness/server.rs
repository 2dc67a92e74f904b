//! The real program, with its own data folder and its own ports.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    PATIENCE, Request, Response, Setup,
    ledger::{self, Booked},
    soon,
};

/// Where the ledger lies in a server's folder.
pub(crate) const LEDGER: &str = "data/ledger.sqlite";

/// A running program. Dropping it kills the process.
pub(crate) struct Server {
    process: Child,
    folder: TempDir,
    public: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts the program and waits until it is ready.
    pub(crate) async fn start(setup: Setup) -> Self {
        let server = Self::start_unready(setup).await;
        server.until_ready().await;
        server
    }

    /// Starts the program and waits until it listens.
    pub(crate) async fn start_unready(setup: Setup) -> Self {
        let folder = lay_out(&setup);
        Self::start_in(folder, &setup).await
    }

    /// Starts the program again in the folder of an earlier one, which has ended.
    pub(crate) async fn start_in(folder: TempDir, setup: &Setup) -> Self {
        let mut process = command(folder.path(), setup)
            .args(["serve", "--config"])
            .arg(folder.path().join("pointsman.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = collect_log(&mut process);
        let stdout = process.stdout.take().expect("stdout is piped");
        let banner = tokio::task::spawn_blocking(move || addresses(BufReader::new(stdout)));
        let addresses = soon("the start banner", banner).await.expect("the banner can be read");
        let Some((public, admin)) = addresses else {
            drop(process.wait());
            panic!("the program did not say where it listens:\n{}", log.lock());
        };
        Self { process, folder, public, admin, log }
    }

    /// Waits until `/readyz` says 200.
    pub(crate) async fn until_ready(&self) {
        soon("readiness", async {
            while self.admin("GET", "/readyz").send().await.status != 200 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Returns where the public listener is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.public
    }

    /// Returns a request to the public listener.
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.public, method, path)
    }

    /// Returns a request to the admin listener.
    pub(crate) fn admin(&self, method: &str, path: &str) -> Request {
        Request::new(self.admin, method, path)
    }

    /// Returns a chat request.
    pub(crate) fn chat(&self, body: &Value) -> Request {
        self.request("POST", "/v1/chat/completions").json(body)
    }

    /// Sends a chat request.
    pub(crate) async fn ask(&self, body: &Value) -> Response {
        self.chat(body).send().await
    }

    /// Returns `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        self.admin("GET", "/metrics").send().await.text().await
    }

    /// Returns the sum over the series of a metric whose labels hold all of `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.metrics().await;
        let is_wanted = |line: &&str| {
            let series = line.split(' ').next().unwrap_or_default();
            series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label))
        };
        text.lines().filter(is_wanted).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until a metric is as `condition` wants it.
    pub(crate) async fn until_metric(&self, name: &str, labels: &[&str], condition: impl Fn(f64) -> bool) {
        soon(&format!("the wanted value of {name}{labels:?}"), async {
            while !condition(self.metric(name, labels).await) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Returns the folder with the configuration, the policies and the data.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until the ledger holds `count` requests and returns them.
    pub(crate) async fn until_booked(&self, count: usize) -> Vec<Booked> {
        let file = self.folder().join(LEDGER);
        soon(&format!("{count} requests in the ledger"), async {
            loop {
                let records = ledger::read(&file);
                if records.len() >= count {
                    return records;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Sends a signal, for instance `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.process.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Returns the memory that the program holds.
    #[cfg(feature = "local")]
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kibibytes") << 10
    }

    /// Waits for the end of the program; returns how it ended, its log, and its folder.
    pub(crate) async fn end(mut self) -> (ExitStatus, String, TempDir) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.process.try_wait().expect("the process can be waited for") {
                break status;
            }
            assert!(tokio::time::Instant::now() < deadline, "the program did not end:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let folder = std::mem::replace(&mut self.folder, TempDir::new().expect("a folder"));
        (status, self.log(), folder)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        if std::thread::panicking() {
            eprintln!("--- log of the program ---\n{}", self.log());
        }
    }
}

/// Runs a subcommand to its end, in a folder laid out by `setup`.
pub(crate) fn run(setup: &Setup, arguments: &[&str]) -> Output {
    let folder = lay_out(setup);
    run_in(folder.path(), setup, arguments)
}

/// Runs a subcommand to its end in a folder that is there already.
pub(crate) fn run_in(folder: &Path, setup: &Setup, arguments: &[&str]) -> Output {
    command(folder, setup).args(arguments).stdin(Stdio::null()).output().expect("the program runs")
}

/// Writes the configuration and the policies into a fresh folder.
pub(crate) fn lay_out(setup: &Setup) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    fs::create_dir(folder.path().join("policies")).expect("a folder");
    fs::write(folder.path().join("pointsman.yaml"), setup.config.to_string()).expect("a file");
    for (name, document) in &setup.policies {
        fs::write(folder.path().join(format!("policies/{name}.yaml")), document).expect("a file");
    }
    folder
}

fn command(folder: &Path, setup: &Setup) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.current_dir(folder).env_clear().env("HOME", folder);
    command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
    command
}

fn addresses(mut stdout: BufReader<std::process::ChildStdout>) -> Option<(SocketAddr, SocketAddr)> {
    let (mut public, mut admin) = (None, None);
    let mut line = String::new();
    while public.is_none() || admin.is_none() {
        line.clear();
        if stdout.read_line(&mut line).ok()? == 0 {
            return None;
        }
        public = public.or_else(|| address_after("listening on http://", &line));
        admin = admin.or_else(|| address_after("admin on http://", &line));
    }
    // Whoever stops reading would block the program at its next line.
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    Some((public?, admin?))
}

fn address_after(words: &str, line: &str) -> Option<SocketAddr> {
    let rest = line.split_once(words)?.1;
    rest.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).next()?.parse().ok()
}

fn collect_log(process: &mut Child) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let stderr = BufReader::new(process.stderr.take().expect("stderr is piped"));
    let shared = log.clone();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let mut log = shared.lock();
            log.push_str(&line);
            log.push('\n');
        }
    });
    log
}
