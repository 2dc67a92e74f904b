//! Black-box tests: the real program on port 0, our own scripted upstream behind it, and the rules of the sources.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and times real programs"
)]

mod admission;
mod agree;
mod architecture;
mod caching;
mod cascade;
mod cascade_routing;
mod command_line;
mod deploy;
mod engines;
mod ensemble;
mod errors;
mod evaluate;
mod feedback;
mod harness;
mod hedging;
mod invariants;
mod isolation;
mod learning_from_traffic;
mod lifecycle;
mod meaning;
mod metrics;
mod passing_through;
mod plan_evidence;
mod policies;
mod profile;
mod quotas;
mod readme;
mod redteam;
mod resilience;
mod router_model;
mod rules;
mod stored;
mod strategies;
mod streaming;
mod topology;
