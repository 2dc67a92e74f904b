//! Whose work goes first where work has to wait.

use serde::{Deserialize, Serialize};

/// How urgent a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Nobody waits for it, or an answer can be had without it: probes, audits. It yields to foreground work.
    Background,
    /// A caller waits for it.
    #[default]
    Foreground,
}
