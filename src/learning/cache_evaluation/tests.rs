use super::*;

fn embedded(text: &str, towards: f32, class: usize, kind: Kind) -> Embedded {
    let embedding = Arc::from([towards, (1.0 - towards * towards).max(0.0).sqrt()]);
    Embedded { probe: Probe { embedding, marks: Arc::new(Marks::of(text)) }, class, kind }
}

/// Returns the same question again and again, and between its repetitions a twin that is as near.
fn with_twins(count: usize) -> Vec<Embedded> {
    let pair = |_| [embedded("which of 3", 1.0, 0, Kind::Original), embedded("which of 4", 1.0, 1, Kind::Twin)];
    (0..count).flat_map(pair).collect()
}

#[test]
fn a_threshold_serves_twins_and_the_bounded_cache_does_not() {
    let rows = measure(&with_twins(2_000), &SemanticRule::default(), 7);

    let (bounded, fixed) = (&rows[0], &rows[1]);
    assert_eq!((bounded.wrong, bounded.twins), (0, 2_000));
    assert!(bounded.hit_rate() > 0.4, "{bounded:?}");
    assert_eq!((fixed.twins_wrong, fixed.requests), (2_000, 4_000));
    assert_eq!(best_fixed(&rows, 0.01).map(|row| row.hits), None, "every threshold serves the twin");
}

#[test]
fn what_is_always_wrong_is_served_no_more_often_than_the_bound_allows() {
    let prompts: Vec<Embedded> = (0..4_000).map(|class| embedded("same words", 1.0, class, Kind::Original)).collect();

    let rows = measure(&prompts, &SemanticRule::default(), 7);

    assert!(rows[0].error() <= 0.015, "{:?}", rows[0]);
    assert!(rows[1].error() > 0.9);
}

#[test]
fn a_question_that_two_sets_share_is_taken_once() {
    let asked =
        ["How many? A. 1,000 B. 2,000 Answer:", "how many?\n(A) 1,000\n(B) 2,000", "How many? A. 1,000 B. 3,000"];

    assert_eq!(distinct(asked.map(str::to_owned).to_vec()), [asked[0], asked[2]]);
}

#[test]
fn the_same_recipe_makes_the_same_prompts_and_every_class_has_an_original() {
    let prompts = ["Why is the road from Paris 12 miles long?".to_owned(), "What's new? Don't guess.".to_owned()];
    let recipe = Recipe { paraphrases: 4, twins: 4, seed: 3 };

    let made = make(&prompts, recipe);

    assert_eq!(made, make(&prompts, recipe));
    let of = |kind| made.iter().filter(|one| one.kind == kind).count();
    assert_eq!(of(Kind::Original), 2);
    assert!(of(Kind::Twin) >= 4);
    for paraphrase in made.iter().filter(|one| one.kind == Kind::Paraphrase) {
        assert!(made.iter().any(|one| one.kind == Kind::Original && one.class == paraphrase.class));
    }
}

#[test]
fn the_report_names_every_cache_and_the_plot_is_a_drawing() {
    let rows = measure(&with_twins(50), &SemanticRule::default(), 7);

    let text = markdown(&rows, 0.01);

    assert_eq!(text.lines().filter(|line| line.starts_with("| above")).count(), THRESHOLDS.len());
    assert!(text.contains("| bounded |") && text.contains("No threshold has hits"), "{text}");
    assert!(plot(&rows, 0.01).starts_with("<svg"));
}
