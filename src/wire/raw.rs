//! A JSON object as text: found, replaced and removed fields, everything else untouched.

use bytes::Bytes;

/// Why a body is not an object that can be worked on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// Not JSON; the message names line and column.
    #[error("{0}")]
    Syntax(String),
    /// JSON, but not an object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// Nested deeper than the limit.
    #[error("the body is nested deeper than {0} levels")]
    TooDeep(usize),
}

/// A change to one top-level field.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit<'a> {
    /// Replaces the value of every occurrence, or appends the field.
    Set(&'a str, &'a str),
    /// Removes every occurrence.
    Remove(&'a str),
}

/// A JSON object as text, with its top-level fields found.
#[derive(Clone, Debug)]
pub struct RawObject {
    bytes: Bytes,
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    start: usize,
    value: std::ops::Range<usize>,
}
