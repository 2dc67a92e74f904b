//! Stored answers: listed, searched and evicted.
//!
//! Neither what was asked nor what was answered is ever shown; an answer is known by who asked, which policy and model gave it,
//! how old it is and what the caller marked it with (`pointsman.cache_tags`). What may hold words of a prompt travels in a body,
//! never in an address, which others log.

use std::{collections::BTreeMap, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::{Services, body, error::ApiError},
    cache::{
        CacheKey, Filter,
        semantic::{ErrorShare, Tally},
    },
    config::Period,
    domain::{ModelName, PolicyName, Tag, TenantId},
    error::Code,
    gateway::{Gateway, Store, Stored, Wanted},
};

/// Answers shown where nothing is said.
const SHOWN: usize = 100;
/// Most answers shown at once.
const MOST_SHOWN: usize = 1_000;

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoreName {
    Exact,
    Semantic,
}

/// Conditions, as an address may carry them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Conditions {
    store: Option<StoreName>,
    key: Option<String>,
    tenant: Option<String>,
    tag: Option<String>,
    model: Option<String>,
    policy: Option<String>,
    older_than: Option<Period>,
    newer_than: Option<Period>,
    limit: Option<usize>,
}

/// What a body may carry besides.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Words {
    containing: Option<String>,
    near: Option<String>,
}

/// How to evict.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Manner {
    dry_run: bool,
    all: bool,
}

/// Lists stored answers, the newest first.
pub(in crate::api) async fn list(
    services: web::Data<Services>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query = web::Query::<Conditions>::from_query(request.query_string());
    let conditions = query.map_err(|error| invalid(&error))?.into_inner();
    let shown = conditions.shown()?;
    found(&services.gateway, &conditions.wanted(Words::default())?, shown).await
}

/// Searches stored answers: by what they say, or by how near their prompts are to another.
pub(in crate::api) async fn search(
    services: web::Data<Services>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let mut fields = fields(&services, &request, payload).await?;
    let words: Words = taken(&mut fields, &["containing", "near"])?;
    let conditions: Conditions = read(fields)?;
    let shown = conditions.shown()?;
    found(&services.gateway, &conditions.wanted(words)?, shown).await
}

/// Removes stored answers, or says which would be removed.
pub(in crate::api) async fn evict(
    services: web::Data<Services>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let mut fields = fields(&services, &request, payload).await?;
    let manner: Manner = taken(&mut fields, &["dry_run", "all"])?;
    let words: Words = taken(&mut fields, &["containing"])?;
    let conditions: Conditions = read(fields)?;
    let shown = conditions.shown()?;
    let wanted = conditions.wanted(words)?;
    if wanted.filter.is_empty() != manner.all {
        let message = "Say which answers go by at least one of `key`, `tenant`, `tag`, `model`, `policy`, `older_than`, \
                       `newer_than` and `containing`, or say `\"all\": true` alone.";
        return Err(ApiError::new(Code::InvalidRequest, message).about("all"));
    }
    let stored = services.gateway.stored(&wanted).await?;
    if !manner.dry_run {
        services.gateway.evict(wanted.store, &wanted.filter).await;
        tracing::info!(cache.evicted = stored.len(), "{} cached answers were evicted", stored.len());
    }
    Ok(HttpResponse::Ok().json(json!({
        "dry_run": manner.dry_run,
        "exact": sum(&stored, Store::Exact),
        "semantic": sum(&stored, Store::Semantic),
        "entries": stored.get(..shown.min(stored.len())),
    })))
}

async fn found(gateway: &Arc<Gateway>, wanted: &Wanted, shown: usize) -> Result<HttpResponse, ApiError> {
    let stored = gateway.stored(wanted).await?;
    let (bytes, entries) = gateway.exact().size().await;
    let (semantic_bytes, semantic_entries) = gateway.meanings().size();
    let tallies = gateway.meanings().tallies().into_iter();
    let policies: BTreeMap<Arc<str>, Told> = tallies.map(|(policy, tally)| (policy, tally.into())).collect();
    Ok(HttpResponse::Ok().json(json!({
        "exact": {"bytes": bytes, "entries": entries},
        "semantic": {"bytes": semantic_bytes, "entries": semantic_entries, "policies": policies},
        "matched": stored.len(),
        "entries": stored.get(..shown.min(stored.len())),
    })))
}

/// What a policy's semantic cache did, and the share of wrong answers.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    tally: Tally,
    error: ErrorShare,
}

impl From<Tally> for Told {
    fn from(tally: Tally) -> Self {
        Self { error: tally.error(), tally }
    }
}

#[derive(Serialize)]
struct Sum {
    entries: usize,
    bytes: usize,
}

fn sum(stored: &[Stored], store: Store) -> Sum {
    let of_store = || stored.iter().filter(|one| one.store == store);
    Sum { entries: of_store().count(), bytes: of_store().map(|one| one.bytes).sum() }
}

impl Conditions {
    fn shown(&self) -> Result<usize, ApiError> {
        let shown = self.limit.unwrap_or(SHOWN);
        if shown > MOST_SHOWN {
            let message = format!("`limit` must be at most {MOST_SHOWN}, but it is {shown}.");
            return Err(ApiError::new(Code::InvalidRequest, message).about("limit"));
        }
        Ok(shown)
    }

    fn wanted(self, words: Words) -> Result<Wanted, ApiError> {
        let store = self.store.map(|name| match name {
            StoreName::Exact => Store::Exact,
            StoreName::Semantic => Store::Semantic,
        });
        if words.near.is_some() && store == Some(Store::Exact) {
            let message = "Prompts are compared in the semantic cache only; leave `store` out.";
            return Err(ApiError::new(Code::InvalidRequest, message).about("near"));
        }
        let filter = Filter {
            key: parsed("key", self.key, |text| CacheKey::parse(text).ok_or("it is 64 hex digits"))?,
            tenant: parsed("tenant", self.tenant, TenantId::parse)?,
            tag: self.tag.map(Tag),
            model: parsed("model", self.model, ModelName::parse)?,
            policy: parsed("policy", self.policy, PolicyName::parse)?,
            older_than: self.older_than.map(|period| period.0),
            newer_than: self.newer_than.map(|period| period.0),
            containing: words.containing,
        };
        Ok(Wanted { store, filter, near: words.near })
    }
}

fn parsed<T, E: std::fmt::Display>(
    name: &'static str,
    text: Option<String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, ApiError> {
    let bad = |error: E| ApiError::new(Code::InvalidRequest, format!("`{name}` cannot be used: {error}.")).about(name);
    text.map(|text| parse(&text).map_err(bad)).transpose()
}

async fn fields(
    services: &Services,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<serde_json::Map<String, Value>, ApiError> {
    let bytes = body::read(request, payload, &services.server.limits).await?;
    serde_json::from_slice(&bytes).map_err(|error| invalid(&error))
}

/// Takes some fields out of a body and reads them.
fn taken<T: for<'de> Deserialize<'de>>(
    fields: &mut serde_json::Map<String, Value>,
    names: &[&str],
) -> Result<T, ApiError> {
    let some = names.iter().filter_map(|name| fields.remove_entry(*name)).collect();
    read(some)
}

fn read<T: for<'de> Deserialize<'de>>(fields: serde_json::Map<String, Value>) -> Result<T, ApiError> {
    serde_json::from_value(Value::Object(fields)).map_err(|error| invalid(&error))
}

fn invalid(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(Code::InvalidRequest, format!("The conditions cannot be used: {error}."))
}
