//! Black-box tests: the real program on port 0, our own scripted upstream behind it, and the rules of the sources.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and times real programs"
)]

mod architecture;
mod deploy;
