//! The words of the business, without I/O: what a request wants, what models there are, what is decided and what is booked.
//!
//! Everything here is a plain value. Rooms above never meet each other; they meet here: a strategy returns a [`Decision`],
//! `execute` interprets its [`Plan`], a backend turns a [`ModelCall`] into a [`Reply`], `accounting` books a
//! [`RequestRecord`]. Numbers carry their unit in the type ([`NanoUsd`], [`Tokens`], [`Probability`]).

pub mod answer_pattern;
pub mod ask;
pub mod attempt;
pub mod backend_error;
pub mod cache_rule;
pub mod call;
pub mod conformal;
pub mod decision;
pub mod deferral;
pub mod engine_room;
pub mod extractor;
pub mod feedback;
pub mod final_answer;
pub mod ids;
pub mod language;
pub mod learner;
pub mod limits;
pub mod model;
pub mod money;
pub mod plan;
pub mod preferences;
pub mod principal;
pub mod priority;
pub mod prompt;
pub mod quota;
pub mod record;
pub mod reply;
pub mod scores;
pub mod signals;
pub mod speculation;
pub mod spending;
pub mod tokens;
pub mod verdict;

pub use answer_pattern::{AnswerPattern, AnswerPatternError};
pub use ask::{Ask, Availability, Calibrated, Candidate, Estimate, Evidence, LoadStep, Needs, RequestFacts, Signals};
pub use attempt::{Attempt, AttemptJournal, AttemptOutcome, Hold};
pub use backend_error::BackendError;
pub use cache_rule::{CacheControl, CacheRule, Judge, NearMiss, SemanticRule};
pub use call::{CallContext, EmbedCall, ModelCall, TextCall, Waited};
pub use conformal::{Conformal, Tail};
pub use decision::{Alternative, Decision, NoRoute, Reason, Rejection, RejectionCode, Terms};
pub use deferral::{AnswerForm, DeferralTest, Statistic};
pub use engine_room::{EngineOrder, EngineRoom};
pub use extractor::Extractor;
pub use feedback::{Feedback, Filed, Graded};
pub use ids::{DecisionId, KeyId, ModelName, PolicyName, ProviderName, RequestId, TenantId};
pub use language::{Language, ParseLanguageError};
pub use learner::{BanditAlgorithm, Learner};
pub use limits::{KeyLimits, Limits, Timeouts};
pub use model::{Modality, ModelFacts, ModelKind, Prices, Tag};
pub use money::{NanoUsd, PricePerMillion};
pub use plan::{
    Agree, AgreeMember, AgreeStep, AnswerEvidence, Cascade, CascadeRouting, Choosing, Committee, Course, Duty,
    Ensemble, Hedged, Leg, Member, MemberState, ModelProspect, Plan, PlanKind, Rung, Task, Topology,
};
pub use preferences::Preferences;
pub use principal::Principal;
pub use priority::Priority;
pub use prompt::PromptView;
pub use quota::Quota;
pub use record::{CacheOutcome, Endpoint, Outcome, RequestRecord, StageTimes};
pub use reply::{Event, EventStream, Reply, WholeReply};
pub use scores::{
    Familiarity, Length, ModelTraits, Observed, Prior, Probability, Quality, Scores, ScoresUnavailable, TOPICS, Topic,
};
pub use signals::TokenSignal;
pub use speculation::Speculation;
pub use spending::Spending;
pub use tokens::{Tokens, Usage};
pub use verdict::{Cause, Ruling, Verdict};
