//! How tokens are drawn: OpenAI's fields, and those that others add.

use std::collections::BTreeMap;

use super::Sampling;
use crate::wire::parse::{Fields, ParseError};

/// Most a token's logit is moved by, either way.
const MOST_BIAS: f64 = 100.0;

const MOST_REPETITION_PENALTY: f64 = 2.0;

pub(super) fn parse(fields: &Fields<'_>) -> Result<Sampling, ParseError> {
    Ok(Sampling {
        temperature: fields.number("temperature", 0.0..=2.0)?,
        top_p: fields.number("top_p", 0.0..=1.0)?,
        top_k: parse_top_k(fields)?,
        min_p: fields.number("min_p", 0.0..=1.0)?,
        seed: parse_seed(fields)?,
        presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?,
        frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?,
        repetition_penalty: parse_repetition_penalty(fields)?,
        logit_bias: parse_bias(fields)?,
    })
}

/// Reads `seed`; one beyond the range of an `i64` is folded into it, so that the same text gives the same seed.
fn parse_seed(fields: &Fields<'_>) -> Result<Option<i64>, ParseError> {
    Ok(fields.read::<i128>("seed", "a whole number")?.map(|seed| seed as i64))
}

fn parse_top_k(fields: &Fields<'_>) -> Result<Option<u64>, ParseError> {
    match fields.read::<i64>("top_k", "a whole number")? {
        None | Some(-1 | 0) => Ok(None),
        Some(count) if count > 0 => Ok(Some(count.cast_unsigned())),
        Some(count) => {
            let message = format!("`top_k` must be at least 1, or 0 or -1 for all tokens, but it is {count}.");
            Err(ParseError::at("top_k", message))
        }
    }
}

fn parse_repetition_penalty(fields: &Fields<'_>) -> Result<Option<f64>, ParseError> {
    let name = "repetition_penalty";
    match fields.number(name, 0.0..=MOST_REPETITION_PENALTY)? {
        Some(penalty) if penalty <= 0.0 => {
            Err(ParseError::at(name, format!("`{name}` must be above 0; 1 changes nothing.")))
        }
        penalty => Ok(penalty),
    }
}

fn parse_bias(fields: &Fields<'_>) -> Result<Vec<(u32, f32)>, ParseError> {
    let name = "logit_bias";
    let expected = "an object of token ids and numbers";
    let biases: BTreeMap<String, f64> = fields.read(name, expected)?.unwrap_or_default();
    let bias = |(token, bias): (&String, &f64)| {
        let path = format!("{name}.{token}");
        let Ok(id) = token.parse() else {
            return Err(ParseError::at(path, format!("`{name}` has {token:?}, which is no token id.")));
        };
        if !(-MOST_BIAS..=MOST_BIAS).contains(bias) {
            let message = format!("`{path}` must be between -{MOST_BIAS} and {MOST_BIAS}, but it is {bias}.");
            return Err(ParseError::at(path, message));
        }
        Ok((id, *bias as f32))
    };
    biases.iter().map(bias).collect()
}
