//! Spans, and their export over OTLP (feature `otel`).
//!
//! A request is one span with the attribute names of the OpenTelemetry GenAI conventions. Without the feature spans still give
//! log lines their context; the endpoint of the configuration is then refused rather than ignored.

use tracing::Span;

use crate::domain::{Endpoint, RequestId};

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

/// Returns the span of one request.
pub fn request_span(request: RequestId, endpoint: Endpoint) -> Span {
    tracing::info_span!("request", request.id = %request, gen_ai.operation.name = endpoint.operation())
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
