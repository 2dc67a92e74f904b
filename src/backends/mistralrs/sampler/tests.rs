use super::*;

fn sampler(sampling: &Sampling, seed: u64) -> Sampler {
    Sampler::new(sampling, seed, 0, 3)
}

fn at(temperature: f64) -> Sampling {
    Sampling { temperature: Some(temperature), ..Sampling::default() }
}

fn tokens(mut sampler: Sampler, logits: &[f32], count: usize) -> Vec<u32> {
    (0..count).map(|_| sampler.draw(logits, None, None).unwrap().token).collect()
}

fn share_of_first(tokens: &[u32]) -> f64 {
    tokens.iter().filter(|token| **token == 0).count() as f64 / tokens.len() as f64
}

#[test]
fn temperature_zero_takes_the_likeliest() {
    assert_eq!(tokens(sampler(&at(0.0), 1), &[0.1, 2.0, 1.9], 5), [1; 5]);
}

#[test]
fn the_same_seed_draws_the_same_tokens_and_another_one_others() {
    let logits = [0.0; 64];

    let first = tokens(sampler(&at(1.0), 7), &logits, 20);

    assert_eq!(first, tokens(sampler(&at(1.0), 7), &logits, 20));
    assert_ne!(first, tokens(sampler(&at(1.0), 8), &logits, 20));
}

#[test]
fn choices_of_one_request_differ() {
    let (first, second) = (Sampler::new(&at(1.0), 7, 0, 0), Sampler::new(&at(1.0), 7, 1, 0));

    assert_ne!(tokens(first, &[0.0; 64], 20), tokens(second, &[0.0; 64], 20));
}

#[test]
fn tokens_are_drawn_as_often_as_they_are_likely() {
    // Three to one; the share of 4,000 draws has a standard deviation of 0.007.
    let share = share_of_first(&tokens(sampler(&at(1.0), 3), &[3_f32.ln(), 0.0], 4_000));

    assert!((share - 0.75).abs() < 0.035, "{share}");
}

#[test]
fn log_probabilities_are_natural_and_of_the_model_itself() {
    let banned = Sampling { logit_bias: vec![(0, -100.0)], ..at(0.0) };

    let drawn = sampler(&banned, 1).draw(&[0.6_f32.ln(), 0.3_f32.ln(), 0.1_f32.ln()], None, None).unwrap();

    let top: Vec<_> = drawn.top.iter().map(|likely| (likely.token, likely.logprob.exp())).collect();
    assert_eq!(drawn.token, 1);
    assert!((drawn.signal.logprob - 0.3_f64.ln()).abs() < 1e-6);
    assert!((drawn.signal.margin.unwrap() - 2_f64.ln()).abs() < 1e-6);
    assert_eq!(top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [0, 1, 2]);
    assert!((top.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-6);
}

#[test]
fn the_frequency_penalty_makes_room_for_others() {
    let sampling = Sampling { frequency_penalty: Some(1.0), ..at(0.0) };

    assert_eq!(tokens(sampler(&sampling, 1), &[1.5, 1.0], 4), [0, 1, 0, 1]);
}

#[test]
fn the_presence_penalty_counts_once() {
    let sampling = Sampling { presence_penalty: Some(1.0), ..at(0.0) };

    assert_eq!(tokens(sampler(&sampling, 1), &[1.5, 1.0], 4), [0, 1, 0, 0]);
}

#[test]
fn the_repetition_penalty_counts_the_prompt_too() {
    let sampling = Sampling { repetition_penalty: Some(2.0), ..at(0.0) };
    let mut fresh = sampler(&sampling, 1);
    fresh.read(&[0]);

    // 2.0 becomes 1.0, and later 1.5 becomes 0.75; both are taken off once.
    assert_eq!(tokens(fresh, &[2.0, 1.5, 0.5], 3), [1, 0, 0]);
    // Negative logits grow.
    assert_eq!(tokens(sampler(&sampling, 1), &[-1.0, -1.5], 2), [0, 1]);
}

#[test]
fn a_bias_adds_to_the_logit() {
    let sampling = Sampling { logit_bias: vec![(1, 2.0), (999, 100.0)], ..at(0.0) };

    assert_eq!(tokens(sampler(&sampling, 1), &[1.0, 0.0], 1), [1]);
}

#[test]
fn cuts_leave_only_the_likeliest() {
    let logits = [3_f32.ln(), 2_f32.ln(), 0.0];

    for cut in [
        Sampling { top_k: Some(2), ..at(1.0) },
        Sampling { top_p: Some(0.6), ..at(1.0) },
        Sampling { min_p: Some(0.5), ..at(1.0) },
    ] {
        let drawn = tokens(sampler(&cut, 5), &logits, 400);

        assert!(drawn.contains(&0) && drawn.contains(&1) && !drawn.contains(&2), "{cut:?}");
    }
}

#[test]
fn forbidden_tokens_are_never_drawn() {
    let only_two = Mask::of(&[false, false, true]);

    let drawn = sampler(&at(1.0), 1).draw(&[9.0, 9.0, 0.0, 9.0], Some(&only_two), None).unwrap();

    assert_eq!(drawn.token, 2);
    assert!(sampler(&at(1.0), 1).draw(&[1.0], Some(&Mask::of(&[false])), None).is_none());
    assert!(sampler(&at(0.0), 1).draw(&[1.0], Some(&Mask::of(&[false])), None).is_none());
}

#[test]
fn broken_logits_are_passed_over() {
    for temperature in [0.0, 1.0] {
        assert_eq!(sampler(&at(temperature), 1).draw(&[f32::NAN, 0.0], None, None).unwrap().token, 1);
        assert_eq!(sampler(&at(temperature), 1).draw(&[0.0, f32::INFINITY], None, None).unwrap().token, 1);
        assert!(sampler(&at(temperature), 1).draw(&[f32::NAN, f32::NEG_INFINITY], None, None).is_none());
    }
}

#[test]
fn proposals_leave_the_distribution_as_it_is() {
    let target = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
    let odds = [0.1_f32, 0.2, 0.7];
    let (mut one, mut stood, mut counts) = (sampler(&at(1.0), 11), 0, [0.0_f64; 3]);
    let proposing = odds.map(f32::ln);
    let mut proposer = sampler(&at(1.0), 12);

    for _ in 0..20_000 {
        let token = proposer.draw(&proposing, None, None).unwrap().token;
        let drawn = one.draw(&target, None, Some(&Proposal { token, odds: Some(&odds) })).unwrap().token;
        stood += u32::from(drawn == token);
        counts[drawn as usize] += 1.0 / 20_000.0;
    }

    // Standard deviation at most 0.0036 each.
    for (count, share) in counts.into_iter().zip([0.5, 0.3, 0.2]) {
        assert!((count - share).abs() < 0.018, "{counts:?}");
    }
    // What both hold: min(0.5, 0.1) + min(0.3, 0.2) + min(0.2, 0.7).
    assert!((f64::from(stood) / 20_000.0 - 0.5).abs() < 0.018, "{stood}");
}

#[test]
fn proposals_without_chance_change_nothing() {
    let logits = [0.0; 8];
    let mut one = sampler(&at(1.0), 7);

    let drawn: Vec<u32> = (0..20)
        .map(|index| one.draw(&logits, None, Some(&Proposal { token: index % 8, odds: None })).unwrap().token)
        .collect();

    assert_eq!(drawn, tokens(sampler(&at(1.0), 7), &logits, 20));
}

#[test]
fn a_greedy_proposal_stands_only_where_it_is_the_likeliest() {
    let mut one = sampler(&at(0.0), 1);
    let proposal = |token| Proposal { token, odds: Some(&[0.5, 0.5]) };

    assert_eq!(one.draw(&[0.0, 1.0], None, Some(&proposal(1))).unwrap().token, 1);
    assert_eq!(one.draw(&[0.0, 1.0], None, Some(&proposal(0))).unwrap().token, 1);
}
