//! Turns, engines that die or fall silent, memory, and models that come and go.

use super::*;

#[tokio::test]
async fn leaving_gives_the_turn_to_the_next() {
    let local = tiny(4);
    let long = || json!({ "temperature": 1, "seed": 1, "max_tokens": 400 });
    let mut left = stream(&local, long()).await;
    left.next().await.unwrap().unwrap();
    let begun = Instant::now();

    drop(left);

    let next = ask(&local, json!({ "max_tokens": 1 })).await.unwrap();
    assert_eq!(next.usage.unwrap().output.0, 1);
    // 400 tokens of the tiny model take far longer than the one token that leaving costs.
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_reader_who_does_not_read_stops_nobody() {
    let local = tiny(4);
    let unread = stream(&local, json!({ "seed": 1, "max_tokens": 30 })).await;

    let next = ask(&local, json!({ "max_tokens": 2 })).await.unwrap();

    assert_eq!(next.usage.unwrap().output.0, 2);
    assert!(unread.count().await > 2, "the unread answer is whole");
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_when_to_come_again() {
    let local = tiny(0);
    let running = stream(&local, json!({ "seed": 1, "max_tokens": 400 })).await;

    let error = ask(&local, json!({ "max_tokens": 1 })).await.unwrap_err();

    assert_eq!(error.code, Code::Overloaded);
    assert!(error.retry_after.is_some());
    drop(running);
}

#[tokio::test]
async fn a_request_in_the_queue_ends_at_its_deadline() {
    let local = tiny(4);
    let running = stream(&local, json!({ "seed": 1, "max_tokens": 400 })).await;
    let call = call(json!({ "max_tokens": 1 }), false);
    let context = CallContext { deadline: Instant::now() + Duration::from_millis(20), ..call.context };

    let error = local.chat(ModelCall { context, ..call }).await.unwrap_err();

    assert_eq!(error.code, Code::DeadlineExceeded);
    drop(running);
}

#[tokio::test]
async fn an_engine_that_died_is_started_again() {
    let local = tiny(4);
    let body = || json!({ "temperature": 0, "max_tokens": 4 });
    let before = text(&local, body()).await;

    local.inner.loaded().unwrap().engine().kill();

    assert_eq!(text(&local, body()).await, before);
    let room = local.status().room;
    assert_eq!((room.deaths, room.restarts, room.is_out), (1, 1, false));
}

#[tokio::test]
async fn an_engine_that_keeps_dying_is_out_until_an_administrator_says_otherwise() {
    let local = tiny(4);
    local.settled().await;
    for _ in 0..5 {
        ask(&local, json!({ "max_tokens": 1 })).await.unwrap();
        local.inner.loaded().unwrap().engine().kill();
        let deaths = local.status().room.deaths;
        while local.status().room.deaths == deaths {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    let error = ask(&local, json!({ "max_tokens": 1 })).await.unwrap_err();
    let Availability::Failed { reason } = local.availability() else { panic!("it is not out") };
    local.order(EngineOrder::Load).unwrap();

    assert_eq!((error.code, local.status().room.deaths), (Code::UpstreamFailed, 5));
    assert!(reason.contains("five times"), "{reason}");
    assert!(ask(&local, json!({ "max_tokens": 1 })).await.is_ok());
}

#[tokio::test]
async fn an_idle_model_is_unloaded_and_loaded_again_at_its_next_request() {
    let weights = WeightSource::Path(TINY_DIR.path().to_owned());
    let local = started(LocalSettings { keep_alive: Some(Duration::from_millis(400)), ..LocalSettings::of(weights) });
    let body = || json!({ "temperature": 0, "max_tokens": 8 });
    let before = text(&local, body()).await;

    while local.status().phase != Phase::Asleep {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    assert_eq!((local.availability(), local.status().room.resident_bytes), (Availability::Ready, None));
    let again = local.chat(call(body(), false)).await.unwrap();
    let Reply::Whole(again) = again else { panic!("a whole answer was asked for") };
    assert_eq!(content(&serde_json::from_slice(&again.body).unwrap()), before);
}

#[tokio::test]
async fn a_model_at_work_is_not_unloaded_under_it() {
    let local = tiny(4);
    let events = stream(&local, json!({ "seed": 1, "max_tokens": 60 })).await;

    local.order(EngineOrder::Unload).unwrap();

    let events: Vec<_> = events.collect().await;
    let last = events.last().unwrap().as_ref().unwrap();
    assert!(last.usage.is_some_and(|usage| usage.output.0 > 30), "{last:?}");
    assert_eq!(local.status().phase, Phase::Asleep);
}

#[tokio::test]
async fn replicas_answer_side_by_side_and_alike() {
    let weights = WeightSource::Path(TINY_DIR.path().to_owned());
    let local = started(LocalSettings { replicas: 2, ..LocalSettings::of(weights) });
    let body = |index: usize| json!({ "seed": index, "max_tokens": 24 });
    let mut alone = Vec::new();
    for index in 0..6 {
        alone.push(text(&TINY, body(index)).await);
    }
    let held = stream(&local, json!({ "seed": 1, "max_tokens": 60 })).await;

    assert_eq!(local.status().room.running, 1);
    assert_eq!(text(&local, body(0)).await, alone[0]);
    drop(held);
    assert_eq!(join_all((0..6).map(|index| text(&local, body(index)))).await, alone);
}

#[tokio::test]
async fn a_model_that_does_not_fit_is_refused_with_its_size() {
    let weights = WeightSource::Path(TINY_DIR.path().to_owned());
    let replicas = usize::MAX / 2;
    let settings = LocalSettings { replicas, ..LocalSettings::of(weights) };
    let place = WeightPlace { store: Store::new("nowhere"), may_fetch: false };

    let error = load::load(&settings, &place, (&Report::default(), &Arc::default())).err().unwrap();

    assert!(error.to_string().contains("of memory and"), "{error}");
}

#[tokio::test]
async fn single_precision_and_quantised_weights_answer_too() {
    let weights = || WeightSource::Path(TINY_DIR.path().to_owned());
    let exact = started(LocalSettings { dtype: Dtype::F32, device: DeviceChoice::Cpu, ..LocalSettings::of(weights()) });
    let small = started(LocalSettings { quantize: Some(Quantization::Q8_0), ..LocalSettings::of(weights()) });

    for local in [exact, small] {
        local.settled().await;
        assert_eq!(local.availability(), Availability::Ready, "{:?}", local.status());
        assert_eq!(ask(&local, json!({ "max_tokens": 3 })).await.unwrap().usage.unwrap().output.0, 3);
    }
}

#[tokio::test]
async fn a_call_tells_how_long_it_waited_for_its_turn() {
    let local = tiny(4);
    local.settled().await;
    let turn = local.inner.shared.queue.enter(&Caller::own(), Instant::now()).await.unwrap();
    let waiting = call(json!({ "max_tokens": 1 }), false);
    let waited = waiting.context.waited.clone();
    let free = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(turn);
    };

    let (answer, ()) = tokio::join!(local.chat(waiting), free);

    assert!(answer.is_ok());
    assert!(waited.total() >= Duration::from_millis(100), "{:?}", waited.total());
}

#[tokio::test]
async fn a_caller_in_a_hurry_is_no_stall() {
    let local = tiny(4);
    local.settled().await;
    let mut hasty = call(json!({ "max_tokens": 4 }), false);
    hasty.context.timeouts.first_token = Duration::ZERO;

    let error = local.chat(hasty).await.unwrap_err();

    assert_eq!((error.code, local.status().room.stalls), (Code::UpstreamTimeout, 0));
    assert!(ask(&local, json!({ "max_tokens": 1 })).await.is_ok());
    assert_eq!(local.availability(), Availability::Ready);
}

#[tokio::test]
async fn silence_at_work_is_counted_and_forgotten_when_the_work_is_over() {
    let weights = WeightSource::Path(TINY_DIR.path().to_owned());
    let stall_after = Duration::from_millis(300);
    let local = started(LocalSettings { stall_after, ..LocalSettings::of(weights) });
    local.settled().await;
    // Whoever holds the turn and makes no token is what a spinning engine is.
    let turn = local.inner.shared.queue.enter(&Caller::own(), Instant::now()).await.unwrap();

    while local.status().room.stalls == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let while_silent = local.availability();
    drop(turn);

    assert_eq!(while_silent, Availability::Failed { reason: "its engine makes no tokens".to_owned() });
    assert_eq!((local.availability(), local.status().room.stalls), (Availability::Ready, 1));
}

#[tokio::test]
async fn a_further_choice_that_gets_no_turn_is_no_stall() {
    let local = tiny(4);
    local.settled().await;
    let mut call = call(json!({ "max_tokens": 1, "n": 2 }), true);
    call.context.timeouts.first_token = Duration::from_secs(3);
    let Reply::Stream(mut events) = local.chat(call).await.unwrap() else { panic!("a stream was asked for") };
    while events.next().await.unwrap().unwrap().finish_reason.is_none() {}
    let deadline = Instant::now() + Duration::from_secs(60);
    let others = local.inner.shared.queue.enter(&Caller::own(), deadline).await.unwrap();

    let error = events.next().await.unwrap().unwrap_err();

    assert_eq!((error.code, local.status().room.stalls), (Code::UpstreamTimeout, 0));
    assert_eq!(local.availability(), Availability::Ready);
    drop(others);
}

#[tokio::test]
async fn weights_that_are_not_there_fail_with_the_command_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let weights = WeightSource::Catalogue("smollm2-135m-instruct".to_owned());
    let settings = LocalSettings::of(weights);
    let place = WeightPlace { store: Store::new(dir.path()), may_fetch: false };
    let local = Local::start(model_name("small"), settings, place, Arc::new(SystemClock::default()));

    local.settled().await;

    let Availability::Failed { reason } = local.availability() else { panic!("it has no weights") };
    assert!(reason.contains("pointsman models pull smollm2-135m-instruct"), "{reason}");
    assert_eq!(ask(&local, json!({})).await.unwrap_err().code, Code::UpstreamFailed);
}

#[tokio::test]
async fn a_sleeping_model_is_woken_by_its_first_request() {
    let weights = WeightSource::Path(TINY_DIR.path().to_owned());
    let settings = LocalSettings { preload: false, ..LocalSettings::of(weights) };
    let place = WeightPlace { store: Store::new("nowhere"), may_fetch: false };
    let local = Local::start(model_name("tiny"), settings, place, Arc::new(SystemClock::default()));
    assert_eq!(local.status().phase, Phase::Asleep);

    let reply = local.chat(call(json!({ "max_tokens": 1 }), false)).await;

    assert!(reply.is_ok());
    assert_eq!(local.status().phase, Phase::Ready);
}
