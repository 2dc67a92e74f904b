//! The `messages` of a chat request.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Message, PartKind, Role};
use crate::wire::parse::{Fields, Limits, ParseError};

const ROLES: &str = "\"system\", \"developer\", \"user\", \"assistant\", \"tool\" or \"function\"";
const MESSAGES: &str = "a list of messages";
const MESSAGE: &str = "an object with `role` and `content`";
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
    let documents = read_documents(fields)?;
    if documents.is_empty() {
        return Err(ParseError::at("messages", "`messages` is empty; send at least one message."));
    }
    if documents.len() > limits.messages {
        let message = format!("`messages` has {} messages; at most {} are allowed.", documents.len(), limits.messages);
        return Err(ParseError::at("messages", message));
    }
    documents.iter().enumerate().map(|(at, document)| parse_message(at, document)).collect()
}

fn read_documents<'a>(fields: &Fields<'a>) -> Result<Vec<MessageDocument<'a>>, ParseError> {
    let raw = fields.raw("messages").ok_or_else(|| ParseError::missing("messages", MESSAGES))?;
    // All messages in one pass; only when one of them is no object is it looked for.
    match serde_json::from_str(raw) {
        Ok(documents) => Ok(documents),
        Err(_) => Err(misshapen(fields, raw)?),
    }
}

/// Returns the error that names the message that is no object.
fn misshapen(fields: &Fields<'_>, raw: &str) -> Result<ParseError, ParseError> {
    let list: Vec<&RawValue> = fields.read("messages", MESSAGES)?.unwrap_or_default();
    let is_misshapen = |raw: &&RawValue| serde_json::from_str::<MessageDocument<'_>>(raw.get()).is_err();
    let at = list.iter().position(is_misshapen).unwrap_or(0);
    let raw = list.get(at).map_or(raw, |message| message.get());
    Ok(ParseError::expected(&format!("messages[{at}]"), MESSAGE, raw))
}

fn parse_message(at: usize, document: &MessageDocument<'_>) -> Result<Message, ParseError> {
    let role = parse_role(at, document.role)?;
    let mut message = Message { role, text: String::new(), parts: Vec::new() };
    let path = || format!("messages[{at}].content");
    match document.content.map(RawValue::get) {
        Some(raw) => parse_content(&path(), raw, &mut message)?,
        None if matches!(role, Role::Assistant | Role::Tool) => {}
        None => return Err(ParseError::missing(&path(), CONTENT)),
    }
    Ok(message)
}

fn parse_role(at: usize, raw: Option<&RawValue>) -> Result<Role, ParseError> {
    let path = || format!("messages[{at}].role");
    let raw = raw.ok_or_else(|| ParseError::missing(&path(), ROLES))?.get();
    match serde_json::from_str::<String>(raw).as_deref() {
        Ok("system") => Ok(Role::System),
        Ok("developer") => Ok(Role::Developer),
        Ok("user") => Ok(Role::User),
        Ok("assistant") => Ok(Role::Assistant),
        Ok("tool" | "function") => Ok(Role::Tool),
        Ok(other) => Err(ParseError::at(path(), format!("`{}` is {other:?}; it must be {ROLES}.", path()))),
        Err(_) => Err(ParseError::expected(&path(), ROLES, raw)),
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
