//! Reading a request's fields: what is wrong, where, and what to do about it.

use std::ops::RangeInclusive;

use bytes::Bytes;
use serde::Deserialize;

use super::raw::{RawError, RawObject};
use crate::error::Code;

/// Longest `model`: it is written into every record, known or not. Configured names are far shorter.
const MOST_MODEL_BYTES: usize = 512;

/// What a request body may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most messages of a chat.
    pub messages: usize,
    /// Largest `n`.
    pub choices: u32,
    /// Deepest nesting of the JSON body.
    pub depth: usize,
}

/// Why a request body was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// [`Code::InvalidJson`] or [`Code::InvalidRequest`].
    pub code: Code,
    /// A sentence for the caller: the place and the fix.
    pub message: String,
    /// The path of the field at fault, for instance `messages[2].content`.
    pub param: Option<String>,
}

impl ParseError {
    /// Returns an error about the field at `param`.
    pub(super) fn at(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: Code::InvalidRequest, message: message.into(), param: Some(param.into()) }
    }

    /// Returns the error of a field whose value has the wrong type.
    pub(super) fn expected(param: &str, expected: &str, raw: &str) -> Self {
        Self::at(param, format!("`{param}` must be {expected}, but it is {}.", kind_of(raw)))
    }

    /// Returns the error of a field that is not there.
    pub(super) fn missing(param: &str, expected: &str) -> Self {
        Self::at(param, format!("`{param}` is missing; it must be {expected}."))
    }
}

impl From<RawError> for ParseError {
    fn from(error: RawError) -> Self {
        let (code, message) = match error {
            RawError::Syntax(place) => (Code::InvalidJson, format!("The body is not valid JSON: {place}.")),
            RawError::NotAnObject => (Code::InvalidRequest, "The body must be a JSON object.".to_owned()),
            RawError::TooDeep(limit) => (
                Code::InvalidRequest,
                format!("The body is nested deeper than the limit of {limit} levels; flatten it."),
            ),
        };
        Self { code, message, param: None }
    }
}

/// Returns what kind of JSON value a text is, with its article.
pub(super) fn kind_of(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Parses a body into an object.
pub(super) fn parse_body(bytes: Bytes, limits: &Limits) -> Result<RawObject, ParseError> {
    Ok(RawObject::parse(bytes, limits.depth)?)
}

/// A typed look at the top-level fields of a body; `null` counts as absent.
pub(super) struct Fields<'a>(pub(super) &'a RawObject);

impl<'a> Fields<'a> {
    /// Returns the JSON text of a field.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).filter(|raw| *raw != "null")
    }

    /// Returns a field as `T`; `expected` describes it with its article.
    pub(super) fn read<T: Deserialize<'a>>(&self, name: &str, expected: &str) -> Result<Option<T>, ParseError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let value = serde_json::from_str(raw).map_err(|_| ParseError::expected(name, expected, raw))?;
        Ok(Some(value))
    }

    /// Returns a boolean, false when absent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ParseError> {
        Ok(self.read(name, "a boolean")?.unwrap_or(false))
    }

    /// Returns `model`.
    pub(super) fn model(&self) -> Result<String, ParseError> {
        let expected = "the name of a model, or \"auto\"";
        let model: Option<String> = self.read("model", expected)?;
        match model {
            Some(model) if model.len() > MOST_MODEL_BYTES => {
                let bytes = model.len();
                let message = format!("`model` has {bytes} bytes; names have at most {MOST_MODEL_BYTES}.");
                Err(ParseError::at("model", message))
            }
            Some(model) if !model.is_empty() => Ok(model),
            Some(_) => Err(ParseError::at("model", format!("`model` is empty; it must be {expected}."))),
            None => Err(ParseError::missing("model", expected)),
        }
    }

    /// Returns a number within `range`.
    pub(super) fn number(&self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, ParseError> {
        let Some(number) = self.read::<f64>(name, "a number")? else { return Ok(None) };
        if !range.contains(&number) {
            return Err(out_of_range(name, range.start(), range.end(), number));
        }
        Ok(Some(number))
    }

    /// Returns a whole number within `range`.
    pub(super) fn integer(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ParseError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let number: i128 = serde_json::from_str(raw).map_err(|_| ParseError::expected(name, "a whole number", raw))?;
        match u64::try_from(number) {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ if *range.end() == u64::MAX => {
                Err(ParseError::at(name, format!("`{name}` must be at least {}, but it is {number}.", range.start())))
            }
            _ => Err(out_of_range(name, range.start(), range.end(), number)),
        }
    }
}

fn out_of_range(
    name: &str,
    least: impl std::fmt::Display,
    most: impl std::fmt::Display,
    is: impl std::fmt::Display,
) -> ParseError {
    ParseError::at(name, format!("`{name}` must be between {least} and {most}, but it is {is}."))
}

/// Reads `stream` and `stream_options.include_usage`.
pub(super) fn parse_stream(fields: &Fields<'_>) -> Result<(bool, bool), ParseError> {
    let is_streaming = fields.flag("stream")?;
    let Some(options) = fields.raw("stream_options") else { return Ok((is_streaming, false)) };
    if !is_streaming {
        let message = "`stream_options` is only allowed when `stream` is true; remove it or set `stream`.";
        return Err(ParseError::at("stream_options", message));
    }
    let options: StreamOptions = serde_json::from_str(options).map_err(|_| {
        let message = "`stream_options` must be an object whose `include_usage` is a boolean.";
        ParseError::at("stream_options", message)
    })?;
    Ok((is_streaming, options.include_usage.unwrap_or(false)))
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// Returns the known name that an unknown one was probably meant to be.
pub(super) fn did_you_mean<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &&str| strsim::damerau_levenshtein(unknown, name);
    known.iter().copied().min_by_key(distance).filter(|name| distance(name) <= 3)
}
