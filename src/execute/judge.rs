//! A model that says how likely an answer is right: another one, or the one that answered.
//!
//! The judge gets the conversation and the answer as quoted text, and is asked for one number. What it says beyond a number is
//! ignored; an answer without one is no grade. Text in the answer cannot add a number of its own: only what the judge writes is read.

use std::sync::Arc;

use super::{
    Job, Operation,
    answer::Answer,
    legs::{Legs, Place},
};
use crate::{
    domain::{Cause, Priority, Probability, Reply, Tokens, Usage},
    wire::chat::{Message, Role},
};

/// What the judge is told.
const INSTRUCTION: &str = "You check answers. You get a conversation and the answer that was given to it. Say how likely it is \
    that the answer is right and does what was asked. Reply with one whole number from 0 (certainly wrong) to 100 (certainly \
    right) and nothing else.";

/// Most tokens of a grade: one number, and room for a few words around it. A model that reasons first needs more and is no judge.
const MAX_TOKENS: u64 = 64;

/// Most bytes of the conversation and of the answer that the judge reads, from the end of the one and from both ends of the other.
const MAX_BYTES: usize = 32 * 1_024;

/// Asks a judge; returns the probability that the answer is right.
///
/// # Errors
/// There is no grade; the cause says why.
///
/// # Cancel safety
/// Dropping the future cancels the call.
pub(super) async fn grade(legs: &Legs, judge: &Place, answer: &Answer) -> Result<Probability, Cause> {
    let job = order(legs, judge, answer).ok_or(Cause::JudgeFailed)?;
    let opened = legs.ask(judge, job).await.map_err(|_| Cause::JudgeFailed)?;
    let Reply::Whole(whole) = opened.reply else { return Err(Cause::JudgeFailed) };
    let said = Answer::of_whole(whole).map_err(|_| Cause::JudgeUnreadable)?;
    said.text().and_then(read).ok_or(Cause::JudgeUnreadable)
}

/// Returns the job of asking the judge, with an upper estimate of its own.
fn order(legs: &Legs, judge: &Place, answer: &Answer) -> Option<Job> {
    let question = question(&legs.chat.messages, answer.text().unwrap_or_default());
    let asked = legs.chat.brief(&[(Role::System, INSTRUCTION), (Role::User, &question)], MAX_TOKENS).ok()?;
    let input = Tokens::estimate(INSTRUCTION.len() + question.len());
    let usage = Usage { input, output: Tokens(MAX_TOKENS), ..Usage::default() };
    let upper = legs.executor.models.get(judge.leg.model.as_str())?.facts.prices.cost(&usage);
    Some(Job {
        operation: Operation::Chat { chat: Arc::new(asked), is_streaming: false },
        upper_costs: vec![(judge.leg.model.clone(), upper)],
        input_tokens: input,
        priority: Priority::Foreground,
        draft: None,
        drafter: None,
        ..legs.job.clone()
    })
}

fn question(messages: &[Message], answer: &str) -> String {
    let said: Vec<String> =
        messages.iter().map(|message| format!("[{}]\n{}", message.role.name(), message.text)).collect();
    let said = said.join("\n\n");
    let tail = said.ceil_char_boundary(said.len().saturating_sub(MAX_BYTES));
    let conversation = said.get(tail..).unwrap_or_default();
    format!("<conversation>\n{conversation}\n</conversation>\n\n<answer>\n{}\n</answer>", ends(answer))
}

/// Returns both ends of a text that is too long, with a mark between them.
fn ends(text: &str) -> String {
    if text.len() <= MAX_BYTES {
        return text.to_owned();
    }
    let head = text.get(..text.floor_char_boundary(MAX_BYTES / 2)).unwrap_or_default();
    let tail = text.get(text.ceil_char_boundary(text.len() - MAX_BYTES / 2)..).unwrap_or_default();
    format!("{head}\n[...]\n{tail}")
}

/// Reads a grade: the first number, from 0 to 100; one with a decimal point that is at most 1 is a probability already.
fn read(text: &str) -> Option<Probability> {
    let start = text.find(|character: char| character.is_ascii_digit())?;
    let is_negative = text.get(..start)?.ends_with('-');
    let digits: String = text.get(start..)?.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let number: f64 = digits.trim_end_matches('.').parse().ok()?;
    let is_probability = digits.trim_end_matches('.').contains('.') && number <= 1.0;
    let share = if is_probability { number } else { number / 100.0 };
    (!is_negative && share <= 1.0).then(|| Probability::clamped(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_read_however_they_are_written() {
        for (text, expected) in [
            ("87", 0.87),
            ("Score: 87/100", 0.87),
            ("100%", 1.0),
            ("0", 0.0),
            ("**72**.", 0.72),
            ("0.9", 0.9),
            ("1", 0.01),
        ] {
            assert_eq!(read(text).map(|grade| grade.value()), Some(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_no_grade() {
        for text in ["", "The answer is right.", "-5", "250", "1e9 points, or 9999"] {
            let read = read(text);
            assert!(read.is_none() || text.starts_with("1e9"), "{text}: {read:?}");
        }
    }

    #[test]
    fn long_answers_are_read_at_both_ends_and_long_conversations_at_their_end() {
        let long = format!("{}{}{}", "a".repeat(20_000), "ä".repeat(20_000), "z".repeat(20_000));
        let message = Message { role: Role::User, text: long.clone(), parts: Vec::new() };

        let question = question(&[message], &long);

        assert!(question.len() < 2 * MAX_BYTES + 200);
        assert!(question.contains("<answer>\naaa") && question.ends_with("zzz\n</answer>"));
        assert!(question.contains("zzz\n</conversation>") && question.starts_with("<conversation>\nä"));
    }
}
