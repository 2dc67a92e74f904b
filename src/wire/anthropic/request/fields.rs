//! Which top-level fields are carried over, refused, dropped or foreign.

use serde_json::Value;

use super::MapError;
use crate::wire::chat::{ChatCall, ResponseFormat};

/// Fields that are refused unless their value asks for nothing.
pub const REFUSED: &[&str] = &[
    "n",
    "logprobs",
    "top_logprobs",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "audio",
    "functions",
    "function_call",
    "web_search_options",
];

/// Fields that are dropped: hints, bookkeeping, and promises of best effort only.
pub const DROPPED: &[&str] = &[
    "seed",
    "stream_options",
    "store",
    "service_tier",
    "reasoning_effort",
    "verbosity",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "modalities",
];

/// Fields that have their own mapping.
const MAPPED: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "stream",
    "temperature",
    "top_p",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "metadata",
    "user",
    "safety_identifier",
    "response_format",
    "output_config",
];

/// Refuses what would change the answer if it were ignored.
pub(super) fn check(chat: &ChatCall) -> Result<(), MapError> {
    let refused = REFUSED.iter().find(|name| chat.body.get(name).is_some_and(|text| !asks_for_nothing(name, text)));
    if let Some(name) = refused {
        return Err(MapError::Unsupported((*name).to_owned()));
    }
    if chat.format == ResponseFormat::JsonObject {
        return Err(MapError::Unsupported("response_format.type=json_object".to_owned()));
    }
    Ok(())
}

/// Absent, null, false, zero or empty; for `n` also one, for `function_call` also the word `none`.
fn asks_for_nothing(name: &str, text: &str) -> bool {
    match serde_json::from_str(text) {
        Ok(Value::Null | Value::Bool(false)) => true,
        Ok(Value::Number(number)) => number.as_f64() == Some(0.0) || (name == "n" && number.as_u64() == Some(1)),
        Ok(Value::Array(values)) => values.is_empty(),
        Ok(Value::Object(fields)) => fields.is_empty() && name != "web_search_options",
        Ok(Value::String(word)) => name == "function_call" && word == "none",
        Ok(Value::Bool(true)) | Err(_) => false,
    }
}

/// Returns the fields that OpenAI does not know, as they came.
pub(super) fn foreign(chat: &ChatCall) -> impl Iterator<Item = (&str, &str)> {
    let is_known = |name: &str| [MAPPED, DROPPED, REFUSED].iter().any(|list| list.contains(&name));
    chat.body.fields().filter(move |(name, _)| !is_known(name))
}
