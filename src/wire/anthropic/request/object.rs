//! A JSON object that is written field by field, so that values can be text that is already JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{MapError, read};

/// An object under construction.
#[derive(Debug, Default)]
pub(super) struct Object {
    text: String,
}

impl Object {
    /// Starts with the fields of an object that is JSON text.
    pub(super) fn from_fields(text: &str, field: &str) -> Result<Self, MapError> {
        let fields: BTreeMap<String, &RawValue> = read(Some(text), field)?;
        let mut object = Self::default();
        for (name, value) in fields.iter().filter(|(name, _)| *name != "format") {
            object.raw(name, value.get());
        }
        Ok(object)
    }

    /// Adds a field.
    pub(super) fn set<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.raw(name, &json(value));
    }

    /// Adds a field if it has a value.
    pub(super) fn set_some<T: Serialize + ?Sized>(&mut self, name: &str, value: Option<&T>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// Adds a field whose value is JSON text.
    pub(super) fn raw(&mut self, name: &str, value: &str) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        self.text.push_str(&json(name));
        self.text.push(':');
        self.text.push_str(value);
    }

    /// Adds a field whose value is JSON text, if it has one.
    pub(super) fn raw_some(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.raw(name, value.as_ref());
        }
    }

    /// Adds a field, as a step of a chain.
    pub(super) fn with<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        self.set(name, value);
        self
    }

    /// Adds a field whose value is JSON text, as a step of a chain.
    pub(super) fn with_raw(mut self, name: &str, value: &str) -> Self {
        self.raw(name, value);
        self
    }

    /// Returns the object's text.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str(if self.text.is_empty() { "{}" } else { "}" });
        self.text
    }
}

/// Returns a list of values that are JSON text.
pub(super) fn list<T: AsRef<str>>(values: &[T]) -> String {
    let texts: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    format!("[{}]", texts.join(","))
}

/// Strings, numbers and booleans always have a JSON text; nothing else is put in.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
