//! Human languages by their codes.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Every language that can be told from a text: ISO 639-1 code and ISO 639-3 code. Norwegian stands for its written form
/// Bokmål, Chinese for Mandarin, Persian for its Iranian form.
const CODES: [(&str, &str); 70] = [
    ("af", "afr"),
    ("ak", "aka"),
    ("am", "amh"),
    ("ar", "ara"),
    ("az", "aze"),
    ("be", "bel"),
    ("bg", "bul"),
    ("bn", "ben"),
    ("ca", "cat"),
    ("cs", "ces"),
    ("cy", "cym"),
    ("da", "dan"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("eo", "epo"),
    ("es", "spa"),
    ("et", "est"),
    ("fa", "pes"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("gu", "guj"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("hy", "hye"),
    ("id", "ind"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("jv", "jav"),
    ("ka", "kat"),
    ("km", "khm"),
    ("kn", "kan"),
    ("ko", "kor"),
    ("la", "lat"),
    ("lt", "lit"),
    ("lv", "lav"),
    ("mk", "mkd"),
    ("ml", "mal"),
    ("mr", "mar"),
    ("my", "mya"),
    ("ne", "nep"),
    ("nl", "nld"),
    ("no", "nob"),
    ("or", "ori"),
    ("pa", "pan"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("si", "sin"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sn", "sna"),
    ("sr", "srp"),
    ("sv", "swe"),
    ("ta", "tam"),
    ("te", "tel"),
    ("th", "tha"),
    ("tk", "tuk"),
    ("tl", "tgl"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("uz", "uzb"),
    ("vi", "vie"),
    ("yi", "yid"),
    ("zh", "cmn"),
    ("zu", "zul"),
];

/// A language, known by its ISO 639-1 code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(&'static str);

/// Why a language was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not the two-letter code of a language that can be told from a text")]
pub struct ParseLanguageError(String);

impl Language {
    /// Parses a code of two letters.
    ///
    /// # Errors
    /// It is not among the languages that can be told from a text.
    pub fn parse(code: &str) -> Result<Self, ParseLanguageError> {
        let found = CODES.iter().find(|(short, _)| *short == code);
        found.map(|(short, _)| Self(short)).ok_or_else(|| ParseLanguageError(code.to_owned()))
    }

    /// Returns the language with an ISO 639-3 code.
    pub fn of_three_letters(code: &str) -> Option<Self> {
        CODES.iter().find(|(_, long)| *long == code).map(|(short, _)| Self(short))
    }

    /// Returns its code, two letters.
    pub const fn code(self) -> &'static str {
        self.0
    }
}

impl Serialize for Language {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl JsonSchema for Language {
    fn schema_name() -> Cow<'static, str> {
        "Language".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let codes: Vec<&str> = CODES.iter().map(|(short, _)| *short).collect();
        json_schema!({ "description": "A language by its two-letter code (ISO 639-1).", "type": "string", "enum": codes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_codes_of_a_language_mean_the_same() {
        assert_eq!(Language::of_three_letters("deu"), Language::parse("de").ok());
        assert!(CODES.is_sorted(), "codes are found by eye in the order of the alphabet");
    }

    #[test]
    fn an_unknown_code_is_refused_by_name() {
        let refused = Language::parse("german").unwrap_err();

        assert_eq!(
            refused.to_string(),
            "\"german\" is not the two-letter code of a language that can be told from a text"
        );
    }
}
