//! Conversations with tools as prompts.

use std::collections::HashMap;

use either::Either;
use indexmap::IndexMap;
use mistralrs::{Function, Tool, ToolType};
use mistralrs_core::{MessageContent, Pipeline};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    super::engine::{EngineError, template_message},
    Style, Tooling,
};
use crate::wire::chat::{Message, Role, tools as wire};

/// A name that stands in no template.
const PROBE: &str = "pointsman_probe";

/// Some templates take only identifiers of nine letters and digits.
const PROBE_ID: &str = "probe0001";

type TemplateMessage = IndexMap<String, MessageContent>;

/// A prompt, and how calls are written after it.
pub(in super::super) struct Opening {
    pub(in super::super) tokens: Vec<u32>,
    pub(in super::super) style: Style,
}

impl Tooling {
    /// Returns the prompt of a conversation.
    ///
    /// # Errors
    /// The chat template refuses it.
    pub(in super::super) async fn open(
        &self,
        pipeline: &Mutex<dyn Pipeline>,
        messages: &[Message],
    ) -> Result<Opening, EngineError> {
        let pipeline = pipeline.lock().await;
        if knows_tools(&*pipeline) {
            let (tokens, text) = render(&*pipeline, self.structured(messages), self.definitions())?;
            let style = if text.contains("<tool_call>") { Style::Tagged } else { Style::Bare };
            return Ok(Opening { tokens, style });
        }
        let (tokens, _) = render(&*pipeline, self.spelled_out(messages), Vec::new())?;
        Ok(Opening { tokens, style: Style::Tagged })
    }

    fn definitions(&self) -> Vec<Tool> {
        let functions = self.tools.iter().flat_map(|tools| &tools.functions);
        functions
            .map(|function| definition(&function.name, function.description.clone(), &function.parameters))
            .collect()
    }

    /// Returns the messages for a template that shows calls by itself.
    fn structured(&self, messages: &[Message]) -> Vec<TemplateMessage> {
        self.with_talk(messages).map(|(message, talk)| structured(message, talk)).collect()
    }

    /// Returns the messages for a template that knows nothing of tools: all of it is text.
    fn spelled_out(&self, messages: &[Message]) -> Vec<TemplateMessage> {
        let mut spelled: Vec<Message> =
            self.with_talk(messages).map(|(message, talk)| spelled_out(message, talk)).collect();
        if let Some(tools) = &self.tools {
            let instructions = instructions(tools);
            match spelled.first_mut().filter(|first| matches!(first.role, Role::System | Role::Developer)) {
                Some(system) => system.text = format!("{}\n\n{instructions}", system.text),
                None => spelled.insert(0, Message { role: Role::System, text: instructions, parts: Vec::new() }),
            }
        }
        spelled.iter().map(template_message).collect()
    }

    fn with_talk<'a>(
        &'a self,
        messages: &'a [Message],
    ) -> impl Iterator<Item = (&'a Message, Option<&'a wire::ToolTalk>)> {
        // A plan may have added messages, of which the request's bytes know nothing.
        let is_known = messages.len() == self.talk.len();
        let talk = self.talk.iter().filter(move |_| is_known).map(Some).chain(std::iter::repeat(None));
        messages.iter().zip(talk)
    }
}

fn render(
    pipeline: &dyn Pipeline,
    messages: Vec<TemplateMessage>,
    tools: Vec<Tool>,
) -> Result<(Vec<u32>, String), EngineError> {
    let rendered = pipeline.get_processor().process(pipeline, messages, true, true, None, None, tools);
    rendered.map_err(|error| EngineError::Rejected(format!("{error:#}")))
}

/// Returns whether the template shows tools, calls and answers.
fn knows_tools(pipeline: &dyn Pipeline) -> bool {
    let message = |role| Message { role, text: "x".to_owned(), parts: Vec::new() };
    let call = wire::PastCall { id: PROBE_ID.to_owned(), name: format!("{PROBE}_call"), arguments: "{}".to_owned() };
    let calling = wire::ToolTalk { calls: vec![call], ..Default::default() };
    let answering = wire::ToolTalk { answers: Some(PROBE_ID.to_owned()), ..Default::default() };
    let messages = vec![
        structured(&message(Role::User), None),
        structured(&message(Role::Assistant), Some(&calling)),
        structured(&message(Role::Tool), Some(&answering)),
    ];
    let tools = vec![definition(&format!("{PROBE}_tool"), None, "{}")];
    let shown = render(pipeline, messages, tools).map(|(_, text)| text).unwrap_or_default();
    shown.contains(&format!("{PROBE}_call")) && shown.contains(&format!("{PROBE}_tool"))
}

fn definition(name: &str, description: Option<String>, parameters: &str) -> Tool {
    let parameters: Option<HashMap<String, Value>> = serde_json::from_str(parameters).ok();
    Tool { tp: ToolType::Function, function: Function { description, name: name.to_owned(), parameters } }
}

fn structured(message: &Message, talk: Option<&wire::ToolTalk>) -> TemplateMessage {
    let mut content = template_message(message);
    let Some(talk) = talk else { return content };
    if !talk.calls.is_empty() {
        content.insert("tool_calls".to_owned(), Either::Right(talk.calls.iter().map(past_call).collect()));
    }
    for (key, value) in [("tool_call_id", &talk.answers), ("name", &talk.name)] {
        if let Some(value) = value {
            content.insert(key.to_owned(), Either::Left(value.clone()));
        }
    }
    content
}

fn past_call(call: &wire::PastCall) -> IndexMap<String, Value> {
    let function = json!({ "name": call.name, "arguments": arguments(call) });
    IndexMap::from([
        ("id".to_owned(), call.id.clone().into()),
        ("type".to_owned(), "function".into()),
        ("function".to_owned(), function),
    ])
}

/// Templates take arguments as an object, and write it as JSON themselves.
fn arguments(call: &wire::PastCall) -> Value {
    serde_json::from_str(&call.arguments).unwrap_or_else(|_| call.arguments.clone().into())
}

fn spelled_out(message: &Message, talk: Option<&wire::ToolTalk>) -> Message {
    let mut message = message.clone();
    if message.role == Role::Tool {
        message.role = Role::User;
        message.text = format!("<tool_response>\n{}\n</tool_response>", message.text);
    }
    for call in talk.iter().flat_map(|talk| &talk.calls) {
        let body = json!({ "name": call.name, "arguments": arguments(call) });
        let gap = if message.text.is_empty() { "" } else { "\n" };
        message.text = format!("{}{gap}<tool_call>\n{body}\n</tool_call>", message.text);
    }
    message
}

fn instructions(tools: &wire::Tools) -> String {
    let mut text = "These functions can be called; each line describes one:\n".to_owned();
    for function in &tools.functions {
        let parameters: Value = serde_json::from_str(&function.parameters).unwrap_or_default();
        let line = json!({ "name": function.name, "description": function.description, "parameters": parameters });
        text.push_str(&format!("{line}\n"));
    }
    text.push_str("To call one, write its name and its arguments as JSON between tags, and nothing else:\n");
    text.push_str("<tool_call>\n{\"name\": \"...\", \"arguments\": {...}}\n</tool_call>\n");
    text.push_str(&match &tools.choice {
        wire::ToolChoice::Required => "Answer with at least one call.".to_owned(),
        wire::ToolChoice::Named(name) => format!("Answer with one call of {name}."),
        wire::ToolChoice::Auto | wire::ToolChoice::None => "Where none is of use, answer in plain text.".to_owned(),
    });
    text
}
