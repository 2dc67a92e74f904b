use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const SURE: f32 = 0.99;

fn label(similarity: f32, is_right: bool) -> Label {
    Label { similarity, is_right }
}

fn pool(labels: impl IntoIterator<Item = Label>) -> Pool {
    let mut pool = Pool::default();
    labels.into_iter().for_each(|label| pool.add(label));
    pool
}

fn share(pool: &Pool, own: &Labels) -> f64 {
    serving(SURE, (own, pool), 0.01, 0.02)
}

#[test]
fn without_labels_almost_everything_is_asked_again() {
    assert!(share(&Pool::default(), &Labels::default()) <= 0.0101);
}

#[test]
fn many_right_labels_let_answers_be_served() {
    let pool = pool((0..2_000).map(|_| label(0.98, true)));

    assert!((share(&pool, &Labels::default()) - 0.98).abs() < 1e-9, "all but the floor");
    assert!(
        serving(0.5, (&Labels::default(), &pool), 0.01, 0.02) <= 0.0101,
        "labels of near pairs say nothing of far ones"
    );
}

#[test]
fn an_entry_with_a_wrong_label_stands_for_itself() {
    let pool = pool((0..2_000).map(|_| label(0.98, true)));
    let mut own = Labels::default();

    own.add(label(0.98, false));

    assert!(share(&pool, &own) <= 0.0101);
}

#[test]
fn an_entrys_own_right_labels_raise_its_share() {
    let mut own = Labels::default();
    let shares: Vec<f64> = (0..40)
        .map(|_| {
            own.add(label(0.98, true));
            share(&Pool::default(), &own)
        })
        .collect();

    assert!(shares[39] > 1.5 * shares[0], "{shares:?}");
}

#[test]
fn the_upper_share_is_that_of_clopper_and_pearson() {
    // Closed forms: no success in n gives 1 - epsilon^(1/n); table value for 5 of 100 at 97.5 %: 0.1128.
    assert!((upper_share(0, 100, 0.05) - (1.0 - 0.05_f64.powf(0.01))).abs() < 1e-7);
    assert!((upper_share(5, 100, 0.025) - 0.1128).abs() < 1e-4);
    assert_eq!(upper_share(3, 3, 0.05), 1.0);
}

#[test]
fn the_newest_labels_count() {
    let old = (0..POOLED).map(|_| label(0.98, false));
    let pool = pool(old.chain((0..POOLED).map(|_| label(0.98, true))));

    assert!(share(&pool, &Labels::default()) > 0.97);
}

/// Serves and explores in a world where rightness over similarity is known, and counts what was served wrong.
fn errors(rightness: impl Fn(f32) -> f64, seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut pool, mut wrong) = (Pool::default(), 0);
    let rounds = 4_000;
    for _ in 0..rounds {
        let similarity = rng.random_range(0.8_f32..1.0);
        let is_right = rng.random_bool(rightness(similarity));
        if rng.random_bool(serving(similarity, (&Labels::default(), &pool), 0.01, 0.02)) {
            wrong += u32::from(!is_right);
        } else {
            pool.add(label(similarity, is_right));
        }
    }
    f64::from(wrong) / f64::from(rounds)
}

#[test]
fn the_share_of_wrong_answers_stays_under_the_bound_whatever_the_curve() {
    let steep = |similarity: f32| if similarity > 0.95 { 0.999 } else { 0.3 };
    let flat = |_| 0.98;
    let hopeless = |_| 0.2;

    for seed in 0..2 {
        assert!(errors(steep, seed) <= 0.01);
        assert!(errors(flat, seed) <= 0.01);
        assert!(errors(hopeless, seed) <= 0.01);
    }
}

proptest! {
    #[test]
    fn serving_is_a_share_and_never_above_what_the_floor_leaves(
        labels in prop::collection::vec((0.0_f32..1.0, any::<bool>()), 0..200), similarity in 0.0_f32..1.0, floor in 0.0_f64..1.0
    ) {
        let mut own = Labels::default();
        labels.iter().for_each(|(similarity, is_right)| own.add(label(*similarity, *is_right)));
        let pool = pool(labels.iter().map(|(similarity, is_right)| label(*similarity, *is_right)));

        let share = serving(similarity, (&own, &pool), 0.01, floor);

        prop_assert!((0.0..=1.0 - floor + 1e-12).contains(&share), "{share}");
    }
}
