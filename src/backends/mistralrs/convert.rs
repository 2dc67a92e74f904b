//! Converting weights, once, to the format that runs fastest on a CPU.
//!
//! candle 0.10.2 has no vectorised kernel for four of the GGUF kinds: SmolLM2-135M makes 17 tokens a second in Q4_1 and 30 in
//! Q8_0, which holds the same values to about 0.4 %. What is in the file is read from its header, not from its name. The
//! conversion of a file of ours stands beside it and is deleted with it; that of a user's file is kept in the data directory,
//! under a name that changes with the file.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use candle_core::{
    Device,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Content, Value},
    },
};

use super::status::{Phase, Report};

/// `general.file_type` of a GGUF file whose tensors are mostly Q8_0.
const MOSTLY_Q8_0: u32 = 7;

/// The kinds without a vectorised kernel on a CPU: candle-core 0.10.2, `quantized/k_quants.rs`.
const SLOW: [GgmlDType; 4] = [GgmlDType::Q4_1, GgmlDType::Q5_0, GgmlDType::Q5_1, GgmlDType::Q8_1];

/// Where a conversion is kept.
#[derive(Clone, Copy)]
pub(super) enum Keep<'a> {
    /// Beside the file.
    Beside,
    /// In this folder, which is made if need be.
    In(&'a Path),
}

/// Returns the file to load on a CPU: `path`, or its conversion, which is made if it is not there.
///
/// # Errors
/// The file is no GGUF, or the conversion cannot be made or written.
pub(super) fn to_fast_format(path: &Path, keep: Keep<'_>, report: &Report) -> candle_core::Result<PathBuf> {
    let content = Content::read(&mut BufReader::new(File::open(path)?))?;
    if !content.tensor_infos.values().any(|info| SLOW.contains(&info.ggml_dtype)) {
        return Ok(path.to_owned());
    }
    let fast = place(path, keep)?;
    if !fast.exists() {
        report.enter(Phase::Converting);
        tracing::info!(from = %path.display(), to = %fast.display(), "converting weights to Q8_0, once: their kind is slow on a CPU");
        let part = fast.with_extension("part");
        convert(path, &part, report)?;
        fs::rename(&part, &fast)?;
    }
    Ok(fast)
}

fn place(path: &Path, keep: Keep<'_>) -> candle_core::Result<PathBuf> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // "model.Q4_1.gguf" becomes "model.Q8_0.gguf".
    let kinds = SLOW.map(|kind| format!("{kind:?}"));
    let stem = kinds.iter().find_map(|kind| stem.strip_suffix(kind.as_str())).unwrap_or(&stem);
    let stem = stem.trim_end_matches(['.', '-', '_']);
    match keep {
        Keep::Beside => Ok(path.with_file_name(format!("{stem}.Q8_0.gguf"))),
        Keep::In(folder) => {
            fs::create_dir_all(folder)?;
            Ok(folder.join(format!("{stem}-{}.Q8_0.gguf", version(path)?)))
        }
    }
}

/// Returns what tells a file from another of the same name and from itself before a change: 16 hexadecimal digits.
fn version(path: &Path) -> candle_core::Result<String> {
    let (path, about) = (fs::canonicalize(path)?, fs::metadata(path)?);
    let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let text = format!("{}\n{}\n{changed}", path.display(), about.len());
    Ok(blake3::hash(text.as_bytes()).to_hex().chars().take(16).collect())
}

fn convert(from: &Path, to: &Path, report: &Report) -> candle_core::Result<()> {
    let mut reader = BufReader::new(File::open(from)?);
    let content = Content::read(&mut reader)?;
    report.expect(content.tensor_infos.len() as u64);
    let mut tensors = Vec::with_capacity(content.tensor_infos.len());
    for (name, done) in content.tensor_infos.keys().zip(1..) {
        tensors.push((name.as_str(), requantized(content.tensor(&mut reader, name, &Device::Cpu)?)?));
        report.advance(done);
    }
    write(&content, &tensors, to)
}

fn requantized(tensor: QTensor) -> candle_core::Result<QTensor> {
    if !SLOW.contains(&tensor.dtype()) {
        return Ok(tensor);
    }
    QTensor::quantize(&tensor.dequantize(&Device::Cpu)?, GgmlDType::Q8_0)
}

fn write(content: &Content, tensors: &[(&str, QTensor)], to: &Path) -> candle_core::Result<()> {
    let file_type = Value::U32(MOSTLY_Q8_0);
    let metadata: Vec<(&str, &Value)> = content
        .metadata
        .iter()
        .map(|(key, value)| (key.as_str(), if key == "general.file_type" { &file_type } else { value }))
        .collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let mut writer = BufWriter::new(File::create(to)?);
    gguf_file::write(&mut writer, &metadata, &tensors)?;
    writer.flush()?;
    writer.get_ref().sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::*;

    fn weights(path: &Path, kind: GgmlDType) {
        let tensor = Tensor::rand(-1f32, 1f32, (4, 64), &Device::Cpu).unwrap();
        let tensor = QTensor::quantize(&tensor, kind).unwrap();
        let mut file = File::create(path).unwrap();
        gguf_file::write(&mut file, &[("general.file_type", &Value::U32(3))], &[("a", &tensor)]).unwrap();
    }

    #[test]
    fn slow_kinds_are_converted_once_whatever_the_file_is_called() {
        let (dir, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = dir.path().join("anything.gguf");
        weights(&path, GgmlDType::Q5_1);
        let keep = Keep::In(kept.path());

        let fast = to_fast_format(&path, keep, &Report::default()).unwrap();
        let made = fs::metadata(&fast).unwrap().modified().unwrap();
        let again = to_fast_format(&path, keep, &Report::default()).unwrap();

        assert_eq!((&again, fs::metadata(&fast).unwrap().modified().unwrap()), (&fast, made));
        let mut reader = BufReader::new(File::open(&fast).unwrap());
        let content = Content::read(&mut reader).unwrap();
        assert_eq!(content.tensor_infos["a"].ggml_dtype, GgmlDType::Q8_0);
        assert!(matches!(content.metadata["general.file_type"], Value::U32(MOSTLY_Q8_0)));
    }

    #[test]
    fn a_changed_file_is_converted_anew_and_fast_kinds_are_left_alone() {
        let (dir, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = dir.path().join("model.Q4_1.gguf");
        weights(&path, GgmlDType::Q4_1);
        let first = to_fast_format(&path, Keep::In(kept.path()), &Report::default()).unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();

        assert_ne!(to_fast_format(&path, Keep::In(kept.path()), &Report::default()).unwrap(), first);
        let beside = to_fast_format(&path, Keep::Beside, &Report::default()).unwrap();
        assert_eq!(beside, dir.path().join("model.Q8_0.gguf"));
        assert_eq!(to_fast_format(&beside, Keep::Beside, &Report::default()).unwrap(), beside);
    }
}
