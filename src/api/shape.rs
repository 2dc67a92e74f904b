//! Around every request: its id, the limit on its headers, and an OpenAI-shaped body for every error, whoever made it.
//!
//! actix answers some requests before any of our code runs: a head that is no HTTP, more than 96 headers or more than 128 KiB
//! of them, a head that does not arrive in five seconds. Those answers have a status and no body.

use std::panic::AssertUnwindSafe;

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{ConnectionType, StatusCode, Version, header::HeaderMap, header::HeaderValue},
    middleware::Next,
    web,
};
use futures_util::FutureExt;

use super::{Services, error::ApiError, headers, intake::Arrival};
use crate::{
    error::Code,
    runtime::{Phase, Stop},
};

/// What a listener holds every request to.
#[derive(Clone)]
pub(super) struct Rules {
    /// Most bytes of all headers.
    pub(super) header_bytes: usize,
    /// Once the program goes down, every response asks its client to connect anew, elsewhere.
    pub(super) stop: Stop,
}

/// Notes the arrival, calls the handler and gives every error its shape and every response its request id.
pub(super) async fn shape<B: MessageBody + 'static>(
    rules: Rules,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let arrival = Arrival::now();
    request.extensions_mut().insert(arrival);
    if let Err(error) = check_headers(request.headers(), rules.header_bytes) {
        return Ok(request.into_response(error.of_request(arrival.request).error_response()));
    }
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(Ok(response)) => {
            tell_if_turned_away(&response, arrival);
            Ok(closing(unchunked(finished(response, arrival)), &rules.stop))
        }
        Ok(Err(error)) => Err(of_status(error.as_response_error().status_code()).of_request(arrival.request).into()),
        Err(_) => {
            tracing::error!(request.id = %arrival.request, "a handler panicked; its caller got an internal error");
            Err(ApiError::internal().of_request(arrival.request).into())
        }
    }
}

/// Tells of a request for a model that was refused before it could be recorded.
fn tell_if_turned_away<B>(response: &ServiceResponse<B>, arrival: Arrival) {
    let error = response.response().error().and_then(|error| error.as_error::<ApiError>());
    let Some(code) = error.and_then(ApiError::unrecorded) else { return };
    let is_public = response.request().path().starts_with("/v1/");
    if let (true, Some(services)) = (is_public, response.request().app_data::<web::Data<Services>>()) {
        services.telemetry.turned_away(arrival.request, code);
    }
}

/// Adds the request id, and replaces errors that are not in the shape of OpenAI's.
fn finished<B: MessageBody + 'static>(response: ServiceResponse<B>, arrival: Arrival) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let is_ours = response.response().error().is_none_or(|error| error.as_error::<ApiError>().is_some());
    let mut response = if is_ours {
        response.map_into_boxed_body()
    } else {
        response.into_response(of_status(status).error_response())
    };
    if !response.headers().contains_key(headers::REQUEST_ID)
        && let Ok(id) = HeaderValue::from_str(&arrival.request.to_string())
    {
        response.headers_mut().insert(headers::REQUEST_ID, id);
    }
    response
}

/// Sends a stream to a client of HTTP/1.0, which knows no chunks, as it is; the end of the connection ends it. actix writes
/// chunks whatever the version.
fn unchunked(mut response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let is_old = response.request().version() < Version::HTTP_11;
    if is_old && response.response().body().size() == BodySize::Stream {
        let head = response.response_mut().head_mut();
        head.no_chunking(true);
        head.set_connection_type(ConnectionType::Close);
    }
    response
}

/// Asks the client to close the connection when the program goes down.
fn closing(mut response: ServiceResponse<BoxBody>, stop: &Stop) -> ServiceResponse<BoxBody> {
    if stop.phase() > Phase::Running {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// Returns the error behind a status that actix chose.
fn of_status(status: StatusCode) -> ApiError {
    let (code, message) = match status {
        StatusCode::NOT_FOUND => (Code::NotFound, "There is nothing here."),
        StatusCode::METHOD_NOT_ALLOWED => (Code::MethodNotAllowed, "This path does not have that method."),
        StatusCode::REQUEST_TIMEOUT => (Code::BodyTimeout, "The request did not arrive in time."),
        StatusCode::PAYLOAD_TOO_LARGE => (Code::BodyTooLarge, "The body exceeds the limit."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (Code::UnsupportedMediaType, "Send `content-type: application/json`."),
        status if status.is_client_error() => (Code::InvalidRequest, "The request could not be read."),
        _ => return ApiError::internal(),
    };
    ApiError::new(code, message)
}

fn check_headers(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    // Each line has a colon, a blank and two characters for its end.
    const PUNCTUATION: usize = 4;
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + PUNCTUATION).sum();
    if bytes > limit {
        let message = format!("The headers have {bytes} bytes; at most {limit} are allowed.");
        return Err(ApiError::new(Code::HeadersTooLarge, message));
    }
    Ok(())
}

/// Answers paths that are not in the table.
pub(super) async fn not_found(request: HttpRequest) -> HttpResponse {
    let message = format!(
        "There is no {} {} here; /v1 (for instance POST /v1/chat/completions) is on the public listener, /admin/v1 and \
         /metrics are on the admin listener.",
        request.method(),
        request.path()
    );
    ApiError::new(Code::NotFound, message).error_response()
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        http::{Method, header},
        middleware::from_fn,
        test::{self, TestRequest},
    };
    use serde_json::Value;

    use super::*;
    use crate::api::routes::path;

    const HEADER_BYTES: usize = 200;

    async fn call(request: TestRequest) -> (HttpResponse, Value) {
        call_in(Phase::Running, request).await
    }

    async fn call_in(phase: Phase, request: TestRequest) -> (HttpResponse, Value) {
        let rules = Rules { header_bytes: HEADER_BYTES, stop: Stop::default() };
        rules.stop.advance(phase);
        let app = App::new()
            .wrap(from_fn(move |request, next| shape(rules.clone(), request, next)))
            .service(path("/fine", [(Method::GET, web::to(HttpResponse::Ok))]))
            .service(path("/typed", [(Method::POST, web::to(typed))]))
            .service(path("/panic", [(Method::GET, web::to(panicking))]))
            .default_service(web::to(not_found));
        let app = test::init_service(app).await;
        let response = match test::try_call_service(&app, request.to_request()).await {
            Ok(response) => response.into_parts().1,
            // A server does the same.
            Err(error) => error.error_response(),
        };
        let (response, body) = response.into_parts();
        let bytes = actix_web::body::to_bytes(body).await.unwrap();
        (response.set_body(()).map_into_boxed_body(), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn typed(_: web::Json<u8>) -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    async fn panicking() -> HttpResponse {
        panic!("secret")
    }

    async fn assert_shaped(request: TestRequest, status: u16, code: &str) -> HttpResponse {
        let (response, body) = call(request).await;

        assert_eq!((response.status().as_u16(), body["error"]["code"].as_str()), (status, Some(code)));
        let keys: Vec<_> = body["error"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["message", "type", "param", "code"]);
        assert!(response.headers().get(headers::REQUEST_ID).unwrap().to_str().unwrap().starts_with("req-"));
        assert!(!body.to_string().contains("secret"));
        response
    }

    #[actix_web::test]
    async fn good_answers_carry_the_request_id() {
        let (response, _) = call(TestRequest::get().uri("/fine")).await;

        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers().contains_key(headers::REQUEST_ID));
    }

    #[actix_web::test]
    async fn connections_close_when_the_program_goes_down() {
        let (running, _) = call_in(Phase::Running, TestRequest::get().uri("/fine")).await;
        let (draining, _) = call_in(Phase::Draining, TestRequest::get().uri("/fine")).await;

        assert_ne!(running.head().connection_type(), ConnectionType::Close);
        assert_eq!(draining.head().connection_type(), ConnectionType::Close);
    }

    #[actix_web::test]
    async fn every_error_has_the_shape_of_openai() {
        assert_shaped(TestRequest::get().uri("/nowhere"), 404, "not_found").await;
        assert_shaped(TestRequest::get().uri("/panic"), 500, "internal_error").await;
        let broken = TestRequest::post().uri("/typed").insert_header(header::ContentType::json()).set_payload("{");
        assert_shaped(broken, 400, "invalid_request").await;
        let wide = TestRequest::get().uri("/fine").insert_header(("x-wide", "x".repeat(HEADER_BYTES)));
        assert_shaped(wide, 431, "headers_too_large").await;
    }

    #[actix_web::test]
    async fn wrong_methods_are_told_the_right_ones() {
        let response = assert_shaped(TestRequest::post().uri("/fine"), 405, "method_not_allowed").await;

        assert_eq!(response.headers().get(header::ALLOW).unwrap(), "GET, HEAD");
    }

    #[actix_web::test]
    async fn head_is_answered_where_get_is() {
        let (response, _) = call(TestRequest::default().method(Method::HEAD).uri("/fine")).await;

        assert_eq!(response.status(), StatusCode::OK);
    }
}
