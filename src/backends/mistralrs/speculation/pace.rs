//! How many tokens to propose at a time.

use std::time::Duration;

use parking_lot::Mutex;

/// Tokens decoded plainly before proposals are tried again where they did not pay.
pub(super) const REST: usize = 16;

/// What is held of acceptance before anything is seen, and how many proposals that is worth.
const PRIOR_ACCEPTANCE: f64 = 0.7;
const PRIOR_WEIGHT: f64 = 4.0;

/// Earlier proposals count less with each pass, so that the estimate follows the text.
const FADING: f64 = 0.9;

/// How much a new measurement moves a cost.
const WEIGHT_OF_NEW: f64 = 0.2;

/// What steps and passes take on this machine, learnt while decoding.
#[derive(Debug, Default)]
pub(in super::super) struct Costs {
    measured: Mutex<Measured>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    /// Seconds of the target for one token, decoded plainly.
    step: Option<f64>,
    /// Seconds of the proposer for one token.
    proposal: Option<f64>,
    /// Seconds of the target for a pass, and proposals in it; means that fade alike.
    pass: Option<(f64, f64)>,
}

/// Costs in units of one plain step.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratios {
    proposal: f64,
    /// Of a pass without any proposal, and more for each.
    pass: f64,
    per_proposal: f64,
}

impl Costs {
    /// Takes note of `tokens` decoded plainly.
    pub(super) fn note_plain(&self, tokens: usize, took: Duration) {
        if tokens > 0 {
            blend(&mut self.measured.lock().step, took.as_secs_f64() / tokens as f64);
        }
    }

    /// Takes note of `tokens` proposed.
    pub(super) fn note_proposals(&self, tokens: usize, took: Duration) {
        if tokens > 0 {
            blend(&mut self.measured.lock().proposal, took.as_secs_f64() / tokens as f64);
        }
    }

    /// Takes note of a pass that checked `proposals`.
    pub(super) fn note_pass(&self, proposals: usize, took: Duration) {
        let mut measured = self.measured.lock();
        let new = (took.as_secs_f64(), proposals as f64);
        measured.pass = Some(measured.pass.map_or(new, |old| (mix(old.0, new.0), mix(old.1, new.1))));
    }

    /// Returns the costs; before anything is measured, those of a machine on which a pass costs what a step costs.
    fn ratios(&self) -> Ratios {
        let measured = *self.measured.lock();
        let step = measured.step.unwrap_or(f64::NAN).max(f64::MIN_POSITIVE);
        let of_steps = |seconds: f64| if measured.step.is_some() { seconds / step } else { f64::NAN };
        let proposal = measured.proposal.map_or(f64::NAN, of_steps);
        let (pass, proposals) =
            measured.pass.map_or((f64::NAN, 1.0), |(seconds, proposals)| (of_steps(seconds), proposals));
        // A pass costs one step at the least; the rest is held to grow with the proposals.
        let extra = (or(pass, 1.0) - 1.0).max(0.0);
        Ratios { proposal: or(proposal, 0.0), pass: 1.0, per_proposal: extra / proposals.max(1.0) }
    }
}

fn or(value: f64, otherwise: f64) -> f64 {
    if value.is_nan() { otherwise } else { value }
}

fn mix(old: f64, new: f64) -> f64 {
    old + WEIGHT_OF_NEW * (new - old)
}

fn blend(mean: &mut Option<f64>, new: f64) {
    *mean = Some(mean.map_or(new, |old| mix(old, new)));
}

/// Chooses the number of proposals for one answer.
pub(in super::super) struct Pace {
    most: usize,
    least: usize,
    adapts: bool,
    accepted: f64,
    rejected: f64,
}

impl Pace {
    /// Returns a pace of `most` proposals a pass, or of what pays if it `adapts`. With `is_forced` there is always one.
    pub(in super::super) fn new(most: usize, adapts: bool, is_forced: bool) -> Self {
        let (accepted, rejected) = (PRIOR_ACCEPTANCE * PRIOR_WEIGHT, (1.0 - PRIOR_ACCEPTANCE) * PRIOR_WEIGHT);
        Self { most, least: usize::from(is_forced), adapts, accepted, rejected }
    }

    /// Takes note of a pass: so many were accepted, and whether one was rejected (those after it were not judged).
    pub(super) fn note(&mut self, accepted: usize, is_rejected: bool) {
        self.accepted = FADING * self.accepted + accepted as f64;
        self.rejected = FADING * self.rejected + f64::from(u8::from(is_rejected));
    }

    /// Returns how many tokens to propose: those with the highest expected speed-up; none if plain decoding is faster.
    pub(super) fn proposals(&self, costs: &Costs) -> usize {
        if !self.adapts {
            return self.most;
        }
        let acceptance = self.accepted / (self.accepted + self.rejected);
        let ratios = costs.ratios();
        let speed_up = |proposals: usize| speed_up(acceptance, proposals, ratios);
        let best = (1..=self.most).max_by(|a, b| speed_up(*a).total_cmp(&speed_up(*b)).then(b.cmp(a)));
        best.filter(|best| speed_up(*best) > 1.0).unwrap_or(self.least)
    }
}

/// Returns by how much `proposals` a pass speed decoding up: the expected tokens of a pass, over its cost and that of the
/// proposals (Leviathan et al. 2023, section 3.3: theorem 3.8, with a pass that costs more than a step where a machine has no
/// arithmetic to spare).
fn speed_up(acceptance: f64, proposals: usize, costs: Ratios) -> f64 {
    let gamma = proposals as f64;
    let expected =
        if acceptance >= 1.0 { gamma + 1.0 } else { (1.0 - acceptance.powf(gamma + 1.0)) / (1.0 - acceptance) };
    expected / (gamma * (costs.proposal + costs.per_proposal) + costs.pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(step_ms: u64, proposal_ms: u64, pass_ms: u64, proposals: usize) -> Costs {
        let costs = Costs::default();
        costs.note_plain(1, Duration::from_millis(step_ms));
        costs.note_proposals(1, Duration::from_millis(proposal_ms));
        costs.note_pass(proposals, Duration::from_millis(pass_ms));
        costs
    }

    fn pace_at(acceptance: f64) -> Pace {
        let mut pace = Pace::new(8, true, false);
        (pace.accepted, pace.rejected) = (acceptance * 100.0, (1.0 - acceptance) * 100.0);
        pace
    }

    #[test]
    fn the_speed_up_is_that_of_the_paper() {
        // Table 1 of Leviathan et al. 2023: acceptance 0.8, 5 proposals of no cost give 3.69 times the speed.
        let free = Ratios { proposal: 0.0, pass: 1.0, per_proposal: 0.0 };

        assert!((speed_up(0.8, 5, free) - 3.69).abs() < 0.005);
        assert!((speed_up(0.6, 2, free) - 1.96).abs() < 0.005);
        assert!((speed_up(1.0, 3, free) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn more_is_proposed_where_more_is_accepted() {
        let costs = costs(100, 10, 110, 4);
        let proposals: Vec<usize> = [0.05, 0.4, 0.7, 0.95].map(|rate| pace_at(rate).proposals(&costs)).into();

        assert!(proposals.is_sorted() && proposals[0] == 0 && proposals[3] == 8, "{proposals:?}");
    }

    #[test]
    fn nothing_is_proposed_where_a_pass_costs_more_than_it_brings() {
        let costs = costs(100, 0, 500, 4);

        assert_eq!(pace_at(0.7).proposals(&costs), 0);
        assert_eq!(Pace::new(8, true, true).proposals(&costs), 1, "unless it is forced");
        assert_eq!(Pace::new(3, false, false).proposals(&costs), 3, "or does not adapt");
    }

    #[test]
    fn rejections_lower_the_pace() {
        let costs = costs(100, 20, 110, 4);
        let mut pace = Pace::new(8, true, false);
        let before = pace.proposals(&costs);

        for _ in 0..8 {
            pace.note(0, true);
        }

        assert!(pace.proposals(&costs) < before);
    }
}
