//! The one log line per request.

use std::time::Duration;

use super::labels::{Labels, NONE};
use crate::domain::{Outcome, RequestRecord};

/// Writes the line: readable by itself, the same values as fields, and nothing that a caller wrote.
pub(super) fn write(labels: &Labels, record: &RequestRecord) {
    let answered_by = record.answered_by.as_ref().map_or(NONE, |model| labels.model(model));
    tracing::info!(
        request.id = %record.request,
        request.endpoint = record.endpoint.operation(),
        request.model = labels.requested(&record.requested_model),
        request.stream = record.is_streaming,
        decision.id = %record.decision,
        decision.reason = record.reason.map_or(NONE, |reason| reason.name()),
        tenant.id = %record.tenant,
        key.id = %record.key,
        policy.name = labels.policy(record.policy.as_ref()),
        policy.version = record.policy_version,
        plan.kind = record.plan.as_ref().map_or(NONE, |plan| plan.kind().name()),
        plan.attempts = record.attempts.len(),
        model.name = answered_by,
        cache.outcome = record.cache.name(),
        usage.input_tokens = record.usage.input.0,
        usage.output_tokens = record.usage.output.0,
        cost.usd = %record.cost,
        time.routing_ms = milliseconds(record.times.decide.map(|decide| decide + record.times.score.unwrap_or_default())),
        time.first_token_ms = milliseconds(record.times.first_token),
        time.total_ms = milliseconds(Some(record.times.total)),
        outcome = record.end.name(),
        error.code = record.end.code(),
        "{}",
        sentence(record, answered_by)
    );
}

fn sentence(record: &RequestRecord, answered_by: &str) -> String {
    let operation = record.endpoint.operation();
    let took = record.times.total.as_millis();
    match &record.end {
        Outcome::Success => match record.attempts.len() {
            0 => format!("{operation} answered from the cache in {took} ms"),
            1 => format!("{operation} answered by {answered_by} in {took} ms for ${}", record.cost),
            attempts => {
                format!("{operation} answered by {answered_by} at attempt {attempts} in {took} ms for ${}", record.cost)
            }
        },
        Outcome::Refused { code } => format!("{operation} refused: {code}"),
        Outcome::Failed { code } => {
            format!("{operation} failed after {} attempts in {took} ms: {code}", record.attempts.len())
        }
        Outcome::ClientGone => format!("{operation} given up by its client after {took} ms"),
        Outcome::Shutdown => format!("{operation} ended by shutdown after {took} ms"),
    }
}

fn milliseconds(took: Option<Duration>) -> Option<f64> {
    took.map(|took| took.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{domain::ModelName, telemetry::observe::tests::fallen_back};

    #[test]
    fn the_sentence_can_be_read_alone() {
        let record = fallen_back();

        let sentence = sentence(&record, "second");

        assert_eq!(sentence, "chat answered by second at attempt 2 in 505 ms for $0.002000000");
    }

    #[test]
    fn the_line_does_not_repeat_what_a_caller_wrote_as_model() {
        let mut record = fallen_back();
        record.requested_model = "sk-canary".to_owned();
        let labels = Labels::new([(ModelName::parse("second").unwrap(), Arc::from("acme"))], []);
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone()).finish();

        tracing::subscriber::with_default(subscriber, || write(&labels, &record));

        let text = lines.text();
        assert!(text.contains("request.model=\"other\""), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<parking_lot::Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }
}
