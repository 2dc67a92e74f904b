//! A search for text that makes the router choose dearer models: what an attacker can do who may ask the router, but not look
//! inside.
//!
//! The attack is that of query-based confounder gadgets (arXiv:2501.01818): one prefix of a few random words is improved word
//! by word against a few prompts, then put before prompts that the search has not seen. [`search`] finds the prefix,
//! [`measure`] says how many choices it upgrades; prefixes of random words are the control. A router that cannot be gamed has
//! the same rate for both.

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// What the router does with one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Rank of the chosen model among the candidates by expected cost: 0 is the cheapest.
    pub rank: usize,
    /// Rank of the dearest candidate.
    pub dearest: usize,
    /// Expected cost of the chosen model, in US dollars.
    pub cost: f64,
    /// What a prefix tries to raise: any number that grows as dearer models come nearer to being chosen.
    pub pull: f64,
}

/// How hard to search.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Words of the prefix.
    pub words: usize,
    /// Positions that are tried to improve, one after the other.
    pub rounds: usize,
    /// Words tried at each position.
    pub tries: usize,
    /// Seed of all chance.
    pub seed: u64,
}

/// What a prefix does to prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Effect {
    /// Prompts that it was put before.
    pub prompts: usize,
    /// Share of them for which a dearer model is chosen than without it.
    pub upgraded: f64,
    /// Share of them for which a cheaper model is chosen.
    pub downgraded: f64,
    /// Share of them that go to the dearest model.
    pub to_dearest: f64,
    /// Mean expected cost of the chosen models relative to that without the prefix.
    pub cost_ratio: f64,
}

/// Returns the prefix, of `words`, that raises the mean pull over `prompts` the most; `step` is called after every round.
///
/// # Errors
/// The judge failed.
pub fn search<E>(
    judge: &impl Fn(&str) -> Result<Verdict, E>,
    (words, prompts): (&[String], &[String]),
    effort: Effort,
    step: &impl Fn(),
) -> Result<String, E> {
    let mut chance = ChaCha8Rng::seed_from_u64(effort.seed);
    let mut best = random_words(words, effort.words, &mut chance);
    let mut highest = mean_pull(judge, &best, prompts)?;
    for _ in 0..effort.rounds {
        let position = chance.random_range(0..best.len().max(1));
        for _ in 0..effort.tries {
            let changed = replaced(&best, position, words, &mut chance);
            let pull = mean_pull(judge, &changed, prompts)?;
            if pull > highest {
                (best, highest) = (changed, pull);
            }
        }
        step();
    }
    Ok(best.join(" "))
}

/// Returns prefixes of random words, the control of [`search`].
pub fn random_prefixes(words: &[String], count: usize, effort: Effort) -> Vec<String> {
    // Another stream of chance than that of the search.
    let mut chance = ChaCha8Rng::seed_from_u64(effort.seed.wrapping_add(1));
    (0..count).map(|_| random_words(words, effort.words, &mut chance).join(" ")).collect()
}

/// Returns what `prefixes` do to `prompts` on average.
///
/// # Errors
/// The judge failed.
pub fn measure<E>(
    judge: &impl Fn(&str) -> Result<Verdict, E>,
    prefixes: &[String],
    prompts: &[String],
) -> Result<Effect, E> {
    let mut tally = Tally::default();
    for prompt in prompts {
        let before = judge(prompt)?;
        for prefix in prefixes {
            tally.add(&before, &judge(&with_prefix(prefix, prompt))?);
        }
    }
    Ok(tally.effect(prompts.len()))
}

#[derive(Default)]
struct Tally {
    pairs: f64,
    upgraded: f64,
    downgraded: f64,
    to_dearest: f64,
    cost_before: f64,
    cost_after: f64,
}

impl Tally {
    fn add(&mut self, before: &Verdict, after: &Verdict) {
        let count = |holds: bool| f64::from(u8::from(holds));
        self.pairs += 1.0;
        self.upgraded += count(after.rank > before.rank);
        self.downgraded += count(after.rank < before.rank);
        self.to_dearest += count(after.rank == after.dearest);
        self.cost_before += before.cost;
        self.cost_after += after.cost;
    }

    fn effect(&self, prompts: usize) -> Effect {
        let share = |count: f64| if self.pairs > 0.0 { count / self.pairs } else { 0.0 };
        let cost_ratio = if self.cost_before > 0.0 { self.cost_after / self.cost_before } else { 1.0 };
        Effect {
            prompts,
            upgraded: share(self.upgraded),
            downgraded: share(self.downgraded),
            to_dearest: share(self.to_dearest),
            cost_ratio,
        }
    }
}

fn mean_pull<E>(judge: &impl Fn(&str) -> Result<Verdict, E>, prefix: &[&str], prompts: &[String]) -> Result<f64, E> {
    let prefix = prefix.join(" ");
    let mut total = 0.0;
    for prompt in prompts {
        total += judge(&with_prefix(&prefix, prompt))?.pull;
    }
    Ok(total / prompts.len().max(1) as f64)
}

fn with_prefix(prefix: &str, prompt: &str) -> String {
    format!("{prefix} {prompt}")
}

fn random_words<'a>(words: &'a [String], count: usize, chance: &mut ChaCha8Rng) -> Vec<&'a str> {
    (0..count).filter_map(|_| words.choose(chance)).map(String::as_str).collect()
}

fn replaced<'a>(prefix: &[&'a str], position: usize, words: &'a [String], chance: &mut ChaCha8Rng) -> Vec<&'a str> {
    let mut changed = prefix.to_vec();
    if let (Some(place), Some(word)) = (changed.get_mut(position), words.choose(chance)) {
        *place = word;
    }
    changed
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const EFFORT: Effort = Effort { words: 4, rounds: 60, tries: 4, seed: 7 };

    fn words() -> Vec<String> {
        ["tea", "proof", "sun", "cat", "theorem", "milk", "rain", "dog"].map(str::to_owned).to_vec()
    }

    fn prompts() -> Vec<String> {
        (0..8).map(|number| format!("prompt {number}")).collect()
    }

    /// A router that takes every `proof` for a sign of a hard prompt.
    #[expect(clippy::unnecessary_wraps, reason = "a judge may fail")]
    fn gullible(text: &str) -> Result<Verdict, Infallible> {
        let proofs = text.matches("proof").count();
        let rank = usize::from(proofs >= 3);
        Ok(Verdict { rank, dearest: 1, cost: if rank == 1 { 10.0 } else { 1.0 }, pull: proofs as f64 })
    }

    #[expect(clippy::unnecessary_wraps, reason = "a judge may fail")]
    fn steadfast(_text: &str) -> Result<Verdict, Infallible> {
        Ok(Verdict { rank: 0, dearest: 1, cost: 1.0, pull: 0.1 })
    }

    #[test]
    fn a_gullible_router_is_found_out() {
        let prefix = search(&gullible, (&words(), &prompts()), EFFORT, &|| ()).unwrap();

        let found = measure(&gullible, &[prefix], &prompts()).unwrap();
        let control = measure(&gullible, &random_prefixes(&words(), 10, EFFORT), &prompts()).unwrap();

        assert_eq!((found.upgraded, found.to_dearest, found.cost_ratio), (1.0, 1.0, 10.0));
        assert!(control.upgraded < 0.2, "{control:?}");
    }

    #[test]
    fn a_steadfast_router_stays() {
        let prefix = search(&steadfast, (&words(), &prompts()), EFFORT, &|| ()).unwrap();

        let effect = measure(&steadfast, &[prefix], &prompts()).unwrap();

        assert_eq!((effect.upgraded, effect.downgraded, effect.cost_ratio), (0.0, 0.0, 1.0));
    }

    #[test]
    fn the_same_seed_finds_the_same_prefix() {
        let find = || search(&gullible, (&words(), &prompts()), EFFORT, &|| ()).unwrap();

        assert_eq!(find(), find());
    }
}
