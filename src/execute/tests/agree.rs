//! Probe and agree against backends that misbehave on command.

use super::*;
use crate::{
    domain::{Agree, Cause, Course, Extractor, ModelName, NanoUsd, Ruling},
    routing::{
        AgreeParameters, Agreeing, Constraints, Strategy, Weight,
        agreement::samples::committee,
        samples::{ask, expected},
    },
};

/// A committee of `a`, `b` and `c`, asked in this order while they do not agree; the dearer, the later.
pub(super) fn plan(cost: f64) -> Agree {
    let strategy = Agreeing::new(AgreeParameters {
        constraints: Constraints::default(),
        model: Arc::new(committee(&["a", "b", "c"])),
        name: "sample".to_owned(),
        extract: Extractor::Number,
        cost_weight: Weight::fixed(cost),
        latency_weight: Weight::fixed(0.0),
        max_fallbacks: 0,
    });
    let cents = |name: &str, cents: u64| expected(name, 0.5, cents * 10_000_000, 1);
    let ask = ask(vec![cents("a", 1), cents("b", 2), cents("c", 3)]);
    match strategy.unwrap().decide(&ask).unwrap().plan {
        Plan::Agree(plan) => plan,
        other => panic!("{other:?}"),
    }
}

fn says(text: &'static str) -> Vec<Behaviour> {
    vec![Behaviour::Stream(vec![Step::Say(text, -0.1), Step::Stop])]
}

async fn answered_by(scene: &Scene, plan: Agree) -> String {
    scene.executor.run(Plan::Agree(plan), scene.job()).await.unwrap().model.to_string()
}

fn rulings(scene: &Scene) -> Vec<(u32, Ruling, Cause)> {
    scene.journal.verdicts().into_iter().map(|verdict| (verdict.leg, verdict.ruling, verdict.cause)).collect()
}

#[tokio::test(start_paused = true)]
async fn two_that_agree_are_believed_and_the_third_is_not_asked() {
    let scene = Scene::of(vec![says("42"), says("It is 42."), says("7")]);

    assert_eq!(answered_by(&scene, plan(0.05)).await, "a");

    assert_eq!(scene.called(), ["a", "b"]);
    assert_eq!(rulings(&scene), [(0, Ruling::Accepted, Cause::Agreement), (1, Ruling::Agreed, Cause::Agreement)]);
    let believed = scene.journal.verdicts()[0].value.unwrap();
    assert!((believed - 0.924).abs() < 1e-3, "{believed}");
}

#[tokio::test(start_paused = true)]
async fn where_two_differ_the_third_decides_and_an_earlier_answer_may_be_given() {
    let scene = Scene::of(vec![says("42"), says("7"), says("7")]);

    assert_eq!(answered_by(&scene, plan(0.05)).await, "b");

    assert_eq!(scene.called(), ["a", "b", "c"]);
    let expected = [
        (0, Ruling::Outvoted, Cause::Agreement),
        (1, Ruling::Accepted, Cause::Agreement),
        (2, Ruling::Agreed, Cause::Agreement),
    ];
    assert_eq!(rulings(&scene), expected);
}

#[tokio::test(start_paused = true)]
async fn where_asking_on_costs_more_than_it_is_worth_the_first_answer_is_passed_on_as_it_comes() {
    let scene = Scene::of(vec![vec![Behaviour::Stream(vec![Step::Token, Step::Hang])], vec![], vec![]]);

    // Whoever is asked next costs a right answer.
    let opened = scene.executor.run(Plan::Agree(plan(0.5)), scene.job()).await.unwrap();

    assert_eq!((opened.model.as_str(), scene.called()), ("a", vec!["a".to_owned()]));
    assert_eq!(rulings(&scene), [(0, Ruling::Accepted, Cause::Untested)]);
}

#[tokio::test(start_paused = true)]
async fn who_fails_is_left_out_and_silence_is_no_agreement() {
    let refused = vec![Behaviour::Refuse(Code::UpstreamRejected, None)];
    let scene = Scene::of(vec![vec![Behaviour::Hang; 3], says("no idea"), says("no idea")]);

    let answered = answered_by(&scene, plan(0.01)).await;

    assert_eq!(answered, "b", "both were silent: of equals the first");
    assert_eq!(scene.called().last().unwrap(), "c");
    let expected =
        [(0, Ruling::Failed, Cause::Error), (1, Ruling::Kept, Cause::NoVote), (2, Ruling::Outvoted, Cause::NoVote)];
    assert_eq!(rulings(&scene), expected);

    let nobody = Scene::of(vec![refused.clone(), says("1"), says("1")]);
    let error = nobody.executor.run(Plan::Agree(plan(0.01)), nobody.job()).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Backend { .. }), "a request at fault is nobody else's: {error:?}");
    assert_eq!(nobody.called(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_paid_is_not_asked_and_the_best_so_far_is_given() {
    let scene = Scene::of(vec![says("42"), says("7"), says("7")]);
    let name = |name: &str| ModelName::parse(name).unwrap();
    let upper_costs = vec![(name("a"), NanoUsd(10)), (name("b"), NanoUsd(1_000_000)), (name("c"), NanoUsd(1_000_000))];
    let job = Job { max_cost: Some(NanoUsd(400_000)), upper_costs, ..scene.job() };

    let opened = scene.executor.run(Plan::Agree(plan(0.01)), job).await.unwrap();

    assert_eq!((opened.model.as_str(), scene.called()), ("a", vec!["a".to_owned()]));
    assert_eq!(rulings(&scene), [(0, Ruling::Accepted, Cause::Agreement)]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_from_a_record_takes_the_first_answer() {
    let scene = Scene::of(vec![says("42"), vec![], vec![]]);

    assert_eq!(answered_by(&scene, Agree { course: Course::default(), ..plan(0.01) }).await, "a");

    assert_eq!(scene.called(), ["a"]);
}
