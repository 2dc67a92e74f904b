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
    Place { partition: CacheKey([number; 32]), pool: CacheKey([number; 32]) }
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
    let (error, upper) = cache.tally().error();
    assert!(error == 0.0 && upper < 0.01, "{upper}");
}

#[test]
fn a_twin_is_never_even_explored() {
    let (cache, _) = cache(1 << 20);
    taught(&cache);
    cache.put(&place(1), &probe("which hill is 3 km away", 1.0), ("three", 100), HOUR);

    let verdict = cache.look_up(&place(1), &probe("which hill is 4 km away", 1.0), &rule(), 0.0);

    assert!(matches!(verdict, Verdict::Nothing), "{verdict:?}");
}

#[test]
fn places_do_not_see_each_other() {
    let (cache, _) = cache(1 << 20);
    taught(&cache);

    let verdict = cache.look_up(&place(2), &probe("which hill", 1.0), &rule(), 0.0);
    cache.put(&place(2), &probe("which hill", 1.0), ("mine", 100), HOUR);

    assert!(matches!(verdict, Verdict::Nothing));
    assert!(!is_served(&cache, &place(2), "which hill"), "another pool's labels counted");
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
    assert!(cache.tally().error().0 > 0.0);
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
fn what_is_unwanted_goes_and_a_dry_run_only_counts() {
    let (cache, _) = cache(1 << 20);
    for answer in ["a", "b", "a"] {
        cache.put(&place(1), &probe(answer, 1.0), (answer, 1), HOUR);
    }

    assert_eq!(cache.evict(|answer| *answer == "a", true), 2);
    assert_eq!(cache.size().1, 3);
    assert_eq!(cache.evict(|answer| *answer == "a", false), 2);
    assert_eq!(cache.size().1, 1);
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
