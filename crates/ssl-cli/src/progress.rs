//! What a person sees while work goes on: bars on a terminal, a line now and then elsewhere, nothing when asked for quiet.

pub(crate) mod words;

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ssl_data::prepare::Watch;

use crate::signal;

/// Lines outside a terminal come at most this often.
const EVERY: Duration = Duration::from_secs(10);
/// Bars are told news at most this often.
const REFRESH: Duration = Duration::from_millis(100);

/// How much is shown, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Nothing.
    Quiet,
    /// A line now and then.
    Lines,
    /// A bar that moves.
    Bars,
}

impl Style {
    /// Bars where stderr is a terminal, lines elsewhere.
    pub(crate) fn for_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Bars } else { Self::Lines }
    }
}

/// One logged training step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct StepLine {
    /// Steps done.
    pub(crate) step: u64,
    /// Steps to do.
    pub(crate) steps: u64,
    /// Nats a token.
    pub(crate) loss: f64,
    /// Bits per byte, where it can be told.
    pub(crate) bpb: Option<f64>,
    /// Norm of the gradients.
    pub(crate) norm: f64,
    /// Learning rate.
    pub(crate) lr: f64,
    /// Speed.
    pub(crate) tokens_per_second: f64,
    /// Model FLOPs utilisation, 0 to 1.
    pub(crate) mfu: Option<f64>,
    /// Seconds to go.
    pub(crate) eta_seconds: f64,
}

impl std::fmt::Display for StepLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "step {}/{}  loss {:.4} nats", self.step, self.steps, self.loss)?;
        if let Some(bpb) = self.bpb {
            write!(f, "  bpb {bpb:.3}")?;
        }
        if self.norm.is_finite() {
            write!(f, "  norm {:.2}", self.norm)?;
        }
        write!(f, "  lr {:.1e}  {} tok/s", self.lr, words::scaled(self.tokens_per_second))?;
        if let Some(mfu) = self.mfu {
            write!(f, "  mfu {:.1}%", mfu * 100.0)?;
        }
        write!(f, "  eta {}", words::duration(self.eta_seconds))
    }
}

/// The one voice on stderr; may be shared by threads.
pub(crate) struct Progress {
    style: Style,
    every: Duration,
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    bar: Option<ProgressBar>,
    stage: Option<Stage>,
    /// When the last line was written or the bar last told news.
    told: Option<Instant>,
}

/// How far the present stage is.
#[derive(Debug, Clone, Copy)]
struct Stage {
    name: &'static str,
    since: Instant,
    done_bytes: u64,
    total_bytes: Option<u64>,
    documents: u64,
}

impl Stage {
    fn rates(&self) -> String {
        let seconds = self.since.elapsed().as_secs_f64().max(1e-3);
        let size = words::bytes(self.done_bytes as f64 / seconds);
        match self.documents {
            0 => format!("{size}/s"),
            documents => format!("{size}/s  {} documents/s", words::scaled(documents as f64 / seconds)),
        }
    }

    /// A line while the stage goes on.
    fn line(&self) -> String {
        let size = words::bytes(self.done_bytes as f64);
        let Some(total) = self.total_bytes.filter(|total| *total > 0) else {
            return format!("{}  {size}  {} documents  {}", self.name, words::count(self.documents), self.rates());
        };
        let share = (self.done_bytes as f64 / total as f64).clamp(0.0, 1.0);
        let eta = self.since.elapsed().as_secs_f64() * (1.0 - share) / share;
        let total = words::bytes(total as f64);
        let done = format!("{:.0}%  {size} of {total}  {} documents", share * 100.0, words::count(self.documents));
        format!("{}  {done}  {}  eta {}", self.name, self.rates(), words::duration(eta))
    }

    /// A line when it is done.
    fn end(&self) -> String {
        let took = words::duration(self.since.elapsed().as_secs_f64());
        let documents = if self.documents == 0 { String::new() } else { format!("  {} documents", words::count(self.documents)) };
        format!("{} done  {}{documents} in {took}  {}", self.name, words::bytes(self.done_bytes as f64), self.rates())
    }
}

impl Progress {
    /// Whether nothing is said.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.style, Style::Quiet)
    }

    /// Speaks on stderr in the given style.
    pub(crate) fn new(style: Style) -> Self {
        Self::to(style, EVERY, Box::new(std::io::stderr()))
    }

    fn to(style: Style, every: Duration, out: Box<dyn Write + Send>) -> Self {
        Self { style, every, state: Mutex::new(State { out, bar: None, stage: None, told: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something that stays, such as a measurement or a warning.
    pub(crate) fn say(&self, text: &str) {
        if self.style != Style::Quiet {
            self.state().say(text);
        }
    }

    /// Shows a training step. Outside a terminal, the first, the last, and one now and then.
    pub(crate) fn step(&self, line: &StepLine) {
        if self.style == Style::Quiet {
            return;
        }
        let mut state = self.state();
        state.end_stage();
        let last = line.step == line.steps;
        match self.style {
            Style::Lines if last || state.due(self.every) => state.say(&line.to_string()),
            Style::Lines | Style::Quiet => {}
            Style::Bars => {
                let bar = state.bar(Some(line.steps), "{wide_msg}\n{wide_bar:.cyan/dim} {percent:>3}%  eta {prefix}");
                bar.set_position(line.step);
                bar.set_prefix(words::duration(line.eta_seconds));
                bar.set_message(line.to_string());
            }
        }
    }

    /// Shows work that is counted in nothing but its share. Outside a terminal, one line now and then.
    pub(crate) fn share(&self, name: &str, share: f64) {
        let mut state = self.state();
        match self.style {
            Style::Bars => {
                let bar = state.bar(Some(100), "{bar:16.cyan/dim} {wide_msg}");
                bar.set_position((share * 100.0) as u64);
                bar.set_message(format!("{name}  {:.0}%", share * 100.0));
            }
            Style::Lines if state.due(self.every) => state.say(&format!("{name}  {:.0}%", share * 100.0)),
            Style::Lines | Style::Quiet => {}
        }
    }

    /// Ends the present stage or bar; its last line stays.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        if self.style != Style::Quiet {
            state.end_stage();
        }
        if let Some(bar) = state.bar.take() {
            bar.abandon();
        }
    }
}

impl State {
    fn say(&mut self, text: &str) {
        // Nobody may be there to read it.
        let mut write = || {
            let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Whether it is time for news; then the clock starts again.
    fn due(&mut self, every: Duration) -> bool {
        let due = self.told.is_none_or(|told| told.elapsed() >= every);
        if due {
            self.told = Some(Instant::now());
        }
        due
    }

    fn bar(&mut self, length: Option<u64>, template: &str) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(style.progress_chars("━╸─"));
            bar
        })
    }

    fn end_stage(&mut self) {
        if let Some(stage) = self.stage.take() {
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
            self.say(&stage.end());
        }
    }
}

impl Watch for Progress {
    fn stage(&self, stage: &'static str, done_bytes: u64, total_bytes: Option<u64>, documents: u64) {
        if self.style == Style::Quiet {
            return;
        }
        let mut state = self.state();
        if state.stage.is_none_or(|now| now.name != stage) {
            state.end_stage();
            state.told = Some(Instant::now());
        }
        let since = state.stage.map_or_else(Instant::now, |now| now.since);
        let now = Stage { name: stage, since, done_bytes, total_bytes, documents };
        state.stage = Some(now);
        match self.style {
            Style::Bars => {
                let template = if total_bytes.is_some() { "{bar:16.cyan/dim} {wide_msg}" } else { "{spinner:.cyan} {wide_msg}" };
                let bar = state.bar(total_bytes, template).clone();
                if state.due(REFRESH) {
                    bar.set_position(done_bytes);
                    bar.set_message(now.line());
                }
            }
            _ if state.due(self.every) => state.say(&now.line()),
            _ => {}
        }
    }

    fn stop(&self) -> bool {
        signal::requested()
    }
}

#[cfg(test)]
mod tests;
