//! Whether choices stay when a prompt is said in other words.

use serde::Serialize;

use super::{
    bootstrap::Resamples,
    choices::picks,
    forecast::{Forecast, Scene, Subject},
    metrics::Figure,
    outcomes::{Outcomes, Row},
    paraphrase::Kind,
};
use crate::{
    domain::Scores,
    learning::{LearningError, Progress},
    routing::Strategy,
};

/// How many choices stay on paraphrased prompts, in percent.
#[derive(Clone, Debug, Serialize)]
pub struct Stability {
    /// The strategy, at the setting that the program ships.
    pub strategy: String,
    /// Mean over the prompts of the share of their paraphrases that keep the choice.
    pub all: Figure,
    /// By kind of paraphrase.
    pub by_kind: Vec<KindStability>,
}

/// One kind of paraphrase.
#[derive(Clone, Debug, Serialize)]
pub struct KindStability {
    /// The kind.
    pub kind: String,
    /// Prompts that it could be made of.
    pub prompts: usize,
    /// Share of them that keep the choice, in percent.
    pub stays: f64,
}

/// Paraphrases the prompts of a forecast in every way and decides again.
///
/// # Errors
/// The graph fails.
pub fn stability(
    (name, strategy): (&str, &dyn Strategy),
    (outcomes, forecast): (&Outcomes, &Forecast),
    (subject, scene): (&mut Subject<'_>, &Scene<'_>),
    resamples: &Resamples,
    progress: &dyn Progress,
) -> Result<Stability, LearningError> {
    let chosen = picks(strategy, &forecast.asks);
    let mut kept = vec![(0.0, 0.0); outcomes.rows.len()];
    let mut by_kind = Vec::new();
    progress.begin("paraphrasing", Kind::ALL.len() as u64);
    for kind in Kind::ALL {
        let said = paraphrased(kind, outcomes, subject)?;
        let asks = Forecast::of(&said.outcomes, said.scores, scene)?.asks;
        let stays: Vec<bool> = picks(strategy, &asks)
            .into_iter()
            .zip(&said.origins)
            .map(|(pick, origin)| chosen.get(*origin) == Some(&pick))
            .collect();
        for (stays, origin) in stays.iter().zip(&said.origins) {
            kept.get_mut(*origin)
                .into_iter()
                .for_each(|kept| *kept = (kept.0 + f64::from(u8::from(*stays)), kept.1 + 1.0));
        }
        let count = stays.iter().filter(|stays| **stays).count();
        let prompts = stays.len();
        let share = 100.0 * count as f64 / prompts.max(1) as f64;
        by_kind.push(KindStability { kind: kind.name().to_owned(), prompts, stays: share });
        progress.step();
    }
    let mean = |weights: &[f32]| mean_share(&kept, weights);
    let all = Figure::of(mean(&outcomes.reported()), resamples.measure(mean));
    Ok(Stability { strategy: name.to_owned(), all, by_kind })
}

/// In percent, over weighted prompts that have a paraphrase.
fn mean_share(kept: &[(f64, f64)], weights: &[f32]) -> f64 {
    let shares = kept.iter().zip(weights).filter(|((_, count), _)| *count > 0.0);
    let (sum, total) = shares.fold((0.0, 0.0), |(sum, total), ((kept, count), weight)| {
        (sum + f64::from(*weight) * kept / count, total + f64::from(*weight))
    });
    100.0 * sum / total
}

/// The prompts that a kind of paraphrase can be made of, said that way.
struct Paraphrased {
    outcomes: Outcomes,
    scores: Vec<Scores>,
    origins: Vec<usize>,
}

fn paraphrased(kind: Kind, outcomes: &Outcomes, subject: &mut Subject<'_>) -> Result<Paraphrased, LearningError> {
    let (mut rows, mut scores, mut origins) = (Vec::new(), Vec::new(), Vec::new());
    for (index, row) in outcomes.rows.iter().enumerate() {
        let Some(prompt) = kind.apply(&row.prompt, index as u64) else { continue };
        scores.push(subject.score(&prompt)?);
        rows.push(Row { prompt, ..row.clone() });
        origins.push(index);
    }
    let outcomes = Outcomes { rows, models: outcomes.models.clone(), has_costs: outcomes.has_costs };
    Ok(Paraphrased { outcomes, scores, origins })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prompt_counts_the_same_however_many_paraphrases_it_has() {
        // One of two stays, four of four stay, and one has no paraphrase.
        let share = mean_share(&[(1.0, 2.0), (4.0, 4.0), (0.0, 0.0)], &[1.0; 3]);

        assert_eq!(share, 75.0);
    }
}
