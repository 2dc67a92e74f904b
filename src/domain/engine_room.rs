//! How a model that runs inside this process, or in a process of its own, fares.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The state of a local model beyond whether it can be asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineRoom {
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// Requests that have it.
    pub running: usize,
    /// How long a foreground request would wait now.
    #[serde(rename = "expected_wait_seconds", with = "seconds")]
    pub expected_wait: Duration,
    /// How long loading took; `None` before the first time.
    #[serde(rename = "loaded_in_seconds", with = "seconds_or_none")]
    pub loaded_in: Option<Duration>,
    /// Memory that it holds: of its own process, or by how much this one grew while loading it; `None` while nothing is loaded.
    pub resident_bytes: Option<u64>,
    /// Times that an engine with work made no token for too long.
    pub stalls: u64,
    /// Times that an engine died.
    pub deaths: u64,
    /// Times that an engine was started again.
    pub restarts: u64,
    /// Whether too many deaths took it out until an administrator lets it try again.
    pub is_out: bool,
    /// The process that it runs in, where that is its own.
    pub process: Option<u32>,
    /// Tokens that it made together with other models.
    pub decoded: u64,
    /// Of them, tokens for which a gated pair took the large model's logits.
    pub interventions: u64,
}

/// What an administrator can have a local model do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineOrder {
    /// Load, if it is not loaded; a model that was taken out or failed to load tries again.
    Load,
    /// Give its memory back when those who use it are through; the next request loads it again.
    Unload,
}

impl EngineOrder {
    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Unload => "unload",
        }
    }
}

/// Durations as people read them in JSON.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// As [`seconds`], with nothing for nothing.
mod seconds_or_none {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        seconds.map(|seconds| Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_in_json_and_come_back() {
        let (expected_wait, loaded_in) = (Duration::from_millis(1_500), Some(Duration::from_millis(250)));
        let room = EngineRoom { expected_wait, loaded_in, ..EngineRoom::default() };

        let json = serde_json::to_value(&room).unwrap();

        assert_eq!((&json["expected_wait_seconds"], &json["loaded_in_seconds"]), (&1.5.into(), &0.25.into()));
        assert_eq!(serde_json::from_value::<EngineRoom>(json).unwrap(), room);
        let empty = serde_json::to_value(EngineRoom::default()).unwrap();
        assert_eq!(serde_json::from_value::<EngineRoom>(empty).unwrap(), EngineRoom::default());
    }
}
