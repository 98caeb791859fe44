//! A line chart as SVG, with the numbers beside it for the readout under the pointer.

use std::fmt::Write;

use super::html::escape;
use super::scale::{Point, Scale, thin};
use crate::progress::words;

/// No curve is drawn with more points than this.
const MAX_POINTS: usize = 1500;
/// Curves of at most this many points show each of them as a dot.
const MAX_DOTS: usize = 40;

const LEFT: f64 = 58.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;

/// A curve.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// Its name in the legend.
    pub(super) name: String,
    /// Its style: `train`, `faint`, `validation`, or `arm0` to `arm11`.
    pub(super) class: &'static str,
    /// Its points from left to right.
    pub(super) points: Vec<Point>,
}

/// A line chart over training steps, or what they cost.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    /// Width of the drawing; it is scaled to the page.
    pub(super) width: f64,
    /// What lies along its foot.
    pub(super) across: &'static str,
    /// The first and last of it.
    pub(super) steps: (f64, f64),
    pub(super) series: Vec<Series>,
    /// Levels to compare with.
    pub(super) levels: Vec<(&'static str, f64)>,
    /// Whether the vertical axis begins at zero.
    pub(super) from_zero: bool,
    /// The ratio of highest to lowest beyond which the vertical axis is logarithmic.
    pub(super) wide: f64,
}

impl Chart {
    /// The chart as a figure; nothing where there is no finite value.
    pub(super) fn render(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let levels = self.levels.iter().map(|level| level.1);
        let y_scale = Scale::roomy(points().map(|point| point.1).chain(levels), self.from_zero, self.wide);
        let finite = points().any(|point| point.1.is_finite());
        let (Some(x), Some(y), true) = (Scale::tight([self.steps.0, self.steps.1].into_iter()), y_scale, finite) else {
            return String::new();
        };
        let frame =
            Frame { x, y, across: self.across, width: self.width, height: if self.width > 700.0 { 340.0 } else { 270.0 } };

        let mut body = frame.axes();
        for (name, level) in &self.levels {
            let at = frame.y(*level);
            let _ = writeln!(
                body,
                "<line class=\"level\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"level\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}: {}</text>",
                frame.right(),
                frame.right() - 4.0,
                at - 5.0,
                escape(name),
                words::significant(*level),
            );
        }
        let series: Vec<Series> =
            self.series.iter().map(|one| Series { points: thin(&one.points, MAX_POINTS), ..one.clone() }).collect();
        for one in &series {
            body.push_str(&frame.curve(one));
        }
        let dots: String = series.iter().fold(String::new(), |mut dots, one| {
            let _ = write!(dots, "<circle class=\"spot {}\" r=\"4.5\"/>", one.class);
            dots
        });
        let legend: String = series.iter().fold(String::new(), |mut legend, one| {
            let _ = write!(legend, "<span class=\"key {}\">{}</span>", one.class, escape(&one.name));
            legend
        });
        let broken = points().any(|point| !point.1.is_finite());
        let legend = if broken { legend + "<span class=\"key broken\">not finite</span>" } else { legend };
        let (width, height) = (frame.width, frame.height);
        format!(
            "<figure class=\"chart{}\">\n<figcaption><b>{}</b> <span class=\"unit\">{}</span><span class=\"legend\">{legend}</span>\
             <output></output></figcaption>\n<div class=\"wide\"><svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\" tabindex=\"0\">\n\
             {body}<line class=\"rule\" y1=\"{TOP}\" y2=\"{:.1}\"/>{dots}</svg></div>\n\
             <script type=\"application/json\">{}</script>\n</figure>\n",
            if width > 700.0 { " full" } else { "" },
            escape(self.title),
            escape(self.unit),
            escape(&format!("{} by {}, {}", self.title, self.across, self.unit)),
            frame.bottom(),
            frame.numbers(&series),
        )
    }
}

/// Where values lie in the drawing.
struct Frame {
    x: Scale,
    y: Scale,
    across: &'static str,
    width: f64,
    height: f64,
}

impl Frame {
    fn right(&self) -> f64 {
        self.width - RIGHT
    }

    fn bottom(&self) -> f64 {
        self.height - BOTTOM
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (self.right() - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom() - self.y.place(value) * (self.bottom() - TOP)
    }

    fn axes(&self) -> String {
        let mut out = String::new();
        for tick in self.y.ticks(5) {
            let at = self.y(tick);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                self.right(),
                LEFT - 8.0,
                at + 4.0,
                label(tick),
            );
        }
        let last = self.right() - 30.0;
        for tick in self.x.ticks(if self.width > 700.0 { 10 } else { 5 }).into_iter().filter(|tick| tick.fract() == 0.0) {
            let at = self.x(tick);
            let _ = write!(out, "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>", self.bottom());
            // The axis' own name stands at its end.
            if at < last {
                let _ = writeln!(
                    out,
                    "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                    self.bottom() + 18.0,
                    label(tick)
                );
            }
        }
        let (right, bottom) = (self.right(), self.bottom());
        let _ = writeln!(
            out,
            "<text class=\"name\" x=\"{right:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            bottom + 18.0,
            escape(self.across)
        );
        let _ = writeln!(out, "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom:.1}H{right:.1}\"/>");
        out
    }

    fn curve(&self, series: &Series) -> String {
        let (mut line, mut dots, mut broken) = (String::new(), String::new(), String::new());
        let mut pen_down = false;
        let few = series.points.iter().filter(|point| point.1.is_finite()).count() <= MAX_DOTS;
        for (index, &(x, y)) in series.points.iter().enumerate() {
            if !y.is_finite() {
                let _ = write!(broken, "M{:.1} {:.1}v-9", self.x(x), self.bottom());
                pen_down = false;
                continue;
            }
            let (x, y) = (self.x(x), self.y(y));
            let _ = write!(line, "{}{x:.1} {y:.1}", if pen_down { 'L' } else { 'M' });
            let alone = !pen_down && series.points.get(index + 1).is_none_or(|next| !next.1.is_finite());
            if alone || (few && series.class != "faint") {
                let _ = write!(dots, "<circle class=\"dot {}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>", series.class);
            }
            pen_down = true;
        }
        let broken = match broken.as_str() {
            "" => String::new(),
            path => format!("<path class=\"broken\" d=\"{path}\"><title>not finite</title></path>"),
        };
        format!("<path class=\"line {}\" d=\"{line}\"/>{dots}{broken}\n", series.class)
    }

    /// What the script needs to read values off: the frame, and each curve's points.
    fn numbers(&self, series: &[Series]) -> String {
        let number = |value: f64| {
            if value.is_finite() { format!("{value:.5e}").parse().unwrap_or(value).into() } else { serde_json::Value::Null }
        };
        let curves: Vec<_> = series
            .iter()
            .map(|one| {
                let (x, y): (Vec<_>, Vec<_>) = one.points.iter().map(|&(x, y)| (serde_json::json!(x as u64), number(y))).unzip();
                serde_json::json!({ "name": one.name, "x": x, "y": y })
            })
            .collect();
        let frame = serde_json::json!({
            "x": [self.x.low, self.x.high], "y": [self.y.low, self.y.high], "log": self.y.log,
            "left": LEFT, "right": self.right(), "top": TOP, "bottom": self.bottom(), "width": self.width,
        });
        serde_json::json!({ "frame": frame, "series": curves }).to_string().replace('<', "\\u003c")
    }
}

/// A tick's value, short: `20k`, `0.5`, `1e-5`.
fn label(value: f64) -> String {
    let size = value.abs();
    if size >= 1000.0 {
        words::scaled(value).replace(' ', "")
    } else if size > 0.0 && size < 1e-3 {
        let text = format!("{value:.1e}");
        text.replace(".0e", "e")
    } else {
        words::significant(value)
    }
}
