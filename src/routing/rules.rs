//! The first rule that holds decides how the choice goes on.
//!
//! A rule looks at what is known of the request ([`Condition`]) and hands the ask to a strategy of its own: one model, a
//! strategy for fewer candidates or under further constraints, or further rules. What no rule catches goes to the last
//! strategy. A rule that holds is final: where none of its models fits, nobody else is asked, so that "private prompts stay in
//! the house" means just that.

mod condition;
mod pattern;
mod window;

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

pub use self::{
    condition::{Condition, Span},
    pattern::{Pattern, PatternError},
    window::{ParseHoursError, Window},
};
use super::{Calibrator, Strategy};
use crate::domain::{Ask, Calibrated, Decision, Learner, Needs, NoRoute, Reason};

/// The name under which the last strategy finds what it observed and calibrated.
const OTHERWISE: &str = "otherwise";

/// One rule.
pub struct Rule {
    /// Its name, for people.
    pub name: String,
    /// When it holds.
    pub when: Condition,
    /// Who decides then.
    pub then: Arc<dyn Strategy>,
    /// Whether it leaves no choice because it names the model.
    pub is_choice: bool,
}

/// Rules in order, and who decides when none holds.
#[derive(Clone)]
pub struct Rules {
    rules: Arc<[Rule]>,
    otherwise: Arc<dyn Strategy>,
}

impl Rules {
    /// Returns the strategy; every value is accepted.
    pub fn new(rules: Vec<Rule>, otherwise: Arc<dyn Strategy>) -> Self {
        Self { rules: rules.into(), otherwise }
    }

    /// Returns the position of the first rule that holds; the number of rules when none does.
    fn branch(&self, ask: &Ask) -> usize {
        let holds = |(index, rule): (usize, &Rule)| rule.when.holds(ask, &index.to_string());
        self.rules.iter().enumerate().position(holds).unwrap_or(self.rules.len())
    }

    /// Returns every strategy with the name under which it finds its own.
    fn branches(&self) -> impl Iterator<Item = (String, &Arc<dyn Strategy>)> {
        let rules = self.rules.iter().enumerate().map(|(index, rule)| (index.to_string(), &rule.then));
        rules.chain([(OTHERWISE.to_owned(), &self.otherwise)])
    }
}

impl Strategy for Rules {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let branch = self.branch(ask);
        let Some(rule) = self.rules.get(branch) else {
            return self.otherwise.decide(&inner(ask, OTHERWISE));
        };
        let mut decision = rule.then.decide(&inner(ask, &branch.to_string()))?;
        decision.rules.insert(0, rule.name.clone());
        if rule.is_choice {
            decision.reason = Reason::Rule;
        }
        Ok(decision)
    }

    fn needs(&self) -> Needs {
        let strategies = self.branches().fold(Needs::NOTHING, |needs, (_, strategy)| needs.or(strategy.needs()));
        self.rules.iter().fold(strategies, |needs, rule| needs.or(rule.when.needs()))
    }

    fn observe(&self, text: &str) -> BTreeSet<String> {
        let own = self.rules.iter().enumerate().flat_map(|(index, rule)| rule.when.observe(text, &index.to_string()));
        let inner = self.branches().flat_map(|(name, strategy)| {
            strategy.observe(text).into_iter().map(move |found| format!("{name}.{found}"))
        });
        own.chain(inner).collect()
    }

    fn shares(&self) -> Vec<f64> {
        self.branches().flat_map(|(_, strategy)| strategy.shares()).collect()
    }

    fn learner(&self) -> Option<Learner> {
        self.branches().find_map(|(_, strategy)| strategy.learner())
    }

    fn calibrators(&self) -> Vec<Arc<dyn Calibrator>> {
        let behind = |(branch, (name, strategy)): (usize, (String, &Arc<dyn Strategy>))| {
            let calibrators = strategy.calibrators().into_iter();
            let rules = self.clone();
            calibrators.map(move |inner| {
                Arc::new(Behind { rules: rules.clone(), branch, name: name.clone(), inner }) as Arc<dyn Calibrator>
            })
        };
        self.branches().enumerate().flat_map(behind).collect()
    }
}

/// A calibrator that learns only from what its rule catches.
struct Behind {
    rules: Rules,
    branch: usize,
    name: String,
    inner: Arc<dyn Calibrator>,
}

impl Calibrator for Behind {
    fn name(&self) -> String {
        format!("{}.{}", self.name, self.inner.name())
    }

    fn row(&self, ask: &Ask) -> Option<Vec<f64>> {
        (self.rules.branch(ask) == self.branch).then(|| self.inner.row(&inner(ask, &self.name)))?
    }

    fn fit(&self, rows: &[&[f64]]) -> Option<Calibrated> {
        self.inner.fit(rows)
    }
}

/// Returns the ask as the strategy of this name sees it: what it observed and calibrated under the names it gave them.
fn inner<'a>(ask: &'a Ask, name: &str) -> Cow<'a, Ask> {
    let signals = &ask.signals;
    if signals.matched.is_empty() && signals.calibrated.is_empty() {
        return Cow::Borrowed(ask);
    }
    let own = |key: &String| key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned);
    let mut view = ask.clone();
    view.signals.matched = signals.matched.iter().filter_map(own).collect();
    view.signals.calibrated =
        signals.calibrated.iter().filter_map(|(key, number)| Some((own(key)?, *number))).collect();
    Cow::Owned(view)
}

#[cfg(test)]
mod tests;
