//! Tools and the choice among them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    MapError,
    object::{Object, list},
    read,
};
use crate::wire::raw::RawObject;

/// What a tool without parameters takes.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

/// Returns the `tools` field. A tool that is no function is taken for Anthropic's own.
pub(super) fn tools(body: &RawObject) -> Result<Option<String>, MapError> {
    let tools: Option<Vec<&RawValue>> = read(body.get("tools"), "tools")?;
    let Some(tools) = tools.filter(|tools| !tools.is_empty()) else { return Ok(None) };
    let texts: Result<Vec<String>, MapError> = tools.iter().map(|tool| function(tool.get())).collect();
    Ok(Some(list(&texts?)))
}

fn function(text: &str) -> Result<String, MapError> {
    let tool: Tool<'_> = read(Some(text), "tools")?;
    let Some(function) = tool.function else { return Ok(text.to_owned()) };
    let mut out = Object::default().with("name", &function.name);
    out.set_some("description", function.description.as_deref());
    out.raw("input_schema", function.parameters.map_or(NO_PARAMETERS, RawValue::get));
    out.set_some("strict", function.strict.filter(|strict| *strict).as_ref());
    out.raw_some("cache_control", tool.cache_control.map(RawValue::get));
    Ok(out.finish())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Choice {
    Word(String),
    Named { function: Name },
    Other {},
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

/// Returns the `tool_choice` field; without tools there is nothing to choose.
pub(super) fn choice(body: &RawObject) -> Result<Option<String>, MapError> {
    let tools: Option<Vec<&RawValue>> = read(body.get("tools"), "tools")?;
    if tools.is_none_or(|tools| tools.is_empty()) {
        return Ok(None);
    }
    let is_parallel = read::<Option<bool>>(body.get("parallel_tool_calls"), "parallel_tool_calls")?.unwrap_or(true);
    let choice: Option<Choice> = read(body.get("tool_choice"), "tool_choice")?;
    let out = match &choice {
        None if is_parallel => return Ok(None),
        None => kind("auto"),
        Some(Choice::Word(word)) => kind(word_kind(word)?),
        Some(Choice::Named { function }) => kind("tool").with("name", &function.name),
        Some(Choice::Other {}) => return own(body.get("tool_choice").unwrap_or_default()).map(Some),
    };
    let may_call = !matches!(&choice, Some(Choice::Word(word)) if word == "none");
    let out = if may_call && !is_parallel { out.with("disable_parallel_tool_use", &true) } else { out };
    Ok(Some(out.finish()))
}

fn kind(kind: &str) -> Object {
    Object::default().with("type", kind)
}

fn word_kind(word: &str) -> Result<&'static str, MapError> {
    match word {
        "auto" => Ok("auto"),
        "none" => Ok("none"),
        "required" => Ok("any"),
        _ => Err(MapError::Unsupported(format!("tool_choice={word}"))),
    }
}

/// Anthropic's own notation passes; OpenAI's list of allowed tools has no counterpart.
fn own(text: &str) -> Result<String, MapError> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
    }

    let kind: Kind = read(Some(text), "tool_choice")?;
    match kind.kind.as_str() {
        "auto" | "any" | "tool" | "none" => Ok(text.to_owned()),
        other => Err(MapError::Unsupported(format!("tool_choice.type={other}"))),
    }
}
