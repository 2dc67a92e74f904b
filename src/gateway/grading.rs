//! Grades of answers: kept in the ledger, counted, learned from.

use std::time::Duration;

use super::{Gateway, Refusal, run::Run};
use crate::{
    accounting::FeedbackError,
    domain::{Feedback, Filed, PromptView},
    error::Code,
};

/// How long a grade waits for the end of the answer that it is about. A caller has an answer's last byte a moment before the
/// gateway has booked it; whoever grades in the middle of a long stream is told to wait.
const PATIENCE: Duration = Duration::from_secs(2);

impl Gateway {
    /// Keeps the prompt of a decision for training, where the tenant's words are kept.
    pub(super) fn record_prompt(&self, run: &Run, prompt: &PromptView) {
        if !self.parts.settings.recording.keeps(&run.context().principal.tenant) {
            return;
        }
        if let Some(ledger) = &self.parts.ledger {
            ledger.keep_prompt(run.decision(), &prompt.text);
        }
    }

    /// Keeps a caller's grade of an answer; its texts only where the tenant's words are kept.
    ///
    /// # Errors
    /// The tenant has no such decision on record, or the grade cannot be kept.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the grade is kept; sending it again is safe.
    pub async fn grade(&self, feedback: Feedback) -> Result<Filed, Refusal> {
        let Some(ledger) = &self.parts.ledger else {
            let message = "This gateway keeps no records that feedback could be about; its accounting is off.";
            return Err(refusal(Code::Unsupported, message.to_owned()));
        };
        let keeps_texts = self.parts.settings.recording.keeps(&feedback.tenant);
        let feedback = if keeps_texts { feedback } else { feedback.without_texts() };
        self.parts.books.open.settled(feedback.decision, &feedback.tenant, PATIENCE).await;
        let filed = ledger.file(feedback).await.map_err(refused)?;
        if let Some(news) = &filed.news {
            self.parts.telemetry.graded(news);
            self.parts.experience.learn(news);
        }
        Ok(filed)
    }
}

fn refused(error: FeedbackError) -> Refusal {
    if let FeedbackError::Ledger(cause) = &error {
        tracing::error!(error = cause as &dyn std::error::Error, "a grade could not be written");
        return refusal(Code::Internal, "The grade could not be kept; the gateway's log has the cause.".to_owned());
    }
    let param = matches!(error, FeedbackError::Unknown(_) | FeedbackError::Expired { .. }).then_some("decision_id");
    Refusal { param: param.map(str::to_owned), ..refusal(error.code(), error.to_string()) }
}

fn refusal(code: Code, message: String) -> Refusal {
    Refusal { code, message, param: None, retry_after: None, passage: None }
}
