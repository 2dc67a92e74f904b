//! The router model: what is in use, and reading it again.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::{
    api::{Services, error::ApiError},
    error::Code,
    scoring::Live,
};

/// Shows the router model in use and what keeps a newer one out.
pub(in crate::api) async fn show(services: web::Data<Services>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(shown(live(&services)?)))
}

/// Reads the router model's folder again and swaps in what is there, if it is whole and new.
pub(in crate::api) async fn reload(services: web::Data<Services>) -> Result<HttpResponse, ApiError> {
    let live = Arc::clone(live(&services)?);
    let reading = Arc::clone(&live);
    let outcome = web::block(move || reading.reload()).await.map_err(|_| ApiError::internal())?;
    let is_new = outcome.map_err(|error| {
        let reason = live.fault().unwrap_or_else(|| error.to_string());
        ApiError::new(Code::InvalidRequest, format!("The router model in use stays: {reason}."))
    })?;
    let mut shown = shown(&live);
    shown.extend([("is_new".to_owned(), is_new.into())]);
    Ok(HttpResponse::Ok().json(shown))
}

fn live(services: &Services) -> Result<&Arc<Live>, ApiError> {
    let message = "No router model is configured; set `router.enabled`.";
    services.router.as_ref().ok_or_else(|| ApiError::new(Code::NotFound, message))
}

fn shown(live: &Live) -> serde_json::Map<String, Value> {
    let scorer = live.current();
    let fields = [
        ("artifact", json!(scorer.artifact())),
        ("checksum", json!(scorer.checksum())),
        ("engine", json!(scorer.engine().name())),
        ("fault", json!(live.fault())),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
