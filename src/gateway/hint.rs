//! A near answer as a help for the model that answers.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Gateway, asking::Order, near::Aid, run::Run};
use crate::{
    domain::{CacheOutcome, Plan},
    execute::{Job, Operation},
    wire::{
        chat::{ChatCall, Role},
        raw::{Edit, RawObject, quoted},
    },
};

/// Levels that a system message may be nested.
const DEPTH: usize = 16;

impl Gateway {
    /// Gives a near answer to the model, and says so. What a hint has led to is not kept, so that hints do not breed; a draft
    /// changes nothing of the answer, only how fast it comes.
    pub(super) fn help(&self, run: &mut Run, order: &mut Order<'_>, job: &mut Job, call: &Arc<ChatCall>) {
        match order.aid.take() {
            Some(Aid::Draft(draft)) if self.drafts(&order.plan) => {
                run.note_outcome(CacheOutcome::Draft);
                job.draft = Some(draft);
            }
            None | Some(Aid::Draft(_)) => {}
            Some(Aid::Hint(answer)) => {
                let Some(hinted) = hinted(call, &answer) else { return };
                run.note_outcome(CacheOutcome::Hint);
                job.operation = Operation::Chat { chat: Arc::new(hinted), is_streaming: call.is_streaming };
                if let Some(duty) = &mut order.duty {
                    duty.slot.is_kept = false;
                }
            }
        }
    }

    /// Returns whether the first model of a plan can check a draft.
    fn drafts(&self, plan: &Plan) -> bool {
        let first = plan.legs().next().and_then(|leg| self.parts.models.get(leg.model.as_str()));
        first.is_some_and(|model| model.facts.is_local && model.speculation().is_some())
    }
}

/// Returns the call with a note on what was answered to a similar question, at the end of its system message, or in one of its
/// own: templates of many open models take a system message at the beginning only. `None` when that message is not plain text.
fn hinted(call: &ChatCall, answer: &str) -> Option<ChatCall> {
    let note = format!(
        "A similar question was answered before. Its answer stands below between lines of dashes. It may be wrong for this \
         question: use of it only what fits, and do not mention it.\n---\n{answer}\n---"
    );
    let messages: Vec<&RawValue> = serde_json::from_str(call.body.get("messages")?).ok()?;
    let texts: Vec<&str> = messages.iter().map(|message| message.get()).collect();
    let has_system = matches!(call.messages.first()?.role, Role::System | Role::Developer);
    let (first, rest) = if has_system {
        let system = RawObject::parse(bytes::Bytes::copy_from_slice(texts.first()?.as_bytes()), DEPTH).ok()?;
        let said: String = serde_json::from_str(system.get("content")?).ok()?;
        let joined = system.with(&[Edit::Set("content", &quoted(&format!("{said}\n\n{note}")))]);
        (String::from_utf8(joined.to_vec()).ok()?, texts.get(1..)?)
    } else {
        (format!(r#"{{"role":"system","content":{}}}"#, quoted(&note)), texts.as_slice())
    };
    let all: Vec<&str> = std::iter::once(first.as_str()).chain(rest.iter().copied()).collect();
    let body = call.body.with(&[Edit::Set("messages", &format!("[{}]", all.join(",")))]);
    let mut hinted = call.clone();
    hinted.body = RawObject::parse(body, usize::MAX).ok()?;
    let message = crate::wire::chat::Message { role: Role::System, text: note, parts: Vec::new() };
    match hinted.messages.first_mut().filter(|_| has_system) {
        Some(system) => system.text = format!("{}\n\n{}", system.text, message.text),
        None => hinted.messages.insert(0, message),
    }
    Some(hinted)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::parse::Limits;

    fn call(messages: &Value) -> ChatCall {
        let body = json!({"model": "m", "messages": messages, "seed": 3}).to_string();
        ChatCall::parse(Bytes::from(body), &Limits { messages: 9, choices: 1, depth: 20 }).unwrap()
    }

    fn after(messages: &Value) -> Option<(Vec<Value>, ChatCall)> {
        let hinted = hinted(&call(messages), "It was \"7\".")?;
        let body: Value = serde_json::from_slice(hinted.body.bytes()).unwrap();
        assert_eq!(body["seed"], 3);
        Some((body["messages"].as_array().unwrap().clone(), hinted))
    }

    #[test]
    fn the_note_is_a_system_message_of_its_own_or_the_end_of_the_one_there_is() {
        let user = json!({"role": "user", "content": "how many?"});

        let (alone, typed) = after(&json!([user])).unwrap();
        let (joined, _) = after(&json!([{"role": "system", "content": "Be brief."}, user])).unwrap();

        assert_eq!((alone.len(), alone[0]["role"].as_str(), &alone[1]), (2, Some("system"), &user));
        assert!(alone[0]["content"].as_str().unwrap().contains("It was \"7\"."));
        assert_eq!(typed.messages.len(), 2);
        assert_eq!(typed.messages[0].text, alone[0]["content"].as_str().unwrap());
        assert_eq!(joined.len(), 2);
        assert!(joined[0]["content"].as_str().unwrap().starts_with("Be brief.\n\nA similar"));
    }

    #[test]
    fn a_system_message_in_parts_is_left_alone() {
        let parts =
            json!([{"role": "system", "content": [{"type": "text", "text": "x"}]}, {"role": "user", "content": "y"}]);

        assert!(after(&parts).is_none());
    }
}
