//! What a request wants of the routing: its `pointsman` field and its headers, joined.
//!
//! Headers are often set once for a whole client, the field for one request: where both name a quality, the field counts. Hard
//! constraints only ever add up: the lower cost, the shorter time, all tags, every `no-`.

use std::{collections::BTreeSet, time::Duration};

use actix_web::http::header::HeaderMap;

use super::error::ApiError;
use crate::{
    domain::{CacheControl, NanoUsd, Preferences, Probability, Tag},
    error::Code,
    wire::chat::Extension,
};

const QUALITY: &str = "x-pointsman-quality";
const MAX_COST: &str = "x-pointsman-max-cost";
const MAX_LATENCY: &str = "x-pointsman-max-latency-ms";
const TAGS: &str = "x-pointsman-tags";
const EXPLAIN: &str = "x-pointsman-explain";
const CACHE_CONTROL: &str = "cache-control";

/// Joins field and headers.
pub(super) fn join(field: &Extension, headers: &HeaderMap) -> Result<Preferences, ApiError> {
    let quality = field.quality.or(number(headers, QUALITY, 0.0..=1.0)?);
    let max_cost = lower(field.max_cost, number(headers, MAX_COST, 0.0..=f64::MAX)?);
    let max_latency = lower(field.max_latency_ms, number(headers, MAX_LATENCY, 0.0..=f64::MAX)?);
    Ok(Preferences {
        quality: quality.map(Probability::clamped),
        max_cost: max_cost.map(NanoUsd::from_dollars),
        max_latency: max_latency.map(millis),
        tags: tags(&field.tags, text(headers, TAGS)?),
        cache: cache_control(field.cache.as_deref(), text(headers, CACHE_CONTROL)?),
        cache_tags: tags(&field.cache_tags, None),
        scope: field.scope.clone(),
        explain: field.explain || flag(headers, EXPLAIN)?,
    })
}

fn lower(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn millis(amount: f64) -> Duration {
    Duration::try_from_secs_f64(amount / 1e3).unwrap_or(Duration::MAX)
}

fn tags(field: &[String], header: Option<&str>) -> BTreeSet<Tag> {
    let listed = header.unwrap_or_default().split(',').map(str::trim).filter(|tag| !tag.is_empty());
    field.iter().map(String::as_str).chain(listed).map(|tag| Tag(tag.to_owned())).collect()
}

/// Reads what narrows caching; other directives are for caches on the way.
fn cache_control(field: Option<&str>, header: Option<&str>) -> CacheControl {
    let words = || field.into_iter().chain(header).flat_map(|text| text.split(','));
    let says = |wanted: &str| words().any(|word| word.trim().eq_ignore_ascii_case(wanted));
    CacheControl { no_store: says("no-store"), no_cache: says("no-cache") }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| bad(name, "it must be plain text."))
}

fn number(headers: &HeaderMap, name: &str, range: std::ops::RangeInclusive<f64>) -> Result<Option<f64>, ApiError> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    let expected = if *range.end() < f64::MAX {
        format!("a number between {} and {}", range.start(), range.end())
    } else {
        "a number that is not negative".to_owned()
    };
    match text.trim().parse::<f64>() {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(bad(name, &format!("it must be {expected}, but it is {text:?}."))),
    }
}

fn flag(headers: &HeaderMap, name: &str) -> Result<bool, ApiError> {
    match text(headers, name)?.map(str::trim) {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(bad(name, &format!("it must be 1 or 0, but it is {other:?}."))),
    }
}

fn bad(name: &str, why: &str) -> ApiError {
    ApiError::new(Code::InvalidRequest, format!("The header `{name}` cannot be used: {why}")).about(name)
}

#[cfg(test)]
mod tests {
    use actix_web::{ResponseError, http::header::HeaderName, test::TestRequest};

    use super::*;

    fn joined(field: &Extension, headers: &[(&'static str, &'static str)]) -> Result<Preferences, ApiError> {
        let mut request = TestRequest::post();
        for (name, value) in headers {
            request = request.insert_header((HeaderName::from_static(name), *value));
        }
        join(field, request.to_http_request().headers())
    }

    #[test]
    fn headers_alone_are_enough() {
        let preferences = joined(
            &Extension::default(),
            &[
                ("x-pointsman-quality", "0.7"),
                ("x-pointsman-max-cost", "0.01"),
                ("x-pointsman-max-latency-ms", "1500"),
                ("x-pointsman-tags", "eu, open_weights"),
                ("x-pointsman-explain", "1"),
                ("cache-control", "No-Store, max-age=0"),
            ],
        )
        .unwrap();

        let expected = Preferences {
            quality: Some(Probability::clamped(0.7)),
            max_cost: Some(NanoUsd(10_000_000)),
            max_latency: Some(Duration::from_millis(1500)),
            tags: BTreeSet::from([Tag("eu".to_owned()), Tag("open_weights".to_owned())]),
            cache: CacheControl { no_store: true, no_cache: false },
            cache_tags: BTreeSet::new(),
            scope: None,
            explain: true,
        };
        assert_eq!(preferences, expected);
    }

    #[test]
    fn field_and_headers_add_up() {
        let field = Extension {
            quality: Some(0.1),
            max_cost: Some(2.0),
            tags: vec!["eu".to_owned()],
            cache: Some("no-cache".to_owned()),
            ..Extension::default()
        };
        let headers = [("x-pointsman-quality", "0.9"), ("x-pointsman-max-cost", "1"), ("x-pointsman-tags", "small")];

        let preferences = joined(&field, &headers).unwrap();

        assert_eq!(preferences.quality, Some(Probability::clamped(0.1)));
        assert_eq!(preferences.max_cost, Some(NanoUsd::from_dollars(1.0)));
        assert_eq!(preferences.tags.len(), 2);
        assert!(preferences.cache.no_cache && !preferences.cache.no_store);
    }

    #[test]
    fn bad_headers_are_named() {
        let refusal = |name, value| {
            let error = joined(&Extension::default(), &[(name, value)]).unwrap_err();
            (error.status_code().as_u16(), error.to_string())
        };

        let (status, message) = refusal("x-pointsman-quality", "high");
        assert_eq!(status, 400);
        assert!(message.contains("x-pointsman-quality") && message.contains("between 0 and 1"), "{message}");
        assert_eq!(refusal("x-pointsman-max-cost", "-1").0, 400);
        assert_eq!(refusal("x-pointsman-max-cost", "NaN").0, 400);
        assert_eq!(refusal("x-pointsman-explain", "please").0, 400);
    }
}
