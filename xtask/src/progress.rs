//! A bar on a terminal, a line now and then elsewhere.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::say;

/// How often a line is printed where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// The progress of one transfer.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    what: String,
    total: u64,
    told: Cell<Instant>,
}

impl Progress {
    /// `total` bytes of `what`, for example "fetching torch".
    pub(crate) fn bytes(what: &str, total: u64) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{msg}  [{bar:30}] {bytes} of {total_bytes}  {bytes_per_sec}  {eta}");
            ProgressBar::new(total)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                .with_message(what.to_owned())
        } else {
            say(format_args!("{what} ({} MB)", total / 1_000_000));
            ProgressBar::hidden()
        };
        Self { bar, what: what.to_owned(), total, told: Cell::new(Instant::now()) }
    }

    /// `bytes` are there now.
    pub(crate) fn at(&self, bytes: u64) {
        self.bar.set_position(bytes.min(self.total));
        if self.bar.is_hidden() && self.told.get().elapsed() >= EVERY {
            self.told.set(Instant::now());
            say(format_args!("{}: {} of {} MB", self.what, bytes / 1_000_000, self.total / 1_000_000));
        }
    }

    /// Takes the bar away.
    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
    }
}
