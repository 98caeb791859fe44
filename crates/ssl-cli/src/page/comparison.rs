//! `comparison.html`: what arms cost, how they learned, and which each task speaks for.

use std::io;
use std::path::Path;

use super::chart::{Chart, Series};
use super::html::{Column, escape, section, table};
use super::scale::Point;

/// Colours of curves; further arms begin again.
const CLASSES: [&str; 12] = ["arm0", "arm1", "arm2", "arm3", "arm4", "arm5", "arm6", "arm7", "arm8", "arm9", "arm10", "arm11"];
/// Full width of the page.
const FULL: f64 = 1040.0;

/// A chart: its title, its unit, and a curve for each arm.
pub(crate) type Curves = (&'static str, &'static str, Vec<(String, Vec<Point>)>);

/// Everything that the page shows.
pub(crate) struct Comparison<'a> {
    /// The comparison's name.
    pub(crate) title: &'a str,
    /// What it compares, in a line.
    pub(crate) line: &'a str,
    /// The answers in words.
    pub(crate) answers: &'a [String],
    /// The table's heads, and its rows.
    pub(crate) heads: &'a [String],
    /// A row for each arm and seed.
    pub(crate) rows: &'a [Vec<String>],
    /// What lies along the foot of the charts.
    pub(crate) across: &'static str,
    /// The charts.
    pub(crate) charts: Vec<Curves>,
    /// Texts that arms wrote, by arm.
    pub(crate) samples: &'a [(String, String)],
    /// Notes on what the numbers rest on.
    pub(crate) notes: &'a [String],
    /// The file as it was written.
    pub(crate) config: &'a str,
}

impl Comparison<'_> {
    /// Writes the page, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        super::write(path, &self.render())
    }

    fn render(&self) -> String {
        let item = |text: &String| format!("<li>{}</li>\n", escape(text));
        let items = |texts: &[String]| texts.iter().map(item).collect::<Vec<_>>().concat();
        let heads: Vec<(&str, Column)> = self.heads.iter().map(|head| (head.as_str(), Column::Text)).collect();
        let charts: String = self.charts.iter().map(|(title, unit, curves)| self.chart(title, unit, curves)).collect();
        let sample =
            |(arm, text): &(String, String)| format!("<h3>{}</h3>\n<pre class=\"sample\">{}</pre>\n", escape(arm), escape(text));
        let samples = self.samples.iter().map(sample).collect::<Vec<_>>().concat();
        let parts = [
            section("answers", "Answers", &format!("<ul class=\"answers\">\n{}</ul>\n", items(self.answers))),
            section("arms", "Arms", &table(&heads, self.rows)),
            section("curves", "Training", &charts),
            if samples.is_empty() { String::new() } else { section("samples", "Samples", &samples) },
            section("notes", "What this rests on", &format!("<ul>\n{}</ul>\n", items(self.notes))),
            section("config", "File", &format!("<pre class=\"config\">{}</pre>\n", escape(self.config))),
        ];
        super::shell(&escape(self.title), &escape(self.line), &parts.concat())
    }

    fn chart(&self, title: &'static str, unit: &'static str, curves: &[(String, Vec<Point>)]) -> String {
        let last = curves.iter().flat_map(|(_, points)| points).map(|point| point.0).fold(0.0, f64::max);
        let series = curves.iter().zip(CLASSES.iter().cycle());
        let series = series.map(|((name, points), class)| Series { name: name.clone(), class, points: points.clone() });
        let chart = Chart {
            title,
            unit,
            width: FULL,
            across: self.across,
            steps: (0.0, last),
            series: series.collect(),
            levels: Vec::new(),
            from_zero: false,
            wide: f64::INFINITY,
        };
        chart.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_arm_becomes_markup() {
        let curves = vec![("<b>".to_owned(), vec![(1.0, 2.0), (2.0, 1.0)])];
        let page = Comparison {
            title: "<t>",
            line: "<l>",
            answers: &["<a>".to_owned()],
            heads: &["<h>".to_owned()],
            rows: &[vec!["<r>".to_owned()]],
            across: "GFLOP",
            charts: vec![("Loss", "nats", curves)],
            samples: &[("<s>".to_owned(), "<x>".to_owned())],
            notes: &["<n>".to_owned()],
            config: "<c>",
        };
        let html = page.render();
        for tag in ["<t>", "<l>", "<a>", "<h>", "<r>", "<b></", "<s>", "<x>", "<n>", "<c>"] {
            assert!(!html.contains(tag), "{tag}");
        }
        assert!(html.contains("&lt;a&gt;") && html.contains("arm0") && html.contains("GFLOP"));
    }
}
