//! JSON in answers: finding it, comparing it, holding it to a schema.

use serde_json::{Deserializer, Map, Value};

use super::{check::fenced, final_answer::numbers_equal};

/// Returns the first JSON object or list in a text; a fenced block is looked at first.
pub(super) fn find(text: &str) -> Option<Value> {
    fenced(text).and_then(first_value).or_else(|| first_value(text))
}

fn first_value(text: &str) -> Option<Value> {
    let starts = text.char_indices().filter(|(_, character)| matches!(character, '{' | '['));
    let values = starts.filter_map(|(start, _)| text.get(start..));
    values.filter_map(|rest| Deserializer::from_str(rest).into_iter::<Value>().next()?.ok()).next()
}

/// Returns whether two values say the same: strings in any case and without outer blanks, numbers by value, no key more or less.
pub(super) fn equals(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::String(found), Value::String(expected)) => {
            found.trim().to_lowercase() == expected.trim().to_lowercase()
        }
        (Value::Number(found), Value::Number(expected)) => {
            found.as_f64().zip(expected.as_f64()).is_some_and(|(found, expected)| numbers_equal(found, expected))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| equals(found, expected))
        }
        (Value::Object(found), Value::Object(expected)) => {
            let same = |(key, value): (&String, &Value)| found.get(key).is_some_and(|found| equals(found, value));
            found.len() == expected.len() && expected.iter().all(same)
        }
        _ => found == expected,
    }
}

/// Returns whether a value keeps to a schema of `type`, `required`, `properties`, `additionalProperties: false`, `items`,
/// `minItems` and `maxItems`: all that the probes use.
pub(super) fn keeps(value: &Value, schema: &Value) -> bool {
    let has_type = schema.get("type").and_then(Value::as_str).is_none_or(|name| is_of_type(value, name));
    has_type
        && match value {
            Value::Object(object) => object_keeps(object, schema),
            Value::Array(items) => list_keeps(items, schema),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
}

fn object_keeps(object: &Map<String, Value>, schema: &Value) -> bool {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let property = |key: &str| schema.get("properties").and_then(|properties| properties.get(key));
    let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    required.into_iter().all(|key| object.contains_key(key))
        && object.iter().all(|(key, value)| property(key).map_or(!is_closed, |schema| keeps(value, schema)))
}

fn list_keeps(items: &[Value], schema: &Value) -> bool {
    let limit = |key: &str| schema.get(key).and_then(Value::as_u64);
    let count = items.len() as u64;
    limit("minItems").is_none_or(|least| count >= least)
        && limit("maxItems").is_none_or(|most| count <= most)
        && schema.get("items").is_none_or(|schema| items.iter().all(|item| keeps(item, schema)))
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_found_bare_fenced_and_after_words() {
        let expected = json!({"a": 1});

        for text in ["{\"a\": 1}", "Here:\n```json\n{\"a\": 1}\n```", "Sure [as asked]: {\"a\": 1} - done"] {
            assert_eq!(find(text), Some(expected.clone()), "{text}");
        }
        assert_eq!(find("no JSON {here}"), None);
    }

    #[test]
    fn values_are_compared_by_what_they_say() {
        let expected = json!({"name": "Ola Nord", "n": 2, "tags": ["x"]});

        assert!(equals(&json!({"tags": ["X"], "n": 2.0, "name": " ola nord"}), &expected));
        for bad in [
            json!({"name": "Ola", "n": 2, "tags": ["x"]}),
            json!({"name": "Ola Nord", "n": "2", "tags": ["x"]}),
            json!({"name": "Ola Nord", "n": 2, "tags": []}),
            json!({"name": "Ola Nord", "n": 2, "tags": ["x"], "more": 1}),
            json!({"name": "Ola Nord", "n": 2}),
        ] {
            assert!(!equals(&bad, &expected), "{bad}");
        }
    }

    #[test]
    fn schemas_hold_types_keys_and_counts() {
        let schema = json!({"type": "object", "required": ["n"], "additionalProperties": false,
            "properties": {"n": {"type": "integer"}, "l": {"type": "array", "minItems": 1, "items": {"type": "string"}}}});

        assert!(keeps(&json!({"n": 1, "l": ["a"]}), &schema));
        for bad in [json!([]), json!({}), json!({"n": 1.5}), json!({"n": 1, "x": 2}), json!({"n": 1, "l": []})] {
            assert!(!keeps(&bad, &schema), "{bad}");
        }
    }
}
