//! The tests of a cascade: does this answer send the request on?
//!
//! Everything here is a pure function of the answer. What asks a model is in `judge`.
//!
//! - An answer that only calls tools has no text; tests of text hold nothing against it.
//! - A test of token probabilities defers where the model told none: an answer that cannot be tested is not taken for a good one.

mod form;
mod refusal;
pub(super) mod tokens;

use super::answer::Answer;
use crate::{
    domain::{Cause, DeferralTest, TokenSignal},
    wire::chat::ResponseFormat,
};

/// Why an answer is not good enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Objection {
    pub(super) cause: Cause,
    pub(super) value: Option<f64>,
}

impl Objection {
    pub(super) fn of(cause: Cause) -> Self {
        Self { cause, value: None }
    }

    fn because(cause: Cause, value: f64) -> Self {
        Self { cause, value: Some(value) }
    }
}

/// Returns what a test has against a whole answer; what a model has to be asked for is not looked at here.
pub(super) fn objection(test: &DeferralTest, answer: &Answer, format: &ResponseFormat) -> Option<Objection> {
    match test {
        DeferralTest::Logprob { statistic, below, .. } => {
            tokens::low(tokens::statistic(*statistic, answer.signals()), *below, Cause::Logprob)
        }
        DeferralTest::Margin { below, .. } => tokens::low(tokens::mean_margin(answer.signals()), *below, Cause::Margin),
        DeferralTest::Entropy { above, .. } => {
            tokens::high(tokens::mean_entropy(answer.signals()), *above, Cause::Entropy)
        }
        DeferralTest::Length { min, max } => {
            let length = answer.tokens();
            let is_off = min.is_some_and(|min| length < min) || max.is_some_and(|max| length > max);
            (is_off && !answer.calls_tools()).then(|| Objection::because(Cause::Length, length as f64))
        }
        DeferralTest::Finish { reasons } => {
            let reason = answer.finish_reason()?;
            reasons.iter().any(|known| known == reason).then(|| Objection::of(Cause::Finish))
        }
        DeferralTest::Refusal { phrases } => refusal::declines(answer, phrases).then(|| Objection::of(Cause::Refusal)),
        DeferralTest::Format { form } => {
            let is_off = answer.text().is_some_and(|text| !form::has(text, form, format));
            is_off.then(|| Objection::of(Cause::Format))
        }
        DeferralTest::Judge { .. } | DeferralTest::Agreement { .. } => None,
    }
}

/// What is known of an answer that is still being written.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) signals: Vec<TokenSignal>,
    /// Events that carried something.
    pub(super) pieces: u64,
}

impl Progress {
    /// Returns the tokens so far; where the model tells of none, an event counts as one.
    pub(super) fn tokens(&self) -> u64 {
        (self.signals.len() as u64).max(self.pieces)
    }
}

/// Returns what the tests have against an answer that is still being written. `is_due` says of a number of tokens to look at
/// first whether that many are there.
pub(super) fn doubt(tests: &[DeferralTest], progress: &Progress, is_due: impl Fn(u32) -> bool) -> Option<Objection> {
    tests.iter().find_map(|test| match test {
        DeferralTest::Logprob { statistic, below, after: Some(after) } if is_due(*after) => {
            tokens::low(tokens::statistic(*statistic, &progress.signals), *below, Cause::Logprob)
        }
        DeferralTest::Margin { below, after: Some(after) } if is_due(*after) => {
            tokens::low(tokens::mean_margin(&progress.signals), *below, Cause::Margin)
        }
        DeferralTest::Entropy { above, after: Some(after) } if is_due(*after) => {
            tokens::high(tokens::mean_entropy(&progress.signals), *above, Cause::Entropy)
        }
        DeferralTest::Length { max: Some(max), .. } if progress.tokens() > *max => {
            Some(Objection::because(Cause::Length, progress.tokens() as f64))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::{AnswerForm, Statistic, WholeReply};

    fn answer(message: &str, finish_reason: &str) -> Answer {
        let body = format!(
            r#"{{"choices":[{{"index":0,"message":{message},"finish_reason":"{finish_reason}"}}],"usage":{{"prompt_tokens":1,"completion_tokens":40,"total_tokens":41}}}}"#
        );
        let signals =
            [-0.1, -3.0].map(|logprob| TokenSignal { logprob, entropy: Some(1.2), margin: Some(0.5) }).to_vec();
        Answer::of_whole(WholeReply { signals, ..WholeReply::read(Bytes::from(body)) }).unwrap()
    }

    fn against(test: DeferralTest, answer: &Answer) -> Option<Cause> {
        objection(&test, answer, &ResponseFormat::JsonObject).map(|objection| objection.cause)
    }

    fn says(text: &str) -> Answer {
        answer(&format!(r#"{{"content":{}}}"#, crate::wire::raw::quoted(text)), "stop")
    }

    #[test]
    fn each_test_objects_to_what_it_is_for_and_to_nothing_else() {
        let logprob = |below| DeferralTest::Logprob { statistic: Statistic::Mean, below, after: None };
        let margin = |below| DeferralTest::Margin { below, after: None };
        let entropy = |above| DeferralTest::Entropy { above, after: None };
        let length = |min, max| DeferralTest::Length { min, max };
        let finish = || DeferralTest::Finish { reasons: vec!["length".to_owned()] };
        let format = || DeferralTest::Format { form: AnswerForm::Requested };
        let good = says("{\"a\": 1}");
        let cases = [
            (logprob(-1.6), &good, None),
            (logprob(-1.5), &good, Some(Cause::Logprob)),
            (margin(0.4), &good, None),
            (margin(0.6), &good, Some(Cause::Margin)),
            (entropy(1.3), &good, None),
            (entropy(1.1), &good, Some(Cause::Entropy)),
            (length(Some(41), None), &good, Some(Cause::Length)),
            (length(Some(40), Some(40)), &good, None),
            (length(None, Some(39)), &good, Some(Cause::Length)),
            (finish(), &good, None),
            (finish(), &answer(r#"{"content":"x"}"#, "length"), Some(Cause::Finish)),
            (format(), &good, None),
            (format(), &says("a: 1"), Some(Cause::Format)),
        ];

        for (test, answer, expected) in cases {
            assert_eq!(against(test.clone(), answer), expected, "{test:?}");
        }
    }

    #[test]
    fn an_answer_that_only_calls_tools_is_not_tested_for_text() {
        let calls = answer(r#"{"content":null,"tool_calls":[{"id":"1"}]}"#, "tool_calls");
        let length = DeferralTest::Length { min: Some(1_000), max: None };
        let format = DeferralTest::Format { form: AnswerForm::Requested };

        assert_eq!((against(length, &calls), against(format, &calls)), (None, None));
    }

    #[test]
    fn an_answer_without_signals_is_in_doubt_where_they_are_tested() {
        let silent = Answer::of_whole(WholeReply::read(Bytes::from_static(br#"{"choices":[]}"#))).unwrap();
        let test = DeferralTest::Logprob { statistic: Statistic::Minimum, below: -9.0, after: None };

        assert_eq!(against(test, &silent), Some(Cause::NoSignals));
    }

    #[test]
    fn an_answer_in_the_making_is_tested_from_the_token_on_that_the_policy_names() {
        let after = Some(4);
        let test = [DeferralTest::Logprob { statistic: Statistic::Mean, below: -1.0, after }];
        let low = TokenSignal { logprob: -2.0, entropy: None, margin: None };
        let progress = |count: usize| Progress { signals: vec![low; count], pieces: count as u64 };
        let doubts = |count: usize| doubt(&test, &progress(count), |after| count >= after as usize).is_some();

        assert_eq!([3, 4].map(doubts), [false, true]);
    }

    #[test]
    fn an_answer_that_grows_too_long_is_doubted_at_once() {
        let test = [DeferralTest::Length { min: None, max: Some(5) }];
        let at = |pieces| doubt(&test, &Progress { signals: Vec::new(), pieces }, |_| true);

        assert_eq!((at(5), at(6)), (None, Some(Objection::because(Cause::Length, 6.0))));
    }
}
