//! What several models' logits come to.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::TogetherSettings;

/// Tokens so far, and those of them that the large model of a gated pair gave.
#[derive(Debug, Default)]
pub(super) struct Counts {
    tokens: AtomicU64,
    interventions: AtomicU64,
}

impl Counts {
    /// Returns tokens and interventions.
    pub(super) fn so_far(&self) -> (u64, u64) {
        (self.tokens.load(Ordering::Relaxed), self.interventions.load(Ordering::Relaxed))
    }

    fn note(&self, is_intervention: bool) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
        self.interventions.fetch_add(u64::from(is_intervention), Ordering::Relaxed);
    }
}

/// The arithmetic of one answer.
#[derive(Debug)]
pub(super) struct Blend {
    settings: TogetherSettings,
    tokens: u64,
    interventions: u64,
}

impl Blend {
    pub(super) fn new(settings: TogetherSettings) -> Self {
        Self { settings, tokens: 0, interventions: 0 }
    }

    /// Returns whether the others are to be asked about the next token, given the leader's logits.
    pub(super) fn asks(&self, leader: &[f32]) -> bool {
        match &self.settings {
            TogetherSettings::Contrastive { alpha, .. } | TogetherSettings::Proxy { alpha, .. } => *alpha != 0.0,
            TogetherSettings::Gated { entropy, budget, .. } => {
                let spent = (self.interventions + 1) as f64 <= budget * (self.tokens + 1) as f64;
                spent && entropy_of(leader) >= *entropy
            }
        }
    }

    /// Returns the logits that the next token is drawn from. `others` are the logits of the other members in their order, if they
    /// were asked.
    pub(super) fn blend(&mut self, leader: Vec<f32>, others: Option<&[Vec<f32>]>, counts: &Counts) -> Vec<f32> {
        let (blended, is_intervention) = match (&self.settings, others) {
            (TogetherSettings::Contrastive { alpha, plausibility, .. }, Some([small])) => {
                (contrastive(&leader, small, (*alpha, *plausibility)), false)
            }
            (TogetherSettings::Proxy { alpha, .. }, Some([expert, anti])) => {
                (proxy(leader, (expert, anti), *alpha), false)
            }
            (TogetherSettings::Gated { .. }, Some([large])) => (large.clone(), true),
            _ => (leader, false),
        };
        self.tokens += 1;
        self.interventions += u64::from(is_intervention);
        counts.note(is_intervention);
        blended
    }
}

/// So far below the plausible tokens that none of the others is ever drawn while one of them is possible: `exp(-1000)` is nothing in
/// any precision.
const FAR: f64 = 1_000.0;

/// `(1 + alpha) log p_large - alpha log p_small` for the tokens that the large model holds at least `plausibility` times as likely
/// as its best one; all others stand far below, in the large model's own order, so that a grammar which allows none of the
/// plausible ones can go on (Li et al. 2023, "Contrastive Decoding", arXiv 2210.15097, section 3.3, in the form of
/// O'Brien and Lewis 2023, arXiv 2309.09117).
fn contrastive(large: &[f32], small: &[f32], (alpha, plausibility): (f64, f64)) -> Vec<f32> {
    let (large, small) = (log_softmax(large), log_softmax(small));
    let best = large.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = best + plausibility.ln();
    let blended = large
        .iter()
        .zip(&small)
        .map(|(large, small)| if *large < least { large - FAR } else { (1.0 + alpha) * large - alpha * small });
    blended.map(|logit| logit as f32).collect()
}

/// `base + alpha (expert - anti-expert)` in logits (Liu et al. 2024, "Tuning Language Models by Proxy", arXiv 2401.08565,
/// equation 1, with a weight).
fn proxy(base: Vec<f32>, (expert, anti): (&[f32], &[f32]), alpha: f64) -> Vec<f32> {
    let shift = expert.iter().zip(anti).map(|(expert, anti)| (alpha * f64::from(expert - anti)) as f32);
    base.into_iter().zip(shift).map(|(base, shift)| base + shift).collect()
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|logit| f64::from(logit - best).exp()).sum();
    let shift = f64::from(best) + total.ln();
    logits.iter().map(|logit| f64::from(*logit) - shift).collect()
}

/// Entropy in nats.
fn entropy_of(logits: &[f32]) -> f64 {
    let terms = log_softmax(logits).into_iter().filter(|log| log.is_finite());
    // Rounding may bring that of a certain token below nothing.
    terms.map(|log| -log * log.exp()).sum::<f64>().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::contract::model_name;

    fn gated(entropy: f64, budget: f64) -> TogetherSettings {
        TogetherSettings::Gated { small: model_name("s"), large: model_name("l"), entropy, budget }
    }

    #[test]
    fn contrast_favours_what_the_large_model_prefers_more_than_the_small_one_among_the_plausible() {
        let large = [2.0, 1.9, -9.0];
        let small = [2.0, 0.0, -99.0];

        let blended = contrastive(&large, &small, (1.0, 0.1));

        assert!(blended[1] > blended[0], "{blended:?}");
        assert!(blended[2] < -900.0, "what is implausible stays so, however little the small model likes it");
    }

    #[test]
    fn a_proxy_shifts_the_base_by_what_tuning_changed() {
        let shifted = proxy(vec![1.0, 2.0], (&[3.0, 0.0], &[1.0, 1.0]), 0.5);

        assert_eq!(shifted, [2.0, 1.5]);
    }

    #[test]
    fn the_gate_opens_where_the_small_model_does_not_know_and_keeps_its_budget() {
        let (unsure, sure) = ([0.0; 4], [50.0, 0.0, 0.0, 0.0]);
        let counts = Counts::default();
        let mut blend = Blend::new(gated(1.0, 0.5));
        let mut asked = 0;
        for _ in 0..10 {
            let others = blend.asks(&unsure).then(|| vec![vec![1.0; 4]]);
            asked += usize::from(others.is_some());
            blend.blend(unsure.to_vec(), others.as_deref(), &counts);
        }

        assert!((entropy_of(&unsure) - 4f64.ln()).abs() < 1e-6);
        assert!(!Blend::new(gated(1.0, 1.0)).asks(&sure));
        assert_eq!((asked, counts.so_far()), (5, (10, 5)));
        assert!(Blend::new(gated(0.0, 1.0)).asks(&sure) && !Blend::new(gated(f64::INFINITY, 1.0)).asks(&unsure));
    }
}
