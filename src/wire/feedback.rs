//! Grades of answers: `POST /v1/feedback`.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use super::parse::{Fields, Limits, ParseError, did_you_mean, parse_body};

/// Largest body; a corrected answer of the longest kind fits.
pub const MOST_BYTES: usize = 128 << 10;
/// Longest comment, in bytes.
const MOST_COMMENT_BYTES: usize = 4 << 10;
/// Longest corrected answer, in bytes.
const MOST_CORRECTION_BYTES: usize = 64 << 10;

const FIELDS: [&str; 5] = ["decision_id", "score", "thumbs", "corrected_answer", "comment"];
const GRADE: &str = "`score`, a number between 0 and 1, or `thumbs`, \"up\" or \"down\"";

/// A grade as it was sent. Its `Debug` tells nothing of the texts.
#[derive(Clone, PartialEq)]
pub struct FeedbackCall {
    /// `decision_id`: what `x-pointsman-decision-id` said.
    pub decision: String,
    /// `score` in `[0, 1]`, or 1 and 0 for thumbs up and down.
    pub score: f64,
    /// `corrected_answer`: what the answer should have been.
    pub correction: Option<String>,
    /// `comment`: why.
    pub comment: Option<String>,
}

impl FeedbackCall {
    /// Parses a request body.
    ///
    /// # Errors
    /// The body is not a JSON object within `limits`, or a field is unknown, missing, of the wrong type, too long or out of
    /// range.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        let body = parse_body(bytes, limits)?;
        if let Some(unknown) = body.names().find(|name| !FIELDS.contains(name)) {
            return Err(refuse_field(unknown));
        }
        let fields = Fields(&body);
        let expected = "the value of the header x-pointsman-decision-id";
        let decision = fields.read("decision_id", expected)?;
        Ok(Self {
            decision: decision.ok_or_else(|| ParseError::missing("decision_id", expected))?,
            score: grade(&fields)?,
            correction: text(&fields, "corrected_answer", MOST_CORRECTION_BYTES)?,
            comment: text(&fields, "comment", MOST_COMMENT_BYTES)?,
        })
    }
}

impl fmt::Debug for FeedbackCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedbackCall").field("score", &self.score).finish_non_exhaustive()
    }
}

fn refuse_field(unknown: &str) -> ParseError {
    let hint = match did_you_mean(unknown, &FIELDS) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("the fields are {}.", FIELDS.join(", ")),
    };
    let shown: String = unknown.chars().take(80).collect();
    ParseError::at(shown.clone(), format!("Feedback has no field `{shown}`; {hint}"))
}

fn grade(fields: &Fields<'_>) -> Result<f64, ParseError> {
    let score = fields.number("score", 0.0..=1.0)?;
    let thumbs: Option<String> = fields.read("thumbs", "\"up\" or \"down\"")?;
    match (score, thumbs.as_deref()) {
        (Some(score), None) => Ok(score),
        (None, Some("up")) => Ok(1.0),
        (None, Some("down")) => Ok(0.0),
        (None, Some(_)) => Err(ParseError::at("thumbs", "`thumbs` must be \"up\" or \"down\".")),
        (Some(_), Some(_)) => Err(ParseError::at("thumbs", format!("Send one grade: {GRADE}."))),
        (None, None) => Err(ParseError::at("score", format!("The grade is missing: send {GRADE}."))),
    }
}

fn text(fields: &Fields<'_>, name: &str, most: usize) -> Result<Option<String>, ParseError> {
    let text: Option<String> = fields.read(name, "a string")?;
    match text {
        Some(text) if text.len() > most => {
            let message = format!("`{name}` has {} bytes; at most {most} are kept.", text.len());
            Err(ParseError::at(name, message))
        }
        text => Ok(text),
    }
}

/// A grade as it was kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeedbackEntry {
    /// The decision.
    pub decision_id: String,
    /// The grade, in `[0, 1]`.
    pub score: f64,
    /// When it was kept first, in Unix seconds.
    pub created: i64,
    /// Whether corrected answer and comment were kept too.
    pub texts_kept: bool,
}

/// Renders a grade that was kept.
pub fn render_feedback(entry: &FeedbackEntry) -> Bytes {
    #[derive(Serialize)]
    struct Document<'a> {
        object: &'static str,
        #[serde(flatten)]
        entry: &'a FeedbackEntry,
    }

    // Strings and numbers always serialise.
    Bytes::from(serde_json::to_vec(&Document { object: "feedback", entry }).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { messages: 1, choices: 1, depth: 8 };

    fn parsed(body: &str) -> Result<FeedbackCall, ParseError> {
        FeedbackCall::parse(Bytes::copy_from_slice(body.as_bytes()), &LIMITS)
    }

    fn refusal(body: &str) -> (Option<String>, String) {
        let error = parsed(body).unwrap_err();
        (error.param, error.message)
    }

    #[test]
    fn thumbs_are_scores() {
        let score = |body| parsed(body).unwrap().score;

        assert_eq!(score(r#"{"decision_id": "d", "thumbs": "up"}"#), 1.0);
        assert_eq!(score(r#"{"decision_id": "d", "thumbs": "down"}"#), 0.0);
        assert_eq!(score(r#"{"decision_id": "d", "score": 0.25, "comment": null}"#), 0.25);
    }

    #[test]
    fn what_cannot_be_a_grade_is_refused_with_its_place() {
        let param = |body| refusal(body).0.unwrap_or_default();

        assert_eq!(param(r#"{"score": 1}"#), "decision_id");
        assert_eq!(param(r#"{"decision_id": 7, "score": 1}"#), "decision_id");
        assert_eq!(param(r#"{"decision_id": "d"}"#), "score");
        assert_eq!(param(r#"{"decision_id": "d", "score": 1.5}"#), "score");
        assert_eq!(param(r#"{"decision_id": "d", "thumbs": "left"}"#), "thumbs");
        assert_eq!(param(r#"{"decision_id": "d", "score": 1, "thumbs": "up"}"#), "thumbs");
    }

    #[test]
    fn a_misspelt_field_is_told_rather_than_lost() {
        let (param, message) = refusal(r#"{"decision_id": "d", "score": 1, "coment": "well done"}"#);

        assert_eq!(param.as_deref(), Some("coment"));
        assert_eq!(message, "Feedback has no field `coment`; did you mean `comment`?");
    }

    #[test]
    fn long_texts_are_refused() {
        let body = format!(r#"{{"decision_id": "d", "score": 1, "comment": "{}"}}"#, "x".repeat(5_000));

        assert_eq!(refusal(&body).1, "`comment` has 5000 bytes; at most 4096 are kept.");
    }

    #[test]
    fn nothing_of_the_texts_is_shown() {
        let call = parsed(r#"{"decision_id": "d", "score": 1, "comment": "canary", "corrected_answer": "canary"}"#);

        assert!(!format!("{call:?}").contains("canary"));
    }
}
