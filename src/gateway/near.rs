//! The second look into the cache, once the prompt is scored: was something of the same meaning answered before?

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Gateway, cached::Duty, names::Target, run::Run};
use crate::{
    cache::{
        CacheKey, CachedAnswer,
        semantic::{
            Nearby, Place, Probe, SemanticCache, Verdict,
            judge::{are_equal, may_agree, text_of},
            marks::Marks,
            neighbours::dot,
        },
    },
    domain::{CacheOutcome, Judge, PromptView, Scores, ScoresUnavailable, SemanticRule, Tokens},
    runtime::Tasks,
    scoring::Scorer,
    wire::chat::{ChatCall, Role},
};

/// Answers by the meaning of what was asked.
pub type Meanings = SemanticCache<Arc<CachedAnswer>>;

/// Longest prompt that is matched by meaning; of longer ones the router model sees too little.
const MOST_BYTES: usize = 32 << 10;
/// Time for comparing two answers by their embeddings; nobody waits for it.
const JUDGING: Duration = Duration::from_secs(5);

/// What a prompt means, and who owes its answer.
pub(super) struct Meaning<'a> {
    pub(super) prompt: &'a PromptView,
    pub(super) scores: &'a Result<Scores, ScoresUnavailable>,
    pub(super) duty: &'a mut Option<Box<Duty>>,
}

/// What the answer to a prompt teaches, once it is there.
pub(super) struct Lesson {
    meanings: Arc<Meanings>,
    place: Place,
    probe: Probe,
    nearby: Option<Nearby<Arc<CachedAnswer>>>,
    judge: Judge,
    scorer: Option<Arc<dyn Scorer>>,
}

impl Gateway {
    /// Looks for an answer to the same in other words, as far as the policy allows and the bound on the error permits.
    pub(super) fn look_near(
        &self,
        run: &mut Run,
        target: &Target,
        call: &ChatCall,
        meaning: Meaning<'_>,
    ) -> Option<Arc<CachedAnswer>> {
        let rule = target.cache_rule().semantic.filter(|rule| is_for_meaning(call, rule))?;
        let (duty, scores) = (meaning.duty.as_mut()?, meaning.scores.as_ref().ok()?);
        if meaning.prompt.text.len() > MOST_BYTES {
            return None;
        }
        let started = Instant::now();
        let place = place(run, target, call, &rule, scores)?;
        let marks = Arc::new(Marks::of(&meaning.prompt.text));
        let probe = Probe { embedding: Arc::clone(&scores.embedding), marks };
        let nearby = match self.parts.meanings.look_up(&place, &probe, &rule, uniform(run.seed())) {
            Verdict::Serve(nearby) => {
                run.note_cache(CacheOutcome::Semantic, started.elapsed());
                run.note_saved(nearby.answer.cost);
                run.note_model(&nearby.answer.model);
                return Some(nearby.answer);
            }
            Verdict::Explore(nearby) => Some(nearby),
            Verdict::Nothing => None,
        };
        let (meanings, scorer) = (Arc::clone(&self.parts.meanings), self.scorer());
        duty.slot.lesson = Some(Lesson { meanings, place, probe, nearby, judge: rule.judge, scorer });
        None
    }
}

impl Lesson {
    /// Compares a fresh answer with the one that was not served, and keeps it if it says something else.
    pub(super) fn learn(self, fresh: Arc<CachedAnswer>, ttl: Duration, tasks: &Tasks) {
        let Some(text) = text_of(&fresh.reply.body) else { return };
        let Some(nearby) = &self.nearby else { return self.keep(fresh, ttl) };
        let Some(stored) = text_of(&nearby.answer.reply.body) else { return };
        match self.judge {
            _ if are_equal(&text, &stored) => self.meanings.learn(&self.place, nearby, true),
            Judge::Embedding(least) if may_agree(&text, &stored) => {
                tasks.spawn(async move { self.compare((&text, &stored), least, (fresh, ttl)).await });
            }
            Judge::Equality | Judge::Embedding(_) => self.differ(nearby, (Arc::clone(&fresh), ttl)),
        }
    }

    async fn compare(&self, (text, stored): (&str, &str), least: f32, kept: (Arc<CachedAnswer>, Duration)) {
        let (Some(scorer), Some(nearby)) = (&self.scorer, &self.nearby) else { return };
        let view =
            |text: &str| PromptView { text: Arc::from(text), input_tokens: Tokens::estimate(text.len()), turns: 1 };
        let (text, stored) = (view(text), view(stored));
        let (Ok(one), Ok(other)) = (scorer.score(&text, JUDGING).await, scorer.score(&stored, JUDGING).await) else {
            // Without a judgement nothing is learned.
            return;
        };
        if dot(&one.embedding, &other.embedding) >= least {
            self.meanings.learn(&self.place, nearby, true);
        } else {
            self.differ(nearby, kept);
        }
    }

    fn differ(&self, nearby: &Nearby<Arc<CachedAnswer>>, (fresh, ttl): (Arc<CachedAnswer>, Duration)) {
        self.meanings.learn(&self.place, nearby, false);
        self.keep(fresh, ttl);
    }

    fn keep(&self, fresh: Arc<CachedAnswer>, ttl: Duration) {
        let bytes = fresh.bytes();
        self.meanings.put(&self.place, &self.probe, (fresh, bytes), ttl);
    }
}

/// Returns whether a request may be matched by meaning: text alone, a user's turn last, and no more chance than allowed.
fn is_for_meaning(call: &ChatCall, rule: &SemanticRule) -> bool {
    let is_text = call.messages.iter().all(|message| message.parts.is_empty() && message.role != Role::Tool);
    let is_asked = call.messages.last().is_some_and(|message| message.role == Role::User);
    let is_calm = call.sampling.temperature.unwrap_or(1.0) <= rule.max_temperature;
    is_text && is_asked && is_calm && !call.has_tools
}

fn place(run: &Run, target: &Target, call: &ChatCall, rule: &SemanticRule, scores: &Scores) -> Option<Place> {
    let context = run.context();
    let scope = super::cached::scope(context, target);
    let key = (!rule.across_keys).then_some(&context.principal.key);
    let partition = CacheKey::without_last_words(&scope, &call.body, (&scores.artifact, key))?;
    Some(Place { partition, pool: CacheKey::of_scope(&scope)? })
}

/// Returns a number in `[0, 1)` from a seed, by SplitMix64's finalizer, so that it has nothing to do with other draws from it.
fn uniform(seed: u64) -> f64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
