//! Models inside this process.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SpeculateDocument;
use crate::config::quantity::Period;

/// A model inside this process. Its weights come from exactly one of catalogue, path and hugging_face.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalDocument {
    /// A model of the built-in catalogue ("pointsman models list").
    pub catalogue: Option<String>,
    /// A GGUF file or a folder of safetensors, relative to this file.
    pub path: Option<PathBuf>,
    /// A Hugging Face repository, as owner/name.
    pub hugging_face: Option<String>,
    /// Branch, tag or commit of the repository.
    pub revision: Option<String>,
    /// One GGUF file of the repository; without it its safetensors.
    pub file: Option<String>,
    /// Credential for the repository, as ${NAME} or file:/path; without the variable the model is asleep.
    pub token: Option<String>,
    /// What it runs on: auto (the best that the program is built for), cpu, cuda, cuda:N or metal.
    #[schemars(regex(pattern = "^(auto|cpu|metal|cuda(:[0-9]+)?)$"))]
    pub device: String,
    /// The numbers that safetensors are loaded as; a GGUF file has its own.
    pub dtype: Dtype,
    /// What safetensors are quantised to while loading; without it nothing.
    pub quantize: Option<Quantization>,
    /// Engines with weights of their own, so that as many requests run at once on a CPU.
    #[schemars(range(min = 1, max = 16))]
    pub replicas: usize,
    /// How long it stays in memory without work; without it for good. The next request loads it again.
    pub keep_alive: Option<Period>,
    /// Whether it is refused, with its size, when the machine's free memory would not hold it.
    pub check_memory: bool,
    /// How long an engine with work may make no token before it counts as stalled and others are asked.
    pub stall_after: Period,
    /// Where it runs: inside this process, or in a process of its own that may crash alone.
    pub isolation: Isolation,
    /// Waiting requests before new ones are refused.
    #[schemars(range(min = 1))]
    pub queue: usize,
    /// Longest wait in the queue.
    pub queue_timeout: Period,
    /// Whether it is loaded at start; otherwise at its first request.
    pub preload: bool,
    /// Speculative decoding; without it every token is decoded by itself.
    pub speculate: Option<SpeculateDocument>,
}

impl Default for LocalDocument {
    fn default() -> Self {
        Self {
            catalogue: None,
            path: None,
            hugging_face: None,
            revision: None,
            file: None,
            token: None,
            device: "auto".to_owned(),
            dtype: Dtype::Auto,
            quantize: None,
            replicas: 1,
            keep_alive: None,
            check_memory: true,
            stall_after: Period::seconds(60),
            isolation: Isolation::Inside,
            queue: 64,
            queue_timeout: Period::seconds(60),
            preload: true,
            speculate: None,
        }
    }
}

/// The numbers that weights are loaded as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// What suits the device best.
    #[default]
    Auto,
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Half precision with the range of single precision.
    Bf16,
}

/// What weights are quantised to while loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantization {
    /// About 4.5 bits a weight.
    Q4_0,
    /// About 5.5 bits a weight.
    Q5_0,
    /// About 8.5 bits a weight; hardly any loss.
    Q8_0,
    /// About 2.6 bits a weight.
    Q2k,
    /// About 3.4 bits a weight.
    Q3k,
    /// About 4.5 bits a weight; the usual choice.
    Q4k,
    /// About 5.5 bits a weight.
    Q5k,
    /// About 6.6 bits a weight.
    Q6k,
    /// 4 bits a weight, on a GPU.
    Hqq4,
    /// 8 bits a weight, on a GPU.
    Hqq8,
}

impl Quantization {
    /// Returns the name that mistral.rs knows it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "q4_0",
            Self::Q5_0 => "q5_0",
            Self::Q8_0 => "q8_0",
            Self::Q2k => "q2k",
            Self::Q3k => "q3k",
            Self::Q4k => "q4k",
            Self::Q5k => "q5k",
            Self::Q6k => "q6k",
            Self::Hqq4 => "hqq4",
            Self::Hqq8 => "hqq8",
        }
    }
}

/// Where a local model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Inside the gateway's process: nothing is faster, and a crash takes the gateway along.
    #[default]
    Inside,
    /// In a process of its own, which is started again when it crashes.
    Process,
}
