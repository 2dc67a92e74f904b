//! A streamed answer as the bytes of server-sent events.
//!
//! Every event that is ready goes into one write, so small events never wait for each other's acknowledgements. Silence is
//! broken by comments, which keep proxies from cutting the stream and show when the client has left. A failure after the first
//! byte is one event with `error` and no `[DONE]`; so is the end of the program. Dropping the body drops the events, and with
//! them the call upstream.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::CatchUnwind};
use tokio::time::{Instant, Sleep, sleep};

use super::headers;
use crate::{
    domain::{Event, EventStream},
    error::Code,
    gateway::Bill,
    runtime::{Phase, Stop},
    wire::{error_body::render_error, sse},
};

/// One write is not made larger than this by waiting events, so that memory stays bounded.
const BATCH_BYTES: usize = 64 * 1024;

/// The body of a streamed response.
pub(super) struct SseBody {
    /// `None` once the stream has ended.
    events: Option<CatchUnwind<AssertUnwindSafe<EventStream>>>,
    bill: Bill,
    ending: BoxFuture<'static, ()>,
    silence: Pin<Box<Sleep>>,
    heartbeat: Duration,
}

impl SseBody {
    /// Returns the body of a stream of events.
    pub(super) fn new(events: EventStream, bill: Bill, stop: Stop, heartbeat: Duration) -> Self {
        Self {
            events: Some(AssertUnwindSafe(events).catch_unwind()),
            bill,
            ending: async move { stop.reached(Phase::Ending).await }.boxed(),
            silence: Box::pin(sleep(heartbeat)),
            heartbeat,
        }
    }

    /// Writes every event that is ready, up to a batch.
    fn write_ready(&mut self, context: &mut Context<'_>, out: &mut BytesMut) {
        while out.len() < BATCH_BYTES {
            let Some(events) = &mut self.events else { return };
            match events.poll_next_unpin(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(Ok(Event { data, .. })))) => sse::write_event(&data, out),
                Poll::Ready(Some(Ok(Err(error)))) => self.fail(error.code, &error.message, out),
                Poll::Ready(Some(Err(_))) => {
                    tracing::error!("a stream panicked; its caller got an error event");
                    self.fail(Code::Internal, "The gateway failed; its log has the cause.", out);
                }
                Poll::Ready(None) => self.finish(out),
            }
        }
    }

    fn finish(&mut self, out: &mut BytesMut) {
        self.close(out);
        sse::write_done(out);
    }

    fn fail(&mut self, code: Code, message: &str, out: &mut BytesMut) {
        sse::write_event(&render_error(code, message, None), out);
        self.close(out);
    }

    /// Drops the events, which books the request, and says what it cost.
    fn close(&mut self, out: &mut BytesMut) {
        self.events = None;
        if let Some(cost) = self.bill.get() {
            sse::write_comment(&format!("{}={cost}", headers::COST), out);
        }
    }

    /// Writes the last words of a program that ends.
    fn write_ending(&mut self, context: &mut Context<'_>, out: &mut BytesMut) {
        if self.ending.poll_unpin(context).is_ready() {
            let message = "The gateway is going down; send the request again.";
            self.fail(Code::ShuttingDown, message, out);
        }
    }

    /// Writes a sign of life when it is due.
    fn write_heartbeat(&mut self, context: &mut Context<'_>, out: &mut BytesMut) {
        if self.silence.poll_unpin(context).is_ready() {
            out.extend_from_slice(sse::HEARTBEAT);
        }
    }

    fn restart_silence(&mut self, context: &mut Context<'_>) {
        self.silence.as_mut().reset(Instant::now() + self.heartbeat);
        // A timer wakes only those who have polled it since it was set; it is in the future, so this is never ready.
        let _armed = self.silence.poll_unpin(context);
    }
}

impl Stream for SseBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.events.is_none() {
            return Poll::Ready(None);
        }
        let mut out = BytesMut::new();
        // First, because a stream that always has something ready would never see the end coming.
        self.write_ending(context, &mut out);
        self.write_ready(context, &mut out);
        if out.is_empty() {
            self.write_heartbeat(context, &mut out);
        }
        if out.is_empty() {
            return Poll::Pending;
        }
        self.restart_silence(context);
        Poll::Ready(Some(Ok(out.freeze())))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::domain::BackendError;

    const HEARTBEAT: Duration = Duration::from_secs(15);

    type Item = Result<Event, BackendError>;

    fn event(data: &'static str) -> Event {
        Event {
            data: Bytes::from_static(data.as_bytes()),
            has_content: true,
            usage: None,
            finish_reason: None,
            signals: Vec::new(),
        }
    }

    fn events(data: &[&'static str]) -> impl Stream<Item = Item> + Send + 'static {
        stream::iter(data.iter().map(|data| Ok(event(data))).collect::<Vec<_>>())
    }

    fn body(events: impl Stream<Item = Item> + Send + 'static, stop: &Stop) -> SseBody {
        SseBody::new(Box::pin(events), Bill::default(), stop.clone(), HEARTBEAT)
    }

    async fn next(body: &mut SseBody) -> Option<String> {
        let bytes = body.next().await?.unwrap();
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_events_share_one_write() {
        let mut body = body(events(&["1", "2"]), &Stop::default());

        assert_eq!(next(&mut body).await.unwrap(), "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n");
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn a_failure_is_an_event_without_done() {
        let failure = Err(BackendError::new(Code::UpstreamCut, "It broke off.", "eof"));
        let mut body = body(events(&["1"]).chain(stream::iter([failure])), &Stop::default());

        let written = next(&mut body).await.unwrap();

        assert!(written.starts_with("data: 1\n\ndata: {\"error\":{\"message\":\"It broke off.\""), "{written}");
        assert!(written.contains("upstream_cut") && !written.contains("[DONE]"), "{written}");
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn a_panic_is_an_event_without_done() {
        let events = stream::iter([1]).map(|_| -> Item { panic!("boom") });
        let mut body = body(events, &Stop::default());

        let written = next(&mut body).await.unwrap();

        assert!(written.contains("internal_error") && !written.contains("boom"), "{written}");
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_comments() {
        let mut body = body(events(&["1"]).chain(stream::pending()), &Stop::default());
        let begin = Instant::now();

        assert_eq!(next(&mut body).await.unwrap(), "data: 1\n\n");
        assert_eq!(next(&mut body).await.unwrap(), ": keep-alive\n\n");
        assert_eq!(next(&mut body).await.unwrap(), ": keep-alive\n\n");
        assert_eq!(begin.elapsed().as_secs(), 2 * HEARTBEAT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn running_streams_end_with_the_program() {
        let stop = Stop::default();
        let mut body = body(events(&["1"]).chain(stream::pending()), &stop);

        assert_eq!(next(&mut body).await.unwrap(), "data: 1\n\n");
        stop.advance(Phase::Ending);

        let last = next(&mut body).await.unwrap();
        assert!(last.contains("shutting_down") && !last.contains("[DONE]"), "{last}");
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn streams_that_never_pause_end_with_the_program_too() {
        let stop = Stop::default();
        let endless = stream::repeat(()).map(|()| -> Item { Ok(event("1")) });
        let mut body = body(endless, &stop);
        assert!(next(&mut body).await.unwrap().starts_with("data: 1\n\n"));

        stop.advance(Phase::Ending);

        assert!(next(&mut body).await.unwrap().contains("shutting_down"));
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn batches_are_bounded() {
        let big: &'static str = "x".repeat(BATCH_BYTES).leak();
        let mut body = body(events(&[big, big]), &Stop::default());

        assert_eq!(next(&mut body).await.unwrap().matches("data: x").count(), 1);
        assert_eq!(next(&mut body).await.unwrap().matches("data: x").count(), 1);
    }
}
