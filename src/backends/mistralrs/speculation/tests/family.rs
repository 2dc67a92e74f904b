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

/// Questions of four kinds.
fn questions() -> impl Iterator<Item = String> {
    (0..10).flat_map(|index: u32| {
        let (a, b, c) = (index, (index * 3 + 4) % 10, (index * 7 + 2) % 10);
        [
            format!("Count from {} to {}.", index + 3, index + 10),
            format!("Sort {a} {b} {c}."),
            format!("Write as JSON: thing lamp, colour red, count {}.", index + 2),
            format!("Past: the old horse sees a blue {}.", ["tree", "stone", "cloud"][index as usize % 3]),
        ]
    })
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
