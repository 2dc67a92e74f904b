//! What the rules of a compiled policy leave to its strategy.

use std::sync::Arc;

use super::{compiled, demo};
use crate::{
    domain::{Ask, Availability, Candidate, Evidence, ModelName, Preferences, RequestFacts, Signals},
    policy::Policy,
};

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
