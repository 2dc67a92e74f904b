//! The `messages` of a chat request.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Message, PartKind, Role};
use crate::wire::parse::{Fields, Limits, ParseError};

const ROLES: &str = "\"system\", \"developer\", \"user\", \"assistant\", \"tool\" or \"function\"";
const CONTENT: &str = "a string or a list of content parts";

#[derive(Deserialize)]
struct MessageDocument<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PartDocument<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
}

/// Parses `messages`: at least one, at most as many as the limit.
pub(super) fn parse(fields: &Fields<'_>, limits: &Limits) -> Result<Vec<Message>, ParseError> {
    let expected = "a list of messages";
    let list: Option<Vec<&RawValue>> = fields.read("messages", expected)?;
    let list = list.ok_or_else(|| ParseError::missing("messages", expected))?;
    if list.is_empty() {
        return Err(ParseError::at("messages", "`messages` is empty; send at least one message."));
    }
    if list.len() > limits.messages {
        let message = format!("`messages` has {} messages; at most {} are allowed.", list.len(), limits.messages);
        return Err(ParseError::at("messages", message));
    }
    list.iter().enumerate().map(|(at, raw)| parse_message(at, raw.get())).collect()
}

fn parse_message(at: usize, raw: &str) -> Result<Message, ParseError> {
    let path = || format!("messages[{at}]");
    let expected = "an object with `role` and `content`";
    let document: MessageDocument<'_> =
        serde_json::from_str(raw).map_err(|_| ParseError::expected(&path(), expected, raw))?;
    let role = parse_role(&format!("{}.role", path()), document.role)?;
    let mut message = Message { role, text: String::new(), parts: Vec::new() };
    match document.content.map(RawValue::get) {
        Some(raw) => parse_content(&format!("{}.content", path()), raw, &mut message)?,
        None if matches!(role, Role::Assistant | Role::Tool) => {}
        None => return Err(ParseError::missing(&format!("{}.content", path()), CONTENT)),
    }
    Ok(message)
}

fn parse_role(path: &str, raw: Option<&RawValue>) -> Result<Role, ParseError> {
    let raw = raw.ok_or_else(|| ParseError::missing(path, ROLES))?.get();
    match serde_json::from_str::<String>(raw).as_deref() {
        Ok("system") => Ok(Role::System),
        Ok("developer") => Ok(Role::Developer),
        Ok("user") => Ok(Role::User),
        Ok("assistant") => Ok(Role::Assistant),
        Ok("tool" | "function") => Ok(Role::Tool),
        Ok(other) => Err(ParseError::at(path, format!("`{path}` is {other:?}; it must be {ROLES}."))),
        Err(_) => Err(ParseError::expected(path, ROLES, raw)),
    }
}

fn parse_content(path: &str, raw: &str, message: &mut Message) -> Result<(), ParseError> {
    if raw.starts_with('"') {
        message.text = parse_text(path, raw)?;
        return Ok(());
    }
    let parts: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| ParseError::expected(path, CONTENT, raw))?;
    for (at, part) in parts.iter().enumerate() {
        parse_part(&format!("{path}[{at}]"), part.get(), message)?;
    }
    Ok(())
}

fn parse_part(path: &str, raw: &str, message: &mut Message) -> Result<(), ParseError> {
    let expected = "an object with a `type`";
    let part: PartDocument<'_> = serde_json::from_str(raw).map_err(|_| ParseError::expected(path, expected, raw))?;
    let kind_path = format!("{path}.type");
    let kind = part.r#type.ok_or_else(|| ParseError::missing(&kind_path, "a string such as \"text\""))?.get();
    let kind: String = serde_json::from_str(kind).map_err(|_| ParseError::expected(&kind_path, "a string", kind))?;
    match kind.as_str() {
        "text" => add_text(&format!("{path}.text"), part.text, message),
        "refusal" => add_text(&format!("{path}.refusal"), part.refusal, message),
        other => {
            message.parts.extend(part_kind(other));
            Ok(())
        }
    }
}

/// Returns the kind of a part that is not text; `None` for kinds that the gateway does not know and passes on unread.
fn part_kind(name: &str) -> Option<PartKind> {
    match name {
        "image_url" => Some(PartKind::Image),
        "input_audio" => Some(PartKind::Audio),
        "file" => Some(PartKind::File),
        "video_url" => Some(PartKind::Video),
        _ => None,
    }
}

fn add_text(path: &str, raw: Option<&RawValue>, message: &mut Message) -> Result<(), ParseError> {
    let raw = raw.ok_or_else(|| ParseError::missing(path, "a string"))?.get();
    let text = parse_text(path, raw)?;
    if !message.text.is_empty() {
        message.text.push('\n');
    }
    message.text.push_str(&text);
    Ok(())
}

fn parse_text(path: &str, raw: &str) -> Result<String, ParseError> {
    if !raw.starts_with('"') {
        return Err(ParseError::expected(path, "a string", raw));
    }
    // The text is valid JSON already; what is left to fail are halves of surrogate pairs.
    serde_json::from_str(raw).map_err(|error| ParseError::at(path, format!("`{path}` is not a valid string: {error}.")))
}
