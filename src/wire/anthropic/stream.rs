//! Streamed events as chat completion chunks.

use std::{borrow::Cow, collections::HashMap};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::response::{Block, Counts, Usage, finish_reason};

/// What an event means for the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// More may come.
    More,
    /// The answer is complete.
    End,
    /// The event is an error, to be read by whoever reads error bodies.
    Error,
}

/// Turns the events of one answer into chunks, the usage in one of its own at the end.
#[derive(Debug)]
pub struct Translator {
    created: i64,
    id: String,
    model: String,
    counts: Counts,
    /// Position of a tool call among the tool calls, by the position of its block among the blocks.
    tools: HashMap<u64, Tool>,
    thinking: String,
}

#[derive(Clone, Copy, Debug)]
struct Tool {
    index: usize,
    has_arguments: bool,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    message: Option<Start<'a>>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(default)]
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(default)]
    usage: Counts,
}

/// The delta of a block, or of the message.
#[derive(Default, Deserialize)]
struct Delta<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    #[serde(borrow, default)]
    thinking: Cow<'a, str>,
    #[serde(borrow, default)]
    signature: Cow<'a, str>,
    #[serde(borrow, default)]
    partial_json: Cow<'a, str>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Out<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Out<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_blocks: Option<[&'a RawValue; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'a>; 1]>,
}

#[derive(Serialize)]
struct Call<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// A thinking block put together again, for the caller to send back in its next turn.
#[derive(Serialize)]
struct Thinking<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    thinking: &'a str,
    signature: &'a str,
}

impl Translator {
    /// Returns a translator whose chunks say that they were made at `created`, in Unix seconds.
    pub fn new(created: i64) -> Self {
        Self {
            created,
            id: String::new(),
            model: String::new(),
            counts: Counts::default(),
            tools: HashMap::new(),
            thinking: String::new(),
        }
    }

    /// Reads the data of one event and appends the chunks that it stands for. Events and deltas of unknown kinds stand for none.
    ///
    /// # Errors
    /// The data is no event.
    pub fn push(&mut self, data: &[u8], chunks: &mut Vec<Bytes>) -> Result<Step, serde_json::Error> {
        let event: Event<'_> = serde_json::from_slice(data)?;
        let delta = event.delta.unwrap_or_default();
        if let Some(counts) = event.usage {
            self.counts.update(counts);
        }
        match event.kind.as_ref() {
            "error" => return Ok(Step::Error),
            "message_start" => chunks.push(self.start(event.message)?),
            "content_block_start" => chunks.extend(self.open_block(event.index, event.content_block)?),
            "content_block_delta" => chunks.extend(self.grow_block(event.index, &delta)?),
            "content_block_stop" => chunks.extend(self.close_block(event.index)?),
            "message_delta" => chunks.extend(self.finish(delta.stop_reason.as_deref())?),
            "message_stop" => {
                chunks.push(self.chunk(&[], Some(self.counts.into()))?);
                return Ok(Step::End);
            }
            _ => {}
        }
        Ok(Step::More)
    }

    fn start(&mut self, message: Option<Start<'_>>) -> Result<Bytes, serde_json::Error> {
        if let Some(message) = message {
            self.id = message.id.into_owned();
            self.model = message.model.into_owned();
            self.counts.update(message.usage);
        }
        self.delta(Out { role: Some("assistant"), content: Some(""), ..Out::default() })
    }

    fn open_block(&mut self, at: u64, block: Option<&RawValue>) -> Result<Option<Bytes>, serde_json::Error> {
        let Some(raw) = block else { return Ok(None) };
        let block: Block<'_> = serde_json::from_str(raw.get())?;
        match block.kind.as_ref() {
            "tool_use" => self.open_tool(at, &block).map(Some),
            "redacted_thinking" => self.delta(Out { thinking_blocks: Some([raw]), ..Out::default() }).map(Some),
            "text" => self.text(block.text.as_deref().unwrap_or_default()),
            _ => {
                self.thinking.clear();
                Ok(None)
            }
        }
    }

    /// Some servers send the whole input with the start of the block, and no deltas.
    fn open_tool(&mut self, at: u64, block: &Block<'_>) -> Result<Bytes, serde_json::Error> {
        let arguments = block.input.map_or("{}", RawValue::get);
        let has_arguments = arguments.bytes().any(|byte| !matches!(byte, b'{' | b'}' | b' ' | b'\n' | b'\t' | b'\r'));
        let index = self.tools.len();
        self.tools.insert(at, Tool { index, has_arguments });
        let function = Function { name: block.name.as_deref(), arguments: if has_arguments { arguments } else { "" } };
        self.call(Call { index, id: block.id.as_deref(), kind: Some("function"), function })
    }

    fn grow_block(&mut self, at: u64, delta: &Delta<'_>) -> Result<Option<Bytes>, serde_json::Error> {
        match delta.kind.as_ref() {
            "text_delta" => self.text(&delta.text),
            "thinking_delta" => {
                self.thinking.push_str(&delta.thinking);
                self.delta(Out { reasoning_content: Some(&delta.thinking), ..Out::default() }).map(Some)
            }
            "signature_delta" => self.signed(&delta.signature).map(Some),
            "input_json_delta" if !delta.partial_json.is_empty() => self.arguments(at, &delta.partial_json),
            _ => Ok(None),
        }
    }

    /// A tool without arguments has an empty object, which is the one thing that no delta says.
    fn close_block(&mut self, at: u64) -> Result<Option<Bytes>, serde_json::Error> {
        match self.tools.get(&at) {
            Some(tool) if !tool.has_arguments => self.arguments(at, "{}"),
            _ => Ok(None),
        }
    }

    fn finish(&self, stop_reason: Option<&str>) -> Result<Option<Bytes>, serde_json::Error> {
        let Some(stop_reason) = stop_reason else { return Ok(None) };
        let reason = Some(finish_reason(stop_reason));
        let choice = Choice { index: 0, delta: Out::default(), logprobs: None, finish_reason: reason };
        self.chunk(&[choice], None).map(Some)
    }

    fn text(&self, text: &str) -> Result<Option<Bytes>, serde_json::Error> {
        if text.is_empty() {
            return Ok(None);
        }
        self.delta(Out { content: Some(text), ..Out::default() }).map(Some)
    }

    fn signed(&mut self, signature: &str) -> Result<Bytes, serde_json::Error> {
        let thinking = std::mem::take(&mut self.thinking);
        let block = Thinking { kind: "thinking", thinking: &thinking, signature };
        let block = serde_json::value::to_raw_value(&block)?;
        self.delta(Out { thinking_blocks: Some([&block]), ..Out::default() })
    }

    fn arguments(&mut self, at: u64, arguments: &str) -> Result<Option<Bytes>, serde_json::Error> {
        let Some(tool) = self.tools.get_mut(&at) else { return Ok(None) };
        tool.has_arguments = true;
        let index = tool.index;
        self.call(Call { index, id: None, kind: None, function: Function { name: None, arguments } }).map(Some)
    }

    fn call(&self, call: Call<'_>) -> Result<Bytes, serde_json::Error> {
        self.delta(Out { tool_calls: Some([call]), ..Out::default() })
    }

    fn delta(&self, delta: Out<'_>) -> Result<Bytes, serde_json::Error> {
        self.chunk(&[Choice { index: 0, delta, logprobs: None, finish_reason: None }], None)
    }

    fn chunk(&self, choices: &[Choice<'_>], usage: Option<Usage>) -> Result<Bytes, serde_json::Error> {
        let object = "chat.completion.chunk";
        let chunk = Chunk { id: &self.id, object, created: self.created, model: &self.model, choices, usage };
        serde_json::to_vec(&chunk).map(Bytes::from)
    }
}
