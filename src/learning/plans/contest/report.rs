//! What came of a contest: the same for people (Markdown), programs (JSON, by serde) and eyes (SVG).

use serde::Serialize;

use super::{CONTENDERS, Match, SHARES, play};
use crate::learning::{
    evaluate::{
        bootstrap::Resamples,
        choices::mean,
        curve::Curve,
        metrics::Figure,
        plots::{Plot, cost_quality_chart, file_name},
    },
    plans::{
        Settings,
        answers::{Answered, Row},
        promise::{PROMISE, PromiseReport, SPLITS},
        report::{SEED, oracle},
        trial::{Points, area, best, singles},
    },
};

/// Plans against each other on one set.
#[derive(Clone, Debug, Serialize)]
pub struct ContestReport {
    /// The set.
    pub set: String,
    /// Prompts.
    pub prompts: usize,
    /// Single models: name, USD a prompt, quality.
    pub singles: Vec<(String, f64, f64)>,
    /// The best of them.
    pub best_single: String,
    /// Plans, and what nobody can beat.
    pub plans: Vec<ContestLine>,
    /// Costs as shares of the best single model's; `levels` of every line follow them.
    pub shares: Vec<f64>,
    /// Whether cascade routing is at least as good as routing and cascade at every level, in the mean over seeds.
    pub cascade_routing_holds: bool,
}

/// One plan.
#[derive(Clone, Debug, Serialize)]
pub struct ContestLine {
    /// Which.
    pub plan: &'static str,
    /// Area under cost and quality, joined with single models, over that of single models, as a share of the way to an oracle of
    /// single calls, in percent.
    pub gap_closed: Figure,
    /// What the best single model's quality costs on the hull, in percent of its cost.
    pub parity_cost: Figure,
    /// At the setting that was as good as the best single model elsewhere: quality less that model's, in percent of it; cost, in
    /// percent of its.
    pub parity: (Figure, Figure),
    /// At the settings that were best for shares of that cost elsewhere: the same.
    pub chosen: Vec<(Figure, Figure)>,
    /// Quality on the hull at those shares, less the best single model's, in percent of it.
    pub levels: Vec<f64>,
    /// What becomes of a promise of 2 % of quality at 95 % confidence against the best single model.
    pub promise: PromiseReport,
    /// Mean cost (USD) and quality at every setting.
    pub curve: Vec<(f64, f64)>,
}

impl ContestReport {
    /// Plays every plan; `None` where one cannot be fitted.
    pub(in crate::learning::plans) fn of(set: &Answered, settings: &Settings) -> Option<Self> {
        let rows: Vec<&Row> = set.rows.iter().collect();
        let single = singles(&rows);
        let best = best(&single);
        let judge = Judge::new(set, best, settings.rounds);
        let mut plans = Vec::new();
        for (plan, fit) in CONTENDERS {
            let matches: Option<Vec<Match>> = (1..=settings.seeds).map(|seed| play(set, fit, seed)).collect();
            plans.push(judge.line(plan, &matches?)?);
        }
        Some(Self {
            set: set.name.clone(),
            prompts: rows.len(),
            best_single: set.models.get(best)?.clone(),
            singles: set.models.iter().zip(&single).map(|(name, point)| (name.clone(), point.0, point.1)).collect(),
            cascade_routing_holds: is_at_least_as_good(
                &plans,
                "cascade routing",
                &["routing by category", "threshold cascade"],
            ),
            plans,
            shares: SHARES.to_vec(),
        })
    }

    /// Draws cost over quality of every plan.
    pub fn plot(&self) -> Plot {
        let singles: Vec<(&str, (f64, f64))> =
            self.singles.iter().map(|(name, cost, quality)| (name.as_str(), (*cost, *quality))).collect();
        let hulls: Vec<(&str, Curve)> =
            self.plans.iter().map(|line| (line.plan, Curve::hull(line.curve.iter().copied()))).collect();
        let curves: Vec<(&str, &[(f64, f64)])> = hulls.iter().map(|(name, hull)| (*name, hull.points())).collect();
        let title = format!("{}: plans on recorded answers, {} prompts", self.set, self.prompts);
        Plot { file: format!("{}-plans.svg", file_name(&self.set)), svg: cost_quality_chart(&title, &singles, &curves) }
    }

    /// Writes the report for people.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "\n## {}: plans against each other\n\n{} prompts, {} models; what is expected of a model is its mean in the prompt's \
             category. In percent of the best single model, {}. Settings were chosen on other prompts.\n\n| plan | gap closed | \
             parity costs | as good elsewhere: quality, cost | ",
            self.set,
            self.prompts,
            self.singles.len(),
            self.best_single,
        );
        let heads: Vec<String> =
            SHARES.iter().map(|share| format!("within {:.0} %: quality, cost", 100.0 * share)).collect();
        text += &format!("{} |\n|{}\n", heads.join(" | "), "---|".repeat(4 + SHARES.len()));
        let pair = |(quality, cost): &(Figure, Figure)| format!("{}, {:.0}", signed(quality), cost.value);
        for line in &self.plans {
            let chosen: Vec<String> = line.chosen.iter().map(pair).collect();
            let gap = told(&line.gap_closed);
            let parity = told(&line.parity_cost);
            text +=
                &format!("| {} | {gap} | {parity} | {} | {} |\n", line.plan, pair(&line.parity), chosen.join(" | "));
        }
        text += &self.levels();
        text += &self.promises();
        text
    }

    fn promises(&self) -> String {
        let mut text = format!(
            "\nA promise to lose at most {:.0} points of quality against {} with {:.0} % confidence, set on one half of the prompts \
             and judged on the other, over {} splits.\n\n| plan | kept | refused | loss, points | cost, % |\n|{}\n",
            100.0 * PROMISE.quality_loss,
            self.best_single,
            100.0 * PROMISE.confidence,
            SPLITS,
            "---|".repeat(5),
        );
        for ContestLine { plan, promise, .. } in &self.plans {
            let PromiseReport { kept, refused, loss, cost, .. } = promise;
            text += &format!("| {plan} | {kept} | {refused} | {:+.1} | {cost:.0} |\n", 100.0 * loss);
        }
        text
    }

    fn levels(&self) -> String {
        let heads: Vec<String> = SHARES.iter().map(|share| format!("{:.0} %", 100.0 * share)).collect();
        let mut text = format!(
            "\nQuality on the hull by share of its cost, means over seeds; cascade routing is {} as routing and as the cascade at \
             every one.\n\n| plan | {} |\n|{}\n",
            if self.cascade_routing_holds { "at least as good" } else { "not as good" },
            heads.join(" | "),
            "---|".repeat(1 + SHARES.len()),
        );
        for line in &self.plans {
            let levels: Vec<String> = line.levels.iter().map(|level| format!("{level:+.1}")).collect();
            text += &format!("| {} | {} |\n", line.plan, levels.join(" | "));
        }
        text
    }
}

/// Returns whether a plan is at least as good as others at every level; a hundredth of a percent is chance.
fn is_at_least_as_good(plans: &[ContestLine], plan: &str, others: &[&str]) -> bool {
    let Some(line) = plans.iter().find(|line| line.plan == plan) else { return false };
    let mut rivals = plans.iter().filter(|rival| others.contains(&rival.plan));
    rivals.all(|rival| line.levels.iter().zip(&rival.levels).all(|(own, other)| *own >= other - 0.01))
}

fn told(figure: &Figure) -> String {
    format!("{:.1} ({:.1} to {:.1})", figure.value, figure.low, figure.high)
}

fn signed(figure: &Figure) -> String {
    format!("{:+.1} ({:+.1} to {:+.1})", figure.value, figure.low, figure.high)
}

/// What lines are measured against.
struct Judge {
    columns: Vec<Points>,
    oracle: Vec<Points>,
    best: Points,
    resamples: Resamples,
    everyone: Vec<f32>,
}

impl Judge {
    fn new(set: &Answered, best: usize, rounds: usize) -> Self {
        let everyone = vec![1.0; set.rows.len()];
        let at = |values: &[f64], model: usize| values.get(model).copied().unwrap_or(0.0) as f32;
        let column = |model: usize| set.rows.iter().map(|row| (at(&row.cost, model), at(&row.score, model))).collect();
        Self {
            columns: (0..set.models.len()).map(column).collect(),
            oracle: oracle(&set.rows),
            best: column(best),
            resamples: Resamples::draw(&everyone, rounds, SEED),
            everyone,
        }
    }

    /// Returns a figure over weighted prompts, the mean over seeds.
    fn figure(&self, matches: &[Match], of: impl Fn(&Match, &[f32]) -> f64 + Sync) -> Figure {
        let over_seeds =
            |weights: &[f32]| matches.iter().map(|one| of(one, weights)).sum::<f64>() / matches.len() as f64;
        Figure::of(over_seeds(&self.everyone), self.resamples.measure(over_seeds))
    }

    fn line(&self, plan: &'static str, matches: &[Match]) -> Option<ContestLine> {
        let means = |points: &[Points], weights: &[f32]| -> Vec<(f64, f64)> {
            points.iter().map(|of| mean(of, weights)).collect()
        };
        let gap = |one: &Match, weights: &[f32]| {
            let singles = means(&self.columns, weights);
            let floor = area(&[], &singles);
            let ceiling = area(Curve::hull(means(&self.oracle, weights)).points(), &singles);
            100.0 * (area(&means(&one.points, weights), &singles) - floor) / (ceiling - floor)
        };
        let hull = |one: &Match, weights: &[f32]| {
            let points = means(&one.points, weights).into_iter().chain(means(&self.columns, weights));
            (Curve::hull(points), mean(&self.best, weights))
        };
        let parity_cost = |one: &Match, weights: &[f32]| {
            let (hull, (cost, quality)) = hull(one, weights);
            hull.cost_of(quality).map_or(f64::NAN, |found| 100.0 * found / cost)
        };
        let level = |share: f64| {
            let of = |one: &Match| {
                let (hull, (cost, quality)) = hull(one, &self.everyone);
                100.0 * (hull.height(share * cost) / quality - 1.0)
            };
            matches.iter().map(of).sum::<f64>() / matches.len() as f64
        };
        Some(ContestLine {
            plan,
            gap_closed: self.figure(matches, gap),
            parity_cost: self.figure(matches, parity_cost),
            parity: self.pair(matches, |one| &one.parity),
            chosen: (0..SHARES.len()).map(|place| self.pair(matches, move |one| one.share(place))).collect(),
            levels: SHARES.map(level).to_vec(),
            promise: PromiseReport::of(matches.first()?, &self.best, PROMISE),
            curve: matches.first().map(|one| means(&one.points, &self.everyone)).unwrap_or_default(),
        })
    }

    fn pair(&self, matches: &[Match], of: impl Fn(&Match) -> &Points + Sync) -> (Figure, Figure) {
        let quality =
            |one: &Match, weights: &[f32]| 100.0 * (mean(of(one), weights).1 / mean(&self.best, weights).1 - 1.0);
        let cost = |one: &Match, weights: &[f32]| 100.0 * mean(of(one), weights).0 / mean(&self.best, weights).0;
        (self.figure(matches, quality), self.figure(matches, cost))
    }
}
