//! What a made-up model says, and how much of it.

use crate::{
    domain::{ModelName, Tokens, Usage},
    wire::chat::{ChatCall, Role},
};

/// An answer before it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// The answer's tokens; joined they are its text.
    pub(super) tokens: Vec<String>,
    /// `stop` or `length`.
    pub(super) finish_reason: &'static str,
    /// How many times it is told.
    pub(super) choices: u32,
    /// What it uses.
    pub(super) usage: Usage,
}

impl Script {
    pub(super) fn write(answer: &str, model: &ModelName, chat: &ChatCall) -> Self {
        let prompt = chat.messages.iter().rev().find(|message| message.role == Role::User);
        let prompt = prompt.map_or("", |message| message.text.as_str());
        let text = format!("[simulated by {model}] {}", answer.replace("{prompt}", prompt));
        let mut tokens = words(before_any(&text, &chat.stop));
        let limit = chat.max_tokens.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let finish_reason = if tokens.len() > limit { "length" } else { "stop" };
        tokens.truncate(limit);
        let output = Tokens(tokens.len() as u64 * u64::from(chat.choices));
        let usage = Usage { input: input(chat), output, ..Usage::default() };
        Self { tokens, finish_reason, choices: chat.choices, usage }
    }
}

fn input(chat: &ChatCall) -> Tokens {
    chat.messages.iter().map(|message| Tokens::estimate(message.text.len())).sum()
}

/// Returns the text up to the first stop word.
fn before_any<'a>(text: &'a str, stops: &[String]) -> &'a str {
    let ends = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str()));
    ends.min().and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Returns the words, each with the blank after it.
fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::contract::{chat_call, model_name},
        *,
    };

    fn script(body: &str) -> Script {
        Script::write("You said {prompt} to me.", &model_name("toy"), &chat_call(body))
    }

    #[test]
    fn the_answer_quotes_the_prompt_and_says_that_it_is_simulated() {
        let script = script(r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#);

        assert_eq!(script.tokens.concat(), "[simulated by toy] You said hello to me.");
        assert_eq!((script.finish_reason, script.usage.output), ("stop", Tokens(8)));
    }

    #[test]
    fn max_tokens_ends_the_answer_early() {
        let script = script(r#"{"model":"m","max_tokens":4,"messages":[{"role":"user","content":"hello"}]}"#);

        assert_eq!(script.tokens.concat(), "[simulated by toy] You ");
        assert_eq!((script.finish_reason, script.usage.output), ("length", Tokens(4)));
    }

    #[test]
    fn the_first_stop_word_ends_the_answer() {
        let script = script(r#"{"model":"m","stop":["to me","hello"],"messages":[{"role":"user","content":"hello"}]}"#);

        assert_eq!(script.tokens.concat(), "[simulated by toy] You said ");
        assert_eq!(script.finish_reason, "stop");
    }

    #[test]
    fn every_choice_is_billed() {
        let script = script(r#"{"model":"m","n":3,"messages":[{"role":"user","content":"hello"}]}"#);

        assert_eq!((script.choices, script.usage.output), (3, Tokens(24)));
    }
}
