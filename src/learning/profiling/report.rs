//! What was seen and what is predicted, by topic.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;

use super::{Grade, Joined};
use crate::domain::Quality;

/// Half the width of a 95 % interval, in standard deviations.
const Z: f64 = 1.96;

/// A topic, or all of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Its name; `all` for all.
    pub topic: Arc<str>,
    /// Graded answers.
    pub graded: usize,
    /// Mean grade.
    pub mean: f64,
    /// 95 % interval of the mean grade, by Wilson's score.
    pub interval: (f64, f64),
    /// Mean prediction before the profile.
    pub before: f64,
    /// Mean prediction with the profile.
    pub after: f64,
    /// Mean spread of the prediction with the profile: how far the true rate on such a prompt may lie from it.
    pub spread: f64,
    /// Mean tokens of the answers, where they are known.
    pub tokens: Option<f64>,
}

/// The table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The profile's name.
    pub profile: Arc<str>,
    /// By topic, then all.
    pub lines: Vec<Line>,
    /// Answer length relative to the typical model's.
    pub verbosity: f64,
    /// Mean squared error of the fit on answers that were held back from it.
    pub brier: f64,
    /// The same of what would be predicted without grades.
    pub prior_brier: f64,
}

impl Report {
    /// Returns the report of a fit on these grades.
    pub fn of(grades: &[Grade], joined: &Joined) -> Self {
        let mut topics: BTreeMap<Arc<str>, Vec<Row<'_>>> = BTreeMap::new();
        let rows = || grades.iter().zip(&joined.predictions);
        for row in rows() {
            let topic = row.0.topic.clone().unwrap_or_else(|| Arc::from("other"));
            topics.entry(topic).or_default().push(row);
        }
        let mut lines: Vec<Line> = topics.into_iter().map(|(topic, rows)| line(topic, &rows)).collect();
        lines.push(line(Arc::from("all"), &rows().collect::<Vec<_>>()));
        Self {
            profile: Arc::clone(&joined.fitted.profile.name),
            lines,
            verbosity: joined.fitted.profile.verbosity,
            brier: joined.fitted.brier,
            prior_brier: joined.fitted.prior_brier,
        }
    }
}

/// A grade, and the predictions before and after.
type Row<'a> = (&'a Grade, &'a (Quality, Quality));

fn line(topic: Arc<str>, rows: &[Row<'_>]) -> Line {
    let mean = |value: &dyn Fn(&Row<'_>) -> f64| rows.iter().map(value).sum::<f64>() / rows.len().max(1) as f64;
    let grade = mean(&|(grade, _)| grade.score);
    let tokens: Vec<f64> = rows.iter().filter_map(|(grade, _)| grade.tokens).collect();
    Line {
        topic,
        graded: rows.len(),
        mean: grade,
        interval: wilson(grade, rows.len()),
        before: mean(&|(_, (before, _))| before.mean.value()),
        after: mean(&|(_, (_, after))| after.mean.value()),
        spread: mean(&|(_, (_, after))| after.spread),
        tokens: (!tokens.is_empty()).then(|| tokens.iter().sum::<f64>() / tokens.len() as f64),
    }
}

/// Wilson's score interval (1927) of a mean of `count` grades in `[0, 1]`.
fn wilson(mean: f64, count: usize) -> (f64, f64) {
    let n = count.max(1) as f64;
    let scale = 1.0 + Z * Z / n;
    let center = (mean + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (mean * (1.0 - mean) / n + Z * Z / (4.0 * n * n)).max(0.0).sqrt();
    ((center - half).max(0.0), (center + half).min(1.0))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16}{:>7}{:>7}{:>13}{:>18}{:>8}{:>8}",
            "TOPIC", "GRADED", "GOOD", "95 %", "PREDICTED", "SPREAD", "TOKENS"
        )?;
        for line in &self.lines {
            let interval = format!("{:.2}-{:.2}", line.interval.0, line.interval.1);
            let predicted = format!("{:.2} -> {:.2}", line.before, line.after);
            let tokens = line.tokens.map_or("-".to_owned(), |tokens| format!("{tokens:.0}"));
            let (topic, graded, mean, spread) = (&line.topic, line.graded, line.mean, line.spread);
            writeln!(f, "{topic:<16}{graded:>7}{mean:>7.2}{interval:>13}{predicted:>18}{spread:>8.2}{tokens:>8}")?;
        }
        write!(
            f,
            "Squared error on answers held back from the fit: {:.3} (from price and size alone: {:.3}). Answers are {:.2} times as \
             long as the typical model's.",
            self.brier, self.prior_brier, self.verbosity
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        for (good, count, low, high) in [
            (81.0, 263, 0.2553, 0.3662),
            (15.0, 148, 0.0624, 0.1605),
            (0.0, 20, 0.0, 0.1611),
            (1.0, 29, 0.0061, 0.1718),
        ] {
            let (found_low, found_high) = wilson(good / f64::from(count), count as usize);
            assert!((found_low - low).abs() < 2e-4 && (found_high - high).abs() < 2e-4, "{found_low} {found_high}");
        }
    }
}
