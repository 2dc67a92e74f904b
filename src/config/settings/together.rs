//! Local models that decode together.

use crate::domain::ModelName;

/// Who decodes together, and how.
#[derive(Clone, Debug, PartialEq)]
pub enum TogetherSettings {
    /// What a large model prefers more than a small one does.
    Contrastive {
        /// Leads.
        large: ModelName,
        /// Is subtracted.
        small: ModelName,
        /// Weight of the contrast, at least 0.
        alpha: f64,
        /// Least share of the likeliest token's probability, `[0, 1]`.
        plausibility: f64,
    },
    /// A large model, steered by what tuning changed in a small one.
    Proxy {
        /// Leads.
        base: ModelName,
        /// After tuning.
        expert: ModelName,
        /// Before it.
        anti_expert: ModelName,
        /// Weight of the steering.
        alpha: f64,
    },
    /// A small model that lets a large one give the tokens of which it is unsure.
    Gated {
        /// Leads.
        small: ModelName,
        /// Is asked.
        large: ModelName,
        /// Entropy in nats from which it is asked.
        entropy: f64,
        /// Largest share of tokens for which it is asked, `[0, 1]`.
        budget: f64,
    },
}

impl TogetherSettings {
    /// Returns the model that leads, and the others.
    pub fn members(&self) -> (&ModelName, Vec<&ModelName>) {
        match self {
            Self::Contrastive { large, small, .. } => (large, vec![small]),
            Self::Proxy { base, expert, anti_expert, .. } => (base, vec![expert, anti_expert]),
            Self::Gated { small, large, .. } => (small, vec![large]),
        }
    }
}
