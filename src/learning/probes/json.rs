//! Comparing JSON in answers.

use serde_json::Value;

use crate::domain::final_answer::numbers_equal;

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
}
