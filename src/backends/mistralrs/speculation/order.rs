//! What an answer is to be decoded with, before its prompt is read.

use std::sync::Arc;

use super::{
    super::vocabulary::Vocabulary,
    counts::Counts,
    decode::{Work, Writing},
    drafting::Drafting,
    lookup::Lookup,
    pace::{Costs, Pace},
    proposer::Proposer,
};

/// What an answer is to be decoded with.
pub(in super::super) struct Order {
    /// What makes tokens out of logits.
    pub(in super::super) writing: Box<dyn Writing>,
    /// What helps.
    pub(in super::super) aid: Aid,
    /// How many guesses at a time.
    pub(in super::super) pace: Pace,
    /// What things take on this machine.
    pub(in super::super) costs: Arc<Costs>,
    /// Where to count.
    pub(in super::super) counts: Arc<Counts>,
}

/// What helps an answer along.
pub(in super::super) enum Aid {
    /// Nothing: every token is decoded by itself.
    Nothing,
    /// What is already written, and a text that the answer may resemble.
    Lookup(Option<Arc<str>>),
    /// A draft model.
    Draft(Box<Drafting>),
}

impl Order {
    /// Returns the work to do; `None` when there is nothing to write.
    pub(super) fn work(mut self, prompt: Vec<u32>, vocabulary: &Vocabulary) -> Option<Work> {
        if !self.writing.begin(&prompt) {
            return None;
        }
        let Self { writing, aid, pace, costs, counts } = self;
        let proposer = aid.proposer(prompt.len(), vocabulary);
        Some(Work { text: prompt, writing, proposer, pace, costs, counts })
    }
}

impl Aid {
    fn proposer(self, prompt: usize, vocabulary: &Vocabulary) -> Option<Box<dyn Proposer>> {
        match self {
            Self::Nothing => None,
            Self::Lookup(resembled) => {
                let resembled = resembled.map(|text| vocabulary.tokens(&text)).unwrap_or_default();
                Some(Box::new(Lookup::new(prompt, &resembled)))
            }
            Self::Draft(drafting) => Some(drafting),
        }
    }
}
