//! The graph on ONNX Runtime, whose shared library is found at run time; the only file that knows the crate `ort`.

use std::path::{Path, PathBuf};

use ort::{
    environment::Environment,
    session::{Session as OrtSession, SessionOutputs, builder::GraphOptimizationLevel},
    value::Tensor,
};
use parking_lot::Mutex;

use super::session::{ATTENTION_MASK, INPUT_IDS, OUTPUTS, Outputs, Rows, Session, SessionError, outputs_of};

fn failed(action: &'static str, error: &dyn std::fmt::Display) -> SessionError {
    SessionError::Engine { engine: "onnxruntime", action, message: error.to_string() }
}

/// The library that this process has loaded: a process can load one only.
static LOADED: Mutex<Option<Environment>> = Mutex::new(None);

/// Returns the library to load: `configured`, else the newest `libonnxruntime.so*` (on macOS `libonnxruntime*.dylib`) in
/// `<data_dir>/runtime`.
///
/// # Errors
/// There is none.
pub fn find_library(configured: Option<&Path>, data_dir: &Path) -> Result<PathBuf, SessionError> {
    if let Some(path) = configured {
        let missing = || SessionError::NoLibrary { searched: path.display().to_string() };
        return path.is_file().then(|| path.to_owned()).ok_or_else(missing);
    }
    let folder = data_dir.join("runtime");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let libraries = entries.filter(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with("libonnxruntime.so") || (name.starts_with("libonnxruntime") && name.ends_with(".dylib"))
    });
    libraries.max().ok_or_else(|| SessionError::NoLibrary { searched: folder.display().to_string() })
}

/// A loaded library.
#[derive(Clone, Debug)]
pub struct Library(Environment);

/// Loads the library once; later calls with another path get the first.
///
/// # Errors
/// The file is not an ONNX Runtime that this program can use.
pub fn load_library(path: &Path) -> Result<Library, SessionError> {
    let mut loaded = LOADED.lock();
    if let Some(environment) = &*loaded {
        return Ok(Library(environment.clone()));
    }
    if is_cut_off(path).is_ok_and(|is_cut_off| is_cut_off) {
        return Err(failed("load the library", &"the file is cut off; `pointsman runtime install` fetches it anew"));
    }
    let builder = ort::init_from(path).map_err(|error| failed("load the library", &error))?;
    let environment = builder.with_name("pointsman").build().map_err(|error| failed("start", &error))?;
    *loaded = Some(environment.clone());
    Ok(Library(environment))
}

/// Returns whether a library ends before its table of sections does. The loader maps such a file and the process dies of
/// SIGBUS. What is no 64-bit ELF file is left to the loader.
fn is_cut_off(path: &Path) -> std::io::Result<bool> {
    // Offsets in the header of a little-endian ELF64 file (System V gABI, chapter 4): e_shoff, then e_shentsize and e_shnum.
    const TABLE: usize = 0x28;
    const ENTRIES: usize = 0x3a;
    let (mut file, mut header) = (std::fs::File::open(path)?, [0; 64]);
    let length = file.metadata()?.len();
    std::io::Read::read_exact(&mut file, &mut header)?;
    let Some(entries) = header.get(ENTRIES..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(false) };
    let Some(table) = header.get(TABLE..).and_then(<[u8]>::first_chunk::<8>) else { return Ok(false) };
    let [size_low, size_high, count_low, count_high] = *entries;
    let size = u64::from(u16::from_le_bytes([size_low, size_high]));
    let count = u64::from(u16::from_le_bytes([count_low, count_high]));
    let end = u64::from_le_bytes(*table).saturating_add(size * count);
    Ok(header.starts_with(b"\x7fELF\x02\x01") && end > length)
}

/// A session on ONNX Runtime.
pub struct OnnxSession {
    session: OrtSession,
}

impl OnnxSession {
    /// Loads an ONNX graph.
    ///
    /// # Errors
    /// The bytes are not a graph, or a node of the contract is missing.
    pub fn load(library: &Library, onnx: &[u8]) -> Result<Self, SessionError> {
        let session = build(&library.0, onnx).map_err(|error| failed("load the graph", &error))?;
        for name in [INPUT_IDS, ATTENTION_MASK] {
            if !session.inputs().iter().any(|input| input.name() == name) {
                return Err(SessionError::MissingNode(name));
            }
        }
        for name in OUTPUTS {
            if !session.outputs().iter().any(|output| output.name() == name) {
                return Err(SessionError::MissingNode(name));
            }
        }
        Ok(Self { session })
    }
}

fn build(environment: &Environment, onnx: &[u8]) -> Result<OrtSession, ort::Error> {
    let builder = OrtSession::builder(environment)?;
    // One thread each: prompts are small and there are as many sessions as workers.
    let mut builder = builder
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .with_intra_op_spinning(false)?;
    builder.commit_from_memory(onnx)
}

impl Session for OnnxSession {
    fn run_batch(&mut self, prompts: &[&[u32]]) -> Result<Vec<Outputs>, SessionError> {
        let Rows { shape, ids, mask } = Rows::of(prompts, i64::from);
        let ids = Tensor::from_array((shape, ids)).map_err(|error| failed("take the ids", &error))?;
        let mask = Tensor::from_array((shape, mask)).map_err(|error| failed("take the mask", &error))?;
        let values = self
            .session
            .run(ort::inputs![INPUT_IDS => ids, ATTENTION_MASK => mask])
            .map_err(|error| failed("run the graph", &error))?;
        let [embedding, latent, output_tokens] = OUTPUTS;
        let rows = |name| rows_of(&values, name, prompts.len());
        Ok(outputs_of(prompts.len(), [rows(embedding)?, rows(latent)?, rows(output_tokens)?]))
    }
}

fn rows_of(values: &SessionOutputs<'_>, name: &'static str, rows: usize) -> Result<Vec<f32>, SessionError> {
    let value = values.get(name).ok_or(SessionError::MissingNode(name))?;
    let (shape, numbers) = value.try_extract_tensor::<f32>().map_err(|_| SessionError::BadOutput(name))?;
    if !matches!(**shape, [found, _] if usize::try_from(found) == Ok(rows)) {
        return Err(SessionError::BadOutput(name));
    }
    Ok(numbers.to_vec())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_missing_library_is_an_error_that_names_the_command() {
        let empty = tempfile::tempdir().unwrap();

        let error = find_library(None, empty.path()).unwrap_err();

        assert!(error.to_string().contains("pointsman runtime install"), "{error}");
    }

    #[test]
    fn a_library_that_is_cut_off_is_known_before_it_is_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, cut) = (std::env::current_exe().unwrap(), folder.path().join("cut"));
        let other = folder.path().join("other");
        let mut head = Vec::new();
        std::fs::File::open(&whole).unwrap().take(1_000).read_to_end(&mut head).unwrap();
        std::fs::write(&cut, head).unwrap();
        std::fs::write(&other, [b'x'; 1_000]).unwrap();

        let found = [&whole, &cut, &other].map(|path| is_cut_off(path).unwrap());

        assert_eq!(found, [false, true, false]);
    }

    #[test]
    fn a_configured_library_that_is_not_there_is_not_replaced_by_another() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("runtime")).unwrap();
        std::fs::write(data.path().join("runtime/libonnxruntime.so.1"), b"").unwrap();

        let found = find_library(None, data.path());
        let configured = find_library(Some(Path::new("/nowhere/libonnxruntime.so")), data.path());

        assert!(found.is_ok());
        assert!(matches!(configured, Err(SessionError::NoLibrary { .. })));
    }
}
