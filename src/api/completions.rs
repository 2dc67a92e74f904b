//! `POST /v1/completions`, passed through to models that offer it.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{Services, answer, error::ApiError, intake::Intake};
use crate::{domain::Endpoint, wire::text::TextCompletionCall};

/// Answers a text completion request, whole or streamed.
pub(super) async fn create(
    services: web::Data<Services>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let intake = Intake::read(&services, Endpoint::Completions, &request, payload).await?;
    let (call, context) = intake.understand(&services, &request, TextCompletionCall::parse, |call| &call.extension)?;
    let answer = services.before_end(services.gateway.complete(call, context)).await??;
    Ok(answer::respond(answer, &services))
}
