//! Answers are shared by prompts of the same meaning where a policy says so, and never between tenants.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use futures_util::StreamExt;
use parking_lot::Mutex;
use pointsman::domain::KeyLimits;
use serde_json::{Value, json};

use crate::harness::{Server, Setup, Upstream, server::lay_out, setup::make_key, upstream::answer};

/// A setup with the router model, whose default policy serves near answers half of the time before it has learned anything.
fn setup(upstream: &Upstream, across_keys: bool) -> Setup {
    let semantic = json!({"max_error": 0.5, "explore": 0.0, "min_similarity": 0.7, "across_keys": across_keys});
    let policy = json!({"schema_version": 1, "candidates": ["small"], "strategy": {"fixed": {"model": "small"}},
        "cache": {"semantic": semantic}});
    Setup::new(upstream)
        .set("/router", json!({"enabled": true, "engine": "rten", "deadline": "20s"}))
        .policy("default", policy.to_string())
}

fn asked(prompt: &str) -> Value {
    json!({"model": "auto", "messages": [{"role": "user", "content": prompt}], "temperature": 0})
}

/// Asks the same with more and more blanks behind it until the answer comes from another wording; without one after `most`.
async fn until_served(server: &Server, prompt: &str, most: usize) -> Option<Value> {
    for blanks in 1..=most {
        let answer = server.ask(&asked(&format!("{prompt}{}", " ".repeat(blanks)))).await;
        if answer.header("x-pointsman-cache") == "semantic" {
            return Some(answer.json().await);
        }
        answer.json().await;
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_in_other_words_is_answered_from_the_cache_and_a_twin_is_not() {
    let upstream = Upstream::start().await;
    let server = Server::start(setup(&upstream, false)).await;
    server.ask(&asked("How many moons has the planet with the 7 rings?")).await.json().await;

    // Half of the near requests are served at once: 60 misses in a row have a chance of one in 10^18.
    let served = until_served(&server, "how many moons has the planet with the 7 rings?", 60).await;
    let twin = until_served(&server, "How many moons has the planet with the 8 rings?", 1).await;

    assert_eq!(served.expect("a semantic hit")["choices"][0]["message"]["content"], "Hello there.");
    assert_eq!(twin, None, "a twin was served");
    let record = server.until_booked(3).await.into_iter().find(|record| record.cache == "semantic").unwrap();
    assert_eq!((record.cost_nanos, record.attempts.len()), (0, 0));
    assert!(record.saved_nanos > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_and_a_request_with_tools_are_left_alone() {
    let upstream = Upstream::start().await;
    let server = Server::start(setup(&upstream, false)).await;
    server.ask(&asked("What is a switch?")).await.json().await;
    let tool = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);

    for blanks in 1..12 {
        let mut with_history = asked("");
        let last = format!("What is a switch?{}", " ".repeat(blanks));
        with_history["messages"] =
            json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": last}]);
        let mut with_tools = asked(&last);
        with_tools["tools"] = tool.clone();
        if blanks == 1 {
            // The first with this history is a miss, and an entry for those after it.
            assert_eq!(server.ask(&with_history).await.header("x-pointsman-cache"), "miss");
        }
        assert_eq!(server.ask(&with_tools).await.header("x-pointsman-cache"), "miss");
    }
}

/// A setup whose default policy asks nearly every near question again, and learns from it.
fn learning(upstream: &Upstream, more: &Value) -> Setup {
    let mut semantic = json!({"max_error": 0.0001, "min_similarity": 0.7});
    for (name, value) in more.as_object().unwrap() {
        semantic[name] = value.clone();
    }
    let policy = json!({"schema_version": 1, "candidates": ["small"], "strategy": {"fixed": {"model": "small"}},
        "cache": {"semantic": semantic}});
    let judge = json!({"name": "judge", "provider": "scripted", "upstream": "upstream-judge",
        "prices": {"input": 1.0, "output": 1.0}, "context_window": 32768});
    setup(upstream, false).model(judge).policy("default", policy.to_string())
}

/// Asks twice in nearly the same words, gets these answers, and waits until the second has taught this.
async fn taught(upstream: &Upstream, more: &Value, answers: [&str; 2], outcome: &str) -> Server {
    answers.iter().for_each(|text| upstream.answers("upstream-small", text));
    let server = Server::start(learning(upstream, more)).await;
    for blanks in ["", " "] {
        let answer = server.ask(&asked(&format!("What does a signal box do?{blanks}"))).await;
        assert_eq!(answer.header("x-pointsman-cache"), "miss");
        answer.json().await;
    }
    server.until_metric("pointsman_semantic_cache_answers", &[&format!("\"{outcome}\"")], |count| count == 1.0).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_compared_by_the_judge_that_the_policy_sets() {
    let (points, moves) = ("It controls the points and signals.", "The points and signals are controlled by it.");
    let (three, four) = ("It controls 3 points.", "It controls 4 points.");
    let near = json!({"judge": {"embedding": 0.5}});
    let same = json!({"judge": {"embedding": 1.0}});
    for (judge, answers, outcome) in [
        (&json!({}), [points, "it controls the points  and signals"], "agreed"),
        (&json!({}), [points, moves], "differed"),
        (&near, [points, moves], "agreed"),
        (&same, [points, moves], "differed"),
        (&near, [three, four], "differed"),
    ] {
        taught(&Upstream::start().await, judge, answers, outcome).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_judges_beside_the_requests_and_within_its_cap() {
    let (one, other) = ("It controls the points.", "Points are what it controls.");
    let judge = |cap: f64| json!({"judge": {"model": {"name": "judge", "max_cost_per_day": cap}}});
    for (says, cap, outcome) in
        [("Yes.", 1.0, "agreed"), ("no", 1.0, "differed"), ("I like trains", 1.0, "differed"), ("yes", 0.0, "unjudged")]
    {
        let upstream = Upstream::start().await;
        upstream.answers("upstream-judge", says);

        let server = taught(&upstream, &judge(cap), [one, other], outcome).await;

        let journal = upstream.journal();
        let judged: Vec<_> = journal.iter().filter(|served| served.model == "upstream-judge").collect();
        assert_eq!(judged.len(), usize::from(cap > 0.0), "{says}");
        if let Some(judged) = judged.first() {
            let pair: Value = serde_json::from_str(judged.json()["messages"][1]["content"].as_str().unwrap()).unwrap();
            assert_eq!((&pair["first"], &pair["second"]), (&json!(one), &json!(other)));
            let records = server.until_booked(3).await;
            let paid = records.iter().find(|record| record.requested_model == "judge").expect("a record of the judge");
            assert_eq!((paid.cache.as_str(), paid.cost_nanos > 0), ("bypass", true));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_is_told_with_its_interval_and_the_bound() {
    let upstream = Upstream::start().await;
    let server = taught(&upstream, &json!({}), ["It signals.", "It signals!"], "agreed").await;

    let share = async |end: &str| server.metric("pointsman_semantic_cache_error_ratio", &["default", end]).await;

    assert_eq!((share("estimate").await, share("lower").await, share("bound").await), (0.0, 0.0, 0.0001));
    assert!(share("upper").await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twins_answer_is_a_hint_where_the_policy_wants_it_and_what_came_of_it_is_not_kept() {
    let upstream = Upstream::start().await;
    upstream.answers("upstream-small", "Seven rings, seven moons.");
    let server = Server::start(learning(&upstream, &json!({"near_miss": "hint"}))).await;
    let ask = async |rings: u32| {
        let body = asked(&format!("How many moons has the planet with the {rings} rings?"));
        let answer = server.ask(&body).await.with_status(200).await;
        let cache = answer.header("x-pointsman-cache").to_owned();
        answer.json().await;
        cache
    };

    let outcomes = [ask(7).await, ask(8).await, ask(8).await];

    assert_eq!(outcomes, ["miss", "hint", "hint"]);
    let journal = upstream.journal();
    let system = |at: usize| journal[at].json()["messages"][0].clone();
    assert_eq!(system(0)["role"], "user");
    assert_eq!(system(1)["role"], "system");
    assert!(system(1)["content"].as_str().unwrap().contains("Seven rings, seven moons."));
    let records = server.until_booked(3).await;
    assert_eq!(records.iter().filter(|record| record.cache == "hint").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_check_a_draft_gets_none() {
    let upstream = Upstream::start().await;
    let server = Server::start(learning(&upstream, &json!({"near_miss": "draft"}))).await;

    for rings in [7, 8] {
        let answer = server.ask(&asked(&format!("How many moons has the planet with the {rings} rings?"))).await;
        assert_eq!(answer.header("x-pointsman-cache"), "miss");
        answer.json().await;
    }

    let journal = upstream.journal();
    assert_eq!(journal[1].json()["messages"].as_array().unwrap().len(), 1);
}

#[cfg(feature = "local")]
#[tokio::test(flavor = "multi_thread")]
async fn a_local_model_checks_a_near_answer_as_a_draft_and_says_what_it_would_say_without() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-family/target");
    let tiny = json!({"name": "tiny", "local": {"path": path, "speculate": {"draft": "lookup", "when": "always"}},
        "context_window": 512});
    let policy = |cache: Value| json!({"schema_version": 1, "candidates": ["tiny"], "strategy": {"fixed": {"model": "tiny"}}, "cache": cache});
    let near = json!({"semantic": {"max_error": 0.0001, "min_similarity": 0.5, "near_miss": "draft"}});
    let upstream = Upstream::start().await;
    let setup = setup(&upstream, false)
        .model(tiny)
        .policy("default", policy(near).to_string())
        .policy("plain", policy(json!({"enabled": false})).to_string());
    let server = Server::start(setup).await;
    server.until_metric("pointsman_model_state", &["tiny", "ready"], |is_ready| is_ready == 1.0).await;
    let ask = async |model: &str, count: u32| {
        let mut body = asked(&format!("Count from {count} to 9."));
        body["model"] = json!(model);
        body["max_tokens"] = json!(24);
        let answer = server.ask(&body).await.with_status(200).await;
        let cache = answer.header("x-pointsman-cache").to_owned();
        (cache, answer.json().await["choices"][0]["message"]["content"].clone())
    };

    let first = ask("auto", 3).await;
    let twin = ask("auto", 4).await;
    let plain = ask("auto:plain", 4).await;

    assert_eq!((first.0.as_str(), twin.0.as_str(), plain.0.as_str()), ("miss", "draft", "bypass"));
    assert_eq!(twin.1, plain.1);
    assert_ne!(twin.1.as_str(), Some(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_turns_are_matched_by_meaning_where_the_policy_says_so() {
    let talk = |first: &str, last: &str| {
        let mut body = asked("");
        body["messages"] = json!([{"role": "user", "content": first}, {"role": "assistant", "content": "A signal box."},
            {"role": "user", "content": last}]);
        body
    };
    for (turns, near) in [(1, 0.0), (3, 1.0)] {
        let upstream = Upstream::start().await;
        let server = Server::start(learning(&upstream, &json!({"turns": turns}))).await;
        server.ask(&talk("What stands by the line?", "What does it do?")).await.json().await;

        server.ask(&talk("what stands by the line?", "what does it do?")).await.json().await;

        let labels = &["\"agreed\""];
        if near > 0.0 {
            server.until_metric("pointsman_semantic_cache_answers", labels, |count| count == near).await;
        } else {
            server.until_metric("pointsman_semantic_cache_entries", &[], |entries| entries == 2.0).await;
            assert_eq!(server.metric("pointsman_semantic_cache_answers", labels).await, 0.0, "{turns} turns");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_fresh_answer_is_not_answered_by_meaning_either() {
    let upstream = Upstream::start().await;
    let server = Server::start(setup(&upstream, false)).await;
    server.ask(&asked("What is a switch?")).await.json().await;

    for blanks in 1..20 {
        let body = asked(&format!("What is a switch?{}", " ".repeat(blanks)));
        let answer = server.chat(&body).header("cache-control", "no-cache").send().await;
        assert_ne!(answer.header("x-pointsman-cache"), "semantic");
        answer.json().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_tenants_with_the_same_prompts_never_see_each_others_answers() {
    const TENANTS: usize = 50;
    const REQUESTS: usize = 200;
    let upstream = Upstream::start().await;
    let count = AtomicU32::new(0);
    upstream.plays_with("upstream-small", move |body| {
        let canary = format!("canary-{}", count.fetch_add(1, Ordering::Relaxed));
        answer(body, &canary)
    });
    let setup = setup(&upstream, true).set("/keys/required", "always");
    let folder = lay_out(&setup);
    let keys: Vec<String> =
        (0..TENANTS).map(|tenant| make_key(folder.path(), &format!("tenant-{tenant}"), KeyLimits::default())).collect();
    let server = Server::start_in(folder, &setup).await;
    server.until_ready().await;
    let seen: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let outcomes: Arc<Mutex<HashMap<String, u32>>> = Arc::default();

    // Four equal requests of a tenant, then the same four of the next one, and so on in fifty wordings of five questions.
    let requests = (0..TENANTS * REQUESTS).map(|at| {
        let (tenant, round) = (at / 4 % TENANTS, at / 4 / TENANTS);
        let prompt = format!("Tell me about the signal box at track {}{}", round % 5, " ".repeat(round / 5));
        let request = server.chat(&asked(&prompt)).key(&keys[tenant]);
        let (seen, outcomes) = (Arc::clone(&seen), Arc::clone(&outcomes));
        async move {
            let answer = request.send().await.with_status(200).await;
            *outcomes.lock().entry(answer.header("x-pointsman-cache").to_owned()).or_default() += 1;
            let text = answer.json().await["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
            let owner = *seen.lock().entry(text).or_insert(tenant);
            assert_eq!(owner, tenant, "a tenant got another one's answer");
        }
    });
    futures_util::stream::iter(requests).buffer_unordered(64).collect::<Vec<()>>().await;

    let outcomes = outcomes.lock();
    for outcome in ["hit", "joined", "semantic", "miss"] {
        assert!(outcomes.get(outcome).is_some_and(|count| *count > 0), "no {outcome} in {outcomes:?}");
    }
}
