//! What was found: the same for people (Markdown) and for programs (JSON, by serde).

use serde::Serialize;

use super::{
    Settings,
    answers::{Answered, Recorded, Row},
    channels::effective,
    contest::report::ContestReport,
    deferral::{Case, TESTS, Test, cases, learned, normalised_area},
    synergy::SynergyReport,
    trial::{Points, SHARE, Trial, area, best, singles},
};
use crate::learning::evaluate::{bootstrap::Resamples, choices::mean, curve::Curve, metrics::Figure};

/// Of the bootstrap; a table is the same each time it is made.
pub const SEED: u64 = 7;

/// Everything about one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Divisions into folds that figures are means of.
    pub seeds: u64,
    /// Resamples of every bootstrap.
    pub rounds: usize,
    /// Plans against each other, where answers can be compared.
    pub contests: Vec<ContestReport>,
    /// Votes against single models of the same cost.
    pub synergies: Vec<SynergyReport>,
    /// Sets whose answers can be compared.
    pub probes: Vec<ProbeReport>,
    /// Sets of two models with signals.
    pub deferral: Vec<DeferralReport>,
}

/// Probe and agree on one set.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeReport {
    /// The set.
    pub set: String,
    /// Prompts.
    pub prompts: usize,
    /// The best single model.
    pub best_single: String,
    /// Its quality.
    pub best_quality: f64,
    /// Its USD a prompt.
    pub best_cost: f64,
    /// Voices among all models that were chosen from.
    pub channels: f64,
    /// How many models these are.
    pub models: usize,
    /// Area of the plan at all weights, joined with single models, over that of single models, as a share of the way to an
    /// oracle of single calls, in percent.
    pub gap_closed: Figure,
    /// Plans.
    pub lines: Vec<PlanLine>,
    /// Sets of probes by how many folds chose them.
    pub probes: Vec<Probes>,
}

/// A plan at one setting.
#[derive(Clone, Debug, Serialize)]
pub struct PlanLine {
    /// Which.
    pub plan: &'static str,
    /// Quality less that of the best single model, in percent of it.
    pub quality: Figure,
    /// In percent of the best single model's cost.
    pub cost: Figure,
}

/// A set of probes.
#[derive(Clone, Debug, Serialize)]
pub struct Probes {
    /// Public names.
    pub models: Vec<String>,
    /// Folds that chose it, over all seeds.
    pub folds: usize,
    /// Voices among them.
    pub channels: f64,
}

/// Deferral tests on one set.
#[derive(Clone, Debug, Serialize)]
pub struct DeferralReport {
    /// The set.
    pub set: String,
    /// Prompts.
    pub prompts: usize,
    /// Mean scores of the small and the large model.
    pub scores: (f64, f64),
    /// Tests with their normalised areas.
    pub tests: Vec<(String, Figure)>,
}

impl ProbeReport {
    /// Measures a set; `None` if there are no two cheap models.
    pub(super) fn of(set: &Answered, settings: &Settings) -> Option<Self> {
        let trials: Option<Vec<Trial>> = (1..=settings.seeds).map(|seed| Trial::run(set, seed)).collect();
        let trials = trials?;
        let rows: Vec<&Row> = set.rows.iter().collect();
        let single = singles(&rows);
        let best = best(&single);
        let (best_cost, best_quality) = *single.get(best)?;
        let resamples = Resamples::draw(&vec![1.0; rows.len()], settings.rounds, SEED);
        let measured = Measured { set, trials: &trials, best, resamples: &resamples };
        let all: Vec<usize> = (0..set.models.len()).collect();
        Some(Self {
            set: set.name.clone(),
            prompts: rows.len(),
            best_single: set.models.get(best)?.clone(),
            best_quality,
            best_cost,
            channels: effective(&rows, &all),
            models: all.len(),
            gap_closed: measured.gap_closed(),
            lines: vec![
                measured.line("as good as the best single model elsewhere", |trial| &trial.parity),
                measured.line("the best within 30 % of its cost elsewhere", |trial| &trial.share),
                measured.line("probes that agree, else the best single model", |trial| &trial.cascade),
                measured.line("a vote of the probes", |trial| &trial.vote),
            ],
            probes: measured.probes(),
        })
    }
}

/// What lines are made from.
struct Measured<'a> {
    set: &'a Answered,
    trials: &'a [Trial],
    best: usize,
    resamples: &'a Resamples,
}

impl Measured<'_> {
    /// Returns a figure over weighted prompts, the mean over seeds.
    fn figure(&self, of: impl Fn(&Trial, &[f32]) -> f64 + Sync) -> Figure {
        let over_seeds = |weights: &[f32]| {
            self.trials.iter().map(|trial| of(trial, weights)).sum::<f64>() / self.trials.len() as f64
        };
        Figure::of(over_seeds(&vec![1.0; self.set.rows.len()]), self.resamples.measure(over_seeds))
    }

    fn line(&self, plan: &'static str, points: fn(&Trial) -> &Points) -> PlanLine {
        let single = self.single_points(self.best);
        let quality =
            |trial: &Trial, weights: &[f32]| 100.0 * (mean(points(trial), weights).1 / mean(&single, weights).1 - 1.0);
        let cost = |trial: &Trial, weights: &[f32]| 100.0 * mean(points(trial), weights).0 / mean(&single, weights).0;
        PlanLine { plan, quality: self.figure(quality), cost: self.figure(cost) }
    }

    fn single_points(&self, model: usize) -> Points {
        let at = |values: &[f64]| values.get(model).copied().unwrap_or(0.0) as f32;
        self.set.rows.iter().map(|row| (at(&row.cost), at(&row.score))).collect()
    }

    fn gap_closed(&self) -> Figure {
        let columns: Vec<Points> = (0..self.set.models.len()).map(|model| self.single_points(model)).collect();
        let oracle = oracle(&self.set.rows);
        self.figure(|trial, weights| {
            let means = |points: &[Points]| -> Vec<(f64, f64)> { points.iter().map(|of| mean(of, weights)).collect() };
            let singles = means(&columns);
            let floor = area(&[], &singles);
            let ceiling = area(Curve::hull(means(&oracle)).points(), &singles);
            100.0 * (area(&means(&trial.points), &singles) - floor) / (ceiling - floor)
        })
    }

    fn probes(&self) -> Vec<Probes> {
        let rows: Vec<&Row> = self.set.rows.iter().collect();
        let mut found: Vec<Probes> = Vec::new();
        for probes in self.trials.iter().flat_map(|trial| &trial.probes) {
            let mut members = probes.clone();
            members.sort_unstable();
            let models: Vec<String> =
                members.iter().filter_map(|member| self.set.models.get(*member).cloned()).collect();
            match found.iter_mut().find(|known| known.models == models) {
                Some(known) => known.folds += 1,
                None => found.push(Probes { models, folds: 1, channels: effective(&rows, &members) }),
            }
        }
        found.sort_by(|a, b| b.folds.cmp(&a.folds).then_with(|| a.models.cmp(&b.models)));
        found
    }
}

/// What a right answer may weigh against a dollar, from nothing but the answer to nothing but the dollar.
const DOLLARS: [f64; 14] = [0.0, 1.0, 3.0, 10.0, 30.0, 60.0, 100.0, 200.0, 400.0, 800.0, 2e3, 5e3, 2e4, 1e9];

/// Returns what one who knows every score and cost of single calls makes, by weight of a dollar.
pub fn oracle(rows: &[Row]) -> Vec<Points> {
    let pick = |row: &Row, weight: f64| {
        let calls = row.cost.iter().zip(&row.score);
        let utility = |call: &(&f64, &f64)| *call.1 - weight * call.0;
        let best = calls.max_by(|a, b| utility(a).total_cmp(&utility(b)));
        best.map_or((0.0, 0.0), |(cost, score)| (*cost as f32, *score as f32))
    };
    DOLLARS.iter().map(|weight| rows.iter().map(|row| pick(row, *weight)).collect()).collect()
}

impl DeferralReport {
    /// Measures a set; `None` if it has no signals.
    pub(super) fn of(set: &Recorded, settings: &Settings) -> Option<Self> {
        let cases = cases(set);
        if cases.is_empty() {
            return None;
        }
        let weights = vec![1.0; cases.len()];
        let resamples = Resamples::draw(&weights, settings.rounds, SEED);
        let figure = |trusts: &[Vec<f64>]| {
            let area = |weights: &[f32]| {
                trusts.iter().map(|trust| normalised_area(&cases, trust, weights)).sum::<f64>() / trusts.len() as f64
            };
            Figure::of(area(&weights), resamples.measure(area))
        };
        let plain = |(name, of): &Test| ((*name).to_owned(), figure(&[cases.iter().map(of).collect()]));
        let mut tests: Vec<(String, Figure)> = TESTS.iter().map(plain).collect();
        let learned: Vec<Vec<f64>> = (1..=settings.seeds).map(|seed| learned(&cases, seed)).collect();
        tests.push(("learned over all of them".to_owned(), figure(&learned)));
        let mean = |of: fn(&Case) -> f64| cases.iter().map(of).sum::<f64>() / cases.len() as f64;
        let scores = (mean(|case| case.small), mean(|case| case.large));
        Some(Self { set: set.meta.name.clone(), prompts: cases.len(), scores, tests })
    }
}

/// Renders a report for people.
pub fn markdown(report: &Report) -> String {
    let mut text = String::from("# Plans of several calls, on recorded answers\n\n");
    let (seeds, rounds) = (report.seeds, report.rounds);
    text += &format!(
        "Every prompt by what was fitted and chosen on other prompts (five folds); means of {seeds} divisions; 95 % intervals of \
         {rounds} resamples of the prompts. No router takes part.\n"
    );
    report.contests.iter().for_each(|set| text += &set.markdown());
    report.synergies.iter().for_each(|set| text += &set.markdown());
    report.probes.iter().for_each(|set| probes(&mut text, set));
    report.deferral.iter().for_each(|set| deferral(&mut text, set));
    text
}

fn probes(text: &mut String, set: &ProbeReport) {
    let (name, cost) = (&set.best_single, 1e3 * set.best_cost);
    *text += &format!(
        "\n## {}: always probing\n\n{} prompts, {} models with {:.1} voices (K*). Best single model: {name}, {:.1} % right, {cost:.3} \
         USD per thousand prompts. Gap closed between the hull of single models and the oracle of single calls: {} %; at most \
         {:.0} % of that cost in the second line.\n\n| plan | quality, % of the best | cost, % of the best |\n|---|---|---|\n",
        set.set,
        set.prompts,
        set.models,
        set.channels,
        100.0 * set.best_quality,
        told(&set.gap_closed),
        100.0 * SHARE,
    );
    for line in &set.lines {
        *text += &format!("| {} | {} | {} |\n", line.plan, signed(&line.quality), told(&line.cost));
    }
    *text += "\n| probes | folds | voices (K*) |\n|---|---|---|\n";
    for probes in &set.probes {
        *text += &format!("| {} | {} | {:.2} |\n", probes.models.join(", "), probes.folds, probes.channels);
    }
}

fn deferral(text: &mut String, set: &DeferralReport) {
    let (small, large) = set.scores;
    *text += &format!(
        "\n## {}: deferral\n\n{} prompts; the small model scores {small:.3}, the large one {large:.3}. Area under the deferral curve \
         over chance, as a share of what one who knows both scores gets.\n\n| test | normalised area |\n|---|---|\n",
        set.set, set.prompts,
    );
    for (test, figure) in &set.tests {
        *text += &format!("| {test} | {:.3} ({:.3} to {:.3}) |\n", figure.value, figure.low, figure.high);
    }
}

fn told(figure: &Figure) -> String {
    format!("{:.1} ({:.1} to {:.1})", figure.value, figure.low, figure.high)
}

fn signed(figure: &Figure) -> String {
    format!("{:+.1} ({:+.1} to {:+.1})", figure.value, figure.low, figure.high)
}
