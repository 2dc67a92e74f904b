//! `POST /v1/chat/completions`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{Services, answer, error::ApiError, intake::Intake};
use crate::{domain::Endpoint, wire::chat::ChatCall};

/// Answers a chat request, whole or streamed.
pub(super) async fn create(
    services: web::Data<Services>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let intake = Intake::read(&services, Endpoint::Chat, &request, payload).await?;
    let (call, context) = intake.understand(&services, &request, ChatCall::parse, |call| &call.extension)?;
    let answer = services.before_end(services.gateway.chat(call, context)).await??;
    Ok(answer::respond(answer, &services))
}
