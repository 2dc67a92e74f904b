//! The room as a whole: faults as people see them, and the policies that are part of the program.

mod changes;
mod rules;

use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::{
    config::{Embedded, Environment, Source, embedded},
    runtime::{SharedClock, TestClock},
};

const FIXED: &str = "strategy: { fixed: { model: simulated/small } }\n";

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

fn compiled(text: &str) -> Result<Policy, Faults> {
    compile(&Source { name: "p.yaml".to_owned(), text: text.to_owned() }, (name("p"), 1), &demo())
}

fn faults(text: &str) -> String {
    compiled(text).err().expect("the policy has faults").to_string()
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
    p.yaml:1:1: strategy: "qualty_cost" is none of fixed, speculative, weighted, capability, quality_cost, difficulty, preference, cluster, nearest, bandit, cascade, cascade_routing, ensemble, topology, agree
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
            "cascade-routing",
            "cheap",
            "default",
            "easy-first",
            "experts",
            "guarded",
            "learning",
            "neighbours",
            "steady"
        ]
    );
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
