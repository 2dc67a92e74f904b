//! What every model endpoint does first: who asks, and with what body.

use std::time::Duration;

use actix_web::{HttpMessage, HttpRequest, http::header, web};
use bytes::Bytes;
use tokio::time::Instant;

use super::{Services, body, error::ApiError};
use crate::{
    domain::{Preferences, Principal, RequestId},
    gateway::RequestContext,
};

/// When a request came and what it is called; noted before anything else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) request: RequestId,
    pub(super) at: Instant,
}

impl Arrival {
    /// Returns the arrival of a request whose head has just been read.
    pub(super) fn now() -> Self {
        Self { request: RequestId::fresh(), at: Instant::now() }
    }

    /// Returns the arrival that was noted for a request.
    pub(super) fn of(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().copied().unwrap_or_else(Self::now)
    }
}

/// A request whose caller is known and whose body is read.
pub(super) struct Intake {
    arrival: Arrival,
    principal: Principal,
    auth: Duration,
    body_read: Instant,
    /// The body.
    pub(super) body: Bytes,
}

impl Intake {
    /// Authenticates, then reads the body.
    pub(super) async fn read(
        services: &Services,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<Self, ApiError> {
        let started = Instant::now();
        let principal = authenticate(services, request)?;
        let auth = started.elapsed();
        let body = body::read(request, payload, &services.server.limits).await?;
        Ok(Self { arrival: Arrival::of(request), principal, auth, body_read: Instant::now(), body })
    }

    /// Returns what the gateway has to know besides the body, which is parsed by now.
    pub(super) fn context(self, preferences: Preferences) -> RequestContext {
        RequestContext {
            request: self.arrival.request,
            arrived: self.arrival.at,
            auth: self.auth,
            parse: self.body_read.elapsed(),
            principal: self.principal,
            preferences,
        }
    }
}

/// Returns who asks.
pub(super) fn authenticate(services: &Services, request: &HttpRequest) -> Result<Principal, ApiError> {
    Ok(services.keys.authenticate(credential(request))?)
}

/// Returns the value of the `authorization` header.
pub(super) fn credential(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::AUTHORIZATION)?.to_str().ok()
}
