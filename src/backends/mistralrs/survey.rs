//! How fast a local model decodes here, plainly and with proposals: for operators and researchers, not for serving.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::{
    Local,
    queue::Caller,
    speculation::{Aid, Costs, Counted, Drafting, Pace, speed},
};

/// How long a draft's turn is waited for; nobody else has it in a survey.
const TURN_LIMIT: Duration = Duration::from_secs(60);

/// Decoding with so many proposals at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surveyed {
    /// Proposals at a time; 0 decodes plainly.
    pub gamma: usize,
    /// Tokens per second, from the first token on.
    pub tokens_per_second: f64,
    /// Tokens proposed.
    pub proposed: u64,
    /// Of them, tokens accepted.
    pub accepted: u64,
    /// Tokens that came of each pass that checked proposals; `None` without one.
    pub tokens_per_pass: Option<f64>,
}

/// Decodes one task with each number of proposals, by `draft` or, without one, by lookup in what is written. Both must be loaded.
///
/// # Errors
/// A model is not loaded, cannot speculate, has another vocabulary, or failed; the text says which.
pub async fn survey(target: &Local, draft: Option<&Local>, gammas: &[usize]) -> Result<Vec<Surveyed>, String> {
    let loaded = target.inner.loaded().ok_or_else(|| told(target))?;
    let engine = loaded.engine();
    if let Some(draft) = draft {
        let other = draft.inner.loaded().ok_or_else(|| told(draft))?;
        engine.vocabulary().agrees_with(other.engine().vocabulary())?;
    }
    let passes = engine.passes()?;
    let mut passes = passes.lock().await;
    let mut rows = Vec::new();
    for gamma in [0].iter().chain(gammas) {
        let aid = match draft {
            _ if *gamma == 0 => Aid::Nothing,
            None => Aid::Lookup(None),
            Some(draft) => drafting(draft).await?,
        };
        let costs = Arc::new(Costs::default());
        let measured = speed(&mut passes, aid, Pace::new(*gamma, false, false), &costs).await;
        let (tokens_per_second, counted) = measured.map_err(|error| error.to_string())?;
        rows.push(row(*gamma, tokens_per_second, counted));
    }
    Ok(rows)
}

fn row(gamma: usize, tokens_per_second: f64, counted: Counted) -> Surveyed {
    let Counted { proposed, accepted, passes, tokens, .. } = counted;
    let tokens_per_pass = (passes > 0).then(|| tokens as f64 / passes as f64);
    Surveyed { gamma, tokens_per_second, proposed, accepted, tokens_per_pass }
}

async fn drafting(draft: &Local) -> Result<Aid, String> {
    let turn = draft.inner.shared.queue.enter(&Caller::own(), Instant::now() + TURN_LIMIT).await;
    let turn = turn.map_err(|_| format!("{} is too busy", draft.inner.name))?;
    let loaded = draft.inner.loaded().ok_or_else(|| told(draft))?;
    let passes = loaded.engine_at(turn.seat()).passes()?;
    Ok(Aid::Draft(Box::new(Drafting::new(passes.lock_owned().await, turn, 0.0, (0, 0)))))
}

fn told(local: &Local) -> String {
    let failure = local.status().failure.unwrap_or_else(|| "it is not loaded".to_owned());
    format!("{}: {failure}", local.inner.name)
}
