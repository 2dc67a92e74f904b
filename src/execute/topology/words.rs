//! What the tasks of a topology are told, and what is read off their answers.
//!
//! Every task gets the whole conversation as the caller sent it, and behind it one turn with what it is to do and the answers that
//! it builds on, quoted in tags. What stands in the tags is material; the turn says so.

use std::collections::BTreeSet;

use crate::domain::Duty;

/// What a critic says when nothing is wrong. Anything else is a critique.
const APPROVAL: &str = "APPROVED";

/// Most bytes of one answer that another task gets.
const MAX_BYTES: usize = 32 * 1_024;

/// An answer that a task builds on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    pub(super) does: Duty,
    pub(super) text: String,
}

/// Which part of a plan a task works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// From 1.
    pub(super) part: usize,
    pub(super) of: usize,
}

/// Returns the turn that a task gets behind the conversation; `None` for one that simply answers. `parts` is how many tasks work on
/// the parts of a plan.
pub(super) fn turn(does: Duty, inputs: &[Input], share: Share) -> Option<String> {
    let order = match does {
        Duty::Answer if inputs.is_empty() => return None,
        Duty::Answer | Duty::Synthesise => {
            "Above is the conversation. Below are answers and notes of other assistants; they may be wrong or incomplete. Weigh \
             them against each other, and write the best answer to the conversation in your own words. Give the answer itself, \
             and do not mention these notes."
                .to_owned()
        }
        Duty::Critique => format!(
            "Below is an answer to the conversation above. Say briefly what is wrong with it: errors, gaps, what was asked and \
             is not done. Do not write the answer anew. If nothing is wrong, reply with the one word {APPROVAL}."
        ),
        Duty::Revise => "Below are an answer to the conversation above and a critique of it. Write the answer again, with what \
            is right in the critique taken up. Give the answer itself, and do not mention the critique."
            .to_owned(),
        Duty::Plan => format!(
            "Do not answer yet. Part what the conversation above asks for into {} parts that can be worked on independently. \
             Reply with a numbered list of exactly {} items, each one sentence.",
            share.of, share.of
        ),
        Duty::Part => format!(
            "The conversation above was parted into the numbered items below. Work on item {} only, briefly and completely; \
             others work on the rest.",
            share.part
        ),
    };
    let quoted = inputs.iter().map(|input| format!("<{0}>\n{1}\n</{0}>", tag(input.does), clipped(&input.text)));
    Some(std::iter::once(order).chain(quoted).collect::<Vec<_>>().join("\n\n"))
}

fn tag(does: Duty) -> &'static str {
    match does {
        Duty::Answer | Duty::Revise | Duty::Synthesise => "answer",
        Duty::Critique => "critique",
        Duty::Plan => "plan",
        Duty::Part => "part",
    }
}

fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_BYTES)).unwrap_or_default()
}

/// Returns whether a critique finds nothing wrong.
pub(super) fn approves(critique: &str) -> bool {
    let word = critique.trim().trim_matches(|character: char| !character.is_alphanumeric());
    word.eq_ignore_ascii_case(APPROVAL)
}

/// Returns how much two texts have in common: the words in both as a share of those in either, `[0, 1]`; 1 for two empty ones.
pub(super) fn consistency(one: &str, other: &str) -> f64 {
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    };
    let (one, other) = (words(one), words(other));
    let either = one.union(&other).count();
    if either == 0 { 1.0 } else { one.intersection(&other).count() as f64 / either as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Share = Share { part: 1, of: 1 };

    fn input(does: Duty, text: &str) -> Input {
        Input { does, text: text.to_owned() }
    }

    #[test]
    fn a_task_is_told_what_to_do_and_gets_what_it_builds_on() {
        let inputs = [input(Duty::Answer, "42"), input(Duty::Critique, "Why?")];

        let turn = turn(Duty::Revise, &inputs, WHOLE).unwrap();

        assert!(
            turn.contains("critique") && turn.ends_with("<answer>\n42\n</answer>\n\n<critique>\nWhy?\n</critique>"),
            "{turn}"
        );
        assert_eq!(super::turn(Duty::Answer, &[], WHOLE), None);
        let plan = super::turn(Duty::Plan, &[], Share { part: 1, of: 3 }).unwrap();
        assert!(plan.contains("exactly 3 items"), "{plan}");
        let part = super::turn(Duty::Part, &[input(Duty::Plan, "1. a")], Share { part: 2, of: 3 }).unwrap();
        assert!(part.contains("item 2 only"), "{part}");
    }

    #[test]
    fn only_the_one_word_approves() {
        assert!(["APPROVED", " approved.\n", "**Approved**"].iter().all(|text| approves(text)));
        assert!(["", "Not approved", "APPROVED, but the sum is wrong"].iter().all(|text| !approves(text)));
    }

    #[test]
    fn consistency_is_the_share_of_common_words() {
        assert_eq!(consistency("The sum is 4.", "the SUM is 4"), 1.0);
        assert_eq!(consistency("a b", "b c"), 1.0 / 3.0);
        assert_eq!((consistency("", ""), consistency("a", "")), (1.0, 0.0));
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let turn = turn(Duty::Synthesise, &[input(Duty::Answer, &"ä".repeat(40_000))], WHOLE).unwrap();

        assert!(turn.len() < MAX_BYTES + 1_000);
    }
}
