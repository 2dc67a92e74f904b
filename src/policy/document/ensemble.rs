//! The strategy `ensemble` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Period;

/// Several models, or samples of one, at once; one of their answers is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["members", "extract"]))]
pub struct EnsembleDocument {
    /// Who is asked; two calls at least, at most 16.
    #[schemars(length(min = 1))]
    pub members: Vec<MemberDocument>,
    /// What of the answers is compared.
    pub extract: ExtractDocument,
    /// How one is chosen.
    pub choose: ChooseDocument,
    /// How long the others are waited for once there is an answer; without it as long as their timeouts allow.
    pub patience: Option<Period>,
}

impl Default for EnsembleDocument {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            extract: ExtractDocument::Text(NothingDocument {}),
            choose: ChooseDocument::default(),
            patience: None,
        }
    }
}

/// A member of an ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["model"]))]
pub struct MemberDocument {
    /// The model or an alias of it.
    pub model: String,
    /// What a vote of it counts, above 0.
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// How often it is asked.
    #[schemars(range(min = 1, max = 16))]
    pub samples: usize,
    /// Temperature of its answers instead of the request's; 0.7 where it is asked more than once.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
}

impl Default for MemberDocument {
    fn default() -> Self {
        Self { model: String::new(), weight: 1.0, samples: 1, temperature: None }
    }
}

/// Nothing more to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NothingDocument {}

/// What of the answers is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ExtractDocument {
    /// The letter of a choice.
    Choice(NothingDocument),
    /// The number that an answer comes to.
    Number(NothingDocument),
    /// A value of the JSON in an answer.
    Json(JsonFieldDocument),
    /// What a regular expression captures.
    Regex(CaptureDocument),
    /// All of it, but for case, blanks and marks at its ends.
    Text(NothingDocument),
}

/// A value of the JSON in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JsonFieldDocument {
    /// Its place as a JSON pointer, for instance `/answer`; without it all of the JSON.
    pub field: String,
}

/// What a regular expression captures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["pattern"]))]
pub struct CaptureDocument {
    /// Its first group counts, or its whole match where it has none.
    pub pattern: String,
}

/// How the answer is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChooseDocument {
    /// What the most weight is for; the others are cancelled once that cannot change.
    Vote(NothingDocument),
    /// What is most probable by the members' own token probabilities, unlikely answers left out (RPC).
    Consistency(NothingDocument),
    /// What a model grades best.
    Judge(BestOfDocument),
}

impl Default for ChooseDocument {
    fn default() -> Self {
        Self::Vote(NothingDocument {})
    }
}

/// A model that grades.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["model"]))]
pub struct BestOfDocument {
    /// The model; it has to be a candidate.
    pub model: String,
    /// A grade, from 0 to 1, that ends the search.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub enough: f64,
}

impl Default for BestOfDocument {
    fn default() -> Self {
        Self { model: String::new(), enough: 1.0 }
    }
}
