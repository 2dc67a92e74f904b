//! Does an answer have the form that it should?

use serde_json::Value;

use crate::{
    domain::AnswerForm,
    wire::{chat::ResponseFormat, json_schema::keeps},
};

/// Returns whether a text has a form; `requested` is what the request asks for.
pub(super) fn has(text: &str, form: &AnswerForm, requested: &ResponseFormat) -> bool {
    match form {
        AnswerForm::Matches(pattern) => pattern.is_in(text),
        AnswerForm::Schema(schema) => json(unfenced(text)).is_some_and(|value| keeps(&value, schema)),
        AnswerForm::Requested => match requested {
            ResponseFormat::Text => true,
            // Whoever asked for JSON reads it as it is, so a fence is a fault.
            ResponseFormat::JsonObject => json(text).is_some_and(|value| value.is_object()),
            ResponseFormat::JsonSchema(schema) => {
                let (value, schema) = (json(text), json(schema));
                value.is_some_and(|value| schema.is_none_or(|schema| keeps(&value, &schema)))
            }
        },
    }
}

fn json(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// Returns what stands inside a fence of three backticks around all of a text, or the text itself.
fn unfenced(text: &str) -> &str {
    let inside = text.trim().strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    inside.and_then(|inside| inside.split_once('\n')).map_or(text, |(_, body)| body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::AnswerPattern;

    #[test]
    fn what_the_request_asks_for_is_checked_as_its_reader_would() {
        let schema = ResponseFormat::JsonSchema(r#"{"type":"object","required":["a"]}"#.to_owned());
        let has = |text, format: &ResponseFormat| has(text, &AnswerForm::Requested, format);

        assert!(has("anything", &ResponseFormat::Text));
        assert!(has("{}", &ResponseFormat::JsonObject) && has(r#" {"a":1} "#, &schema));
        for (text, format) in [
            ("[]", &ResponseFormat::JsonObject),
            ("```json\n{}\n```", &ResponseFormat::JsonObject),
            ("{}", &schema),
            ("{", &schema),
        ] {
            assert!(!has(text, format), "{text}");
        }
    }

    #[test]
    fn a_policys_schema_may_be_fenced() {
        let form = AnswerForm::Schema(json!({"type": "object"}));

        assert!(has("```json\n{\"a\": 1}\n```", &form, &ResponseFormat::Text));
        assert!(!has("Sure: {}", &form, &ResponseFormat::Text));
    }

    #[test]
    fn a_pattern_is_searched_for() {
        let form = AnswerForm::Matches(AnswerPattern::parse(r"(?i)\banswer: [a-d]\b").unwrap());

        assert!(has("So.\nAnswer: B", &form, &ResponseFormat::Text));
        assert!(!has("So B", &form, &ResponseFormat::Text));
    }
}
