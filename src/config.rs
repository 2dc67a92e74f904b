//! `pointsman.yaml`: document (serde) -> check (all faults at once) -> [`Config`].
//!
//! The text becomes a tree that knows where every value stands. The tree is checked against the JSON Schema of the document's
//! own types, which finds every fault of shape at once; what is at fault is left out and the rest is compiled, which finds
//! every fault of meaning. All faults are told together, each with file, line, column, a caret and the fix. What comes out is
//! a [`Config`] that needs no further checking. Policies go the same way. Environment variables are read in this room only.
//!
//! To add a key: a field with its doc comment in `document/`, a field in [`settings`], a line in `compile/`, and the key with
//! its default in `config/pointsman.full.yaml` (a test names it until it is there).

mod compile;
pub mod document;
pub mod embedded;
pub mod environment;
pub mod exposure;
pub mod fault;
pub mod load;
mod origin;
pub mod path;
pub mod quantity;
mod schema;
pub mod settings;
pub mod yaml;

#[cfg(test)]
pub(crate) mod tests;

pub use document::{Dtype, Isolation, Quantization, SpeculateWhen};
pub use environment::{Environment, SecretError};
pub use exposure::ExposedError;
pub use fault::{Fault, Faults, Report, Source};
pub use load::{Checked, ConfigError, Embedded, check, config_schema, schema_of};
pub use quantity::{ByteSize, Period};
pub use settings::*;
