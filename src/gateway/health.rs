//! Whether the gateway can take traffic.

use super::{
    Gateway,
    answer::{Check, Health},
};
use crate::{
    domain::{Availability, ModelKind},
    execute::Model,
    runtime::Phase,
    scoring::Live,
};

impl Gateway {
    /// Returns every check. Ready means: not going down, and at least one chat model can be asked.
    pub fn health(&self) -> Health {
        let mut checks: Vec<Check> = self.parts.models.iter().map(|model| model_check(model)).collect();
        checks.push(self.any_model());
        checks.push(self.router());
        checks.push(self.running());
        checks.push(self.policies());
        checks.extend(self.parts.checks.iter().map(|check| check()));
        Health { ready: checks.iter().all(|check| check.ok || !check.required), checks }
    }

    fn any_model(&self) -> Check {
        let chat = || self.parts.models.iter().filter(|model| model.facts.kind == ModelKind::Chat);
        let ready = chat().filter(|model| model.availability() == Availability::Ready).count();
        let detail = format!("{ready} of {} chat models can be asked", chat().count());
        Check { ok: ready > 0, required: true, ..Check::fine("models", detail) }
    }

    fn router(&self) -> Check {
        match &self.parts.scorer {
            Some(live) => router_check(live),
            None => Check::fine("router", "off: every policy uses its default plan".to_owned()),
        }
    }

    fn running(&self) -> Check {
        let phase = self.parts.stop.phase();
        let detail = if phase == Phase::Running { "serving" } else { "going down: send new requests elsewhere" };
        Check { ok: phase == Phase::Running, required: true, ..Check::fine("running", detail.to_owned()) }
    }

    fn policies(&self) -> Check {
        let faults = self.parts.policies.status().faults;
        let detail = match faults.first() {
            None => format!("{} policies", self.parts.policies.current().policies.len()),
            Some(fault) => format!("an older version is in use: {fault}"),
        };
        Check { ok: faults.is_empty(), ..Check::fine("policies", detail) }
    }
}

impl Check {
    /// Returns a check that is as it should be, and without which the gateway is ready too.
    pub fn fine(name: &str, detail: String) -> Self {
        Self { name: name.to_owned(), ok: true, required: false, detail, progress: None }
    }
}

fn router_check(live: &Live) -> Check {
    let scorer = live.current();
    let detail = format!("{} ({}) on {}", scorer.artifact(), scorer.checksum(), scorer.engine().name());
    match live.fault() {
        None => Check::fine("router", detail),
        Some(fault) => {
            Check { ok: false, ..Check::fine("router", format!("{detail}; a newer one is kept out: {fault}")) }
        }
    }
}

fn model_check(model: &Model) -> Check {
    let name = format!("model:{}", model.facts.name);
    match model.availability() {
        Availability::Ready => {
            let speculation = model.speculation().map(|speculation| format!("; {}", speculation.words()));
            Check::fine(&name, format!("ready{}", speculation.unwrap_or_default()))
        }
        Availability::Loading { step, progress } => Check {
            ok: false,
            progress: Some(progress.value()),
            ..Check::fine(&name, format!("{}, {:.0} % done", step.words(), progress.value() * 100.0))
        },
        Availability::BreakerOpen => {
            Check { ok: false, ..Check::fine(&name, "failed too often lately; asked again after a pause".to_owned()) }
        }
        Availability::Failed { reason } => Check { ok: false, ..Check::fine(&name, reason) },
    }
}
