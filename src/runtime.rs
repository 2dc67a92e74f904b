//! What everything stands on: the clock, the tasks that run, and the token that stops them.
//!
//! Time comes in through [`Clock`] so that tests decide what time it is; every background task is spawned through [`Tasks`]
//! so that shutdown can wait for it; [`Stop`] says that the program is draining or has to end; [`fn@watch`] reads files again
//! when they change.

pub mod clock;
pub mod stop;
pub mod tasks;
pub mod watch;

pub use clock::{Clock, SharedClock, SystemClock, TestClock};
pub use stop::{Phase, Stop};
pub use tasks::Tasks;
pub use watch::watch;
