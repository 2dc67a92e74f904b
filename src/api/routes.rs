//! The table of routes: path, method, handler.

use actix_web::{
    HttpRequest, HttpResponse, Resource, ResponseError, Route, guard,
    http::Method,
    middleware::from_fn,
    web::{self, ServiceConfig},
};

use super::{admin, chat, completions, embeddings, error::ApiError, feedback, health, metrics, models};
use crate::error::Code;

/// The public listener.
pub(super) fn public(config: &mut ServiceConfig) {
    config
        .service(path("/v1/chat/completions", [(Method::POST, web::to(chat::create))]))
        .service(path("/v1/completions", [(Method::POST, web::to(completions::create))]))
        .service(path("/v1/embeddings", [(Method::POST, web::to(embeddings::create))]))
        .service(path("/v1/feedback", [(Method::POST, web::to(feedback::create))]))
        .service(path("/v1/models", [(Method::GET, web::to(models::list))]))
        .service(path("/v1/models/{name:.+}", [(Method::GET, web::to(models::show))]))
        .configure(health);
}

/// The listener for operators and admins.
pub(super) fn private(config: &mut ServiceConfig) {
    let admin = web::scope("/admin/v1")
        .wrap(from_fn(admin::authorize))
        .service(path("/status", [(Method::GET, web::to(admin::status))]))
        .service(path("/explain", [(Method::POST, web::to(admin::explain))]))
        .service(path("/router", [(Method::GET, web::to(admin::router::show))]))
        .service(path("/router/reload", [(Method::POST, web::to(admin::router::reload))]))
        .configure(engines)
        .configure(policies)
        .configure(cache)
        .default_service(web::to(super::shape::not_found));
    config.configure(health).service(path("/metrics", [(Method::GET, web::to(metrics::show))])).service(admin);
}

fn engines(config: &mut ServiceConfig) {
    config
        .service(path("/models", [(Method::GET, web::to(admin::models::list))]))
        .service(path("/models/{name:.+}/load", [(Method::POST, web::to(admin::models::load))]))
        .service(path("/models/{name:.+}/unload", [(Method::POST, web::to(admin::models::unload))]));
}

fn policies(config: &mut ServiceConfig) {
    let policy = [(Method::GET, web::to(admin::policies::show)), (Method::PUT, web::to(admin::policies::save))];
    config
        .service(path("/policies", [(Method::GET, web::to(admin::policies::list))]))
        .service(path("/policies/{name}", policy))
        .service(path("/policies/{name}/versions", [(Method::GET, web::to(admin::policies::versions))]))
        .service(path("/policies/{name}/versions/{version}", [(Method::GET, web::to(admin::policies::version))]))
        .service(path("/policies/{name}/rollback", [(Method::POST, web::to(admin::policies::rollback))]));
}

fn cache(config: &mut ServiceConfig) {
    config
        .service(path("/cache", [(Method::GET, web::to(admin::cache::list))]))
        .service(path("/cache/search", [(Method::POST, web::to(admin::cache::search))]))
        .service(path("/cache/evict", [(Method::POST, web::to(admin::cache::evict))]));
}

fn health(config: &mut ServiceConfig) {
    config
        .service(path("/livez", [(Method::GET, web::to(health::live))]))
        .service(path("/readyz", [(Method::GET, web::to(health::ready))]));
}

/// Returns a path with its methods; `HEAD` is answered where `GET` is, any other method with 405 and `Allow`.
pub(super) fn path<const N: usize>(pattern: &str, routes: [(Method, Route); N]) -> Resource {
    let allow = allowed(routes.iter().map(|(method, _)| method));
    let mut resource = web::resource(pattern);
    for (method, route) in routes {
        let is_method = guard::Any(guard::Method(method.clone()));
        let guard = if method == Method::GET { is_method.or(guard::Head()) } else { is_method };
        resource = resource.route(route.guard(guard));
    }
    resource.default_service(web::to(move |request: HttpRequest| {
        let allow = allow.clone();
        async move { refuse_method(&request, allow) }
    }))
}

fn allowed<'a>(methods: impl Iterator<Item = &'a Method>) -> String {
    let names: Vec<&str> =
        methods.map(|method| if method == Method::GET { "GET, HEAD" } else { method.as_str() }).collect();
    names.join(", ")
}

fn refuse_method(request: &HttpRequest, allow: String) -> HttpResponse {
    let message = format!("{} does not take {}; it takes {allow}.", request.path(), request.method());
    ApiError::new(Code::MethodNotAllowed, message).allowing(allow).error_response()
}
