//! OpenAI and Anthropic JSON and server-sent events: pure functions between bytes and types.
//!
//! Nothing here does I/O. Requests are kept as the bytes that came, with a typed view beside them, and only what must change
//! is spliced ([`raw::RawObject`]); a field that Pointsman does not know reaches the provider byte for byte. No
//! `serde_json::Value` stands between reading and writing: it would round large seeds and tiny floats and reorder keys.
//!
//! - Requests: [`chat`], [`embeddings`], [`text`], [`feedback`]; strict about the fields they look at, silent about all others. What they
//!   refuse, they refuse with the path of the field and the fix ([`parse::ParseError`]).
//! - Answers: [`completion`] and [`chunk`] say what the gateway must know of a body or of one streamed chunk; [`replay`] turns
//!   one into the other; [`first_message`] reads what an answer says to its reader; [`usage`] reads token counts of any shape.
//! - Streams: [`sse`] parses and writes server-sent events.
//! - [`logprobs`] reads how likely a model held its tokens to be, and takes that out again; [`json_schema`] holds values to schemas.
//! - [`error_body`] renders and reads errors, [`models`] renders the list of models.
//!
//! To add a wire: one file with its types and two functions, into bytes and out of bytes, with a property test that joins them.

pub mod answer;
pub mod anthropic;
pub mod chat;
pub mod chunk;
pub mod completion;
pub mod embeddings;
pub mod error_body;
pub mod feedback;
pub mod first_message;
pub mod json_schema;
pub mod logprobs;
pub mod models;
pub mod parse;
pub mod raw;
pub mod replay;
pub mod sse;
pub mod text;
pub mod usage;
