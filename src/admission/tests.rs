use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jiff::Timestamp;

use super::*;
use crate::{
    domain::{Attempt, AttemptJournal, AttemptOutcome, KeyLimits, ModelName, TenantId, Usage},
    error::Code,
    runtime::TestClock,
};

struct Scene {
    admission: Admission,
    clock: Arc<TestClock>,
    stop: Stop,
}

fn scene(max_concurrency: usize) -> Scene {
    let clock = Arc::new(TestClock::at("2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap()));
    let stop = Stop::default();
    let shared = Arc::clone(&clock) as SharedClock;
    let admission = Admission::new(shared, stop.clone(), NonZeroUsize::new(max_concurrency).unwrap());
    Scene { admission, clock, stop }
}

fn principal(limits: KeyLimits) -> Principal {
    let tenant = TenantId::parse("acme").unwrap();
    Principal { tenant, key: KeyId::parse("k1").unwrap(), limits, policies: Vec::new() }
}

fn demand(tokens: u64, cost: u64) -> Demand {
    Demand { tokens: Tokens(tokens), cost_upper: NanoUsd(cost) }
}

fn usage(tokens: u64) -> Usage {
    Usage { input: Tokens(tokens), ..Usage::default() }
}

impl Scene {
    fn admit(&self, principal: &Principal, demand: Demand) -> Result<Permit, AdmitError> {
        self.admission.admit(principal, None, &Limits::default(), demand)
    }
}

#[test]
fn requests_per_minute_hold_and_come_back_with_time() {
    let scene = scene(10);
    let caller = principal(KeyLimits { requests_per_minute: Some(2), ..KeyLimits::default() });

    let first = scene.admit(&caller, Demand::default()).unwrap();
    let second = scene.admit(&caller, Demand::default()).unwrap();
    let refused = scene.admit(&caller, Demand::default()).err().unwrap();
    scene.clock.advance(refused.retry_after().unwrap());
    let third = scene.admit(&caller, Demand::default());

    assert_eq!(first.rates().requests.unwrap().remaining, 1);
    assert_eq!(second.rates().requests.unwrap().remaining, 0);
    assert_eq!(refused.code(), Code::RateLimited);
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(30)));
    assert!(refused.rates.headers().contains(&("x-ratelimit-remaining-requests", "0".to_owned())));
    assert!(third.is_ok());
}

#[test]
fn reserved_tokens_are_settled_by_what_was_used() {
    let scene = scene(10);
    let caller = principal(KeyLimits { tokens_per_minute: Some(100), ..KeyLimits::default() });

    let mut permit = scene.admit(&caller, demand(80, 0)).unwrap();
    let while_reserved = scene.admit(&caller, demand(30, 0)).err().unwrap();
    permit.settle(&usage(10), NanoUsd::ZERO);
    permit.settle(&usage(90), NanoUsd::ZERO);
    let after_settling = scene.admit(&caller, demand(90, 0));

    assert_eq!(while_reserved.code(), Code::RateLimited);
    assert!(after_settling.is_ok());
}

#[test]
fn tokens_are_taken_when_they_are_reserved_and_not_again_when_a_long_answer_ends() {
    let scene = scene(10);
    let caller = principal(KeyLimits { tokens_per_minute: Some(100), ..KeyLimits::default() });
    let mut permit = scene.admit(&caller, demand(80, 0)).unwrap();
    scene.clock.advance(Duration::from_secs(60));
    drop(scene.admit(&caller, Demand::default()).unwrap());

    permit.settle(&usage(80), NanoUsd::ZERO);

    assert!(scene.admit(&caller, demand(100, 0)).is_ok());
}

#[test]
fn a_request_larger_than_a_minute_is_told_not_to_come_again() {
    let scene = scene(10);
    let caller = principal(KeyLimits { tokens_per_minute: Some(100), ..KeyLimits::default() });

    let refused = scene.admit(&caller, demand(101, 0)).err().unwrap();

    assert_eq!(refused.retry_after(), None);
    assert!(refused.to_string().contains("at all"), "{refused}");
}

#[test]
fn a_refusal_leaves_nothing_reserved() {
    let scene = scene(10);
    let limits = KeyLimits {
        requests_per_minute: Some(1),
        tokens_per_minute: Some(100),
        max_concurrency: Some(1),
        daily_budget: Some(NanoUsd(50)),
        ..KeyLimits::default()
    };
    let caller = principal(limits);

    let too_dear = scene.admit(&caller, demand(100, 51)).err().unwrap();

    assert_eq!(too_dear.code(), Code::BudgetExceeded);
    assert_eq!(scene.admission.in_flight(), 0);
    assert!(scene.admit(&caller, demand(100, 50)).is_ok());
}

#[test]
fn spending_before_the_start_counts() {
    let scene = scene(10);
    let caller = principal(KeyLimits { monthly_budget: Some(NanoUsd(100)), ..KeyLimits::default() });
    let spent = |day, cost| Spending {
        key: caller.key.clone(),
        day: jiff::civil::date(2026, 3, day),
        requests: 1,
        tokens: Tokens(1),
        cost: NanoUsd(cost),
    };

    scene.admission.load([spent(1, 60), spent(1, 30)]);

    assert!(scene.admit(&caller, demand(0, 11)).is_err());
    assert!(scene.admit(&caller, demand(0, 10)).is_ok());
}

#[test]
fn a_permit_dropped_early_pays_for_the_attempts_and_gives_the_rest_back() {
    let scene = scene(10);
    let caller = principal(KeyLimits { daily_budget: Some(NanoUsd(100)), ..KeyLimits::default() });
    let journal = AttemptJournal::default();
    let mut permit = scene.admit(&caller, demand(0, 100)).unwrap();
    permit.follow(journal.clone());
    journal.book(Attempt {
        leg: 0,
        model: ModelName::parse("m").unwrap(),
        started: Duration::ZERO,
        waited: Duration::ZERO,
        first_token: None,
        took: Duration::ZERO,
        usage: usage(3),
        cost: NanoUsd(40),
        end: AttemptOutcome::Cancelled,
    });

    drop(permit);

    assert!(scene.admit(&caller, demand(0, 61)).is_err());
    assert!(scene.admit(&caller, demand(0, 60)).is_ok());
}

#[test]
fn a_decision_reserves_its_cost_on_top() {
    let scene = scene(10);
    let caller = principal(KeyLimits { daily_budget: Some(NanoUsd(100)), ..KeyLimits::default() });
    let mut permit = scene.admit(&caller, Demand::default()).unwrap();

    let too_much = permit.reserve(NanoUsd(101)).unwrap_err();
    let enough = permit.reserve(NanoUsd(100));
    let meanwhile = scene.admit(&caller, demand(0, 1));
    drop(permit);

    assert_eq!(too_much.code(), Code::BudgetExceeded);
    assert!(enough.is_ok());
    assert!(meanwhile.is_err());
    assert!(scene.admit(&caller, demand(0, 100)).is_ok());
}

#[test]
fn a_request_over_midnight_is_booked_on_the_day_it_came() {
    let scene = scene(10);
    let caller = principal(KeyLimits { daily_budget: Some(NanoUsd(100)), ..KeyLimits::default() });
    let mut permit = scene.admit(&caller, demand(0, 100)).unwrap();

    scene.clock.advance(Duration::from_secs(13 * 3600));
    let next_day = scene.admit(&caller, demand(0, 100));
    permit.settle(&usage(1), NanoUsd(100));
    drop(next_day);

    assert!(scene.admit(&caller, demand(0, 100)).is_ok());
}

#[test]
fn a_reservation_raised_after_midnight_comes_back_whole() {
    let scene = scene(10);
    let limits =
        KeyLimits { daily_budget: Some(NanoUsd(100)), monthly_budget: Some(NanoUsd(100)), ..KeyLimits::default() };
    let caller = principal(limits);
    let mut permit = scene.admit(&caller, demand(0, 40)).unwrap();

    scene.clock.advance(Duration::from_secs(13 * 3600));
    assert!(permit.reserve(NanoUsd(61)).is_err());
    assert!(permit.reserve(NanoUsd(60)).is_ok());
    assert!(scene.admit(&caller, demand(0, 1)).is_err());
    drop(permit);

    assert!(scene.admit(&caller, demand(0, 100)).is_ok());
}

#[test]
fn each_limit_on_requests_in_flight_says_whose_it_is() {
    let scene = scene(2);
    let policy = PolicyName::parse("cheap").unwrap();
    let one = Limits { max_concurrency: Some(1), ..Limits::default() };
    let narrow = principal(KeyLimits { max_concurrency: Some(1), ..KeyLimits::default() });

    let first = scene.admission.admit(&narrow, Some(&policy), &one, Demand::default()).unwrap();
    let by_policy = scene.admission.admit(&narrow, Some(&policy), &one, Demand::default()).err().unwrap();
    let by_key = scene.admit(&narrow, Demand::default()).err().unwrap();
    let second = scene.admit(&principal(KeyLimits::default()), Demand::default()).unwrap();
    let by_gateway = scene.admit(&principal(KeyLimits::default()), Demand::default()).err().unwrap();
    drop((first, second));

    assert!(matches!(*by_policy.refused, Refused::PolicyBusy { limit: 1, .. }));
    assert!(matches!(*by_key.refused, Refused::KeyBusy { limit: 1 }));
    assert_eq!(by_gateway.code(), Code::Overloaded);
    assert_eq!(scene.admission.in_flight(), 0);
}

#[test]
fn a_restricted_key_uses_its_policies_and_nothing_else() {
    let scene = scene(10);
    let (cheap, dear) = (PolicyName::parse("cheap").unwrap(), PolicyName::parse("dear").unwrap());
    let caller = Principal { policies: vec![cheap.clone()], ..principal(KeyLimits::default()) };
    let admit = |policy| scene.admission.admit(&caller, policy, &Limits::default(), Demand::default());

    assert!(admit(Some(&cheap)).is_ok());
    assert_eq!(admit(Some(&dear)).err().unwrap().code(), Code::Forbidden);
    assert_eq!(admit(None).err().unwrap().to_string(), "This key may only use auto:cheap.");
}

#[test]
fn nobody_goes_in_when_the_gateway_ends() {
    let scene = scene(10);

    scene.stop.advance(Phase::Draining);
    assert!(scene.admit(&principal(KeyLimits::default()), Demand::default()).is_ok());
    scene.stop.advance(Phase::Ending);

    let refused = scene.admit(&principal(KeyLimits::default()), Demand::default()).err().unwrap();
    assert_eq!(refused.code(), Code::ShuttingDown);
}

#[test]
fn budgets_and_places_hold_under_many_threads() {
    let scene = scene(4);
    let caller = principal(KeyLimits { daily_budget: Some(NanoUsd(1_000)), ..KeyLimits::default() });
    let spent = AtomicU64::new(0);

    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let Ok(mut permit) = scene.admit(&caller, demand(1, 10)) else { continue };
                    assert!(scene.admission.in_flight() <= 4);
                    permit.settle(&usage(1), NanoUsd(7));
                    spent.fetch_add(7, Ordering::Relaxed);
                }
            });
        }
    });

    let spent = spent.into_inner();
    assert!((700..=1_000).contains(&spent), "{spent}");
    assert_eq!(scene.admission.in_flight(), 0);
    assert!(scene.admit(&caller, demand(0, 1_000 - spent)).is_ok() || spent == 1_000);
}
