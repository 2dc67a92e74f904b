//! Probe and agree, as it runs in the gateway: one after another, until asking on is worth no more.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: members are numbered by the committee")]

use super::Contender;
use crate::{
    learning::plans::{
        answers::{Answered, Row},
        ballots::Ballot,
        committee::settings,
        fitting::{Fitted, fit},
    },
    routing::agreement::{Charges, Heard, Step},
};

/// The fitted model, asked at each of its own weights of a dollar.
pub struct Agree(Fitted);

impl Agree {
    /// Fits it.
    pub fn fit(set: &Answered, rows: &[&Row]) -> Option<Box<dyn Contender>> {
        let fitted = fit(&set.models, rows, &set.name).ok()?;
        Some(Box::new(Self(fitted)))
    }
}

impl Contender for Agree {
    fn play(&self, row: &Row) -> Vec<(f32, f32)> {
        let ballot = Ballot::of(row, &self.0.priors.expect(row), &self.0.committee);
        settings(self.0.model.rates()).iter().map(|rate| run(&self.0, &ballot, *rate)).collect()
    }
}

/// Returns cost and quality of a prompt when a dollar weighs `rate`.
pub fn run(fitted: &Fitted, ballot: &Ballot, rate: f64) -> (f32, f32) {
    let members = fitted.committee.len();
    let charges = Charges::new((0..members).map(|member| Some(rate * ballot.expected_cost[member])));
    let (mut heard, mut cost) = (Heard::default(), 0.0);
    loop {
        let advice = fitted.model.step(&heard, &ballot.logits, &charges);
        match advice.step {
            Step::Ask(member) => {
                cost += ballot.cost[member];
                heard = ballot.hear(heard, member);
            }
            Step::Stop(_) | Step::Nobody => {
                return (cost as f32, ballot.given(heard.asked(), &advice.posterior) as f32);
            }
        }
    }
}
