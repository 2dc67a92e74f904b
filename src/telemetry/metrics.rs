//! The one table of metrics, and the only file that knows the `prometheus` crate.
//!
//! A row is a doc comment (the help text), a field, a kind with its number of labels, a name that ends in its unit, the label
//! names, and for spreads the buckets. The number of labels is part of the type, so a wrong label list does not compile.

use prometheus::{CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

/// Why the table cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the table of metrics contradicts itself")]
pub struct MetricsError(#[from] prometheus::Error);

/// One row of the table, for documents and their tests.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Full name.
    pub name: &'static str,
    /// Help text.
    pub help: &'static str,
    /// Label names.
    pub labels: &'static [&'static str],
    /// Upper bounds of the buckets; empty for everything but spreads.
    pub buckets: &'static [f64],
}

macro_rules! table {
    ($(#[doc = $help:literal] $field:ident: $kind:ident<$labels:literal> = $name:literal [$($label:literal),*] $(in $buckets:ident)?;)*) => {
        /// Every metric.
        #[derive(Debug)]
        pub(super) struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub(super) $field: $kind<$labels>,)*
        }

        /// Every row of the table.
        pub const TABLE: &[Row] = &[$(Row {
            name: $name,
            help: $help.trim_ascii(),
            labels: { let labels: &[&str; $labels] = &[$($label),*]; labels },
            buckets: table!(@buckets $($buckets)?),
        },)*];

        impl Metrics {
            /// Returns every metric, registered.
            pub(super) fn new() -> Result<Self, MetricsError> {
                let registry = Registry::new();
                let mut rows = TABLE.iter();
                $(let $field = $kind::declare(&registry, rows.next())?;)*
                Ok(Self { registry, $($field),* })
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

// OpenTelemetry's buckets for the duration of GenAI operations, widened to ten minutes, the default limit of an attempt.
const OPERATION_SECONDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36];
// OpenTelemetry's buckets for the time to the first token and for the time per token after it.
const FIRST_TOKEN_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const TOKEN_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
// OpenTelemetry's buckets for tokens: powers of four.
const TOKENS: &[f64] = &[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0];
// Our own work is counted in tens of microseconds; beyond a second something is broken.
const OWN_SECONDS: &[f64] =
    &[0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];
const RATIOS: &[f64] = &[0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];

table! {
    /// Time of one attempt at a model, from sending the request to the end of its answer.
    operation_duration: Spread<4> = "gen_ai_client_operation_duration_seconds" ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"] in OPERATION_SECONDS;
    /// Tokens that one attempt read (input) and wrote (output).
    token_usage: Spread<4> = "gen_ai_client_token_usage" ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"] in TOKENS;
    /// Time from the arrival of a streamed request to the first token of its answer.
    first_token: Spread<3> = "gen_ai_server_time_to_first_token_seconds" ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"] in FIRST_TOKEN_SECONDS;
    /// Time per token after the first, of streamed answers that came to their end.
    per_token: Spread<3> = "gen_ai_server_time_per_output_token_seconds" ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"] in TOKEN_SECONDS;

    /// Requests by endpoint and by how they ended; code names the error.
    requests: Count<3> = "pointsman_requests_total" ["endpoint", "outcome", "code"];
    /// Requests that were refused before they could be recorded, by the error: no valid key, or not to be read.
    turned_away: Count<1> = "pointsman_turned_away_total" ["code"];
    /// Time from the arrival of a request to the end of its answer.
    request_duration: Spread<2> = "pointsman_request_duration_seconds" ["endpoint", "cache"] in OPERATION_SECONDS;
    /// Requests that are being answered now.
    in_flight: Level<0> = "pointsman_requests_in_flight" [];
    /// Time from the arrival of a request to its first attempt, or to its end if there was none, without routing.
    overhead: Spread<1> = "pointsman_gateway_overhead_seconds" ["cache"] in OWN_SECONDS;
    /// Time for scoring the prompt and choosing the plan.
    routing: Spread<1> = "pointsman_routing_seconds" ["policy"] in OWN_SECONDS;

    /// Decisions by policy, by reason and by the model that was chosen first.
    decisions: Count<3> = "pointsman_decisions_total" ["policy", "reason", "model"];
    /// Requests that were kept from a policy's strong models because their key had used up its share of them.
    quota_withheld: Count<1> = "pointsman_quota_withheld_total" ["policy"];
    /// Quality that the router model predicted for each candidate.
    scores: Spread<1> = "pointsman_score_ratio" ["model"] in RATIOS;
    /// Grades that callers gave to answers, from 0 to 1, by the policy that decided and the model that answered.
    feedback: Spread<2> = "pointsman_feedback_ratio" ["policy", "model"] in RATIOS;
    /// Requests that were routed without scores, by why there were none.
    scores_unavailable: Count<1> = "pointsman_scores_unavailable_total" ["reason"];
    /// The router model, its checksum and the engine that runs it; always 1.
    router: Level<3> = "pointsman_router_info" ["engine", "artifact", "checksum"];

    /// Lookups in the exact cache by what came of them; bypass means that none was allowed.
    cache_lookups: Count<1> = "pointsman_cache_lookups_total" ["outcome"];
    /// Bytes held by the exact cache.
    cache_bytes: Level<0> = "pointsman_cache_bytes" [];
    /// Answers held by the exact cache.
    cache_entries: Level<0> = "pointsman_cache_entries" [];
    /// Bytes held by the semantic cache.
    semantic_bytes: Level<0> = "pointsman_semantic_cache_bytes" [];
    /// Answers held by the semantic cache.
    semantic_entries: Level<0> = "pointsman_semantic_cache_entries" [];
    /// Near answers of the semantic cache: served, or asked again and found to agree or to differ, or not judged.
    semantic_answers: Level<2> = "pointsman_semantic_cache_answers" ["policy", "outcome"];
    /// Share of wrong answers among near ones: the estimate, lower and upper end of its 95 % interval, and the policy's bound.
    semantic_error: Level<2> = "pointsman_semantic_cache_error_ratio" ["policy", "end"];
    /// What cached answers would have cost, in US dollars.
    cache_saved: Sum<1> = "pointsman_cache_saved_usd_total" ["policy"];

    /// Attempts at models by how they ended; code names the error.
    attempts: Count<3> = "pointsman_attempts_total" ["model", "outcome", "code"];
    /// What plans decided about their legs, and why: accepted, deferred, abandoned while they were written, failed, kept in doubt.
    verdicts: Count<4> = "pointsman_plan_verdicts_total" ["policy", "model", "ruling", "cause"];
    /// Time to the first token beyond that of the call which answered: what holding answers back and asking others first costs.
    plan_delay: Spread<1> = "pointsman_plan_first_token_delay_seconds" ["plan"] in OPERATION_SECONDS;
    /// Requests that were answered by a fallback, by the model that should have answered.
    fallbacks: Count<2> = "pointsman_fallbacks_total" ["policy", "model"];
    /// Whether a model is left alone because it failed too often: 1 while it is.
    breaker_open: Level<1> = "pointsman_breaker_open" ["model"];
    /// The state of each model: 1 for the one it is in.
    model_state: Level<2> = "pointsman_model_state" ["model", "state"];
    /// How much of a model is loaded, from 0 to 1.
    model_loaded: Level<1> = "pointsman_model_loaded_ratio" ["model"];
    /// Requests that wait for a model inside the process.
    queue: Level<1> = "pointsman_queue_waiting" ["model"];
    /// How long attempts at local models waited for their turn.
    queue_wait: Spread<1> = "pointsman_queue_wait_seconds" ["model"] in OPERATION_SECONDS;
    /// How long a local model took to load, the last time.
    engine_load: Level<1> = "pointsman_engine_load_seconds" ["model"];
    /// Memory that a local model holds: of its own process, or by how much this one grew while loading it.
    engine_memory: Level<1> = "pointsman_engine_resident_bytes" ["model"];
    /// Times that an engine of a local model had work and made no token for too long.
    engine_stalls: Count<1> = "pointsman_engine_stalls_total" ["model"];
    /// Times that an engine of a local model died.
    engine_deaths: Count<1> = "pointsman_engine_deaths_total" ["model"];
    /// Times that an engine of a local model was started again.
    engine_restarts: Count<1> = "pointsman_engine_restarts_total" ["model"];
    /// Tokens that a model made by decoding together with others.
    together_tokens: Count<1> = "pointsman_together_tokens_total" ["model"];
    /// Of these tokens, those for which a gated pair took the large model's logits.
    together_interventions: Count<1> = "pointsman_together_interventions_total" ["model"];
    /// Whether a local model is out until an administrator lets it try again: 1 while it is.
    engine_out: Level<1> = "pointsman_engine_out" ["model"];
    /// Whether a local model decodes with proposals: 1 while it does.
    speculation: Level<1> = "pointsman_speculation_on" ["model"];
    /// Tokens per second that were measured when a local model was loaded: decoded plainly, and with proposals.
    speculation_speed: Level<2> = "pointsman_speculation_tokens_per_second" ["model", "decoding"];
    /// By how much proposals sped decoding up when the local model was loaded.
    speculation_speed_up: Level<1> = "pointsman_speculation_speed_up_ratio" ["model"];
    /// Tokens that were proposed to a local model.
    speculation_proposed: Count<1> = "pointsman_speculation_proposed_tokens_total" ["model"];
    /// Proposed tokens that the model accepted.
    speculation_accepted: Count<1> = "pointsman_speculation_accepted_tokens_total" ["model"];
    /// Passes of a local model that checked proposals.
    speculation_passes: Count<1> = "pointsman_speculation_passes_total" ["model"];
    /// Tokens of local models by how they came: of passes that checked proposals, or one by one.
    speculation_tokens: Count<2> = "pointsman_speculation_tokens_total" ["model", "decoding"];

    /// What requests cost, in US dollars.
    cost: Sum<2> = "pointsman_cost_usd_total" ["policy", "model"];
    /// What the same usage would have cost at the baseline model, in US dollars.
    baseline_cost: Sum<2> = "pointsman_baseline_cost_usd_total" ["policy", "model"];
    /// Records that wait to be written to the ledger.
    ledger_waiting: Level<0> = "pointsman_ledger_waiting" [];
    /// Records that were lost because the ledger could not keep up.
    ledger_dropped: Count<0> = "pointsman_ledger_dropped_total" [];

    /// Policy files and configurations that were refused at a reload; the ones before stay in force.
    reload_errors: Count<0> = "pointsman_policy_reload_errors_total" [];
    /// Version and features of this program; always 1.
    build_info: Level<2> = "pointsman_build_info" ["version", "features"];
}

impl Metrics {
    /// Returns all metrics in Prometheus' text format.
    pub(super) fn render(&self) -> String {
        let families = self.registry.gather();
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(error = %error, "metrics cannot be rendered");
            String::new()
        })
    }
}

impl<const LABELS: usize> Level<LABELS> {
    /// Forgets every series.
    pub(super) fn clear(&self) {
        self.0.reset();
    }
}

impl<const LABELS: usize> Count<LABELS> {
    /// Raises the series of these label values to a total that is counted elsewhere.
    pub(super) fn reach(&self, values: [&str; LABELS], total: u64) {
        let series = self.at(values);
        series.inc_by(total.saturating_sub(series.get()));
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($vector:ty) -> $one:ty = |$row:ident| $build:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $kind<const LABELS: usize>($vector);

        impl<const LABELS: usize> $kind<LABELS> {
            /// Returns the series of these label values.
            pub(super) fn at(&self, values: [&str; LABELS]) -> $one {
                self.0.with_label_values(&values)
            }

            fn declare(registry: &Registry, row: Option<&Row>) -> Result<Self, MetricsError> {
                let $row = row.ok_or_else(|| prometheus::Error::Msg("the table has too few rows".to_owned()))?;
                let vector: $vector = $build?;
                registry.register(Box::new(vector.clone()))?;
                let declared = Self(vector);
                declared.show_if_unlabelled();
                Ok(declared)
            }

            // A metric without labels shows its zero from the start; one with labels cannot know its series yet.
            fn show_if_unlabelled(&self) {
                let none: [&str; 0] = [];
                if LABELS == 0 {
                    drop(self.0.with_label_values(&none));
                }
            }
        }
    )*};
}

kinds! {
    /// Counts things.
    Count(IntCounterVec) -> prometheus::IntCounter = |row| IntCounterVec::new(Opts::new(row.name, row.help), row.labels);
    /// Adds up amounts.
    Sum(CounterVec) -> prometheus::Counter = |row| CounterVec::new(Opts::new(row.name, row.help), row.labels);
    /// Says how much there is now.
    Level(GaugeVec) -> prometheus::Gauge = |row| GaugeVec::new(Opts::new(row.name, row.help), row.labels);
    /// Shows how values are spread over buckets.
    Spread(HistogramVec) -> prometheus::Histogram = |row| {
        HistogramVec::new(HistogramOpts::new(row.name, row.help).buckets(row.buckets.to_vec()), row.labels)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_help_sentence() {
        for row in TABLE {
            assert!(row.help.ends_with('.'), "{}: {:?}", row.name, row.help);
        }
    }

    #[test]
    fn names_end_in_what_they_count() {
        for row in TABLE {
            let is_ours = row.name.starts_with("pointsman_") || row.name.starts_with("gen_ai_");
            assert!(is_ours, "{} has a foreign prefix", row.name);
            if !row.buckets.is_empty() {
                let unit = row.name.rsplit('_').next();
                assert!(matches!(unit, Some("seconds" | "ratio" | "usage")), "{} has no unit", row.name);
            }
        }
    }

    #[test]
    fn buckets_rise() {
        for row in TABLE {
            assert!(row.buckets.is_sorted_by(|a, b| a < b), "{}", row.name);
        }
    }

    #[test]
    fn metrics_without_labels_show_their_zero_at_once() {
        let metrics = Metrics::new().unwrap();

        let text = metrics.render();

        assert!(text.contains("pointsman_ledger_dropped_total 0"), "{text}");
        assert!(text.contains("pointsman_requests_in_flight 0"), "{text}");
    }
}
