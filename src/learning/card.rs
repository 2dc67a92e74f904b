//! The card of an artifact: what it is, what it was made of, how good it is. Its figures come from [`evaluate`](super::evaluate).

use super::{
    data::{HeldBack, Lessons, Set},
    evaluate::report::{
        SetReport,
        markdown::{LEGEND, tables},
    },
    examples::Examples,
    presence::PAIRS,
};
use crate::scoring::Artifact;

/// What the figures of a card were measured on.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// By set.
    pub reports: &'a [SetReport],
    /// Paths of charts beside the card.
    pub plots: &'a [String],
    /// What the artifact learned from; the reports are always of one that learned from training prompts alone.
    pub lessons: Lessons,
}

/// Returns the card in Markdown.
pub fn card(artifact: &Artifact, sets: &[Set], measured: Measured<'_>) -> String {
    let document = &artifact.document;
    let examples = Examples::of(sets, &HeldBack::from(sets, measured.lessons));
    let sources: String =
        examples.sources.iter().map(|(set, licence, count)| format!("| {set} | {count} | {licence} |\n")).collect();
    let closed: Vec<&str> = sets.iter().filter(|set| !set.is_open()).map(|set| set.meta.name.as_str()).collect();
    let domains = artifact.profiles.latent.iter().filter(|name| name.contains('/')).count();
    let surroundings = artifact.profiles.surroundings.as_ref();
    format!(
        "# {name}\n\n\
        A static router model: one forward pass gives an embedding ({embedding} numbers), a latent ({latent}: {domains} soft \
        domains and {traits} traits) and the expected length of the answer. Licence {licence}. It knows {profiles} models.\n\n\
        ## Data\n\n| set | training prompts | licence |\n|---|---|---|\n{sources}\n\
        Not trained on for want of an open licence: {closed}. Contaminated records and records without prompt text are left \
        out. A prompt that any set holds back for validation is held back in all sets; sets without validation records lend \
        every tenth prompt. A prompt is known by its first line or, where more than three questions of a set share that line, \
        by all of the question. `seen.bin` has the hashes of the training prompts, and `pointsman evaluate` leaves those out.\n\n\
        ## Method\n\n\
        - Tokenizer: WordPiece, {vocabulary} pieces, lower case, each digit and mark alone. Prompts above {max_tokens} tokens \
        are cut to head and tail (first in bytes: 1,536 on each side).\n\
        - Token vectors: inverse document frequencies, truncated SVD (randomised), singular values to the power 0.5; summed over \
        the distinct tokens, weighted by smooth inverse frequency; length 1. Beside it the shares of digits, marks, operators, brackets, word pieces, single letters, other \
        scripts and unknown words, and the logarithm of the number of tokens.\n\
        - Words: one column per token and per bucket of {pairs} for pairs of neighbouring tokens, 0 or 1 however often, by \
        inverse document frequency; length 1. No word gains by being repeated.\n\
        - Soft domains: multinomial logistic regression on words and dense inputs, for the sets' categories. Traits: ridge \
        regressions on the same, for how much easier a prompt was than its domain and its models suggest (in all sets and within \
        each large one), and for the difference of the two scores in sets of two models.\n\
        - Profiles: logistic regression of each model's scores on the latent, held to what is common to all models. How far a \
        model may deviate in a domain is chosen for each by its held-out log loss; the loadings on traits are held to the \
        common ones 300 times as strongly as to one graded prompt of spread 1. The latents come from heads fitted without the \
        prompt (five folds), and Platt's map from profiles fitted without the answer (five folds) is multiplied in.\n\
        - Spread: the posterior variance of the log-odds, widened by one factor so that it covers the errors of whole domains \
        on held-out answers.\n\
        - Models without a profile: the common difficulty, moved by price and size{newcomer}.\n\
        - Familiarity: distance to the nearest of {centers} centers (spherical k-means), as a quantile of held-back training \
        prompts; beyond {limit:.0} % of them a prompt is marked as outside.\n\
        - Length: ridge regression of the mean log length; the 90 % quantile by domain; each model's verbosity beside it.\n\
        - Seed {seed}; the same data and seed give the same bytes on the same machine.\n\n\
        {results}{LIMITS}",
        name = document.name,
        embedding = document.outputs.embedding,
        latent = document.outputs.latent,
        domains = domains,
        traits = document.outputs.latent.saturating_sub(domains),
        pairs = PAIRS,
        newcomer = newcomer(artifact),
        centers = surroundings.map_or(0, |near| near.centers.len()),
        limit = surroundings.map_or(100.0, |near| 100.0 * (1.0 - near.limit)),
        licence = document.licence,
        profiles = artifact.profiles.profiles.len(),
        closed = if closed.is_empty() { "none".to_owned() } else { closed.join(", ") },
        vocabulary = artifact.tokens.count(),
        max_tokens = document.max_tokens,
        seed = document.seed,
        results = results(measured),
    )
}

fn results(measured: Measured<'_>) -> String {
    let charts: String = measured.plots.iter().map(|plot| format!("![{plot}]({plot})\n")).collect();
    format!(
        "## Results\n\n{}\
        On held-back prompts, by `pointsman evaluate`; nothing was chosen on them. Intervals: 95 %, bootstrap over prompts, the \
        same resamples for all lines. {LEGEND} Baselines are fitted on the set's training prompts; the category mean knows the \
        category of a prompt, the router sees only its text.\n\n\
        {}### Charts\n\n{charts}\n",
        lessons_note(measured.lessons),
        tables(measured.reports),
    )
}

const LIMITS: &str = "## Limits\n\n\
    - Where a line's interval of the gap reaches 0, the router is no better there than the hull of single models.\n\
    - Read each table against its category mean, which needs the category to be known: routers that see only the prompt seldom go \
    far beyond it.\n\
    - What a model without a profile can do is a guess from its price and size; the spread says how wide.\n\
    - Data are benchmark questions, mostly English and many of them multiple choice; on chat traffic the domains are guesses and \
    qualities should be taken as priors.\n\
    - Benchmark scores of models of 2023 to 2026 at the settings of their sources, not a verdict on them.\n";

/// How wide the guess is, in words.
fn newcomer(artifact: &Artifact) -> String {
    let spread = artifact.profiles.newcomer.as_ref().map(|newcomer| newcomer.spread);
    spread
        .map(|spread| format!(" (standard error of the log-odds {spread:.2}, each known model left out once)"))
        .unwrap_or_default()
}

fn lessons_note(lessons: Lessons) -> &'static str {
    match lessons {
        Lessons::Training => "",
        Lessons::Everything => {
            "The figures are those of weights that learned from the training prompts alone. The weights in this folder were then \
            learned the same way, with the same seed, from all prompts, the held-back ones too, as counted above; nothing of these \
            sets is left to measure them on.\n\n"
        }
    }
}
