//! The model that did best on the clusters of prompts that this one belongs to: Avengers and Avengers-Pro.

use std::cmp::Ordering;

use super::{
    Constraints, ParameterError, Strategy, Weight,
    evidence::{is_default, quality, reason},
    outcome::{Ranked, decision},
    parameters::{check_count, check_weight},
};
use crate::domain::{Ask, Candidate, Decision, ModelName, Needs, NoRoute, Terms};

/// What [`Cluster`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterParameters {
    /// What every model must meet.
    pub constraints: Constraints,
    /// How many clusters are heard, the nearest ones: 1 to 3.
    pub clusters: usize,
    /// Weight of performance against economy, `[0, 1]`; a caller's `quality` raises it towards `max`. `None` looks at
    /// performance alone.
    pub alpha: Option<Weight>,
    /// Graded prompts that the model's mean over all data is worth in a cluster's mean.
    pub shrinkage: f64,
    /// The model that is tried first when there are no scores; `None` takes the best by the priors.
    pub default_model: Option<ModelName>,
    /// How many models stand by.
    pub max_fallbacks: usize,
}

/// Chooses by each model's mean grade `p` in the nearest clusters of the training data. Without `alpha` it is the best mean
/// over those clusters (Avengers, arXiv 2505.19797); with it the best performance-efficiency score (Avengers-Pro, arXiv
/// 2508.12631), the mean over the clusters of
///
/// ```text
/// x_m = alpha (p_m - min p) / (max p - min p) + (1 - alpha) (1 - (c_m - min c) / (max c - min c))
/// ```
///
/// with minimum and maximum over the models that fit. The cost `c` is the one expected of this prompt at the gateway's prices,
/// where the paper takes the cluster's mean. A model without grades counts with its predicted quality, and so do all models of a
/// router artifact without evidence; the reason tells it. Equal scores: the cheaper, then the policy's order.
#[derive(Clone, Debug)]
pub struct Cluster {
    parameters: ClusterParameters,
}

impl Cluster {
    /// Returns the strategy.
    ///
    /// # Errors
    /// Not 1 to 3 clusters, an alpha outside of `[0, 1]` or of its bounds, or a shrinkage that is no weight.
    pub fn new(parameters: ClusterParameters) -> Result<Self, ParameterError> {
        check_count("clusters", parameters.clusters, (1, 3))?;
        if let Some(alpha) = parameters.alpha {
            alpha.check_share("alpha")?;
        }
        check_weight("shrinkage", parameters.shrinkage)?;
        Ok(Self { parameters })
    }

    /// Returns the score of each fitting candidate, in their order.
    fn terms(&self, ask: &Ask, fitting: &[&Candidate]) -> Vec<Terms> {
        let clusters: Vec<Vec<f64>> =
            (0..self.heard(fitting)).map(|cluster| self.qualities(fitting, cluster)).collect();
        let wish = ask.preferences.quality.map(|quality| quality.value());
        let Some(alpha) = self.parameters.alpha.map(|alpha| alpha.rising(wish)) else {
            let alone = |quality| Terms { quality, utility: quality, ..Terms::default() };
            return means(&clusters).into_iter().map(alone).collect();
        };
        let relative: Vec<Vec<f64>> = clusters.iter().map(|cluster| normalised(cluster)).collect();
        let costs: Vec<f64> = fitting.iter().map(|fit| fit.estimate.cost.dollars()).collect();
        let both = |(performance, cost): (f64, f64)| {
            let (quality, cost) = (alpha * performance, (1.0 - alpha) * (1.0 - cost));
            Terms { quality, cost, utility: quality + cost, ..Terms::default() }
        };
        means(&relative).into_iter().zip(normalised(&costs)).map(both).collect()
    }

    /// Returns how many clusters are heard; one of predictions where there is no evidence.
    fn heard(&self, fitting: &[&Candidate]) -> usize {
        let known = fitting.iter().map(|fit| fit.evidence.clusters.len()).max().unwrap_or(0);
        known.clamp(1, self.parameters.clusters)
    }

    fn qualities(&self, fitting: &[&Candidate], cluster: usize) -> Vec<f64> {
        let of = |fit: &&Candidate| quality(fit, fit.evidence.clusters.get(cluster), self.parameters.shrinkage);
        fitting.iter().map(of).collect()
    }
}

impl Strategy for Cluster {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let terms = self.terms(ask, &gated.fitting);
        let mut scored: Vec<(&Candidate, Terms)> = gated.fitting.iter().copied().zip(terms).collect();
        scored.sort_by(better_first);
        scored.sort_by_key(|(candidate, _)| !is_default(ask, candidate, self.parameters.default_model.as_ref()));
        let has_evidence = scored.iter().any(|(candidate, _)| !candidate.evidence.clusters.is_empty());
        let order = scored.into_iter().map(|(candidate, terms)| Ranked { candidate, terms: Some(terms) }).collect();
        decision(order, gated, reason(ask, has_evidence), self.parameters.max_fallbacks)
    }

    fn needs(&self) -> Needs {
        Needs { clusters: true, ..Needs::SCORES }
    }
}

fn better_first((one, one_terms): &(&Candidate, Terms), (other, other_terms): &(&Candidate, Terms)) -> Ordering {
    other_terms.utility.total_cmp(&one_terms.utility).then(one.estimate.cost.cmp(&other.estimate.cost))
}

/// Returns the mean over the rows, by column.
fn means(rows: &[Vec<f64>]) -> Vec<f64> {
    let mut sums = vec![0.0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value / rows.len() as f64);
    }
    sums
}

/// Returns the values with the least as 0 and the greatest as 1; equal values are all 0.
fn normalised(values: &[f64]) -> Vec<f64> {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = greatest - least;
    values.iter().map(|value| if range > 0.0 { (value - least) / range } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Observed, Probability, Reason, ScoresUnavailable},
        routing::samples::{ask, expected},
    };

    fn parameters(alpha: Option<f64>) -> ClusterParameters {
        ClusterParameters {
            constraints: Constraints::default(),
            clusters: 1,
            alpha: alpha.map(Weight::fixed),
            shrinkage: 0.0,
            default_model: None,
            max_fallbacks: 2,
        }
    }

    fn strategy(alpha: Option<f64>) -> Cluster {
        Cluster::new(parameters(alpha)).unwrap()
    }

    /// Grades in the nearest and in the second cluster, a hundred of each.
    fn graded(name: &str, cost: u64, grades: [f64; 2]) -> Candidate {
        let mut candidate = expected(name, 0.5, cost, 1_000);
        let observed = |mean| Observed { mean: Probability::clamped(mean), weight: 100.0, spread: 0.04 };
        candidate.evidence.overall = Some(Probability::clamped(0.5));
        candidate.evidence.clusters = grades.map(observed).to_vec();
        candidate
    }

    fn specialists() -> Ask {
        ask(vec![
            graded("all-round", 10_000_000, [0.7, 0.7]),
            graded("near", 20_000_000, [0.8, 0.1]),
            graded("cheap", 1_000_000, [0.4, 0.4]),
        ])
    }

    fn legs(decision: &Decision) -> Vec<&str> {
        decision.plan.legs().map(|leg| leg.model.as_str()).collect()
    }

    #[test]
    fn the_best_of_the_nearest_cluster_answers() {
        let decision = strategy(None).decide(&specialists()).unwrap();

        assert_eq!((legs(&decision), decision.reason), (vec!["near", "all-round", "cheap"], Reason::BestUtility));
    }

    #[test]
    fn more_clusters_are_heard_together() {
        let strategy = Cluster::new(ClusterParameters { clusters: 2, ..parameters(None) }).unwrap();

        assert_eq!(legs(&strategy.decide(&specialists()).unwrap()), ["all-round", "near", "cheap"]);
    }

    #[test]
    fn alpha_weighs_performance_against_economy() {
        let choose = |alpha| strategy(Some(alpha)).decide(&specialists()).unwrap();

        assert_eq!(legs(&choose(1.0))[0], "near");
        assert_eq!(legs(&choose(0.5))[0], "all-round");
        assert_eq!(legs(&choose(0.0))[0], "cheap");
        let terms = choose(0.5).alternatives[0].terms.unwrap();
        // (0.7 - 0.4) / 0.4 of the performance, 1 - 9 / 19 of the economy.
        assert!((terms.utility - 0.5 * (0.75 + 10.0 / 19.0)).abs() < 1e-9, "{terms:?}");
    }

    #[test]
    fn a_caller_who_wants_quality_raises_alpha() {
        let alpha = Some(Weight { value: 0.0, min: 0.0, max: 1.0 });
        let strategy = Cluster::new(ClusterParameters { alpha, ..parameters(None) }).unwrap();
        let mut ask = specialists();
        ask.preferences.quality = Some(Probability::ONE);

        assert_eq!(legs(&strategy.decide(&ask).unwrap())[0], "near");
    }

    #[test]
    fn shrinkage_holds_few_grades_to_the_model_s_mean() {
        let strategy = Cluster::new(ClusterParameters { shrinkage: 20.0, ..parameters(None) }).unwrap();
        let mut ask = specialists();
        ask.candidates[1].evidence.clusters[0].weight = 2.0;

        assert_eq!(legs(&strategy.decide(&ask).unwrap())[0], "all-round");
    }

    #[test]
    fn without_evidence_predictions_count_and_the_reason_tells() {
        let ask = ask(vec![expected("fair", 0.6, 1, 1), expected("good", 0.9, 1, 1)]);

        let decision = strategy(None).decide(&ask).unwrap();

        assert_eq!((legs(&decision)[0], decision.reason), ("good", Reason::EvidenceMissing));
    }

    #[test]
    fn without_scores_the_default_model_comes_first() {
        let default_model = Some(ModelName::parse("cheap").unwrap());
        let strategy = Cluster::new(ClusterParameters { default_model, ..parameters(None) }).unwrap();
        let ask = Ask { unscored: Some(ScoresUnavailable::Late), ..specialists() };

        let decision = strategy.decide(&ask).unwrap();

        assert_eq!((legs(&decision)[0], decision.reason), ("cheap", Reason::ScorerUnavailable));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let refused = |parameters| Cluster::new(parameters).unwrap_err().to_string();

        let clusters = refused(ClusterParameters { clusters: 4, ..parameters(None) });
        assert_eq!(clusters, "clusters must be a whole number from 1 to 3, not 4");
        assert!(refused(parameters(Some(1.5))).starts_with("alpha must be a number from 0 to 1"));
        assert!(refused(ClusterParameters { shrinkage: f64::NAN, ..parameters(None) }).starts_with("shrinkage"));
    }
}
