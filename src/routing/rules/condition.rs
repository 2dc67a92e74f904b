//! When a rule holds.

use std::collections::BTreeSet;

use super::{Pattern, Window};
use crate::domain::{Ask, KeyId, Language, Needs, Probability, Signals, Tag, TenantId};

/// What must hold of a request; what is left empty is not looked at, everything else must hold together.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// Subjects with the least share of the prompt; one of them must have it. Without scores none has.
    pub topics: Vec<(String, Probability)>,
    /// The language of the last user turn is one of these. A language that could not be told is none.
    pub languages: BTreeSet<Language>,
    /// Estimated tokens of the whole request.
    pub tokens: Span,
    /// Characters of the last user turn.
    pub characters: Span,
    /// Words of which the last user turn has one.
    pub keywords: Option<Pattern>,
    /// What the last user turn matches.
    pub regex: Option<Pattern>,
    /// Tags that the request asks for, all of them.
    pub tags: BTreeSet<Tag>,
    /// The key is one of these.
    pub keys: BTreeSet<KeyId>,
    /// The tenant is one of these.
    pub tenants: BTreeSet<TenantId>,
    /// When the request arrives.
    pub time: Option<Window>,
}

/// A range of counts, both ends included; `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Least.
    pub min: Option<u64>,
    /// Most.
    pub max: Option<u64>,
}

impl Span {
    fn holds(self, count: u64) -> bool {
        self.min.is_none_or(|min| min <= count) && self.max.is_none_or(|max| count <= max)
    }
}

impl Condition {
    /// Returns whether the rule called `rule` holds.
    pub(super) fn holds(&self, ask: &Ask, rule: &str) -> bool {
        let signals = &ask.signals;
        self.tokens.holds(ask.request.input_tokens.0)
            && self.characters.holds(signals.characters)
            && self.tags.is_subset(&ask.preferences.tags)
            && self.is_asked_by(signals)
            && self.time.as_ref().is_none_or(|window| window.holds(signals.arrived))
            && (self.languages.is_empty() || signals.language.is_some_and(|found| self.languages.contains(&found)))
            && (self.topics.is_empty() || self.topics.iter().any(|topic| has_topic(signals, topic)))
            && self.patterns(rule).all(|(name, _)| signals.matched.contains(&name))
    }

    /// Returns the names of its patterns that are found in a text.
    pub(super) fn observe(&self, text: &str, rule: &str) -> Vec<String> {
        self.patterns(rule).filter(|(_, pattern)| pattern.is_in(text)).map(|(name, _)| name).collect()
    }

    pub(super) fn needs(&self) -> Needs {
        Needs { scores: !self.topics.is_empty(), language: !self.languages.is_empty(), ..Needs::NOTHING }
    }

    fn is_asked_by(&self, signals: &Signals) -> bool {
        (self.keys.is_empty() || signals.key.as_ref().is_some_and(|key| self.keys.contains(key)))
            && (self.tenants.is_empty() || signals.tenant.as_ref().is_some_and(|who| self.tenants.contains(who)))
    }

    fn patterns(&self, rule: &str) -> impl Iterator<Item = (String, &Pattern)> {
        let keywords = self.keywords.iter().map(move |pattern| (format!("{rule}.keywords"), pattern));
        keywords.chain(self.regex.iter().map(move |pattern| (format!("{rule}.regex"), pattern)))
    }
}

fn has_topic(signals: &Signals, (name, least): &(String, Probability)) -> bool {
    signals.topics.iter().any(|topic| *topic.name == **name && topic.share >= *least)
}
