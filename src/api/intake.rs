//! What every model endpoint does first: who asks, and with what body.

use std::time::Duration;

use actix_web::{HttpMessage, HttpRequest, http::header, web};
use bytes::Bytes;
use tokio::time::Instant;

use super::{Services, body, error::ApiError, preferences};
use crate::{
    domain::{Endpoint, Preferences, Principal, RequestId},
    gateway::RequestContext,
    wire::{
        chat::Extension,
        parse::{Limits, ParseError},
    },
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
    endpoint: Endpoint,
    arrival: Arrival,
    principal: Principal,
    auth: Duration,
    body_read: Instant,
    body: Bytes,
}

impl Intake {
    /// Authenticates, then reads the body. From here on whatever goes wrong is booked.
    pub(super) async fn read(
        services: &Services,
        endpoint: Endpoint,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<Self, ApiError> {
        let started = Instant::now();
        let principal = authenticate(services, request)?;
        let auth = started.elapsed();
        let read = body::read(request, payload, &services.server.limits).await;
        let (body, error) = read.map_or_else(|error| (Bytes::new(), Some(error)), |body| (body, None));
        let arrival = Arrival::of(request);
        let intake = Self { endpoint, arrival, principal, auth, body_read: Instant::now(), body };
        match error {
            None => Ok(intake),
            Some(error) => Err(intake.refused(services, error)),
        }
    }

    /// Parses the body and joins what field and headers ask of the gateway itself.
    pub(super) fn understand<C>(
        self,
        services: &Services,
        request: &HttpRequest,
        parse: fn(Bytes, &Limits) -> Result<C, ParseError>,
        extension: fn(&C) -> &Extension,
    ) -> Result<(C, RequestContext), ApiError> {
        let parsed = parse(self.body.clone(), &services.wire_limits()).map_err(ApiError::from);
        let joined = parsed.and_then(|call| {
            let preferences = preferences::join(extension(&call), request.headers())?;
            Ok((call, preferences))
        });
        match joined {
            Ok((call, preferences)) => Ok((call, self.context(preferences))),
            Err(error) => Err(self.refused(services, error)),
        }
    }

    /// Books a request that cannot be understood, and returns its error with what its head says.
    fn refused(self, services: &Services, error: ApiError) -> ApiError {
        let endpoint = self.endpoint;
        let context = self.context(Preferences::default());
        services.gateway.refuse_unread(endpoint, context, error.into_refusal()).into()
    }

    /// Returns what the gateway has to know besides the body, which is parsed by now.
    fn context(self, preferences: Preferences) -> RequestContext {
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
