//! `POST /v1/embeddings`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{Services, answer, error::ApiError, intake::Intake};
use crate::{domain::Endpoint, wire::embeddings::EmbeddingsCall};

/// Answers an embeddings request.
pub(super) async fn create(
    services: web::Data<Services>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let intake = Intake::read(&services, Endpoint::Embeddings, &request, payload).await?;
    let (call, context) = intake.understand(&services, &request, EmbeddingsCall::parse, |call| &call.extension)?;
    let answer = services.before_end(services.gateway.embed(call, context)).await??;
    Ok(answer::respond(answer, &services))
}
