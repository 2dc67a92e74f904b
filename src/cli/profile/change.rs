//! What a profile changes: how often each policy would choose the model, before and after.

use std::{collections::BTreeMap, fmt};

use pointsman::{
    app::{App, Mode},
    domain::{Preferences, ids::ParseNameError},
    gateway::{Gateway, RequestContext},
    learning::profiling::Grade,
    wire::{chat::ChatCall, parse::Limits},
};
use serde::Serialize;

use super::{super::route, Ground};

/// Prompts that are tried; more would say the same.
const MOST: usize = 400;

/// A policy that has the model among its candidates.
#[derive(Serialize)]
pub(super) struct Change {
    policy: String,
    /// Share of the graded prompts for which the model was the first choice.
    before: f64,
    /// The same with the profile.
    after: f64,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.before * 100.0, self.after * 100.0);
        write!(
            f,
            "auto:{:<14} first choice for {before:.0} % of these prompts before, for {after:.0} % now",
            self.policy
        )
    }
}

/// Returns, by policy that has the model among its candidates, the share of prompts for which it is the first choice.
pub(super) async fn choices(
    ground: &Ground,
    grades: &[Grade],
) -> Result<BTreeMap<String, f64>, Box<dyn std::error::Error>> {
    let app = App::compose(ground.config.clone(), Mode::Explaining)?;
    let step = grades.len().div_ceil(MOST).max(1);
    let prompts: Vec<&str> = grades.iter().step_by(step).map(|grade| grade.prompt.as_str()).collect();
    let mut shares = BTreeMap::new();
    for policy in app.policy_names() {
        if let Some(share) = share(app.gateway(), ground, (&policy, &prompts)).await? {
            shares.insert(policy, share);
        }
    }
    Ok(shares)
}

/// Returns what two counts say together.
pub(super) fn between(before: BTreeMap<String, f64>, after: BTreeMap<String, f64>) -> Vec<Change> {
    let pairs = after.into_iter().map(|(policy, after)| (before.get(&policy).copied().unwrap_or(0.0), policy, after));
    pairs.map(|(before, policy, after)| Change { policy, before, after }).collect()
}

/// `None` when the policy does not know the model.
async fn share(
    gateway: &Gateway,
    ground: &Ground,
    (policy, prompts): (&str, &[&str]),
) -> Result<Option<f64>, Box<dyn std::error::Error>> {
    let name = &ground.facts().name;
    let (mut chosen, mut is_candidate) = (0, false);
    for prompt in prompts {
        let body = route::body(&format!("auto:{policy}"), prompt)?;
        let call = ChatCall::parse(body.into(), &limits(ground))?;
        let explained = gateway.explain(call, context(Preferences::default())?).await;
        let explanation = explained.map_err(|refusal| refusal.message)?;
        is_candidate |= explanation.candidates.iter().any(|row| row.model == *name);
        let first = explanation.plan.as_ref().and_then(|plan| plan.legs().next());
        chosen += usize::from(first.is_some_and(|leg| leg.model == *name));
    }
    Ok(is_candidate.then(|| chosen as f64 / prompts.len().max(1) as f64))
}

/// Returns the configured limits on a request's shape.
pub(super) fn limits(ground: &Ground) -> Limits {
    route::limits(&ground.config)
}

/// Returns the context of a request that comes from this command.
pub(super) fn context(preferences: Preferences) -> Result<RequestContext, ParseNameError> {
    Ok(RequestContext { preferences, ..route::nobody()? })
}
