//! `GET /v1/models` and `GET /v1/models/{id}`: what may stand in `model`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{Services, error::ApiError, intake::authenticate};
use crate::{
    error::Code,
    gateway::Listing,
    wire::models::{ModelEntry, render_model, render_models},
};

/// Lists every name that the caller may use.
pub(super) async fn list(services: web::Data<Services>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let listings = services.gateway.models(&authenticate(&services, &request)?);
    let entries: Vec<ModelEntry<'_>> = listings.iter().map(entry).collect();
    Ok(HttpResponse::Ok().content_type("application/json").body(render_models(&entries)))
}

/// Shows one name.
pub(super) async fn show(
    services: web::Data<Services>,
    request: HttpRequest,
    name: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let listings = services.gateway.models(&authenticate(&services, &request)?);
    let name = name.into_inner();
    let Some(listing) = listings.iter().find(|listing| listing.name == name) else {
        let message = format!("There is no model {name:?}; `GET /v1/models` lists those that are there.");
        return Err(ApiError::new(Code::ModelNotFound, message).about("model"));
    };
    Ok(HttpResponse::Ok().content_type("application/json").body(render_model(&entry(listing))))
}

fn entry(listing: &Listing) -> ModelEntry<'_> {
    ModelEntry { id: &listing.name, created: listing.created, owner: &listing.owner }
}
