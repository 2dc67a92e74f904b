//! The law of money: for all plans and all behaviours of the backends, what is spent is at most what may be, and every leg that
//! was asked is booked once.

use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::domain::{
    AnswerEvidence, Cascade, CascadeRouting, Choosing, DeferralTest, Duty, Ensemble, Extractor, Hedged, Member,
    ModelName, ModelProspect, Probability, Rung, Statistic, Task, Topology,
};

/// Most tokens that a scripted answer has.
const LONGEST: usize = 6;

fn leg(index: usize) -> Leg {
    Leg { model: ModelName::parse(["a", "b", "c"][index]).unwrap() }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (-3.0..0.0).prop_map(|logprob| Step::Say("word ", logprob)),
        1 => Just(Step::Role),
        1 => (0..3_000u64).prop_map(Step::Wait),
        1 => Just(Step::Fail(Code::UpstreamCut)),
        1 => Just(Step::Hang),
    ]
}

fn any_behaviour() -> impl Strategy<Value = Behaviour> {
    let refusals = [Code::UpstreamFailed, Code::UpstreamTimeout, Code::UpstreamRejected, Code::UpstreamUnreachable];
    prop_oneof![
        2 => proptest::sample::select(refusals.to_vec()).prop_map(|code| Behaviour::Refuse(code, None)),
        2 => proptest::sample::select(vec!["90", "10", "nonsense"]).prop_map(|text| Behaviour::Says(text, 10)),
        5 => proptest::collection::vec(any_step(), 0..LONGEST).prop_map(Behaviour::Stream),
        1 => Just(Behaviour::Hang),
    ]
}

fn any_test() -> impl Strategy<Value = DeferralTest> {
    prop_oneof![
        proptest::option::of(1..4u32).prop_map(|after| DeferralTest::Logprob {
            statistic: Statistic::Mean,
            below: -1.5,
            after
        }),
        (0..3usize).prop_map(|judge| DeferralTest::Judge { leg: leg(judge), below: Probability::clamped(0.5) }),
        Just(DeferralTest::Length { min: None, max: Some(3) }),
        (0..3usize, 1..3u32, 0.0..1.0f64).prop_map(|(model, samples, below)| DeferralTest::Agreement {
            leg: leg(model),
            samples,
            temperature: 0.7,
            extract: Extractor::Text,
            below: Probability::clamped(below),
        }),
    ]
}

fn any_cascade() -> impl Strategy<Value = Plan> {
    let tests = || proptest::collection::vec(any_test(), 0..3);
    let rung = |index| {
        (tests(), proptest::option::of(1..4u32)).prop_map(move |(defer, accept_after)| Rung {
            defer,
            accept_after,
            ..Rung::of(leg(index))
        })
    };
    (rung(0), rung(1), 0..2usize, proptest::bool::ANY).prop_map(|(first, second, spares, keeps_doubtful)| {
        let fallbacks = vec![leg(2); spares];
        Plan::Cascade(Cascade { rungs: vec![first, second], fallbacks, keeps_doubtful })
    })
}

fn any_routed() -> impl Strategy<Value = Plan> {
    let prospect = |index| {
        (0.0..1.0f64, 0.0..0.3f64).prop_map(move |(quality, cost)| ModelProspect {
            leg: leg(index),
            quality: Probability::clamped(quality),
            spread: 0.3,
            cost,
        })
    };
    let judge = || AnswerEvidence::Judge { leg: leg(2), noise: 0.2 };
    let evidence = proptest::sample::subsequence(
        vec![AnswerEvidence::Logprob { low: -3.0, high: 0.0, noise: 0.2 }, judge(), judge()],
        0..=3,
    );
    (prospect(0), prospect(1), prospect(2), evidence, 1..4u32).prop_map(|(a, b, c, evidence, most_legs)| {
        let reject = vec![DeferralTest::Length { min: None, max: Some(4) }];
        let prospects = vec![a, b, c];
        Plan::CascadeRouting(CascadeRouting { prospects, most_legs, correlation: 0.5, evidence, reject })
    })
}

fn any_ensemble() -> impl Strategy<Value = Plan> {
    let choose = prop_oneof![
        Just(Choosing::Vote),
        Just(Choosing::Consistency),
        (0.0..1.0f64).prop_map(|enough| Choosing::Judge { leg: leg(2), enough }),
    ];
    let member = (0..3usize, 1..4u32, proptest::option::of(0.0..1.0f64))
        .prop_map(|(model, weight, temperature)| Member { leg: leg(model), weight: f64::from(weight), temperature });
    let members = proptest::collection::vec(member, 2..5);
    let patience = proptest::option::of(0..9_000u64);
    (members, choose, patience, 0..2usize).prop_map(|(members, choose, patience_ms, spares)| {
        let fallbacks = vec![leg(1); spares];
        Plan::Ensemble(Ensemble { members, extract: Extractor::Text, choose, patience_ms, fallbacks })
    })
}

fn any_hedged() -> impl Strategy<Value = Plan> {
    (0..4_000u64, 0.0..1.0f64, 0..2usize).prop_map(|(start_ms, share, spares)| {
        let fallbacks = vec![leg(2); spares];
        Plan::Hedged(Hedged { leg: leg(0), second: leg(1), fallbacks, quantile: 0.9, start_ms, share })
    })
}

fn any_topology() -> impl Strategy<Value = Plan> {
    let task = |index: usize, does: Duty, after: Vec<usize>| Task { leg: leg(index), does, after, max_tokens: Some(9) };
    let sequential = move |a, b, c| {
        let last = Task { max_tokens: None, ..task(c, Duty::Revise, vec![2, 3]) };
        vec![
            task(a, Duty::Answer, vec![]),
            task(b, Duty::Critique, vec![0]),
            task(c, Duty::Revise, vec![0, 1]),
            task(b, Duty::Critique, vec![2]),
            last,
        ]
    };
    let parallel = move |a, b, c| {
        let last = Task { max_tokens: None, ..task(c, Duty::Synthesise, vec![0, 1]) };
        vec![task(a, Duty::Answer, vec![]), task(b, Duty::Answer, vec![]), last]
    };
    (0..3usize, 0..3usize, 0..3usize, proptest::bool::ANY, 0..2usize).prop_map(move |(a, b, c, is_parallel, spares)| {
        let tasks = if is_parallel { parallel(a, b, c) } else { sequential(a, b, c) };
        Plan::Topology(Topology { tasks, fallbacks: vec![leg(1); spares] })
    })
}

fn any_agree() -> impl Strategy<Value = Plan> {
    (0.0..0.4f64).prop_map(|cost| Plan::Agree(super::agree::plan(cost)))
}

fn any_plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        1 => Just(Plan::Single { leg: leg(0), fallbacks: vec![leg(1), leg(2)] }),
        4 => any_cascade(),
        3 => any_routed(),
        4 => any_ensemble(),
        3 => any_agree(),
        3 => any_hedged(),
        3 => any_topology(),
    ]
}

/// What no scripted answer exceeds: its prompt, and more tokens than any has; the backends report 100 and 10 for whole ones.
fn upper_costs(scene: &Scene) -> Vec<(ModelName, NanoUsd)> {
    let usage = crate::domain::Usage { input: Tokens(100), output: Tokens(10), ..Default::default() };
    scene.models.iter().map(|model| (model.facts.name.clone(), model.facts.prices.cost(&usage))).collect()
}

async fn run(scene: &Scene, plan: Plan, (max_cost, patience): (u64, u64)) {
    let upper_costs = upper_costs(scene);
    let job = Job { max_cost: Some(NanoUsd(max_cost)), upper_costs, ..scene.job() };
    let reading = async {
        if let Ok(Opened { reply: Reply::Stream(stream), .. }) = scene.executor.run(plan, job).await {
            stream.for_each(|_| async {}).await;
        }
    };
    // Whether the caller left in time or not is all the same here.
    drop(tokio::time::timeout(Duration::from_millis(patience), reading).await);
}

proptest! {
    #[test]
    fn no_plan_spends_more_than_it_may_and_every_leg_is_booked_once(
        scripts in proptest::collection::vec(proptest::collection::vec(any_behaviour(), 0..4), 3),
        plan in any_plan(),
        max_cost in 0..1_000_000u64,
        patience in 0..90_000u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (served, booked, held) = runtime.block_on(async {
            let scene = Scene::of(scripts);
            run(&scene, plan.clone(), (max_cost, patience)).await;
            let served = scene.ledger.lock().clone();
            (served, scene.attempts(), scene.journal.committed())
        });

        let spent: NanoUsd = booked.iter().map(|attempt| attempt.cost).sum();
        prop_assert!(spent <= NanoUsd(max_cost), "spent {} of {max_cost} with {plan:?}", spent.0);
        prop_assert_eq!(held, spent, "money is still held");
        prop_assert_eq!(served.len(), booked.len());
        let legs: Vec<_> = plan.legs().collect();
        for attempt in &booked {
            prop_assert_eq!(Some(&attempt.model), legs.get(attempt.leg as usize).map(|leg| &leg.model));
        }
    }
}
