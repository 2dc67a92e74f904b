//! `pointsman.yaml`: document (serde) -> check (all faults at once) -> [`Config`].
//!
//! The document has defaults, refuses unknown fields and knows where every value stands in the file. Checking resolves every
//! reference and every range and reports all faults together, each with file, line, column, a caret and the fix. What comes out
//! is a [`Config`] that needs no further checking. Environment variables are read in this room only.

pub mod settings;

pub use settings::*;
