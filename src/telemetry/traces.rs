//! Spans, and their export over OTLP (feature `otel`).
//!
//! A request is one span with the attribute names of the OpenTelemetry GenAI conventions. Without the feature spans still give
//! log lines their context; the endpoint of the configuration is then refused rather than ignored.

use tracing::{Span, field::Empty};

use crate::domain::{Endpoint, RequestId, RequestRecord};

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// This program was built without the exporter.
    #[error(
        "`telemetry.otlp` is set, but this program was built without the feature `otel`; build it with `--features otel`"
    )]
    NotBuilt,
    /// The exporter refuses the endpoint.
    #[error("traces cannot be exported to `telemetry.otlp`: {0}")]
    Exporter(String),
}

/// Returns the span of one request; what is not known yet is filled in by [`tell`].
pub fn request_span(request: RequestId, endpoint: Endpoint) -> Span {
    tracing::info_span!(
        "request",
        request.id = %request,
        gen_ai.operation.name = endpoint.operation(),
        gen_ai.response.model = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        policy.name = Empty,
        cache.outcome = Empty,
        plan.attempts = Empty,
        cost.usd = Empty,
        outcome = Empty,
        error.type = Empty,
    )
}

/// Writes into a request's span what its record says; only names from the configuration, never what the caller wrote.
pub fn tell(span: &Span, record: &RequestRecord) {
    if let Some(model) = &record.answered_by {
        span.record("gen_ai.response.model", model.as_str());
    }
    if let Some(policy) = &record.policy {
        span.record("policy.name", policy.as_str());
    }
    if let Some(code) = record.end.code() {
        span.record("error.type", code);
    }
    span.record("gen_ai.usage.input_tokens", record.usage.input.0);
    span.record("gen_ai.usage.output_tokens", record.usage.output.0);
    span.record("cache.outcome", record.cache.name());
    span.record("plan.attempts", record.attempts.len());
    span.record("cost.usd", record.cost.dollars());
    span.record("outcome", record.end.name());
}

pub use export::Export;

#[cfg(not(feature = "otel"))]
mod export {
    use tracing_subscriber::layer::Identity;

    use super::TraceError;

    /// Sends nothing.
    #[derive(Debug)]
    pub struct Export;

    impl Export {
        /// Returns an export to nowhere.
        ///
        /// # Errors
        /// An endpoint is given.
        pub fn start(endpoint: Option<&str>) -> Result<Self, TraceError> {
            endpoint.map_or(Ok(Self), |_| Err(TraceError::NotBuilt))
        }

        pub(crate) fn layer(&self) -> Identity {
            Identity::new()
        }
    }
}

#[cfg(feature = "otel")]
mod export {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_otlp::{SpanExporter, WithExportConfig};
    use opentelemetry_sdk::{
        Resource,
        trace::{SdkTracerProvider, Tracer},
    };
    use tracing_opentelemetry::OpenTelemetryLayer;
    use tracing_subscriber::Registry;

    use super::TraceError;

    /// Sends finished spans in batches; dropping it sends the rest.
    #[derive(Debug)]
    pub struct Export {
        provider: Option<SdkTracerProvider>,
    }

    impl Export {
        /// Starts the export to an OTLP endpoint over HTTP, for instance `http://localhost:4318/v1/traces`.
        ///
        /// # Errors
        /// The endpoint is no URL.
        pub fn start(endpoint: Option<&str>) -> Result<Self, TraceError> {
            Ok(Self { provider: endpoint.map(provider).transpose()? })
        }

        pub(crate) fn layer(&self) -> Option<OpenTelemetryLayer<Registry, Tracer>> {
            let provider = self.provider.as_ref()?;
            Some(tracing_opentelemetry::layer().with_tracer(provider.tracer("pointsman")))
        }
    }

    impl Drop for Export {
        fn drop(&mut self) {
            let Some(Err(error)) = self.provider.as_ref().map(SdkTracerProvider::shutdown) else { return };
            tracing::warn!(error = %error, "the last traces could not be sent");
        }
    }

    fn provider(endpoint: &str) -> Result<SdkTracerProvider, TraceError> {
        let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build();
        let exporter = exporter.map_err(|error| TraceError::Exporter(error.to_string()))?;
        let resource = Resource::builder().with_service_name("pointsman").build();
        Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, sync::Arc};

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::format::FmtSpan;

    use super::*;
    use crate::telemetry::observe::tests::fallen_back;

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u8>>>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_span_ends_with_what_the_record_says_and_nothing_that_the_caller_wrote() {
        let told = Told::default();
        let writer = told.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_span_events(FmtSpan::CLOSE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let record = RequestRecord { requested_model: "canary-of-the-caller".to_owned(), ..fallen_back() };

        tracing::subscriber::with_default(subscriber, || {
            let span = request_span(record.request, record.endpoint);
            tell(&span, &record);
        });

        let told = String::from_utf8(told.0.lock().clone()).unwrap();
        assert!(told.contains(record.answered_by.as_ref().unwrap().as_str()), "{told}");
        assert!(told.contains("outcome=\"success\""), "{told}");
        assert!(!told.contains("canary"), "{told}");
    }
}
