//! `POST /v1/chat/completions`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{Services, answer, error::ApiError, intake::Intake, preferences};
use crate::wire::chat::ChatCall;

/// Answers a chat request, whole or streamed.
pub(super) async fn create(
    services: web::Data<Services>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let intake = Intake::read(&services, &request, payload).await?;
    let call = ChatCall::parse(intake.body.clone(), &services.wire_limits())?;
    let context = intake.context(preferences::join(&call.extension, request.headers())?);
    let answer = services.before_end(services.gateway.chat(call, context)).await??;
    Ok(answer::respond(answer, &services))
}
