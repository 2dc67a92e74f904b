//! The `pointsman` field: what one request asks of the gateway itself. It never reaches a model.

use serde::Deserialize;

use crate::wire::{
    parse::{Fields, ParseError, did_you_mean},
    raw::{Edit, RawObject},
};

const FIELD: &str = "pointsman";
const KEYS: &[&str] = &["quality", "max_cost", "max_latency_ms", "tags", "cache", "cache_tags", "scope", "explain"];
/// Most tags that one answer is marked with, and their longest.
const MOST_CACHE_TAGS: usize = 16;
const MOST_TAG_BYTES: usize = 128;

/// The `pointsman` field: what one request asks of the gateway itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// How much quality matters against cost and latency, 0 to 1.
    pub quality: Option<f64>,
    /// Most the request may cost, in US dollars.
    pub max_cost: Option<f64>,
    /// Most the whole answer may be expected to take, in milliseconds.
    pub max_latency_ms: Option<f64>,
    /// Properties the model must have.
    #[serde(default)]
    pub tags: Vec<String>,
    /// `no-store`, `no-cache`, or both separated by commas.
    pub cache: Option<String>,
    /// What the stored answer is marked with, so that it can be found and evicted.
    #[serde(default)]
    pub cache_tags: Vec<String>,
    /// Answers are shared only with requests of the same scope; any text. It narrows what the tenant's requests share.
    pub scope: Option<String>,
    /// Whether the answer carries the decision.
    #[serde(default)]
    pub explain: bool,
}

/// Takes the field out of a body.
pub(in crate::wire) fn take(body: RawObject) -> Result<(RawObject, Extension), ParseError> {
    let extension = match Fields(&body).raw(FIELD) {
        Some(raw) => parse(raw)?,
        None => Extension::default(),
    };
    if !body.names().any(|name| name == FIELD) {
        return Ok((body, extension));
    }
    let rest = RawObject::parse(body.with(&[Edit::Remove(FIELD)]), usize::MAX)?;
    Ok((rest, extension))
}

fn parse(raw: &str) -> Result<Extension, ParseError> {
    if !raw.starts_with('{') {
        return Err(ParseError::expected(FIELD, "an object", raw));
    }
    let object = RawObject::parse(bytes::Bytes::copy_from_slice(raw.as_bytes()), usize::MAX)?;
    for name in object.names() {
        check_known(name)?;
    }
    read(&Fields(&object)).map_err(|error| ParseError {
        param: error.param.as_ref().map(|param| format!("{FIELD}.{param}")),
        message: error.message.replacen('`', &format!("`{FIELD}."), 1),
        ..error
    })
}

fn check_known(name: &str) -> Result<(), ParseError> {
    if KEYS.contains(&name) {
        return Ok(());
    }
    let hint = match did_you_mean(name, KEYS) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("known fields are {}.", KEYS.join(", ")),
    };
    Err(ParseError::at(format!("{FIELD}.{name}"), format!("`{FIELD}.{name}` is not a known field; {hint}")))
}

fn read(fields: &Fields<'_>) -> Result<Extension, ParseError> {
    Ok(Extension {
        quality: fields.number("quality", 0.0..=1.0)?,
        max_cost: not_negative("max_cost", fields.read("max_cost", "a number of US dollars")?)?,
        max_latency_ms: not_negative("max_latency_ms", fields.read("max_latency_ms", "a number of milliseconds")?)?,
        tags: fields.read("tags", "a list of strings")?.unwrap_or_default(),
        cache: cache_control(fields.read("cache", "a string")?)?,
        cache_tags: cache_tags(fields.read("cache_tags", "a list of strings")?.unwrap_or_default())?,
        scope: fields.read("scope", "a string")?,
        explain: fields.flag("explain")?,
    })
}

fn not_negative(name: &str, number: Option<f64>) -> Result<Option<f64>, ParseError> {
    match number {
        Some(number) if number < 0.0 => {
            Err(ParseError::at(name, format!("`{name}` must not be negative, but it is {number}.")))
        }
        _ => Ok(number),
    }
}

fn cache_tags(tags: Vec<String>) -> Result<Vec<String>, ParseError> {
    if tags.len() > MOST_CACHE_TAGS || tags.iter().any(|tag| tag.is_empty() || tag.len() > MOST_TAG_BYTES) {
        let message = format!("`cache_tags` must be at most {MOST_CACHE_TAGS} texts of 1 to {MOST_TAG_BYTES} bytes.");
        return Err(ParseError::at("cache_tags", message));
    }
    Ok(tags)
}

fn cache_control(text: Option<String>) -> Result<Option<String>, ParseError> {
    let Some(text) = text else { return Ok(None) };
    let is_known = |word: &str| matches!(word.trim(), "no-store" | "no-cache");
    if !text.split(',').all(is_known) {
        let message = format!("`cache` must be \"no-store\", \"no-cache\" or both with a comma, but it is {text:?}.");
        return Err(ParseError::at("cache", message));
    }
    Ok(Some(text))
}
