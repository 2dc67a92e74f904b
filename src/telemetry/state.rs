//! What rooms report when it changes, because no record knows it.

use super::{Telemetry, labels::NONE};
use crate::{
    domain::{Availability, EngineRoom, Graded, ModelName, PolicyName, RequestId, Speculation},
    error::Code,
};

/// The states of a model as label values.
const STATES: [&str; 4] = ["ready", "loading", "breaker_open", "failed"];

/// How tokens of local models come, as label values.
const PLAIN: &str = "plain";
const WITH: &str = "speculative";

impl Telemetry {
    /// Counts one more request that is being answered.
    pub fn entered(&self) {
        self.metrics.in_flight.at([]).inc();
    }

    /// Counts one request less.
    pub fn left(&self) {
        self.metrics.in_flight.at([]).dec();
    }

    /// Counts a request that is refused before it is recorded, and writes its log line.
    pub fn turned_away(&self, request: RequestId, code: Code) {
        let code = code.name();
        self.metrics.turned_away.at([code]).inc();
        tracing::info!(request.id = %request, outcome = "turned_away", error.code = code, "turned away: {code}");
    }

    /// Counts a caller's grade of an answer.
    pub fn graded(&self, graded: &Graded) {
        let policy = self.labels.policy(graded.record.policy.as_ref());
        let model = graded.record.answered_by.as_ref().map_or(NONE, |model| self.labels.model(model));
        self.metrics.feedback.at([policy, model]).observe(graded.score.value());
    }

    /// Says which router model runs on which engine: engine, artifact and checksum; `None` when requests are routed without
    /// scores.
    pub fn set_router(&self, router: Option<(&str, &str, &str)>) {
        let (engine, artifact, checksum) = router.unwrap_or((NONE, NONE, NONE));
        self.metrics.router.clear();
        self.metrics.router.at([engine, artifact, checksum]).set(1.0);
    }

    /// Says how much the exact cache holds.
    pub fn set_cache_size(&self, bytes: u64, entries: u64) {
        self.metrics.cache_bytes.at([]).set(bytes as f64);
        self.metrics.cache_entries.at([]).set(entries as f64);
    }

    /// Says how much the semantic cache holds, in bytes and entries.
    pub fn set_semantic_cache(&self, (bytes, entries): (usize, usize)) {
        self.metrics.semantic_bytes.at([]).set(bytes as f64);
        self.metrics.semantic_entries.at([]).set(entries as f64);
    }

    /// Says how many near answers of a policy were served, agreed, differed and unjudged, and the share of wrong ones: estimate, lower and
    /// upper end of its interval, and the policy's bound.
    pub fn set_semantic_answers(&self, policy: &str, answers: [u64; 4], shares: [f64; 4]) {
        let policy = PolicyName::parse(policy).ok();
        let policy = self.labels.policy(policy.as_ref());
        for (outcome, count) in ["served", "agreed", "differed", "unjudged"].into_iter().zip(answers) {
            self.metrics.semantic_answers.at([policy, outcome]).set(count as f64);
        }
        for (what, share) in ["estimate", "lower", "upper", "bound"].into_iter().zip(shares) {
            self.metrics.semantic_error.at([policy, what]).set(share);
        }
    }

    /// Says whether a model's breaker is open.
    pub fn set_breaker(&self, model: &ModelName, is_open: bool) {
        self.metrics.breaker_open.at([self.labels.model(model)]).set(f64::from(u8::from(is_open)));
    }

    /// Says which state a model is in.
    pub fn set_model_state(&self, model: &ModelName, availability: &Availability) {
        let model = self.labels.model(model);
        let (now, loaded) = match availability {
            Availability::Ready => ("ready", 1.0),
            Availability::Loading { progress, .. } => ("loading", progress.value()),
            Availability::BreakerOpen => ("breaker_open", 1.0),
            Availability::Failed { .. } => ("failed", 0.0),
        };
        for state in STATES {
            self.metrics.model_state.at([model, state]).set(f64::from(u8::from(state == now)));
        }
        self.metrics.model_loaded.at([model]).set(loaded);
    }

    /// Says how a model that runs on this machine fares.
    pub fn set_engine_room(&self, model: &ModelName, room: &EngineRoom) {
        let (metrics, model) = (&self.metrics, self.labels.model(model));
        metrics.queue.at([model]).set(room.waiting as f64);
        if let Some(took) = room.loaded_in {
            metrics.engine_load.at([model]).set(took.as_secs_f64());
        }
        metrics.engine_memory.at([model]).set(room.resident_bytes.unwrap_or(0) as f64);
        metrics.engine_stalls.reach([model], room.stalls);
        metrics.engine_deaths.reach([model], room.deaths);
        metrics.engine_restarts.reach([model], room.restarts);
        metrics.together_tokens.reach([model], room.decoded);
        metrics.together_interventions.reach([model], room.interventions);
        metrics.engine_out.at([model]).set(f64::from(u8::from(room.is_out)));
    }

    /// Says what a local model's speculative decoding does.
    pub fn set_speculation(&self, model: &ModelName, speculation: &Speculation) {
        let (metrics, model) = (&self.metrics, self.labels.model(model));
        metrics.speculation.at([model]).set(f64::from(u8::from(speculation.is_on)));
        let speeds = [(PLAIN, speculation.plain_tokens_per_second), (WITH, speculation.speculative_tokens_per_second)];
        for (decoding, speed) in speeds {
            if let Some(speed) = speed {
                metrics.speculation_speed.at([model, decoding]).set(speed);
            }
        }
        if let Some(speed_up) = speculation.speed_up() {
            metrics.speculation_speed_up.at([model]).set(speed_up);
        }
        metrics.speculation_proposed.reach([model], speculation.proposed);
        metrics.speculation_accepted.reach([model], speculation.accepted);
        metrics.speculation_passes.reach([model], speculation.passes);
        metrics.speculation_tokens.reach([model, WITH], speculation.tokens);
        metrics.speculation_tokens.reach([model, PLAIN], speculation.plain_tokens);
    }

    /// Says how many records wait to be written to the ledger.
    pub fn set_ledger_waiting(&self, waiting: usize) {
        self.metrics.ledger_waiting.at([]).set(waiting as f64);
    }

    /// Counts a record that was lost because the ledger could not keep up.
    pub fn ledger_dropped(&self) {
        self.metrics.ledger_dropped.at([]).inc();
    }

    /// Counts a reload that was refused.
    pub fn reload_failed(&self) {
        self.metrics.reload_errors.at([]).inc();
    }

    /// Replaces the policy names that may become label values, after a reload.
    pub fn set_policies(&self, policies: impl IntoIterator<Item = PolicyName>) {
        self.labels.set_policies(policies);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::{LoadStep, Probability},
        telemetry::Labels,
    };

    fn telemetry() -> (Telemetry, ModelName) {
        let model = ModelName::parse("small").unwrap();
        let labels = Labels::new([(model.clone(), Arc::from("local"))], []);
        (Telemetry::with_labels(labels).unwrap(), model)
    }

    #[test]
    fn speculation_is_told_with_totals_that_only_rise() {
        let (telemetry, model) = telemetry();
        let measured = Speculation::measured(40.0, 60.0);
        let mut speculation = Speculation { proposed: 40, accepted: 30, passes: 10, tokens: 40, ..measured };

        telemetry.set_speculation(&model, &speculation);
        speculation.accepted += 5;
        telemetry.set_speculation(&model, &speculation);

        let text = telemetry.render();
        for line in [
            r#"pointsman_speculation_on{model="small"} 1"#,
            r#"pointsman_speculation_accepted_tokens_total{model="small"} 35"#,
            r#"pointsman_speculation_speed_up_ratio{model="small"} 1.5"#,
            r#"pointsman_speculation_tokens_per_second{decoding="plain",model="small"} 40"#,
            r#"pointsman_speculation_tokens_total{decoding="speculative",model="small"} 40"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_model_is_in_one_state_at_a_time() {
        let (telemetry, model) = telemetry();

        let loading = Availability::Loading { step: LoadStep::Reading, progress: Probability::clamped(0.5) };
        telemetry.set_model_state(&model, &loading);
        telemetry.set_model_state(&model, &Availability::Ready);

        let text = telemetry.render();
        assert!(text.contains(r#"pointsman_model_state{model="small",state="ready"} 1"#), "{text}");
        assert!(text.contains(r#"pointsman_model_state{model="small",state="loading"} 0"#), "{text}");
        assert!(text.contains(r#"pointsman_model_loaded_ratio{model="small"} 1"#), "{text}");
    }

    #[test]
    fn a_request_is_in_flight_until_it_left() {
        let (telemetry, _) = telemetry();

        telemetry.entered();
        telemetry.entered();
        telemetry.left();

        assert!(telemetry.render().contains("pointsman_requests_in_flight 1"));
        telemetry.left();
        assert!(telemetry.render().contains("pointsman_requests_in_flight 0"));
    }
}
