//! What `/v1/models` lists: policies as `auto:<name>`, then aliases, then models.

use super::{Gateway, answer::Listing, names::AUTO};
use crate::domain::{ModelFacts, Principal};

impl Gateway {
    /// Returns what `principal` may put into `model`.
    pub fn models(&self, principal: &Principal) -> Vec<Listing> {
        let policies = self.parts.policies.current();
        let may = |name| principal.policies.is_empty() || principal.policies.contains(name);
        let allowed = policies.policies.keys().filter(|name| may(name));
        let mut listed: Vec<Listing> = allowed.map(|name| ours(format!("{AUTO}:{name}"))).collect();
        if may(&self.parts.settings.names.default_policy) {
            listed.insert(0, ours(AUTO.to_owned()));
        }
        if principal.policies.is_empty() {
            listed.extend(self.parts.settings.names.aliases.keys().map(|alias| ours(alias.clone())));
            listed.extend(self.parts.models.iter().map(|model| self.listing(&model.facts)));
        }
        listed
    }

    fn listing(&self, facts: &ModelFacts) -> Listing {
        let released = facts.released.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
        Listing {
            name: facts.name.to_string(),
            owner: self.parts.settings.owners.get(&facts.name).cloned().unwrap_or_default(),
            created: released.map_or(0, |date| date.timestamp().as_second()),
        }
    }
}

fn ours(name: String) -> Listing {
    Listing { name, owner: "pointsman".to_owned(), created: 0 }
}
