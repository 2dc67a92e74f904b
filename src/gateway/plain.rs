//! Embeddings and text completions: one named model, no decision.

use std::sync::Arc;

use tracing::Instrument;

use super::{
    Answer, Gateway, Refusal, RequestContext, facts,
    failure::Failure,
    names::Target,
    passing::{Body, Extras},
    run::Run,
    stream::Source,
};
use crate::{
    domain::{Endpoint, Leg, ModelKind, ModelName, NanoUsd, Plan, Priority, Reply, RequestFacts},
    error::Code,
    execute::{Job, Operation},
    routing::estimate,
    wire::{embeddings::EmbeddingsCall, text::TextCompletionCall},
};

impl Gateway {
    /// Answers an embeddings request.
    ///
    /// # Errors
    /// There is no answer; the refusal says why.
    pub async fn embed(&self, call: EmbeddingsCall, context: RequestContext) -> Result<Answer, Refusal> {
        let mut run = Run::open(&self.parts.books, Endpoint::Embeddings, (&call.model, false), context);
        let facts = facts::of_embeddings(&call);
        let requested = call.model.clone();
        let (span, operation) = (run.span(), Operation::Embed(Arc::new(call)));
        let body = self.answer_plain(&mut run, &requested, &facts, operation).instrument(span).await;
        self.pass_plain(run, body, false)
    }

    /// Answers a text completion request.
    ///
    /// # Errors
    /// There is no answer; the refusal says why.
    pub async fn complete(&self, call: TextCompletionCall, context: RequestContext) -> Result<Answer, Refusal> {
        let wants_usage = call.wants_usage;
        let mut run = Run::open(&self.parts.books, Endpoint::Completions, (&call.model, call.is_streaming), context);
        let facts = facts::of_text(&call);
        let requested = call.model.clone();
        let (span, operation) = (run.span(), Operation::Text(Arc::new(call)));
        let body = self.answer_plain(&mut run, &requested, &facts, operation).instrument(span).await;
        self.pass_plain(run, body, wants_usage)
    }

    async fn answer_plain(
        &self,
        run: &mut Run,
        requested: &str,
        facts: &RequestFacts,
        operation: Operation,
    ) -> Result<Body, Failure> {
        let policies = self.parts.policies.current();
        let target = self.resolver(&policies).resolve(requested)?;
        let Target::Model(model) = &target else {
            let message = "Policies route chat requests only; name a model (GET /v1/models lists them).";
            return Err(Failure::new(Code::InvalidRequest, message).at("model"));
        };
        if let Operation::Embed(_) = operation {
            target.must_be(ModelKind::Embedding, &self.parts.models)?;
        }
        self.admit(run, &target, facts)?;
        let upper = self.upper_cost(model, facts);
        run.reserve(upper)?;
        let plan = Plan::Single { leg: Leg { model: model.clone() }, fallbacks: Vec::new() };
        let job = Job { upper_costs: vec![(model.clone(), upper)], ..self.plain_job(run, facts, operation) };
        let opened = self.parts.executor.run(plan, job).await?;
        run.note_model(&opened.model);
        Ok(match opened.reply {
            Reply::Whole(whole) => Body::Whole(whole),
            Reply::Stream(events) => Body::Events(Source::Open(events)),
        })
    }

    fn upper_cost(&self, model: &ModelName, facts: &RequestFacts) -> NanoUsd {
        let model = self.parts.models.get(model.as_str());
        model.map_or(NanoUsd::ZERO, |model| estimate(&model.facts, facts, None, None).cost_upper)
    }

    fn plain_job(&self, run: &Run, facts: &RequestFacts, operation: Operation) -> Job {
        let context = run.context();
        Job {
            operation,
            request: context.request,
            tenant: context.principal.tenant.clone(),
            key: context.principal.key.clone(),
            arrived: context.arrived,
            deadline: context.arrived + self.parts.settings.request_timeout,
            journal: run.journal(),
            max_cost: context.preferences.max_cost,
            upper_costs: Vec::new(),
            input_tokens: facts.input_tokens,
            seed: run.seed(),
            timeouts: None,
            priority: Priority::Foreground,
            draft: None,
            drafter: None,
        }
    }

    fn pass_plain(&self, run: Run, body: Result<Body, Failure>, wants_usage: bool) -> Result<Answer, Refusal> {
        match body {
            Ok(body) => self.pass(run, body, Extras::default(), wants_usage),
            Err(failure) => Err(run.refuse(failure)),
        }
    }
}
