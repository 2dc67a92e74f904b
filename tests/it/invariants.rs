//! The invariants of the design, a test each, of the same name.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pointsman::{
    domain::{Ask, KeyLimits, ModelName, Plan},
    routing::{Constraints, Strategy, Weighted, WeightedParameters},
};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::Instant};

use crate::harness::{
    Ended, Frame, Server, Setup, Step, Upstream, chat, ledger,
    server::{LEDGER, lay_out},
    setup::{fixed, make_key},
    streamed,
    upstream::{delta, done, finish, refuses, stream_head},
};

fn weighted() -> String {
    let weights = json!({"small": 0.5, "large": 0.5});
    json!({"schema_version": 1, "candidates": ["small", "large"], "strategy": {"weighted": {"weights": weights}},
        "cache": {"enabled": false}})
    .to_string()
}

fn plan_of(record: &ledger::Booked) -> Plan {
    serde_json::from_str(record.plan.as_deref().expect("a plan was made")).expect("a plan")
}

fn first_model(plan: &Plan) -> String {
    plan.legs().next().expect("a plan has a leg").model.to_string()
}

/// Puts a policy under an edit lock and returns its new version.
async fn put_fixed(server: &Server, models: &[&str]) -> u64 {
    let current = server.admin("GET", "/admin/v1/policies/default").send().await;
    let tag = current.header("etag").to_owned();
    let put = server.admin("PUT", "/admin/v1/policies/default").header("if-match", tag);
    let saved = put.header("content-type", "application/yaml").bytes(fixed(models)).send().await;
    let saved = saved.with_status(200).await;
    saved.header("etag").trim_matches('"').parse().expect("a version")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_policy_per_request() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let mut model_of_version = HashMap::new();
    let is_swapped = AtomicBool::new(false);

    // At least one request comes after the last swap, so that there is a record to look at however fast the swaps are.
    let asking = async {
        let mut asked = 0;
        loop {
            let is_last = is_swapped.load(Ordering::SeqCst);
            let answer = server.chat(&chat("auto")).header("cache-control", "no-cache, no-store").send().await;
            assert_eq!(answer.status, 200);
            asked += 1;
            if is_last {
                return asked;
            }
        }
    };
    let swapping = async {
        for models in [["large", "small"], ["small", "large"]].iter().cycle().take(10) {
            model_of_version.insert(put_fixed(&server, models).await, models[0].to_owned());
        }
        is_swapped.store(true, Ordering::SeqCst);
    };
    let (asked, ()) = tokio::join!(asking, swapping);

    let (first, last) = (*model_of_version.keys().min().unwrap(), *model_of_version.keys().max().unwrap());
    let records = server.until_booked(asked).await;
    assert!(records.iter().any(|record| record.policy_version == last), "no request met the last policy: {records:?}");
    for record in records.iter().filter(|record| record.policy_version >= first) {
        assert_eq!(first_model(&plan_of(record)), model_of_version[&record.policy_version], "{record:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decide_is_pure() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream).policy("default", weighted())).await;
    for _ in 0..20 {
        assert_eq!(server.ask(&chat("auto")).await.status, 200);
    }

    let records = server.until_booked(20).await;

    let weights = ["small", "large"].map(|name| (ModelName::parse(name).unwrap(), 0.5)).to_vec();
    let strategy = Weighted::new(WeightedParameters { weights, constraints: Constraints::default(), max_fallbacks: 2 });
    let strategy = strategy.unwrap();
    let mut chosen = HashMap::<String, u32>::new();
    for record in &records {
        let ask: Ask = serde_json::from_str(record.ask.as_deref().expect("the record holds what was asked")).unwrap();
        let (once, again) = (strategy.decide(&ask).unwrap().plan, strategy.decide(&ask).unwrap().plan);
        assert_eq!(once, plan_of(record));
        assert_eq!(once, again);
        *chosen.entry(first_model(&once)).or_default() += 1;
    }
    assert_eq!(chosen.len(), 2, "twenty draws never met one of two equal models: {chosen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_splice_after_first_byte() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", vec![stream_head(), delta("From small"), Step::Cut]);
    upstream.answers("upstream-large", "From large");
    let server = Server::start(Setup::new(&upstream)).await;

    let events = server.ask(&streamed("auto")).await.events().await;

    let text: String = events.iter().map(Frame::text).collect();
    assert_eq!(text, "From small");
    let last = events.last().unwrap().json().expect("the last event is an error");
    assert_eq!(last["error"]["code"], "upstream_cut");
    assert!(!events.contains(&Frame::Data("[DONE]".to_owned())));
    assert!(upstream.journal().iter().all(|served| served.model == "upstream-small"));
}

#[tokio::test(flavor = "multi_thread")]
async fn booked_exactly_once() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-broken", refuses(500, "broken"));
    upstream.plays("upstream-stuck", vec![stream_head(), delta("Begun"), Step::Stall]);
    let model = |name: &str| json!({"name": name, "provider": "scripted", "upstream": format!("upstream-{name}"), "prices": {"input": 1, "output": 2}});
    let late = json!({"schema_version": 1, "candidates": ["stuck"], "strategy": {"fixed": {"model": "stuck"}},
        "limits": {"total_timeout": "300ms"}});
    let setup = Setup::new(&upstream)
        .model(model("broken"))
        .model(model("stuck"))
        .policy("late", late.to_string())
        .set("/server/drain_timeout", "300ms");
    let server = Server::start(setup).await;

    assert_eq!(server.ask(&chat("small")).await.status, 200);
    assert_eq!(server.ask(&chat("small")).await.header("x-pointsman-cache"), "hit");
    server.ask(&streamed("large")).await.events().await;
    assert_eq!(server.ask(&chat("nobody")).await.status, 404);
    assert_eq!(server.ask(&chat("broken")).await.status, 502);
    server.ask(&streamed("auto:late")).await.events().await;
    let mut leaver = server.ask(&streamed("stuck")).await;
    assert_eq!(leaver.event().await.unwrap().text(), "Begun");
    drop(leaver);
    upstream.until("the leaver's call ends", |journal| journal.iter().all(|served| served.ended.is_some())).await;
    let mut last = server.ask(&streamed("stuck")).await;
    assert_eq!(last.event().await.unwrap().text(), "Begun");
    server.signal("TERM");
    last.events().await;
    let (status, _, folder) = server.end().await;

    assert!(status.success());
    let records = ledger::read(&folder.path().join(LEDGER));
    let mut ends: Vec<_> =
        records.iter().map(|record| (record.requested_model.as_str(), record.outcome.as_str())).collect();
    ends.sort_unstable();
    let expected = [
        ("auto:late", "failed"),
        ("broken", "failed"),
        ("large", "success"),
        ("nobody", "refused"),
        ("small", "success"),
        ("small", "success"),
        ("stuck", "client_gone"),
        ("stuck", "shutdown"),
    ];
    assert_eq!(ends, expected);
    agrees_with_the_journal(&records, &upstream);
}

fn agrees_with_the_journal(records: &[ledger::Booked], upstream: &Upstream) {
    let journal = upstream.journal();
    let booked: Vec<_> = records.iter().flat_map(|record| &record.attempts).collect();
    let count = |names: Vec<String>| {
        names.into_iter().fold(HashMap::<String, u32>::new(), |mut counts, name| {
            *counts.entry(name).or_default() += 1;
            counts
        })
    };
    let by_booking = count(booked.iter().map(|attempt| format!("upstream-{}", attempt.model)).collect());
    let by_journal = count(journal.iter().map(|served| served.model.clone()).collect());
    assert_eq!(by_booking, by_journal);
    for attempt in booked.iter().filter(|attempt| attempt.outcome == "ok") {
        let upstream_model = format!("upstream-{}", attempt.model);
        let served = journal.iter().find(|served| served.model == upstream_model).unwrap();
        assert_eq!(Some(attempt.tokens), served.tokens, "{attempt:?}");
    }
    for record in records {
        let sum: u64 = record.attempts.iter().map(|attempt| attempt.cost_nanos).sum();
        assert_eq!(record.cost_nanos, sum, "{record:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scorer_failure_degrades() {
    let upstream = Upstream::start().await;
    let strategy = json!({"quality_cost": {"default": "large"}});
    let policy = json!({"schema_version": 1, "candidates": ["small", "large"], "strategy": strategy});
    // No engine scores a prompt in no time at all.
    let setup = Setup::new(&upstream)
        .policy("default", policy.to_string())
        .set("/router", json!({"engine": "rten", "deadline": "0ms"}));
    let server = Server::start(setup).await;
    let mut body = chat("auto");
    body["messages"][0]["content"] = "Why is the sky blue, and the sunset red? ".repeat(2000).into();

    let answer = server.ask(&body).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-pointsman-model"), "large");
    let record = server.until_booked(1).await.remove(0);
    assert_eq!(record.reason.as_deref(), Some("scorer_unavailable"));
    assert_eq!(record.unscored.as_deref(), Some("late"));
    assert_eq!(server.metric("pointsman_scores_unavailable_total", &["late"]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_gone_stops_upstream() {
    let upstream = Upstream::start().await;
    upstream.plays("upstream-small", vec![Step::Stall]);
    upstream.plays("upstream-large", vec![stream_head(), Step::Stall]);
    upstream.plays("upstream-midway", vec![stream_head(), delta("Begun"), Step::Stall]);
    let midway = json!({"name": "midway", "provider": "scripted", "upstream": "upstream-midway"});
    let server = Server::start(Setup::new(&upstream).model(midway)).await;

    let before_the_head = server.chat(&chat("small")).dispatch().await;
    let before_the_first_token = server.chat(&streamed("large")).dispatch().await;
    let mut midway = server.ask(&streamed("midway")).await;
    assert_eq!(midway.event().await.unwrap().text(), "Begun");
    upstream.until("three calls run", |journal| journal.len() == 3).await;
    let left = Instant::now();
    drop((before_the_head, before_the_first_token, midway));

    let ended = |journal: &[crate::harness::upstream::Served]| journal.iter().all(|served| served.ended.is_some());
    let journal = upstream.until("all three calls end", ended).await;
    assert!(left.elapsed() < Duration::from_secs(1), "the calls ran on for {:?}", left.elapsed());
    assert!(journal.iter().all(|served| served.ended.is_some_and(|(end, _)| end == Ended::ClientGone)));
    let records = server.until_booked(3).await;
    assert!(records.iter().all(|record| record.outcome == "client_gone"), "{records:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_prompt_in_logs() {
    const PROMPT: &str = "canary-prompt-7f3a";
    const KEY: &str = "sk-canary-key-91bc";
    let upstream = Upstream::start().await;
    upstream.plays("upstream-large", refuses(400, &format!("cannot read {PROMPT}")));
    upstream.plays_with("upstream-small", |body| {
        if body["stream"] == true {
            vec![stream_head(), delta(PROMPT), Step::Send(format!("data: {{{PROMPT}\n\n").into_bytes()), Step::Cut]
        } else {
            crate::harness::upstream::answer(body, PROMPT)
        }
    });
    let folder_key = "sk-canary-upstream-55de";
    let setup = Setup::new(&upstream).environment("UPSTREAM_KEY", folder_key).set("/keys/required", "always");
    let setup = setup.set("/telemetry/log", "trace,h2=info,mio=info");
    let folder = lay_out(&setup);
    let key = make_key(folder.path(), "tenant", KeyLimits::default());
    let server = Server::start_in(folder, &setup).await;
    server.until_ready().await;
    let mut body = chat("small");
    body["messages"][0]["content"] = PROMPT.into();
    body["user"] = PROMPT.into();
    let with = |model: &str, stream: bool| {
        let mut body: Value = body.clone();
        body["model"] = model.into();
        body["stream"] = stream.into();
        server.chat(&body)
    };

    let mut errors = String::new();
    with("small", false).key(&key).send().await.with_status(200).await;
    with("small", true).key(&key).send().await.events().await;
    drop(with("large", false).key(&key).send().await);
    for refused in [with("small", false).key(KEY), server.request("GET", "/v1/models").key(KEY)] {
        errors += &refused.send().await.with_status(401).await.text().await;
    }
    // A key in the wrong field is shown to who sent it, as any unknown model name, but told to nobody else.
    with(KEY, false).key(&key).send().await.with_status(404).await;
    let broken = format!("{{\"model\": \"small\", \"messages\": [{{\"role\": \"{PROMPT}\", \"content\": [\"{KEY}\"");
    let broken = server
        .request("POST", "/v1/chat/completions")
        .key(&key)
        .header("content-type", "application/json")
        .bytes(broken);
    errors += &broken.send().await.text().await;
    let metrics = server.metrics().await;
    let readiness = server.admin("GET", "/readyz").send().await.text().await;
    server.signal("TERM");
    let (_, log, _) = server.end().await;

    assert!(log.lines().count() > 10, "the log is suspiciously short:\n{log}");
    for canary in [PROMPT, KEY, folder_key, key.as_str()] {
        for (place, text) in [("log", &log), ("metrics", &metrics), ("readiness", &readiness), ("errors", &errors)] {
            let found = text.lines().find(|line| line.contains(canary));
            assert_eq!(found, None, "{canary} shows in the {place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenant_scoped_cache() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).set("/keys/required", "always");
    let folder = lay_out(&setup);
    let ours = make_key(folder.path(), "ours", KeyLimits::default());
    let theirs = make_key(folder.path(), "theirs", KeyLimits::default());
    let server = Server::start_in(folder, &setup).await;
    server.until_ready().await;
    let ask =
        async |key: &str| server.chat(&chat("small")).key(key).send().await.header("x-pointsman-cache").to_owned();

    assert_eq!(ask(&ours).await, "miss");
    assert_eq!(ask(&ours).await, "hit");
    assert_eq!(ask(&theirs).await, "miss");
    assert_eq!(ask(&theirs).await, "hit");

    assert_eq!(upstream.journal().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_leaves_a_running_request_on_its_policy() {
    let upstream = Upstream::start().await;
    let gate = Arc::new(Semaphore::new(0));
    upstream.plays(
        "upstream-small",
        vec![stream_head(), delta("one "), Step::Wait(gate.clone()), delta("two"), finish(), done(), Step::End],
    );
    let server = Server::start(Setup::new(&upstream)).await;

    let mut running = server.ask(&streamed("auto")).await;
    assert_eq!(running.event().await.unwrap().text(), "one ");
    let version = put_fixed(&server, &["large", "small"]).await;
    let next = server.ask(&chat("auto")).await;
    gate.add_permits(1);
    let rest: String = running.events().await.iter().map(Frame::text).collect();

    assert_eq!(rest, "two");
    assert_eq!(next.header("x-pointsman-model"), "large");
    assert_eq!(next.header("x-pointsman-policy"), format!("default@{version}"));
}
