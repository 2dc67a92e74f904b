//! `POST /v1/feedback`: a caller's grade of an answer.

use actix_web::{HttpRequest, HttpResponse, http::header::HeaderMap, web};

use super::{Services, body, error::ApiError, intake::authenticate};
use crate::{
    config::RequestLimits,
    domain::{DecisionId, Feedback, Principal, Probability},
    error::Code,
    wire::feedback::{FeedbackCall, FeedbackEntry, MOST_BYTES, render_feedback},
};

/// Longest `Idempotency-Key`, as providers take it.
const MOST_KEY_BYTES: usize = 255;

/// Keeps a grade.
pub(super) async fn create(
    services: web::Data<Services>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let principal = authenticate(&services, &request)?;
    let limits = &services.server.limits;
    let limits = RequestLimits { body_bytes: limits.body_bytes.min(MOST_BYTES), ..limits.clone() };
    let body = body::read(&request, payload, &limits).await?;
    let call = FeedbackCall::parse(body, &services.wire_limits())?;
    let feedback = feedback(call, principal, request.headers())?;
    let (decision, score) = (feedback.decision, feedback.score);
    let filed = services.before_end(services.gateway.grade(feedback)).await??;
    let entry = FeedbackEntry {
        decision_id: decision.to_string(),
        score: score.value(),
        created: filed.at.as_second(),
        texts_kept: filed.has_texts,
    };
    Ok(HttpResponse::Ok().content_type("application/json").body(render_feedback(&entry)))
}

fn feedback(call: FeedbackCall, principal: Principal, headers: &HeaderMap) -> Result<Feedback, ApiError> {
    let decision = DecisionId::parse(&call.decision).ok_or_else(|| {
        let message = "`decision_id` must be what the header x-pointsman-decision-id said: `dec-` and 32 hex digits.";
        ApiError::new(Code::InvalidRequest, message).about("decision_id")
    })?;
    Ok(Feedback {
        decision,
        tenant: principal.tenant,
        key: principal.key,
        score: Probability::clamped(call.score),
        correction: call.correction,
        comment: call.comment,
        once: once(headers)?,
    })
}

fn once(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(text) if !text.is_empty() && text.len() <= MOST_KEY_BYTES => Ok(Some(text.to_owned())),
        _ => {
            let message = format!("`Idempotency-Key` must be 1 to {MOST_KEY_BYTES} printable ASCII characters.");
            Err(ApiError::new(Code::InvalidRequest, message).about("idempotency-key"))
        }
    }
}
