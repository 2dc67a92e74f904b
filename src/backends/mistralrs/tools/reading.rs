//! Calls out of text, while it comes.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::wire::chat::tools::Tools;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// What says that calls follow up to the end: Mistral's mark, and Llama's.
const LEADS: [&str; 2] = ["[TOOL_CALLS]", "<|python_tag|>"];

/// Every mark of calls. Some models write them as special tokens, which are otherwise no text.
pub(in super::super) const MARKS: [&str; 4] = [OPEN, CLOSE, "[TOOL_CALLS]", "<|python_tag|>"];

/// One call of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Call {
    pub(in super::super) id: String,
    pub(in super::super) name: String,
    /// JSON text.
    pub(in super::super) arguments: String,
}

/// A part of what a model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Said {
    Text(String),
    Call(Call),
}

/// Reads the text of one choice. What is no proper call of a tool that was offered stays text.
pub(in super::super) struct Reading {
    names: HashSet<String>,
    is_parallel: bool,
    place: Place,
    held: String,
    calls: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing but blanks was read.
    Start,
    Text,
    /// Between tags.
    Tagged,
    /// Right after a call, where blanks mean nothing.
    After,
    /// In what can be told only at the end; the mark that led there.
    Last(&'static str),
}

#[derive(Deserialize)]
struct CallDocument<'a> {
    name: String,
    #[serde(borrow, alias = "parameters")]
    arguments: Option<&'a RawValue>,
}

impl Reading {
    pub(super) fn new(tools: &Tools) -> Self {
        let names = tools.functions.iter().map(|function| function.name.clone()).collect();
        Self { names, is_parallel: tools.is_parallel, place: Place::Start, held: String::new(), calls: 0 }
    }

    /// Returns whether a call was read.
    pub(in super::super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// Takes more text.
    pub(in super::super) fn push(&mut self, text: &str) -> Vec<Said> {
        self.held.push_str(text);
        let mut said = Vec::new();
        while self.go_on(&mut said) {}
        said
    }

    /// Returns what was held back, at the end of the answer.
    pub(in super::super) fn finish(&mut self) -> Vec<Said> {
        let held = std::mem::take(&mut self.held);
        let mut said = Vec::new();
        match self.place {
            _ if self.is_cut_call(&held) => {}
            Place::Start | Place::Text => add_text(&mut said, &held),
            Place::After => add_text(&mut said, held.trim_start()),
            Place::Tagged => self.add_calls(&mut said, &[&held], &format!("{OPEN}{held}")),
            Place::Last(lead) => {
                let documents = documents(&held);
                self.add_calls(&mut said, &documents, &format!("{lead}{held}"));
            }
        }
        said
    }

    /// Returns whether this is the beginning of a further call, which an end of the answer cut off: the caller has the whole ones,
    /// and half of one is neither a call nor text.
    fn is_cut_call(&self, held: &str) -> bool {
        let is_begun = match self.place {
            Place::Tagged => self.call(held).is_none(),
            // A bracket or two may be text.
            Place::Text | Place::After => held.trim().len() > 2 && OPEN.starts_with(held.trim()),
            Place::Start | Place::Last(_) => false,
        };
        self.has_calls() && is_begun
    }

    /// Reads on to the next change of place; `false` when more text is needed.
    fn go_on(&mut self, said: &mut Vec<Said>) -> bool {
        match self.place {
            Place::Start => self.start(),
            Place::Text => self.text(said),
            Place::Tagged => self.tagged(said),
            Place::After => self.after(),
            Place::Last(_) => false,
        }
    }

    fn start(&mut self) -> bool {
        let Some(first) = self.held.trim_start().chars().next() else { return false };
        // Llama writes a call as the whole answer, without a mark; so may an answer begin that is JSON by itself.
        self.place = if matches!(first, '{') { Place::Last("") } else { Place::Text };
        true
    }

    fn after(&mut self) -> bool {
        self.held = self.held.trim_start().to_owned();
        let goes_on = !self.held.is_empty();
        if goes_on {
            self.place = Place::Text;
        }
        goes_on
    }

    fn text(&mut self, said: &mut Vec<Said>) -> bool {
        let marks = LEADS.into_iter().chain([OPEN]);
        let found = marks.filter_map(|mark| Some((self.held.find(mark)?, mark))).min();
        let Some((at, mark)) = found else {
            let keep = begun_mark(&self.held);
            let rest = self.held.split_off(self.held.len() - keep);
            add_text(said, &std::mem::replace(&mut self.held, rest));
            return false;
        };
        let rest = self.held.split_off(at + mark.len());
        let before = std::mem::replace(&mut self.held, rest);
        add_text(said, before.strip_suffix(mark).unwrap_or(&before));
        self.place = if mark == OPEN { Place::Tagged } else { Place::Last(mark) };
        true
    }

    fn tagged(&mut self, said: &mut Vec<Said>) -> bool {
        let Some(at) = self.held.find(CLOSE) else { return false };
        let rest = self.held.split_off(at + CLOSE.len());
        let whole = std::mem::replace(&mut self.held, rest);
        let body = whole.strip_suffix(CLOSE).unwrap_or(&whole);
        self.add_calls(said, &[body], &format!("{OPEN}{whole}"));
        self.place = Place::After;
        true
    }

    /// Adds calls, or the text as it stood where one of them is none.
    fn add_calls(&mut self, said: &mut Vec<Said>, documents: &[&str], text: &str) {
        let calls: Option<Vec<Call>> = documents.iter().map(|document| self.call(document)).collect();
        let Some(calls) = calls.filter(|calls| !calls.is_empty()) else { return add_text(said, text) };
        for call in calls {
            // A caller who wants one at most gets the first.
            if self.is_parallel || self.calls == 0 {
                said.push(Said::Call(call));
                self.calls += 1;
            }
        }
    }

    fn call(&self, document: &str) -> Option<Call> {
        let CallDocument { name, arguments } = serde_json::from_str(document.trim()).ok()?;
        if !self.names.contains(&name) {
            return None;
        }
        let arguments = match arguments.map_or("{}", RawValue::get) {
            "null" => "{}".to_owned(),
            // Some models write the arguments as OpenAI shows them: as text.
            text if text.starts_with('"') => serde_json::from_str(text).ok()?,
            raw => raw.to_owned(),
        };
        arguments.starts_with('{').then(|| Call { id: format!("call_{}", Uuid::new_v4().simple()), name, arguments })
    }
}

fn add_text(said: &mut Vec<Said>, text: &str) {
    if !text.is_empty() {
        said.push(Said::Text(text.to_owned()));
    }
}

/// Returns the items of a list, or the whole.
fn documents(text: &str) -> Vec<&str> {
    let text = text.trim();
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(list) => list.into_iter().map(RawValue::get).collect(),
        Err(_) => vec![text],
    }
}

/// Returns the length of the longest end of a text that begins a mark.
fn begun_mark(text: &str) -> usize {
    let begun = |mark: &str| {
        (1..mark.len()).rev().find(|length| mark.get(..*length).is_some_and(|begin| text.ends_with(begin)))
    };
    MARKS.into_iter().filter_map(begun).max().unwrap_or(0)
}
