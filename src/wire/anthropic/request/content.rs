//! Message content: text, or a list of parts.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    MapError,
    object::{Object, list},
    read,
};

/// The content of a message as blocks of JSON text. Empty texts are left out: Anthropic refuses them.
pub(super) fn blocks(content: Option<&RawValue>) -> Result<Vec<String>, MapError> {
    let Some(content) = content.map(RawValue::get) else { return Ok(Vec::new()) };
    if content.starts_with('"') {
        let text: Cow<'_, str> = read(Some(content), "messages.content")?;
        return Ok(text_block(&text).into_iter().collect());
    }
    let parts: Option<Vec<&RawValue>> = read(Some(content), "messages.content")?;
    let mut blocks = Vec::new();
    for part in parts.unwrap_or_default() {
        blocks.extend(block(part.get())?);
    }
    Ok(blocks)
}

/// The content of a tool's result: text as it is, parts as blocks.
pub(super) fn result(content: Option<&RawValue>) -> Result<Option<String>, MapError> {
    match content.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(text) if text.starts_with('"') => Ok(Some(text.to_owned())),
        Some(_) => Ok(Some(list(&blocks(content)?))),
    }
}

pub(super) fn text_block(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| Object::default().with("type", "text").with("text", text).finish())
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    image_url: Option<Image<'a>>,
    #[serde(borrow)]
    file: Option<File<'a>>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    file_data: Option<Cow<'a, str>>,
    #[serde(borrow)]
    filename: Option<Cow<'a, str>>,
}

/// A text part is a text block already, with whatever else it carries; a part that OpenAI does not know is taken for
/// Anthropic's own.
fn block(part: &str) -> Result<Option<String>, MapError> {
    let shape: Part<'_> = read(Some(part), "messages.content")?;
    match shape.kind.as_ref() {
        "text" if shape.text.as_deref() == Some("") => Ok(None),
        "refusal" => Ok(text_block(&shape.refusal.unwrap_or_default())),
        "image_url" => image(&shape).map(Some),
        "file" => document(&shape).map(Some),
        "input_audio" | "video_url" => Err(MapError::Unsupported(format!("messages.content.{}", shape.kind))),
        _ => Ok(Some(part.to_owned())),
    }
}

fn image(part: &Part<'_>) -> Result<String, MapError> {
    let Some(image) = &part.image_url else {
        return Err(MapError::Shape("messages.content.image_url".to_owned(), "no image".to_owned()));
    };
    let mut block = Object::default().with("type", "image").with_raw("source", &source(&image.url));
    block.raw_some("cache_control", part.cache_control.map(RawValue::get));
    Ok(block.finish())
}

fn document(part: &Part<'_>) -> Result<String, MapError> {
    let file = part.file.as_ref();
    let Some(data) = file.and_then(|file| file.file_data.as_deref()) else {
        return Err(MapError::Unsupported("messages.content.file.file_id".to_owned()));
    };
    let mut block = Object::default().with("type", "document").with_raw("source", &source(data));
    block.set_some("title", file.and_then(|file| file.filename.as_deref()));
    block.raw_some("cache_control", part.cache_control.map(RawValue::get));
    Ok(block.finish())
}

/// `data:<media type>;base64,<data>` is sent along, any other address is fetched by Anthropic.
fn source(url: &str) -> String {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let Some((media_type, data)) = inline else {
        return Object::default().with("type", "url").with("url", url).finish();
    };
    let media_type = media_type.split(';').next().unwrap_or_default();
    Object::default().with("type", "base64").with("media_type", media_type).with("data", data).finish()
}
