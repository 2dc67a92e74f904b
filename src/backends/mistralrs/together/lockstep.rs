//! One answer of several models, token by token.

use std::{
    sync::{Arc, mpsc as blocking},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::{
    super::{
        engine::EngineError,
        speculation::{Messages, Passes, Writing},
    },
    blend::{Blend, Counts},
};

/// What makes the tokens of one answer.
pub(super) struct Lockstep {
    pub(super) writing: Box<dyn Writing>,
    pub(super) blend: Blend,
    pub(super) counts: Arc<Counts>,
    /// How long the others may take for their logits.
    pub(super) limit: Duration,
}

/// The leader asks the others for their logits after what is written.
struct Ask {
    written: Vec<u32>,
    answer: blocking::SyncSender<Vec<Vec<f32>>>,
}

/// The leader's side, which runs in its engine's thread.
struct Lead {
    lockstep: Lockstep,
    written: Vec<u32>,
    asks: mpsc::UnboundedSender<Ask>,
    /// Whether the others did not answer.
    is_deserted: bool,
}

/// Decodes an answer to its end, or until nobody listens any more. The first of `members` leads.
///
/// # Errors
/// An engine failed, or one took too long.
pub(super) async fn decode(
    mut members: Vec<OwnedMutexGuard<Passes>>,
    messages: Messages,
    mut lockstep: Lockstep,
) -> Result<(), EngineError> {
    let mut prompts = Vec::new();
    for passes in &mut members {
        passes.forget();
        prompts.push(passes.prompt(messages.clone()).await?);
    }
    let (Some((leader, others)), Some((prompt, prompts))) = (members.split_first_mut(), prompts.split_first()) else {
        return Ok(());
    };
    if !lockstep.writing.begin(prompt) {
        return Ok(());
    }
    let (asks, asked) = mpsc::unbounded_channel();
    let lead = Lead { lockstep, written: Vec::new(), asks, is_deserted: false };
    let (led, served) = tokio::join!(run(leader, prompt, lead), serve(others, prompts, asked));
    served.and(led)
}

/// Has the leader decode.
async fn run(leader: &mut Passes, prompt: &[u32], lead: Lead) -> Result<(), EngineError> {
    let slot = Arc::new(Mutex::new(Some(lead)));
    let reader = || {
        let reading = Arc::clone(&slot);
        Box::new(move |logits| reading.lock().as_mut().and_then(|lead| lead.read(logits)))
    };
    // An engine that was started again has forgotten the text, and reads it anew.
    if leader.run(prompt, reader()).await?.is_none() && leader.run(prompt, reader()).await?.is_none() {
        return Err(EngineError::Died);
    }
    leader.settle().await;
    let lead = slot.lock().take();
    match lead {
        Some(lead) if lead.is_deserted => {
            Err(EngineError::Failed("a model that decodes with it fell silent".to_owned()))
        }
        _ => Ok(()),
    }
}

impl Lead {
    /// Takes the leader's logits and returns the token to go on with; `None` when the answer is over.
    fn read(&mut self, logits: Vec<f32>) -> Option<u32> {
        let others = if self.lockstep.blend.asks(&logits) { Some(self.others()?) } else { None };
        let blended = self.lockstep.blend.blend(logits, others.as_deref(), &self.lockstep.counts);
        let token = self.lockstep.writing.next(blended)?;
        self.written.push(token);
        Some(token)
    }

    /// Waits for the others' logits. It may block, because the leader's engine has nothing else to do.
    fn others(&mut self) -> Option<Vec<Vec<f32>>> {
        let (answer, answered) = blocking::sync_channel(1);
        let is_asked = self.asks.send(Ask { written: self.written.clone(), answer }).is_ok();
        let rows = answered.recv_timeout(self.lockstep.limit).ok().filter(|_| is_asked);
        self.is_deserted = rows.is_none();
        rows
    }
}

/// Answers the leader until it is through.
async fn serve(
    others: &mut [OwnedMutexGuard<Passes>],
    prompts: &[Vec<u32>],
    mut asked: mpsc::UnboundedReceiver<Ask>,
) -> Result<(), EngineError> {
    while let Some(Ask { written, answer }) = asked.recv().await {
        let mut rows = Vec::new();
        for (passes, prompt) in others.iter_mut().zip(prompts) {
            let text: Vec<u32> = prompt.iter().chain(&written).copied().collect();
            rows.push(row(passes, &text).await?);
        }
        // A leader that waited too long is gone.
        answer.send(rows).ok();
    }
    Ok(())
}

/// Returns a model's logits after `text`.
async fn row(passes: &mut Passes, text: &[u32]) -> Result<Vec<f32>, EngineError> {
    let slot = Arc::new(Mutex::new(None));
    let reader = || {
        let reading = Arc::clone(&slot);
        Box::new(move |logits| {
            *reading.lock() = Some(logits);
            None
        })
    };
    if passes.run(text, reader()).await?.is_none() {
        passes.run(text, reader()).await?;
    }
    let row = slot.lock().take();
    row.ok_or(EngineError::Died)
}
