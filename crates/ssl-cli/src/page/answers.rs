//! `answers.html`: how well questions were answered, and how much better where the less certain answers are withheld.

use std::io;
use std::path::Path;

use super::chart::{Chart, Series};
use super::html::{escape, pairs, section};
use super::scale::Point;

/// Full width of the page.
const FULL: f64 = 1040.0;

/// Everything that the page shows.
pub(crate) struct Answers<'a> {
    /// What was answered.
    pub(crate) title: &'a str,
    /// Scores, each with its name.
    pub(crate) lines: &'a [(String, String)],
    /// Risk over coverage; absent where no model answered.
    pub(crate) curve: Option<Curve>,
}

/// Percents of wrong answers over percents of questions answered.
pub(crate) struct Curve {
    /// Of answers that are not exactly right.
    pub(crate) exact: Vec<Point>,
    /// Of what F1 lacks.
    pub(crate) f1: Vec<Point>,
}

impl Answers<'_> {
    /// Writes the page, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        super::write(path, &self.render())
    }

    fn render(&self) -> String {
        let scores = pairs(self.lines.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let series = |name: &str, class, points: &[Point]| Series { name: name.to_owned(), class, points: points.to_vec() };
        let chart = self.curve.as_ref().map_or_else(String::new, |curve| {
            let chart = Chart {
                title: "Risk over coverage",
                unit: "% of the answers given that are wrong, the most certain first; lower is better",
                width: FULL,
                across: "% of the questions answered",
                steps: (0.0, 100.0),
                series: vec![series("not an exact match", "train", &curve.exact), series("1 - F1", "validation", &curve.f1)],
                levels: Vec::new(),
                from_zero: true,
                wide: f64::INFINITY,
            };
            section("risk", "When it is better to say nothing", &chart.render())
        });
        super::shell(
            &escape(self.title),
            "Passages found, answers read in them",
            &(section("scores", "Scores", &scores) + &chart),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_scores_and_curve_and_lets_no_markup_out() {
        let curve = Curve { exact: vec![(50.0, 10.0), (100.0, 30.0)], f1: vec![(50.0, 5.0), (100.0, 20.0)] };
        let lines = [("<q>".to_owned(), "<s>1</s>".to_owned())];
        let html = Answers { title: "<t>", lines: &lines, curve: Some(curve) }.render();
        assert!(!html.contains("<t>") && !html.contains("<q>") && !html.contains("<s>"));
        assert!(html.contains("Risk over coverage") && html.contains("<svg") && html.contains("not an exact match"));
        assert!(!Answers { title: "t", lines: &lines, curve: None }.render().contains("<svg"));
    }
}
