//! Server-sent events: an incremental parser and the writers.
//!
//! The parser takes chunks cut anywhere and gives the same events for every cutting. It follows the WHATWG event stream format:
//! CR, LF and CRLF line ends, `data` over several lines, comments, a byte order mark at the start. An event whose bytes lie in
//! one chunk is not copied: its data is a slice of that chunk. Memory is bounded by the limit on one event.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use memchr::memchr2;

/// The data of the event that ends a good stream.
pub const DONE: &[u8] = b"[DONE]";

/// The comment that keeps a silent stream alive.
pub const HEARTBEAT: &[u8] = b": keep-alive\n\n";

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// The `event` field, valid UTF-8; `None` means `message`.
    pub name: Option<Bytes>,
    /// The `data` lines, joined by line feeds; valid UTF-8.
    pub data: Bytes,
}

impl SseEvent {
    /// Returns whether this event ends a stream.
    pub fn is_done(&self) -> bool {
        self.data.trim_ascii() == DONE
    }
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event or line exceeds the limit.
    #[error("an event exceeds {0} bytes")]
    TooLarge(usize),
    /// An event's name or data is not UTF-8.
    #[error("an event is not valid UTF-8")]
    NotUtf8,
}

/// Turns chunks into events: [`SseParser::push`] a chunk, then ask for events until there is none.
#[derive(Debug)]
pub struct SseParser {
    max_event_bytes: usize,
    /// What has not been looked at yet.
    chunk: Bytes,
    /// The beginning of a line whose end has not come.
    partial: BytesMut,
    name: Option<Bytes>,
    data: Data,
    is_at_start: bool,
    /// The last chunk ended with a carriage return; a line feed that follows belongs to it.
    follows_return: bool,
    failed: Option<SseError>,
}

/// The `data` lines of the event so far.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Many(lines) => lines.len(),
        }
    }

    fn add(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(line),
            Self::One(first) => Self::Many(joined(BytesMut::from(first), &line)),
            Self::Many(lines) => Self::Many(joined(lines, &line)),
        };
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::take(self) {
            Self::None => None,
            Self::One(line) => Some(line),
            Self::Many(lines) => Some(lines.freeze()),
        }
    }
}

fn joined(mut lines: BytesMut, line: &[u8]) -> BytesMut {
    lines.put_u8(b'\n');
    lines.extend_from_slice(line);
    lines
}

impl SseParser {
    /// Returns a parser whose events may have at most `max_event_bytes` bytes of data.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            chunk: Bytes::new(),
            partial: BytesMut::new(),
            name: None,
            data: Data::None,
            is_at_start: true,
            follows_return: false,
            failed: None,
        }
    }

    /// Adds the next bytes of the stream. Events of the chunk before that were not asked for are kept.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
            return;
        }
        let mut rest = BytesMut::from(std::mem::take(&mut self.chunk));
        rest.extend_from_slice(&chunk);
        self.chunk = rest.freeze();
    }

    /// Returns the next complete event, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// The stream cannot be read on; the same error comes at every further call.
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let next = self.read_lines();
        self.failed = next.as_ref().err().copied();
        next
    }

    /// Ends the stream and returns the event that was not closed by a blank line, which some servers leave out after the last
    /// one. A stream that was cut gives a cut event, so its data may be incomplete.
    ///
    /// # Errors
    /// As [`SseParser::next_event`].
    pub fn finish(&mut self) -> Result<Option<SseEvent>, SseError> {
        if let Some(event) = self.next_event()? {
            return Ok(Some(event));
        }
        if !self.partial.is_empty() {
            let line = self.partial.split().freeze();
            self.read_line(line)?;
        }
        self.dispatch()
    }

    fn read_lines(&mut self) -> Result<Option<SseEvent>, SseError> {
        while let Some(line) = self.next_line()? {
            if line.is_empty() {
                if let Some(event) = self.dispatch()? {
                    return Ok(Some(event));
                }
            } else {
                self.read_line(line)?;
            }
        }
        Ok(None)
    }

    /// Takes the next complete line off the chunk, without its end.
    fn next_line(&mut self) -> Result<Option<Bytes>, SseError> {
        if self.follows_return && !self.chunk.is_empty() {
            self.follows_return = false;
            self.skip_line_feed();
        }
        let Some(end) = memchr2(b'\n', b'\r', &self.chunk) else {
            self.partial.extend_from_slice(&self.chunk);
            self.chunk.clear();
            return self.check_size(self.partial.len()).map(|()| None);
        };
        let mut line = self.chunk.split_to(end);
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(&line);
            line = self.partial.split().freeze();
        }
        self.skip_line_end();
        if std::mem::take(&mut self.is_at_start) && line.starts_with(BYTE_ORDER_MARK) {
            line.advance(BYTE_ORDER_MARK.len());
        }
        self.check_size(line.len()).map(|()| Some(line))
    }

    fn skip_line_end(&mut self) {
        let is_return = self.chunk.first() == Some(&b'\r');
        self.chunk.advance(1);
        if is_return && self.chunk.is_empty() {
            self.follows_return = true;
        } else if is_return {
            self.skip_line_feed();
        }
    }

    fn skip_line_feed(&mut self) {
        if self.chunk.first() == Some(&b'\n') {
            self.chunk.advance(1);
        }
    }

    fn read_line(&mut self, line: Bytes) -> Result<(), SseError> {
        let (field, value) = split_field(line);
        match &*field {
            b"data" => {
                self.data.add(value);
                self.check_size(self.data.len())?;
            }
            b"event" => self.name = Some(value),
            // Comments (an empty field), `id`, `retry` and what nobody knows.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self) -> Result<Option<SseEvent>, SseError> {
        let name = self.name.take().filter(|name| !name.is_empty());
        let Some(data) = self.data.take() else { return Ok(None) };
        let is_text = |bytes: &Bytes| std::str::from_utf8(bytes).is_ok();
        if !is_text(&data) || !name.as_ref().is_none_or(is_text) {
            return Err(SseError::NotUtf8);
        }
        Ok(Some(SseEvent { name, data }))
    }

    fn check_size(&self, bytes: usize) -> Result<(), SseError> {
        // A line may be longer than its data by the name of the field.
        const FIELD_NAME: usize = 16;
        if bytes > self.max_event_bytes + FIELD_NAME {
            return Err(SseError::TooLarge(self.max_event_bytes));
        }
        Ok(())
    }
}

/// Splits a line into field and value; one blank after the colon belongs to neither.
fn split_field(mut line: Bytes) -> (Bytes, Bytes) {
    let Some(colon) = memchr::memchr(b':', &line) else { return (line, Bytes::new()) };
    let field = line.split_to(colon);
    line.advance(1);
    if line.first() == Some(&b' ') {
        line.advance(1);
    }
    (field, line)
}

/// Appends one event; data of several lines becomes several `data` lines.
pub fn write_event(data: &[u8], out: &mut BytesMut) {
    out.reserve(data.len() + b"data: \n\n".len());
    let mut rest = data;
    while let Some(end) = memchr2(b'\n', b'\r', rest) {
        let (line, tail) = rest.split_at(end);
        write_data_line(line, out);
        rest = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..)).unwrap_or_default();
    }
    write_data_line(rest, out);
    out.put_u8(b'\n');
}

fn write_data_line(line: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(line);
    out.put_u8(b'\n');
}

/// Appends a comment; line breaks in it become blanks.
pub fn write_comment(text: &str, out: &mut BytesMut) {
    out.extend_from_slice(b": ");
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    out.extend_from_slice(b"\n\n");
}

/// Appends the event that ends a good stream.
pub fn write_done(out: &mut BytesMut) {
    write_event(DONE, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 64;

    type Outcome = (Vec<(Option<String>, String)>, Option<SseError>);

    fn text(bytes: &Bytes) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let mut parser = SseParser::new(LIMIT);
        let mut events = Vec::new();
        for chunk in chunks {
            parser.push(Bytes::copy_from_slice(chunk));
            loop {
                match parser.next_event() {
                    Ok(Some(event)) => events.push((event.name.as_ref().map(text), text(&event.data))),
                    Ok(None) => break,
                    Err(error) => return (events, Some(error)),
                }
            }
        }
        match parser.finish() {
            Ok(last) => events.extend(last.map(|event| (event.name.as_ref().map(text), text(&event.data)))),
            Err(error) => return (events, Some(error)),
        }
        (events, None)
    }

    fn data_of(stream: &str) -> Vec<String> {
        read([stream.as_bytes()]).0.into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn events_end_with_every_kind_of_line_end() {
        assert_eq!(data_of("data: a\n\ndata: b\r\n\r\ndata: c\r\rdata: d\n\r\n"), ["a", "b", "c", "d"]);
    }

    #[test]
    fn fields_follow_the_event_stream_format() {
        assert_eq!(data_of("\u{feff}data:a\n\n"), ["a"]);
        assert_eq!(data_of(": hi\nid: 7\nretry: 9\ndata:  a\ndata\ndata: b: c\nunknown: x\n\n"), [" a\n\nb: c"]);
        assert_eq!(data_of("event: ping\n\n: only a comment\n\ndata:\n\n"), [""]);
        assert_eq!(
            read([b"event: e\ndata: x\n\ndata: y\n\n" as &[u8]]).0,
            [(Some("e".to_owned()), "x".to_owned()), (None, "y".to_owned())]
        );
    }

    #[test]
    fn a_last_event_without_its_blank_line_is_given_at_the_end() {
        assert_eq!(data_of("data: a\n\ndata: [DONE]"), ["a", "[DONE]"]);
        assert_eq!(data_of("data: a\n\ndata: b\n"), ["a", "b"]);
    }

    #[test]
    fn an_event_in_one_chunk_is_a_slice_of_it() {
        let chunk = Bytes::from_static(b"data: {\"a\":1}\n\n");
        let mut parser = SseParser::new(LIMIT);

        parser.push(chunk.clone());
        let event = parser.next_event().unwrap().unwrap();

        assert_eq!(event.data.as_ptr(), chunk[6..].as_ptr());
    }

    #[test]
    fn endless_lines_and_events_are_refused() {
        let line = vec![b'x'; 4 * LIMIT];
        assert_eq!(read(line.chunks(7)).1, Some(SseError::TooLarge(LIMIT)));

        let event = "data: 0123456789\n".repeat(40);
        assert_eq!(read(event.as_bytes().chunks(5)).1, Some(SseError::TooLarge(LIMIT)));
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        assert_eq!(read([b"data: a\n\ndata: \xff\n\n" as &[u8]]).1, Some(SseError::NotUtf8));
    }

    #[test]
    fn comments_stay_on_their_line() {
        let mut out = BytesMut::new();

        write_comment("a\r\ndata: b", &mut out);

        assert_eq!(out, &b": a  data: b\n\n"[..]);
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"data: ".to_vec()),
            Just(b"event:".to_vec()),
            Just(b":".to_vec()),
            Just(BYTE_ORDER_MARK.to_vec()),
            "[a-z \u{e4}\u{1f600}]{0,12}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..3),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn every_cutting_gives_the_same_events(stream in stream(), size in 1_usize..9) {
            let whole = read([stream.as_slice()]);

            for at in 0..=stream.len() {
                let (left, right) = stream.split_at(at);
                prop_assert_eq!(&read([left, right]), &whole);
            }
            prop_assert_eq!(&read(stream.chunks(size)), &whole);
        }

        #[test]
        fn what_is_written_is_read_again(events in prop::collection::vec("[^\r]{0,40}", 0..5)) {
            let mut out = BytesMut::new();
            for event in &events {
                out.extend_from_slice(HEARTBEAT);
                write_event(event.as_bytes(), &mut out);
            }

            let mut parser = SseParser::new(1 << 10);
            parser.push(out.freeze());
            for event in &events {
                prop_assert_eq!(&text(&parser.next_event().unwrap().unwrap().data), event);
            }
            prop_assert_eq!(parser.finish().unwrap(), None);
        }
    }
}
