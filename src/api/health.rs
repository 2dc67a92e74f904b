//! `GET /livez` and `GET /readyz`.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Services;

/// Says that the process answers at all; a supervisor restarts it when it does not.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "live": true }))
}

/// Says whether new traffic should come here, with a line for every check; 503 when it should not.
pub(super) async fn ready(services: web::Data<Services>) -> HttpResponse {
    let health = services.gateway.health();
    let mut response = if health.ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header(("cache-control", "no-store")).json(health)
}
