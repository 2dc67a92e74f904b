//! Policies that learn from grades: in a simulated world, and in a running gateway.

use std::{sync::Arc, time::Duration};

use pointsman::{
    domain::{
        Ask, Availability, BanditAlgorithm, CacheOutcome, Candidate, DecisionId, Endpoint, Estimate, Graded, KeyId,
        Learner, ModelFacts, ModelKind, ModelName, NanoUsd, Outcome, PolicyName, PricePerMillion, Prices, Probability,
        RequestFacts, RequestId, RequestRecord, Signals, StageTimes, TenantId, Tokens, Topic, Usage,
    },
    feedback::Experience,
    routing::{Bandit, BanditParameters, Constraints, Strategy, Weight},
};
use serde_json::json;

use crate::harness::{
    Server, Setup, Upstream, chat,
    server::{LEDGER, run_in},
};

/// What the router predicts of the two models, whatever the topic: it is wrong about `code`.
const PREDICTED: [(&str, f64); 2] = [("first", 0.7), ("second", 0.6)];

/// How good an answer really is.
fn true_quality(topic: &str, model: &str) -> f64 {
    match (topic, model) {
        ("code", "second") => 0.9,
        ("code", _) => 0.3,
        (_, "first") => 0.75,
        _ => 0.5,
    }
}

fn model(name: &str) -> Arc<ModelFacts> {
    let price = PricePerMillion::from_dollars(1.0);
    Arc::new(ModelFacts {
        name: ModelName::parse(name).unwrap(),
        kind: ModelKind::Chat,
        prices: Prices { input: price, output: price, cached_input: None },
        context_window: Tokens(32_000),
        max_output: None,
        modalities: [pointsman::domain::Modality::Text].into(),
        has_tools: false,
        has_json_mode: true,
        has_json_schema: false,
        languages: Default::default(),
        tags: Default::default(),
        profile: None,
        first_token_ms: 100.0,
        prompt_ms: 0.0,
        per_token_ms: 1.0,
        parameters_b: None,
        released: None,
        is_local: false,
        is_simulated: true,
    })
}

fn ask(topic: &str, seed: u64) -> Ask {
    let candidates = PREDICTED.map(|(name, quality)| Candidate {
        model: model(name),
        estimate: Estimate {
            quality: Probability::clamped(quality),
            spread: 0.1,
            is_prior: false,
            prior: Probability::clamped(quality),
            prior_spread: 0.1,
            output_tokens: 100.0,
            cost: NanoUsd(1_000),
            cost_upper: NanoUsd(4_000),
            latency: Duration::from_secs(1),
        },
        evidence: Default::default(),
        availability: Availability::Ready,
    });
    let topics = vec![Topic { name: Arc::from(topic), share: Probability::ONE }];
    Ask {
        request: RequestFacts { choices: 1, ..RequestFacts::default() },
        preferences: Default::default(),
        signals: Signals { topics, artifact: Some(Arc::from("sha")), ..Signals::default() },
        candidates: candidates.into(),
        unscored: None,
        seed,
    }
}

fn graded(ask: Ask, policy: &PolicyName, answered_by: &ModelName, score: f64) -> Graded {
    let key = KeyId::parse("key").unwrap();
    let record = RequestRecord {
        request: RequestId::fresh(),
        decision: DecisionId::fresh(),
        at: jiff::Timestamp::UNIX_EPOCH,
        tenant: TenantId::parse("tenant").unwrap(),
        key: key.clone(),
        endpoint: Endpoint::Chat,
        requested_model: "auto".to_owned(),
        is_streaming: false,
        policy: Some(policy.clone()),
        policy_version: 1,
        reason: None,
        plan: None,
        propensity: Probability::ONE,
        ask: Some(ask),
        unscored: None,
        cache: CacheOutcome::Miss,
        attempts: Vec::new(),
        verdicts: Vec::new(),
        answered_by: Some(answered_by.clone()),
        usage: Usage::default(),
        cost: NanoUsd::ZERO,
        baseline_cost: None,
        saved: NanoUsd::ZERO,
        times: StageTimes::default(),
        end: Outcome::Success,
    };
    Graded { record: Box::new(record), key, score: Probability::clamped(score) }
}

/// A number in `[0, 1)` for each round, by the golden ratio: even, and the same in every run.
fn luck(round: u64) -> f64 {
    (round as f64 * 0.618_033_988_749_895).fract()
}

/// Returns the regret against always knowing the truth, of the first and of the last 400 of 1,600 rounds.
fn regrets(learner: Learner) -> (f64, f64) {
    let parameters = BanditParameters {
        constraints: Constraints::default(),
        learner,
        width: 1.0,
        exploration: 0.02,
        cost_weight: Weight::fixed(0.0),
        latency_weight: Weight::fixed(0.0),
        max_fallbacks: 1,
    };
    let (bandit, experience) = (Bandit::new(parameters).unwrap(), Experience::default());
    let policy = PolicyName::parse("learning").unwrap();
    let mut regret = [0.0; 4];
    for round in 0..1_600 {
        let topic = if round % 2 == 0 { "code" } else { "law" };
        let mut ask = ask(topic, round);
        experience.tell(&policy, learner, &mut ask);
        let decision = bandit.decide(&ask).unwrap();
        let chosen = decision.plan.legs().next().unwrap().model.clone();
        let best = PREDICTED.map(|(name, _)| true_quality(topic, name)).into_iter().fold(0.0, f64::max);
        let quality = true_quality(topic, chosen.as_str());
        regret[(round / 400) as usize] += best - quality;
        let score = f64::from(u8::from(luck(round) < quality));
        experience.learn(&graded(ask, &policy, &chosen, score));
    }
    (regret[0], regret[3])
}

#[test]
fn both_algorithms_unlearn_what_the_router_has_wrong() {
    // Whoever always follows the prediction loses 0.6 on every second of 400 prompts.
    let fixed = 0.6 * 200.0;

    for algorithm in [BanditAlgorithm::Linucb, BanditAlgorithm::Thompson] {
        let (first, last) = regrets(Learner { algorithm, prior_weight: 20.0, discount: 0.999 });

        assert!(first < 0.5 * fixed, "{algorithm:?}: {first} of {fixed}");
        assert!(last < 0.1 * fixed, "{algorithm:?}: {last} of {fixed}");
    }
}

#[test]
fn an_artifact_starts_without_the_lessons_of_another() {
    let (experience, policy) = (Experience::default(), PolicyName::parse("learning").unwrap());
    let learner = Learner { algorithm: BanditAlgorithm::Thompson, prior_weight: 20.0, discount: 0.999 };
    let name = ModelName::parse("second").unwrap();
    (0..100).for_each(|seed| experience.learn(&graded(ask("code", seed), &policy, &name, 1.0)));
    let weight = |ask: &Ask| ask.candidates[1].evidence.traffic.unwrap().weight;

    let (mut same, mut other) = (ask("code", 0), ask("code", 0));
    other.signals.artifact = Some(Arc::from("another"));
    experience.tell(&policy, learner, &mut same);
    experience.tell(&policy, learner, &mut other);

    assert!(weight(&same) > 90.0);
    assert_eq!(weight(&other), 0.0);
}

/// A policy whose only difference between the models is what callers say.
fn policy() -> String {
    let bandit = json!({"algorithm": "linucb", "prior": 2, "width": 0, "exploration": 0, "cost": 0, "latency": 0});
    json!({"schema_version": 1, "candidates": ["small", "large"], "strategy": {"bandit": bandit}}).to_string()
}

/// Asks, grades the answer by the model that gave it, and returns that model.
async fn ask_and_grade(server: &Server, grade: impl Fn(&str) -> f64) -> String {
    let answer = server.chat(&chat("auto")).header("cache-control", "no-store, no-cache").send().await;
    let answer = answer.with_status(200).await;
    let (model, decision) = (answer.header("x-pointsman-model"), answer.header("x-pointsman-decision-id"));
    let body = json!({"decision_id": decision, "score": grade(model)});
    server.request("POST", "/v1/feedback").json(&body).send().await.with_status(200).await;
    model.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn grades_move_the_choice_and_a_restart_does_not_undo_it() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).policy("default", policy());
    let server = Server::start(setup.clone()).await;
    let dislike = |disliked: String| move |model: &str| f64::from(u8::from(model != disliked));

    let first = ask_and_grade(&server, |_| 0.0).await;
    let grade = dislike(first.clone());
    let mut second = first.clone();
    for _ in 0..20 {
        second = ask_and_grade(&server, &grade).await;
    }
    server.signal("TERM");
    let (_, _, folder) = server.end().await;
    let again = Server::start_in(folder, &setup).await;
    again.until_ready().await;
    let after = ask_and_grade(&again, &grade).await;

    assert_ne!(first, second);
    assert_eq!(second, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_grade_leaves_nothing_of_it() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream).policy("default", policy())).await;
    let explain = async || {
        let body = server.admin("POST", "/admin/v1/explain").json(&chat("auto")).send().await.json().await;
        body["candidates"].clone()
    };
    let before = explain().await;
    let answer = server.ask(&chat("auto")).await.with_status(200).await;
    let decision = answer.header("x-pointsman-decision-id").to_owned();
    let grade = async |score: f64| {
        let body = json!({"decision_id": decision, "score": score});
        server.request("POST", "/v1/feedback").json(&body).send().await.with_status(200).await;
        explain().await
    };

    let good = grade(1.0).await;
    let bad = grade(0.0).await;
    let good_again = grade(1.0).await;

    assert_ne!(before, good);
    assert_ne!(good, bad);
    assert_eq!(good, good_again);
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_traffic_is_exported_as_data_without_the_tenants_that_want_none() {
    let upstream = Upstream::start().await;
    let recording = |except: &[&str]| json!({"enabled": true, "except": except});
    let setup = Setup::new(&upstream).policy("default", policy()).set("/recording", recording(&[]));
    let server = Server::start(setup.clone()).await;
    for grade in [1.0, 0.5] {
        ask_and_grade(&server, |_| grade).await;
    }
    let log = server.log();
    let export = ["traffic", "export", "--out", "exported", "--config", "pointsman.yaml"];

    let output = run_in(server.folder(), &setup, &export);

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!log.contains("Say hello"), "{log}");
    let sets = pointsman::learning::read_sets(&server.folder().join("exported")).unwrap();
    let (models, records) = (&sets[0].meta.models, &sets[0].records);
    assert_eq!((models.len(), records.len(), records[0].prompt.as_str()), (2, 1, "Say hello."));
    let scores: Vec<f64> = records[0].score.iter().flatten().copied().collect();
    assert!(scores == [0.75] || scores == [1.0, 0.5] || scores == [0.5, 1.0], "{scores:?}");

    let silent = Server::start(setup.set("/recording", recording(&["default", "open"]))).await;
    ask_and_grade(&silent, |_| 1.0).await;
    let connection = rusqlite::Connection::open(silent.folder().join(LEDGER)).unwrap();
    let kept: i64 = connection.query_row("SELECT COUNT(*) FROM prompts", [], |row| row.get(0)).unwrap();
    let tenant: String = connection.query_row("SELECT tenant FROM records", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 0, "tenant {tenant}");
}
