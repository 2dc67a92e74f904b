//! Scalable vector graphics, as little as charts need: three kinds of chart are not worth a plotting library and its fonts.

use std::fmt::Write as _;

/// A drawing in the making, in pixels from the upper left.
#[derive(Clone, Debug)]
pub struct Svg {
    size: (f64, f64),
    body: String,
}

/// Where a text is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At its left end.
    Start,
    /// At its middle.
    Middle,
    /// At its right end.
    End,
}

impl Anchor {
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

impl Svg {
    /// Returns an empty drawing on white; a light ground keeps it readable wherever it is shown.
    pub fn new(size: (f64, f64)) -> Self {
        Self { size, body: String::new() }
    }

    /// Draws straight lines from point to point. Points that are not finite are left out.
    pub fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64) {
        let finite = points.iter().filter(|point| point.0.is_finite() && point.1.is_finite());
        let points: Vec<String> = finite.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.add(&format!(
            r#"<polyline points="{}" fill="none" stroke="{}" stroke-width="{width:.1}"/>"#,
            points.join(" "),
            escaped(colour)
        ));
    }

    /// Draws a filled circle.
    pub fn dot(&mut self, (x, y): (f64, f64), radius: f64, colour: &str) {
        if x.is_finite() && y.is_finite() {
            self.add(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" fill="{}"/>"#, escaped(colour)));
        }
    }

    /// Writes a text.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, size: f64, text: &str) {
        self.add(&format!(
            r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{}" font-size="{size:.0}" fill="#222">{}</text>"##,
            anchor.name(),
            escaped(text)
        ));
    }

    fn add(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    /// Returns the document.
    pub fn render(&self) -> String {
        let (width, height) = self.size;
        let mut out = String::new();
        let ground = r##"<rect width="100%" height="100%" fill="#fff"/>"##;
        let written = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} \
             {height:.0}\" font-family=\"sans-serif\">\n{ground}\n{}</svg>\n",
            self.body
        );
        written.map(|()| out).unwrap_or_default()
    }
}

/// Returns a text as content or attribute; what XML 1.0 does not take becomes a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            other => out.push(other),
        }
    }
    out
}

/// From numbers to pixels along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Smallest and largest number; both above 0 on a logarithmic axis.
    pub values: (f64, f64),
    /// Where they lie.
    pub pixels: (f64, f64),
    /// Whether the axis is logarithmic.
    pub is_logarithmic: bool,
}

impl Scale {
    /// Returns where a number lies.
    pub fn at(&self, value: f64) -> f64 {
        let of = |value: f64| if self.is_logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let (low, high) = (of(self.values.0), of(self.values.1));
        let share = if high > low { (of(value) - low) / (high - low) } else { 0.5 };
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    /// Returns round numbers to mark: powers of ten with 2 and 5, or steps of 1, 2 or 5 times a power of ten.
    pub fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.values;
        if self.is_logarithmic {
            let exponents = low.log10().floor() as i32..=high.log10().ceil() as i32;
            let marks = exponents.flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(exponent)));
            let marks: Vec<f64> = marks.filter(|mark| (low..=high).contains(mark)).collect();
            let tens = marks.iter().copied().filter(|mark| (mark.log10() - mark.log10().round()).abs() < 1e-9);
            return if marks.len() > 9 { tens.collect() } else { marks };
        }
        let span = high - low;
        if !(span.is_finite() && span > 0.0) {
            return vec![low];
        }
        let rough = 10_f64.powf((span / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * rough).into_iter().find(|step| span / step <= 6.0);
        let step = step.unwrap_or(span);
        let first = (low / step).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_xml_reserves_is_escaped() {
        let mut svg = Svg::new((10.0, 10.0));

        svg.text((1.0, 1.0), Anchor::Start, 9.0, "a<b & \"c\"\u{1}");

        assert!(svg.render().contains(">a&lt;b &amp; &quot;c&quot;?</text>"));
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = |values, is_logarithmic| Scale { values, pixels: (0.0, 100.0), is_logarithmic };

        assert_eq!(scale((0.0, 1.0), false).ticks(), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(scale((0.015, 3.0), true).ticks(), [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]);
        assert_eq!(scale((0.001, 1000.0), true).ticks().len(), 7);
    }

    proptest! {
        #[test]
        fn a_scale_keeps_the_order(low in 0.01_f64..1.0, span in 0.1_f64..100.0, a in 0.0_f64..1.0, b in 0.0_f64..1.0) {
            for is_logarithmic in [false, true] {
                let scale = Scale { values: (low, low + span), pixels: (10.0, 90.0), is_logarithmic };
                let (a, b) = (low + span * a.min(b), low + span * a.max(b));

                prop_assert!(scale.at(a) <= scale.at(b) + 1e-9);
                prop_assert!((10.0 - 1e-6..=90.0 + 1e-6).contains(&scale.at(a)));
            }
        }
    }
}
