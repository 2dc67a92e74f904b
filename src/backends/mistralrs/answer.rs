//! One answer, choice after choice: the same parts for streams and whole replies.

use std::sync::Arc;

use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use super::{
    drawing::{Entry, Finish, Making, Step},
    engine::{EngineError, Running},
    health::Health,
    helping::{Help, Seats},
    loaded::Loaded,
    queue::{Caller, Queue},
    reply::{Choice, Head},
    sampler::Sampler,
    text::Text,
    tools::{Call, Reading, Said, Tooling},
};
use crate::{
    domain::{BackendError, Event, EventStream, ModelCall, TokenSignal, Tokens, Usage, WholeReply},
    error::Code,
    wire::parse::ParseError,
};

/// Restarts of the engine for one choice. A request that kills it twice would kill it again, at everyone's cost.
const MOST_RESTARTS: u32 = 1;

/// What an answer is made of, in order.
#[derive(Debug)]
enum Part {
    Role,
    Text(String, Option<Entry>),
    /// With its place among the calls of its choice.
    Call(usize, Call),
    Finish(Finish),
    Usage(Usage),
}

/// What answers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) queue: Arc<Queue>,
    pub(super) health: Arc<Health>,
}

/// A running answer. Dropping it ends the sequence at its next token and gives the turn back.
pub(super) struct Answer {
    loaded: Arc<Loaded>,
    call: ModelCall,
    shared: Shared,
    seats: Option<Seats>,
    help: Option<Help>,
    head: Head,
    started: Instant,
    running: Option<Running>,
    choice: u32,
    next: Vec<Part>,
    usage: Usage,
    /// Of tokens of the first choice that no event has told of.
    signals: Vec<TokenSignal>,
    tooling: Option<Arc<Tooling>>,
    /// Of the running choice.
    reading: Option<Reading>,
    /// Calls of the running choice.
    calls: usize,
}

impl Answer {
    /// Starts an answer and waits until its prompt is read.
    ///
    /// # Errors
    /// The model refused the request, failed or was silent for too long.
    pub(super) async fn begin(
        loaded: Arc<Loaded>,
        call: ModelCall,
        shared: Shared,
        (seats, help): (Seats, Option<Help>),
        head: Head,
    ) -> Result<Self, BackendError> {
        let started = Instant::now();
        let (running, choice, next, usage, signals) = (None, 0, Vec::new(), Usage::default(), Vec::new());
        let seats = Some(seats);
        let tooling = Tooling::read(&call.chat).map_err(refused)?;
        let mut answer = Self {
            loaded,
            call,
            shared,
            seats,
            help,
            head,
            started,
            running,
            choice,
            next,
            usage,
            signals,
            tooling,
            reading: None,
            calls: 0,
        };
        answer.begin_choice().await?;
        Ok(answer)
    }

    /// Returns the rest as a stream.
    pub(super) fn into_stream(self) -> EventStream {
        Box::pin(stream::unfold(Some(self), |answer| async move {
            let mut answer = answer?;
            match answer.next_event().await {
                Ok(event) => event.map(|event| (Ok(event), Some(answer))),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    /// Returns the rest as a whole.
    ///
    /// # Errors
    /// The model failed or was silent for too long.
    pub(super) async fn into_whole(mut self) -> Result<WholeReply, BackendError> {
        let mut choices = Vec::new();
        while let Some((_, part)) = self.next_part().await? {
            match part {
                Part::Role => choices.push(self.empty_choice()),
                Part::Usage(_) => {}
                Part::Text(..) | Part::Call(..) | Part::Finish(_) => {
                    if let Some(choice) = choices.last_mut() {
                        choice.take(part);
                    }
                }
            }
        }
        let signals = std::mem::take(&mut self.signals);
        Ok(WholeReply { signals, ..self.head.whole(&choices, self.usage) })
    }

    fn empty_choice(&self) -> Choice {
        Choice { entries: self.call.chat.wants_logprobs.then(Vec::new), ..Choice::default() }
    }

    async fn next_event(&mut self) -> Result<Option<Event>, BackendError> {
        let Some((index, part)) = self.next_part().await? else { return Ok(None) };
        Ok(Some(match part {
            Part::Role => self.head.role(index),
            Part::Text(text, entry) => {
                let event = self.head.content(index, &text, entry.as_ref());
                self.with_signals(event)
            }
            Part::Call(place, call) => {
                let event = self.head.call(index, place, &call);
                self.with_signals(event)
            }
            Part::Finish(finish) => {
                let event = self.head.finish(index, finish);
                self.with_signals(event)
            }
            Part::Usage(usage) => self.head.usage(usage),
        }))
    }

    /// Signals travel with the first event after their tokens, before it is shown.
    fn with_signals(&mut self, event: Event) -> Event {
        Event { signals: std::mem::take(&mut self.signals), ..event }
    }

    /// Returns the next part and the choice it belongs to; `None` after the usage.
    async fn next_part(&mut self) -> Result<Option<(u32, Part)>, BackendError> {
        loop {
            let choice = self.choice;
            if let Some(part) = self.next.pop() {
                if matches!(part, Part::Finish(_)) {
                    self.choice += 1;
                }
                return Ok(Some((choice, part)));
            }
            if self.running.is_some() {
                self.advance().await?;
            } else if choice < self.call.chat.choices {
                self.begin_choice().await?;
            } else if choice == self.call.chat.choices {
                self.choice += 1;
                return Ok(Some((choice, Part::Usage(self.usage))));
            } else {
                return Ok(None);
            }
        }
    }

    /// Takes one step of the running choice; parts come to `next` last first.
    async fn advance(&mut self) -> Result<(), BackendError> {
        match self.step(Instant::now() + self.call.context.timeouts.idle).await? {
            Step::Token { text, entry, signal } => {
                self.signals.extend((self.choice == 0).then_some(signal));
                let said = self.read(&text, false);
                self.push_said(said, entry);
            }
            Step::Ended { finish, text, tokens } => {
                self.usage.output += Tokens(tokens);
                self.running = None;
                let said = self.read(&text, true);
                let has_calls = self.reading.as_ref().is_some_and(Reading::has_calls);
                let is_called = has_calls && finish == Finish::Stop;
                self.next.push(Part::Finish(if is_called { Finish::ToolCalls } else { finish }));
                self.push_said(said, None);
            }
            Step::Began { .. } | Step::BadFormat(_) | Step::Stuck => {}
        }
        Ok(())
    }

    /// Tells calls from text.
    fn read(&mut self, text: &str, is_end: bool) -> Vec<Said> {
        let Some(reading) = &mut self.reading else { return vec![Said::Text(text.to_owned())] };
        let mut said = reading.push(text);
        if is_end {
            said.extend(reading.finish());
        }
        said
    }

    /// Lays parts ready, the first on top; likelihoods go with the first text, or alone.
    fn push_said(&mut self, said: Vec<Said>, mut entry: Option<Entry>) {
        let mut parts = Vec::new();
        for said in said {
            match said {
                Said::Text(text) if text.is_empty() => {}
                Said::Text(text) => parts.push(Part::Text(text, entry.take())),
                Said::Call(call) => {
                    parts.push(Part::Call(self.calls, call));
                    self.calls += 1;
                }
            }
        }
        if entry.is_some() {
            parts.push(Part::Text(String::new(), entry));
        }
        self.next.extend(parts.into_iter().rev());
    }

    async fn begin_choice(&mut self) -> Result<(), BackendError> {
        self.reading = self.tooling.as_ref().and_then(|tooling| tooling.reading());
        self.calls = 0;
        let limit = Instant::now() + self.call.context.timeouts.first_token;
        let mut deaths = 0;
        let prompt_tokens = loop {
            let seats = self.take_seats(limit).await?;
            self.running = Some(self.start(seats).await.map_err(|error| self.failed(&error))?);
            match self.first_step(limit).await? {
                Some(Step::Began { prompt_tokens }) => break prompt_tokens,
                // The engine died with the request in its hands, which a restart mends unless the request itself kills it.
                _ if deaths < MOST_RESTARTS => deaths += 1,
                _ => return Err(self.failed(&EngineError::Died)),
            }
        };
        // Choices share their prompt, which OpenAI counts once.
        self.usage.input = Tokens(prompt_tokens);
        self.next.push(Part::Role);
        Ok(())
    }

    async fn start(&self, seats: Seats) -> Result<Running, EngineError> {
        let engine = self.loaded.engine_at(seats.seat());
        let making = self.making(&seats);
        // Speculation stands aside: its prompts are made without tools.
        if let Some(tooling) = &self.tooling {
            let talk = (self.call.chat.messages.as_slice(), &**tooling);
            return engine.start_with_tools(talk, making, seats.own()).await;
        }
        let Some(help) = &self.help else {
            return engine.start(&self.call.chat.messages, making, seats.own()).await;
        };
        help.start(engine, &self.call, (making, (self.seed(), self.choice)), seats).await
    }

    /// Returns the turns for the next sequence. Between choices the turn is free, so that an answer which nobody reads keeps
    /// nobody waiting.
    async fn take_seats(&mut self, limit: Instant) -> Result<Seats, BackendError> {
        if let Some(seats) = self.seats.take() {
            return Ok(seats);
        }
        let limit = limit.min(self.call.context.deadline);
        let (caller, begun) = (Caller::of(&self.call.context), Instant::now());
        let own = async || self.shared.queue.enter_again(&caller, limit).await.map_err(|_| self.too_late());
        let seats = Help::seats(self.help.as_ref(), own, (&caller, limit)).await;
        self.call.context.waited.add(begun.elapsed());
        seats
    }

    async fn first_step(&mut self, limit: Instant) -> Result<Option<Step>, BackendError> {
        let Some(running) = &mut self.running else { return Ok(None) };
        match timeout_at(limit.min(self.call.context.deadline), running.next()).await {
            Ok(Ok(step)) => Ok(Some(step)),
            Ok(Err(EngineError::Died)) => Ok(None),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(self.too_late()),
        }
    }

    async fn step(&mut self, limit: Instant) -> Result<Step, BackendError> {
        let total = self.started + self.call.context.timeouts.total;
        let limit = limit.min(total).min(self.call.context.deadline);
        let Some(running) = &mut self.running else { return Err(self.failed(&EngineError::Died)) };
        match timeout_at(limit, running.next()).await {
            Ok(step) => step.map_err(|error| self.failed(&error)),
            Err(_) => Err(self.too_late()),
        }
    }

    fn seed(&self) -> u64 {
        self.call.chat.sampling.seed.map_or(self.call.context.request.seed(), i64::cast_unsigned)
    }

    fn making(&self, seats: &Seats) -> Making {
        let chat = &self.call.chat;
        let top = if chat.wants_logprobs { chat.top_logprobs.unwrap_or(0) } else { 0 };
        Making {
            sampler: Sampler::new(&chat.sampling, self.seed(), self.choice, usize::from(top)),
            text: Text::new(&chat.stop),
            format: chat.format.clone(),
            calls: None,
            shows_marks: false,
            max_tokens: chat.max_tokens,
            wants_logprobs: chat.wants_logprobs,
            pulse: seats.pulse(),
        }
    }

    fn too_late(&self) -> BackendError {
        let model = &self.call.context.model;
        if Instant::now() >= self.call.context.deadline {
            let message = format!("Model {model} did not finish before the request's deadline.");
            return BackendError::new(Code::DeadlineExceeded, message, format!("{model} ran into the deadline"));
        }
        let message = format!("Model {model} did not answer in time.");
        BackendError::new(Code::UpstreamTimeout, message, format!("{model} made no token in time"))
    }

    fn failed(&self, error: &EngineError) -> BackendError {
        let model = &self.call.context.model;
        let detail = format!("the engine of {model}: {error}");
        match error {
            EngineError::TooLong { window } => {
                let message = format!("The prompt does not fit into the {window} tokens of model {model}; shorten it.");
                at("messages", BackendError::new(Code::ContextLengthExceeded, message, detail))
            }
            EngineError::Rejected(reason) => {
                let message = format!("Model {model} cannot read these messages: {reason}");
                at(
                    "messages",
                    BackendError::new(Code::UpstreamRejected, message, "the chat template refused".to_owned()),
                )
            }
            EngineError::BadFormat(reason) => {
                let is_of_tools = self.tooling.as_ref().is_some_and(|tooling| tooling.is_constrained());
                let param = if is_of_tools { "tools" } else { "response_format" };
                let message = format!("Model {model} cannot keep to the request's {param}: {reason}");
                at(param, BackendError::new(Code::UpstreamRejected, message, detail))
            }
            EngineError::Failed(_) | EngineError::Died => {
                BackendError::new(Code::UpstreamFailed, format!("Model {model} failed; try again."), detail)
            }
        }
    }
}

impl Choice {
    fn take(&mut self, part: Part) {
        match part {
            Part::Text(text, entry) => {
                self.text.push_str(&text);
                if let Some(entries) = &mut self.entries {
                    entries.extend(entry);
                }
            }
            Part::Finish(finish) => self.finish = Some(finish),
            Part::Call(_, call) => self.calls.push(call),
            Part::Role | Part::Usage(_) => {}
        }
    }
}

/// Returns the refusal of a request whose tools are not such as local models take.
pub(super) fn refused(error: ParseError) -> BackendError {
    let refusal = BackendError::new(error.code, error.message, "the tools of the request are not taken".to_owned());
    BackendError { param: error.param, ..refusal }
}

fn at(param: &str, error: BackendError) -> BackendError {
    BackendError { param: Some(param.to_owned()), ..error }
}
