use proptest::prelude::*;

use super::*;

fn conflict(one: &str, other: &str) -> Option<Mark> {
    let (one, other) = (Marks::of(one), Marks::of(other));
    assert_eq!(one.conflict(&other).is_some(), other.conflict(&one).is_some(), "a conflict has no direction");
    one.conflict(&other)
}

#[test]
fn the_same_in_other_words_is_no_conflict() {
    for (one, other) in [
        ("What's the largest planet?", "Could you please help me with this? what is the largest planet"),
        ("Don't use recursion.", "do not use recursion"),
        ("What is the capital of France?", "what is the capital of france"),
        ("A train travels 120 km in two hours.", "A train travels 120 kilometers in 2 hours"),
        ("It costs $1,200.50 today.", "It costs $1200.50 today."),
        ("Pick one.\nA. Mars\nB. Venus", "Pick one.\n(A) Mars\n(B) Venus"),
        ("Compute 3 + 4.", "Please answer the following. Compute 3 + 4. Thank you!"),
    ] {
        assert_eq!(conflict(one, other), None, "{one} / {other}");
    }
}

#[test]
fn one_changed_word_that_carries_the_question_is_a_conflict() {
    for (one, other, kind) in [
        ("It takes 15 workers.", "It takes 16 workers.", Mark::Number),
        ("3 pears and 5 figs", "5 pears and 3 figs", Mark::Number),
        ("Compute 3 + 4.", "Compute 3 * 4.", Mark::Number),
        ("She ran 5 km.", "She ran 5 miles.", Mark::Unit),
        ("It weighs 3kg.", "It weighs 3g.", Mark::Unit),
        ("It cost $5.", "It cost €5.", Mark::Unit),
        ("The shop opens on Monday.", "The shop opens on Friday.", Mark::Date),
        ("Is it safe to eat?", "Is it not safe to eat?", Mark::Negation),
        ("Why can it fly?", "Why can't it fly?", Mark::Negation),
        ("Translate \"cat\".", "Translate \"dog\".", Mark::Quotation),
        ("What does read_line do?", "What does read_all do?", Mark::Code),
        ("Explain std::mem.", "Explain std::fmt.", Mark::Code),
        ("Which is the highest hill?", "Which is the lowest hill?", Mark::Polarity),
        ("Who wrote it?", "When wrote it?", Mark::Question),
        ("The capital of France", "The capital of Italy", Mark::Name),
        ("Alice has pears.", "Robert has pears.", Mark::Name),
    ] {
        assert_eq!(conflict(one, other), Some(kind), "{one} / {other}");
    }
}

#[test]
fn another_question_in_a_long_template_is_a_conflict_and_a_phrase_around_it_is_none() {
    let template = |question: &str| {
        format!(
            "Read the scene below and tell whether the main person does something that most people would call wrong by \
             ordinary standards of everyday life in towns and villages, then give reasons for that judgement. {question}"
        )
    };
    let ball = template("I threw the old ball into our pond.");

    assert_eq!(conflict(&ball, &template("I wrote a letter about her garden.")), Some(Mark::Wording));
    assert_eq!(conflict(&ball, &format!("Hi! A quick question, many thanks in advance: {ball}")), None);
    assert_eq!(conflict("I threw the old ball into our pond.", "I wrote a letter about her garden."), None);
}

proptest! {
    #[test]
    fn no_text_conflicts_with_itself(text in any::<String>()) {
        prop_assert_eq!(Marks::of(&text).conflict(&Marks::of(&text)), None);
    }

    #[test]
    fn another_number_is_always_a_conflict(
        before in "[a-z ]{0,30}", after in "[a-z ]{0,30}", one in 0_u32..100_000, other in 0_u32..100_000
    ) {
        let said = |number: u32| format!("{before} {number} {after}");

        prop_assert_eq!(conflict(&said(one), &said(other)).is_some(), one != other);
    }
}
