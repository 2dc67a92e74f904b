//! Pointsman: an LLM gateway that decides, for every prompt, which models answer and how.
//!
//! # The way of a request
//!
//! ```text
//! api          authenticate          header            -> Principal              401
//! api          parse                 bytes             -> ChatCall               400, and nowhere later
//! accounting   open                  RecordGuard: from here exactly one record, whatever happens
//! gateway      snapshot              policies.current()   one Arc for the whole request
//! admission    admit                 (&ChatCall, &Limits) -> Permit              429 / 503, RAII
//! cache        look up               Hit(Reply) | Join(running call) | Miss(duty to launch and keep)
//! scoring      score                 &PromptView       -> Scores                 failure or deadline -> unavailable, never 5xx
//! cache        look near             Scores            -> a stored answer to the same in other words, or a lesson to learn
//! routing      decide                Strategy::decide(&Ask) -> Decision { plan, reason, alternatives }    pure
//! execute      run                   Plan              -> Reply::{Whole, Stream}
//! api          respond               Reply             -> HTTP / SSE
//! accounting   close                 RecordGuard::close(outcome); its Drop says ClientGone
//! telemetry    tell                  RequestRecord     -> metrics, trace, one log line
//! ```
//!
//! Stages return; a stage never calls the next. Only `gateway` knows the order.
//!
//! # Layers
//!
//! Imports point downward only; rooms on one step never import each other (`tests/it/architecture.rs` checks it):
//!
//! ```text
//! 8 app main   7 api   6 gateway   5 execute policy learning   4 admission cache scoring routing backends accounting feedback
//! 3 telemetry artifacts   2 config   1 domain   0 wire error runtime
//! ```

pub mod accounting;
pub mod admission;
pub mod api;
pub mod app;
pub mod artifacts;
pub mod backends;
pub mod cache;
pub mod config;
pub mod domain;
pub mod error;
pub mod execute;
pub mod feedback;
pub mod gateway;
pub mod learning;
pub mod policy;
pub mod routing;
pub mod runtime;
pub mod scoring;
pub mod telemetry;
pub mod wire;
