//! Which stored answers are meant.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{CacheKey, CachedAnswer};
use crate::domain::{ModelName, PolicyName, Tag, TenantId};

/// Conditions on stored answers; those that are given must all hold, and without any every answer is meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// The answer to this request.
    pub key: Option<CacheKey>,
    /// Stored by this tenant.
    pub tenant: Option<TenantId>,
    /// Marked with this tag.
    pub tag: Option<Tag>,
    /// Given by this model.
    pub model: Option<ModelName>,
    /// Chosen by this policy.
    pub policy: Option<PolicyName>,
    /// Stored at least this long ago.
    pub older_than: Option<Duration>,
    /// Stored less than this long ago.
    pub newer_than: Option<Duration>,
    /// Saying this, in whatever case. The answer's JSON is searched, so a text with escapes is not found.
    pub containing: Option<String>,
}

impl Filter {
    /// Returns whether it has no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether an answer meets every condition.
    pub fn fits(&self, answer: &CachedAnswer, now: Timestamp) -> bool {
        let found = &answer.provenance;
        let age = now.duration_since(found.stored);
        is_met(self.key.as_ref(), |key| found.key == *key)
            && is_met(self.tenant.as_ref(), |tenant| found.tenant == *tenant)
            && is_met(self.tag.as_ref(), |tag| found.tags.contains(tag))
            && is_met(self.model.as_ref(), |model| answer.model == *model)
            && is_met(self.policy.as_ref(), |policy| found.policy.as_ref() == Some(policy))
            && is_met(self.older_than, |least| age >= signed(least))
            && is_met(self.newer_than, |most| age < signed(most))
            && is_met(self.containing.as_ref(), |text| says(answer, text))
    }
}

fn is_met<T>(condition: Option<T>, holds: impl FnOnce(T) -> bool) -> bool {
    condition.is_none_or(holds)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn says(answer: &CachedAnswer, text: &str) -> bool {
    String::from_utf8_lossy(&answer.reply.body).to_lowercase().contains(&text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::contract;

    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(2)
    }

    fn fits(filter: &Filter) -> bool {
        filter.fits(&contract::answer(10), now())
    }

    #[test]
    fn every_condition_must_hold() {
        let tenant = |name| TenantId::parse(name).ok();
        let mine = Filter { tenant: tenant("acme"), ..Filter::default() };

        assert!(fits(&Filter::default()) && fits(&mine));
        assert!(!fits(&Filter { tenant: tenant("rival"), ..Filter::default() }));
        assert!(fits(&Filter { tag: Some(Tag("docs".to_owned())), ..mine.clone() }));
        assert!(!fits(&Filter { tag: Some(Tag("code".to_owned())), ..mine.clone() }));
        assert!(fits(&Filter { model: ModelName::parse("m").ok(), ..mine.clone() }));
        assert!(!fits(&Filter { policy: PolicyName::parse("p").ok(), ..mine.clone() }));
        assert!(!fits(&Filter { key: Some(CacheKey([9; 32])), ..mine }));
    }

    #[test]
    fn age_counts_from_when_it_was_stored() {
        let older = |than| fits(&Filter { older_than: Some(than), ..Filter::default() });
        let newer = |than| fits(&Filter { newer_than: Some(than), ..Filter::default() });

        assert!(older(HOUR) && older(2 * HOUR) && !older(3 * HOUR));
        assert!(!newer(2 * HOUR) && newer(3 * HOUR));
    }

    #[test]
    fn what_an_answer_says_is_found_in_any_case() {
        assert!(fits(&Filter { containing: Some("XXX".to_owned()), ..Filter::default() }));
        assert!(!fits(&Filter { containing: Some("y".to_owned()), ..Filter::default() }));
    }
}
