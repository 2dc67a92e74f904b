//! Metrics, traces and the one log line per request.
