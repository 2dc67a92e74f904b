//! What no request record knows is told once a second: how full things are, which models can be asked.

use std::{sync::Arc, time::Duration};

use super::App;
use crate::{execute::BreakerState, runtime::Phase};

const PERIOD: Duration = Duration::from_secs(1);

/// Tells the gauges until the program ends.
pub(super) async fn tell(app: Arc<App>) {
    let mut ticks = tokio::time::interval(PERIOD);
    while app.stop.phase() < Phase::Ending {
        ticks.tick().await;
        tell_once(&app).await;
    }
}

async fn tell_once(app: &App) {
    for model in app.models.iter() {
        app.telemetry.set_model_state(&model.facts.name, &model.availability());
        if let Some(room) = model.engine_room() {
            app.telemetry.set_engine_room(&model.facts.name, &room);
        }
        if let Some(speculation) = model.speculation() {
            app.telemetry.set_speculation(&model.facts.name, &speculation);
        }
        app.telemetry.set_breaker(&model.facts.name, model.breaker() != BreakerState::Closed);
    }
    app.telemetry.set_policies(app.policies.current().policies.keys().cloned());
    let (bytes, entries) = app.cache.size().await;
    app.telemetry.set_cache_size(bytes, entries);
    app.telemetry.set_semantic_cache(app.meanings.size());
    for (policy, tally) in app.meanings.tallies() {
        let error = tally.error();
        let shares = [error.estimate, error.lower, error.upper, tally.bound];
        app.telemetry.set_semantic_answers(
            &policy,
            [tally.served, tally.agreed, tally.differed, tally.unjudged],
            shares,
        );
    }
    if let Some(ledger) = &app.ledger {
        app.telemetry.set_ledger_waiting(ledger.waiting());
    }
}
