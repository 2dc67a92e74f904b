//! Token counts of any shape that OpenAI-compatible servers send.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What a `usage` object says; fields that are missing or odd count as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageFields {
    /// `prompt_tokens`, cached ones included.
    pub prompt: u64,
    /// `completion_tokens`, reasoning included.
    pub completion: u64,
    /// `prompt_tokens_details.cached_tokens` (or `prompt_cache_hit_tokens`, as DeepSeek calls it).
    pub cached: u64,
    /// `completion_tokens_details.reasoning_tokens`.
    pub reasoning: u64,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    prompt_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    total_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt_cache_hit_tokens: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    cached_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_tokens: Option<&'a RawValue>,
}

impl UsageFields {
    /// Reads a `usage` value; `None` when it counts neither prompt nor answer, for instance `null` or `{}`.
    pub fn read(raw: &str) -> Option<Self> {
        let document: Document<'_> = serde_json::from_str::<Option<Document<'_>>>(raw).ok()??;
        let prompt = count(document.prompt_tokens);
        let total = count(document.total_tokens);
        let completion = count(document.completion_tokens).or_else(|| Some(total?.saturating_sub(prompt?)));
        if prompt.is_none() && completion.is_none() {
            return None;
        }
        let prompt_details = details(document.prompt_tokens_details);
        let completion_details = details(document.completion_tokens_details);
        let cached = count(prompt_details.cached_tokens).or_else(|| count(document.prompt_cache_hit_tokens));
        Some(Self {
            prompt: prompt.unwrap_or(0),
            completion: completion.unwrap_or(0),
            cached: cached.unwrap_or(0),
            reasoning: count(completion_details.reasoning_tokens).unwrap_or(0),
        })
    }
}

fn details(raw: Option<&RawValue>) -> Details<'_> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// Reads a count; floats are cut, what is negative or no number is no count.
fn count(raw: Option<&RawValue>) -> Option<u64> {
    let raw = raw?.get();
    if let Ok(count) = raw.parse::<u64>() {
        return Some(count);
    }
    let float: f64 = raw.parse().ok()?;
    // A float-to-integer `as` saturates.
    (float.is_finite() && float >= 0.0).then_some(float as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openai_usage_is_read_with_its_details() {
        let raw = r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,
            "prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}"#;

        let expected = UsageFields { prompt: 10, completion: 5, cached: 4, reasoning: 2 };
        assert_eq!(UsageFields::read(raw), Some(expected));
    }

    #[test]
    fn odd_values_are_tolerated() {
        let read = UsageFields::read;

        assert_eq!(read("null"), None);
        assert_eq!(read("{}"), None);
        assert_eq!(read("7"), None);
        let floats = read(r#"{"prompt_tokens":3.0,"completion_tokens":null,"prompt_tokens_details":[]}"#).unwrap();
        assert_eq!((floats.prompt, floats.completion), (3, 0));
        let negative = read(r#"{"prompt_tokens":3,"completion_tokens":-1,"total_tokens":8}"#).unwrap();
        assert_eq!(negative.completion, 5);
        assert_eq!(read(r#"{"prompt_tokens":9,"prompt_cache_hit_tokens":8}"#).unwrap().cached, 8);
    }
}
