//! The strategy `topology` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WeightDocument;

/// Tasks of which the later ones get the answers of the earlier ones. The last one's answer is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TopologyDocument {
    /// A draft, a critique, a revision; again as often as there are rounds, until nothing is wrong or nothing changes.
    Sequential(SequentialDocument),
    /// Members answer briefly at once, and a primary writes the answer from theirs.
    Parallel(ParallelDocument),
    /// As parallel, and a critic looks at the primary's answer, which it then revises.
    Hybrid(HybridDocument),
    /// A planner parts the request, each worker works on one part, and one model puts them together.
    Hierarchical(HierarchicalDocument),
    /// As parallel, with members and primary picked by the router: the best for the prompt is the primary.
    Experts(ExpertsDocument),
    /// Any tasks, without cycles, that lead to one last task.
    Graph(GraphDocument),
}

/// A draft, a critique, a revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["draft", "critic", "reviser"]))]
pub struct SequentialDocument {
    /// The model that drafts.
    pub draft: String,
    /// The model that criticises.
    pub critic: String,
    /// The model that revises.
    pub reviser: String,
    /// Most critiques.
    #[schemars(range(min = 1, max = 5))]
    pub rounds: usize,
}

impl Default for SequentialDocument {
    fn default() -> Self {
        Self { draft: String::new(), critic: String::new(), reviser: String::new(), rounds: 1 }
    }
}

/// Members and a primary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["members", "primary"]))]
pub struct ParallelDocument {
    /// Models that answer briefly.
    #[schemars(length(min = 1))]
    pub members: Vec<String>,
    /// The model that writes the answer.
    pub primary: String,
    /// Most tokens of a member's answer.
    #[schemars(range(min = 1))]
    pub brief: u64,
}

impl Default for ParallelDocument {
    fn default() -> Self {
        Self { members: Vec::new(), primary: String::new(), brief: 400 }
    }
}

/// Members, a primary and a critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["members", "primary", "critic"]))]
pub struct HybridDocument {
    /// Models that answer briefly.
    #[schemars(length(min = 1))]
    pub members: Vec<String>,
    /// The model that writes the answer and revises it.
    pub primary: String,
    /// The model that criticises.
    pub critic: String,
    /// Most tokens of a member's answer.
    #[schemars(range(min = 1))]
    pub brief: u64,
}

impl Default for HybridDocument {
    fn default() -> Self {
        Self { members: Vec::new(), primary: String::new(), critic: String::new(), brief: 400 }
    }
}

/// A planner, workers, and who puts their work together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["planner", "workers", "synthesiser"]))]
pub struct HierarchicalDocument {
    /// The model that parts the request, into as many parts as there are workers.
    pub planner: String,
    /// Models that work on one part each; a model may stand several times.
    #[schemars(length(min = 1))]
    pub workers: Vec<String>,
    /// The model that writes the answer.
    pub synthesiser: String,
}

/// Experts and a primary that the router picks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExpertsDocument {
    /// How many answer briefly.
    #[schemars(range(min = 1, max = 15))]
    pub experts: usize,
    /// Most tokens of a brief answer.
    #[schemars(range(min = 1))]
    pub brief: u64,
    /// Quality given up to save one US cent, for who is best.
    pub cost: WeightDocument,
}

impl Default for ExpertsDocument {
    fn default() -> Self {
        Self { experts: 2, brief: 400, cost: WeightDocument::Fixed(0.04) }
    }
}

/// Any tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["tasks"]))]
pub struct GraphDocument {
    /// Two at least, at most 16, in any order.
    #[schemars(length(min = 2))]
    pub tasks: Vec<TaskDocument>,
}

/// A task of a graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "model", "does"]))]
pub struct TaskDocument {
    /// What others call it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The model or an alias of it.
    pub model: String,
    /// What it does.
    pub does: DutyDocument,
    /// Tasks whose answers it gets.
    pub after: Vec<String>,
    /// Most tokens of its answer.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u64>,
}

/// What a task does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DutyDocument {
    /// Answers the request.
    #[default]
    Answer,
    /// Says what is wrong with an answer.
    Critique,
    /// Writes an answer again, with what is criticised.
    Revise,
    /// Parts the request.
    Plan,
    /// Works on a part.
    Part,
    /// Writes one answer from several.
    Synthesise,
}
