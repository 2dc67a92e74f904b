//! Tools of local models: told in the prompt, called in text, read out of it again.
//!
//! ```text
//! prompt    the model's own chat template shows the tools; one that knows none gets them in a system text of ours
//! grammar   where a call is required, nothing but calls can be written, with arguments that fit the schema
//! reading   text into calls: tags as Hermes and Qwen write them, JSON as Llama, `[TOOL_CALLS]` as Mistral
//! ```
//!
//! mistral.rs's own handling of tools is not used: it ends an answer after its first call. Where the model decides by itself
//! (`auto`), its arguments are its own: they are JSON, and of a tool that was offered, but no schema is enforced.

mod grammar;
mod prompt;
mod reading;

use std::sync::Arc;

pub(super) use self::{
    prompt::Opening,
    reading::{Call, MARKS, Reading, Said},
};
use crate::wire::{
    chat::{
        ChatCall,
        tools::{ToolChoice, ToolTalk, Tools},
    },
    parse::ParseError,
};

/// How a model writes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Each between tags.
    Tagged,
    /// One JSON object, and nothing else.
    Bare,
}

/// The tools of one call, and what was called before.
pub(super) struct Tooling {
    /// `None` where none may be called.
    tools: Option<Tools>,
    talk: Vec<ToolTalk>,
}

impl Tooling {
    /// Returns the tools of a call; `None` when it has to do with none.
    ///
    /// # Errors
    /// They are not such as local models take.
    pub(super) fn read(chat: &ChatCall) -> Result<Option<Arc<Self>>, ParseError> {
        let tools = Tools::read(&chat.body)?.filter(|tools| tools.choice != ToolChoice::None);
        let talk = ToolTalk::read(&chat.body)?;
        if tools.is_none() && talk.iter().all(ToolTalk::is_empty) {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self { tools, talk })))
    }

    /// Returns whether nothing but calls may be written.
    pub(super) fn is_constrained(&self) -> bool {
        self.tools.as_ref().is_some_and(|tools| matches!(tools.choice, ToolChoice::Required | ToolChoice::Named(_)))
    }

    /// Returns what reads the calls of one choice; `None` where none may be.
    pub(super) fn reading(&self) -> Option<Reading> {
        self.tools.as_ref().map(Reading::new)
    }
}

#[cfg(test)]
mod tests;
