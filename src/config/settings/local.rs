//! Models inside this process.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::super::document::{Dtype, Isolation, LocalDocument, Quantization, SpeculateDocument, SpeculateWhen};
use crate::domain::{ModelName, Tokens};

/// Where the weights of a local model come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightSource {
    /// A model in the program's own catalogue, fetched by pinned name and checksum, for instance `smollm2-135m-instruct`.
    Catalogue(String),
    /// A GGUF file or a folder of safetensors.
    Path(PathBuf),
    /// A Hugging Face repository.
    HuggingFace {
        /// `owner/name`.
        repo: String,
        /// Branch, tag or commit.
        revision: Option<String>,
        /// One GGUF file inside it; `None` loads safetensors.
        file: Option<String>,
    },
}

/// What a local model runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceChoice {
    /// The best that the program is built for and the machine has.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU, counted from 0.
    Cuda(usize),
    /// Apple's GPU.
    Metal,
}

/// A model inside the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LocalSettings {
    /// Where its weights come from.
    pub weights: WeightSource,
    /// The credential for a Hugging Face repository; it is never written.
    #[serde(skip)]
    pub token: Option<SecretString>,
    /// What it runs on.
    pub device: DeviceChoice,
    /// The numbers that safetensors are loaded as.
    pub dtype: Dtype,
    /// What safetensors are quantised to while loading.
    pub quantize: Option<Quantization>,
    /// Engines with weights of their own; at least 1.
    pub replicas: usize,
    /// How long it stays loaded without work; `None` means for good.
    pub keep_alive: Option<Duration>,
    /// Whether it is refused when the machine's free memory would not hold it.
    pub checks_memory: bool,
    /// How long an engine with work may make no token.
    pub stall_after: Duration,
    /// Where it runs.
    pub isolation: Isolation,
    /// Longest prompt plus answer; the weights' own limit holds where it is smaller.
    pub context_window: Tokens,
    /// Waiting requests before new ones are refused.
    pub queue: usize,
    /// Longest wait in the queue.
    pub queue_timeout: Duration,
    /// Whether it is loaded at start; otherwise at its first request.
    pub preload: bool,
    /// Speculative decoding.
    pub speculate: Option<SpeculateSettings>,
}

impl DeviceChoice {
    /// Reads `auto`, `cpu`, `cuda`, `cuda:N` or `metal`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "metal" => Some(Self::Metal),
            "cuda" => Some(Self::Cuda(0)),
            other => other.strip_prefix("cuda:")?.parse().ok().map(Self::Cuda),
        }
    }
}

impl LocalSettings {
    /// Returns the defaults for these weights.
    pub fn of(weights: WeightSource) -> Self {
        let defaults = LocalDocument::default();
        Self {
            weights,
            token: None,
            device: DeviceChoice::Auto,
            dtype: defaults.dtype,
            quantize: None,
            replicas: defaults.replicas,
            keep_alive: None,
            checks_memory: defaults.check_memory,
            stall_after: defaults.stall_after.0,
            isolation: defaults.isolation,
            context_window: Tokens(u64::MAX),
            queue: defaults.queue,
            queue_timeout: defaults.queue_timeout.0,
            preload: defaults.preload,
            speculate: None,
        }
    }
}

/// Speculative decoding of a local model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeculateSettings {
    /// What proposes tokens.
    pub draft: Draft,
    /// Most tokens proposed at a time.
    pub gamma: usize,
    /// Whether fewer are proposed where few are accepted.
    pub adapts: bool,
    /// When to speculate at all.
    pub when: SpeculateWhen,
}

impl Default for SpeculateSettings {
    fn default() -> Self {
        let SpeculateDocument { gamma, adapt, when, .. } = SpeculateDocument::default();
        Self { draft: Draft::Lookup, gamma, adapts: adapt, when }
    }
}

/// What proposes tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Draft {
    /// What is already written.
    Lookup,
    /// A local model with the same vocabulary.
    Model(ModelName),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_people_write_them() {
        let read = ["auto", "cpu", "cuda", "cuda:3", "metal", "cuda:", "gpu", "cuda:-1"].map(DeviceChoice::parse);

        let cuda = |number| Some(DeviceChoice::Cuda(number));
        let (auto, cpu) = (Some(DeviceChoice::Auto), Some(DeviceChoice::Cpu));
        assert_eq!(read, [auto, cpu, cuda(0), cuda(3), Some(DeviceChoice::Metal), None, None, None]);
    }
}
