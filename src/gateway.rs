//! The request flow, one line per stage; the only file that knows their order.
//!
//! [`Gateway::chat`] reads top to bottom like the list in `lib.rs`. What a request gathers on its way (record, permit, times)
//! lives in one `run::Run`; whatever happens, dropping it books the request exactly once. A stream takes the run with it
//! (`stream`), behind the events, so that an attempt is booked before its request.

mod answer;
mod asking;
mod cached;
mod candidates;
mod engines;
mod explain;
mod facts;
mod failure;
mod flight;
mod grading;
mod health;
mod hint;
mod judging;
mod keep;
mod listing;
mod names;
mod near;
mod origins;
mod passing;
mod plain;
mod quotas;
mod renewal;
mod run;
mod stored;
mod stream;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::Instant;
use tracing::Instrument;

pub use self::{
    answer::{Answer, Bill, Check, Health, Listing, Passage, Refusal, RequestContext},
    names::{AUTO, Names},
    near::Meanings,
    origins::Origins,
    stored::{Store, Stored, Wanted},
};
use self::{
    asking::Order,
    cached::LookUp,
    candidates::Question,
    failure::Failure,
    flight::Flights,
    judging::JudgeSpending,
    names::{Resolver, Target},
    near::{Meaning, Near},
    passing::{Body, Extras},
    quotas::Quotas,
    renewal::Renewals,
    run::Run,
};
use crate::{
    accounting::{Bookkeeping, Ledger},
    admission::{Admission, Demand},
    cache::CacheStore,
    config::RecordingSettings,
    domain::{Ask, Decision, Endpoint, ModelKind, ModelName, PromptView, RequestFacts, Scores, ScoresUnavailable},
    execute::{Executor, Models},
    feedback::{Experience, Start},
    policy::{Policies, Policy, PolicySet},
    runtime::{Stop, Tasks},
    scoring::{Live, Scorer, views},
    telemetry::Telemetry,
    wire::chat::ChatCall,
};

/// What the gateway is made of; `app.rs` puts it together.
pub struct Parts {
    /// Routing policies.
    pub policies: Arc<Policies>,
    /// Every model that can be asked.
    pub models: Arc<Models>,
    /// Runs plans.
    pub executor: Arc<Executor>,
    /// The router model; `None` routes without scores.
    pub scorer: Option<Arc<Live>>,
    /// The exact cache.
    pub cache: Arc<dyn CacheStore>,
    /// The semantic cache.
    pub meanings: Arc<Meanings>,
    /// Who may go in.
    pub admission: Arc<Admission>,
    /// Records.
    pub books: Arc<Bookkeeping>,
    /// Keeps grades and prompts; `None` when nothing is kept.
    pub ledger: Option<Arc<Ledger>>,
    /// What policies have learned from grades.
    pub experience: Arc<Experience>,
    /// Counts grades.
    pub telemetry: Arc<Telemetry>,
    /// Further lines of `/readyz`, for parts that the gateway does not know.
    pub checks: Vec<CheckUp>,
    /// Background tasks.
    pub tasks: Tasks,
    /// Whether the program is going down.
    pub stop: Stop,
    /// Fixed settings.
    pub settings: Settings,
}

/// Looks at one part of the program for `/readyz`. It must not wait.
pub type CheckUp = Box<dyn Fn() -> Check + Send + Sync>;

/// What does not change while the program runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names and aliases.
    pub names: Names,
    /// Who serves each model: a provider's name, `local`, `simulated`, or `pointsman`.
    pub owners: BTreeMap<ModelName, String>,
    /// Longest time for scoring one prompt.
    pub score_deadline: Duration,
    /// Time for a whole request when neither policy nor model says less.
    pub request_timeout: Duration,
    /// How long a stream's head waits for its first event, so that fallbacks can still change it.
    pub head_wait: Duration,
    /// Whose words are kept for training.
    pub recording: RecordingSettings,
    /// Which deployment stands behind each model's name.
    pub origins: Origins,
    /// Largest answer that is kept for the cache while it streams.
    pub cache_entry_bytes: usize,
}

/// Takes a request through every stage.
pub struct Gateway {
    parts: Parts,
    quotas: Quotas,
    flights: Flights,
    judges: JudgeSpending,
    renewals: Renewals,
    /// For what goes on beside the requests.
    me: Weak<Self>,
}

impl Gateway {
    /// Returns a gateway of these parts.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            parts,
            quotas: Quotas::default(),
            flights: Flights::default(),
            judges: JudgeSpending::default(),
            renewals: Renewals::default(),
            me: me.clone(),
        })
    }

    /// Answers a chat request.
    ///
    /// # Errors
    /// There is no answer; the refusal says why and how far the request came.
    ///
    /// # Cancel safety
    /// Dropping the future cancels what runs upstream and books the request as abandoned by its client.
    pub async fn chat(&self, call: ChatCall, context: RequestContext) -> Result<Answer, Refusal> {
        let wants_usage = call.wants_usage;
        let mut run = Run::open(&self.parts.books, Endpoint::Chat, (&call.model, call.is_streaming), context);
        let span = run.span();
        match self.answer_chat(&mut run, Arc::new(call)).instrument(span).await {
            Ok((body, extras)) => self.pass(run, body, extras, wants_usage),
            Err(failure) => Err(run.refuse(failure)),
        }
    }

    /// Books a request that was refused before its body could be understood; its record names no model.
    pub fn refuse_unread(&self, endpoint: Endpoint, context: RequestContext, refusal: Refusal) -> Refusal {
        let run = Run::open(&self.parts.books, endpoint, ("", false), context);
        run.refuse(Failure::from(refusal))
    }

    async fn answer_chat(&self, run: &mut Run, call: Arc<ChatCall>) -> Result<(Body, Extras), Failure> {
        let policies = self.parts.policies.current();
        let target = self.resolver(&policies).resolve(&call.model)?;
        target.must_be(ModelKind::Chat, &self.parts.models)?;
        run.note_target(&target);
        let facts = facts::of_chat(&call);
        self.admit(run, &target, &facts)?;
        let mut duty = loop {
            match self.look_up(run, &target, &call).await {
                LookUp::Hit(hit) => return self.answer_again(run, &target, &hit, &call).await,
                LookUp::Miss(duty) => break duty,
                LookUp::Join(reader) => {
                    // Another's time may be over before this one's: then it is looked up again.
                    if let Some(answered) = self.answer_along(run, &target, reader, &call).await? {
                        return Ok(answered);
                    }
                }
            }
        };
        let prompt = facts::prompt_view(&call, facts.input_tokens);
        let scores = self.score(run, &target, &prompt).await;
        let aid = match self.look_near(run, &target, &call, Meaning { scores: &scores, duty: &mut duty }).await {
            Near::Answer(hit) => return self.answer_again(run, &target, &hit, &call).await,
            Near::Miss(aid) => aid,
        };
        let (decision, ask) = self.decide(run, &target, (facts, &prompt), &scores)?;
        let explanation = run.wants_explanation().then(|| explain::field(&decision, &ask)).transpose()?;
        let body = self.execute(run, &target, Order { plan: decision.plan, ask: &ask, duty, aid }, &call).await?;
        Ok((body, Extras { explanation }))
    }

    fn resolver<'a>(&'a self, policies: &'a PolicySet) -> Resolver<'a> {
        Resolver { names: &self.parts.settings.names, policies, models: &self.parts.models }
    }

    fn admit(&self, run: &mut Run, target: &Target, facts: &RequestFacts) -> Result<(), Failure> {
        // What the request may cost is reserved once the decision has made it known; an answer from the cache costs nothing.
        let demand = Demand { tokens: facts.input_tokens, ..Demand::default() };
        let principal = &run.context().principal;
        match self.parts.admission.admit(principal, target.policy_name(), &target.limits(), demand) {
            Ok(permit) => run.note_permit(permit),
            Err(error) => {
                run.note_rates(*error.rates);
                return Err(error.into());
            }
        }
        Ok(())
    }

    async fn score(&self, run: &mut Run, target: &Target, prompt: &PromptView) -> Result<Scores, ScoresUnavailable> {
        if !target.needs().scores {
            return Err(ScoresUnavailable::Off);
        }
        let started = Instant::now();
        let scores = self.scores(target, prompt).await;
        run.note_score(started.elapsed(), scores.as_ref().err().copied());
        scores
    }

    fn scorer(&self) -> Option<Arc<dyn Scorer>> {
        self.parts.scorer.as_ref().map(|live| live.current())
    }

    async fn scores(&self, target: &Target, prompt: &PromptView) -> Result<Scores, ScoresUnavailable> {
        let Some(scorer) = self.scorer() else {
            return Err(ScoresUnavailable::Off);
        };
        let deadline = self.parts.settings.score_deadline;
        if target.is_robust() {
            return views::score(&*scorer, prompt, deadline).await;
        }
        scorer.score(prompt, deadline).await
    }

    fn decide(
        &self,
        run: &mut Run,
        target: &Target,
        (facts, prompt): (RequestFacts, &PromptView),
        scores: &Result<Scores, ScoresUnavailable>,
    ) -> Result<(Decision, Ask), Failure> {
        let started = Instant::now();
        let withheld = self.withheld(target, run.context());
        let question = Question {
            target,
            facts,
            prompt,
            context: run.context(),
            seed: run.seed(),
            scores,
            scorer: self.scorer(),
            withheld,
        };
        let ask = self.ask(question);
        let decision = candidates::decide(target, &ask)?;
        self.note_quota(target, &ask, &decision);
        candidates::learn(target, &ask);
        run.note_decision(ask.clone(), &decision, started.elapsed());
        self.record_prompt(run, prompt);
        run.reserve(candidates::worst_cost(&decision, &ask))?;
        Ok((decision, ask))
    }

    /// Returns the ask, with what graded traffic says where the strategy wants to know.
    fn ask(&self, question: Question<'_>) -> Ask {
        let (target, scorer) = (question.target, question.scorer.clone());
        let mut ask = candidates::ask(&self.parts.models, question);
        if let Target::Policy(policy) = target
            && let Some(learner) = policy.strategy.learner()
        {
            self.begin(policy, scorer.as_deref(), &ask);
            self.parts.experience.tell(&policy.name, learner, &mut ask);
        }
        ask
    }

    /// Lets what a policy learns start from the artifact's training prompts.
    fn begin(&self, policy: &Policy, scorer: Option<&dyn Scorer>, ask: &Ask) {
        let (Some(scorer), Some(artifact)) = (scorer, &ask.signals.artifact) else { return };
        let start = || {
            let asks = candidates::training_asks(&self.parts.models, policy, scorer, artifact);
            Start::of(Arc::clone(artifact), &asks)
        };
        self.parts.experience.begin(&policy.name, artifact, start);
    }

    /// Returns the models of which the key has used up its share.
    fn withheld(&self, target: &Target, context: &RequestContext) -> BTreeSet<ModelName> {
        let Target::Policy(policy) = target else { return BTreeSet::new() };
        self.quotas.withheld(policy, &context.principal.key, context.request.made_at())
    }

    fn note_quota(&self, target: &Target, ask: &Ask, decision: &Decision) {
        let (Target::Policy(policy), Some(key)) = (target, &ask.signals.key) else { return };
        let chosen = decision.plan.legs().next().map(|leg| &leg.model);
        self.quotas.note(policy, key, ask.signals.arrived, chosen);
    }
}
