//! Models: how each fares, and loading and unloading those of this machine.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::{
    api::{Services, error::ApiError},
    domain::EngineOrder,
    error::Code,
};

/// Lists every model with its state.
pub(in crate::api) async fn list(services: web::Data<Services>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "models": services.gateway.model_states() }))
}

/// Loads a local model that is not in memory; one that was taken out or failed to load tries again. It goes on in the background.
pub(in crate::api) async fn load(
    services: web::Data<Services>,
    name: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    order(&services, &name, EngineOrder::Load)
}

/// Gives a local model's memory back once those who use it are through.
pub(in crate::api) async fn unload(
    services: web::Data<Services>,
    name: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    order(&services, &name, EngineOrder::Unload)
}

fn order(services: &Services, name: &str, order: EngineOrder) -> Result<HttpResponse, ApiError> {
    let unknown = || ApiError::new(Code::ModelNotFound, format!("There is no model \"{name}\"."));
    let state = services.gateway.order(name, order).ok_or_else(unknown)?;
    let state = state.map_err(|error| ApiError::new(error.code, error.message))?;
    Ok(HttpResponse::Accepted().json(state))
}
