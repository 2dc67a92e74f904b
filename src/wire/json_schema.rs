//! Does a value keep to a JSON schema?
//!
//! The keywords that structured outputs are written with are understood: `type`, `enum`, `const`, `required`, `properties`,
//! `additionalProperties`, `items`, `minItems`, `maxItems`, `minLength`, `maxLength`, `minimum` and `maximum`. Any other
//! keyword holds of every value, so a schema that says more is checked for less, never for something else.

use serde_json::{Map, Value};

/// Returns whether a value keeps to a schema.
pub fn keeps(value: &Value, schema: &Value) -> bool {
    has_type(value, schema) && is_listed(value, schema) && within(value, schema)
}

fn has_type(value: &Value, schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => is_of_type(value, name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(|name| is_of_type(value, name)),
        _ => true,
    }
}

fn is_listed(value: &Value, schema: &Value) -> bool {
    let is_among = schema.get("enum").and_then(Value::as_array).is_none_or(|values| values.contains(value));
    is_among && schema.get("const").is_none_or(|only| only == value)
}

fn within(value: &Value, schema: &Value) -> bool {
    match value {
        Value::Object(object) => object_keeps(object, schema),
        Value::Array(items) => list_keeps(items, schema),
        Value::String(text) => has_count(text.chars().count(), ("minLength", "maxLength"), schema),
        Value::Number(number) => number.as_f64().is_none_or(|number| is_in_range(number, schema)),
        Value::Null | Value::Bool(_) => true,
    }
}

fn object_keeps(object: &Map<String, Value>, schema: &Value) -> bool {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let others = schema.get("additionalProperties");
    let property = |key: &str| schema.get("properties").and_then(|properties| properties.get(key));
    let is_kept = |(key, value): (&String, &Value)| match property(key).or(others) {
        None | Some(Value::Bool(true)) => true,
        Some(Value::Bool(false)) => false,
        Some(schema) => keeps(value, schema),
    };
    required.into_iter().all(|key| object.contains_key(key)) && object.iter().all(is_kept)
}

fn list_keeps(items: &[Value], schema: &Value) -> bool {
    has_count(items.len(), ("minItems", "maxItems"), schema)
        && schema.get("items").is_none_or(|schema| items.iter().all(|item| keeps(item, schema)))
}

fn has_count(count: usize, (least, most): (&str, &str), schema: &Value) -> bool {
    let limit = |key: &str| schema.get(key).and_then(Value::as_u64);
    limit(least).is_none_or(|least| count as u64 >= least) && limit(most).is_none_or(|most| count as u64 <= most)
}

fn is_in_range(number: f64, schema: &Value) -> bool {
    let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
    limit("minimum").is_none_or(|least| number >= least) && limit("maximum").is_none_or(|most| number <= most)
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_hold_types_keys_and_counts() {
        let schema = json!({"type": "object", "required": ["n"], "additionalProperties": false,
            "properties": {"n": {"type": "integer"}, "l": {"type": "array", "minItems": 1, "items": {"type": "string"}}}});

        assert!(keeps(&json!({"n": 1, "l": ["a"]}), &schema));
        for bad in [json!([]), json!({}), json!({"n": 1.5}), json!({"n": 1, "x": 2}), json!({"n": 1, "l": []})] {
            assert!(!keeps(&bad, &schema), "{bad}");
        }
    }

    #[test]
    fn schemas_hold_values_lengths_and_ranges() {
        let schema = json!({"properties": {
            "unit": {"enum": ["m", "km"]}, "kind": {"const": "x"}, "note": {"type": ["string", "null"], "maxLength": 3},
            "share": {"minimum": 0, "maximum": 1},
        }, "additionalProperties": {"type": "boolean"}});

        assert!(keeps(&json!({"unit": "m", "kind": "x", "note": null, "share": 0.5, "other": true}), &schema));
        for bad in
            [json!({"unit": "mm"}), json!({"kind": 1}), json!({"note": "long"}), json!({"share": 2}), json!({"o": 1})]
        {
            assert!(!keeps(&bad, &schema), "{bad}");
        }
    }

    #[test]
    fn keywords_that_are_not_known_hold_of_everything() {
        assert!(keeps(&json!("x"), &json!({"format": "date", "not": {"type": "string"}})));
    }
}
