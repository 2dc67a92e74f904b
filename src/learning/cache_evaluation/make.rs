//! Prompts with answer classes, made from real prompts.

use std::collections::{BTreeSet, HashSet};

use rand::{Rng, seq::SliceRandom};

use super::{Kind, Replayed, twins::Twist};
use crate::learning::{encoder::stage_rng, evaluate::paraphrase};

/// How much is made.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Paraphrases of each prompt, at most; how many is drawn.
    pub paraphrases: usize,
    /// Twins of each prompt, at most one of each kind.
    pub twins: usize,
    /// Seed of all chance.
    pub seed: u64,
}

/// Words that do not make two prompts different questions; single letters, which name choices, count among them.
const FORM: [&str; 15] =
    ["an", "and", "answer", "are", "for", "hi", "in", "is", "of", "or", "please", "question", "quick", "the", "to"];

/// Returns the prompts of which no earlier one asks the same: public sets share questions, spelled and laid out in their own ways,
/// and each would count as wrong for the other.
pub fn distinct(prompts: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    prompts.into_iter().filter(|prompt| seen.insert(content(prompt))).collect()
}

fn content(prompt: &str) -> BTreeSet<String> {
    let lower = prompt.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    let counts =
        |word: &&str| (word.len() > 1 || word.bytes().all(|byte| byte.is_ascii_digit())) && !FORM.contains(word);
    words.filter(|word| !word.is_empty()).filter(counts).map(str::to_owned).collect()
}

/// Returns each prompt with paraphrases and twins of it, in an order drawn by chance. The same recipe gives the same lines.
pub fn make(prompts: &[String], recipe: Recipe) -> Vec<Replayed> {
    let mut rng = stage_rng(recipe.seed, 82);
    let mut made = Vec::new();
    for (at, prompt) in prompts.iter().enumerate() {
        let class = format!("{at}");
        made.push(Replayed { prompt: prompt.clone(), class: class.clone(), kind: Kind::Original });
        let count = rng.random_range(0..=recipe.paraphrases);
        let mut kinds = paraphrase::Kind::ALL;
        kinds.shuffle(&mut rng);
        for kind in kinds.into_iter().take(count) {
            if let Some(said) = kind.apply(prompt, rng.random()) {
                made.push(Replayed { prompt: said, class: class.clone(), kind: Kind::Paraphrase });
            }
        }
        let mut twists = Twist::ALL;
        twists.shuffle(&mut rng);
        let twins = twists.into_iter().filter_map(|twist| Some((twist, twist.apply(prompt)?))).take(recipe.twins);
        for (twist, twin) in twins {
            made.push(Replayed { prompt: twin, class: format!("{at}, other {}", twist.name()), kind: Kind::Twin });
        }
    }
    made.shuffle(&mut rng);
    made
}
