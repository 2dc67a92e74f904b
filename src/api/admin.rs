//! The admin API: what the gateway is doing and why, its policies, and what its caches hold.

pub(super) mod cache;
pub(super) mod models;
pub(super) mod policies;
pub(super) mod router;

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web,
};
use secrecy::ExposeSecret;
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::{
    Services, body,
    error::ApiError,
    intake::{Arrival, credential},
    preferences,
};
use crate::{
    domain::{KeyId, KeyLimits, Principal, TenantId},
    error::Code,
    gateway::RequestContext,
    wire::chat::ChatCall,
};

/// Lets in who knows the admin token; without a configured token everyone who reaches the listener, which is then bound to
/// loopback.
pub(super) async fn authorize<B: MessageBody + 'static>(
    services: web::Data<Services>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let leave =
        check_token(&services, credential(request.request())).and_then(|()| check_origin(&services, request.request()));
    match leave {
        Ok(()) => Ok(next.call(request).await?.map_into_boxed_body()),
        Err(error) => Ok(request.into_response(error.error_response())),
    }
}

/// Refuses web pages where no token is needed: a page from anywhere could otherwise change policies on this machine through
/// the browser of whoever looks at it. Browsers name the page in `Origin`; other clients do not.
fn check_origin(services: &Services, request: &HttpRequest) -> Result<(), ApiError> {
    if services.admin.token.is_some() || !request.headers().contains_key(header::ORIGIN) {
        return Ok(());
    }
    let message = "The admin API takes no requests from web pages unless it has a token; set `admin.token`.";
    Err(ApiError::new(Code::Forbidden, message).about("origin"))
}

fn check_token(services: &Services, credential: Option<&str>) -> Result<(), ApiError> {
    let Some(token) = &services.admin.token else { return Ok(()) };
    let Some(given) = credential else {
        let message = "The admin API needs the admin token; send it as `Authorization: Bearer ...`.";
        return Err(ApiError::new(Code::MissingApiKey, message));
    };
    let given = given.strip_prefix("Bearer ").unwrap_or(given).trim();
    if bool::from(token.expose_secret().as_bytes().ct_eq(given.as_bytes())) {
        return Ok(());
    }
    Err(ApiError::new(Code::InvalidApiKey, "The admin token is wrong."))
}

/// Shows how the gateway is, its policies, and what keeps newer ones out.
pub(super) async fn status(services: web::Data<Services>) -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "health": services.gateway.health(),
        "policies": services.policies.status(),
    }))
}

/// Explains how a chat request would be answered; nothing is called.
pub(super) async fn explain(
    services: web::Data<Services>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let bytes = body::read(&request, payload, &services.server.limits).await?;
    let call = ChatCall::parse(bytes, &services.wire_limits())?;
    let context = context(&request, &call)?;
    let explanation = Box::pin(services.gateway.explain(call, context)).await?;
    Ok(HttpResponse::Ok().json(explanation))
}

fn context(request: &HttpRequest, call: &ChatCall) -> Result<RequestContext, ApiError> {
    let arrival = Arrival::of(request);
    Ok(RequestContext {
        request: arrival.request,
        arrived: arrival.at,
        auth: std::time::Duration::ZERO,
        parse: Instant::now() - arrival.at,
        principal: admin()?,
        preferences: preferences::join(&call.extension, request.headers())?,
    })
}

/// Returns the caller that admins are: every policy, no limits.
fn admin() -> Result<Principal, ApiError> {
    let internal = |_| ApiError::internal();
    Ok(Principal {
        tenant: TenantId::parse("admin").map_err(internal)?,
        key: KeyId::parse("admin").map_err(internal)?,
        limits: KeyLimits::default(),
        policies: Vec::new(),
    })
}
