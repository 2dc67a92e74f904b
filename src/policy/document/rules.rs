//! Rules as they are written.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{CandidatesDocument, ConstraintsDocument, StrategyDocument};
use crate::domain::{Language, Tag};

/// A rule: when it holds, and how the choice goes on then. The first rule that holds is final.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["when"]))]
pub struct RuleDocument {
    /// Its name, for people; without it its place in the list.
    pub name: Option<String>,
    /// When it holds: everything that is named here must hold together.
    pub when: ConditionDocument,
    /// This model is chosen; the other candidates stand by.
    pub model: Option<String>,
    /// Only these of the policy's candidates may answer, also as fallbacks.
    pub candidates: Option<CandidatesDocument>,
    /// What every model must meet besides the policy's own constraints.
    pub constraints: ConstraintsDocument,
    /// How it is chosen; without it as the policy says.
    pub strategy: Option<StrategyDocument>,
    /// Further rules, for requests that this one holds for.
    pub rules: Vec<RuleDocument>,
}

/// What must hold of a request. The text is that of the last user turn; of a long one the first and the last 16 KiB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConditionDocument {
    /// Subjects with their least share of the prompt; one of them is enough. Known: biology, chemistry, code,
    /// computer_science, economics, engineering, humanities, law, math, medicine, physics, psychology, reasoning, writing, other.
    pub topics: BTreeMap<String, Part>,
    /// Languages of the text, by their two-letter codes; one of them. A text too short or too mixed to tell has none.
    pub languages: Vec<Language>,
    /// Tokens of the whole request, estimated.
    pub tokens: SpanDocument,
    /// Characters of the text.
    pub characters: SpanDocument,
    /// Words or phrases in the text; one of them, alone and in any case.
    pub keywords: Vec<String>,
    /// A regular expression that matches the text; without look-around and back references, so that no text is slow.
    pub regex: Option<String>,
    /// Tags that the request asks for; all of them.
    pub tags: Vec<Tag>,
    /// Keys that ask; one of them.
    pub keys: Vec<String>,
    /// Tenants that ask; one of them.
    pub tenants: Vec<String>,
    /// When the request arrives.
    pub time: Option<TimeDocument>,
}

/// A share between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Part(#[schemars(range(min = 0.0, max = 1.0))] pub f64);

/// A range; both ends belong to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SpanDocument {
    /// Least.
    pub min: Option<u64>,
    /// Most.
    pub max: Option<u64>,
}

/// Hours on days of the week.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimeDocument {
    /// From and to, as 08:00-18:00; 22:00-06:00 is a night, which belongs to the day on which it begins.
    pub hours: Option<Hours>,
    /// Days; without them every day.
    pub weekdays: Vec<WeekdayDocument>,
    /// The time zone, as Europe/Berlin.
    pub zone: String,
}

impl Default for TimeDocument {
    fn default() -> Self {
        Self { hours: None, weekdays: Vec::new(), zone: "UTC".to_owned() }
    }
}

/// Hours of a day, as 08:00-18:00.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hours(pub String);

impl JsonSchema for Hours {
    fn schema_name() -> Cow<'static, str> {
        "Hours".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "hours of a day",
            "type": "string",
            "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
            "examples": ["08:00-18:00"],
        })
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the days of the week need no explanation")]
pub enum WeekdayDocument {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// What is done with prompts that lie far from everything the router model was trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutsideDocument {
    /// Its predictions are trusted all the same.
    Ignore,
    /// Predictions are drawn towards what price, size and context window tell of a model.
    #[default]
    DomainPrior,
    /// This model answers.
    Safe(String),
}
