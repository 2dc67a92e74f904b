//! Cascades against backends that misbehave on command.

use super::*;
use crate::domain::{Cascade, Cause, DeferralTest, Event, Extractor, ModelName, Probability, Ruling, Rung, Statistic};

fn leg(name: &str) -> Leg {
    Leg { model: ModelName::parse(name).unwrap() }
}

fn logprob(after: Option<u32>) -> DeferralTest {
    DeferralTest::Logprob { statistic: Statistic::Mean, below: -1.0, after }
}

fn judged_by(judge: &str) -> DeferralTest {
    DeferralTest::Judge { leg: leg(judge), below: Probability::clamped(0.5) }
}

fn plan(tests: Vec<DeferralTest>) -> Plan {
    let first = Rung { defer: tests, ..Rung::of(leg("a")) };
    Plan::Cascade(Cascade { rungs: vec![first, Rung::of(leg("b"))], fallbacks: Vec::new(), keeps_doubtful: true })
}

fn told(logprobs: &[f64]) -> Behaviour {
    let tokens = logprobs.iter().map(|logprob| Step::Say("word ", *logprob));
    Behaviour::Stream(tokens.chain([Step::Stop]).collect())
}

async fn run(scene: &Scene, plan: Plan) -> Result<Opened, ExecuteError> {
    scene.executor.run(plan, scene.job()).await
}

fn verdicts(scene: &Scene) -> Vec<(u32, Ruling, Cause)> {
    scene.journal.verdicts().into_iter().map(|verdict| (verdict.leg, verdict.ruling, verdict.cause)).collect()
}

async fn text(reply: Reply) -> String {
    let Reply::Stream(events) = reply else { panic!("a stream was asked for") };
    let events: Vec<Event> = events.map(|event| event.unwrap()).collect().await;
    events.iter().map(|event| String::from_utf8_lossy(&event.data).matches("word ").count()).sum::<usize>().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_sure_answer_is_accepted_and_nobody_else_is_asked() {
    let scene = Scene::of(vec![vec![told(&[-0.1, -0.2])], vec![]]);

    let opened = run(&scene, plan(vec![logprob(None)])).await.unwrap();

    assert_eq!((opened.model.as_str(), opened.leg, scene.called().len()), ("a", 0, 1));
    assert_eq!(text(opened.reply).await, "2");
    assert_eq!(verdicts(&scene), [(0, Ruling::Accepted, Cause::Passed)]);
    assert_eq!(ends(&scene.attempts()), [AttemptOutcome::Ok]);
}

#[tokio::test(start_paused = true)]
async fn a_doubtful_answer_is_given_up_after_the_tokens_that_the_policy_names() {
    let script = [vec![Step::Say("word ", -3.0); 3], vec![Step::Hang]].concat();
    let scene = Scene::of(vec![vec![Behaviour::Stream(script)], vec![Behaviour::Says("fine", 0)]]);

    let opened = run(&scene, plan(vec![logprob(Some(3))])).await.unwrap();

    assert_eq!((opened.model.as_str(), opened.leg), ("b", 1));
    assert_eq!(verdicts(&scene), [(0, Ruling::Abandoned, Cause::Logprob), (1, Ruling::Accepted, Cause::Untested)]);
    let attempts = scene.attempts();
    assert_eq!(ends(&attempts), [AttemptOutcome::Cancelled, AttemptOutcome::Ok]);
    assert_eq!((attempts[0].usage.output, attempts[0].usage.is_estimated), (Tokens(3), true));
    assert!(attempts[0].cost > NanoUsd::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_passed_on_early_where_the_policy_accepts_its_beginning() {
    let script = [vec![Step::Say("word ", -0.1); 3], vec![Step::Wait(1_000), Step::Say("word ", -9.0)]].concat();
    let scene = Scene::of(vec![vec![Behaviour::Stream(script)], vec![]]);
    let Plan::Cascade(mut cascade) = plan(vec![logprob(Some(3))]) else { panic!() };
    cascade.rungs[0].accept_after = Some(3);
    let begun = Instant::now();

    let opened = run(&scene, Plan::Cascade(cascade)).await.unwrap();

    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(text(opened.reply).await, "4");
    assert_eq!(ends(&scene.attempts()), [AttemptOutcome::Ok]);
}

#[tokio::test(start_paused = true)]
async fn a_beginning_is_accepted_for_whoever_wants_a_whole_answer_too() {
    let script = [vec![Step::Say("word ", -0.1); 3], vec![Step::Say("word ", -9.0), Step::Stop]].concat();
    let broken = [vec![Step::Say("word ", -0.1); 3], vec![Step::Fail(Code::UpstreamCut)]].concat();
    for (script, expected) in [(script, "a"), (broken, "b")] {
        let scene = Scene::of(vec![vec![Behaviour::Stream(script)], vec![]]);
        let Plan::Cascade(mut cascade) = plan(vec![logprob(Some(3))]) else { panic!() };
        cascade.rungs[0].accept_after = Some(3);
        let Operation::Chat { chat, .. } = scene.job().operation else { panic!() };
        let job = Job { operation: Operation::Chat { chat, is_streaming: false }, ..scene.job() };

        let opened = scene.executor.run(Plan::Cascade(cascade), job).await.unwrap();

        assert_eq!(opened.model.as_str(), expected);
        assert!(matches!(opened.reply, Reply::Whole(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_can_better_is_kept() {
    let scene = Scene::of(vec![vec![told(&[-3.0])], vec![refuse(Code::UpstreamFailed); 3]]);

    let opened = run(&scene, plan(vec![logprob(None)])).await.unwrap();

    assert_eq!((opened.model.as_str(), opened.leg), ("a", 0));
    let expected =
        [(0, Ruling::Deferred, Cause::Logprob), (1, Ruling::Failed, Cause::Error), (0, Ruling::Kept, Cause::NoBetter)];
    assert_eq!(verdicts(&scene), expected);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_doubt_is_not_given_where_the_policy_keeps_none() {
    let scene = Scene::of(vec![vec![told(&[-3.0])], vec![refuse(Code::UpstreamFailed); 3]]);
    let Plan::Cascade(cascade) = plan(vec![logprob(None)]) else { panic!() };

    let error = run(&scene, Plan::Cascade(Cascade { keeps_doubtful: false, ..cascade })).await.unwrap_err();

    assert_eq!((error.code(), error.was_attempted()), (Code::UpstreamFailed, true));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_not_given_up_while_nobody_else_can_be_paid() {
    let scene = Scene::of(vec![vec![told(&[-3.0; 8])], vec![]]);
    let upper_costs = vec![(leg("a").model, NanoUsd(200_000)), (leg("b").model, NanoUsd(900_000))];
    let job = Job { max_cost: Some(NanoUsd(500_000)), upper_costs, ..scene.job() };

    let opened = scene.executor.run(plan(vec![logprob(Some(2))]), job).await.unwrap();

    assert_eq!(text(opened.reply).await, "8");
    assert_eq!(scene.called(), ["a"]);
    assert_eq!(verdicts(&scene).last(), Some(&(0, Ruling::Kept, Cause::NoBetter)));
}

#[tokio::test(start_paused = true)]
async fn a_judge_sends_the_request_on_or_not() {
    for (grade, expected) in [("90", "a"), ("10", "b")] {
        let scene = Scene::of(vec![vec![told(&[-0.1])], vec![], vec![Behaviour::Says(grade, 0)]]);

        let opened = run(&scene, plan(vec![judged_by("c")])).await.unwrap();

        assert_eq!(opened.model.as_str(), expected, "{grade}");
        let legs: Vec<u32> = scene.attempts().iter().map(|attempt| attempt.leg).collect();
        assert_eq!(legs[..2], [0, 1], "{grade}");
        assert_eq!(opened.leg, if expected == "a" { 0 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_judge_that_talks_nonsense_or_fails_sends_the_request_on() {
    let cases = [
        (Behaviour::Says("What a lovely answer.", 0), Cause::JudgeUnreadable),
        (refuse(Code::UpstreamRejected), Cause::JudgeFailed),
        (Behaviour::Hang, Cause::JudgeFailed),
    ];
    for (judge, cause) in cases {
        let scene = Scene::of(vec![vec![told(&[-0.1])], vec![], vec![judge.clone()]]);

        let opened = run(&scene, plan(vec![judged_by("c")])).await.unwrap();

        assert_eq!(opened.model.as_str(), "b", "{judge:?}");
        assert_eq!(verdicts(&scene)[0], (0, Ruling::Deferred, cause));
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_verifies_itself_is_asked_twice() {
    let scene = Scene::of(vec![vec![told(&[-0.1]), Behaviour::Says("20", 0)], vec![]]);

    let opened = run(&scene, plan(vec![judged_by("a")])).await.unwrap();

    assert_eq!((opened.model.as_str(), scene.called()), ("b", ["a", "a", "b"].map(str::to_owned).to_vec()));
    assert_eq!(verdicts(&scene)[0], (0, Ruling::Deferred, Cause::SelfCheck));
}

fn agreement(samples: u32, below: f64) -> DeferralTest {
    let below = Probability::clamped(below);
    DeferralTest::Agreement { leg: leg("a"), samples, temperature: 0.7, extract: Extractor::Number, below }
}

#[tokio::test(start_paused = true)]
async fn samples_that_agree_keep_the_answer_and_others_send_the_request_on() {
    let says = |text: &'static str| Behaviour::Stream(vec![Step::Wait(10), Step::Say(text, -0.1), Step::Stop]);
    let agreeing = Scene::of(vec![vec![says("42"), says("It is 42."), Behaviour::Hang], vec![]]);
    let differing = Scene::of(vec![vec![says("42"), says("41"), says("40")], vec![]]);
    let failing = Scene::of(vec![vec![says("42"), refuse(Code::UpstreamTimeout), says("41")], vec![]]);

    let scenes = [&agreeing, &differing, &failing];
    let models = futures_util::future::join_all(scenes.map(|scene| run(scene, plan(vec![agreement(2, 0.6)])))).await;

    let models: Vec<String> = models.into_iter().map(|opened| opened.unwrap().model.to_string()).collect();
    assert_eq!(models, ["a", "b", "b"]);
    assert_eq!(ends(&agreeing.attempts())[2], AttemptOutcome::Cancelled, "two of three are enough");
    assert_eq!(verdicts(&differing)[0], (0, Ruling::Deferred, Cause::Agreement));
    assert_eq!(differing.journal.verdicts()[1].leg, 3, "the samples are legs of their own");
}

#[tokio::test(start_paused = true)]
async fn a_rung_that_fails_breaks_off_or_talks_nonsense_sends_the_request_on() {
    let broken = vec![Step::Say("word ", -0.1), Step::Fail(Code::UpstreamCut)];
    let hung = vec![Step::Say("word ", -0.1), Step::Hang];
    for script in
        [Behaviour::Stream(broken), Behaviour::Stream(hung), Behaviour::Stream(vec![Step::Token]), Behaviour::Hang]
    {
        let scene = Scene::of(vec![vec![script.clone()], vec![]]);

        let opened = run(&scene, plan(vec![logprob(None)])).await.unwrap();

        assert_eq!(opened.model.as_str(), "b", "{script:?}");
        assert_eq!(verdicts(&scene)[0], (0, Ruling::Failed, Cause::Error), "{script:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_at_fault_ends_the_plan_unless_the_tests_had_changed_it() {
    let untouched = Scene::of(vec![vec![refuse(Code::UpstreamRejected)], vec![]]);
    let changed = Scene::of(vec![vec![refuse(Code::UpstreamRejected)], vec![]]);

    let error = run(&untouched, plan(vec![judged_by("c")])).await.unwrap_err();
    let opened = run(&changed, plan(vec![logprob(None)])).await.unwrap();

    assert_eq!((error.code(), untouched.called().len()), (Code::UpstreamRejected, 1));
    assert_eq!(opened.model.as_str(), "b");
}

#[tokio::test(start_paused = true)]
async fn leaving_cancels_whatever_runs_and_nothing_starts_after_it() {
    let scene = Scene::of(vec![vec![told(&[-0.1])], vec![], vec![Behaviour::Hang]]);

    let left = tokio::time::timeout(SECOND, run(&scene, plan(vec![judged_by("c")]))).await;

    assert!(left.is_err());
    assert_eq!(ends(&scene.attempts()), [AttemptOutcome::Ok, AttemptOutcome::Cancelled]);
    assert_eq!(scene.called(), ["a", "c"]);
}
