//! Grammars of answers that are nothing but calls.

use mistralrs_core::llguidance::api::TopLevelGrammar;
use serde_json::{Map, Value, json};

use super::{Style, Tooling};
use crate::wire::chat::tools::{Function, ToolChoice, Tools};

/// Where schemas keep what they refer to.
const SHELVES: [&str; 2] = ["$defs", "definitions"];

impl Tooling {
    /// Returns the grammar of the calls that must be made; `None` where none must.
    ///
    /// # Errors
    /// A schema is none, or two of them mean different things by one name; the text says which.
    pub(in super::super) fn grammar(&self, style: Style) -> Result<Option<TopLevelGrammar>, String> {
        let Some(tools) = self.tools.as_ref().filter(|_| self.is_constrained()) else { return Ok(None) };
        let schema = schema(tools)?;
        if style == Style::Bare {
            return Ok(Some(TopLevelGrammar::from_json_schema(schema)));
        }
        let may_repeat = tools.is_parallel && tools.choice == ToolChoice::Required;
        let start = if may_repeat { "call (\"\\n\" call)*" } else { "call" };
        let lark = format!("start: {start}\ncall: \"<tool_call>\\n\" body \"\\n</tool_call>\"\nbody: %json {schema}\n");
        Ok(Some(TopLevelGrammar::from_lark(lark)))
    }
}

/// Returns the schema of one call.
fn schema(tools: &Tools) -> Result<Value, String> {
    let is_wanted = |function: &&Function| match &tools.choice {
        ToolChoice::Named(name) => *name == function.name,
        ToolChoice::None | ToolChoice::Auto | ToolChoice::Required => true,
    };
    let mut shelves = Map::new();
    let mut calls = Vec::new();
    for function in tools.functions.iter().filter(is_wanted) {
        calls.push(call(function, &mut shelves)?);
    }
    let mut schema = match calls.as_slice() {
        [only] => only.clone(),
        _ => json!({ "anyOf": calls }),
    };
    if let Some(object) = schema.as_object_mut() {
        object.extend(shelves);
    }
    Ok(schema)
}

/// Returns the schema of a call of one function. References of a schema start at the root, so what they refer to moves there.
fn call(function: &Function, shelves: &mut Map<String, Value>) -> Result<Value, String> {
    let name = &function.name;
    let mut parameters: Map<String, Value> = serde_json::from_str(&function.parameters)
        .map_err(|error| format!("the parameters of {name} are no schema: {error}"))?;
    for shelf in SHELVES {
        let Some(Value::Object(definitions)) = parameters.remove(shelf) else { continue };
        let Some(shared) = shelves.entry(shelf).or_insert_with(|| json!({})).as_object_mut() else { continue };
        for (key, definition) in definitions {
            if shared.get(&key).is_some_and(|other| *other != definition) {
                return Err(format!("{name} and another tool define {key:?} differently"));
            }
            shared.insert(key, definition);
        }
    }
    parameters.entry("type").or_insert_with(|| "object".into());
    Ok(json!({
        "type": "object",
        "properties": { "name": { "const": name }, "arguments": parameters },
        "required": ["name", "arguments"],
        "additionalProperties": false,
    }))
}
