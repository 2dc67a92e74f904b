//! Chat requests that the gateway makes: another's with something changed, or its own.

use bytes::Bytes;

use super::{ChatCall, Role, Sampling};
use crate::wire::{
    parse::{Limits, ParseError},
    raw::{Edit, RawError, RawObject, quoted},
};

/// What an answer looks like besides text.
const FORM: [&str; 6] =
    ["tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "response_format"];

/// What the gateway's own requests keep to.
const OWN: Limits = Limits { messages: 1 << 20, choices: 128, depth: 128 };

impl ChatCall {
    /// Returns the request with token log-probabilities asked for, and the `top` likeliest tokens beside each; a request that
    /// asks for more stays as it is.
    ///
    /// # Errors
    /// Never for a body that was parsed before.
    pub fn with_logprobs(&self, top: u8) -> Result<Self, RawError> {
        let top = self.top_logprobs.unwrap_or(0).max(top);
        if self.wants_logprobs && self.top_logprobs.unwrap_or(0) == top {
            return Ok(self.clone());
        }
        let count = top.to_string();
        let mut edits = vec![Edit::Set("logprobs", "true")];
        edits.extend((top > 0).then_some(Edit::Set("top_logprobs", &count)));
        let body = RawObject::parse(self.body.with(&edits), usize::MAX)?;
        let top_logprobs = Some(top).filter(|top| *top > 0);
        Ok(Self { body, wants_logprobs: true, top_logprobs, ..self.clone() })
    }

    /// Returns the request with another temperature, and with another seed if there is one.
    ///
    /// # Errors
    /// Never for a body that was parsed before.
    pub fn with_sampling(&self, temperature: f64, seed: Option<i64>) -> Result<Self, RawError> {
        let (number, seed_text) = (temperature.to_string(), seed.map(|seed| seed.to_string()));
        let mut edits = vec![Edit::Set("temperature", &number)];
        edits.extend(seed_text.as_ref().map(|seed| Edit::Set("seed", seed)));
        let body = RawObject::parse(self.body.with(&edits), usize::MAX)?;
        let sampling =
            Sampling { temperature: Some(temperature), seed: seed.or(self.sampling.seed), ..self.sampling.clone() };
        Ok(Self { body, sampling, ..self.clone() })
    }

    /// Returns the request for one answer, with a further turn of the user and a tighter limit; where the answer is not what the
    /// caller gets (`keeps_form` is false), without tools and without a form. Everything else stays.
    ///
    /// # Errors
    /// The messages are no list, which a body that was parsed before never has.
    pub fn with_turn(&self, turn: Option<&str>, keeps_form: bool, most: Option<u64>) -> Result<Self, ParseError> {
        let limit =
            if self.body.get("max_completion_tokens").is_some() { "max_completion_tokens" } else { "max_tokens" };
        let most = most.map(|most| self.max_tokens.map_or(most, |own| own.min(most)).to_string());
        let messages = turn.map(|turn| self.messages_and(turn));
        let mut edits = Vec::new();
        edits.extend(messages.as_ref().map(|messages| Edit::Set("messages", messages)));
        edits.extend(most.as_ref().map(|most| Edit::Set(limit, most)));
        edits.extend(self.body.get("n").map(|_| Edit::Set("n", "1")));
        let gone = FORM.into_iter().filter(|name| !keeps_form && self.body.get(name).is_some());
        edits.extend(gone.map(Edit::Remove));
        Self::parse(self.body.with(&edits), &OWN)
    }

    /// Returns the messages as they were written, and one more.
    fn messages_and(&self, turn: &str) -> String {
        let written = self.body.get("messages").unwrap_or("[]").trim_end();
        let open = written.strip_suffix(']').unwrap_or(written);
        format!("{open},{{\"role\":\"user\",\"content\":{}}}]", quoted(turn))
    }

    /// Returns the request with other messages, without tools and without a form of the answer; everything else stays.
    ///
    /// # Errors
    /// A message is no text that can be sent.
    pub fn with_messages(&self, messages: &[(Role, &str)]) -> Result<Self, ParseError> {
        let messages = written(messages);
        let mut edits = vec![Edit::Set("messages", &messages)];
        edits.extend(FORM.into_iter().filter(|name| self.body.get(name).is_some()).map(Edit::Remove));
        Self::parse(self.body.with(&edits), &OWN)
    }

    /// Returns a request of the gateway's own for an answer of at most `max_tokens`, which is asked for in the words of the
    /// request that it is made for: providers differ in what they call the limit.
    ///
    /// # Errors
    /// A message is no text that can be sent.
    pub fn brief(&self, messages: &[(Role, &str)], max_tokens: u64) -> Result<Self, ParseError> {
        let newer = "max_completion_tokens";
        let limit = if self.body.get(newer).is_some() { newer } else { "max_tokens" };
        let (messages, model) = (written(messages), quoted(&self.model));
        Self::parse(
            Bytes::from(format!("{{\"model\":{model},\"messages\":{messages},\"{limit}\":{max_tokens}}}")),
            &OWN,
        )
    }
}

fn written(messages: &[(Role, &str)]) -> String {
    let one = |(role, text): &(Role, &str)| format!("{{\"role\":\"{}\",\"content\":{}}}", role.name(), quoted(text));
    format!("[{}]", messages.iter().map(one).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &'static str) -> ChatCall {
        ChatCall::parse(Bytes::from_static(text.as_bytes()), &OWN).unwrap()
    }

    fn text(call: &ChatCall) -> String {
        String::from_utf8_lossy(call.body.bytes()).into_owned()
    }

    #[test]
    fn log_probabilities_are_asked_for_and_the_rest_stays() {
        let plain = call(r#"{"model":"m","messages":[{"role":"user","content":"x"}],"seed":12345678901234567890}"#);

        let asking = plain.with_logprobs(2).unwrap();

        assert_eq!((asking.wants_logprobs, asking.top_logprobs), (true, Some(2)));
        assert!(text(&asking).ends_with(r#""seed":12345678901234567890,"logprobs":true,"top_logprobs":2}"#));
        assert_eq!(text(&asking.with_logprobs(0).unwrap()), text(&asking));
    }

    #[test]
    fn samples_differ_in_temperature_and_seed_alone() {
        let asked = call(r#"{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":0,"seed":1}"#);

        let sampled = asked.with_sampling(0.7, Some(3)).unwrap();

        assert!(text(&sampled).ends_with(r#""temperature":0.7,"seed":3}"#), "{}", text(&sampled));
        assert_eq!((sampled.sampling.temperature, sampled.sampling.seed), (Some(0.7), Some(3)));
    }

    #[test]
    fn other_messages_leave_tools_and_form_behind() {
        let asked = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[],"temperature":0.5}"#;

        let other = call(asked).with_messages(&[(Role::System, "a"), (Role::User, "\"b\"")]).unwrap();

        insta::assert_snapshot!(
            text(&other),
            @r#"{"model":"m","messages":[{"role":"system","content":"a"},{"role":"user","content":"\"b\""}],"temperature":0.5}"#
        );
    }

    #[test]
    fn a_further_turn_leaves_what_was_said_before_as_it_was() {
        let asked = r#"{"model":"m","messages":[ {"role":"user","content":[{"type":"text","text":"x"}],"odd":1e-400} ],"n":3,"response_format":{"type":"json_object"}}"#;

        let own = call(asked).with_turn(Some("\"y\""), true, Some(5)).unwrap();
        let other = call(asked).with_turn(Some("y"), false, None).unwrap();

        insta::assert_snapshot!(
            text(&own),
            @r#"{"model":"m","messages":[ {"role":"user","content":[{"type":"text","text":"x"}],"odd":1e-400} ,{"role":"user","content":"\"y\""}],"n":1,"response_format":{"type":"json_object"},"max_tokens":5}"#
        );
        assert!(text(&other).ends_with(r#""n":1}"#), "{}", text(&other));
        assert_eq!((own.messages.len(), own.max_tokens, own.choices), (2, Some(5), 1));
    }

    #[test]
    fn a_brief_request_limits_its_answer_as_the_caller_does() {
        let newer =
            r#"{"model":"m","messages":[{"role":"user","content":"x"}],"max_completion_tokens":9,"stream":true}"#;

        let brief = call(newer).brief(&[(Role::User, "y")], 64).unwrap();

        assert_eq!((brief.max_tokens, brief.is_streaming), (Some(64), false));
        assert!(text(&brief).ends_with(r#""max_completion_tokens":64}"#), "{}", text(&brief));
    }
}
