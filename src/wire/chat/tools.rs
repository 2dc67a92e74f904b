//! The tools of a chat request, for backends that call them by themselves. Others pass them on unread.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::{
    parse::{Fields, ParseError},
    raw::RawObject,
};

/// Longest name of a function, in bytes.
const MOST_NAME_BYTES: usize = 64;

/// Functions that a model may call, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// At least one, each with a name of its own.
    pub functions: Vec<Function>,
    /// `tool_choice`.
    pub choice: ToolChoice,
    /// `parallel_tool_calls`: whether an answer may have more than one call; true when absent.
    pub is_parallel: bool,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Letters, digits, `_` and `-`; at most 64.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The JSON schema of its arguments, an object, as raw JSON text.
    pub parameters: String,
}

/// Whether functions are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// None is.
    None,
    /// The model decides.
    Auto,
    /// At least one is.
    Required,
    /// This one is, once.
    Named(String),
}

/// A function call of a message of the conversation so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastCall {
    /// `id`, by which a later message answers it.
    pub id: String,
    /// The function.
    pub name: String,
    /// JSON text.
    pub arguments: String,
}

/// What one message says beside its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolTalk {
    /// `tool_calls` of an assistant's message.
    pub calls: Vec<PastCall>,
    /// `tool_call_id` of a tool's message.
    pub answers: Option<String>,
    /// `name`.
    pub name: Option<String>,
}

#[derive(Deserialize)]
struct ToolDocument<'a> {
    r#type: String,
    #[serde(borrow)]
    function: Option<FunctionDocument<'a>>,
}

#[derive(Deserialize)]
struct FunctionDocument<'a> {
    name: String,
    description: Option<String>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct TalkDocument {
    #[serde(default)]
    tool_calls: Option<Vec<CallDocument>>,
    tool_call_id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct CallDocument {
    #[serde(default)]
    id: String,
    function: CalledDocument,
}

#[derive(Deserialize)]
struct CalledDocument {
    name: String,
    #[serde(default)]
    arguments: String,
}

impl Tools {
    /// Reads the tools of a request body; `None` when it has none.
    ///
    /// # Errors
    /// A field is of the wrong shape, or of a kind that only providers know; `param` names it.
    pub fn read(body: &RawObject) -> Result<Option<Self>, ParseError> {
        let fields = Fields(body);
        if fields.raw("functions").is_some() {
            return Err(ParseError::at("functions", "`functions` is not taken by this model; send `tools` instead."));
        }
        let raw: Vec<&RawValue> = fields.read("tools", "a list of tools")?.unwrap_or_default();
        let functions: Vec<Function> =
            raw.iter().enumerate().map(|(at, raw)| parse_tool(at, raw.get())).collect::<Result<_, _>>()?;
        let mut names = HashSet::new();
        if let Some(at) = functions.iter().position(|function| !names.insert(function.name.as_str())) {
            let message = format!("`tools[{at}].function.name` is the name of another tool too.");
            return Err(ParseError::at(format!("tools[{at}].function.name"), message));
        }
        let choice = parse_choice(&fields, &names)?;
        let is_parallel = fields.read("parallel_tool_calls", "a boolean")?.unwrap_or(true);
        if functions.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { functions, choice, is_parallel }))
    }
}

impl ToolTalk {
    /// Reads what the messages of a request body say beside their text, one for each message.
    ///
    /// # Errors
    /// A call has no function, or arguments that are no text.
    pub fn read(body: &RawObject) -> Result<Vec<Self>, ParseError> {
        let raw: Vec<&RawValue> = Fields(body).read("messages", "a list of messages")?.unwrap_or_default();
        let read = |(at, raw): (usize, &&RawValue)| {
            let document: TalkDocument = serde_json::from_str(raw.get()).map_err(|_| {
                let path = format!("messages[{at}].tool_calls");
                let message = format!("`{path}` must be a list of calls, each with an `id` and a `function`.");
                ParseError::at(path, message)
            })?;
            let calls = document.tool_calls.unwrap_or_default().into_iter().map(CallDocument::into_call).collect();
            Ok(Self { calls, answers: document.tool_call_id, name: document.name })
        };
        raw.iter().enumerate().map(read).collect()
    }

    /// Returns whether the message says anything beside its text.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.answers.is_none()
    }
}

impl CallDocument {
    fn into_call(self) -> PastCall {
        PastCall { id: self.id, name: self.function.name, arguments: self.function.arguments }
    }
}

fn parse_tool(at: usize, raw: &str) -> Result<Function, ParseError> {
    let path = format!("tools[{at}]");
    let expected = "an object with `type` \"function\" and a `function`";
    let tool: ToolDocument<'_> = serde_json::from_str(raw).map_err(|_| ParseError::expected(&path, expected, raw))?;
    if tool.r#type != "function" {
        let message = format!("`{path}.type` is {:?}; this model takes only \"function\".", tool.r#type);
        return Err(ParseError::at(format!("{path}.type"), message));
    }
    let function = tool.function.ok_or_else(|| ParseError::missing(&format!("{path}.function"), "an object"))?;
    let is_known = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if function.name.is_empty() || function.name.len() > MOST_NAME_BYTES || !function.name.chars().all(is_known) {
        let message = format!(
            "`{path}.function.name` must be 1 to {MOST_NAME_BYTES} letters, digits, underscores and hyphens, but it is {:?}.",
            function.name
        );
        return Err(ParseError::at(format!("{path}.function.name"), message));
    }
    let parameters = function.parameters.map_or("{}", RawValue::get);
    if !parameters.starts_with('{') {
        return Err(ParseError::expected(&format!("{path}.function.parameters"), "a JSON schema", parameters));
    }
    Ok(Function { name: function.name, description: function.description, parameters: parameters.to_owned() })
}

fn parse_choice(fields: &Fields<'_>, names: &HashSet<&str>) -> Result<ToolChoice, ParseError> {
    let param = "tool_choice";
    let expected = "\"none\", \"auto\", \"required\" or a named function";
    let Some(raw) = fields.raw(param) else { return Ok(ToolChoice::Auto) };
    let choice = match serde_json::from_str::<String>(raw).as_deref() {
        Ok("none") => ToolChoice::None,
        Ok("auto") => ToolChoice::Auto,
        Ok("required") => ToolChoice::Required,
        Ok(other) => {
            return Err(ParseError::at(param, format!("`{param}` is {other:?}; it must be {expected}.")));
        }
        Err(_) => named(raw).ok_or_else(|| ParseError::expected(param, expected, raw))?,
    };
    if let ToolChoice::Named(name) = &choice
        && !names.contains(name.as_str())
    {
        let message = format!("`{param}.function.name` is {name:?}, which is none of the `tools`.");
        return Err(ParseError::at("tool_choice.function.name", message));
    }
    if choice == ToolChoice::Required && names.is_empty() {
        return Err(ParseError::at(param, "`tool_choice` is \"required\", but there are no `tools`."));
    }
    Ok(choice)
}

fn named(raw: &str) -> Option<ToolChoice> {
    #[derive(Deserialize)]
    struct Choice {
        r#type: String,
        function: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }

    let choice: Choice = serde_json::from_str(raw).ok()?;
    (choice.r#type == "function").then_some(ToolChoice::Named(choice.function.name))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(fields: &str) -> Result<Option<Tools>, ParseError> {
        let body = format!("{{{fields}}}");
        Tools::read(&RawObject::parse(Bytes::from(body), 64).unwrap())
    }

    fn param(fields: &str) -> String {
        read(fields).unwrap_err().param.unwrap()
    }

    const ONE: &str =
        r#""tools":[{"type":"function","function":{"name":"f","description":"x","parameters":{ "a":1e400 }}}]"#;

    #[test]
    fn functions_are_read_with_openai_s_defaults() {
        let tools = read(ONE).unwrap().unwrap();

        let function = Function {
            name: "f".to_owned(),
            description: Some("x".to_owned()),
            parameters: r#"{ "a":1e400 }"#.to_owned(),
        };
        assert_eq!(tools, Tools { functions: vec![function], choice: ToolChoice::Auto, is_parallel: true });
        assert_eq!(read(r#""tools":[]"#), Ok(None));
        assert_eq!(read(r#""tools":null,"tool_choice":"none""#), Ok(None));
    }

    #[test]
    fn choices_are_read() {
        let choice = |choice: &str| read(&format!(r#"{ONE},"tool_choice":{choice}"#)).unwrap().unwrap().choice;

        assert_eq!(choice(r#""none""#), ToolChoice::None);
        assert_eq!(choice(r#""required""#), ToolChoice::Required);
        assert_eq!(choice(r#"{"type":"function","function":{"name":"f"}}"#), ToolChoice::Named("f".to_owned()));
    }

    #[test]
    fn faults_name_their_place() {
        let tool = |name: &str| format!(r#"{{"type":"function","function":{{"name":{name}}}}}"#);

        assert_eq!(param(r#""tools":[{"type":"web_search"}]"#), "tools[0].type");
        assert_eq!(param(r#""tools":[{"type":"function"}]"#), "tools[0].function");
        assert_eq!(param(&format!(r#""tools":[{}]"#, tool(r#""a b""#))), "tools[0].function.name");
        assert_eq!(param(&format!(r#""tools":[{0},{0}]"#, tool(r#""a""#))), "tools[1].function.name");
        assert_eq!(
            param(r#""tools":[{"type":"function","function":{"name":"f","parameters":[]}}]"#),
            "tools[0].function.parameters"
        );
        assert_eq!(param(&format!(r#"{ONE},"tool_choice":"always""#)), "tool_choice");
        assert_eq!(
            param(&format!(r#"{ONE},"tool_choice":{{"type":"function","function":{{"name":"g"}}}}"#)),
            "tool_choice.function.name"
        );
        assert_eq!(param(r#""tool_choice":"required""#), "tool_choice");
        assert_eq!(param(r#""functions":[{"name":"f"}]"#), "functions");
        assert_eq!(param(&format!(r#"{ONE},"parallel_tool_calls":1"#)), "parallel_tool_calls");
    }

    #[test]
    fn the_history_tells_calls_and_answers() {
        let body = r#"{"messages":[{"role":"user","content":"x"},
            {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"4"}]}"#;

        let talk = ToolTalk::read(&RawObject::parse(Bytes::from_static(body.as_bytes()), 64).unwrap()).unwrap();

        let call = PastCall { id: "c1".to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() };
        assert!(talk[0].is_empty());
        assert_eq!((talk[1].calls.as_slice(), talk[2].answers.as_deref()), (&[call][..], Some("c1")));
    }
}
