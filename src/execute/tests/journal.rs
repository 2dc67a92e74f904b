//! The law of the journal: whatever backends and callers do, it holds exactly what was served.

use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::*;

fn any_code() -> impl Strategy<Value = Code> {
    prop_oneof![
        Just(Code::UpstreamUnreachable),
        Just(Code::UpstreamRateLimited),
        Just(Code::UpstreamFailed),
        Just(Code::UpstreamTimeout),
        Just(Code::UpstreamCut),
        Just(Code::UpstreamRejected),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Token),
        2 => Just(Step::Role),
        1 => (0..90u64, 0..90u64).prop_map(|(input, output)| Step::Usage(input, output)),
        1 => (0..3_000u64).prop_map(Step::Wait),
        1 => any_code().prop_map(Step::Fail),
        1 => Just(Step::Hang),
    ]
}

fn any_behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        3 => (any_code(), proptest::option::of(0..4u64)).prop_map(|(code, wait)| Behaviour::Refuse(code, wait)),
        1 => Just(Behaviour::Answer),
        4 => proptest::collection::vec(any_step(), 0..8).prop_map(Behaviour::Stream),
        1 => Just(Behaviour::Hang),
    ]
}

fn any_scripts() -> impl Strategy<Value = Vec<Vec<Behaviour>>> {
    proptest::collection::vec(proptest::collection::vec(any_behaviour(), 0..5), 1..4)
}

/// Returns whether the backend and the journal tell of the same end.
fn agrees(served: Served, booked: &AttemptOutcome) -> bool {
    match (served, booked) {
        (Served::Whole, AttemptOutcome::Ok) | (Served::Dropped, AttemptOutcome::Cancelled) => true,
        // A stream without any event is no answer.
        (Served::Whole, booked) => *booked == failed(Code::UpstreamCut),
        (Served::Failed(code), booked) => *booked == failed(code),
        (Served::Dropped, booked) => {
            [Code::UpstreamTimeout, Code::DeadlineExceeded].into_iter().any(|code| *booked == failed(code))
        }
        (Served::Running, _) => false,
    }
}

/// Runs one request, leaving after `patience` milliseconds or after `events` events, whichever comes first.
async fn one_request(scene: &Scene, patience: u64, events: usize) {
    let reading = async {
        if let Ok(Opened { reply: Reply::Stream(stream), .. }) = scene.run().await {
            stream.take(events).for_each(|_| async {}).await;
        }
    };
    // Whether the caller left in time or not is all the same here.
    drop(tokio::time::timeout(Duration::from_millis(patience), reading).await);
}

proptest! {
    #[test]
    fn every_attempt_is_booked_once_and_as_it_was_served(
        scripts in any_scripts(),
        callers in proptest::collection::vec((0..40_000u64, 0..12usize), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (served, booked) = runtime.block_on(async {
            let scene = Scene::of(scripts);
            for (patience, events) in callers {
                one_request(&scene, patience, events).await;
            }
            let served = scene.ledger.lock().clone();
            (served, scene.attempts())
        });

        prop_assert_eq!(served.len(), booked.len());
        for ((model, end), attempt) in served.iter().zip(&booked) {
            prop_assert_eq!(model.as_str(), attempt.model.as_str());
            prop_assert!(agrees(*end, &attempt.end), "served {:?}, booked {:?}", end, attempt.end);
        }
    }
}
