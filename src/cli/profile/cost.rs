//! What asking will cost, said before it is spent.

use std::{
    io::{IsTerminal, Write},
    sync::Arc,
    time::Duration,
};

use pointsman::{
    domain::{ModelFacts, NanoUsd, PromptView, Tokens, Usage},
    learning::probes::Probe,
    scoring::Scorer,
};

/// For scoring one prompt: far above what it takes.
const DEADLINE: Duration = Duration::from_secs(5);
/// Expected answer where the router cannot tell, in tokens.
const UNKNOWN_TOKENS: f64 = 256.0;

/// What a run may cost.
pub(super) struct Estimate {
    /// With answers of the length that the router expects.
    expected: NanoUsd,
    /// With every answer as long as allowed.
    most: NanoUsd,
}

/// Works out what asking these probes costs.
pub(super) async fn estimate(scorer: &dyn Scorer, facts: &ModelFacts, probes: &[&Probe], longest: u64) -> Estimate {
    let mut estimate = Estimate { expected: NanoUsd::ZERO, most: NanoUsd::ZERO };
    for probe in probes {
        let input_tokens = Tokens::estimate(probe.prompt.len());
        let view = PromptView { text: Arc::from(probe.prompt.as_str()), input_tokens, turns: 1 };
        let scores = scorer.score(&view, DEADLINE).await.ok();
        let verbosity = scores.as_ref().and_then(|scores| scores.quality.get(facts.profile_name()));
        let typical = scores.as_ref().map_or(UNKNOWN_TOKENS, |scores| scores.length.median);
        let expected = typical * verbosity.map_or(1.0, |quality| quality.verbosity);
        let cost = |output: u64| {
            facts.prices.cost(&Usage { input: input_tokens, output: Tokens(output.min(longest)), ..Usage::default() })
        };
        estimate.expected += cost(expected.ceil() as u64);
        estimate.most += cost(longest);
    }
    estimate
}

/// Says what it will cost and asks whether to go on; without a terminal only `--yes` can.
///
/// # Errors
/// Nobody is there to ask, or the answer cannot be read.
pub(super) fn confirm(
    estimate: &Estimate,
    prompts: usize,
    is_agreed: bool,
) -> Result<bool, Box<dyn std::error::Error>> {
    let (expected, most) = (estimate.expected.dollars(), estimate.most.dollars());
    super::tell(&format!(
        "{prompts} prompts will be asked: about ${expected:.4}, at most ${most:.4} at the configured prices."
    ));
    if is_agreed {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err("nobody is there to agree to the cost; --yes goes on without asking".into());
    }
    write!(std::io::stderr(), "Go on? [y/N] ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
