//! The second look into the cache, once the prompt is scored: was something of the same meaning answered before?

mod lesson;
mod matched;

use std::sync::Arc;

use tokio::time::Instant;

pub(super) use self::lesson::Lesson;
use self::matched::Turns;
use super::{Gateway, cached::Duty, names::Target, run::Run};
use crate::{
    cache::{
        CacheKey, CachedAnswer, Matched,
        semantic::{Nearby, Place, Probe, SemanticCache, Verdict, judge::text_of, marks::Marks},
    },
    domain::{CacheOutcome, NearMiss, PolicyName, Scores, ScoresUnavailable, SemanticRule},
    wire::chat::ChatCall,
};

/// Answers by the meaning of what was asked.
pub type Meanings = SemanticCache<Arc<CachedAnswer>>;

/// Longest text that is matched by meaning; of longer ones the router model sees too little.
const MOST_BYTES: usize = 32 << 10;
/// Longest answer that is a hint: it must not crowd out what it is a hint for.
const MOST_HINT_BYTES: usize = 16 << 10;

/// What a prompt means, and who owes its answer.
pub(super) struct Meaning<'a> {
    pub(super) scores: &'a Result<Scores, ScoresUnavailable>,
    pub(super) duty: &'a mut Option<Box<Duty>>,
}

/// What came of looking for the meaning.
pub(super) enum Near {
    /// It was answered before.
    Answer(Arc<CachedAnswer>),
    /// It was not; something near may help whoever answers now.
    Miss(Option<Aid>),
}

/// What a near answer is good for.
#[derive(Clone, Debug)]
pub(super) enum Aid {
    /// The model reads it.
    Hint(Arc<str>),
    /// A local model checks it, token by token.
    Draft(Arc<str>),
}

impl Gateway {
    /// Looks for an answer to the same in other words, as far as the policy allows and the bound on the error permits.
    pub(super) async fn look_near(
        &self,
        run: &mut Run,
        target: &Target,
        call: &ChatCall,
        meaning: Meaning<'_>,
    ) -> Near {
        let Some(rule) = target.cache_rule().semantic else { return Near::Miss(None) };
        let (Some(duty), Ok(scores)) = (meaning.duty.as_mut(), meaning.scores) else { return Near::Miss(None) };
        if !duty.may_look_up {
            return Near::Miss(None);
        }
        let started = Instant::now();
        let Some(turns) = Turns::of(call, &rule).filter(|turns| turns.bytes() <= MOST_BYTES) else {
            return Near::Miss(None);
        };
        let Some((place, probe)) = self.probe((run, target), call, &rule, (&turns, scores)).await else {
            return Near::Miss(None);
        };
        let verdict = self.parts.meanings.look_up(&place, &probe, &rule, uniform(run.seed()));
        let aid = aid(&verdict, rule.near_miss);
        let nearby = match verdict {
            Verdict::Serve(nearby) => {
                run.note_cache(CacheOutcome::Semantic, started.elapsed());
                run.note_saved(nearby.answer.cost);
                run.note_model(&nearby.answer.model);
                return Near::Answer(nearby.answer);
            }
            Verdict::Explore(nearby) => Some(nearby),
            Verdict::Apart(_) | Verdict::Nothing => None,
        };
        duty.slot.lesson = Some(Lesson {
            gateway: self.me.clone(),
            meanings: Arc::clone(&self.parts.meanings),
            place,
            probe,
            nearby,
            judge: rule.judge,
            question: Arc::from(turns.last()),
        });
        Near::Miss(aid)
    }

    async fn probe(
        &self,
        (run, target): (&Run, &Target),
        call: &ChatCall,
        rule: &SemanticRule,
        (turns, scores): (&Turns<'_>, &Scores),
    ) -> Option<(Place, Probe)> {
        let context = run.context();
        let scope = self.scope(context, target);
        let key = (!rule.across_keys).then_some(&context.principal.key);
        let matched = Matched { artifact: &scores.artifact, key, messages: turns.count() };
        let partition = CacheKey::without_last_words(&scope, &call.body, &matched)?;
        let policy = target.policy_name().map_or("", PolicyName::as_str);
        let place = Place { partition, pool: CacheKey::of_scope(&scope)?, policy: Arc::from(policy) };
        let embedding = match self.scorer() {
            Some(scorer) => turns.embedding(scores, &*scorer, self.parts.settings.score_deadline).await?,
            None => return None,
        };
        Some((place, Probe { embedding, marks: Arc::new(Marks::of(&turns.text())) }))
    }
}

/// Returns what a near answer that is not served is good for. One that is a label of its entry must not be a hint too: the fresh
/// answer would agree with what it was told.
fn aid(verdict: &Verdict<Arc<CachedAnswer>>, near_miss: NearMiss) -> Option<Aid> {
    let text = |nearby: &Nearby<Arc<CachedAnswer>>| text_of(&nearby.answer.reply.body).map(Arc::from);
    match (near_miss, verdict) {
        (NearMiss::Hint, Verdict::Apart(nearby)) if nearby.answer.bytes() <= MOST_HINT_BYTES => {
            text(nearby).map(Aid::Hint)
        }
        (NearMiss::Draft, Verdict::Apart(nearby) | Verdict::Explore(nearby)) => text(nearby).map(Aid::Draft),
        (NearMiss::Off | NearMiss::Hint | NearMiss::Draft, _) => None,
    }
}

/// Returns a number in `[0, 1)` from a seed, by SplitMix64's finalizer, so that it has nothing to do with other draws from it.
fn uniform(seed: u64) -> f64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
