use proptest::prelude::*;

use super::*;
use crate::wire::chat::tools::Function;

fn tools(is_parallel: bool) -> Tools {
    let function = |name: &str| Function { name: name.to_owned(), description: None, parameters: "{}".to_owned() };
    Tools { functions: vec![function("f"), function("g")], choice: ToolChoice::Auto, is_parallel }
}

/// Returns the text and the calls of an answer that comes in pieces.
fn read(tools: &Tools, pieces: &[&str]) -> (String, Vec<(String, String)>) {
    let mut reading = Reading::new(tools);
    let mut said: Vec<Said> = pieces.iter().flat_map(|piece| reading.push(piece)).collect();
    said.extend(reading.finish());
    let (mut text, mut calls) = (String::new(), Vec::new());
    for part in said {
        match part {
            Said::Text(more) => text.push_str(&more),
            Said::Call(call) => calls.push((call.name, call.arguments)),
        }
    }
    (text, calls)
}

fn call(name: &str, arguments: &str) -> (String, String) {
    (name.to_owned(), arguments.to_owned())
}

const HERMES: &str = "Let me see.<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n<tool_call>\n\
    {\"name\": \"g\", \"arguments\": \"{}\"}\n</tool_call>";

#[test]
fn calls_between_tags_are_read_with_the_text_before_them() {
    let (text, calls) = read(&tools(true), &[HERMES]);

    assert_eq!(text, "Let me see.");
    assert_eq!(calls, [call("f", "{\"a\": 1}"), call("g", "{}")]);
}

#[test]
fn one_call_is_enough_for_who_wants_one() {
    assert_eq!(read(&tools(false), &[HERMES]).1, [call("f", "{\"a\": 1}")]);
}

#[test]
fn an_answer_that_is_one_object_is_a_call() {
    let calls = [call("f", "{\"a\": 1}")];

    assert_eq!(read(&tools(true), &["\n{\"name\": \"f\", \"parameters\": {\"a\": 1}}"]).1, calls);
    assert_eq!(read(&tools(true), &["<|python_tag|>{\"name\":\"f\",\"parameters\":{\"a\": 1}}"]).1, calls);
}

#[test]
fn mistral_s_list_is_read() {
    let answer = "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {\"b\":[]}}]";

    assert_eq!(read(&tools(true), &[answer]), (String::new(), vec![call("f", "{}"), call("g", "{\"b\":[]}")]));
}

#[test]
fn a_further_call_that_is_cut_off_leaves_the_whole_ones_alone() {
    let whole = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
    for rest in ["", "\n", "\n<tool_c", "\n<tool_call>", "<tool_call>\n{\"name\": \"g\", \"argum"] {
        let (text, calls) = read(&tools(true), &[whole, rest]);

        assert_eq!((text.as_str(), calls), ("", vec![call("f", "{}")]), "{rest:?}");
    }
    assert_eq!(read(&tools(true), &[whole, " Done <"]).0, "Done <");
}

#[test]
fn what_is_no_call_stays_text() {
    for text in [
        "Plain < text [1]",
        "{\"answer\": 42}",
        "{\"name\": \"unknown\", \"arguments\": {}}",
        "<tool_call>no json</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"argum",
        "[TOOL_CALLS] nothing",
        "{\"name\": \"f\", \"arguments\": [1]}",
        "<tool",
    ] {
        assert_eq!(read(&tools(true), &[text]), (text.to_owned(), vec![]), "{text}");
    }
}

#[test]
fn a_call_that_lacks_only_its_closing_tag_counts() {
    assert_eq!(read(&tools(true), &["<tool_call>{\"name\":\"f\"}"]), (String::new(), vec![call("f", "{}")]));
}

proptest! {
    #[test]
    fn cutting_into_pieces_changes_nothing(cuts in prop::collection::vec(1_usize..9, 0..60)) {
        for answer in [HERMES, "a <tool_cal b", "[TOOL_CALLS][{\"name\":\"f\"}]", "{\"name\":\"g\",\"arguments\":{}}"] {
            let (mut pieces, mut rest) = (Vec::new(), answer);
            for cut in &cuts {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);

            prop_assert_eq!(read(&tools(true), &pieces), read(&tools(true), &[answer]));
        }
    }
}
