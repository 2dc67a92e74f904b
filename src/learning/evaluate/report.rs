//! What an evaluation found: the same for people ([`markdown`]), for programs (JSON, by serde) and for [plots](super::plots).

pub mod markdown;

use serde::Serialize;

use super::{
    calibration::Calibration,
    coverage::Coverage,
    metrics::{Figure, Metrics},
    preference::Preference,
    stability::Stability,
};

/// Everything about one run of `pointsman evaluate`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The router's name.
    pub router: String,
    /// Checksum of its artifact.
    pub artifact: String,
    /// Where prices come from: the sets, or a table with its checksum.
    pub prices: String,
    /// Resamples of every bootstrap.
    pub rounds: usize,
    /// One per set.
    pub sets: Vec<SetReport>,
}

/// Everything about one set.
#[derive(Clone, Debug, Serialize)]
pub struct SetReport {
    /// The set.
    pub set: String,
    /// Prompts that were measured.
    pub prompts: usize,
    /// Prompts left out because the router was trained on them.
    pub left_out: usize,
    /// Prompts that only chose settings; 0 where each half of the others chose for the other half.
    pub tuning: usize,
    /// Training prompts that baselines and fitted profiles learned from.
    pub lessons: usize,
    /// Whether costs are known; without them only gains and preferences mean something.
    pub has_costs: bool,
    /// The models that were chosen from.
    pub models: Vec<Single>,
    /// The best single model.
    pub best_single: String,
    /// AIQ of the hull of single models, in points.
    pub hull_aiq: Figure,
    /// Strategies and baselines.
    pub lines: Vec<Line>,
    /// Weak and strong; only of sets of two models.
    pub parts: Vec<Part>,
    /// By model.
    pub calibration: Vec<Calibration>,
    /// Whether conformal bounds hold; `None` where the router has none, or no category is large enough.
    pub coverage: Option<Coverage>,
    /// Share of the reported prompts that are marked as far from the router's training data.
    pub outside: f64,
    /// Microseconds to score a prompt: quantiles 0 %, 1 %, ... 100 %.
    pub scoring_us: Vec<f64>,
    /// Corners of the hulls of strategies, baselines and oracle: USD a prompt, quality.
    pub curves: Vec<(String, Vec<(f64, f64)>)>,
    /// Whether choices stay on paraphrased prompts, if that was asked for.
    pub stability: Option<Stability>,
}

/// A model alone.
#[derive(Clone, Debug, Serialize)]
pub struct Single {
    /// Its public name.
    pub model: String,
    /// From where its predicted quality comes.
    pub profile: ProfileSource,
    /// USD per million tokens of prompt and of answer; `None` where only costs of calls are known.
    pub prices: Option<(f64, f64)>,
    /// USD per prompt.
    pub cost: f64,
    /// Mean score.
    pub quality: f64,
    /// Arena score, in percent.
    pub arena: f64,
}

/// From where a model's predicted quality comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileSource {
    /// The router's own profile.
    Router,
    /// A profile fitted for this run.
    Fitted,
    /// None: the prior over the known models.
    Prior,
}

/// Who a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A strategy of the gateway, with this router.
    Strategy,
    /// Something plainer.
    Baseline,
    /// Who knows every score and cost.
    Oracle,
}

/// One line of a table.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The strategy or baseline.
    pub router: String,
    /// Which of them.
    pub kind: Kind,
    /// Runs that the figures are means of.
    pub seeds: usize,
    /// Its measures.
    #[serde(flatten)]
    pub metrics: Metrics<Figure>,
    /// AIQ less that of the table's first line, on the same resamples.
    pub aiq_over_first: Figure,
}

/// How two models are told apart on a set or on a task of it.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// The task, or `all`.
    pub task: String,
    /// Prompts.
    pub prompts: usize,
    /// By strategy and baseline.
    pub lines: Vec<(String, Preference<Figure>)>,
}
