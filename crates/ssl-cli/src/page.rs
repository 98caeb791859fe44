//! `report.html`: what a run was, what it reached and how it got there, on one page that needs nothing else.

pub(crate) mod answers;
mod chart;
pub(crate) mod comparison;
mod curves;
mod data;
mod html;
mod scale;
mod summary;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use ssl_data::manifest::Manifest;
use ssl_train::report::Record;

use self::html::{escape, pairs, section};

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub(crate) struct Page<'a> {
    /// The run's name.
    pub(crate) title: &'a str,
    /// What was trained, where and for how long.
    pub(crate) facts: Facts<'a>,
    /// What was reached.
    pub(crate) score: Score,
    /// The run's records, by step.
    pub(crate) records: &'a [Record],
    /// What it was trained on; absent for made-up tokens.
    pub(crate) data: Option<&'a Manifest>,
    /// The run file as it was written.
    pub(crate) config: &'a str,
    /// Versions and hardware, each with its name.
    pub(crate) environment: &'a [(&'a str, String)],
}

/// What was trained, where and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    /// The architecture, such as `gpt, 6 layers of width 384`.
    pub(crate) model: &'a str,
    /// Trained numbers.
    pub(crate) params: u64,
    /// Where it ran, such as `cpu, 2 threads`.
    pub(crate) device: &'a str,
    /// Optimizer steps done.
    pub(crate) steps: u64,
    /// Tokens trained on.
    pub(crate) tokens: u64,
    /// How often the corpus was read.
    pub(crate) epochs: f64,
    /// Wall time.
    pub(crate) seconds: f64,
    /// Why it ended, such as `all steps done`.
    pub(crate) stopped_because: &'a str,
    /// Whatever else is worth a row.
    pub(crate) more: &'a [(&'a str, String)],
}

/// What was reached on the validation text.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Score {
    /// Nats per target.
    pub(crate) loss: Option<f64>,
    /// What each token is as surprising as a choice among, where targets are tokens.
    pub(crate) perplexity: Option<f64>,
    /// Nats per target of a guess by frequency alone.
    pub(crate) unigram: Option<f64>,
    /// Bits per byte of the model.
    pub(crate) bits_per_byte: Option<f64>,
    /// Its standard error.
    pub(crate) stderr: Option<f64>,
    /// Bits per byte of `gzip -9` on the same text.
    pub(crate) gzip: Option<f64>,
    /// Bits per byte of `xz -9` on the same text.
    pub(crate) xz: Option<f64>,
}

impl Page<'_> {
    /// Writes the page to `path`, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses; what was at `path` before is then still there.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        write(path, &self.render())
    }

    /// The page.
    pub(crate) fn render(&self) -> String {
        let title = escape(self.title);
        let levels: Vec<_> = [("gzip -9", self.score.gzip), ("xz -9", self.score.xz)]
            .into_iter()
            .filter_map(|(name, bits)| bits.filter(|bits| bits.is_finite()).map(|bits| (name, bits)))
            .collect();
        let curves = match curves::curves(self.records, &levels) {
            drawn if self.records.is_empty() || drawn.is_empty() => "<p class=\"none\">No step was logged.</p>\n".to_owned(),
            drawn => drawn,
        };
        let parts = [
            summary::tiles(self),
            section("result", "Result", &summary::result(self)),
            section("curves", "Training", &curves),
            summary::samples(self.records)
                .map_or_else(String::new, |samples| section("samples", "Samples as training went on", &samples)),
            self.data.map_or_else(String::new, |manifest| section("data", "Data", &data::data(manifest))),
            section("config", "Run file", &format!("<pre class=\"config\">{}</pre>\n", escape(self.config))),
            section("environment", "Environment", &pairs(self.environment.iter().map(|(name, value)| (*name, value.clone())))),
        ];
        let body = parts.concat();
        shell(&title, &escape(&summary::line(self)), &body)
    }
}

/// A page around a body, both of HTML already.
fn shell(title: &str, line: &str, body: &str) -> String {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{title}</h1>\n<p>{line}</p>\n</header>\n{body}\
         <footer>Written by ssl {}. This file needs no other.</footer>\n</main>\n<script>\n{}</script>\n</body>\n</html>\n",
        include_str!("page/page.css"),
        env!("CARGO_PKG_VERSION"),
        include_str!("page/page.js"),
    )
}

/// Writes a page, whole or not at all.
fn write(path: &Path, html: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let draft = path.with_file_name(name);
    let written = (|| {
        let mut file = File::create(&draft)?;
        file.write_all(html.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    if written.is_err() {
        // The first fault is the one to tell.
        let _ = fs::remove_file(&draft);
    }
    written?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
