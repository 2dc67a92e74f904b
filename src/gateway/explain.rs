//! What would be done and why, without doing it.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{Gateway, Refusal, RequestContext, candidates, facts, failure::Failure, names::Target};
use crate::{
    domain::{Ask, Decision, NoRoute, ScoresUnavailable, Verdict},
    error::Code,
    routing::Explanation,
    wire::{
        chat::ChatCall,
        raw::{Edit, RawObject},
    },
};

impl Gateway {
    /// Explains how a chat request would be answered; calls nobody and books nothing. A request that no model can take is
    /// explained too.
    ///
    /// # Errors
    /// The request names an unknown model.
    pub async fn explain(&self, call: ChatCall, context: RequestContext) -> Result<Explanation, Refusal> {
        self.explanation(&call, &context).await.map_err(refusal)
    }

    async fn explanation(&self, call: &ChatCall, context: &RequestContext) -> Result<Explanation, Failure> {
        let policies = self.parts.policies.current();
        let target = self.resolver(&policies).resolve(&call.model)?;
        Ok(self.explain_target(&target, call, context).await)
    }

    /// Explains what this target would do with a chat request.
    pub(super) async fn explain_target(
        &self,
        target: &Target,
        call: &ChatCall,
        context: &RequestContext,
    ) -> Explanation {
        let facts = facts::of_chat(call);
        let prompt = facts::prompt_view(call, facts.input_tokens);
        let scores =
            if target.needs().scores { self.scores(target, &prompt).await } else { Err(ScoresUnavailable::Off) };
        let seed = context.request.seed();
        let withheld = self.withheld(target, context);
        let question = candidates::Question {
            target,
            facts,
            prompt: &prompt,
            context,
            seed,
            scores: &scores,
            scorer: self.scorer(),
            withheld,
        };
        let ask = self.ask(question);
        explained(target, &ask, candidates::decide(target, &ask))
    }
}

fn explained(target: &Target, ask: &Ask, decision: Result<Decision, NoRoute>) -> Explanation {
    match decision {
        Ok(decision) => Explanation::of(&decision, ask),
        Err(none) => {
            let (policy, policy_version) = match target {
                Target::Policy(policy) => (Some(policy.name.to_string()), policy.version),
                Target::Model(_) => (None, 0),
            };
            Explanation { policy, policy_version, ..Explanation::of_refusal(&none, ask) }
        }
    }
}

fn refusal(failure: Failure) -> Refusal {
    Refusal {
        code: failure.code,
        message: failure.message,
        param: failure.param,
        retry_after: failure.retry_after,
        passage: None,
    }
}

/// Returns the explanation of a decision as JSON for the `pointsman` field of an answer.
pub(super) fn field(decision: &Decision, ask: &Ask) -> Result<Box<RawValue>, Failure> {
    as_field(&Explanation::of(decision, ask))
}

/// Returns an explanation as JSON for the `pointsman` field of an answer.
pub(super) fn as_field(explanation: &Explanation) -> Result<Box<RawValue>, Failure> {
    let failed = |_| Failure::new(Code::Internal, "The decision could not be written as JSON.");
    explanation.to_json().map_err(failed)
}

/// Returns an explanation with what its plan decided about its legs while it ran; a plan that decided nothing leaves it as it is.
pub(super) fn with_verdicts(explanation: Box<RawValue>, verdicts: &[Verdict]) -> Box<RawValue> {
    if verdicts.is_empty() {
        return explanation;
    }
    spliced(&explanation, verdicts).unwrap_or(explanation)
}

fn spliced(explanation: &RawValue, verdicts: &[Verdict]) -> Option<Box<RawValue>> {
    let verdicts = serde_json::to_string(verdicts).ok()?;
    let object = RawObject::parse(Bytes::copy_from_slice(explanation.get().as_bytes()), usize::MAX).ok()?;
    let text = String::from_utf8(object.with(&[Edit::Set("verdicts", &verdicts)]).into()).ok()?;
    RawValue::from_string(text).ok()
}
