//! Policies: read, saved, rolled back, each by its version.
//!
//! A policy's text is its own YAML; its version is the `ETag`. A save says with `If-Match: "<version>"` which version it means to
//! replace, with `If-Match: *` that any will do, and with neither that the policy is new. Who saves and why may be said in
//! `x-pointsman-author` and `x-pointsman-note`.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap},
    web,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::{Services, body, error::ApiError},
    domain::PolicyName,
    error::Code,
    policy::{Change, Expected, Policies, PolicyError, StoreError, Version},
};

const AUTHOR: &str = "x-pointsman-author";
const NOTE: &str = "x-pointsman-note";

/// Lists the policies in use, and what keeps newer ones out.
pub(in crate::api) async fn list(services: web::Data<Services>) -> HttpResponse {
    HttpResponse::Ok().json(services.policies.status())
}

/// Shows the text of a policy.
pub(in crate::api) async fn show(
    services: web::Data<Services>,
    name: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let name = parse_name(&name)?;
    let (text, version) = blocking(&services, move |policies| Ok(policies.text(&name)?)).await?;
    Ok(yaml(text, version))
}

/// Saves a policy, after checking it.
pub(in crate::api) async fn save(
    services: web::Data<Services>,
    request: HttpRequest,
    name: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let name = parse_name(&name)?;
    let (expected, change) = (expected(request.headers())?, change(request.headers()));
    let text = String::from_utf8(body::read_any(&request, payload, &services.server.limits).await?.to_vec())
        .map_err(|_| ApiError::new(Code::InvalidRequest, "The policy is not UTF-8 text."))?;
    let saved = blocking(&services, move |policies| policies.save(&name, &text, expected, change)).await?;
    Ok(saved_as(&saved))
}

/// Lists every version of a policy, newest first.
pub(in crate::api) async fn versions(
    services: web::Data<Services>,
    name: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let name = parse_name(&name)?;
    let versions = blocking(&services, move |policies| Ok(policies.history(&name)?)).await?;
    Ok(HttpResponse::Ok().json(json!({ "versions": versions })))
}

/// Shows the text of one version.
pub(in crate::api) async fn version(
    services: web::Data<Services>,
    path: web::Path<(String, u64)>,
) -> Result<HttpResponse, ApiError> {
    let (name, version) = path.into_inner();
    let name = parse_name(&name)?;
    let text = blocking(&services, move |policies| Ok(policies.read(&name, version)?)).await?;
    Ok(yaml(text, version))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    version: u64,
}

/// Saves the text of an earlier version as a new one.
pub(in crate::api) async fn rollback(
    services: web::Data<Services>,
    request: HttpRequest,
    name: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let name = parse_name(&name)?;
    let bytes = body::read(&request, payload, &services.server.limits).await?;
    let Rollback { version } = serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("The body must be like {{\"version\": 3}}: {error}.");
        ApiError::new(Code::InvalidRequest, message)
    })?;
    // Going back is an answer to an emergency: without `If-Match` it replaces whatever is there.
    let expected =
        if request.headers().contains_key(header::IF_MATCH) { expected(request.headers())? } else { Expected::Any };
    let change = change(request.headers());
    let change =
        if change.note.is_empty() { Change { note: format!("back to version {version}"), ..change } } else { change };
    let saved = blocking(&services, move |policies| policies.rollback(&name, version, expected, change)).await?;
    Ok(saved_as(&saved))
}

/// Runs what reads or writes files on a thread that may wait for them.
async fn blocking<T: Send + 'static>(
    services: &Services,
    work: impl FnOnce(&Policies) -> Result<T, PolicyError> + Send + 'static,
) -> Result<T, ApiError> {
    let policies = std::sync::Arc::clone(&services.policies);
    let done = web::block(move || work(&policies)).await.map_err(|_| ApiError::internal())?;
    done.map_err(refusal)
}

fn refusal(error: PolicyError) -> ApiError {
    let code = error.code();
    let message = error.to_string();
    match error {
        PolicyError::Faults(faults) => ApiError::new(code, message).with("faults", &faults.0),
        PolicyError::Store(StoreError::Conflict(conflict)) => {
            let message = format!(
                "Policy {} is at version {} by now; look at `conflict.diff`, then send `If-Match: \"{}\"`.",
                conflict.name, conflict.version, conflict.version
            );
            ApiError::new(code, message).about("if-match").with("conflict", &conflict)
        }
        PolicyError::Store(error @ StoreError::Io { .. }) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a policy could not be read or written");
            ApiError::internal()
        }
        PolicyError::Store(_) => ApiError::new(code, format!("{message}.")),
    }
}

fn parse_name(text: &str) -> Result<PolicyName, ApiError> {
    PolicyName::parse(text).map_err(|error| ApiError::new(Code::InvalidRequest, format!("The policy's name: {error}.")))
}

fn expected(headers: &HeaderMap) -> Result<Expected, ApiError> {
    let Some(tag) = headers.get(header::IF_MATCH) else { return Ok(Expected::Absent) };
    let text = tag.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(Expected::Any);
    }
    let version = text.trim_start_matches("W/").trim_matches('"').parse();
    version.map(Expected::Version).map_err(|_| {
        let message = format!("The header `if-match` must be a version such as \"3\", or *, but it is {text:?}.");
        ApiError::new(Code::InvalidRequest, message).about("if-match")
    })
}

fn change(headers: &HeaderMap) -> Change {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let author = match text(AUTHOR) {
        "" => "admin",
        author => author,
    };
    Change { author: author.to_owned(), note: text(NOTE).to_owned() }
}

fn etag(version: u64) -> (header::HeaderName, String) {
    (header::ETAG, format!("\"{version}\""))
}

fn yaml(text: String, version: u64) -> HttpResponse {
    HttpResponse::Ok().content_type("application/yaml; charset=utf-8").insert_header(etag(version)).body(text)
}

fn saved_as(version: &Version) -> HttpResponse {
    HttpResponse::Ok().insert_header(etag(version.version)).json(version)
}

#[cfg(test)]
mod tests {
    use actix_web::{ResponseError, test::TestRequest};

    use super::*;

    fn expected_of(tag: Option<&str>) -> Result<Expected, u16> {
        let request = match tag {
            Some(tag) => TestRequest::put().insert_header((header::IF_MATCH, tag)),
            None => TestRequest::put(),
        };
        expected(request.to_http_request().headers()).map_err(|error| error.status_code().as_u16())
    }

    #[test]
    fn a_save_says_what_it_replaces() {
        assert_eq!(expected_of(None), Ok(Expected::Absent));
        assert_eq!(expected_of(Some("*")), Ok(Expected::Any));
        assert_eq!(expected_of(Some("\"7\"")), Ok(Expected::Version(7)));
        assert_eq!(expected_of(Some("W/\"7\"")), Ok(Expected::Version(7)));
        assert_eq!(expected_of(Some("\"seven\"")), Err(400));
    }

    #[test]
    fn author_and_note_come_from_headers() {
        let request = TestRequest::put().insert_header((NOTE, "cheaper"));

        let change = change(request.to_http_request().headers());

        assert_eq!((change.author.as_str(), change.note.as_str()), ("admin", "cheaper"));
    }
}
