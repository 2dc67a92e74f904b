//! Topologies against backends that misbehave on command.

use super::*;
use crate::domain::{Cause, Duty, ModelName, Ruling, Task, Topology};

fn task(model: &str, does: Duty, after: &[usize]) -> Task {
    let leg = Leg { model: ModelName::parse(model).unwrap() };
    Task { leg, does, after: after.to_vec(), max_tokens: None }
}

/// `a` drafts, `b` criticises, `c` revises; the second round is told by the same.
fn sequential(rounds: usize) -> Topology {
    let mut tasks = vec![task("a", Duty::Answer, &[])];
    for round in 0..rounds {
        tasks.push(task("b", Duty::Critique, &[2 * round]));
        tasks.push(task("c", Duty::Revise, &[2 * round, 2 * round + 1]));
    }
    Topology { tasks, fallbacks: Vec::new() }
}

fn parallel() -> Topology {
    let tasks = vec![task("a", Duty::Answer, &[]), task("b", Duty::Answer, &[]), task("c", Duty::Synthesise, &[0, 1])];
    Topology { tasks, fallbacks: Vec::new() }
}

fn says(text: &'static str, after_ms: u64) -> Behaviour {
    Behaviour::Stream(vec![Step::Wait(after_ms), Step::Say(text, -0.1), Step::Stop])
}

async fn run(scene: &Scene, plan: Topology) -> Result<Opened, ExecuteError> {
    scene.executor.run(Plan::Topology(plan), scene.job()).await
}

async fn text(opened: Opened) -> String {
    read(opened.reply).await.join("")
}

fn verdicts(scene: &Scene) -> Vec<(u32, Ruling, Cause)> {
    scene.journal.verdicts().into_iter().map(|verdict| (verdict.leg, verdict.ruling, verdict.cause)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_draft_is_criticised_and_revised() {
    let scene = Scene::of(vec![vec![says("draft", 0)], vec![says("too short", 0)], vec![says("revised", 0)]]);

    let opened = run(&scene, sequential(1)).await.unwrap();

    assert_eq!(
        (opened.model.as_str(), opened.leg, scene.called()),
        ("c", 2, ["a", "b", "c"].map(str::to_owned).to_vec())
    );
    assert!(text(opened).await.contains("revised"));
    let expected =
        [(0, Ruling::Heard, Cause::Task), (1, Ruling::Heard, Cause::Task), (2, Ruling::Accepted, Cause::Untested)];
    assert_eq!(verdicts(&scene), expected);
}

#[tokio::test(start_paused = true)]
async fn an_approved_draft_is_given_and_nobody_revises_it() {
    let scene = Scene::of(vec![vec![says("draft", 0)], vec![says("APPROVED", 0)], vec![]]);

    let opened = run(&scene, sequential(3)).await.unwrap();

    assert_eq!((opened.model.as_str(), opened.leg, scene.called()), ("a", 0, ["a", "b"].map(str::to_owned).to_vec()));
    assert!(text(opened).await.contains("draft"));
    assert_eq!(verdicts(&scene).last(), Some(&(0, Ruling::Accepted, Cause::Approved)));
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_changes_nothing_ends_the_rounds() {
    let scene = Scene::of(vec![vec![says("It is 42.", 0)], vec![says("wrong", 0); 3], vec![says("it is 42", 0); 3]]);

    let opened = run(&scene, sequential(3)).await.unwrap();

    assert_eq!((opened.leg, scene.called().len()), (2, 3));
    let revision = scene.journal.verdicts().into_iter().find(|verdict| verdict.leg == 2).unwrap();
    assert_eq!(revision.value, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn members_answer_at_once_and_the_primary_as_it_comes() {
    let last = Behaviour::Stream(vec![Step::Say("one", -0.1), Step::Wait(5_000), Step::Say("more", -0.1)]);
    let scene = Scene::of(vec![vec![says("x", 300)], vec![says("y", 300)], vec![last]]);
    let begun = Instant::now();

    let opened = run(&scene, parallel()).await.unwrap();

    assert_eq!((opened.model.as_str(), begun.elapsed()), ("c", Duration::from_millis(300)));
    assert_eq!(read(opened.reply).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_is_done_without() {
    let one = Scene::of(vec![vec![refuse(Code::UpstreamFailed); 3], vec![says("y", 0)], vec![says("final", 0)]]);
    let critic = Scene::of(vec![vec![says("draft", 0)], vec![refuse(Code::UpstreamTimeout)], vec![]]);
    let draft = Scene::of(vec![vec![refuse(Code::UpstreamTimeout)], vec![], vec![says("final", 0)]]);

    let answers = [run(&one, parallel()).await, run(&critic, sequential(1)).await, run(&draft, sequential(1)).await];

    let models = answers.map(|opened| opened.unwrap().model.to_string());
    assert_eq!(models, ["c", "a", "c"]);
    assert_eq!(draft.called(), ["a", "c"], "there was nothing to criticise");
}

#[tokio::test(start_paused = true)]
async fn where_the_last_task_fails_the_newest_answer_is_kept_or_a_fallback_answers() {
    let kept = Scene::of(vec![vec![says("draft", 0)], vec![says("wrong", 0)], vec![refuse(Code::UpstreamTimeout)]]);
    let spare = Scene::of(vec![
        vec![refuse(Code::UpstreamTimeout)],
        vec![says("spare", 0)],
        vec![refuse(Code::UpstreamTimeout)],
    ]);
    let none = Scene::of(vec![vec![refuse(Code::UpstreamTimeout)], vec![], vec![refuse(Code::UpstreamTimeout)]]);
    let with_spare = Topology { fallbacks: vec![task("b", Duty::Answer, &[]).leg], ..sequential(1) };

    let (first, second) = (run(&kept, sequential(1)).await.unwrap(), run(&spare, with_spare).await.unwrap());
    let error = run(&none, sequential(1)).await.unwrap_err();

    assert_eq!((first.model.as_str(), second.model.as_str(), second.leg), ("a", "b", 3));
    assert_eq!(verdicts(&kept).last(), Some(&(0, Ruling::Kept, Cause::NoBetter)));
    assert_eq!((error.code(), error.was_attempted()), (Code::UpstreamTimeout, true));
}

#[tokio::test(start_paused = true)]
async fn parts_are_worked_on_at_once_behind_their_plan() {
    let tasks = vec![
        task("a", Duty::Plan, &[]),
        task("b", Duty::Part, &[0]),
        task("b", Duty::Part, &[0]),
        task("c", Duty::Synthesise, &[1, 2]),
    ];
    let scene = Scene::of(vec![vec![says("1. x 2. y", 100)], vec![says("part", 100); 2], vec![says("all", 0)]]);
    let begun = Instant::now();

    let opened = run(&scene, Topology { tasks, fallbacks: Vec::new() }).await.unwrap();

    assert_eq!((opened.leg, begun.elapsed()), (3, Duration::from_millis(200)));
    assert_eq!(scene.called(), ["a", "b", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn leaving_cancels_every_task() {
    let scene = Scene::of(vec![vec![Behaviour::Hang], vec![Behaviour::Hang], vec![]]);

    let left = tokio::time::timeout(SECOND, run(&scene, parallel())).await;

    assert!(left.is_err());
    assert_eq!(ends(&scene.attempts()), [AttemptOutcome::Cancelled, AttemptOutcome::Cancelled]);
}
