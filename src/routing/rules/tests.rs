use jiff::{civil::Weekday, tz::TimeZone};

use super::*;
use crate::{
    domain::{KeyId, Language, ModelName, Probability, Tag, TenantId, Tokens, Topic},
    routing::{
        Constraints, CostGoal, Fixed, FixedParameters, Goals, QualityCost, QualityCostParameters, Weight,
        samples::{ask, expected},
    },
};

fn fixed(model: &str) -> Arc<dyn Strategy> {
    let model = ModelName::parse(model).unwrap();
    Arc::new(Fixed::new(FixedParameters { model, constraints: Constraints::default(), max_fallbacks: 0 }))
}

fn rule(name: &str, when: Condition, then: Arc<dyn Strategy>) -> Rule {
    Rule { name: name.to_owned(), when, then, is_choice: true }
}

fn two() -> Ask {
    ask(vec![expected("a", 0.9, 10, 10), expected("b", 0.5, 5, 10), expected("c", 0.5, 5, 10)])
}

fn first(decision: &Decision) -> &str {
    decision.plan.legs().next().unwrap().model.as_str()
}

/// Returns whether a rule with this condition catches the ask.
fn catches(when: Condition, ask: &Ask) -> bool {
    let rules = Rules::new(vec![rule("it", when, fixed("a"))], fixed("b"));
    rules.decide(ask).unwrap().reason == Reason::Rule
}

fn keywords(words: &[&str]) -> Option<Pattern> {
    Pattern::keywords(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).ok()
}

#[test]
fn the_first_rule_that_holds_decides_and_is_named() {
    let long = || Condition { tokens: Span { min: Some(50), max: None }, ..Condition::default() };
    let never = Condition { tokens: Span { min: Some(500), max: None }, ..Condition::default() };
    let rules =
        vec![rule("never", never, fixed("a")), rule("long", long(), fixed("b")), rule("also", long(), fixed("c"))];

    let decision = Rules::new(rules, fixed("a")).decide(&two()).unwrap();

    assert_eq!((first(&decision), decision.reason), ("b", Reason::Rule));
    assert_eq!(decision.rules, ["long"]);
}

#[test]
fn where_no_rule_holds_the_strategy_decides() {
    let never = Condition { tokens: Span { min: Some(500), max: None }, ..Condition::default() };

    let decision = Rules::new(vec![rule("never", never, fixed("a"))], fixed("b")).decide(&two()).unwrap();

    assert_eq!((first(&decision), decision.reason), ("b", Reason::Fixed));
    assert_eq!(decision.rules, [""; 0]);
}

#[test]
fn each_condition_looks_at_its_own() {
    let german = Language::parse("de").unwrap();
    let (key, tenant) = (KeyId::parse("ci").unwrap(), TenantId::parse("lab").unwrap());
    let mut asked = two();
    asked.preferences.tags.insert(Tag("eu".into()));
    asked.candidates.iter_mut().for_each(|one| Arc::make_mut(&mut one.model).tags = [Tag("eu".into())].into());
    let signals = &mut asked.signals;
    signals.topics = vec![Topic { name: "law".into(), share: Probability::clamped(0.6) }];
    (signals.language, signals.characters) = (Some(german), 300);
    (signals.key, signals.tenant) = (Some(key.clone()), Some(tenant.clone()));
    signals.arrived = "2026-07-15T12:00:00Z".parse().unwrap();
    let blank = two();

    let topic = |least| Condition { topics: vec![("law".into(), Probability::clamped(least))], ..Condition::default() };
    let time = |day| Some(Window::new(Some("08:00-18:00"), vec![day], TimeZone::UTC).unwrap());
    let holding = [
        topic(0.5),
        Condition { languages: [german].into(), ..Condition::default() },
        Condition { characters: Span { min: Some(300), max: Some(300) }, ..Condition::default() },
        Condition { tags: [Tag("eu".into())].into(), ..Condition::default() },
        Condition { keys: [key].into(), ..Condition::default() },
        Condition { tenants: [tenant].into(), ..Condition::default() },
        Condition { time: time(Weekday::Wednesday), ..Condition::default() },
    ];
    for when in holding {
        assert!(catches(when.clone(), &asked) && !catches(when.clone(), &blank), "{when:?}");
    }
    assert!(!catches(topic(0.7), &asked));
    assert!(!catches(Condition { time: time(Weekday::Monday), ..Condition::default() }, &asked));
    assert!(!catches(Condition { tokens: Span { min: None, max: Some(99) }, ..Condition::default() }, &asked));
    assert!(!catches(Condition { characters: Span { min: Some(301), max: None }, ..topic(0.5) }, &asked));
}

#[test]
fn what_was_found_in_the_text_comes_back_without_the_text() {
    let when =
        Condition { keywords: keywords(&["invoice"]), regex: Pattern::regex("[0-9]{4}").ok(), ..Condition::default() };
    let rules = Rules::new(vec![rule("it", when, fixed("a"))], fixed("b"));
    let decide = |text: &str| {
        let mut ask = two();
        ask.signals.matched = rules.observe(text);
        rules.decide(&ask).unwrap().reason
    };

    assert_eq!(decide("Invoice 2026"), Reason::Rule);
    assert_eq!(decide("Invoice, undated"), Reason::Fixed);
    assert_eq!(decide("2026"), Reason::Fixed);
}

#[test]
fn rules_within_a_rule_find_what_is_theirs() {
    let inner = Condition { keywords: keywords(&["liability"]), ..Condition::default() };
    let outer = Condition { keywords: keywords(&["contract"]), ..Condition::default() };
    let nested = Rules::new(vec![rule("inner", inner, fixed("c"))], fixed("b"));
    let rules = Rules::new(vec![Rule { is_choice: false, ..rule("outer", outer, Arc::new(nested)) }], fixed("a"));
    let decide = |text: &str| {
        let mut ask = two();
        ask.signals.matched = rules.observe(text);
        rules.decide(&ask).unwrap()
    };

    assert_eq!(decide("a contract on liability").rules, ["outer", "inner"]);
    assert_eq!(decide("a contract").rules, ["outer"]);
    assert_eq!(first(&decide("a contract on liability")), "c");
    assert_eq!(first(&decide("liability alone")), "a");
}

#[test]
fn only_what_is_looked_at_is_computed() {
    let topics = Condition { topics: vec![("law".into(), Probability::ONE)], ..Condition::default() };
    let languages = Condition { languages: Language::parse("de").into_iter().collect(), ..Condition::default() };
    let needs = |when: Condition| Rules::new(vec![rule("it", when, fixed("a"))], fixed("b")).needs();

    assert_eq!(needs(topics), Needs::SCORES);
    assert_eq!(needs(languages), Needs { language: true, ..Needs::NOTHING });
    assert_eq!(needs(Condition::default()), Needs::NOTHING);
}

#[test]
fn a_budget_behind_a_rule_learns_from_that_rule_alone() {
    let budget = QualityCost::new(QualityCostParameters {
        constraints: Constraints::default(),
        cost: CostGoal::Budget(crate::domain::NanoUsd(7)),
        latency_weight: Weight::fixed(0.0),
        goals: Goals::default(),
        confidence: None,
        least_quality: None,
        default_model: None,
        max_fallbacks: 0,
    });
    let long = Condition { tokens: Span { min: Some(50), max: None }, ..Condition::default() };
    let rules = Rules::new(vec![rule("long", long, Arc::new(budget.unwrap()))], fixed("b"));
    let calibrator = rules.calibrators().remove(0);
    let mut short = two();
    short.request.input_tokens = Tokens(1);

    assert_eq!(calibrator.name(), "0.budget");
    assert!(calibrator.row(&two()).is_some());
    assert_eq!(calibrator.row(&short), None);

    // Of two models for 10 and 5 the mean of 7 takes the dearer in 40 of 100 requests.
    let row = calibrator.row(&two()).unwrap();
    let number = calibrator.fit(&[&row]).unwrap();
    let mut asked = two();
    asked.signals.calibrated.insert("0.budget".to_owned(), number);
    let dear = (0..1_000).filter(|seed| {
        asked.seed = *seed;
        first(&rules.decide(&asked).unwrap()) == "a"
    });
    // The standard error of a share of 0.4 in 1,000 draws is 0.015: three of them either way.
    assert!((353..=447).contains(&dear.count()));
}
