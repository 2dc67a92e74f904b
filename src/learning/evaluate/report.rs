//! Reports for people: Markdown.

use std::fmt::Write as _;

use super::{Figure, SetReport};

/// Returns the tables of all sets.
pub fn markdown(reports: &[SetReport]) -> String {
    let mut out = String::new();
    for report in reports {
        write_set(&mut out, report).unwrap_or_default();
    }
    out
}

fn write_set(out: &mut String, report: &SetReport) -> std::fmt::Result {
    let (best, score) = &report.best_single;
    writeln!(out, "### {}\n", report.set)?;
    writeln!(
        out,
        "{} prompts, {} models; {} prompts left out because the router was trained on them. Best single model: {best}, {:.1} %.\n",
        report.prompts,
        report.models,
        report.left_out,
        100.0 * score,
    )?;
    writeln!(out, "| router | AIQ | gap closed, % | gain over best single, % | APGR | CPT 50 % | CPT 80 % |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for line in &report.lines {
        let (aiq, gap) = if report.has_costs { (show(line.aiq), show(line.gap_closed)) } else { (none(), none()) };
        write!(out, "| {} | {aiq} | {gap} | {} |", line.router, show(line.gain))?;
        match line.preference {
            Some(found) => writeln!(out, " {:.3} | {:.3} | {:.3} |", found.apgr, found.cpt_50, found.cpt_80)?,
            None => writeln!(out, " | | |")?,
        }
    }
    let count = report.calibration.len().max(1) as f64;
    let mean = |of: fn(&super::Calibration) -> f64| report.calibration.iter().map(of).sum::<f64>() / count;
    let worst = report.calibration.iter().max_by(|a, b| a.ece.total_cmp(&b.ece));
    let (name, ece) = worst.map_or(("none", 0.0), |model| (model.model.as_str(), model.ece));
    writeln!(
        out,
        "\nCalibration over the models: mean ECE {:.3}, worst {ece:.3} ({name}), mean Brier {:.3}.\n",
        mean(|model| model.ece),
        mean(|model| model.brier),
    )
}

fn none() -> String {
    "no costs".to_owned()
}

fn show(figure: Figure) -> String {
    format!("{:.1} ({:.1} to {:.1})", figure.value, figure.low, figure.high)
}
