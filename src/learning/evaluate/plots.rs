//! The charts of a report, as SVG.

use super::{
    calibration::Calibration,
    report::SetReport,
    svg::{Anchor, Scale, Svg},
};

/// A chart with the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plot {
    /// Without a folder, for instance `mmlu_pro-reliability.svg`.
    pub file: String,
    /// The document.
    pub svg: String,
}

/// Colours that people with any colour vision tell apart (Okabe and Ito, 2008).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999"];
const GREY: &str = "#bbbbbb";
const BLACK: &str = "#222222";

/// Returns every chart of the sets: cost over quality where costs are known, reliability, and one for the time that scoring takes.
pub fn plots(sets: &[SetReport]) -> Vec<Plot> {
    let mut plots = Vec::new();
    for set in sets {
        let name = file_name(&set.set);
        if set.has_costs {
            plots.push(Plot { file: format!("{name}-cost-quality.svg"), svg: cost_quality(set) });
        }
        plots.push(Plot { file: format!("{name}-reliability.svg"), svg: reliability(set) });
    }
    plots.push(Plot { file: "scoring-time.svg".to_owned(), svg: scoring_time(sets) });
    plots
}

/// A set is named by whoever made it; a file name must not lead elsewhere.
pub fn file_name(set: &str) -> String {
    set.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' }).collect()
}

/// Where a chart lies in a drawing, with its axes.
struct Frame {
    x: Scale,
    y: Scale,
}

impl Frame {
    fn draw(&self, svg: &mut Svg, names: (&str, &str)) {
        let ((left, right), (bottom, top)) = (self.x.pixels, self.y.pixels);
        for tick in self.x.ticks() {
            let x = self.x.at(tick);
            svg.line(&[(x, bottom), (x, top)], "#eeeeee", 1.0);
            svg.text((x, bottom + 14.0), Anchor::Middle, 10.0, &short(tick));
        }
        for tick in self.y.ticks() {
            let y = self.y.at(tick);
            svg.line(&[(left, y), (right, y)], "#eeeeee", 1.0);
            svg.text((left - 5.0, y + 3.5), Anchor::End, 10.0, &short(tick));
        }
        svg.line(&[(left, top), (left, bottom), (right, bottom)], BLACK, 1.0);
        svg.text(((left + right) / 2.0, bottom + 30.0), Anchor::Middle, 11.0, names.0);
        svg.text((left, top - 8.0), Anchor::Start, 11.0, names.1);
    }

    /// Places straight lines, which a logarithmic axis bends.
    fn place_lines(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        const STEPS: u32 = 24;
        let mut fine: Vec<(f64, f64)> = points.iter().take(1).copied().collect();
        for ends in points.windows(2) {
            let [(x, y), (to_x, to_y)] = ends else { continue };
            let between = (1..=STEPS).map(|step| f64::from(step) / f64::from(STEPS));
            fine.extend(between.map(|share| (x + share * (to_x - x), y + share * (to_y - y))));
        }
        self.place(&fine)
    }

    fn place(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        points.iter().map(|(x, y)| (self.x.at(*x), self.y.at(*y))).collect()
    }
}

/// Four digits, without those that say nothing.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn cost_quality(set: &SetReport) -> String {
    let singles: Vec<(&str, (f64, f64))> =
        set.models.iter().map(|single| (single.model.as_str(), (single.cost, single.quality))).collect();
    let curves: Vec<(&str, &[(f64, f64)])> =
        set.curves.iter().map(|(name, points)| (name.as_str(), points.as_slice())).collect();
    cost_quality_chart(&format!("{}: cost and quality, {} prompts", set.set, set.prompts), &singles, &curves)
}

/// Draws curves of cost (USD) and quality (`[0, 1]`) beside named single models and their hull.
pub fn cost_quality_chart(title: &str, singles: &[(&str, (f64, f64))], curves: &[(&str, &[(f64, f64)])]) -> String {
    let scaled = |point: &(f64, f64)| (1_000.0 * point.0, 100.0 * point.1);
    let points: Vec<(f64, f64)> = singles.iter().map(|(_, point)| scaled(point)).collect();
    let curves: Vec<(&str, Vec<(f64, f64)>)> =
        curves.iter().map(|(name, points)| (*name, points.iter().map(scaled).collect())).collect();
    let all: Vec<(f64, f64)> = points.iter().chain(curves.iter().flat_map(|(_, points)| points)).copied().collect();
    let frame = frame_around(&all);
    let mut svg = Svg::new((860.0, 480.0));
    svg.text((60.0, 22.0), Anchor::Start, 14.0, title);
    frame.draw(&mut svg, ("US dollars per thousand prompts", "quality, %"));
    let hull = super::curve::Curve::hull(points.iter().copied());
    svg.line(&frame.place_lines(hull.points()), BLACK, 1.5);
    svg.text((660.0, 60.0), Anchor::Start, 11.0, "hull of single models");
    svg.line(&[(644.0, 56.0), (656.0, 56.0)], BLACK, 1.5);
    for (index, ((name, points), colour)) in curves.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let y = 76.0 + 16.0 * index as f64;
        svg.line(&frame.place_lines(points), colour, 1.8);
        svg.line(&[(644.0, y - 4.0), (656.0, y - 4.0)], colour, 1.8);
        svg.text((660.0, y), Anchor::Start, 11.0, name);
    }
    for ((name, _), (point, place)) in singles.iter().zip(points.iter().zip(frame.place(&points))) {
        svg.dot(place, 3.0, BLACK);
        if hull.points().contains(point) {
            svg.text((place.0 + 5.0, place.1 + 12.0), Anchor::Start, 9.0, name);
        }
    }
    svg.render()
}

/// Returns a frame with room for points of cost and quality; those that cost nothing have no place on it.
fn frame_around(points: &[(f64, f64)]) -> Frame {
    let all = || points.iter().filter(|point| point.0 > 0.0);
    let costs = all().fold((f64::INFINITY, 0.0_f64), |range, point| (range.0.min(point.0), range.1.max(point.0)));
    let lowest = all().map(|point| point.1).fold(100.0, f64::min);
    let highest = all().map(|point| point.1).fold(0.0, f64::max);
    let qualities = ((lowest - 3.0).max(0.0), (highest + 2.0).min(100.0));
    Frame {
        x: Scale { values: (costs.0 * 0.8, costs.1 * 1.25), pixels: (60.0, 640.0), is_logarithmic: true },
        y: Scale { values: qualities, pixels: (430.0, 50.0), is_logarithmic: false },
    }
}

/// Cells of the reliability diagrams.
const CELL: (f64, f64) = (190.0, 200.0);
const COLUMNS: usize = 5;

fn reliability(set: &SetReport) -> String {
    let rows = set.calibration.len().div_ceil(COLUMNS);
    let columns = set.calibration.len().min(COLUMNS);
    let mut svg = Svg::new((CELL.0 * columns.max(2) as f64 + 20.0, CELL.1 * rows as f64 + 40.0));
    svg.text((20.0, 22.0), Anchor::Start, 14.0, &format!("{}: reliability, {} prompts", set.set, set.prompts));
    for (index, model) in set.calibration.iter().enumerate() {
        let corner = ((index % COLUMNS) as f64 * CELL.0, 40.0 + (index / COLUMNS) as f64 * CELL.1);
        reliability_of(&mut svg, corner, model);
    }
    svg.render()
}

fn reliability_of(svg: &mut Svg, (left, top): (f64, f64), model: &Calibration) {
    let scale = |pixels| Scale { values: (0.0, 1.0), pixels, is_logarithmic: false };
    let frame = Frame { x: scale((left + 35.0, left + 165.0)), y: scale((top + 155.0, top + 25.0)) };
    frame.draw(svg, (&format!("ECE {:.3}, floor {:.3}", model.ece, model.noise_floor), &model.model));
    svg.line(&frame.place(&[(0.0, 0.0), (1.0, 1.0)]), GREY, 1.0);
    let points: Vec<(f64, f64)> = model.bins.iter().map(|bin| (bin.predicted, bin.score)).collect();
    svg.line(&frame.place(&points), COLOURS.first().copied().unwrap_or(BLACK), 1.5);
    for point in frame.place(&points) {
        svg.dot(point, 2.5, COLOURS.first().copied().unwrap_or(BLACK));
    }
}

fn scoring_time(sets: &[SetReport]) -> String {
    let times = || sets.iter().flat_map(|set| &set.scoring_us).copied().filter(|time| *time > 0.0);
    let (low, high) = times().fold((f64::INFINITY, 0.0_f64), |range, time| (range.0.min(time), range.1.max(time)));
    let (low, high) = if low < high { (low * 0.9, high * 1.1) } else { (1.0, 1_000.0) };
    let frame = Frame {
        x: Scale { values: (low, high), pixels: (60.0, 560.0), is_logarithmic: true },
        y: Scale { values: (0.0, 100.0), pixels: (330.0, 50.0), is_logarithmic: false },
    };
    let mut svg = Svg::new((740.0, 380.0));
    svg.text((60.0, 22.0), Anchor::Start, 14.0, "Time to score a prompt, on one thread");
    frame.draw(&mut svg, ("microseconds", "prompts scored by then, %"));
    for (index, (set, colour)) in sets.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let points: Vec<(f64, f64)> =
            set.scoring_us.iter().enumerate().map(|(percent, time)| (time.max(low), percent as f64)).collect();
        let y = 60.0 + 16.0 * index as f64;
        svg.line(&frame.place(&points), colour, 1.8);
        svg.line(&[(574.0, y - 4.0), (586.0, y - 4.0)], colour, 1.8);
        svg.text((590.0, y), Anchor::Start, 11.0, &set.set);
    }
    svg.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::evaluate::{
        calibration::Bin,
        metrics::Figure,
        report::{ProfileSource, Single},
    };

    /// Returns whether every element is closed, every attribute quoted and every reserved character escaped.
    fn is_well_formed(svg: &str) -> bool {
        let tag = regex::Regex::new(r#"<(/?)([a-z]+)((?:\s+[a-zA-Z:-]+="[^"<]*")*)\s*(/?)>"#).unwrap();
        let entity = regex::Regex::new("&(?:amp|lt|gt|quot);").unwrap();
        let mut open = Vec::new();
        for found in tag.captures_iter(svg) {
            match (&found[1], &found[4]) {
                ("/", _) if open.pop() != Some(found[2].to_owned()) => return false,
                ("", "") => open.push(found[2].to_owned()),
                _ => {}
            }
        }
        let rest = entity.replace_all(&tag.replace_all(svg, ""), "").into_owned();
        open.is_empty() && !rest.contains(['<', '>', '&'])
    }

    fn report() -> SetReport {
        let figure = Figure { value: 50.0, low: 40.0, high: 60.0 };
        let single = |model: &str, cost: f64, quality: f64| Single {
            model: model.to_owned(),
            profile: ProfileSource::Router,
            prices: None,
            cost,
            quality,
            arena: 50.0,
        };
        let calibration = Calibration {
            model: "R&D <9B>".to_owned(),
            is_known: true,
            prompts: 20,
            score: 0.5,
            predicted: 0.5,
            ece: 0.02,
            noise_floor: 0.01,
            brier: 0.2,
            brier_of_mean: 0.25,
            bins: vec![
                Bin { predicted: 0.2, score: 0.25, prompts: 10 },
                Bin { predicted: 0.8, score: 0.75, prompts: 10 },
            ],
        };
        SetReport {
            set: "../made \"up\"".to_owned(),
            prompts: 20,
            left_out: 0,
            tuning: 0,
            lessons: 0,
            has_costs: true,
            models: vec![single("R&D <9B>", 0.000_1, 0.5), single("large", 0.01, 0.9)],
            best_single: "large".to_owned(),
            hull_aiq: figure,
            lines: Vec::new(),
            parts: Vec::new(),
            coverage: None,
            calibration: vec![calibration],
            outside: 0.0,
            scoring_us: (0..=100).map(|percent| 50.0 + f64::from(percent)).collect(),
            curves: vec![("oracle".to_owned(), vec![(0.000_1, 0.6), (0.005, 0.95)])],
            stability: None,
        }
    }

    #[test]
    fn charts_are_well_formed_and_stay_in_their_folder() {
        let plots = plots(&[report()]);

        let files: Vec<&str> = plots.iter().map(|plot| plot.file.as_str()).collect();
        assert_eq!(files, ["___made__up_-cost-quality.svg", "___made__up_-reliability.svg", "scoring-time.svg"]);
        for plot in &plots {
            assert!(is_well_formed(&plot.svg), "{}", plot.svg);
        }
        assert!(!is_well_formed("<svg><text>a & b</text></svg>") && !is_well_formed("<svg><g></svg>"));
    }

    #[test]
    fn the_reliability_of_two_bins_is_drawn_where_they_lie() {
        let svg = reliability(&report());

        // The cell's axes run from 35 to 165 and from 195 up to 65.
        assert!(svg.contains(r#"<circle cx="61.0" cy="162.5" r="2.5""#), "{svg}");
        assert!(svg.contains(r#"<circle cx="139.0" cy="97.5" r="2.5""#), "{svg}");
    }
}
