//! `POST /v1/embeddings`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{Services, answer, error::ApiError, intake::Intake, preferences};
use crate::wire::embeddings::EmbeddingsCall;

/// Answers an embeddings request.
pub(super) async fn create(
    services: web::Data<Services>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let intake = Intake::read(&services, &request, payload).await?;
    let call = EmbeddingsCall::parse(intake.body.clone(), &services.wire_limits())?;
    let context = intake.context(preferences::join(&call.extension, request.headers())?);
    let answer = services.before_end(services.gateway.embed(call, context)).await??;
    Ok(answer::respond(answer, &services))
}
