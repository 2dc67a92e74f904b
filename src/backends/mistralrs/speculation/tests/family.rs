//! The trained pair: a target that knows its tasks, and a smaller draft that mostly guesses what it would say.

use std::{path::PathBuf, sync::Arc};

use serde_json::{Value, json};

use super::answers::{answer, content, folder, never, speculation, start, with_draft};
use crate::backends::mistralrs::{Local, Neighbours};

fn weights(of: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-family").join(of)
}

async fn pair() -> (Arc<Local>, Arc<Local>) {
    let neighbours = Neighbours::default();
    let target = start("target", folder(&weights("target")), with_draft(), &neighbours);
    let draft = start("draft", folder(&weights("draft")), never(), &neighbours);
    target.settled().await;
    draft.settled().await;
    (target, draft)
}

async fn plain() -> Arc<Local> {
    let local = start("plain", folder(&weights("target")), never(), &Neighbours::default());
    local.settled().await;
    local
}

fn ask(question: &str) -> Value {
    json!({ "temperature": 0, "max_tokens": 64, "messages": [{ "role": "user", "content": question }] })
}

/// A thousand questions of the kinds that the pair was trained on, short ones mostly, none twice.
fn questions() -> impl Iterator<Item = String> {
    let sorts = (0..810).map(|index| format!("Sort {} {} {}.", index % 9, index / 9 % 9 + 1, index / 81));
    let counts = (0..90).map(|index| format!("Count from {} to {}.", index + 1, index + 1 + index % 7 + 2));
    let past = ["tree", "stone", "cloud", "bird", "boat"].into_iter();
    let past = past.flat_map(|thing| ["red", "blue", "old", "small"].map(|kind| (kind, thing)));
    let past = past
        .flat_map(|(kind, thing)| ["horse", "fox"].map(|who| format!("Past: the old {who} sees a {kind} {thing}.")));
    let json = (0..60).map(|index| {
        let (thing, colour) = (["lamp", "boat", "door"][index % 3], ["red", "blue"][index % 2]);
        format!("Write as JSON: thing {thing}, colour {colour}, count {}.", index + 1)
    });
    sorts.chain(counts).chain(past).chain(json)
}

#[test]
fn there_are_a_thousand_questions_none_of_them_twice() {
    let questions: Vec<String> = questions().collect();
    let distinct: std::collections::HashSet<&String> = questions.iter().collect();

    assert_eq!((questions.len(), distinct.len()), (1_000, 1_000));
}

#[tokio::test]
async fn the_trained_target_answers_what_it_learned() {
    let local = plain().await;

    for (question, expected) in [
        ("Count from 3 to 7.", "3, 4, 5, 6, 7"),
        ("Past: the old fox sees a red bird.", "the old fox saw a red bird."),
        ("Write as JSON: thing boat, colour blue, count 4.", r#"{"thing": "boat", "colour": "blue", "count": 4}"#),
    ] {
        assert_eq!(content(&answer(&local, ask(question)).await), expected, "{question}");
    }
}

#[tokio::test]
async fn the_trained_draft_is_mostly_accepted_and_changes_no_greedy_answer() {
    let (plain, (target, _draft)) = (plain().await, pair().await);

    for question in questions() {
        let alone = answer(&plain, ask(&question)).await;
        let together = answer(&target, ask(&question)).await;
        assert_eq!(content(&together), content(&alone), "{question}");
    }

    let status = speculation(&target);
    assert!(status.accepted as f64 > 0.6 * status.proposed as f64, "{status:?}");
    assert!(status.tokens_per_pass().unwrap() > 1.5, "{status:?}");
}
