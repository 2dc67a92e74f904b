//! An answer of the gateway as a response.

use actix_web::{HttpResponse, body::BodyStream, http::header};

use super::{Services, headers, stream::SseBody};
use crate::{domain::Reply, gateway::Answer};

/// Returns the response that carries an answer.
pub(super) fn respond(answer: Answer, services: &Services) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    headers::write_passage(&answer.passage, &mut response);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    match answer.reply {
        Reply::Whole(whole) => response.content_type("application/json").body(whole.body),
        Reply::Stream(events) => {
            let body = SseBody::new(events, answer.bill, services.stop.clone(), services.server.heartbeat);
            response
                .content_type("text/event-stream; charset=utf-8")
                .insert_header(("x-accel-buffering", "no"))
                .body(BodyStream::new(body))
        }
    }
}
