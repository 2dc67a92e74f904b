//! Probe and agree: who is right, given who said what, and whether to ask on. Pure: nothing here asks anyone.
//!
//! A committee of models is asked one after another. After each answer the posterior says how likely each distinct answer is to
//! be right, and the step says whether the best answer so far is given, or who is asked next:
//!
//! ```text
//! heard      who said what, in the order of the members           -> order of asking never matters
//! posterior  heard, predicted qualities -> P(answer), P(none)      conditional logit, one set of weights per set of members asked
//! step       posterior, charges         -> stop with a | ask m     fitted values of asking on, one set per set asked and next member
//! document   what `pointsman plans fit` writes -> a compiled model
//! ```
//!
//! # Invariants
//!
//! - The answers' probabilities and that of "none of them" sum to 1.
//! - A member that may not be asked is never asked; where nobody may, the best answer so far is given.
//! - When asking anyone would cost more than a right answer is worth, the first answer is given.
//! - A step takes time linear in the members, and allocates nothing but the list of alternatives.
//!
//! Ours; measured by `pointsman plans evaluate`. The nearest relative is cascade routing (Dekoninck et al., arXiv 2410.10347),
//! which weighs supersets of what has been asked; here the value of asking on is fitted, backward over sets (fitted value
//! iteration: Ernst, Geurts and Wehenkel 2005, with a linear regression).

mod document;
mod heard;
mod posterior;
#[cfg(test)]
pub(crate) mod samples;
mod step;
#[cfg(test)]
mod tests;

pub use document::{
    AgreementDocument, FurtherDocument, InvalidAgreement, MemberDocument, SCHEMA_VERSION, VotesDocument, WorthDocument,
};
pub use heard::{Answer, Heard, MOST_MEMBERS, MemberSet};
pub use posterior::{Posterior, VoteWeights, clamped_logit};
pub use step::{
    Advice, AgreementModel, Charges, FEATURES, Features, FirstFeatures, Member, Step, features, first_features,
    first_width, width,
};
