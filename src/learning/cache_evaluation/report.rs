//! What was measured, for people.

use std::fmt::Write as _;

use super::{Row, best_fixed};
use crate::learning::evaluate::svg::{Anchor, Scale, Svg};

const SIZE: (f64, f64) = (640.0, 420.0);

/// Returns the rows as a Markdown table, and how the bounded cache compares with the best threshold.
pub fn markdown(rows: &[Row], max_error: f64) -> String {
    let mut out = String::from(
        "| cache | hit rate | wrong, of all | 95 % interval | wrong, of hits | twins served wrongly | bytes per entry | us per lookup |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let (low, high) = row.interval();
        let of_hits = f64::from(row.wrong) / f64::from(row.hits.max(1));
        // Writing to a string cannot fail.
        writeln!(
            out,
            "| {} | {:.2} % | {:.3} % | {:.3} to {:.3} % | {:.3} % | {} of {} | {:.0} | {:.1} |",
            row.cache,
            100.0 * row.hit_rate(),
            100.0 * row.error(),
            100.0 * low,
            100.0 * high,
            100.0 * of_hits,
            row.twins_wrong,
            row.twins,
            row.entry_bytes,
            row.lookup_us,
        )
        .ok();
    }
    out.push_str(&compared(rows, max_error));
    out
}

fn compared(rows: &[Row], max_error: f64) -> String {
    let Some(bounded) = rows.first() else { return String::new() };
    let bound = 100.0 * max_error;
    match best_fixed(rows, max_error) {
        Some(best) if best.hits > 0 => format!(
            "\nAt most {bound} % wrong: the best threshold ({}) has {} hits, the bounded cache {} ({:.2} times as many).\n",
            best.cache,
            best.hits,
            bounded.hits,
            f64::from(bounded.hits) / f64::from(best.hits)
        ),
        _ => format!("\nNo threshold has hits with at most {bound} % wrong; the bounded cache has {}.\n", bounded.hits),
    }
}

/// Draws the hit rate over the error rate.
pub fn plot(rows: &[Row], max_error: f64) -> String {
    let most = rows.iter().map(Row::error).fold(max_error, f64::max) * 1.05;
    let across = Scale { values: (0.0, most), pixels: (60.0, SIZE.0 - 30.0), is_logarithmic: false };
    let up = Scale { values: (0.0, 1.0), pixels: (SIZE.1 - 50.0, 30.0), is_logarithmic: false };
    let mut svg = Svg::new(SIZE);
    svg.line(&[(60.0, 30.0), (60.0, SIZE.1 - 50.0), (SIZE.0 - 30.0, SIZE.1 - 50.0)], "#222", 1.0);
    for tick in across.ticks() {
        svg.text((across.at(tick), SIZE.1 - 34.0), Anchor::Middle, 11.0, &format!("{:.1} %", 100.0 * tick));
    }
    for tick in up.ticks() {
        svg.text((54.0, up.at(tick) + 4.0), Anchor::End, 11.0, &format!("{:.0} %", 100.0 * tick));
    }
    svg.line(&[(across.at(max_error), 30.0), (across.at(max_error), SIZE.1 - 50.0)], "#b33", 1.0);
    svg.text((SIZE.0 / 2.0, SIZE.1 - 12.0), Anchor::Middle, 12.0, "answered wrongly, of all requests");
    svg.text((60.0, 20.0), Anchor::Start, 12.0, "answered from the cache; the red line is the bound");
    let at = |row: &Row| (across.at(row.error()), up.at(row.hit_rate()));
    let fixed: Vec<(f64, f64)> = rows.iter().skip(1).map(at).collect();
    svg.line(&fixed, "#888", 1.5);
    for row in rows.iter().skip(1) {
        svg.dot(at(row), 3.0, "#888");
        svg.text((at(row).0 + 5.0, at(row).1 + 12.0), Anchor::Start, 9.0, &row.cache);
    }
    if let Some(bounded) = rows.first() {
        svg.dot(at(bounded), 5.0, "#1a6");
        svg.text((at(bounded).0 + 8.0, at(bounded).1 - 6.0), Anchor::Start, 12.0, &bounded.cache);
    }
    svg.render()
}
