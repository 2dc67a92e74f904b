use super::*;
use crate::domain::{BanditAlgorithm, ModelName, Observed, Probability, Topic};

fn topic(name: &str) -> Vec<Topic> {
    vec![Topic { name: Arc::from(name), share: Probability::ONE }]
}

fn model(name: &str) -> ModelName {
    ModelName::parse(name).unwrap()
}

fn learners() -> [Learner; 2] {
    [BanditAlgorithm::Linucb, BanditAlgorithm::Thompson].map(|algorithm| Learner {
        algorithm,
        prior_weight: 10.0,
        discount: 0.999,
    })
}

fn taught(learner: Learner, grades: impl IntoIterator<Item = (&'static str, f64)>) -> Posterior {
    let mut posterior = Posterior::of(learner, &Start::default());
    for (name, score) in grades {
        match &mut posterior {
            Posterior::Counts(counts) => counts.add(&topic(name), &model("m"), score),
            Posterior::Linear(linear) => linear.add(&topic(name), &model("m"), (0.5, score)),
        }
    }
    posterior
}

fn mean(observed: Observed) -> f64 {
    observed.mean.value()
}

#[test]
fn without_lessons_the_prediction_stands() {
    for learner in learners() {
        let observed = Posterior::of(learner, &Start::default()).observed(&topic("law"), &model("m"), 0.7);

        assert!((mean(observed) - 0.7).abs() < 1e-9, "{observed:?}");
        assert_eq!(observed.weight, 0.0);
        assert!(observed.spread > 0.1, "{observed:?}");
    }
}

#[test]
fn lessons_move_the_mean_and_narrow_the_spread_where_they_belong() {
    for learner in learners() {
        let posterior = taught(learner, (0..200).map(|_| ("law", 1.0)));
        let (law, code) = ["law", "code"].map(|name| posterior.observed(&topic(name), &model("m"), 0.5)).into();
        let other = posterior.observed(&topic("law"), &model("other"), 0.5);

        assert!(mean(law) > 0.9, "{law:?}");
        assert!(law.spread < 0.06, "{law:?}");
        assert!(mean(code) < mean(law) - 0.1 && code.spread > law.spread, "{code:?}");
        assert!((mean(other) - 0.5).abs() < 1e-9, "{other:?}");
    }
}

#[test]
fn discounted_counts_forget_what_a_model_once_was() {
    let learner = Learner { discount: 0.99, ..learners()[1] };
    let changed = (0..500).map(|index| ("law", if index < 250 { 1.0 } else { 0.0 }));

    let observed = taught(learner, changed).observed(&topic("law"), &model("m"), 0.5);

    assert!(mean(observed) < 0.15, "{observed:?}");
}

#[test]
fn the_inverse_stays_the_inverse() {
    let mut linear = linear::Linear::new(4.0);
    let lessons = [(0.9, 1.0, "a"), (0.2, 0.0, "b"), (0.6, 1.0, "a"), (0.4, 0.5, "c")];
    for (predicted, score, name) in lessons {
        linear.add(&topic(name), &model("m"), (predicted, score));
    }

    // Worked out by hand from A = 4 I + sum x x' and b = [4, 0, 0, 0] + sum x grade.
    let observed = linear.observed(&topic("a"), &model("m"), 0.9);
    let (mean, spread) = by_elimination(&lessons, [0.9, 1.0, 0.0, 0.0]);
    assert!((observed.mean.value() - mean.min(1.0)).abs() < 1e-9, "{observed:?}, {mean}");
    assert!((observed.spread - spread).abs() < 1e-9, "{observed:?}, {spread}");
}

/// Returns mean and spread from the definition, by Gauss-Jordan elimination.
fn by_elimination(lessons: &[(f64, f64, &str)], x: [f64; 4]) -> (f64, f64) {
    let mut rows = [[0.0; 6]; 4];
    for i in 0..4 {
        rows[i][i] = 4.0;
        rows[i][5] = x[i];
    }
    rows[0][4] = 4.0;
    for &(predicted, score, name) in lessons {
        let mut features = [predicted, 0.0, 0.0, 0.0];
        features[1 + ["a", "b", "c"].iter().position(|known| *known == name).unwrap()] = 1.0;
        for i in 0..4 {
            (0..4).for_each(|j| rows[i][j] += features[i] * features[j]);
            rows[i][4] += features[i] * score;
        }
    }
    for pivot in 0..4 {
        let scale = rows[pivot][pivot];
        rows[pivot].iter_mut().for_each(|cell| *cell /= scale);
        for other in (0..4).filter(|other| *other != pivot) {
            let factor = rows[other][pivot];
            (0..6).for_each(|j| rows[other][j] -= factor * rows[pivot][j]);
        }
    }
    let mean = (0..4).map(|i| x[i] * rows[i][4]).sum();
    let variance: f64 = (0..4).map(|i| x[i] * rows[i][5]).sum();
    (mean, 0.5 * variance.sqrt())
}

/// Half of the training prompts are about law, where the model is taken to be good; none is about code.
fn start() -> Start {
    let prompt = |index: usize| {
        let (name, predicted) = if index.is_multiple_of(2) { ("law", 0.8) } else { ("math", 0.4) };
        StartPrompt { topics: topic(name), predicted: vec![(model("m"), predicted)] }
    };
    Start { artifact: "a".into(), prompts: (0..100).map(prompt).collect() }
}

#[test]
fn what_training_prompts_show_starts_sure_and_the_rest_does_not() {
    let posterior = Posterior::of(learners()[0], &start());

    let [law, code] = ["law", "code"].map(|name| posterior.observed(&topic(name), &model("m"), 0.8));

    assert!((mean(law) - 0.8).abs() < 1e-9 && (mean(code) - 0.8).abs() < 1e-9, "{law:?} {code:?}");
    assert!(law.spread < 0.25 && code.spread > 1.5 * law.spread, "{law:?} {code:?}");
    assert_eq!(law.weight, 0.0, "training prompts are no grades");
}

#[test]
fn the_start_is_worth_its_weight_in_grades_of_such_prompts() {
    let Posterior::Linear(mut linear) = Posterior::of(learners()[0], &start()) else { panic!("it is linear") };

    // Half of ten prior grades were about law; five grades of 0 against them leave about half of what was predicted.
    for _ in 0..5 {
        linear.add(&topic("law"), &model("m"), (0.8, 0.0));
    }

    let observed = linear.observed(&topic("law"), &model("m"), 0.8);
    assert!((0.35..0.5).contains(&mean(observed)), "{observed:?}");
}

#[test]
fn a_policy_starts_once_per_artifact() {
    let experience = Experience::default();
    let policy = PolicyName::parse("p").unwrap();
    let mut calls = 0;
    for artifact in ["a", "a", "b", "b"] {
        experience.begin(&policy, &Arc::from(artifact), || {
            calls += 1;
            start()
        });
    }

    assert_eq!(calls, 2);
}
