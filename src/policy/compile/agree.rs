//! From the document of probe and agree to the strategy.

use std::sync::Arc;

use super::{
    Compiler,
    strategy::{Built, Scope, shared, weight},
};
use crate::{
    config::path::Path,
    policy::document::AgreeDocument,
    routing::{AgreeParameters, Agreeing, ParameterError},
};

/// Fewest members that can agree.
const FEWEST: usize = 2;

impl Compiler<'_, '_> {
    /// Returns `None` when the model or an extractor is at fault, which is then in the report.
    pub(super) fn agree(&mut self, document: &AgreeDocument, scope: &Scope, at: &Path) -> Option<Built> {
        let extract = self.extractor(&document.extract, &at.key("extract"));
        let model_at = at.key("model");
        let model = match self.catalogue.agreement(&document.model) {
            Some(Ok(model)) => Arc::clone(model),
            Some(Err(fault)) => {
                self.report.add(&model_at, fault.clone());
                return None;
            }
            None => {
                let known: Vec<&str> = self.catalogue.agreements().collect();
                let help = match known.is_empty() {
                    true => "fit one with \"pointsman plans fit\" and name its file under \"agreements\"".to_owned(),
                    false => format!("known: {}", known.join(", ")),
                };
                let message = format!("the configuration has no agreement model \"{}\"", document.model);
                self.report.add_with_help(&model_at, message, help);
                return None;
            }
        };
        let seated = model.members().iter().filter(|member| scope.candidates.contains(&member.model)).count();
        if seated < FEWEST {
            let members: Vec<&str> = model.members().iter().map(|member| member.model.as_str()).collect();
            let message = format!("{seated} of its members are candidates, and {FEWEST} must be");
            self.report.add_with_help(&model_at, message, format!("its members: {}", members.join(", ")));
            return None;
        }
        let parameters = AgreeParameters {
            constraints: scope.constraints.clone(),
            model,
            name: document.model.clone(),
            extract: extract?,
            cost_weight: weight(document.cost),
            latency_weight: weight(document.latency),
            max_fallbacks: scope.max_fallbacks,
        };
        Some(Agreeing::new(parameters).map(shared).map_err(|error| {
            let at = place(&error, at);
            (error, at)
        }))
    }
}

/// Returns where a parameter stands.
fn place(error: &ParameterError, at: &Path) -> Path {
    match error {
        ParameterError::OutOfBounds { name, .. } => at.key(name.trim_end_matches("_weight")),
        _ => at.clone(),
    }
}
