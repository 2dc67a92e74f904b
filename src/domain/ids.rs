//! Names and identifiers, parsed once at the edge.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    /// The name has no characters.
    #[error("a name must not be empty")]
    Empty,
    /// The name is longer than [`MAX_NAME_BYTES`].
    #[error("a name must not exceed {MAX_NAME_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// A character that is not allowed in names.
    #[error("a name must not contain {0:?}")]
    BadCharacter(char),
}

/// Longest name accepted; header values and metric labels stay short.
pub const MAX_NAME_BYTES: usize = 200;

fn check_name(text: &str) -> Result<(), ParseNameError> {
    if text.is_empty() {
        return Err(ParseNameError::Empty);
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(ParseNameError::TooLong(text.len()));
    }
    match text.chars().find(|c| !(c.is_ascii_graphic()) || matches!(c, '"' | '\\')) {
        Some(bad) => Err(ParseNameError::BadCharacter(bad)),
        None => Ok(()),
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name: 1 to 200 printable ASCII characters without blanks, quotes and backslashes.
            ///
            /// # Errors
            /// The text is empty, too long or has another character.
            pub fn parse(text: &str) -> Result<Self, ParseNameError> {
                check_name(text)?;
                Ok(Self(text.into()))
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseNameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// The name under which a model answers.
    ModelName;
    /// The name of a provider in the configuration.
    ProviderName;
    /// The name of a routing policy.
    PolicyName;
    /// Who pays and who may see what: the scope of caches and budgets.
    TenantId;
    /// One API key, without its secret.
    KeyId;
}

/// Returns what `Uuid::now_v7` does, which has a lock for all threads and asks the operating system for its chance each time.
fn fresh() -> Uuid {
    let millis = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub struct $name(Uuid);

        impl $name {
            /// Returns a fresh identifier that sorts by time, to the millisecond.
            pub fn fresh() -> Self {
                Self(fresh())
            }

            /// Parses what [`fmt::Display`] writes; `None` when the text is something else.
            pub fn parse(text: &str) -> Option<Self> {
                let hex = text.strip_prefix($prefix)?;
                Uuid::try_parse(hex).ok().map(Self)
            }

            /// Returns when it was made, to the millisecond; the epoch for an identifier that carries no time.
            pub fn made_at(self) -> Timestamp {
                let millis = i64::try_from(self.0.as_u64_pair().0 >> 16).unwrap_or_default();
                Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
            }

            /// Returns 64 bits of the identifier, to seed choices made for it.
            pub fn seed(self) -> u64 {
                self.0.as_u64_pair().1
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }
    )*};
}

identifiers! {
    /// One request, for logs and support; sent as `x-request-id`.
    RequestId, "req-";
    /// One decision; sent as `x-pointsman-decision-id` and used to send feedback.
    DecisionId, "dec-";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_and_colons_are_fine() {
        assert!(ModelName::parse("openrouter/meta-llama/llama-3.1:free").is_ok());
    }

    #[test]
    fn identifiers_are_read_back_from_what_is_shown() {
        let request = RequestId::fresh();

        assert_eq!(RequestId::parse(&request.to_string()), Some(request));
        assert_eq!(DecisionId::parse(&request.to_string()), None);
    }

    #[test]
    fn identifiers_are_all_different_and_sort_by_their_millisecond() {
        let before = Timestamp::now().as_millisecond();
        let identifiers: std::collections::BTreeSet<String> =
            (0..1_000).map(|_| RequestId::fresh().to_string()).collect();

        assert_eq!(identifiers.len(), 1_000);
        let first = identifiers.first().unwrap();
        let millis = i64::from_str_radix(&first["req-".len()..][..12], 16).unwrap();
        assert!(millis >= before, "{first}");
    }

    #[test]
    fn names_with_blanks_or_line_breaks_are_refused() {
        assert_eq!(ModelName::parse("a b"), Err(ParseNameError::BadCharacter(' ')));
        assert_eq!(ModelName::parse("a\nb"), Err(ParseNameError::BadCharacter('\n')));
        assert_eq!(ModelName::parse(""), Err(ParseNameError::Empty));
    }
}
