//! From the record of a request to metrics.

use std::time::Duration;

use super::{
    labels::{LOCAL, Labels, NONE, code},
    metrics::Metrics,
};
use crate::domain::{Attempt, AttemptOutcome, ModelName, NanoUsd, Outcome, RequestRecord, Ruling, Verdict};

/// Adds one finished request to the metrics.
pub(super) fn record(metrics: &Metrics, labels: &Labels, record: &RequestRecord) {
    request(metrics, record);
    decision(metrics, labels, record);
    cache(metrics, labels, record);
    money(metrics, labels, record);
    for attempt in &record.attempts {
        self::attempt(metrics, labels, record, attempt);
    }
    plan(metrics, labels, record);
    stream(metrics, labels, record);
}

fn request(metrics: &Metrics, record: &RequestRecord) {
    let endpoint = record.endpoint.operation();
    metrics.requests.at([endpoint, record.end.name(), code(record.end.code())]).inc();
    metrics.request_duration.at([endpoint, record.cache.name()]).observe(record.times.total.as_secs_f64());
    metrics.overhead.at([record.cache.name()]).observe(overhead(record).as_secs_f64());
}

// Whatever came before the first attempt is our doing; what comes after depends on the model and on how fast the client reads.
fn overhead(record: &RequestRecord) -> Duration {
    let until = record.attempts.iter().map(|attempt| attempt.started).min().unwrap_or(record.times.total);
    until.saturating_sub(routing(record).unwrap_or_default())
}

fn routing(record: &RequestRecord) -> Option<Duration> {
    let decide = record.times.decide?;
    Some(decide + record.times.score.unwrap_or_default())
}

fn decision(metrics: &Metrics, labels: &Labels, record: &RequestRecord) {
    let policy = labels.policy(record.policy.as_ref());
    if let (Some(reason), Some(first)) = (record.reason, first_choice(record)) {
        metrics.decisions.at([policy, reason.name(), labels.model(first)]).inc();
    }
    if let Some(took) = routing(record) {
        metrics.routing.at([policy]).observe(took.as_secs_f64());
    }
    if let Some(why) = record.unscored {
        metrics.scores_unavailable.at([why.name()]).inc();
    }
    if record.ask.as_ref().is_some_and(|ask| !ask.signals.withheld.is_empty()) {
        metrics.quota_withheld.at([policy]).inc();
    }
    let candidates = record.ask.iter().flat_map(|ask| &ask.candidates);
    for candidate in candidates.filter(|candidate| !candidate.estimate.is_prior) {
        let quality = candidate.estimate.quality.value();
        metrics.scores.at([labels.model(&candidate.model.name)]).observe(quality);
    }
}

fn first_choice(record: &RequestRecord) -> Option<&ModelName> {
    record.plan.as_ref().and_then(|plan| plan.legs().next()).map(|leg| &leg.model)
}

fn cache(metrics: &Metrics, labels: &Labels, record: &RequestRecord) {
    metrics.cache_lookups.at([record.cache.name()]).inc();
    if record.saved > NanoUsd::ZERO {
        metrics.cache_saved.at([labels.policy(record.policy.as_ref())]).inc_by(record.saved.dollars());
    }
}

fn money(metrics: &Metrics, labels: &Labels, record: &RequestRecord) {
    let policy = labels.policy(record.policy.as_ref());
    for attempt in &record.attempts {
        metrics.cost.at([policy, labels.model(&attempt.model)]).inc_by(attempt.cost.dollars());
    }
    if let Some(baseline) = record.baseline_cost {
        let model = record.answered_by.as_ref().map_or(NONE, |model| labels.model(model));
        metrics.baseline_cost.at([policy, model]).inc_by(baseline.dollars());
    }
    let planned = first_choice(record);
    let went_on = record.verdicts.iter().any(|verdict| matches!(verdict.ruling, Ruling::Deferred | Ruling::Abandoned));
    let is_other = planned.is_some() && record.answered_by.as_ref() != planned;
    // That an answer sent the request on is what the plan is for.
    if record.end == Outcome::Success && is_other && !went_on {
        let planned = planned.map_or(NONE, |model| labels.model(model));
        metrics.fallbacks.at([policy, planned]).inc();
    }
}

fn plan(metrics: &Metrics, labels: &Labels, record: &RequestRecord) {
    let policy = labels.policy(record.policy.as_ref());
    for Verdict { model, ruling, cause, .. } in &record.verdicts {
        metrics.verdicts.at([policy, labels.model(model), ruling.name(), cause.name()]).inc();
    }
    if let (Some(plan), Some(delay)) = (&record.plan, delay(record)) {
        metrics.plan_delay.at([plan.kind().name()]).observe(delay.as_secs_f64());
    }
}

/// Returns how much later a streamed answer began than the attempt behind it would have let it, had it been asked at once.
fn delay(record: &RequestRecord) -> Option<Duration> {
    let attempt = record.answering_attempt().filter(|_| record.is_streaming)?;
    Some(record.times.first_token?.saturating_sub(attempt.first_token?))
}

fn attempt(metrics: &Metrics, labels: &Labels, record: &RequestRecord, attempt: &Attempt) {
    let (outcome, error) = match &attempt.end {
        AttemptOutcome::Ok => ("ok", NONE),
        AttemptOutcome::Failed { code: name } => ("failed", code(Some(name))),
        AttemptOutcome::Cancelled => ("cancelled", NONE),
    };
    let operation = record.endpoint.operation();
    let (provider, model) = (labels.provider(&attempt.model), labels.model(&attempt.model));
    metrics.attempts.at([model, outcome, error]).inc();
    if provider == LOCAL {
        metrics.queue_wait.at([model]).observe(attempt.waited.as_secs_f64());
    }
    metrics.operation_duration.at([operation, provider, model, error]).observe(attempt.took.as_secs_f64());
    for (kind, tokens) in [("input", attempt.usage.input), ("output", attempt.usage.output)] {
        metrics.token_usage.at([operation, provider, model, kind]).observe(tokens.0 as f64);
    }
}

fn stream(metrics: &Metrics, labels: &Labels, record: &RequestRecord) {
    let (true, Some(model), Some(first)) = (record.is_streaming, &record.answered_by, record.times.first_token) else {
        return;
    };
    let series = [record.endpoint.operation(), labels.provider(model), labels.model(model)];
    metrics.first_token.at(series).observe(first.as_secs_f64());
    let rest = record.usage.output.0.saturating_sub(1);
    if record.end == Outcome::Success && rest > 0 && !record.attempts.is_empty() {
        let took = record.times.total.saturating_sub(first);
        metrics.per_token.at(series).observe(took.as_secs_f64() / rest as f64);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        domain::{
            Ask, Availability, CacheOutcome, Candidate, Cause, DecisionId, Endpoint, EngineRoom, Estimate, Graded,
            KeyId, Leg, ModelFacts, Plan, PolicyName, Preferences, Probability, Reason, RequestFacts, RequestId,
            ScoresUnavailable, Signals, Speculation, StageTimes, TenantId, Tokens, Usage,
        },
        error::Code,
        telemetry::{Telemetry, metrics::TABLE},
    };

    fn name(text: &str) -> ModelName {
        ModelName::parse(text).unwrap()
    }

    fn telemetry() -> Telemetry {
        let models = [
            (name("first"), Arc::from("acme")),
            (name("second"), Arc::from("acme")),
            (name("third"), Arc::from(LOCAL)),
        ];
        Telemetry::with_labels(Labels::new(models, [PolicyName::parse("cheap").unwrap()])).unwrap()
    }

    fn attempt(model: &str, started_ms: u64, took_ms: u64, end: AttemptOutcome) -> Attempt {
        Attempt {
            leg: 0,
            model: name(model),
            started: Duration::from_millis(started_ms),
            waited: Duration::ZERO,
            first_token: Some(Duration::from_millis(took_ms / 2)),
            took: Duration::from_millis(took_ms),
            usage: Usage { input: Tokens(10), output: Tokens(5), ..Usage::default() },
            cost: NanoUsd(1_000_000),
            end,
        }
    }

    fn candidate(model: &str) -> Candidate {
        let facts = ModelFacts {
            name: name(model),
            kind: Default::default(),
            prices: Default::default(),
            context_window: Tokens(8192),
            max_output: None,
            modalities: Default::default(),
            has_tools: false,
            has_json_mode: true,
            has_json_schema: false,
            languages: Default::default(),
            tags: Default::default(),
            profile: None,
            first_token_ms: 10.0,
            prompt_ms: 0.0,
            per_token_ms: 1.0,
            parameters_b: None,
            released: None,
            is_local: false,
            is_simulated: false,
        };
        let estimate = Estimate {
            quality: Probability::clamped(0.7),
            spread: 0.0,
            prior: Probability::clamped(0.7),
            prior_spread: 0.0,
            is_prior: false,
            output_tokens: 5.0,
            cost: NanoUsd(1),
            cost_upper: NanoUsd(2),
            latency: Duration::from_millis(15),
        };
        Candidate { model: Arc::new(facts), estimate, evidence: Default::default(), availability: Availability::Ready }
    }

    /// A streamed request that went to `second` after `first` had failed.
    pub(in crate::telemetry) fn fallen_back() -> RequestRecord {
        let failed = AttemptOutcome::Failed { code: "upstream_timeout".to_owned() };
        let ask = Ask {
            request: RequestFacts::default(),
            preferences: Preferences::default(),
            signals: Signals { withheld: [name("third")].into(), ..Signals::default() },
            candidates: vec![candidate("first")],
            unscored: None,
            seed: 1,
        };
        RequestRecord {
            request: RequestId::fresh(),
            decision: DecisionId::fresh(),
            at: Timestamp::UNIX_EPOCH,
            tenant: TenantId::parse("tenant").unwrap(),
            key: KeyId::parse("key").unwrap(),
            endpoint: Endpoint::Chat,
            requested_model: "auto:cheap".to_owned(),
            is_streaming: true,
            policy: Some(PolicyName::parse("cheap").unwrap()),
            policy_version: 3,
            reason: Some(Reason::BestUtility),
            plan: Some(Plan::Single {
                leg: Leg { model: name("first") },
                fallbacks: vec![Leg { model: name("second") }],
            }),
            propensity: Probability::ONE,
            ask: Some(ask),
            unscored: Some(ScoresUnavailable::Late),
            cache: CacheOutcome::Miss,
            attempts: vec![attempt("first", 5, 100, failed), attempt("second", 105, 400, AttemptOutcome::Ok)],
            verdicts: vec![Verdict {
                leg: 0,
                model: name("first"),
                ruling: Ruling::Failed,
                cause: Cause::Error,
                value: None,
            }],
            answered_by: Some(name("second")),
            usage: Usage { input: Tokens(10), output: Tokens(5), ..Usage::default() },
            cost: NanoUsd(2_000_000),
            baseline_cost: Some(NanoUsd(9_000_000)),
            saved: NanoUsd(500),
            times: StageTimes {
                score: Some(Duration::from_millis(2)),
                decide: Some(Duration::from_millis(1)),
                first_token: Some(Duration::from_millis(200)),
                total: Duration::from_millis(505),
                ..StageTimes::default()
            },
            end: Outcome::Success,
        }
    }

    #[test]
    fn a_fallback_is_booked_on_the_model_that_should_have_answered() {
        let telemetry = telemetry();

        telemetry.tell(&fallen_back());

        let text = telemetry.render();
        for line in [
            r#"pointsman_requests_total{code="none",endpoint="chat",outcome="success"} 1"#,
            r#"pointsman_fallbacks_total{model="first",policy="cheap"} 1"#,
            r#"pointsman_attempts_total{code="upstream_timeout",model="first",outcome="failed"} 1"#,
            r#"pointsman_attempts_total{code="none",model="second",outcome="ok"} 1"#,
            r#"pointsman_decisions_total{model="first",policy="cheap",reason="best_utility"} 1"#,
            r#"pointsman_cost_usd_total{model="first",policy="cheap"} 0.001"#,
            r#"pointsman_baseline_cost_usd_total{model="second",policy="cheap"} 0.009"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn routing_and_overhead_are_told_apart() {
        let telemetry = telemetry();

        telemetry.tell(&fallen_back());

        let text = telemetry.render();
        assert!(text.contains(r#"pointsman_gateway_overhead_seconds_sum{cache="miss"} 0.002"#), "{text}");
        assert!(text.contains(r#"pointsman_routing_seconds_sum{policy="cheap"} 0.003"#), "{text}");
    }

    #[test]
    fn time_per_token_counts_the_tokens_after_the_first() {
        let telemetry = telemetry();

        telemetry.tell(&fallen_back());

        let text = telemetry.render();
        let sum =
            text.lines().find(|line| line.starts_with("gen_ai_server_time_per_output_token_seconds_sum")).unwrap();
        let value: f64 = sum.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((value - 0.305 / 4.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn every_row_of_the_table_can_be_filled() {
        let telemetry = telemetry();
        let model = name("first");
        telemetry.tell(&fallen_back());
        telemetry.tell(&RequestRecord { attempts: vec![attempt("third", 0, 9, AttemptOutcome::Ok)], ..fallen_back() });
        telemetry.set_router(Some(("rten", "static-v2", "0123456789abcdef")));
        telemetry.set_cache_size(10, 1);
        telemetry.set_semantic_cache((10, 1));
        telemetry.set_semantic_answers("default", [1, 1, 0, 0], [0.0, 0.0, 0.1, 0.01]);
        telemetry.set_breaker(&model, true);
        telemetry.set_model_state(&model, &Availability::Ready);
        telemetry
            .set_engine_room(&model, &EngineRoom { loaded_in: Some(Duration::from_secs(3)), ..EngineRoom::default() });
        telemetry.set_speculation(&model, &Speculation::measured(40.0, 60.0));
        telemetry.set_ledger_waiting(3);
        let record = Box::new(fallen_back());
        telemetry.graded(&Graded { key: record.key.clone(), record, score: Probability::ONE });
        telemetry.turned_away(RequestId::fresh(), Code::MissingApiKey);

        let text = telemetry.render();

        for row in TABLE {
            assert!(text.contains(&format!("# HELP {} ", row.name)), "{} is never filled", row.name);
        }
    }
}
