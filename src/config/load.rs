//! Reading a configuration: file or embedded text, through check and compile.

use std::path::{Path, PathBuf};

use schemars::generate::SchemaSettings;

use super::{
    compile::Compiler,
    document::Document,
    embedded,
    environment::Environment,
    fault::{Fault, Faults, Report, Source},
    path, schema,
    settings::Config,
    yaml,
};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or folder cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It can be read, but it is wrong.
    #[error("{0}")]
    Faults(Faults),
}

/// A configuration that is part of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embedded {
    /// The default.
    Default,
    /// The demo's: simulated models with prices.
    Demo,
}

impl Embedded {
    const fn file(self) -> &'static str {
        match self {
            Self::Default => "pointsman.yaml",
            Self::Demo => "demo.yaml",
        }
    }
}

impl Config {
    /// Loads a file, or the embedded defaults, with the environment of the process.
    ///
    /// # Errors
    /// The file cannot be read, or has faults; all of them are told.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        match path {
            Some(path) => Self::load_file(path, &Environment::System),
            None => Self::embedded(Embedded::Default, &Environment::System).map_err(ConfigError::Faults),
        }
    }

    /// Loads a file.
    ///
    /// # Errors
    /// The file cannot be read, or has faults; all of them are told.
    pub fn load_file(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let text = read(path)?;
        let source = Source { name: path.display().to_string(), text };
        Self::compile(&source, Some(path.to_owned()), environment).map_err(ConfigError::Faults)
    }

    /// Returns an embedded configuration.
    ///
    /// # Errors
    /// It has faults, which its tests rule out.
    pub fn embedded(which: Embedded, environment: &Environment) -> Result<Self, Faults> {
        let name = format!("embedded:{}", which.file());
        let text = embedded::text(which.file()).unwrap_or_default();
        Self::compile(&Source { name, text }, None, environment)
    }

    /// Checks and compiles a document's text; `file` is where relative paths start.
    ///
    /// # Errors
    /// The text has faults; all of them are told.
    pub fn compile(source: &Source, file: Option<PathBuf>, environment: &Environment) -> Result<Self, Faults> {
        let (config, mut faults) = Self::examine(source, file, environment);
        let Some(config) = config else {
            faults.sort();
            return Err(faults);
        };
        faults.or(config)
    }

    /// Compiles as much of a document as its faults leave, to check against it what refers to it. Where there are faults,
    /// models that have some are listed as asleep.
    pub fn examine(source: &Source, file: Option<PathBuf>, environment: &Environment) -> (Option<Self>, Faults) {
        let checked: Checked<Document> = match check(source) {
            Ok(checked) => checked,
            Err(faults) => return (None, faults),
        };
        let mut report = checked.report(source);
        let policies = policy_names(&checked.document, file.as_deref(), &mut report);
        let compiler =
            Compiler { document: &checked.document, environment, source: file, policies, report: &mut report };
        let config = compiler.config();
        (config, checked.faults(report))
    }
}

/// A document whose shape was checked. What was at fault has been left out of it.
#[derive(Debug)]
pub struct Checked<T> {
    /// The document.
    pub document: T,
    tree: yaml::Node,
    shape: Vec<Fault>,
    left_out: Vec<path::Path>,
}

impl<T> Checked<T> {
    /// Returns an empty report on the document's meaning.
    pub fn report<'a>(&'a self, source: &'a Source) -> Report<'a> {
        Report::new(source, &self.tree)
    }

    /// Returns the faults of shape and of meaning; of the latter those that only follow from a value left out are dropped.
    pub fn faults(&self, report: Report<'_>) -> Faults {
        let follows = |fault: &Fault| self.left_out.iter().any(|gone| is_at_or_above(&fault.path, &gone.to_string()));
        let meaning = report.faults.into_iter().filter(|fault| !follows(fault));
        Faults(self.shape.iter().cloned().chain(meaning).collect())
    }
}

fn is_at_or_above(path: &str, other: &str) -> bool {
    other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Checks the shape of a document.
///
/// # Errors
/// The text is no YAML, or too little is left of the document to look further.
pub fn check<T>(source: &Source) -> Result<Checked<T>, Faults>
where
    T: serde::de::DeserializeOwned + schemars::JsonSchema,
{
    let empty = source.text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    let text = if empty { "{}" } else { &source.text };
    let tree = yaml::parse(text).map_err(|error| Faults(vec![Fault::of_syntax(source, &error)]))?;
    let mut report = Report::new(source, &tree);
    let left_out = schema::check(&schema_of::<T>(), &tree, &mut report);
    let shape = report.faults;
    let mut rest = tree.clone();
    for gone in &left_out {
        gone.remove_from(&mut rest);
    }
    match serde_json::from_value(rest.to_json()) {
        Ok(document) => Ok(Checked { document, tree, shape, left_out }),
        Err(_) if !shape.is_empty() => Err(Faults(shape)),
        Err(error) => Err(Faults(vec![Fault::new(source, tree.position, &path::Path::root(), error.to_string())])),
    }
}

/// Returns the JSON Schema of a document type.
pub fn schema_of<T: schemars::JsonSchema>() -> serde_json::Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// Returns the JSON Schema of `pointsman.yaml`.
pub fn config_schema() -> serde_json::Value {
    schema_of::<Document>()
}

/// Reads a text file.
///
/// # Errors
/// It cannot be read or is not UTF-8.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// Returns the names of all policies; `None` when that cannot be known.
fn policy_names(document: &Document, file: Option<&Path>, report: &mut Report<'_>) -> Option<Vec<String>> {
    let Some(folder) = &document.policies else {
        return Some(embedded::policies().into_iter().map(|(name, _)| name).collect());
    };
    let folder = file.and_then(Path::parent).map_or_else(|| folder.clone(), |base| base.join(folder));
    match std::fs::read_dir(&folder) {
        Ok(entries) => Some(entries.flatten().filter_map(|entry| policy_name(&entry.path())).collect()),
        Err(error) => {
            let message = format!("the folder {} cannot be read: {error}", folder.display());
            report.add(&path::Path::root().key("policies"), message);
            None
        }
    }
}

/// Returns the name of the policy that a file holds; `None` when the file is no policy.
pub fn policy_name(path: &Path) -> Option<String> {
    let is_policy = path.extension().is_some_and(|extension| extension == "yaml");
    let stem = path.file_stem()?.to_str()?;
    (is_policy && !stem.starts_with('.')).then(|| stem.to_owned())
}
