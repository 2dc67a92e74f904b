//! Server-sent events as a client reads them.

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The joined `data:` lines.
    Data(String),
    /// A comment, without its colon.
    Comment(String),
}

impl Frame {
    /// Returns the data as JSON; `None` for comments and for `[DONE]`.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        match self {
            Self::Data(data) if data != "[DONE]" => Some(serde_json::from_str(data).expect("an event's data is JSON")),
            Self::Data(_) | Self::Comment(_) => None,
        }
    }

    /// Returns the text of the first choice's delta; empty when there is none.
    pub(crate) fn text(&self) -> String {
        let json = self.json().unwrap_or_default();
        json["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    }
}

/// Cuts bytes into frames, whatever the boundaries they arrive with.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
}

impl Frames {
    /// Takes more bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next whole frame.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let end = self.buffer.windows(2).position(|window| window == b"\n\n")?;
        let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
        let text = String::from_utf8(frame).expect("a frame is UTF-8");
        let data: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
        if data.is_empty() {
            return Some(Frame::Comment(text.trim().trim_start_matches(':').trim().to_owned()));
        }
        Some(Frame::Data(data.join("\n")))
    }
}
