//! `GET /metrics`.

use actix_web::{HttpResponse, web};

use super::Services;

/// Shows all metrics in Prometheus' text format.
pub(super) async fn show(services: web::Data<Services>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(services.telemetry.render())
}
