//! Anthropic's Messages API: OpenAI chat requests into its requests, its answers and events back into OpenAI's.
//!
//! Everything here is pure. JSON that both sides understand alike (tool schemas, tool arguments, text blocks, fields that only
//! Anthropic knows) is carried over as text and never decoded.
//!
//! What a chat request becomes:
//! - `system` and `developer` messages, wherever they stand, become the blocks of the top-level `system` field, in order.
//! - Adjacent messages of one role become one, because all results of one round of tool calls must stand in one user message.
//! - `max_tokens` is required there: without a limit of the caller's, the model's own is used.
//! - `temperature` above 1, the end of Anthropic's range, becomes 1.
//! - `response_format` of a JSON schema becomes Anthropic's structured output (`output_config.format`), not a forced tool: it
//!   works together with the caller's own tools and with thinking, and the answer stays text as OpenAI's does.
//! - `user` (or `safety_identifier`) becomes `metadata.user_id`.
//! - A field that OpenAI does not know (`thinking`, `top_k`, `output_config`, ...) reaches Anthropic as it came, as does a content
//!   part or a tool that OpenAI does not know.
//!
//! Refused, because ignoring them would change the answer ([`request::REFUSED`]): more than one choice, log-probabilities,
//! penalties other than zero, `logit_bias`, `response_format` `json_object`, sound, and the older `functions`. Dropped, because they
//! are hints, bookkeeping or promises of best effort only ([`request::DROPPED`]): `seed`, `reasoning_effort`, `service_tier`,
//! `store` and their like.

pub mod request;
pub mod response;
pub mod stream;

#[cfg(test)]
mod tests;
