//! From the document of cascade routing to the strategy.

use super::{
    Compiler,
    cascade::Test,
    strategy::{Built, Scope, shared, weight},
};
use crate::{
    config::path::Path,
    domain::{AnswerEvidence, DeferralTest, Leg},
    policy::document::{CascadeRoutingDocument, DeferDocument, EvidenceDocument},
    routing::{CascadeRouting, CascadeRoutingParameters, ParameterError},
};

impl Compiler<'_, '_> {
    /// Returns `None` when a name or a test is at fault, which is then in the report.
    pub(super) fn cascade_routing(
        &mut self,
        document: &CascadeRoutingDocument,
        scope: &Scope,
        at: &Path,
    ) -> Option<Built> {
        let evidence = document.evidence.iter().enumerate();
        let evidence: Vec<_> =
            evidence.map(|(index, one)| self.evidence(one, scope, &at.key("evidence").index(index))).collect();
        let reject = document.reject.iter().enumerate();
        let reject: Vec<_> =
            reject.map(|(index, test)| self.rejecting(test, scope, &at.key("reject").index(index))).collect();
        let parameters = CascadeRoutingParameters {
            constraints: scope.constraints.clone(),
            cost_weight: weight(document.cost),
            most_legs: document.most_legs,
            correlation: document.correlation,
            evidence: evidence.into_iter().collect::<Option<Vec<_>>>()?,
            reject: reject.into_iter().collect::<Option<Vec<_>>>()?,
            max_fallbacks: scope.max_fallbacks,
        };
        Some(CascadeRouting::new(parameters).map(shared).map_err(|error| {
            let at = place(&error, at);
            (error, at)
        }))
    }

    fn evidence(&mut self, document: &EvidenceDocument, scope: &Scope, at: &Path) -> Option<AnswerEvidence> {
        match document {
            EvidenceDocument::Logprob(logprob) => {
                let at = at.key("logprob");
                if logprob.low >= logprob.high {
                    self.report
                        .add(&at, format!("low must be below high, but {} is not below {}", logprob.low, logprob.high));
                    return None;
                }
                Some(AnswerEvidence::Logprob { low: logprob.low, high: logprob.high, noise: logprob.noise })
            }
            EvidenceDocument::Judge(judge) => {
                let model = self.chosen(&judge.model, &scope.candidates, &at.key("judge").key("model"))?;
                Some(AnswerEvidence::Judge { leg: Leg { model }, noise: judge.noise })
            }
        }
    }

    fn rejecting(&mut self, test: &DeferDocument, scope: &Scope, at: &Path) -> Option<DeferralTest> {
        let asks_a_model = matches!(
            test,
            DeferDocument::Prior(_)
                | DeferDocument::Agreement(_)
                | DeferDocument::Judge(_)
                | DeferDocument::SelfCheck(_)
        );
        if asks_a_model {
            let help = "put a judge into \"evidence\"; what the router predicts counts anyway";
            self.report.add_with_help(at, "it is no test of an answer alone", help);
            return None;
        }
        match self.test(("", test), scope, at)? {
            Test::Of(test) => Some(test),
            Test::Prior(_) => None,
        }
    }
}

/// Returns where a parameter stands.
fn place(error: &ParameterError, at: &Path) -> Path {
    match error {
        ParameterError::OutOfBounds { name, .. }
        | ParameterError::BadCount { name, .. }
        | ParameterError::NotAShare { name, .. } => at.key(name.trim_end_matches("_weight")),
        _ => at.clone(),
    }
}
