//! Ensembles against backends that misbehave on command.

use super::*;
use crate::domain::{Cause, Choosing, Ensemble, Extractor, Member, ModelName, Ruling};

fn leg(name: &str) -> Leg {
    Leg { model: ModelName::parse(name).unwrap() }
}

fn member(name: &str, weight: f64) -> Member {
    Member { leg: leg(name), weight, temperature: None }
}

fn plan(choose: Choosing) -> Ensemble {
    Ensemble {
        members: vec![member("a", 1.0), member("b", 1.0), member("c", 1.0)],
        extract: Extractor::Number,
        choose,
        patience_ms: None,
        fallbacks: Vec::new(),
    }
}

fn says(text: &'static str, after_ms: u64) -> Behaviour {
    Behaviour::Stream(vec![Step::Wait(after_ms), Step::Say(text, -0.1), Step::Stop])
}

/// As [`says`], one token of this log-probability.
fn sure(text: &'static str, logprob: f64) -> Behaviour {
    Behaviour::Stream(vec![Step::Say(text, logprob), Step::Stop])
}

async fn run(scene: &Scene, plan: Ensemble) -> Opened {
    scene.executor.run(Plan::Ensemble(plan), scene.job()).await.unwrap()
}

fn verdicts(scene: &Scene) -> Vec<(u32, Ruling, Cause)> {
    let mut all: Vec<_> =
        scene.journal.verdicts().into_iter().map(|verdict| (verdict.leg, verdict.ruling, verdict.cause)).collect();
    all.sort_by_key(|(leg, ..)| *leg);
    all
}

#[tokio::test(start_paused = true)]
async fn two_that_agree_decide_and_the_third_is_cancelled() {
    let scene = Scene::of(vec![vec![says("42", 20)], vec![says("It is 42.", 10)], vec![Behaviour::Hang]]);
    let begun = Instant::now();

    let opened = run(&scene, plan(Choosing::Vote)).await;

    assert_eq!((opened.model.as_str(), opened.leg), ("a", 0));
    assert!(begun.elapsed() < SECOND);
    let expected =
        [(0, Ruling::Accepted, Cause::Vote), (1, Ruling::Agreed, Cause::Vote), (2, Ruling::Abandoned, Cause::Decided)];
    assert_eq!(verdicts(&scene), expected);
    let attempts = scene.attempts();
    assert_eq!(ends(&attempts), [AttemptOutcome::Ok, AttemptOutcome::Ok, AttemptOutcome::Cancelled]);
}

#[tokio::test(start_paused = true)]
async fn the_majority_wins_and_a_greater_weight_over_it() {
    let scripts = || vec![vec![says("1", 0)], vec![says("2", 0)], vec![says("2", 0)]];
    let (even, weighted) = (Scene::of(scripts()), Scene::of(scripts()));
    let heavy =
        Ensemble { members: vec![member("a", 3.0), member("b", 1.0), member("c", 1.0)], ..plan(Choosing::Vote) };

    assert_eq!(run(&even, plan(Choosing::Vote)).await.model.as_str(), "b");
    assert_eq!(run(&weighted, heavy).await.model.as_str(), "a");
}

#[tokio::test(start_paused = true)]
async fn members_that_fail_or_say_nothing_leave_it_to_the_others() {
    let scene = Scene::of(vec![vec![refuse(Code::UpstreamFailed); 3], vec![says("no idea", 0)], vec![says("7", 500)]]);

    let opened = run(&scene, plan(Choosing::Vote)).await;

    assert_eq!(opened.model.as_str(), "c");
    let expected =
        [(0, Ruling::Failed, Cause::Error), (1, Ruling::Outvoted, Cause::NoVote), (2, Ruling::Accepted, Cause::Vote)];
    assert_eq!(verdicts(&scene), expected);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_compared_is_better_than_none() {
    let scene = Scene::of(vec![vec![says("no idea", 0)], vec![says("none", 0)], vec![refuse(Code::UpstreamTimeout)]]);

    let opened = run(&scene, plan(Choosing::Vote)).await;

    assert_eq!(opened.model.as_str(), "a");
    assert_eq!(verdicts(&scene)[0], (0, Ruling::Kept, Cause::NoVote));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_never_answers_is_waited_for_as_long_as_the_plan_has_patience() {
    let scene = Scene::of(vec![vec![says("1", 0)], vec![says("2", 100)], vec![Behaviour::Hang]]);
    let begun = Instant::now();

    let opened = run(&scene, Ensemble { patience_ms: Some(2_000), ..plan(Choosing::Vote) }).await;

    assert_eq!((opened.model.as_str(), begun.elapsed()), ("a", 2 * SECOND));
    assert_eq!(scene.attempts().last().unwrap().end, AttemptOutcome::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_answers_the_fallback_does_and_else_the_error_says_why() {
    let failing = || vec![vec![refuse(Code::UpstreamTimeout)], vec![refuse(Code::UpstreamTimeout)], vec![]];
    let two = Ensemble { members: vec![member("a", 1.0), member("b", 1.0)], ..plan(Choosing::Vote) };
    let (spare, none) = (Scene::of(failing()), Scene::of(failing()));

    let opened = run(&spare, Ensemble { fallbacks: vec![leg("c")], ..two.clone() }).await;
    let error = none.executor.run(Plan::Ensemble(two), none.job()).await.unwrap_err();

    assert_eq!((opened.model.as_str(), opened.leg), ("c", 2));
    assert_eq!((error.code(), error.was_attempted()), (Code::UpstreamTimeout, true));
}

#[tokio::test(start_paused = true)]
async fn a_judge_chooses_and_a_grade_that_is_enough_ends_it() {
    let choose = || Choosing::Judge { leg: leg("c"), enough: 0.9 };
    let two = || Ensemble { members: vec![member("a", 1.0), member("b", 1.0)], ..plan(choose()) };
    let grades = |first, second| vec![Behaviour::Says(first, 0), Behaviour::Says(second, 0)];
    let best = Scene::of(vec![vec![says("1", 0)], vec![says("2", 50)], grades("30", "80")]);
    let enough = Scene::of(vec![vec![says("1", 0)], vec![Behaviour::Hang], grades("95", "0")]);
    let nonsense = Scene::of(vec![vec![says("1", 0)], vec![says("2", 0)], grades("good", "better")]);

    let models = [&best, &enough, &nonsense].map(|scene| run(scene, two()));
    let models = futures_util::future::join_all(models).await;

    assert_eq!(models.iter().map(|opened| opened.model.as_str()).collect::<Vec<_>>(), ["b", "a", "a"]);
    assert_eq!(verdicts(&enough), [(0, Ruling::Accepted, Cause::Judge), (1, Ruling::Abandoned, Cause::Decided)]);
    assert_eq!(verdicts(&nonsense)[0], (0, Ruling::Kept, Cause::NoVote));
}

#[tokio::test(start_paused = true)]
async fn the_most_probable_answer_wins_where_probabilities_are_told() {
    let scene = Scene::of(vec![vec![sure("1", -3.0)], vec![sure("1.0", -3.0)], vec![sure("2", -0.2)]]);

    assert_eq!(run(&scene, plan(Choosing::Consistency)).await.model.as_str(), "c");
}

#[tokio::test(start_paused = true)]
async fn members_share_the_money_and_who_cannot_be_paid_has_no_vote() {
    let scene = Scene::of(vec![vec![says("1", 10)], vec![says("2", 10)], vec![says("2", 10)]]);
    let upper_costs = ["a", "b", "c"].map(|name| (leg(name).model, NanoUsd(200_000))).to_vec();
    let job = Job { max_cost: Some(NanoUsd(450_000)), upper_costs, ..scene.job() };

    let opened = scene.executor.run(Plan::Ensemble(plan(Choosing::Vote)), job).await.unwrap();

    assert_eq!((opened.model.as_str(), scene.called().len()), ("a", 2));
    assert_eq!(verdicts(&scene)[2], (2, Ruling::Failed, Cause::Error));
}

#[tokio::test(start_paused = true)]
async fn leaving_cancels_every_member() {
    let scene = Scene::of(vec![vec![Behaviour::Hang], vec![Behaviour::Hang], vec![says("1", 0)]]);

    let left = tokio::time::timeout(SECOND, run(&scene, plan(Choosing::Vote))).await;

    assert!(left.is_err());
    let cancelled = scene.attempts().iter().filter(|attempt| attempt.end == AttemptOutcome::Cancelled).count();
    assert_eq!((cancelled, scene.attempts().len()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn members_let_callers_go_first_where_they_run_here_and_the_fallback_does_not() {
    let broken = || vec![Behaviour::Refuse(Code::UpstreamAuth, None)];
    let scene = Scene::of(vec![broken(), broken(), vec![says("7", 0)]]);
    let members = vec![member("a", 1.0), member("b", 1.0)];
    let plan = Ensemble { members, fallbacks: vec![leg("c")], ..plan(Choosing::Vote) };

    run(&scene, plan).await;

    let asked = scene.ledger.lock().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(asked, ["a behind others", "b behind others", "c"]);
}
