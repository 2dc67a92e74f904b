//! What stands behind the names that answers are cached under.

use std::collections::BTreeMap;

use super::names::Target;
use crate::{
    cache::{self, Origin},
    domain::ModelName,
};

/// The deployment behind each model's name.
#[derive(Clone, Debug)]
pub struct Origins {
    each: BTreeMap<ModelName, Origin>,
    all: Origin,
}

impl Origins {
    /// Returns the origins of these models; the words come from the configuration.
    pub fn new(models: impl IntoIterator<Item = (ModelName, Vec<String>)>) -> Self {
        let origin = |(name, words): (ModelName, Vec<String>)| (name, Origin::of(words.iter().map(String::as_str)));
        let each: BTreeMap<ModelName, Origin> = models.into_iter().map(origin).collect();
        let named = each.iter().flat_map(|(name, origin)| [Origin::of([name.as_str()]), *origin]);
        let all = Origin::joined(named);
        Self { each, all }
    }

    /// Returns who answers, for the key. A policy may ask any model, for probes, judges and fallbacks too, so all of them count.
    pub(super) fn of<'t>(&self, target: &'t Target) -> cache::Target<'t> {
        match target {
            Target::Policy(policy) => cache::Target::Policy {
                name: &policy.name,
                version: policy.version,
                origin: Origin::joined([policy.fingerprint, self.all]),
            },
            Target::Model(name) => {
                cache::Target::Model { name, origin: self.each.get(name).copied().unwrap_or(self.all) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(url: &str) -> Origins {
        let models = [("one", url), ("two", "elsewhere")];
        Origins::new(models.map(|(name, url)| (ModelName::parse(name).unwrap(), vec![url.to_owned()])))
    }

    fn of(origins: &Origins, name: &str) -> Origin {
        match origins.of(&Target::Model(ModelName::parse(name).unwrap())) {
            cache::Target::Model { origin, .. } | cache::Target::Policy { origin, .. } => origin,
        }
    }

    #[test]
    fn another_deployment_under_a_name_changes_that_name_and_every_policy() {
        let (here, there) = (origins("here"), origins("there"));

        assert_ne!(of(&here, "one"), of(&there, "one"));
        assert_eq!(of(&here, "two"), of(&there, "two"));
        assert_ne!(here.all, there.all);
    }
}
