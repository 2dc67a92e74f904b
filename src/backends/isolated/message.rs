//! What the gateway and a model's process say to each other.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    config::LocalSettings,
    domain::{
        Availability, BackendError, CallContext, EngineOrder, EngineRoom, Event, KeyId, ModelCall, ModelName, Priority,
        RequestId, Speculation, TenantId, Timeouts, TokenSignal, Usage, Waited, WholeReply,
    },
    error::Code,
    wire::{
        chat::ChatCall,
        parse::{Limits, ParseError},
    },
};

/// The gateway has checked the request against its own limits; deeper than this nothing came through.
const LIMITS: Limits = Limits { messages: usize::MAX, choices: u32::MAX, depth: 512 };

/// From the gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// The first word: what to run.
    Start(Box<Start>),
    /// A call.
    Ask(Box<Asked>),
    /// Nobody waits for this call any more.
    Leave(u64),
    /// An administrator's word.
    Do(EngineOrder),
}

/// What to run.
#[derive(Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) name: ModelName,
    pub(super) settings: LocalSettings,
    /// The credential, which settings never write by themselves.
    pub(super) token: Option<String>,
    pub(super) data_dir: PathBuf,
}

/// A call, with its number.
#[derive(Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) number: u64,
    body: String,
    is_streaming: bool,
    request: RequestId,
    tenant: TenantId,
    key: KeyId,
    model: ModelName,
    timeouts: Timeouts,
    /// What is left until the deadline.
    left: Duration,
    priority: Priority,
    draft: Option<String>,
}

/// From the process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// How it fares, several times a second.
    State(Box<State>),
    /// A part of an answer.
    Piece(u64, Piece),
}

/// How the process fares.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) availability: Availability,
    pub(super) room: EngineRoom,
    pub(super) background_wait: Duration,
    pub(super) speculation: Option<Speculation>,
    /// Whether no engine makes a token although it has work.
    pub(super) is_stalled: bool,
}

/// A part of an answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Piece {
    /// How long the call waited for its turn.
    Waited(Duration),
    /// The stream begins.
    Begun,
    Event(EventBody),
    /// The stream is over.
    End,
    Whole(WholeBody),
    Failed(Fault),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventBody {
    data: String,
    has_content: bool,
    usage: Option<Usage>,
    finish_reason: Option<String>,
    signals: Vec<TokenSignal>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WholeBody {
    body: String,
    usage: Option<Usage>,
    finish_reason: Option<String>,
    signals: Vec<TokenSignal>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Fault {
    code: String,
    message: String,
    detail: String,
    retry_after: Option<Duration>,
    param: Option<String>,
}

// Neither the credential nor a prompt shows in a log.
impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("number", &self.number).field("request", &self.request).finish_non_exhaustive()
    }
}

impl Asked {
    /// Returns a call as it is said.
    pub(super) fn of(number: u64, call: &ModelCall) -> Self {
        let context = &call.context;
        Self {
            number,
            body: text(call.chat.body.bytes()),
            is_streaming: call.is_streaming,
            request: context.request,
            tenant: context.tenant.clone(),
            key: context.key.clone(),
            model: context.model.clone(),
            timeouts: context.timeouts,
            left: context.deadline.saturating_duration_since(Instant::now()),
            priority: context.priority,
            draft: context.draft.as_deref().map(str::to_owned),
        }
    }

    /// Returns the call as it was, and where its waiting is written down.
    ///
    /// # Errors
    /// The body is no chat request, which only another version of the program would send.
    pub(super) fn into_call(self) -> Result<(ModelCall, Waited), ParseError> {
        let chat = Arc::new(ChatCall::parse(self.body.into(), &LIMITS)?);
        let waited = Waited::default();
        let context = CallContext {
            request: self.request,
            tenant: self.tenant,
            key: self.key,
            upstream_model: Arc::from(self.model.as_str()),
            model: self.model,
            timeouts: self.timeouts,
            deadline: Instant::now() + self.left,
            priority: self.priority,
            draft: self.draft.map(Arc::from),
            drafter: None,
            waited: waited.clone(),
        };
        Ok((ModelCall { chat, is_streaming: self.is_streaming, context }, waited))
    }
}

impl From<Event> for EventBody {
    fn from(event: Event) -> Self {
        let Event { data, has_content, usage, finish_reason, signals } = event;
        Self { data: text(&data), has_content, usage, finish_reason, signals }
    }
}

impl EventBody {
    pub(super) fn into_event(self) -> Event {
        let Self { data, has_content, usage, finish_reason, signals } = self;
        Event { data: Bytes::from(data), has_content, usage, finish_reason, signals }
    }
}

impl From<WholeReply> for WholeBody {
    fn from(whole: WholeReply) -> Self {
        let WholeReply { body, usage, finish_reason, signals } = whole;
        Self { body: text(&body), usage, finish_reason, signals }
    }
}

impl WholeBody {
    pub(super) fn into_reply(self) -> WholeReply {
        let Self { body, usage, finish_reason, signals } = self;
        WholeReply { body: Bytes::from(body), usage, finish_reason, signals }
    }
}

impl From<BackendError> for Fault {
    fn from(error: BackendError) -> Self {
        let BackendError { code, message, detail, retry_after, param, .. } = error;
        Self { code: code.name().to_owned(), message, detail, retry_after, param }
    }
}

impl Fault {
    pub(super) fn into_error(self) -> BackendError {
        let code = Code::named(&self.code).unwrap_or(Code::UpstreamFailed);
        let error = BackendError::new(code, self.message, self.detail);
        BackendError { retry_after: self.retry_after, param: self.param, ..error }
    }
}

/// JSON is UTF-8.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
