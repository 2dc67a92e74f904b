//! Whether a model has room, before anything of it is read.

use std::{
    fs::{self, File},
    io::{BufReader, Read},
    path::Path,
};

use candle_core::quantized::gguf_file::{Content, Value};
use serde_json::Value as Json;
use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

use crate::config::{Dtype, LocalSettings, Quantization};

/// Tokens whose keys and values are counted; the cache grows with the text, and most texts are shorter.
const TOKENS: u64 = 4_096;

/// Keys and values are held in single precision on a CPU, and in no more anywhere else.
const CACHE_BYTES: u64 = 4;

/// Longest header of a safetensors file that is read: the format's own limit.
const LONGEST_HEADER: u64 = 100_000_000;

/// Returns the memory that this process holds, in bytes.
pub(in super::super) fn resident_bytes() -> u64 {
    let Ok(own) = sysinfo::get_current_pid() else { return 0 };
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, what);
    system.process(own).map_or(0, sysinfo::Process::memory)
}

/// Returns the memory that may still be taken, in bytes: of the machine or of the control group, whichever has less.
pub(super) fn free_bytes() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(group)
}

/// Returns what one engine with the weights at `path` needs, in bytes: the weights as they will be held, and the keys and values
/// of [`TOKENS`] tokens. `None` where the files do not tell.
pub(super) fn needed_bytes(path: &Path, settings: &LocalSettings) -> Option<u64> {
    if path.is_dir() { of_folder(path, settings) } else { of_gguf(path, settings) }
}

fn of_gguf(path: &Path, settings: &LocalSettings) -> Option<u64> {
    let content = Content::read(&mut BufReader::new(File::open(path).ok()?)).ok()?;
    let architecture = content.metadata.get("general.architecture").and_then(|value| value.to_string().ok())?;
    let number = |key: &str| content.metadata.get(&format!("{architecture}.{key}")).and_then(whole);
    let shape = Shape {
        layers: number("block_count").unwrap_or(0),
        heads: number("attention.head_count").unwrap_or(1),
        kv_heads: number("attention.head_count_kv").or_else(|| number("attention.head_count")).unwrap_or(1),
        width: number("embedding_length").unwrap_or(0),
    };
    Some(fs::metadata(path).ok()?.len() + shape.cache_bytes(settings.context_window.0))
}

fn whole(value: &Value) -> Option<u64> {
    value.to_u64().ok().or_else(|| value.to_u32().ok().map(u64::from))
}

fn of_folder(path: &Path, settings: &LocalSettings) -> Option<u64> {
    let files = fs::read_dir(path).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "safetensors"));
    let weights = files.map(|file| held_bytes(&file, settings)).sum::<Option<u64>>()?;
    let config = fs::read(path.join("config.json")).ok().and_then(|bytes| serde_json::from_slice::<Json>(&bytes).ok());
    let number = |key: &str| config.as_ref().and_then(|config| config[key].as_u64());
    let shape = Shape {
        layers: number("num_hidden_layers").unwrap_or(0),
        heads: number("num_attention_heads").unwrap_or(1),
        kv_heads: number("num_key_value_heads").or_else(|| number("num_attention_heads")).unwrap_or(1),
        width: number("hidden_size").unwrap_or(0),
    };
    Some(weights + shape.cache_bytes(settings.context_window.0))
}

/// Returns what the tensors of a safetensors file take once loaded. While they are quantised both forms are held.
fn held_bytes(path: &Path, settings: &LocalSettings) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let mut header = Vec::new();
    file.take(u64::from_le_bytes(length).min(LONGEST_HEADER)).read_to_end(&mut header).ok()?;
    let header: serde_json::Map<String, Json> = serde_json::from_slice(&header).ok()?;
    let tensors = header.iter().filter(|(name, _)| *name != "__metadata__");
    tensors.map(|(_, tensor)| tensor_bytes(tensor, settings)).sum()
}

fn tensor_bytes(tensor: &Json, settings: &LocalSettings) -> Option<u64> {
    let offsets = &tensor["data_offsets"];
    let stored = offsets[1].as_u64()?.checked_sub(offsets[0].as_u64()?)?;
    let numbers = tensor["shape"].as_array()?.iter().map(Json::as_u64).product::<Option<u64>>()?;
    let loaded = match settings.dtype {
        Dtype::Auto => stored,
        Dtype::F32 => 4 * numbers,
        Dtype::F16 | Dtype::Bf16 => 2 * numbers,
    };
    Some(loaded + settings.quantize.map_or(0, |kind| numbers.saturating_mul(tenth_bits(kind)) / 80))
}

/// Returns the tenths of a bit that a weight takes.
const fn tenth_bits(kind: Quantization) -> u64 {
    match kind {
        Quantization::Q2k => 26,
        Quantization::Q3k => 34,
        Quantization::Q4_0 | Quantization::Q4k | Quantization::Hqq4 => 45,
        Quantization::Q5_0 | Quantization::Q5k => 55,
        Quantization::Q6k => 66,
        Quantization::Q8_0 | Quantization::Hqq8 => 85,
    }
}

/// As much of a transformer's shape as its cache depends on.
struct Shape {
    layers: u64,
    heads: u64,
    kv_heads: u64,
    width: u64,
}

impl Shape {
    fn cache_bytes(&self, window: u64) -> u64 {
        let head = self.width / self.heads.max(1);
        2 * self.layers * self.kv_heads * head * window.min(TOKENS) * CACHE_BYTES
    }
}

/// Writes a size as people do.
pub(super) fn words(bytes: u64) -> String {
    let gibibytes = bytes as f64 / f64::from(1 << 30);
    if gibibytes >= 0.1 {
        format!("{gibibytes:.1} GiB")
    } else {
        format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tiny, *};
    use crate::{config::WeightSource, domain::Tokens};

    #[test]
    fn a_folder_needs_its_weights_and_its_cache_in_the_numbers_they_are_held_in() {
        let dir = tempfile::tempdir().unwrap();
        tiny::write(dir.path());
        let plain =
            LocalSettings { context_window: Tokens(100), ..LocalSettings::of(WeightSource::Path(dir.path().into())) };
        let stored = needed_bytes(dir.path(), &plain).unwrap();
        let with = |settings: LocalSettings| needed_bytes(dir.path(), &settings).unwrap();

        let half = with(LocalSettings { dtype: Dtype::F16, ..plain.clone() });
        let single = with(LocalSettings { dtype: Dtype::F32, ..plain.clone() });
        let quantised = with(LocalSettings { quantize: Some(Quantization::Q8_0), ..plain.clone() });
        let longer = with(LocalSettings { context_window: Tokens(200), ..plain.clone() });

        // 4 layers, 2 heads for keys and values of 16 numbers, keys and values.
        let cache = 2 * 4 * 2 * 16 * 100 * 4;
        assert_eq!(single - cache, 2 * (half - cache));
        assert!(stored < quantised && quantised < stored + stored, "{stored} {quantised}");
        assert_eq!(longer - stored, cache);
    }

    #[test]
    fn a_file_that_is_none_tells_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();

        let settings = LocalSettings::of(WeightSource::Path(file.path().into()));
        assert_eq!(needed_bytes(file.path(), &settings), None);
    }

    #[test]
    fn there_is_memory_here_and_some_of_it_is_ours() {
        assert!(resident_bytes() > 1 << 20);
        assert!(free_bytes() > 1 << 20);
        assert_eq!((words(5 << 30), words(3 << 20)), ("5.0 GiB".to_owned(), "3.0 MiB".to_owned()));
    }
}
