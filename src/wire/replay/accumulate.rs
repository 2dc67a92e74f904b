//! Collecting the chunks of a stream into a whole chat completion.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::{ReplayError, copied, list, object};
use crate::wire::raw::{RawObject, quoted};

/// Collects chunks. Fields of deltas are joined by kind: text is appended, lists are chained, of anything else the last counts.
#[derive(Debug, Default)]
pub struct Accumulator {
    /// The first chunk's fields but `object`, `choices` and `usage`.
    envelope: Vec<(String, String)>,
    choices: BTreeMap<u64, Choice>,
    usage: Option<String>,
}

#[derive(Debug, Default)]
struct Choice {
    message: Fields,
    tool_calls: BTreeMap<u64, Fields>,
    logprobs: Option<Fields>,
    finish_reason: Option<String>,
}

impl Accumulator {
    /// Adds one chunk.
    ///
    /// # Errors
    /// It is not a chunk of a chat completion.
    pub fn push(&mut self, chunk: &Bytes) -> Result<(), ReplayError> {
        let chunk = object(chunk.clone())?;
        if self.envelope.is_empty() {
            let shared = |name: &str| !matches!(name, "object" | "choices" | "usage");
            let fields = chunk.fields().filter(|(name, _)| shared(name));
            self.envelope = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| *usage != "null") {
            self.usage = Some(usage.to_owned());
        }
        for choice in list(chunk.get("choices").unwrap_or("[]"))? {
            self.add_choice(&object(choice)?)?;
        }
        Ok(())
    }

    fn add_choice(&mut self, part: &RawObject) -> Result<(), ReplayError> {
        let choice = self.choices.entry(index_of(part)).or_default();
        if let Some(reason) = present(part.get("finish_reason")) {
            choice.finish_reason = Some(reason.to_owned());
        }
        if let Some(logprobs) = present(part.get("logprobs")) {
            choice.logprobs.get_or_insert_default().merge(object(copied(logprobs))?.fields(), Fields::join)?;
        }
        let Some(delta) = present(part.get("delta")) else { return Ok(()) };
        let delta = object(copied(delta))?;
        for call in list(present(delta.get("tool_calls")).unwrap_or("[]"))? {
            let call = object(call)?;
            let fields = call.fields().filter(|(name, _)| *name != "index");
            choice.tool_calls.entry(index_of(&call)).or_default().merge(fields, Fields::join_call)?;
        }
        // Tool calls are collected by their index, beside the message.
        choice.message.merge(delta.fields().filter(|(name, _)| *name != "tool_calls"), Fields::join_message)
    }

    /// Returns the whole completion, choices and tool calls in the order of their indices.
    pub fn finish(self) -> Bytes {
        let mut out = BytesMut::from(&b"{\"object\":\"chat.completion\""[..]);
        for (name, value) in &self.envelope {
            write_field(name, value, &mut out);
        }
        let choices: Vec<String> = self.choices.into_iter().map(|(index, choice)| choice.render(index)).collect();
        write_field("choices", &format!("[{}]", choices.join(",")), &mut out);
        if let Some(usage) = &self.usage {
            write_field("usage", usage, &mut out);
        }
        out.put_u8(b'}');
        out.freeze()
    }
}

impl Choice {
    fn render(self, index: u64) -> String {
        let Self { mut message, tool_calls, logprobs, finish_reason } = self;
        if !tool_calls.is_empty() {
            let calls: Vec<String> = tool_calls.values().map(Fields::render).collect();
            message.0.push(("tool_calls".to_owned(), Value::Raw(format!("[{}]", calls.join(",")))));
        }
        let logprobs = logprobs.map_or_else(|| "null".to_owned(), |logprobs| logprobs.render());
        let finish_reason = finish_reason.unwrap_or_else(|| "null".to_owned());
        let message = message.render();
        format!("{{\"index\":{index},\"message\":{message},\"logprobs\":{logprobs},\"finish_reason\":{finish_reason}}}")
    }
}

/// Fields that grow with every chunk, in the order in which they appeared.
#[derive(Debug, Default)]
struct Fields(Vec<(String, Value)>);

#[derive(Debug)]
enum Value {
    /// A string, escapes resolved.
    Text(String),
    /// The items of a list, as JSON text.
    List(Vec<String>),
    /// Fields that grow themselves.
    Nested(Fields),
    /// Anything else, as JSON text.
    Raw(String),
}

/// How a new value joins the one before it.
type Join = fn(&str, Option<Value>, &str) -> Result<Value, ReplayError>;

impl Fields {
    fn merge<'a>(&mut self, part: impl Iterator<Item = (&'a str, &'a str)>, join: Join) -> Result<(), ReplayError> {
        for (name, raw) in part {
            let slot = self.0.iter_mut().find(|(known, _)| known == name);
            match slot {
                Some((_, value)) => {
                    let before = std::mem::replace(value, Value::Raw("null".to_owned()));
                    *value = join(name, Some(before), raw)?;
                }
                None => self.0.push((name.to_owned(), join(name, None, raw)?)),
            }
        }
        Ok(())
    }

    /// Joins by kind; null changes nothing.
    fn join(_: &str, before: Option<Value>, raw: &str) -> Result<Value, ReplayError> {
        Ok(match (before, Value::read(raw)?) {
            (Some(before), Value::Raw(raw)) if raw == "null" => before,
            (Some(Value::Text(text)), Value::Text(more)) => Value::Text(text + &more),
            (Some(Value::List(items)), Value::List(more)) => Value::List([items, more].concat()),
            (_, value) => value,
        })
    }

    /// As [`Fields::join`], but names and ids are said once, and the parts of a function or of audio grow themselves.
    fn join_once(name: &str, before: Option<Value>, raw: &str) -> Result<Value, ReplayError> {
        match before {
            Some(before @ Value::Text(_)) if is_said_once(name) => Ok(before),
            before => Self::join(name, before, raw),
        }
    }

    fn join_call(name: &str, before: Option<Value>, raw: &str) -> Result<Value, ReplayError> {
        if name == "function" { Self::join_nested(before, raw) } else { Self::join_once(name, before, raw) }
    }

    fn join_message(name: &str, before: Option<Value>, raw: &str) -> Result<Value, ReplayError> {
        match name {
            "function_call" | "audio" => Self::join_nested(before, raw),
            _ => Self::join_once(name, before, raw),
        }
    }

    fn join_nested(before: Option<Value>, raw: &str) -> Result<Value, ReplayError> {
        if raw == "null" {
            return Ok(before.unwrap_or_else(|| Value::Raw("null".to_owned())));
        }
        let mut fields = match before {
            Some(Value::Nested(fields)) => fields,
            _ => Self::default(),
        };
        fields.merge(object(copied(raw))?.fields(), Self::join_once)?;
        Ok(Value::Nested(fields))
    }

    fn render(&self) -> String {
        let fields: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.render())).collect();
        format!("{{{}}}", fields.join(","))
    }
}

fn is_said_once(name: &str) -> bool {
    matches!(name, "role" | "id" | "type" | "name")
}

impl Value {
    fn read(raw: &str) -> Result<Self, ReplayError> {
        Ok(match raw.as_bytes().first() {
            Some(b'"') => match serde_json::from_str(raw) {
                Ok(text) => Self::Text(text),
                // Half a surrogate pair: kept as it is spelled.
                Err(_) => Self::Raw(raw.to_owned()),
            },
            Some(b'[') => {
                let items = list(raw)?;
                Self::List(items.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect())
            }
            _ => Self::Raw(raw.to_owned()),
        })
    }

    fn render(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::List(items) => format!("[{}]", items.join(",")),
            Self::Nested(fields) => fields.render(),
            Self::Raw(raw) => raw.clone(),
        }
    }
}

fn index_of(part: &RawObject) -> u64 {
    part.get("index").and_then(|index| index.parse().ok()).unwrap_or(0)
}

fn present(raw: Option<&str>) -> Option<&str> {
    raw.filter(|raw| *raw != "null")
}

fn write_field(name: &str, value: &str, out: &mut BytesMut) {
    out.put_u8(b',');
    out.extend_from_slice(quoted(name).as_bytes());
    out.put_u8(b':');
    out.extend_from_slice(value.as_bytes());
}
