//! What a call has said, written small.
//!
//! Events of one stream differ in a few bytes: each is kept as what it does not share with an earlier one, at its beginning and at
//! its end. A token's event of 250 bytes takes about 30 that way, and is told again byte for byte.

use std::collections::VecDeque;

use bytes::Bytes;

/// Events that others are compared with, at most: one each for the role, text, a tool call, the end and the usage, and some more.
const MOST_MODELS: usize = 8;

/// Events by number, the oldest first.
#[derive(Default)]
pub(super) struct Stored {
    models: Vec<Bytes>,
    spans: VecDeque<Span>,
    /// What the events do not share, one after the other.
    own: VecDeque<u8>,
    /// Bytes of `own` that have been forgotten.
    forgotten: usize,
}

/// One event: the beginning and the end of a model, and what stands between them.
struct Span {
    model: usize,
    shared: (usize, usize),
    start: usize,
    length: usize,
}

impl Stored {
    /// Adds an event at the end.
    pub(super) fn push(&mut self, event: &Bytes) {
        let (mut model, mut shared) = self.best_model(event);
        if 2 * (shared.0 + shared.1) < event.len() && self.models.len() < MOST_MODELS {
            self.models.push(event.clone());
            (model, shared) = (self.models.len() - 1, (event.len(), 0));
        }
        let own = event.get(shared.0..event.len() - shared.1).unwrap_or_default();
        let start = self.forgotten + self.own.len();
        self.own.extend(own);
        self.spans.push_back(Span { model, shared, start, length: own.len() });
    }

    /// Returns an event, counted from the oldest.
    pub(super) fn get(&self, at: usize) -> Option<Bytes> {
        let Span { model, shared, start, length } = self.spans.get(at)?;
        let model = self.models.get(*model).cloned().unwrap_or_default();
        let from = start.checked_sub(self.forgotten)?;
        let mut event = Vec::with_capacity(shared.0 + length + shared.1);
        event.extend_from_slice(model.get(..shared.0)?);
        event.extend(self.own.range(from..from + length));
        event.extend_from_slice(model.get(model.len() - shared.1..)?);
        Some(event.into())
    }

    /// Forgets the oldest event.
    pub(super) fn forget(&mut self) {
        let Some(oldest) = self.spans.pop_front() else { return };
        self.own.drain(..oldest.length);
        self.forgotten += oldest.length;
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns the bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let models: usize = self.models.iter().map(Bytes::len).sum();
        self.own.len() + self.spans.len() * size_of::<Span>() + models
    }

    /// Returns the model that shares most with an event, and how much of its beginning and of its end.
    fn best_model(&self, event: &[u8]) -> (usize, (usize, usize)) {
        let shares = self.models.iter().map(|model| shared(model, event)).enumerate();
        shares.max_by_key(|(_, (begin, end))| begin + end).unwrap_or_default()
    }
}

fn shared(one: &[u8], other: &[u8]) -> (usize, usize) {
    let begin = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let most = one.len().min(other.len()) - begin;
    let end = one.iter().rev().zip(other.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    (begin, end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn events_come_back_byte_for_byte(
            events in prop::collection::vec("(role|text)?-[ab]{0,6}-(stop)?[a-d]{0,4}", 1..40), forgotten in 0_usize..40
        ) {
            let mut stored = Stored::default();
            events.iter().for_each(|event| stored.push(&Bytes::from(event.clone())));
            let forgotten = forgotten.min(events.len());
            (0..forgotten).for_each(|_| stored.forget());

            prop_assert_eq!(stored.len(), events.len() - forgotten);
            for (at, event) in events.iter().skip(forgotten).enumerate() {
                prop_assert_eq!(stored.get(at), Some(Bytes::from(event.clone())));
            }
            prop_assert_eq!(stored.get(events.len() - forgotten), None);
        }
    }

    #[test]
    fn events_of_one_stream_take_a_fraction_of_their_bytes() {
        let mut stored = Stored::default();
        let event = |number: usize| {
            let choice =
                format!(r#"[{{"index":0,"delta":{{"content":"w{number}"}},"logprobs":null,"finish_reason":null}}]"#);
            let head = r#""id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1700000000"#;
            Bytes::from(format!(
                r#"{{{head},"model":"a-model-of-today","system_fingerprint":"fp_12345","choices":{choice}}}"#
            ))
        };
        let told: usize = (0..1_000).map(|number| event(number).len()).sum();

        (0..1_000).for_each(|number| stored.push(&event(number)));

        assert!(5 * stored.bytes() < told, "{} of {told} bytes", stored.bytes());
    }
}
