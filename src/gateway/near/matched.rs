//! The part of a conversation that is matched by meaning: its last turns.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{PromptView, Scores, SemanticRule, Tokens},
    scoring::Scorer,
    wire::chat::{ChatCall, Message, Role},
};

/// The last turns of a conversation, the user's last one at the end.
pub(super) struct Turns<'a> {
    last: &'a str,
    earlier: Vec<&'a str>,
}

impl<'a> Turns<'a> {
    /// Returns the turns that a policy matches by meaning; `None` when the request is not for that: a user must speak last, with
    /// no more chance than allowed, and tools and files only where the policy takes them.
    pub(super) fn of(call: &'a ChatCall, rule: &SemanticRule) -> Option<Self> {
        let has_files = call.messages.iter().any(|message| !message.parts.is_empty());
        let has_tools = call.has_tools || call.messages.iter().any(|message| message.role == Role::Tool);
        let is_calm = call.sampling.temperature.unwrap_or(1.0) <= rule.max_temperature;
        if !is_calm || (has_files && !rule.allow_files) || (has_tools && !rule.allow_tools) {
            return None;
        }
        let is_turn =
            |message: &&Message| matches!(message.role, Role::User | Role::Assistant) && !message.text.is_empty();
        let mut turns = call.messages.iter().rev().take_while(is_turn).take(rule.turns.max(1));
        let last = turns.next().filter(|message| message.role == Role::User)?;
        Some(Self { last: &last.text, earlier: turns.map(|message| message.text.as_str()).collect() })
    }

    /// Returns how many there are.
    pub(super) fn count(&self) -> usize {
        1 + self.earlier.len()
    }

    /// Returns the bytes of all.
    pub(super) fn bytes(&self) -> usize {
        self.last.len() + self.earlier.iter().map(|turn| turn.len()).sum::<usize>()
    }

    /// Returns what the user says last.
    pub(super) fn last(&self) -> &'a str {
        self.last
    }

    /// Returns all in one text, the last first.
    pub(super) fn text(&self) -> String {
        std::iter::once(self.last).chain(self.earlier.iter().copied()).collect::<Vec<_>>().join("\n")
    }

    /// Returns one vector for all, so that the cosine of two is the mean of the cosines of their turns. The last turn's comes with
    /// the scores; each earlier one takes a pass of the router model. `None` when one of those fails.
    pub(super) async fn embedding(
        &self,
        scores: &Scores,
        scorer: &dyn Scorer,
        deadline: Duration,
    ) -> Option<Arc<[f32]>> {
        if self.earlier.is_empty() {
            return Some(Arc::clone(&scores.embedding));
        }
        let mut all: Vec<f32> = scores.embedding.to_vec();
        for turn in &self.earlier {
            let view = PromptView { text: Arc::from(*turn), input_tokens: Tokens::estimate(turn.len()), turns: 1 };
            let found = scorer.score(&view, deadline).await.ok().filter(|found| found.artifact == scores.artifact)?;
            all.extend_from_slice(&found.embedding);
        }
        let length = (self.count() as f32).sqrt();
        Some(all.into_iter().map(|value| value / length).collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::parse::Limits;

    fn call(messages: Value, more: &[(&str, Value)]) -> ChatCall {
        let mut body = json!({"model": "m", "messages": messages, "temperature": 0});
        more.iter().for_each(|(name, value)| body[*name] = value.clone());
        ChatCall::parse(Bytes::from(body.to_string()), &Limits { messages: 9, choices: 1, depth: 20 }).unwrap()
    }

    fn said(roles: &[&str]) -> Value {
        roles.iter().enumerate().map(|(at, role)| json!({"role": role, "content": format!("{role} {at}")})).collect()
    }

    fn turns(call: &ChatCall, rule: &SemanticRule) -> Option<Vec<String>> {
        Turns::of(call, rule).map(|turns| turns.text().split('\n').map(str::to_owned).collect())
    }

    #[test]
    fn as_many_turns_are_matched_as_the_policy_says_and_never_a_system_message() {
        let talk = call(said(&["system", "user", "assistant", "user"]), &[]);
        let matched = |turns_matched| turns(&talk, &SemanticRule { turns: turns_matched, ..SemanticRule::default() });

        assert_eq!(matched(1), Some(vec!["user 3".to_owned()]));
        assert_eq!(matched(2), Some(vec!["user 3".to_owned(), "assistant 2".to_owned()]));
        assert_eq!(matched(9).unwrap().len(), 3);
        assert_eq!(turns(&call(said(&["user", "assistant"]), &[]), &SemanticRule::default()), None);
    }

    #[test]
    fn tools_files_and_chance_are_left_alone_unless_allowed() {
        let tool = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
        let picture = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
        let parts = json!([{"type": "text", "text": "what is this"}, picture]);
        let plain = SemanticRule::default();
        let cases = [
            (call(said(&["user"]), &[("tools", tool)]), SemanticRule { allow_tools: true, ..plain.clone() }),
            (
                call(json!([{"role": "user", "content": parts}]), &[]),
                SemanticRule { allow_files: true, ..plain.clone() },
            ),
            (
                call(said(&["user"]), &[("temperature", json!(0.5))]),
                SemanticRule { max_temperature: 0.5, ..plain.clone() },
            ),
        ];

        for (call, generous) in cases {
            assert_eq!(turns(&call, &plain), None);
            assert!(turns(&call, &generous).is_some());
        }
    }
}
