//! From the document to [`Config`]: every reference resolved, every credential read, every fault told.

mod local;
mod models;
mod names;
mod together;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    thread,
};

use secrecy::SecretString;

use super::{
    document::{Document, EngineDocument, KeysRequired, LogFormatDocument, OutboundDocument},
    environment::{Environment, SecretError},
    fault::Report,
    path::Path,
    settings::*,
};
use crate::domain::{ModelName, PolicyName, TenantId};

/// What a document is compiled against.
pub(super) struct Compiler<'a, 'r> {
    /// The document.
    pub document: &'a Document,
    /// Where credentials come from.
    pub environment: &'a Environment,
    /// Where the document was read from.
    pub source: Option<PathBuf>,
    /// Names of the policies that can be referred to; `None` when they are not known.
    pub policies: Option<Vec<String>>,
    /// What is wrong.
    pub report: &'a mut Report<'r>,
}

impl Compiler<'_, '_> {
    /// Compiles the document. The result is only good when the report stayed empty.
    pub(super) fn config(mut self) -> Option<Config> {
        let data_dir = self.document.data_dir.as_ref().map(|path| self.place(path));
        let data_dir = data_dir.unwrap_or_else(|| self.environment.data_dir());
        let (models, asleep) = self.models();
        self.check_names();
        let server = self.server();
        let (admin, keys) = (self.admin(), self.keys(server.listen.ip().is_loopback(), &data_dir));
        let (default_policy, telemetry, resilience) = (self.default_policy(), self.telemetry(), self.resilience());
        Some(Config {
            server,
            admin,
            keys,
            models,
            asleep,
            aliases: self.resolved_aliases(),
            agreements: self.agreements(),
            catch_all: self.document.catch_all.clone(),
            default_policy: default_policy?,
            policies_dir: self.document.policies.as_ref().map(|path| self.place(path)),
            router: self.router(&data_dir),
            cache: CacheSettings {
                exact_bytes: self.document.cache.exact.0,
                semantic_bytes: self.document.cache.semantic.bytes(),
                entry_bytes: self.document.cache.entry.bytes(),
                persist: self.document.cache.persist.as_ref().map(|path| self.place(path)),
            },
            accounting: self.accounting(&data_dir),
            recording: self.recording(),
            telemetry,
            resilience,
            data_dir,
            source: self.source,
        })
    }

    /// Returns a path of the document; relative ones start at the document's folder.
    fn place(&self, path: &std::path::Path) -> PathBuf {
        match self.source.as_ref().and_then(|source| source.parent()) {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        }
    }

    /// Returns an address; in place of a faulty one, one with which the rest of the document can be checked.
    fn address(&mut self, text: &str, path: &Path) -> SocketAddr {
        SocketAddr::from_str(text).unwrap_or_else(|_| {
            let help = "write an IP address and a port, for instance \"127.0.0.1:8080\" or \"[::1]:8080\"";
            self.report.add_with_help(path, format!("\"{text}\" is not an address"), help);
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
        })
    }

    fn server(&mut self) -> ServerSettings {
        let server = &self.document.server;
        let listen = self.address(&server.listen, &Path::root().key("server").key("listen"));
        let limits = &server.limits;
        ServerSettings {
            listen,
            workers: server.workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)),
            limits: RequestLimits {
                body_bytes: limits.body.bytes(),
                body_idle: limits.body_idle.0,
                messages: limits.messages,
                choices: limits.choices,
                depth: limits.depth,
                header_bytes: limits.headers.bytes(),
            },
            drain_grace: server.drain_grace.0,
            drain_timeout: server.drain_timeout.0,
            heartbeat: server.heartbeat.0,
            max_concurrency: server.max_concurrency,
            outbound: match server.outbound {
                OutboundDocument::PerWorker => Outbound::PerWorker,
                OutboundDocument::Shared => Outbound::Shared,
            },
        }
    }

    fn admin(&mut self) -> AdminSettings {
        let at = Path::root().key("admin");
        let admin = &self.document.admin;
        let listen = self.address(&admin.listen, &at.key("listen"));
        let token = admin.token.as_deref().and_then(|text| self.token(text, &at.key("token")));
        if !listen.ip().is_loopback() && admin.token.is_none() {
            let help = "set admin.token to \"${POINTSMAN_ADMIN_TOKEN}\", or listen on 127.0.0.1";
            self.report.add_with_help(&at.key("listen"), "the admin API off loopback needs a token", help);
        }
        AdminSettings { listen, token }
    }

    fn token(&mut self, text: &str, path: &Path) -> Option<SecretString> {
        match self.environment.secret(text) {
            Ok(secret) => Some(secret),
            Err(error) => {
                self.refuse_secret(&error, path);
                None
            }
        }
    }

    /// Tells what is wrong with a credential.
    fn refuse_secret(&mut self, error: &SecretError, path: &Path) {
        let help = match error {
            SecretError::Literal => "put it into an environment variable and write \"${NAME}\" here, or \"file:/path\"",
            SecretError::Missing(_) => "set it, or write \"${NAME:-default}\"",
            SecretError::Unreadable { .. } => "check that the file is there and that this user may read it",
        };
        self.report.add_with_help(path, error.to_string(), help);
    }

    fn keys(&mut self, is_loopback: bool, data_dir: &std::path::Path) -> KeySettings {
        let keys = &self.document.keys;
        if keys.required == KeysRequired::Never && !is_loopback {
            let help = "remove keys.required, or listen on 127.0.0.1";
            let at = Path::root().key("keys").key("required");
            self.report.add_with_help(&at, "a server that other machines can reach needs keys", help);
        }
        let file = keys.file.as_ref().map_or_else(|| data_dir.join("keys.json"), |path| self.place(path));
        let required = match keys.required {
            KeysRequired::Auto => !is_loopback,
            KeysRequired::Always => true,
            KeysRequired::Never => false,
        };
        KeySettings { file, required }
    }

    fn default_policy(&mut self) -> Option<PolicyName> {
        let name = &self.document.default_policy;
        self.check_policy(name, &Path::root().key("default_policy"));
        PolicyName::parse(name).ok()
    }

    fn agreements(&self) -> BTreeMap<String, PathBuf> {
        let files = self.document.agreements.iter();
        files.map(|(name, path)| (name.clone(), self.place(path))).collect()
    }

    fn router(&self, data_dir: &std::path::Path) -> Option<RouterSettings> {
        let router = &self.document.router;
        router.enabled.then(|| RouterSettings {
            path: router.path.as_ref().map(|path| self.place(path)),
            engine: match router.engine {
                EngineDocument::Auto => EngineChoice::Auto,
                EngineDocument::Onnxruntime => EngineChoice::OnnxRuntime,
                EngineDocument::Rten => EngineChoice::Rten,
            },
            deadline: router.deadline.0,
            onnxruntime: router.onnxruntime.as_ref().map(|path| self.place(path)),
            profiles: router.profiles.as_ref().map_or_else(|| data_dir.join("profiles"), |path| self.place(path)),
        })
    }

    fn accounting(&self, data_dir: &std::path::Path) -> AccountingSettings {
        let accounting = &self.document.accounting;
        let file = accounting.ledger.as_ref().map_or_else(|| data_dir.join("ledger.sqlite"), |path| self.place(path));
        AccountingSettings {
            ledger: accounting.enabled.then_some(file),
            queue: accounting.queue,
            retention: accounting.retention.0,
            baseline: accounting.baseline.as_deref().and_then(|name| ModelName::parse(name).ok()),
        }
    }

    fn recording(&mut self) -> RecordingSettings {
        let (recording, at) = (&self.document.recording, Path::root().key("recording"));
        if recording.enabled && !self.document.accounting.enabled {
            let help = "set accounting.enabled to true, or recording.enabled to false";
            self.report.add_with_help(&at.key("enabled"), "prompts are kept in the ledger, which is off", help);
        }
        let mut except = BTreeSet::new();
        for (index, tenant) in recording.except.iter().enumerate() {
            match TenantId::parse(tenant) {
                Ok(tenant) => drop(except.insert(tenant)),
                Err(error) => self.report.add(&at.key("except").index(index), format!("not a tenant: {error}")),
            }
        }
        RecordingSettings {
            is_enabled: recording.enabled,
            retention: recording.retention.0,
            max_rows: recording.max_rows,
            except,
        }
    }

    fn telemetry(&mut self) -> TelemetrySettings {
        let telemetry = &self.document.telemetry;
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&telemetry.log) {
            self.report.add(&Path::root().key("telemetry").key("log"), format!("not a log filter: {error}"));
        }
        TelemetrySettings {
            log: telemetry.log.clone(),
            format: match telemetry.format {
                LogFormatDocument::Text => LogFormat::Text,
                LogFormatDocument::Json => LogFormat::Json,
            },
            otlp: telemetry.otlp.clone(),
        }
    }

    fn resilience(&mut self) -> ResilienceSettings {
        let resilience = &self.document.resilience;
        if resilience.backoff.0 > resilience.backoff_max.0 {
            let at = Path::root().key("resilience").key("backoff");
            self.report.add(&at, "the first pause is longer than resilience.backoff_max");
        }
        ResilienceSettings {
            attempts: resilience.attempts,
            backoff: resilience.backoff.0,
            backoff_max: resilience.backoff_max.0,
            retry_budget: resilience.retry_budget,
            breaker_failures: resilience.breaker_failures,
            breaker_pause: resilience.breaker_pause.0,
        }
    }
}
