//! Cascade routing against backends that misbehave on command.

use super::*;
use crate::domain::{
    AnswerEvidence, CascadeRouting, Cause, DeferralTest, ModelName, ModelProspect, Probability, Ruling,
};

fn leg(name: &str) -> Leg {
    Leg { model: ModelName::parse(name).unwrap() }
}

fn prospect(name: &str, quality: f64, cost: f64) -> ModelProspect {
    ModelProspect { leg: leg(name), quality: Probability::clamped(quality), spread: 0.25, cost }
}

/// A cheap `a` of which much is expected, and a dear `b` of which a little more is.
fn plan() -> CascadeRouting {
    CascadeRouting {
        prospects: vec![prospect("a", 0.7, 0.0), prospect("b", 0.8, 0.25)],
        most_legs: 2,
        correlation: 0.3,
        evidence: vec![AnswerEvidence::Logprob { low: -2.0, high: 0.0, noise: 0.1 }],
        reject: vec![DeferralTest::Refusal { phrases: Vec::new() }],
    }
}

fn told(text: &'static str, logprob: f64) -> Behaviour {
    Behaviour::Stream(vec![Step::Say(text, logprob), Step::Stop])
}

async fn answered_by(scene: &Scene, plan: CascadeRouting) -> String {
    scene.executor.run(Plan::CascadeRouting(plan), scene.job()).await.unwrap().model.to_string()
}

fn rulings(scene: &Scene) -> Vec<(u32, Ruling, Cause)> {
    scene.journal.verdicts().into_iter().map(|verdict| (verdict.leg, verdict.ruling, verdict.cause)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sure_answer_ends_the_plan() {
    let scene = Scene::of(vec![vec![told("fine", -0.1)], vec![]]);

    assert_eq!(answered_by(&scene, plan()).await, "a");

    assert_eq!(scene.called(), ["a"]);
    assert_eq!(rulings(&scene), [(0, Ruling::Accepted, Cause::Utility)]);
}

#[tokio::test(start_paused = true)]
async fn an_unsure_one_is_followed_by_another_and_the_better_is_given() {
    let better = Scene::of(vec![vec![told("hm", -1.5)], vec![told("fine", -0.1)]]);
    let worse = Scene::of(vec![vec![told("hm", -1.5)], vec![told("no idea", -1.9)]]);

    assert_eq!([answered_by(&better, plan()).await, answered_by(&worse, plan()).await], ["b", "a"]);

    assert_eq!(better.called(), ["a", "b"]);
    assert_eq!(rulings(&better), [(0, Ruling::Deferred, Cause::Utility), (1, Ruling::Accepted, Cause::Utility)]);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_answer_is_worth_nothing_however_sure() {
    let scene = Scene::of(vec![vec![told("I cannot help with that.", 0.0)], vec![told("fine", -1.0)]]);

    assert_eq!(answered_by(&scene, plan()).await, "b");
}

#[tokio::test(start_paused = true)]
async fn a_judge_s_grade_counts_and_one_without_a_grade_does_not() {
    let judged = CascadeRouting { evidence: vec![AnswerEvidence::Judge { leg: leg("c"), noise: 0.1 }], ..plan() };
    for (grade, expected) in [("95", "a"), ("5", "b"), ("nonsense", "a")] {
        let scene = Scene::of(vec![
            vec![told("hm", -0.1)],
            vec![told("fine", -0.1)],
            vec![Behaviour::Says(grade, 0), Behaviour::Says("90", 0)],
        ]);

        assert_eq!(answered_by(&scene, judged.clone()).await, expected, "{grade}");
        assert_eq!(scene.attempts()[1].leg, 2, "the judge's leg follows those of the models");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_makes_way_and_the_last_one_is_passed_on_as_it_comes() {
    let script = vec![Step::Say("word ", -0.1), Step::Wait(1_000), Step::Say("word ", -0.1)];
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamFailed); 3], vec![Behaviour::Stream(script)]]);
    let begun = Instant::now();

    let opened = scene.executor.run(Plan::CascadeRouting(plan()), scene.job()).await.unwrap();

    assert!(begun.elapsed() < SECOND, "it waited for the end of the only answer");
    assert_eq!(opened.model.as_str(), "b");
    assert_eq!(rulings(&scene), [(0, Ruling::Failed, Cause::Error), (1, Ruling::Accepted, Cause::Untested)]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_paid_is_no_prospect() {
    let scene = Scene::of(vec![vec![told("hm", -1.9)], vec![]]);
    let upper_costs = vec![(leg("a").model, NanoUsd(100_000)), (leg("b").model, NanoUsd(499_999))];
    let job = Job { max_cost: Some(NanoUsd(500_000)), upper_costs, ..scene.job() };

    let opened = scene.executor.run(Plan::CascadeRouting(plan()), job).await.unwrap();

    assert_eq!((opened.model.as_str(), scene.called()), ("a", vec!["a".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn no_answer_at_all_says_why() {
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamFailed); 3], vec![refuse(Code::UpstreamTimeout)]]);

    let error = scene.executor.run(Plan::CascadeRouting(plan()), scene.job()).await.unwrap_err();

    assert_eq!((error.code(), error.was_attempted()), (Code::UpstreamTimeout, true));
}
