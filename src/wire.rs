//! OpenAI and Anthropic JSON and server-sent events: pure functions between bytes and types.
//!
//! Nothing here does I/O. Requests are kept as the bytes that came, with a typed view beside them, and only what must change
//! is spliced ([`raw::RawObject`]); a field that Pointsman does not know reaches the provider byte for byte.

pub mod chat;
pub mod embeddings;
pub mod raw;
pub mod text;
