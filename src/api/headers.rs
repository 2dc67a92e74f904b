//! What a response's head says of the way its request went.

use std::{fmt::Write as _, time::Duration};

use actix_web::{HttpResponseBuilder, http::header::HeaderName};

use crate::{admission::RateStatus, domain::StageTimes, gateway::Passage};

/// The request; support asks for it.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Whether asking again can help; the OpenAI SDKs obey it.
pub(super) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// What a whole answer cost; a stream says it in its last comment.
pub(super) const COST: &str = "x-pointsman-cost-usd";

/// Writes the headers that tell which model answered, by which policy and plan, from which cache, at what cost and how fast.
pub(super) fn write_passage(passage: &Passage, response: &mut HttpResponseBuilder) {
    response.insert_header((REQUEST_ID, passage.request.to_string()));
    response.insert_header(("x-pointsman-decision-id", passage.decision.to_string()));
    response.insert_header(("x-pointsman-cache", passage.cache.name()));
    if let Some(model) = &passage.model {
        response.insert_header(("x-pointsman-model", model.as_str()));
    }
    if let Some(policy) = &passage.policy {
        response.insert_header(("x-pointsman-policy", format!("{policy}@{}", passage.policy_version)));
    }
    if let Some(plan) = passage.plan {
        response.insert_header(("x-pointsman-plan", plan.name()));
    }
    if let Some(cost) = passage.cost {
        response.insert_header((COST, cost.to_string()));
    }
    for (name, value) in passage.rates.iter().flat_map(RateStatus::headers) {
        response.insert_header((name, value));
    }
    response.insert_header(("server-timing", server_timing(&passage.times)));
}

fn server_timing(times: &StageTimes) -> String {
    let stages = [
        ("auth", times.auth),
        ("parse", times.parse),
        ("cache", times.cache),
        ("score", times.score),
        ("decide", times.decide),
        ("first_token", times.first_token),
    ];
    let mut text = String::with_capacity(128);
    for (name, took) in stages {
        if let Some(took) = took {
            write_stage(name, took, &mut text);
        }
    }
    text
}

fn write_stage(name: &str, took: Duration, text: &mut String) {
    let separator = if text.is_empty() { "" } else { ", " };
    // Writing into a string cannot fail.
    write!(text, "{separator}{name};dur={:.3}", took.as_secs_f64() * 1e3).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stages_that_ran_are_timed() {
        let times = StageTimes {
            auth: Some(Duration::from_micros(12)),
            decide: Some(Duration::from_millis(3)),
            ..StageTimes::default()
        };

        assert_eq!(server_timing(&times), "auth;dur=0.012, decide;dur=3.000");
    }
}
