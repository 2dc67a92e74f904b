//! What a server is started with.

use std::{path::Path, sync::Arc};

use pointsman::{
    admission::{KeyStore, keys::NewKey},
    domain::{KeyLimits, TenantId},
    runtime::SystemClock,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::Upstream;

/// A configuration in the making: an open gateway without router model, in front of one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The configuration; JSON is YAML.
    pub(crate) config: Value,
    /// Policy files by name.
    pub(crate) policies: Vec<(String, String)>,
    /// Environment variables.
    pub(crate) environment: Vec<(String, String)>,
}

impl Setup {
    /// Returns a setup with the models `small` and `large` at `upstream`; the policy `default` always takes `small` first.
    pub(crate) fn new(upstream: &Upstream) -> Self {
        let timeouts = json!({"connect": "2s", "first_token": "5s", "idle": "5s", "total": "30s"});
        let config = json!({
            "schema_version": 1,
            "server": {"listen": "127.0.0.1:0", "workers": 2, "drain_grace": "200ms", "drain_timeout": "10s"},
            "admin": {"listen": "127.0.0.1:0"},
            "keys": {"required": "never"},
            "providers": {"scripted": {"base_url": upstream.base_url(), "api_key": "${UPSTREAM_KEY}", "timeouts": timeouts}},
            "models": [
                {"name": "small", "provider": "scripted", "upstream": "upstream-small", "tools": true, "json_schema": true,
                 "prices": {"input": 1.0, "output": 2.0}, "context_window": 32768},
                {"name": "large", "provider": "scripted", "upstream": "upstream-large", "tools": true, "json_schema": true,
                 "prices": {"input": 10.0, "output": 20.0}, "context_window": 32768},
            ],
            "router": {"enabled": false},
            "policies": "policies",
            "resilience": {"attempts": 1, "backoff": "10ms", "backoff_max": "50ms"},
            "telemetry": {"log": "debug", "format": "json"},
            "data_dir": "data",
        });
        let environment = vec![("UPSTREAM_KEY".to_owned(), "sk-upstream".to_owned())];
        Self { config, policies: vec![("default".to_owned(), fixed(&["small", "large"]))], environment }
    }

    /// Sets one value of the configuration, by its JSON pointer.
    pub(crate) fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.config;
        for part in pointer.trim_start_matches('/').split('/') {
            place = match part.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[part],
            };
        }
        *place = value.into();
        self
    }

    /// Adds a model.
    pub(crate) fn model(mut self, model: Value) -> Self {
        self.config["models"].as_array_mut().expect("a list").push(model);
        self
    }

    /// Adds or replaces a policy.
    pub(crate) fn policy(mut self, name: &str, document: impl Into<String>) -> Self {
        self.policies.retain(|(known, _)| known != name);
        self.policies.push((name.to_owned(), document.into()));
        self
    }

    /// Adds an environment variable.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Returns a policy that takes the first model and keeps the others as fallbacks.
pub(crate) fn fixed(models: &[&str]) -> String {
    json!({"schema_version": 1, "candidates": models, "strategy": {"fixed": {"model": models[0]}}}).to_string()
}

/// Makes a key for `tenant` in the folder of a server; needs `keys.required: always`.
pub(crate) fn make_key(folder: &Path, tenant: &str, limits: KeyLimits) -> String {
    std::fs::create_dir_all(folder.join("data")).expect("a folder");
    let store =
        KeyStore::open(folder.join("data/keys.json"), true, Arc::new(SystemClock::default())).expect("a key file");
    let tenant = TenantId::parse(tenant).expect("a tenant");
    let new = NewKey { tenant, name: "test".to_owned(), expires: None, limits, policies: Vec::new() };
    let (_, key) = store.create(new).expect("a key");
    key.expose_secret().to_owned()
}
