//! Hedges against backends that are slow on command.

use super::*;
use crate::domain::{Cause, Hedged, ModelName, Ruling};

fn leg(name: &str) -> Leg {
    Leg { model: ModelName::parse(name).unwrap() }
}

fn plan() -> Hedged {
    Hedged { leg: leg("a"), second: leg("b"), fallbacks: vec![leg("c")], quantile: 0.9, start_ms: 1_000, share: 1.0 }
}

fn begins(after_ms: u64) -> Behaviour {
    Behaviour::Stream(vec![Step::Wait(after_ms), Step::Say("word ", -0.1), Step::Wait(50), Step::Stop])
}

async fn run(scene: &Scene, plan: Hedged) -> Result<Opened, ExecuteError> {
    scene.executor.run(Plan::Hedged(plan), scene.job()).await
}

fn verdicts(scene: &Scene) -> Vec<(u32, Ruling, Cause)> {
    scene.journal.verdicts().into_iter().map(|verdict| (verdict.leg, verdict.ruling, verdict.cause)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_model_that_begins_in_time_is_left_alone() {
    let scene = Scene::of(vec![vec![begins(900)], vec![], vec![]]);

    let opened = run(&scene, plan()).await.unwrap();
    read(opened.reply).await;

    assert_eq!((opened.model.as_str(), scene.called(), verdicts(&scene)), ("a", vec!["a".to_owned()], Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_slow_one_is_overtaken_cancelled_and_booked() {
    let scene = Scene::of(vec![vec![begins(4_000)], vec![begins(200)], vec![]]);
    let begun = Instant::now();

    let opened = run(&scene, plan()).await.unwrap();
    let waited = begun.elapsed();
    read(opened.reply).await;

    assert_eq!((opened.model.as_str(), opened.leg, waited), ("b", 1, Duration::from_millis(1_200)));
    assert_eq!(verdicts(&scene), [(0, Ruling::Abandoned, Cause::Late), (1, Ruling::Accepted, Cause::FirstToken)]);
    assert_eq!(ends(&scene.attempts()), [AttemptOutcome::Cancelled, AttemptOutcome::Ok]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_one_that_begins_first_all_the_same_answers() {
    let scene = Scene::of(vec![vec![begins(1_100)], vec![begins(3_000)], vec![]]);

    let opened = run(&scene, plan()).await.unwrap();

    assert_eq!(opened.model.as_str(), "a");
    assert_eq!(ends(&scene.attempts()), [AttemptOutcome::Cancelled]);
    assert_eq!(scene.called(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_the_quantile_of_recent_times_once_there_are_some() {
    let scripts = (0..20).map(|_| begins(100)).chain([begins(9_000)]).collect();
    let scene = Scene::of(vec![scripts, vec![begins(0)], vec![]]);
    for _ in 0..20 {
        read(run(&scene, plan()).await.unwrap().reply).await;
    }
    let begun = Instant::now();

    let opened = run(&scene, plan()).await.unwrap();

    assert_eq!((opened.model.as_str(), begun.elapsed()), ("b", Duration::from_millis(100)));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_share_is_hedged() {
    let scripts = vec![begins(4_000); 15];
    let scene = Scene::of(vec![scripts, vec![begins(0); 15], vec![]]);

    for _ in 0..15 {
        read(run(&scene, Hedged { share: 0.2, ..plan() }).await.unwrap().reply).await;
    }

    let hedged = scene.called().iter().filter(|model| *model == "b").count();
    assert_eq!(hedged, 4, "one to begin with and one of five");
}

#[tokio::test(start_paused = true)]
async fn a_first_that_fails_falls_back_to_the_second_and_then_to_the_others() {
    let early =
        Scene::of(vec![vec![refuse(Code::UpstreamTimeout)], vec![refuse(Code::UpstreamTimeout)], vec![begins(0)]]);
    let late = Behaviour::Stream(vec![Step::Wait(2_000), Step::Fail(Code::UpstreamCut)]);
    let both = Scene::of(vec![vec![late.clone()], vec![late], vec![begins(0)]]);

    let (one, other) = (run(&early, plan()).await.unwrap(), run(&both, plan()).await.unwrap());

    assert_eq!((one.model.as_str(), one.leg), ("c", 2));
    assert_eq!((other.model.as_str(), other.leg), ("c", 2));
    assert_eq!(verdicts(&both), [(0, Ruling::Failed, Cause::Error), (1, Ruling::Failed, Cause::Error)]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_hedged_who_cannot_pay_for_both() {
    let scene = Scene::of(vec![vec![begins(3_000)], vec![begins(0)], vec![]]);
    let upper_costs = ["a", "b"].map(|name| (leg(name).model, NanoUsd(300_000))).to_vec();
    let job = Job { max_cost: Some(NanoUsd(500_000)), upper_costs, ..scene.job() };

    let opened = scene.executor.run(Plan::Hedged(plan()), job).await.unwrap();

    assert_eq!((opened.model.as_str(), scene.called()), ("a", vec!["a".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_hedged_by_its_first_token_and_given_whole() {
    let scene = Scene::of(vec![vec![begins(4_000)], vec![begins(0)], vec![]]);
    let Operation::Chat { chat, .. } = scene.job().operation else { panic!() };
    let job = Job { operation: Operation::Chat { chat, is_streaming: false }, ..scene.job() };

    let opened = scene.executor.run(Plan::Hedged(plan()), job).await.unwrap();

    let Reply::Whole(whole) = opened.reply else { panic!("a whole answer was asked for") };
    assert!(String::from_utf8_lossy(&whole.body).contains("word "));
    assert_eq!(ends(&scene.attempts()), [AttemptOutcome::Cancelled, AttemptOutcome::Ok]);
}
