//! Embeddings requests and answers.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    chat::{Extension, take_extension},
    parse::{Fields, Limits, ParseError, parse_body},
    raw::RawObject,
    usage::UsageFields,
};

/// Most inputs of one request, as OpenAI documents.
const MOST_INPUTS: usize = 2048;
const INPUT: &str = "a string, a list of strings, a list of token ids or a list of such lists";

/// An embeddings request. Its `Debug` tells nothing of the texts.
#[derive(Clone)]
pub struct EmbeddingsCall {
    /// The body as it came, without the `pointsman` field.
    pub body: RawObject,
    /// `model`.
    pub model: String,
    /// `input` as texts; `None` when it is token ids, which only a provider can read.
    pub input: Option<Vec<String>>,
    /// `encoding_format` is `base64`.
    pub wants_base64: bool,
    /// `dimensions`.
    pub dimensions: Option<usize>,
    /// The `pointsman` field.
    pub extension: Extension,
}

impl EmbeddingsCall {
    /// Parses a request body.
    ///
    /// # Errors
    /// The body is not a JSON object within `limits`, or a field that the gateway looks at is missing, of the wrong type or out
    /// of range.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        let (body, extension) = take_extension(parse_body(bytes, limits)?)?;
        let fields = Fields(&body);
        let dimensions = fields.integer("dimensions", 1..=1 << 20)?;
        Ok(Self {
            model: fields.model()?,
            input: parse_input(&fields)?,
            wants_base64: parse_wants_base64(&fields)?,
            dimensions: dimensions.and_then(|dimensions| usize::try_from(dimensions).ok()),
            extension,
            body,
        })
    }
}

impl fmt::Debug for EmbeddingsCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingsCall").field("body", &self.body).finish_non_exhaustive()
    }
}

fn parse_wants_base64(fields: &Fields<'_>) -> Result<bool, ParseError> {
    let name = "encoding_format";
    match fields.read::<String>(name, "\"float\" or \"base64\"")?.as_deref() {
        None | Some("float") => Ok(false),
        Some("base64") => Ok(true),
        Some(other) => Err(ParseError::at(name, format!("`{name}` is {other:?}; it must be \"float\" or \"base64\"."))),
    }
}

fn parse_input(fields: &Fields<'_>) -> Result<Option<Vec<String>>, ParseError> {
    let raw = fields.raw("input").ok_or_else(|| ParseError::missing("input", INPUT))?;
    if raw.starts_with('"') {
        return Ok(fields.read("input", INPUT)?.map(|text| vec![text]));
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| ParseError::expected("input", INPUT, raw))?;
    if items.is_empty() || items.iter().all(|item| item.get().starts_with('"')) {
        return check_count(&items).and_then(|()| fields.read("input", INPUT));
    }
    parse_token_ids(&items).map(|()| None)
}

fn check_count(items: &[&RawValue]) -> Result<(), ParseError> {
    match items.len() {
        0 => Err(ParseError::at("input", "`input` is empty; send at least one text.")),
        1..=MOST_INPUTS => Ok(()),
        count => Err(ParseError::at("input", format!("`input` has {count} texts; at most {MOST_INPUTS} are allowed."))),
    }
}

/// Checks token ids: numbers, or lists of numbers.
fn parse_token_ids(items: &[&RawValue]) -> Result<(), ParseError> {
    let is_id = |item: &&&RawValue| serde_json::from_str::<u64>(item.get()).is_ok();
    let is_list = |item: &&&RawValue| serde_json::from_str::<Vec<u64>>(item.get()).is_ok_and(|ids| !ids.is_empty());
    let is_flat = items.first().is_some_and(|item| is_id(&item));
    let fits = |item: &&&RawValue| if is_flat { is_id(item) } else { is_list(item) };
    match items.iter().position(|item| !fits(&item)) {
        None => Ok(()),
        Some(at) => {
            Err(ParseError::at(format!("input[{at}]"), format!("`input` must be {INPUT}; item {at} does not fit.")))
        }
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<Item>,
    model: &'a str,
    usage: AnswerUsage,
}

#[derive(Serialize)]
struct Item {
    object: &'static str,
    index: usize,
    embedding: Embedding,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Embedding {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct AnswerUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// Renders an embeddings answer, the vectors in the order of the request's inputs; base64 holds little-endian f32.
pub fn render_embeddings(model: &str, vectors: &[Vec<f32>], wants_base64: bool, prompt_tokens: u64) -> Bytes {
    let item = |(index, vector): (usize, &Vec<f32>)| Item {
        object: "embedding",
        index,
        embedding: if wants_base64 { Embedding::Base64(base64_of(vector)) } else { Embedding::Floats(vector.clone()) },
    };
    let answer = Answer {
        object: "list",
        data: vectors.iter().enumerate().map(item).collect(),
        model,
        usage: AnswerUsage { prompt_tokens, total_tokens: prompt_tokens },
    };
    // Plain numbers and strings always serialise; non-finite floats become null.
    Bytes::from(serde_json::to_vec(&answer).unwrap_or_default())
}

fn base64_of(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// Returns the usage of an embeddings answer and how many vectors it holds; `None` when it is not one.
pub fn read_embeddings(body: &[u8]) -> Option<(Option<UsageFields>, usize)> {
    #[derive(Deserialize)]
    struct Document<'a> {
        data: Vec<IgnoredAny>,
        #[serde(borrow)]
        usage: Option<&'a RawValue>,
    }

    let document: Document<'_> = serde_json::from_slice(body).ok()?;
    let usage = document.usage.and_then(|raw| UsageFields::read(raw.get()));
    Some((usage, document.data.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { messages: 4, choices: 8, depth: 8 };

    fn parse(body: &str) -> Result<EmbeddingsCall, ParseError> {
        EmbeddingsCall::parse(Bytes::copy_from_slice(body.as_bytes()), &LIMITS)
    }

    #[test]
    fn the_pointsman_field_is_read_and_taken_out() {
        let call = parse(r#"{"model":"m","pointsman":{"max_cost":0.5},"input":"x"}"#).unwrap();

        assert_eq!(call.extension.max_cost, Some(0.5));
        assert_eq!(call.body.bytes(), &r#"{"model":"m","input":"x"}"#);
    }

    #[test]
    fn texts_are_read_and_token_ids_left_to_the_provider() {
        let input = |raw: &str| parse(&format!(r#"{{"model":"m","input":{raw}}}"#)).unwrap().input;

        assert_eq!(input(r#""a""#), Some(vec!["a".to_owned()]));
        assert_eq!(input(r#"["a","b"]"#), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(input("[1,2]"), None);
        assert_eq!(input("[[1],[2,3]]"), None);
    }

    #[test]
    fn faults_name_their_place() {
        let param = |rest: &str| parse(&format!(r#"{{"model":"m",{rest}}}"#)).unwrap_err().param.unwrap();

        assert_eq!(param(r#""input":[]"#), "input");
        assert_eq!(param(r#""input":["a",1]"#), "input[0]");
        assert_eq!(param(r#""input":{}"#), "input");
        assert_eq!(param(r#""input":"a","encoding_format":"hex""#), "encoding_format");
        assert_eq!(param(r#""input":"a","dimensions":0"#), "dimensions");
    }

    #[test]
    fn answers_are_rendered_in_both_encodings() {
        let vectors = [vec![0.5_f32, -1.0]];

        let floats = render_embeddings("m", &vectors, false, 3);
        let base64 = render_embeddings("m", &vectors, true, 3);

        let expected = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1.0]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#;
        assert_eq!(floats, expected.as_bytes());
        assert!(String::from_utf8_lossy(&base64).contains(r#""embedding":"AAAAPwAAgL8=""#));
        let (usage, count) = read_embeddings(&floats).unwrap();
        assert_eq!((usage.unwrap().prompt, count), (3, 1));
    }
}
