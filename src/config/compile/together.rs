//! Local models that decode together.

use super::{Compiler, models::Way};
use crate::{
    config::{
        document::{Isolation, ModelDocument, TogetherDocument},
        path::Path,
        settings::{ModelSource, TogetherSettings},
    },
    domain::ModelName,
};

impl Compiler<'_, '_> {
    /// Returns the way to several models that decode together.
    pub(super) fn together(&mut self, together: &TogetherDocument, at: &Path) -> Way {
        let settings = match together {
            TogetherDocument { contrastive: Some(given), proxy: None, gated: None } => {
                let at = at.key("contrastive");
                let members = [("large", &given.large), ("small", &given.small)];
                self.members(members, &at).map(|[large, small]| TogetherSettings::Contrastive {
                    large,
                    small,
                    alpha: given.alpha,
                    plausibility: given.plausibility,
                })
            }
            TogetherDocument { contrastive: None, proxy: Some(given), gated: None } => {
                let members = [("base", &given.base), ("expert", &given.expert), ("anti_expert", &given.anti_expert)];
                self.members(members, &at.key("proxy")).map(|[base, expert, anti_expert]| TogetherSettings::Proxy {
                    base,
                    expert,
                    anti_expert,
                    alpha: given.alpha,
                })
            }
            TogetherDocument { contrastive: None, proxy: None, gated: Some(given) } => {
                let members = [("small", &given.small), ("large", &given.large)];
                self.members(members, &at.key("gated")).map(|[small, large]| TogetherSettings::Gated {
                    small,
                    large,
                    entropy: given.entropy,
                    budget: given.budget,
                })
            }
            _ => {
                let help = "give exactly one of \"contrastive\", \"proxy\" and \"gated\"";
                self.report.add_with_help(at, "it is not clear how the models decode together", help);
                None
            }
        };
        settings.map_or(Way::Refused, |settings| Way::Reached(ModelSource::Together(settings)))
    }

    /// Returns the names of members that can decode together; faults are told at their keys.
    fn members<const N: usize>(&mut self, given: [(&str, &String); N], at: &Path) -> Option<[ModelName; N]> {
        let names: Vec<Option<ModelName>> = given.iter().map(|(key, name)| self.member(name, &at.key(key))).collect();
        for (place, (key, name)) in given.iter().enumerate() {
            if given.iter().take(place).any(|(_, other)| other == name) {
                self.report.add(&at.key(key), format!("the model \"{name}\" decodes with itself"));
            }
        }
        names.into_iter().collect::<Option<Vec<_>>>()?.try_into().ok()
    }

    fn member(&mut self, name: &str, at: &Path) -> Option<ModelName> {
        let is_fit = |model: &&ModelDocument| {
            let is_fit = |local: &crate::config::document::LocalDocument| {
                local.isolation == Isolation::Inside && local.replicas <= 1
            };
            model.local.as_ref().is_some_and(is_fit)
        };
        let document = self.document;
        if document.models.iter().filter(is_fit).any(|model| model.name == name) {
            return ModelName::parse(name).ok();
        }
        if document.models.iter().any(|model| model.name == name) {
            let help = "name a local model inside this process, with one replica";
            self.report.add_with_help(at, format!("\"{name}\" cannot decode with others"), help);
            return None;
        }
        let known = document.models.iter().filter(is_fit).map(|model| model.name.as_str());
        self.report.add_unknown(at, "local model", name, known);
        None
    }
}
