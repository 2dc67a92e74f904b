use proptest::prelude::*;

use super::{document::WorthDocument, *};

const MEMBERS: usize = 4;
const MOST: usize = 3;

/// A document of the right shape, with numbers drawn one after the other.
fn document(mut number: impl FnMut() -> f64) -> AgreementDocument {
    let mut numbers = |count: usize| -> Vec<f64> { (0..count).map(|_| number()).collect() };
    let asked = |set: MemberSet| set.iter().collect::<Vec<_>>();
    let mut votes = Vec::new();
    for set in MemberSet::all(MEMBERS, MOST) {
        let size = set.len();
        votes.push(VotesDocument {
            asked: asked(set),
            weight: numbers(size),
            slope: numbers(size),
            length: numbers(size),
            pair: numbers(size * (size - 1) / 2),
            none: [numbers(1)[0], numbers(1)[0], numbers(1)[0]],
        });
    }
    let mut worth = |width: usize| WorthDocument {
        gain: vec![numbers(width), numbers(width)],
        later: vec![numbers(width), numbers(width)],
    };
    let first = (0..MEMBERS).map(|_| worth(first_width(MEMBERS))).collect();
    let mut further = Vec::new();
    for set in MemberSet::all(MEMBERS, MOST - 1) {
        for next in (0..MEMBERS).filter(|next| !set.has(*next)) {
            further.push(FurtherDocument { asked: asked(set), next, worth: worth(width(MEMBERS)) });
        }
    }
    let member = |index: usize| MemberDocument {
        model: format!("m{index}"),
        mean_cost: 0.001 * (index + 1) as f64,
        mean_quality: 0.5,
    };
    AgreementDocument {
        schema_version: SCHEMA_VERSION,
        fitted_on: "numbers by chance".to_owned(),
        members: (0..MEMBERS).map(member).collect(),
        most: MOST,
        rates: vec![10.0, 100.0],
        votes,
        first,
        further,
    }
}

/// Numbers in `[-2, 2)` that follow from a seed.
fn drawn(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 29) - 2.0
    }
}

fn model(seed: u64) -> AgreementModel {
    document(drawn(seed)).compile(|_| true).unwrap()
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![Just(Answer::Silent), (0_i64..3).prop_map(Answer::Said)]
}

fn heard(votes: impl IntoIterator<Item = (usize, Answer)>) -> Heard {
    let tokens = |member: usize| Some(20.0 * (member + 1) as f64);
    votes.into_iter().fold(Heard::default(), |heard, (member, answer)| heard.with(member, answer, tokens(member)))
}

fn votes() -> impl Strategy<Value = Vec<(usize, Answer)>> {
    let members = prop::sample::subsequence((0..MEMBERS).collect::<Vec<_>>(), 1..=MOST);
    (members.prop_shuffle(), prop::collection::vec(answer(), MOST))
        .prop_map(|(members, answers)| members.into_iter().zip(answers).collect())
}

fn logits() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-0.5_f64..1.5).prop_map(clamped_logit), MEMBERS)
}

fn charges(each: f64) -> Charges {
    Charges::new([Some(each); MEMBERS])
}

proptest! {
    #[test]
    fn probabilities_sum_to_one(seed: u64, votes in votes(), logits in logits()) {
        let posterior = model(seed).posterior(&heard(votes.clone()), &logits);

        let total = posterior.answers().iter().map(|answer| answer.2).sum::<f64>() + posterior.none;
        prop_assert!((total - 1.0).abs() < 1e-9);
        prop_assert!(posterior.answers().windows(2).all(|pair| pair[0].2 >= pair[1].2));
        let said: std::collections::BTreeSet<i64> =
            votes.iter().filter_map(|(_, answer)| if let Answer::Said(said) = answer { Some(*said) } else { None }).collect();
        prop_assert_eq!(posterior.answers().len(), said.len());
    }

    #[test]
    fn the_order_of_votes_and_the_names_of_answers_do_not_matter(seed: u64, votes in votes(), logits in logits()) {
        let model = model(seed);
        let mut turned = votes.clone();
        turned.reverse();
        let renamed = votes.iter().map(|(member, answer)| match answer {
            Answer::Said(said) => (*member, Answer::Said(7 - 3 * said)),
            other => (*member, *other),
        });

        let step = |votes: Heard| model.step(&votes, &logits, &charges(0.01));
        let one = step(heard(votes.clone()));
        prop_assert_eq!(&one, &step(heard(turned)));
        let other = step(heard(renamed));
        prop_assert_eq!(one.step, other.step);
        prop_assert_eq!(one.posterior.best(), other.posterior.best());
    }

    #[test]
    fn where_a_call_costs_a_right_answer_the_first_answer_is_given(seed: u64, votes in votes(), logits in logits(), charge in 1.0_f64..1e12) {
        let advice = model(seed).step(&heard(votes.clone()), &logits, &charges(charge));

        let Step::Stop(speaker) = advice.step else { return Err(TestCaseError::fail(format!("{:?}", advice.step))) };
        prop_assert!(votes.iter().any(|(member, _)| *member == speaker));
    }

    #[test]
    fn who_may_not_be_asked_is_not_asked_and_nobody_twice(seed: u64, votes in votes(), logits in logits(), barred in 0..MEMBERS) {
        let charges = Charges::new((0..MEMBERS).map(|member| (member != barred).then_some(0.0)));

        let step = model(seed).step(&heard(votes.clone()), &logits, &charges).step;

        prop_assert!(step != Step::Ask(barred));
        prop_assert!(votes.iter().all(|(member, _)| step != Step::Ask(*member)));
        prop_assert!(votes.len() < MOST || matches!(step, Step::Stop(_)));
    }

    #[test]
    fn a_dearer_call_is_never_more_attractive(seed: u64, votes in votes(), logits in logits(), member in 0..MEMBERS, more in 0.0_f64..1.0) {
        // The rate is held still: the others make up for what this one costs more.
        let model = model(seed);
        let votes = heard(votes);
        let value = |charge: f64| {
            let charges = Charges::new((0..MEMBERS).map(|other| (other == member).then_some(charge)));
            let rate = charge / model.members()[member].mean_cost;
            let alternatives = model.step(&votes, &logits, &charges).alternatives;
            alternatives.iter().find(|one| one.step == Step::Ask(member)).map(|one| (one.value, rate))
        };

        // Outside of the fitted rates gain and later dollars are those of the end.
        let (cheap, dear) = (value(1.0 + more), value(2.0 + 2.0 * more));
        prop_assert_eq!(cheap.is_some(), dear.is_some());
        if let (Some(cheap), Some(dear)) = (cheap, dear) {
            prop_assert!(dear.0 <= cheap.0 + 1e-9, "{:?} {:?}", cheap, dear);
        }
    }
}

#[test]
fn a_posterior_is_worked_out_by_hand() {
    let document = document(|| 0.0);
    let mut document = document;
    let pair = document.votes.iter_mut().find(|entry| entry.asked == [0, 2]).unwrap();
    (pair.weight, pair.slope, pair.pair, pair.none) = (vec![1.0, 0.5], vec![0.25, 0.0], vec![2.0], [-1.0, 0.5, 0.0]);
    let model = document.compile(|_| true).unwrap();
    // Quality 0.5 has the logit 0, and e/(1+e) the logit 1; the mean of the two asked is 1/2.
    let logits = [1.0, 0.0, 0.0, 0.0];

    let differ = model.posterior(&heard([(0, Answer::Said(5)), (2, Answer::Said(6))]), &logits);
    let agree = model.posterior(&heard([(0, Answer::Said(5)), (2, Answer::Said(5))]), &logits);

    let weights = [1.25_f64.exp(), 0.5_f64.exp(), (-0.75_f64).exp()];
    let total: f64 = weights.iter().sum();
    assert!((differ.best() - weights[0] / total).abs() < 1e-12 && (differ.second() - weights[1] / total).abs() < 1e-12);
    assert!((differ.none - weights[2] / total).abs() < 1e-12);
    let (right, none) = (3.75_f64.exp(), (-0.75_f64).exp());
    assert!((agree.best() - right / (right + none)).abs() < 1e-12);
    assert_eq!(agree.answers().len(), 1);
}

#[test]
fn values_between_two_rates_lie_on_the_straight_line_and_outside_at_the_end() {
    let mut document = document(|| 0.0);
    // Asking 1 after 0 gains a constant that depends on the rate.
    let entry = document.further.iter_mut().find(|entry| entry.asked == [0] && entry.next == 1).unwrap();
    (entry.worth.gain[0][0], entry.worth.gain[1][0]) = (0.4, 0.2);
    let model = document.compile(|_| true).unwrap();
    let silent = heard([(0, Answer::Silent)]);
    let value = |rate: f64| {
        let charges = Charges::new([None, Some(rate * 0.002)]);
        let advice = model.step(&silent, &[0.0; MEMBERS], &charges);
        advice.alternatives.iter().find(|one| one.step == Step::Ask(1)).unwrap().value + rate * 0.002
    };

    assert!((value(1.0) - 0.4).abs() < 1e-12);
    assert!((value(55.0) - 0.3).abs() < 1e-12);
    assert!((value(1000.0) - 0.2).abs() < 1e-12);
}

#[test]
fn nobody_answers_where_nobody_may_be_asked_and_a_silent_committee_speaks_by_its_most_promising_member() {
    let model = model(3);
    let nobody = Charges::new([None; MEMBERS]);

    assert_eq!(model.step(&Heard::default(), &[0.0; MEMBERS], &nobody).step, Step::Nobody);
    let silent = heard([(1, Answer::Silent), (3, Answer::Silent)]);
    assert_eq!(model.step(&silent, &[9.0, -1.0, 9.0, 1.0], &nobody).step, Step::Stop(3));
}

#[test]
fn a_document_survives_json_and_tells_all_of_its_faults_with_their_places() {
    let sound = document(drawn(1));
    let text = serde_json::to_string(&sound).unwrap();
    assert_eq!(serde_json::from_str::<AgreementDocument>(&text).unwrap(), sound);

    let mut broken = sound.clone();
    broken.members[1].model = "m0".to_owned();
    broken.members[2].mean_cost = f64::NAN;
    broken.members[2].mean_quality = 1.5;
    broken.votes[0].weight[0] = f64::INFINITY;
    broken.votes[4].pair.clear();
    broken.votes.pop();
    broken.first.pop();
    broken.further[0].next = 0;
    let InvalidAgreement { faults } = broken.compile(|name| name.as_str() != "m3").unwrap_err();

    assert_eq!(
        faults,
        [
            "members[1].model: \"m0\" is a member already",
            "members[2].mean_cost: NaN is no cost",
            "members[2].mean_quality: 1.5 is no quality; must be 0 to 1",
            "members[3].model: unknown model \"m3\"",
            "votes[0].weight: inf is not finite",
            "votes[4].pair: 0 numbers, there must be 1",
            "votes: no entry for members [1, 2, 3]",
            "first: 3 entries for 4 members",
            "further[0].next: 0 is no member that is left",
            "further: no entry for members [0] and next 1",
        ]
    );
}

#[test]
fn another_version_and_an_empty_committee_are_told_before_anything_else() {
    let mut broken = document(|| 0.0);
    broken.schema_version = 2;
    broken.members.clear();
    broken.rates = vec![2.0, 1.0];

    let message = broken.compile(|_| true).unwrap_err().to_string();

    assert!(
        message.starts_with(
            "no usable agreement model: schema_version: 2 is not 1; fit the model again; members: 0 members"
        )
    );
    assert!(message.ends_with("rates: must be finite numbers from 0 on, at least one, ascending"), "{message}");
}
