use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::runtime::TestClock;

const HOUR: Duration = Duration::from_secs(3600);

fn cache(limit_bytes: usize) -> (SemanticCache<&'static str>, Arc<TestClock>) {
    let clock = Arc::new(TestClock::at(Timestamp::UNIX_EPOCH));
    (SemanticCache::new(limit_bytes, Arc::clone(&clock) as SharedClock), clock)
}

fn place(number: u8) -> Place {
    Place { partition: CacheKey([number; 32]), pool: CacheKey([number; 32]), policy: Arc::from("p") }
}

fn probe(text: &str, towards: f32) -> Probe {
    let embedding = [towards, (1.0 - towards * towards).max(0.0).sqrt()];
    Probe { embedding: Arc::from(embedding), marks: Arc::new(Marks::of(text)) }
}

fn rule() -> SemanticRule {
    SemanticRule { min_similarity: 0.5, ..SemanticRule::default() }
}

/// Teaches a cache that near answers are right.
fn taught(cache: &SemanticCache<&'static str>) {
    cache.put(&place(1), &probe("which hill", 1.0), ("hill", 100), HOUR);
    for _ in 0..2_000 {
        if let Verdict::Explore(nearby) = cache.look_up(&place(1), &probe("which hill", 0.999), &rule(), 0.999) {
            cache.learn(&place(1), &nearby, true);
        }
    }
}

fn is_served(cache: &SemanticCache<&'static str>, place: &Place, text: &str) -> bool {
    matches!(cache.look_up(place, &probe(text, 0.999), &rule(), 0.5), Verdict::Serve(_))
}

#[test]
fn what_proved_right_is_served() {
    let (cache, _) = cache(1 << 20);
    cache.put(&place(1), &probe("which hill", 1.0), ("hill", 100), HOUR);

    let before = is_served(&cache, &place(1), "which hill");
    taught(&cache);

    assert!(!before);
    assert!(is_served(&cache, &place(1), "which hill"));
    let error = cache.tallies()["p"].error();
    assert!(error.estimate == 0.0 && error.lower == 0.0 && error.upper < 0.1, "{error:?}");
    assert_eq!(cache.tallies()["p"].bound, 0.01);
}

#[test]
fn a_twin_is_never_served_and_never_explored() {
    let (cache, _) = cache(1 << 20);
    taught(&cache);
    cache.put(&place(1), &probe("which hill is 3 km away", 1.0), ("three", 100), HOUR);

    let verdict = cache.look_up(&place(1), &probe("which hill is 4 km away", 1.0), &rule(), 0.0);

    assert!(matches!(verdict, Verdict::Apart(_)), "{verdict:?}");
}

#[test]
fn places_do_not_see_each_other() {
    let (cache, _) = cache(1 << 20);
    taught(&cache);

    let verdict = cache.look_up(&place(2), &probe("which hill", 1.0), &rule(), 0.0);
    cache.put(&place(2), &probe("which hill", 1.0), ("mine", 100), HOUR);

    assert!(matches!(verdict, Verdict::Nothing), "{verdict:?}");
    assert!(!is_served(&cache, &place(2), "which hill"), "another pool's labels counted");
}

#[test]
fn what_another_place_holds_is_not_even_looked_at() {
    let (cache, _) = cache(1 << 20);
    for _ in 0..50 {
        cache.put(&place(1), &probe("which hill", 1.0), ("theirs", 1), HOUR);
    }
    assert_eq!(cache.compared(&place(2)), 0);

    cache.put(&place(2), &probe("which hill", 1.0), ("mine", 1), HOUR);

    assert_eq!((cache.compared(&place(1)), cache.compared(&place(2))), (50, 1));
}

#[test]
fn an_entry_that_was_wrong_is_asked_again() {
    let (cache, _) = cache(1 << 20);
    taught(&cache);
    let Verdict::Explore(nearby) = cache.look_up(&place(1), &probe("which hill", 0.999), &rule(), 0.999) else {
        panic!("the floor explores");
    };

    cache.learn(&place(1), &nearby, false);

    assert!(!is_served(&cache, &place(1), "which hill"));
    assert!(cache.tallies()["p"].error().estimate > 0.0);
}

#[test]
fn entries_go_when_their_time_is_over() {
    let (cache, clock) = cache(1 << 20);
    taught(&cache);

    clock.advance(HOUR);

    assert!(!is_served(&cache, &place(1), "which hill"));
    assert_eq!(cache.size(), (0, 0));
}

#[test]
fn what_is_unwanted_goes_and_the_rest_stays() {
    let (cache, _) = cache(1 << 20);
    for answer in ["a", "b", "a"] {
        cache.put(&place(1), &probe(answer, 1.0), (answer, 1), HOUR);
    }

    assert_eq!(cache.list(|answer| *answer == "a").len(), 2);
    cache.evict(|answer| *answer == "a");

    assert_eq!(cache.list(|_| true).iter().map(|kept| kept.answer).collect::<Vec<_>>(), ["b"]);
    assert_eq!(cache.size().1, 1);
}

#[test]
fn the_closest_come_first_in_whatever_place_they_are() {
    let (cache, _) = cache(1 << 20);
    for (number, towards, answer) in [(1, 0.2, "far"), (2, 0.9, "near"), (3, 0.95, "mine")] {
        cache.put(&place(number), &probe("x", towards), (answer, 1), HOUR);
    }

    let found = cache.closest(&probe("x", 1.0).embedding, |answer| *answer != "mine", 5);

    assert_eq!(found.iter().map(|(_, kept)| kept.answer).collect::<Vec<_>>(), ["near", "far"]);
    assert!((found[0].0 - 0.9).abs() < 1e-6);
}

#[test]
fn what_was_learned_survives_being_saved() {
    let (before, _) = cache(1 << 20);
    taught(&before);

    let (after, _) = cache(1 << 20);
    after.restore(before.save().into_iter().map(|saved| (saved, 100)));
    after.restore_pools(before.save_pools());

    assert_eq!(after.size(), before.size());
    assert_eq!(after.save(), before.save());
    assert!(is_served(&after, &place(1), "which hill"));
}

#[test]
fn labels_of_tenants_that_learn_nothing_any_more_are_forgotten() {
    let limit = 1 << 16;
    let (cache, _) = cache(limit);
    let learn = |place: &Place| {
        cache.put(place, &probe("which hill", 1.0), ("hill", 1), HOUR);
        for _ in 0..20 {
            if let Verdict::Explore(nearby) = cache.look_up(place, &probe("which hill", 0.999), &rule(), 0.999) {
                cache.learn(place, &nearby, true);
            }
        }
    };

    (0..100).for_each(|number| learn(&place(number)));

    let pools = cache.save_pools();
    let labels: usize = pools.iter().map(|(_, labels)| labels.len()).sum();
    assert!(labels * LABEL_BYTES <= limit / POOLS, "{labels} labels");
    assert!(pools.iter().any(|(key, labels)| *key == place(99).pool && labels.len() == 20), "the newest went");
}

proptest! {
    #[test]
    fn the_bytes_held_never_exceed_the_limit(sizes in prop::collection::vec(1_usize..4_000, 1..200)) {
        let (cache, _) = cache(20_000);

        for (at, size) in sizes.into_iter().enumerate() {
            cache.put(&place((at % 3) as u8), &probe("x", 1.0), ("x", size), HOUR);

            let (bytes, entries) = cache.size();
            prop_assert!(bytes <= 20_000 && entries > 0, "{} bytes", bytes);
        }
    }
}
