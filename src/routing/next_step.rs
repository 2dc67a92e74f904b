//! Cascade routing: after every answer, stop or ask one more, and whom.
//!
//! One optimum for routing and cascading (Dekoninck et al., "A Unified Approach to Routing and Cascading for LLMs",
//! arXiv 2410.10347, section 4). With the models `R` that have answered, a superset `M` of them is worth
//!
//! ```text
//! tau(M) = E[max over m in M of q'_m] - lambda * sum over m in M of c_m
//! ```
//!
//! where `q'_m` is what will be believed of an answer once it is there: for one that is, its mean; for one that is not, a normal
//! variable of the same mean, whose spread is the part of the belief's own spread that looking at the answer resolves,
//! `spread^2 / sqrt(spread^2 + noise^2)`. Where nothing can be seen of an answer that part is zero, and a second answer is worth
//! nothing, because nobody could tell which is better.
//!
//! The best superset says what to do: stop if it is `R` itself, else ask the cheapest model that it adds. Costs of answers that
//! are there are the same in every superset and left out. The expectation takes the models for independent and all of `M` for
//! asked; that the plan may stop earlier makes it worth a little more than that.
//!
//! After an answer its belief moves to what was seen of it, and beliefs about models that have not answered move along, because a
//! prompt that is hard for one is often hard for others: beliefs are jointly normal with one correlation `r`, what is seen is
//! `y = q_i + noise`, and the update is the linear one,
//!
//! ```text
//! K_j = cov(q_j, q_i) / (spread_i^2 + noise^2)    mean_j += K_j (y - mean_i)    spread_j^2 -= K_j cov(q_j, q_i)
//! cov(q_j, q_i) = r spread_j spread_i             for j = i: spread_i^2
//! ```
//!
//! Plain routing is the special case in which nothing can be seen; a plain cascade that in which the order is fixed and one number
//! decides. The tests show both.

use super::preference::normal_share;

/// Most models that are weighed against each other: 256 subsets, some microseconds each.
pub const MAX_PROSPECTS: usize = 8;

/// Places at which the expectation is integrated; the sum over a smooth curve converges so fast that its error stays below 1e-6.
const PLACES: usize = 256;

/// Spreads from its mean beyond which a variable never lies; one in a hundred million does.
const REACH: f64 = 5.7;

/// A spread below this is none: the distribution would fall between two places.
const NO_SPREAD: f64 = 0.005;

/// Two values that differ by less are equal: the normal distribution's approximation is off by that much.
const EQUAL: f64 = 1e-6;

/// What is believed of a model's answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    /// Expected quality, `[0, 1]`.
    pub mean: f64,
    /// Standard deviation of it.
    pub spread: f64,
}

/// A model that can be asked, or has been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prospect {
    /// What is believed of its answer.
    pub belief: Belief,
    /// What asking it costs, in quality.
    pub cost: f64,
    /// How it stands.
    pub state: ProspectState,
}

/// How a prospect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProspectState {
    /// It can be asked.
    Open,
    /// Its answer is there.
    Answered,
    /// It cannot be asked, or gave no answer.
    Gone,
}

/// What is best done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Give the answer of the prospect at this position.
    Stop(usize),
    /// Ask the prospect at this position.
    Ask(usize),
    /// There is no answer, and nobody to ask.
    GiveUp,
}

/// What further answers can be, and what can be seen of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// Most further models that may be asked.
    pub most_more: usize,
    /// Standard deviation of the error of what is seen of an answer; `None` where nothing is.
    pub noise: Option<f64>,
}

/// Returns what is best done next. Prospects beyond [`MAX_PROSPECTS`] are not looked at. Without an answer yet, someone is asked even
/// if nobody is worth the cost.
pub fn next_step(prospects: &[Prospect], outlook: Outlook) -> NextStep {
    let prospects = prospects.get(..MAX_PROSPECTS).unwrap_or(prospects);
    let in_state = |state| move |index: &usize| prospects.get(*index).is_some_and(|one| one.state == state);
    let answered: Vec<usize> = (0..prospects.len()).filter(in_state(ProspectState::Answered)).collect();
    let open: Vec<usize> = (0..prospects.len()).filter(in_state(ProspectState::Open)).collect();
    let stop = answered.iter().copied().max_by(|a, b| mean(prospects, *a).total_cmp(&mean(prospects, *b)));
    let known = stop.map(|best| mean(prospects, best));
    let mut best = known.map(|value| (value, Vec::new()));
    for subset in subsets(&open, outlook.most_more) {
        let value = value(prospects, known, &subset, outlook.noise);
        // Of equal ones the smaller set, which comes first, stays.
        if best.as_ref().is_none_or(|(most, _)| value > *most + EQUAL) {
            best = Some((value, subset));
        }
    }
    let added = best.map(|(_, added)| added).unwrap_or_default();
    let cheapest = added.into_iter().min_by(|a, b| cost(prospects, *a).total_cmp(&cost(prospects, *b)));
    match (cheapest, stop) {
        (Some(index), _) => NextStep::Ask(index),
        (None, Some(index)) => NextStep::Stop(index),
        (None, None) => NextStep::GiveUp,
    }
}

/// Moves the beliefs by what was seen of an answer: `seen` in `[0, 1]` stands for its quality, with an error of standard deviation
/// `noise`. Beliefs about models that have not answered move along by `correlation`, in `[0, 1]`.
pub fn observe(prospects: &mut [Prospect], answered: usize, (seen, noise): (f64, f64), correlation: f64) {
    let Some(Belief { mean, spread }) = prospects.get(answered).map(|prospect| prospect.belief) else { return };
    let total = spread.powi(2) + noise.powi(2);
    if total <= 0.0 {
        return;
    }
    for (index, prospect) in prospects.iter_mut().enumerate() {
        let is_itself = index == answered;
        if !is_itself && prospect.state != ProspectState::Open {
            continue;
        }
        let own = prospect.belief.spread;
        let covariance = if is_itself { spread.powi(2) } else { correlation * own * spread };
        let gain = covariance / total;
        prospect.belief.mean = (prospect.belief.mean + gain * (seen - mean)).clamp(0.0, 1.0);
        prospect.belief.spread = (own.powi(2) - gain * covariance).max(0.0).sqrt();
    }
}

fn mean(prospects: &[Prospect], index: usize) -> f64 {
    prospects.get(index).map_or(0.0, |prospect| prospect.belief.mean)
}

fn cost(prospects: &[Prospect], index: usize) -> f64 {
    prospects.get(index).map_or(0.0, |prospect| prospect.cost)
}

/// Returns `tau` of what is known and what is added, without the cost of the former.
fn value(prospects: &[Prospect], known: Option<f64>, added: &[usize], noise: Option<f64>) -> f64 {
    let known = known.map(|mean| Belief { mean, spread: 0.0 });
    let added = added.iter().filter_map(|index| prospects.get(*index));
    let cost: f64 = added.clone().map(|prospect| prospect.cost).sum();
    let beliefs: Vec<Belief> =
        known.into_iter().chain(added.map(|prospect| resolved(prospect.belief, noise))).collect();
    expected_best(&beliefs) - cost
}

/// Returns what will be believed of an answer, as far as it is known before.
fn resolved(Belief { mean, spread }: Belief, noise: Option<f64>) -> Belief {
    let total = noise.map(|noise| (spread.powi(2) + noise.powi(2)).sqrt());
    let spread = total.filter(|total| *total > 0.0).map_or(0.0, |total| spread.powi(2) / total);
    Belief { mean, spread }
}

/// Returns the expected largest of independent normal variables: `low + integral from low to high of (1 - P(all lie below x))`, where
/// nothing lies below `low` or above `high`.
fn expected_best(beliefs: &[Belief]) -> f64 {
    let is_certain = |belief: &&Belief| belief.spread < NO_SPREAD;
    let open: Vec<&Belief> = beliefs.iter().filter(|belief| !is_certain(belief)).collect();
    let floor = beliefs.iter().filter(is_certain).map(|belief| belief.mean).reduce(f64::max);
    let reach = |belief: &Belief, side: f64| belief.mean + side * REACH * belief.spread;
    let low = open.iter().map(|belief| reach(belief, -1.0)).chain(floor).reduce(f64::max).unwrap_or(0.0);
    let high = open.iter().map(|belief| reach(belief, 1.0)).fold(low, f64::max);
    let all_below = |x: f64| open.iter().map(|one| normal_share((x - one.mean) / one.spread)).product::<f64>();
    let width = (high - low) / PLACES as f64;
    let above = (0..PLACES).map(|place| 1.0 - all_below(low + (place as f64 + 0.5) * width)).sum::<f64>();
    low + above * width
}

/// Returns the subsets of one to `most` members, smaller ones first.
fn subsets(members: &[usize], most: usize) -> Vec<Vec<usize>> {
    let chosen = |mask: u32| {
        let is_in = move |place: &usize| mask & (1 << place) != 0;
        (0..members.len()).filter(is_in).filter_map(|place| members.get(place).copied()).collect()
    };
    let masks = 1..(1_u32 << members.len().min(MAX_PROSPECTS));
    let mut all: Vec<Vec<usize>> = masks.map(chosen).filter(|subset: &Vec<usize>| subset.len() <= most).collect();
    all.sort_by_key(Vec::len);
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(mean: f64, spread: f64, cost: f64) -> Prospect {
        Prospect { belief: Belief { mean, spread }, cost, state: ProspectState::Open }
    }

    /// As if what is seen was the quality itself.
    fn next(prospects: &[Prospect], most_more: usize) -> NextStep {
        next_step(prospects, Outlook { most_more, noise: Some(0.0) })
    }

    fn answered(mean: f64, spread: f64) -> Prospect {
        Prospect { state: ProspectState::Answered, ..open(mean, spread, 0.0) }
    }

    #[test]
    fn the_expected_best_is_what_it_is_known_to_be() {
        let belief = |mean, spread| Belief { mean, spread };
        // E[max] of two independent normals of equal mean: mean + spread / sqrt(pi).
        let two = 0.5 + 0.1 / std::f64::consts::PI.sqrt();
        let cases = [
            (vec![belief(0.7, 0.0)], 0.7),
            (vec![belief(0.7, 0.0), belief(0.4, 0.0)], 0.7),
            (vec![belief(0.5, 0.1)], 0.5),
            (vec![belief(0.5, 0.1); 2], two),
            (vec![belief(0.9, 0.0), belief(0.2, 0.05)], 0.9),
            (vec![belief(0.95, 0.3)], 0.95),
            // E[max(0, z)] = 1 / sqrt(2 pi).
            (vec![belief(0.5, 0.0), belief(0.5, 0.1)], 0.5 + 0.1 / std::f64::consts::TAU.sqrt()),
        ];

        for (beliefs, expected) in cases {
            assert!((expected_best(&beliefs) - expected).abs() < 1e-6, "{beliefs:?}: {}", expected_best(&beliefs));
        }
    }

    #[test]
    fn what_is_seen_moves_the_answer_most_and_the_others_along() {
        let mut prospects = [answered(0.6, 0.2), open(0.8, 0.1, 0.1), answered(0.5, 0.2)];

        observe(&mut prospects, 0, (0.2, 0.2), 0.5);

        let means = prospects.map(|prospect| prospect.belief.mean);
        // Half of the way, for equal variances; for the other 0.5 * 0.1 * 0.2 / 0.08 of it.
        assert!((means[0] - 0.4).abs() < 1e-12 && (means[1] - (0.8 - 0.125 * 0.4)).abs() < 1e-12, "{means:?}");
        assert_eq!(means[2], 0.5);
        let spreads = prospects.map(|prospect| prospect.belief.spread);
        assert!((spreads[0] - 0.2 / 2f64.sqrt()).abs() < 1e-12);
        assert!((spreads[1].powi(2) - (0.01 - 0.125 * 0.01)).abs() < 1e-12);
    }

    #[test]
    fn nobody_is_asked_who_is_gone_or_beyond_the_limit() {
        let gone = Prospect { state: ProspectState::Gone, ..open(1.0, 0.0, 0.0) };

        assert_eq!(next(&[gone], 3), NextStep::GiveUp);
        assert_eq!(next(&[answered(0.1, 0.0), open(0.9, 0.0, 0.01)], 0), NextStep::Stop(0));
        assert_eq!(next(&[answered(0.1, 0.0), open(0.9, 0.0, 0.01), gone], 1), NextStep::Ask(1));
    }

    #[test]
    fn someone_is_asked_even_if_nobody_is_worth_it() {
        assert_eq!(next(&[open(0.1, 0.0, 5.0), open(0.2, 0.0, 9.0)], 2), NextStep::Ask(0));
    }

    #[test]
    fn the_cheaper_of_two_that_are_worth_asking_comes_first() {
        let prospects = [open(0.8, 0.2, 0.03), open(0.7, 0.2, 0.001), open(0.1, 0.0, 0.5)];

        assert_eq!(next(&prospects, 2), NextStep::Ask(1));
    }

    fn any_prospects() -> impl Strategy<Value = Vec<Prospect>> {
        proptest::collection::vec((0.0..1.0f64, 0.0..0.3f64, 0.0..0.5f64), 1..6)
            .prop_map(|all| all.into_iter().map(|(mean, spread, cost)| open(mean, spread, cost)).collect())
    }

    /// Plain routing: one model, the best by quality minus cost.
    fn routed(prospects: &[Prospect]) -> f64 {
        prospects.iter().map(|one| one.belief.mean - one.cost).fold(f64::MIN, f64::max)
    }

    proptest! {
        #[test]
        fn plain_routing_is_the_case_in_which_nothing_can_be_seen(prospects in any_prospects()) {
            let next = |prospects: &[Prospect]| next_step(prospects, Outlook { most_more: 3, noise: None });
            let NextStep::Ask(chosen) = next(&prospects) else { panic!("someone is asked first") };
            let mut after = prospects.clone();
            after[chosen].state = ProspectState::Answered;

            let utility = prospects[chosen].belief.mean - prospects[chosen].cost;
            prop_assert!((utility - routed(&prospects)).abs() < 2.0 * EQUAL);
            prop_assert_eq!(next(&after), NextStep::Stop(chosen));
        }

        #[test]
        fn a_second_answer_is_worth_more_the_more_can_be_seen_of_it(
            (mean, spread, cost) in (0.0..1.0f64, 0.0..0.3f64, 0.0..0.3f64), noise in 0.0..1.0f64, more in 0.0..1.0f64,
        ) {
            let goes_on = |noise| {
                let prospects = [answered(0.6, 0.1), open(mean, spread, cost)];
                next_step(&prospects, Outlook { most_more: 1, noise: Some(noise) }) == NextStep::Ask(1)
            };

            prop_assert!(goes_on(noise) || !goes_on(noise + more));
        }

        #[test]
        fn a_plain_cascade_is_the_case_of_a_fixed_order_and_a_threshold(
            (mean, spread, cost) in (0.3..1.0f64, 0.0..0.3f64, 0.0..0.4f64),
            cheap_spread in 0.0..0.2f64,
        ) {
            let goes_on = |seen: f64| {
                let prospects = [answered(seen, cheap_spread), open(mean, spread, cost)];
                matches!(next(&prospects, 1), NextStep::Ask(1))
            };
            let places: Vec<bool> = (0..=100).map(|place| goes_on(f64::from(place) / 100.0)).collect();

            // It goes on below one threshold and nowhere above it.
            let threshold = places.iter().position(|on| !on).unwrap_or(places.len());
            prop_assert!(places.iter().skip(threshold).all(|on| !on), "{places:?}");
        }

        #[test]
        fn more_money_for_a_model_never_makes_it_more_attractive(
            (mean, cost) in (0.0..1.0f64, 0.0..0.5f64), more in 0.0..0.5f64
        ) {
            let goes_on = |cost| next(&[answered(0.5, 0.1), open(mean, 0.1, cost)], 1) == NextStep::Ask(1);

            prop_assert!(goes_on(cost) || !goes_on(cost + more));
        }

        #[test]
        fn beliefs_stay_beliefs(
            seen in -1.0..2.0f64, noise in 0.0..1.0f64, correlation in 0.0..1.0f64,
            beliefs in proptest::collection::vec((0.0..1.0f64, 0.0..0.5f64), 1..5),
        ) {
            let mut prospects: Vec<_> = beliefs.iter().map(|(mean, spread)| open(*mean, *spread, 0.1)).collect();

            observe(&mut prospects, 0, (seen, noise), correlation);

            for (prospect, (_, spread)) in prospects.iter().zip(&beliefs) {
                prop_assert!((0.0..=1.0).contains(&prospect.belief.mean));
                prop_assert!(prospect.belief.spread <= spread + 1e-12);
            }
        }
    }
}
