//! The report for people.

use std::fmt::{self, Write as _};

use super::{
    super::{
        calibration::{BINS, Calibration},
        coverage::Coverage,
        stability::Stability,
    },
    Figure, Part, ProfileSource, Report, SetReport,
};

/// Returns the tables of all sets, with what has to be known to read them.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    write_report(&mut out, report).unwrap_or_default();
    out
}

/// Returns the tables of some sets.
pub fn tables(sets: &[SetReport]) -> String {
    let mut out = String::new();
    for set in sets {
        write_set(&mut out, set).unwrap_or_default();
    }
    out
}

fn write_report(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "# Evaluation of {}\n", report.router)?;
    writeln!(out, "Artifact {}. Prices: {}. {}\n", short(&report.artifact), report.prices, intervals(report.rounds))?;
    writeln!(out, "{LEGEND}\n")?;
    report.sets.iter().try_for_each(|set| write_set(out, set))
}

fn short(checksum: &str) -> &str {
    checksum.get(..12).unwrap_or(checksum)
}

fn intervals(rounds: usize) -> String {
    format!("Intervals: 95 %, bootstrap over prompts, {rounds} rounds, the same for all lines.")
}

/// What the columns mean.
pub const LEGEND: &str = "AIQ: mean height of the hull of cost and quality between the cheapest and the dearest single model, \
in points. Gap: share of the way from the hull of single models (0 %) to the oracle (100 %). Cost at 95 % and 100 %: what that \
share of the best single model's quality costs on the hull, in percent of that model's cost. Gain@B: quality without regard for \
cost over the best single model's. PerfGain: the same at the setting that was best where settings are chosen. CostSave: what is \
saved against the best single model at the cheapest setting that was as good there, and beside it how good that setting is. \
S: arena score. Settings are chosen on other prompts than those reported. The best single model is the best in hindsight.";

fn write_set(out: &mut String, set: &SetReport) -> fmt::Result {
    writeln!(out, "## {}\n", set.set)?;
    write_setup(out, set)?;
    write_lines(out, set)?;
    set.parts.iter().try_for_each(|part| write_part(out, part))?;
    write_models(out, set)?;
    write_calibration(out, &set.calibration)?;
    if let Some(coverage) = &set.coverage {
        write_coverage(out, coverage)?;
    }
    if let Some(stability) = &set.stability {
        write_stability(out, stability)?;
    }
    write_scoring(out, set)
}

fn write_setup(out: &mut String, set: &SetReport) -> fmt::Result {
    let tuning = match set.tuning {
        0 => "settings of each half were chosen on the other".to_owned(),
        prompts => format!("settings were chosen on {prompts} others"),
    };
    writeln!(
        out,
        "{} prompts, {} models; {} prompts left out because the router was trained on them; {tuning}. Baselines learned from {} \
         training prompts. Best single model: {}. {:.1} % of the prompts are marked as far from the router's training data.",
        set.prompts,
        set.models.len(),
        set.left_out,
        set.lessons,
        set.best_single,
        100.0 * set.outside,
    )?;
    for (source, words) in [
        (
            ProfileSource::Fitted,
            "The router does not know these, or not by tests like these; their profiles were fitted for this run from the training prompts",
        ),
        (ProfileSource::Prior, "The router does not know these, and takes the prior over the models that it knows"),
    ] {
        let named: Vec<&str> =
            set.models.iter().filter(|single| single.profile == source).map(|single| single.model.as_str()).collect();
        if !named.is_empty() {
            writeln!(out, "\n**{words}: {}.**", named.join(", "))?;
        }
    }
    writeln!(out)
}

fn write_lines(out: &mut String, set: &SetReport) -> fmt::Result {
    if set.has_costs {
        writeln!(
            out,
            "| | AIQ | less the first line | gap, % | cost at 95 % | cost at 100 % | Gain@B, % | PerfGain, % | CostSave, % | at quality | S |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|")?;
        writeln!(out, "| hull of single models | {} | | 0 | | | | | | | |", show(set.hull_aiq))?;
    } else {
        writeln!(
            out,
            "The set has no costs: only gains mean something.\n\n| | Gain@B, % | PerfGain, % |\n|---|---|---|"
        )?;
    }
    for line in &set.lines {
        let found = &line.metrics;
        let figures: &[Figure] = match set.has_costs {
            true => &[
                found.aiq,
                line.aiq_over_first,
                found.gap_closed,
                found.cost_at_95,
                found.cost_at_100,
                found.gain,
                found.perf_gain,
                found.cost_save,
                found.parity,
                found.arena,
            ],
            false => &[found.gain, found.perf_gain],
        };
        let seeds = if line.seeds > 1 { format!(" ({} seeds)", line.seeds) } else { String::new() };
        write!(out, "| {}{seeds} |", line.router)?;
        figures.iter().try_for_each(|figure| write!(out, " {} |", show(*figure)))?;
        writeln!(out)?;
    }
    writeln!(out)
}

fn write_part(out: &mut String, part: &Part) -> fmt::Result {
    writeln!(out, "Weak and strong, task {}, {} prompts:\n", part.task, part.prompts)?;
    writeln!(out, "| | APGR | CPT 50 % | CPT 80 % |\n|---|---|---|---|")?;
    for (router, found) in &part.lines {
        let [apgr, cpt_50, cpt_80] = [found.apgr, found.cpt_50, found.cpt_80].map(|figure| show_to(figure, 3));
        writeln!(out, "| {router} | {apgr} | {cpt_50} | {cpt_80} |")?;
    }
    writeln!(out)
}

fn write_models(out: &mut String, set: &SetReport) -> fmt::Result {
    writeln!(out, "| single model | profile | USD per million tokens | USD per thousand prompts | quality, % | S |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for single in &set.models {
        let prices =
            single.prices.map_or_else(|| "not stated".to_owned(), |(input, output)| format!("{input} / {output}"));
        let profile = match single.profile {
            ProfileSource::Router => "own",
            ProfileSource::Fitted => "fitted here",
            ProfileSource::Prior => "none: prior",
        };
        let (cost, arena) = (number(1_000.0 * single.cost, 3), number(single.arena, 1));
        writeln!(
            out,
            "| {} | {profile} | {prices} | {cost} | {:.1} | {arena} |",
            single.model,
            100.0 * single.quality
        )?;
    }
    writeln!(out)
}

fn write_calibration(out: &mut String, calibration: &[Calibration]) -> fmt::Result {
    let count = calibration.len().max(1) as f64;
    let mean = |of: fn(&Calibration) -> f64| calibration.iter().map(of).sum::<f64>() / count;
    writeln!(
        out,
        "Calibration ({BINS} bins of equally many prompts; the floor is the ECE of exactly right predictions on so few prompts): \
         mean ECE {:.3} (floor {:.3}), mean Brier {:.3} (of each model's mean {:.3}).\n",
        mean(|model| model.ece),
        mean(|model| model.noise_floor),
        mean(|model| model.brier),
        mean(|model| model.brier_of_mean),
    )?;
    writeln!(out, "| model | mean score, % | mean prediction, % | ECE | floor | Brier | Brier of the mean |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for model in calibration {
        writeln!(
            out,
            "| {} | {:.1} | {:.1} | {:.3} | {:.3} | {:.3} | {:.3} |",
            model.model,
            100.0 * model.score,
            100.0 * model.predicted,
            model.ece,
            model.noise_floor,
            model.brier,
            model.brier_of_mean,
        )?;
    }
    writeln!(out)
}

fn write_coverage(out: &mut String, coverage: &Coverage) -> fmt::Result {
    writeln!(
        out,
        "Conformal bounds, on {} pairs of a model and a category: how many spreads below the prediction they lie, and how \
         often the observed rate is in keeping with a true rate above them.\n",
        coverage.pairs
    )?;
    writeln!(out, "| asked for, % | spreads below | held, % |")?;
    writeln!(out, "|---|---|---|")?;
    for held in &coverage.held {
        let factor = held.factor.map_or_else(|| "too few errors to say".to_owned(), |factor| format!("{factor:.2}"));
        writeln!(out, "| {:.0} | {factor} | {:.1} |", 100.0 * held.share, 100.0 * held.observed)?;
    }
    writeln!(out)
}

fn write_stability(out: &mut String, stability: &Stability) -> fmt::Result {
    writeln!(
        out,
        "Paraphrases: `{}` at the shipped setting keeps its choice on {} % of them.\n",
        stability.strategy,
        show(stability.all)
    )?;
    writeln!(out, "| paraphrase | prompts | choice stays, % |\n|---|---|---|")?;
    for kind in &stability.by_kind {
        writeln!(out, "| {} | {} | {:.1} |", kind.kind, kind.prompts, kind.stays)?;
    }
    writeln!(out)
}

fn write_scoring(out: &mut String, set: &SetReport) -> fmt::Result {
    let at = |percent: usize| set.scoring_us.get(percent).copied().unwrap_or(f64::NAN);
    writeln!(out, "Scoring a prompt, one thread: p50 {:.0} us, p90 {:.0} us, p99 {:.0} us.\n", at(50), at(90), at(99))
}

fn show(figure: Figure) -> String {
    show_to(figure, 1)
}

fn show_to(figure: Figure, digits: usize) -> String {
    if figure.value.is_nan() {
        return "never".to_owned();
    }
    format!("{:.digits$} ({:.digits$} to {:.digits$})", figure.value, figure.low, figure.high)
}

fn number(value: f64, digits: usize) -> String {
    if value.is_nan() { "not known".to_owned() } else { format!("{value:.digits$}") }
}
