//! The room as a whole: faults as people see them, reloads, saves, and the policies that are part of the program.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use jiff::Timestamp;

use super::*;
use crate::{
    config::{Embedded, Environment, Source, embedded},
    domain::{Ask, Availability, Candidate, Evidence, Preferences, RequestFacts, Signals},
    runtime::{Phase, SharedClock, Stop, Tasks, TestClock},
};

const FIXED: &str = "strategy: { fixed: { model: simulated/small } }\n";
const OTHER: &str = "strategy: { fixed: { model: simulated/large } }\n";

fn environment(variables: &[&str]) -> Environment {
    let fixed = [("POINTSMAN_DATA_DIR".to_owned(), "/data".to_owned())];
    Environment::Fixed(variables.iter().map(|name| ((*name).to_owned(), "x".to_owned())).chain(fixed).collect())
}

/// The demo's models, with `default` behind `auto`.
fn demo() -> Catalogue {
    let mut config = Config::embedded(Embedded::Demo, &environment(&[])).unwrap();
    config.default_policy = name("default");
    Catalogue::of(&config)
}

fn clock() -> SharedClock {
    Arc::new(TestClock::at(Timestamp::UNIX_EPOCH))
}

fn name(text: &str) -> PolicyName {
    PolicyName::parse(text).unwrap()
}

fn change() -> Change {
    Change { author: "ada".to_owned(), note: "why".to_owned() }
}

fn compiled(text: &str) -> Result<Policy, Faults> {
    compile(&Source { name: "p.yaml".to_owned(), text: text.to_owned() }, (name("p"), 1), &demo())
}

fn faults(text: &str) -> String {
    compiled(text).err().expect("the policy has faults").to_string()
}

/// A folder with a policy, opened; the counter counts faults.
fn folder_with(text: &str) -> (tempfile::TempDir, Arc<Policies>, Arc<AtomicUsize>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("default.yaml"), text).unwrap();
    let store = Box::new(FileStore::new(folder.path().to_owned(), clock()));
    let counter = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&counter);
    let on_fault = Box::new(move |count| {
        counted.fetch_add(count, Ordering::SeqCst);
    });
    let policies = Policies::open(store, demo(), clock(), on_fault).unwrap();
    (folder, Arc::new(policies), counter)
}

fn version_in_use(policies: &Policies) -> u64 {
    policies.current().policies[&name("default")].version
}

#[test]
fn every_fault_of_a_policy_is_told_at_once() {
    let text = "\
descripton: x
candidates: [simulated/smal, simulated/medium, pointsman-router]
strategy:
  quality_cost:
    cost: { weight: 0.5, min: 0.6, max: 1 }
    latency: -1
    default: simulated/large
constraints: { modalities: [smell] }
fallbacks: 99
cache: { ttl: 1 hour }
";

    insta::assert_snapshot!(faults(text), @r#"
    p.yaml:1:1: descripton: unknown key "descripton"
      1 | descripton: x
        | ^^^^^^^^^^
      help: did you mean "description"?

    p.yaml:2:14: candidates[0]: unknown model "simulated/smal"
      2 | candidates: [simulated/smal, simulated/medium, pointsman-router]
        |              ^^^^^^^^^^^^^^
      help: did you mean "simulated/small"?

    p.yaml:2:48: candidates[2]: the model "pointsman-router" does not chat
      2 | candidates: [simulated/smal, simulated/medium, pointsman-router]
        |                                                ^^^^^^^^^^^^^^^^

    p.yaml:5:5: strategy.quality_cost.cost: cost_weight must lie between its bounds, but 0.5 is not between 0.6 and 1
      5 |     cost: { weight: 0.5, min: 0.6, max: 1 }
        |     ^^^^

    p.yaml:6:14: strategy.quality_cost.latency: -1 is too small: at least 0
      6 |     latency: -1
        |              ^^

    p.yaml:7:14: strategy.quality_cost.default: the model "simulated/large" is not among the candidates
      7 |     default: simulated/large
        |              ^^^^^^^^^^^^^^^
      help: add it to "candidates"

    p.yaml:8:29: constraints.modalities[0]: unknown value "smell"
      8 | constraints: { modalities: [smell] }
        |                             ^^^^^
      help: known: audio, file, image, text, video

    p.yaml:9:12: fallbacks: 99 is too large: at most 20
      9 | fallbacks: 99
        |            ^^

    p.yaml:10:15: cache.ttl: "1 hour" is not a length of time (ms, s, m, h, d)
      10 | cache: { ttl: 1 hour }
         |               ^^^^^^
      help: for instance "30s"
    "#);
}

#[test]
fn an_unknown_strategy_and_a_missing_one_are_told() {
    insta::assert_snapshot!(faults("strategy: { qualty_cost: {} }\n"), @r#"
    p.yaml:1:1: strategy: "qualty_cost" is none of fixed, speculative, weighted, capability, quality_cost, difficulty, preference, cluster, nearest, bandit
      1 | strategy: { qualty_cost: {} }
        | ^^^^^^^^
      help: did you mean "quality_cost"?
    "#);
    insta::assert_snapshot!(faults("candidates: some\n"), @r#"
    p.yaml:1:1: strategy: the key "strategy" is missing
      1 | candidates: some
        | ^

    p.yaml:1:13: candidates: unknown value "some"
      1 | candidates: some
        |             ^^^^
      help: known: all
    "#);
    insta::assert_snapshot!(faults("strategy: { weighted: { weights: { simulated/small: 0 } } }\n"), @r#"
    p.yaml:1:25: strategy.weighted.weights: at least one weight must be above 0
      1 | strategy: { weighted: { weights: { simulated/small: 0 } } }
        |                         ^^^^^^^
    "#);
}

#[test]
fn candidates_come_in_the_order_of_the_policy_and_once() {
    let policy = compiled(&format!("candidates: [simulated/small, 'tag:recent', simulated/small]\n{FIXED}")).unwrap();

    assert_eq!(
        policy.candidates.iter().map(ModelName::as_str).collect::<Vec<_>>(),
        ["simulated/small", "simulated/large"]
    );
}

#[test]
fn a_candidate_that_sleeps_is_skipped_with_a_note() {
    let catalogue = Catalogue::of(&Config::embedded(Embedded::Default, &environment(&["GROQ_API_KEY"])).unwrap());
    let text = "candidates: [gpt-5.6, groq/gpt-oss-20b]\nstrategy: { quality_cost: {} }\n";

    let policy = compile(&Source { name: "p".to_owned(), text: text.to_owned() }, (name("p"), 1), &catalogue).unwrap();

    assert_eq!(policy.candidates, [ModelName::parse("groq/gpt-oss-20b").unwrap()]);
    assert_eq!(policy.notes, ["gpt-5.6 is asleep until OPENAI_API_KEY is set"]);
}

#[test]
fn embedded_policies_have_no_fault() {
    let config = Config::embedded(Embedded::Default, &environment(&["OPENAI_API_KEY"])).unwrap();

    let (faults, notes) = examine(&config, clock()).unwrap();
    let policies = Policies::of(&config, clock(), Box::new(|_| ())).unwrap();

    assert_eq!((faults.0, notes), (Vec::new(), Vec::<String>::new()));
    assert_eq!(policies.current().policies.len(), embedded::policies().len());
}

#[test]
fn embedded_policies_about_models_that_are_not_there_are_left_out() {
    let config = Config::embedded(Embedded::Demo, &environment(&[])).unwrap();

    let policies = Policies::of(&config, clock(), Box::new(|_| ())).unwrap();

    let names: Vec<String> = policies.current().policies.keys().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "avengers",
            "balanced",
            "best",
            "budget",
            "capable",
            "cheap",
            "default",
            "easy-first",
            "guarded",
            "learning",
            "neighbours"
        ]
    );
}

#[test]
fn a_bad_file_keeps_the_old_policy_and_shows_its_fault() {
    let (folder, policies, counter) = folder_with(FIXED);
    let before = policies.current();

    std::fs::write(folder.path().join("default.yaml"), "strategy: { fixd: {} }\n").unwrap();
    policies.reload().unwrap_err();

    assert!(Arc::ptr_eq(&before.policies[&name("default")], &policies.current().policies[&name("default")]));
    assert_eq!(policies.status().faults.len(), 1);
    assert_eq!(counter.load(Ordering::SeqCst), 1);

    std::fs::write(folder.path().join("default.yaml"), OTHER).unwrap();
    policies.reload().unwrap();

    assert!(policies.status().faults.is_empty());
    assert_eq!(version_in_use(&policies), 2);
    assert_eq!(policies.history(&name("default")).unwrap()[0].author, "file");
}

#[test]
fn every_text_has_a_version_of_its_own_where_no_history_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    // A folder in the place of the file that a save writes first.
    std::fs::create_dir_all(folder.path().join(".history/default/1.yaml.new")).unwrap();
    let file = folder.path().join("default.yaml");
    std::fs::write(&file, FIXED).unwrap();
    let store = Box::new(FileStore::new(folder.path().to_owned(), clock()));
    let policies = Policies::open(store, demo(), clock(), Box::new(|_| ())).unwrap();

    let mut versions = vec![version_in_use(&policies)];
    for text in [FIXED, OTHER, OTHER, FIXED] {
        std::fs::write(&file, text).unwrap();
        policies.reload().unwrap();
        versions.push(version_in_use(&policies));
    }

    assert_eq!(versions, [1, 1, 2, 2, 3]);
}

#[test]
fn a_reload_without_a_change_makes_no_version() {
    let (_folder, policies, _) = folder_with(FIXED);

    policies.reload().unwrap();

    assert_eq!(version_in_use(&policies), 1);
}

#[test]
fn a_policy_that_the_configuration_needs_stays_when_its_file_goes() {
    let (folder, policies, _) = folder_with(FIXED);

    std::fs::remove_file(folder.path().join("default.yaml")).unwrap();
    policies.reload().unwrap_err();

    assert_eq!(version_in_use(&policies), 1);
}

#[test]
fn a_save_is_checked_written_and_in_use() {
    let (folder, policies, _) = folder_with(FIXED);

    let bad = policies.save(&name("default"), "strategy: {}\n", Expected::Any, change());
    let good = policies.save(&name("default"), OTHER, Expected::Version(1), change()).unwrap();
    let stale = policies.save(&name("default"), FIXED, Expected::Version(1), change());

    assert!(matches!(bad, Err(PolicyError::Faults(_))));
    assert!(matches!(stale, Err(PolicyError::Store(StoreError::Conflict(_)))));
    assert_eq!((good.version, version_in_use(&policies)), (2, 2));
    assert_eq!(std::fs::read_to_string(folder.path().join("default.yaml")).unwrap(), OTHER);
}

#[test]
fn a_rollback_brings_the_old_text_back_as_a_new_version() {
    let (folder, policies, _) = folder_with(FIXED);
    policies.save(&name("default"), OTHER, Expected::Any, change()).unwrap();

    let version = policies.rollback(&name("default"), 1, Expected::Version(2), change()).unwrap();

    assert_eq!((version.version, version_in_use(&policies)), (3, 3));
    assert_eq!(std::fs::read_to_string(folder.path().join("default.yaml")).unwrap(), FIXED);
}

#[test]
fn a_snapshot_does_not_change_under_its_holder() {
    let (_folder, policies, _) = folder_with(FIXED);
    let snapshot = policies.current();

    policies.save(&name("default"), OTHER, Expected::Any, change()).unwrap();

    assert_eq!(snapshot.policies[&name("default")].version, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_file_is_in_use_soon_and_the_watch_ends_with_the_program() {
    let (folder, policies, _) = folder_with(FIXED);
    let (tasks, stop) = (Tasks::default(), Stop::default());
    watch(Arc::clone(&policies), folder.path(), &tasks, &stop).unwrap();

    std::fs::write(folder.path().join("default.yaml"), OTHER).unwrap();

    let in_use = async {
        while version_in_use(&policies) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), in_use).await.unwrap();
    stop.advance(Phase::Draining);
    assert!(tasks.wait(std::time::Duration::from_secs(20)).await);
}

#[test]
fn the_published_schema_is_the_programs_own() {
    crate::config::tests::published("config/policy.schema.json", &policy_schema());
}

proptest::proptest! {
    #[test]
    fn any_text_compiles_or_is_refused_without_a_panic(text in "(?s).{0,200}") {
        drop(compiled(&text));
    }
}

#[test]
fn every_fault_of_a_condition_is_told_at_its_place() {
    let text = "\
candidates: [simulated/small]
rules:
  - model: simulated/small
    when:
      regex: 'sum (of'
      keywords: [invoice, ' ']
      topics: { math: 1.5, maths: 0.5 }
      languages: [german]
      tokens: { min: 10, max: 5 }
      time: { hours: 8-18, weekdays: [mon], zone: Europe/Berlim }
      keys: ['']
strategy: { capability: {} }
";

    insta::assert_snapshot!(faults(text), @r#"
    p.yaml:5:14: rules[0].when.regex: the pattern does not compile at character 5: unclosed group
      5 |       regex: 'sum (of'
        |              ^^^^^^^^^

    p.yaml:6:7: rules[0].when.keywords: a keyword must not be blank
      6 |       keywords: [invoice, ' ']
        |       ^^^^^^^^

    p.yaml:7:23: rules[0].when.topics.math: 1.5 is too large: at most 1
      7 |       topics: { math: 1.5, maths: 0.5 }
        |                       ^^^

    p.yaml:7:35: rules[0].when.topics.maths: unknown topic "maths"
      7 |       topics: { math: 1.5, maths: 0.5 }
        |                                   ^^^
      help: did you mean "math"?

    p.yaml:8:19: rules[0].when.languages[0]: unknown value "german"
      8 |       languages: [german]
        |                   ^^^^^^
      help: known: af, ak, am, ar, az, be, bg, bn, ca, cs, cy, da, de, el, en, eo, es, et, fa, fi, fr, gu, he, hi, hr, hu, hy, id, it, ja, jv, ka, km, kn, ko, la, lt, lv, mk, ml, mr, my, ne, nl, no, or, pa, pl, pt, ro, ru, si, sk, sl, sn, sr, sv, ta, te, th, tk, tl, tr, uk, ur, uz, vi, yi, zh, zu

    p.yaml:9:7: rules[0].when.tokens: the range is empty: min is above max
      9 |       tokens: { min: 10, max: 5 }
        |       ^^^^^^

    p.yaml:10:22: rules[0].when.time.hours: "8-18" is not hours of a day
      10 |       time: { hours: 8-18, weekdays: [mon], zone: Europe/Berlim }
         |                      ^^^^
      help: for instance "08:00-18:00"

    p.yaml:10:39: rules[0].when.time.weekdays[0]: unknown value "mon"
      10 |       time: { hours: 8-18, weekdays: [mon], zone: Europe/Berlim }
         |                                       ^^^
      help: did you mean "monday"?

    p.yaml:10:51: rules[0].when.time.zone: unknown time zone "Europe/Berlim"
      10 |       time: { hours: 8-18, weekdays: [mon], zone: Europe/Berlim }
         |                                                   ^^^^^^^^^^^^^
      help: for instance "Europe/Berlin", or "UTC"

    p.yaml:11:14: rules[0].when.keys[0]: a name must not be empty
      11 |       keys: ['']
         |              ^^
    "#);
}

#[test]
fn every_fault_of_what_a_rule_does_is_told_at_its_place() {
    let text = "\
candidates: [simulated/small, simulated/medium]
rules:
  - name: everything
    model: simulated/small
  - when: { keywords: [invoice] }
    candidates: [simulated/small, simulated/large]
    model: simulated/medium
    strategy: { capability: { prefer: best } }
  - when: { tokens: { min: 5 } }
strategy: { quality_cost: { cost: 0.1, budget: 0.002, confidence: 0.5 } }
outside: { safe: simulated/large }
";

    insta::assert_snapshot!(faults(text), @r#"
    p.yaml:3:5: rules[0].when: the key "when" is missing
      3 |   - name: everything
        |     ^

    p.yaml:6:35: rules[1].candidates[1]: the model "simulated/large" is not among the policy's candidates
      6 |     candidates: [simulated/small, simulated/large]
        |                                   ^^^^^^^^^^^^^^^

    p.yaml:7:12: rules[1].model: a rule that names the model leaves nothing to a strategy or to further rules
      7 |     model: simulated/medium
        |            ^^^^^^^^^^^^^^^^

    p.yaml:7:12: rules[1].model: the model "simulated/medium" is not among the candidates
      7 |     model: simulated/medium
        |            ^^^^^^^^^^^^^^^^
      help: add it to "candidates"

    p.yaml:8:39: rules[1].strategy.capability.prefer: unknown value "best"
      8 |     strategy: { capability: { prefer: best } }
        |                                       ^^^^
      help: known: cheapest, first

    p.yaml:9:5: rules[2]: a rule needs one of model, candidates, constraints, strategy and rules
      9 |   - when: { tokens: { min: 5 } }
        |     ^

    p.yaml:10:48: strategy.quality_cost.budget: a budget finds the weight of cost itself
      10 | strategy: { quality_cost: { cost: 0.1, budget: 0.002, confidence: 0.5 } }
         |                                                ^^^^^
      help: leave out one of the two

    p.yaml:10:67: strategy.quality_cost.confidence: a confidence lies above 0.5 and below 1, not at 0.5
      10 | strategy: { quality_cost: { cost: 0.1, budget: 0.002, confidence: 0.5 } }
         |                                                                   ^^^

    p.yaml:11:18: outside.safe: the model "simulated/large" is not among the candidates
      11 | outside: { safe: simulated/large }
         |                  ^^^^^^^^^^^^^^^
      help: add it to "candidates"
    "#);
}

/// Returns the strategy's first choice for a prompt and the rules that held.
fn choose(policy: &Policy, text: &str) -> (String, Vec<String>) {
    let facts = demo();
    let candidate = |name: &ModelName| {
        let model = facts.chat_models().find(|facts| facts.name == *name).unwrap();
        let request = RequestFacts::default();
        let estimate = crate::routing::estimate(model, &request, None, None);
        let availability = Availability::Ready;
        Candidate { model: Arc::clone(model), estimate, evidence: Evidence::default(), availability }
    };
    let ask = Ask {
        request: RequestFacts::default(),
        preferences: Preferences::default(),
        signals: Signals { matched: policy.strategy.observe(text), ..Signals::default() },
        candidates: policy.candidates.iter().map(candidate).collect(),
        unscored: None,
        seed: 1,
    };
    let decision = policy.strategy.decide(&ask).unwrap();
    (decision.plan.legs().next().unwrap().model.to_string(), decision.rules)
}

#[test]
fn rules_narrow_what_the_strategy_of_the_policy_may_choose() {
    let policy = compiled(
        "\
candidates: [simulated/small, simulated/medium, simulated/large]
rules:
  - name: invoices
    when: { keywords: [invoice] }
    candidates: [simulated/medium, simulated/large]
    rules:
      - name: due ones
        when: { keywords: [due] }
        model: simulated/large
strategy: { capability: { prefer: first } }
",
    )
    .unwrap();

    assert_eq!(choose(&policy, "hello"), ("simulated/small".to_owned(), vec![]));
    assert_eq!(choose(&policy, "an invoice"), ("simulated/medium".to_owned(), vec!["invoices".to_owned()]));
    let both = vec!["invoices".to_owned(), "due ones".to_owned()];
    assert_eq!(choose(&policy, "the invoice is due"), ("simulated/large".to_owned(), both));
}

#[test]
fn a_reload_keeps_what_was_found_in_recent_traffic_and_an_edit_does_not() {
    let budget = "strategy: { quality_cost: { budget: 0.01 } }\n";
    let (folder, policies, _) = folder_with(budget);
    let calibration = |policies: &Policies| Arc::clone(&policies.current().policies[&name("default")].calibration);
    let before = calibration(&policies);

    policies.reload().unwrap();
    let reloaded = calibration(&policies);
    std::fs::write(folder.path().join("default.yaml"), budget.replace("0.01", "0.02")).unwrap();
    policies.reload().unwrap();

    assert!(Arc::ptr_eq(&before, &reloaded));
    assert!(!Arc::ptr_eq(&before, &calibration(&policies)));
}

#[test]
fn strategies_by_prediction_and_evidence_tell_their_faults_at_the_parameter() {
    insta::assert_snapshot!(faults("strategy: { difficulty: { threshold: 1.5, default: simulated/smal } }\n"), @r#"
    p.yaml:1:38: strategy.difficulty.threshold: threshold must be a number from 0 to 1, not 1.5
      1 | strategy: { difficulty: { threshold: 1.5, default: simulated/smal } }
        |                                      ^^^

    p.yaml:1:52: strategy.difficulty.default: unknown model "simulated/smal"
      1 | strategy: { difficulty: { threshold: 1.5, default: simulated/smal } }
        |                                                    ^^^^^^^^^^^^^^
      help: did you mean "simulated/small"?
    "#);
    insta::assert_snapshot!(faults("strategy: { cluster: { clusters: 3, alpha: { weight: 0.5, min: 0.6, max: 1 } } }\n"), @r#"
    p.yaml:1:37: strategy.cluster.alpha: alpha must lie between its bounds, but 0.5 is not between 0.6 and 1
      1 | strategy: { cluster: { clusters: 3, alpha: { weight: 0.5, min: 0.6, max: 1 } } }
        |                                     ^^^^^
    "#);
    insta::assert_snapshot!(faults("strategy: { nearest: { shrinkage: -1 } }\n"), @r#"
    p.yaml:1:35: strategy.nearest.shrinkage: -1 is too small: at least 0
      1 | strategy: { nearest: { shrinkage: -1 } }
        |                                   ^^
    "#);
}

#[test]
fn a_preference_needs_two_models_and_one_goal() {
    let pair = "strong: simulated/large, weak: simulated/small";

    insta::assert_snapshot!(faults(&format!("strategy: {{ preference: {{ {pair} }} }}\n")), @r#"
    p.yaml:1:13: strategy.preference: "share" or "threshold" is missing
      1 | strategy: { preference: { strong: simulated/large, weak: simulated/small } }
        |             ^^^^^^^^^^
      help: for instance share: 0.4
    "#);
    insta::assert_snapshot!(faults(&format!("strategy: {{ preference: {{ {pair}, share: 0.4, threshold: 0.6 }} }}\n")), @r#"
    p.yaml:1:98: strategy.preference.threshold: it cannot stand beside "share"
      1 | strategy: { preference: { strong: simulated/large, weak: simulated/small, share: 0.4, threshold: 0.6 } }
        |                                                                                                  ^^^
      help: a share finds its threshold itself
    "#);
    insta::assert_snapshot!(
        faults("strategy: { preference: { strong: simulated/large, weak: simulated/large, share: 0.4 } }\n"),
        @r#"
    p.yaml:1:58: strategy.preference.weak: simulated/large cannot be compared with itself
      1 | strategy: { preference: { strong: simulated/large, weak: simulated/large, share: 0.4 } }
        |                                                          ^^^^^^^^^^^^^^^
    "#
    );
    assert!(compiled(&format!("strategy: {{ preference: {{ {pair}, share: 0.4 }} }}\n")).is_ok());
}

#[test]
fn only_local_models_speculate_and_none_for_itself() {
    let strategy =
        |model: &str, draft: &str| format!("strategy: {{ speculative: {{ model: {model}, draft: {draft} }} }}\n");
    let remote = faults(&strategy("simulated/small", "simulated/small"));

    let text = "models: [{ name: large, local: { path: a } }, { name: small, local: { path: b } }]\n";
    let source = Source { name: "c.yaml".to_owned(), text: text.to_owned() };
    let catalogue = Catalogue::of(&Config::compile(&source, None, &environment(&[])).unwrap());
    let local = Source { name: "p.yaml".to_owned(), text: strategy("large", "small") };

    assert!(remote.contains("is not local") && remote.contains("cannot draft for itself"), "{remote}");
    assert!(compile(&local, (name("p"), 1), &catalogue).is_ok());
}
