//! Reading a request's body: JSON, within a size, without long silence.

use actix_web::{HttpRequest, http::header, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::error::ApiError;
use crate::{config::RequestLimits, error::Code};

/// Most memory set aside on the word of a `content-length` header.
const TRUSTED_LENGTH: usize = 1 << 20;

/// Reads the body of a request. A missing content type is taken for JSON.
pub(super) async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    limits: &RequestLimits,
) -> Result<Bytes, ApiError> {
    check_type(request)?;
    read_any(request, payload, limits).await
}

/// Reads the body of a request, whatever its type.
pub(super) async fn read_any(
    request: &HttpRequest,
    payload: web::Payload,
    limits: &RequestLimits,
) -> Result<Bytes, ApiError> {
    let announced = announced_length(request);
    check_size(announced, limits)?;
    collect(payload, announced, limits).await
}

async fn collect(mut payload: web::Payload, announced: usize, limits: &RequestLimits) -> Result<Bytes, ApiError> {
    let Some(first) = next(&mut payload, limits).await? else { return Ok(Bytes::new()) };
    // Most bodies lie in one chunk, which is then the body.
    let Some(second) = next(&mut payload, limits).await? else {
        return check_size(first.len(), limits).map(|()| first);
    };
    let mut body = BytesMut::with_capacity(announced.min(TRUSTED_LENGTH).max(first.len() + second.len()));
    body.extend_from_slice(&first);
    let mut chunk = Some(second);
    while let Some(more) = chunk {
        check_size(body.len() + more.len(), limits)?;
        body.extend_from_slice(&more);
        chunk = next(&mut payload, limits).await?;
    }
    Ok(body.freeze())
}

async fn next(payload: &mut web::Payload, limits: &RequestLimits) -> Result<Option<Bytes>, ApiError> {
    let Ok(chunk) = timeout(limits.body_idle, payload.next()).await else {
        let seconds = limits.body_idle.as_secs_f64();
        let message = format!("The body paused for more than {seconds} seconds; send it without long pauses.");
        return Err(ApiError::new(Code::BodyTimeout, message));
    };
    let broken = |_| ApiError::new(Code::InvalidRequest, "The body ended early or was sent in a broken encoding.");
    chunk.transpose().map_err(broken)
}

fn announced_length(request: &HttpRequest) -> usize {
    let header = request.headers().get(header::CONTENT_LENGTH);
    header.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

fn check_size(bytes: usize, limits: &RequestLimits) -> Result<(), ApiError> {
    if bytes > limits.body_bytes {
        let message = format!("The body exceeds the limit of {} bytes; send less.", limits.body_bytes);
        return Err(ApiError::new(Code::BodyTooLarge, message));
    }
    Ok(())
}

fn check_type(request: &HttpRequest) -> Result<(), ApiError> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(encoding) = text(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let message = format!("The content encoding {encoding:?} is not supported; send the body as it is.");
        return Err(ApiError::new(Code::UnsupportedMediaType, message).about("content-encoding"));
    }
    match text(header::CONTENT_TYPE) {
        Some(kind) if !is_json(kind) => {
            let message = format!("The content type is {kind:?}; send `content-type: application/json`.");
            Err(ApiError::new(Code::UnsupportedMediaType, message).about("content-type"))
        }
        _ => Ok(()),
    }
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::{FromRequest, ResponseError, dev, error::PayloadError, test::TestRequest};
    use futures_util::stream;

    use super::*;

    fn limits() -> RequestLimits {
        RequestLimits {
            body_bytes: 8,
            body_idle: Duration::from_secs(2),
            messages: 1,
            choices: 1,
            depth: 8,
            header_bytes: 100,
        }
    }

    type Chunk = Result<Bytes, PayloadError>;

    async fn read_chunks(chunks: impl futures_util::Stream<Item = Chunk> + 'static) -> Result<Bytes, u16> {
        read_within(limits(), chunks).await
    }

    async fn read_within(
        limits: RequestLimits,
        chunks: impl futures_util::Stream<Item = Chunk> + 'static,
    ) -> Result<Bytes, u16> {
        let (request, _) = TestRequest::post().to_http_parts();
        let mut payload =
            dev::Payload::from(Box::pin(chunks) as std::pin::Pin<Box<dyn futures_util::Stream<Item = Chunk>>>);
        let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();

        read(&request, payload, &limits).await.map_err(|error| error.status_code().as_u16())
    }

    fn chunks(texts: &[&'static str]) -> stream::Iter<std::vec::IntoIter<Chunk>> {
        stream::iter(texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn chunks_are_joined() {
        assert_eq!(read_chunks(chunks(&[])).await, Ok(Bytes::new()));
        assert_eq!(read_chunks(chunks(&["abc"])).await, Ok(Bytes::from_static(b"abc")));
        assert_eq!(read_chunks(chunks(&["abc", "def", "gh"])).await, Ok(Bytes::from_static(b"abcdefgh")));
    }

    #[tokio::test]
    async fn chunks_above_the_memory_that_is_set_aside_are_joined() {
        let big = Bytes::from(vec![b'x'; TRUSTED_LENGTH]);
        let limits = RequestLimits { body_bytes: 2 * TRUSTED_LENGTH, ..limits() };

        let body = read_within(limits, stream::iter([Ok(big.clone()), Ok(big)])).await.unwrap();

        assert_eq!(body.len(), 2 * TRUSTED_LENGTH);
    }

    #[tokio::test]
    async fn large_bodies_are_refused_announced_or_not() {
        assert_eq!(read_chunks(chunks(&["abc", "def", "ghi"])).await, Err(413));
        assert_eq!(read_chunks(chunks(&["abcdefghi"])).await, Err(413));
    }

    #[tokio::test(start_paused = true)]
    async fn silent_bodies_are_given_up() {
        assert_eq!(read_chunks(chunks(&["abc"]).chain(stream::pending())).await, Err(408));
    }

    #[tokio::test]
    async fn only_json_is_taken() {
        let status = |name: &'static str, value: &'static str| {
            let request = TestRequest::post().insert_header((name, value)).to_http_request();
            check_type(&request).err().map(|error| error.status_code().as_u16())
        };

        assert_eq!(status("content-type", "application/json; charset=utf-8"), None);
        assert_eq!(status("content-type", "application/vnd.api+json"), None);
        assert_eq!(status("content-type", "application/x-www-form-urlencoded"), Some(415));
        assert_eq!(status("content-encoding", "gzip"), Some(415));
    }
}
