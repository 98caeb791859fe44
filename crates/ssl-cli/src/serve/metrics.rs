//! What `/metrics` tells: counters, gauges and histograms in Prometheus' text, under vLLM's names with the prefix `ssl:`.
//!
//! Source: the text format 0.0.4 of Prometheus; names and buckets: vLLM, `vllm/v1/metrics`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ssl_eval::engine::State;

/// Upper ends in seconds, each about twice the one before.
const ENDS: [f64; 16] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Times, by how long they were.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Those up to each end and above the one before; the last are longer than all ends.
    counts: [AtomicU64; ENDS.len() + 1],
    microseconds: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub(super) fn record(&self, time: Duration) {
        let bucket = ENDS.partition_point(|&end| end < time.as_secs_f64());
        self.counts[bucket].fetch_add(1, Relaxed);
        self.microseconds.fetch_add(time.as_micros() as u64, Relaxed);
    }

    fn write(&self, name: &str, help: &str, text: &mut Text) {
        text.head(name, help, "histogram");
        let mut sum = 0;
        for (at, count) in self.counts.iter().enumerate() {
            sum += count.load(Relaxed);
            let end = ENDS.get(at).map_or_else(|| "+Inf".to_owned(), ToString::to_string);
            text.line(&format!("{name}_bucket"), &[("le", &end)], sum);
        }
        text.line(&format!("{name}_sum"), &[], self.microseconds.load(Relaxed) as f64 / 1e6);
        text.line(&format!("{name}_count"), &[], sum);
    }
}

/// Counts of everything that is not the engine's own.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Seconds to a text's first token, from the request.
    pub(super) first_token: Histogram,
    /// Seconds from a token to the next.
    pub(super) next_token: Histogram,
    /// Seconds from a request to a text's end.
    pub(super) whole: Histogram,
    /// Open connections.
    pub(super) connections: AtomicI64,
    /// Connections that were one too many.
    pub(super) turned_away: AtomicU64,
    /// Texts by how they ended.
    finished: Mutex<BTreeMap<&'static str, u64>>,
    /// Answers by route and status.
    answers: Mutex<BTreeMap<(String, u16), u64>>,
}

impl Metrics {
    /// Counts a text that ended.
    pub(super) fn finished(&self, reason: &'static str) {
        *self.finished.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// Counts an answer.
    pub(super) fn answered(&self, route: &str, status: u16) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner).entry((route.to_owned(), status)).or_default() += 1;
    }

    /// Texts that ended for `reason`.
    pub(super) fn ended(&self, reason: &str) -> u64 {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).get(reason).copied().unwrap_or_default()
    }

    /// Answers, and those with a status that says a fault.
    pub(super) fn totals(&self) -> (u64, u64) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        (answers.values().sum(), answers.iter().filter(|((_, status), _)| *status >= 400).map(|(_, count)| count).sum())
    }

    /// All of it as text, of the model that clients call `model`.
    pub(super) fn text(&self, model: &str, engine: &State) -> String {
        let mut text = Text { model: escaped(model), text: String::new() };
        let mut one = |name: &str, help: &str, kind: &str, value: u64| {
            text.head(name, help, kind);
            text.line(name, &[], value);
        };
        one("ssl:num_requests_running", "Texts that are being written.", "gauge", engine.running as u64);
        one("ssl:num_requests_waiting", "Texts that wait to be written.", "gauge", engine.waiting as u64);
        one("ssl:prompt_tokens_total", "Tokens of prompts that were read.", "counter", engine.prompt_tokens);
        one("ssl:generation_tokens_total", "Tokens that were written.", "counter", engine.written_tokens);
        one(
            "ssl:engine_steps_total",
            "Steps of the model, each of which reads on in all texts that run.",
            "counter",
            engine.steps,
        );
        let reused = "Tokens of prompts that were known from texts before.";
        one("ssl:prefix_cache_hits_total", reused, "counter", engine.reused_tokens);
        one("ssl:http_connections", "Open connections.", "gauge", self.connections.load(Relaxed).max(0) as u64);
        let turned_away = "Connections that were one too many.";
        one("ssl:http_connections_refused_total", turned_away, "counter", self.turned_away.load(Relaxed));
        text.head("ssl:request_success_total", "Texts that ended, by why: abort is a client that left.", "counter");
        for (reason, count) in self.finished.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            text.line("ssl:request_success_total", &[("finished_reason", reason)], *count);
        }
        text.head("ssl:http_requests_total", "Answers by route and status.", "counter");
        for ((route, status), count) in self.answers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            text.line("ssl:http_requests_total", &[("handler", route), ("status", &status.to_string())], *count);
        }
        let histograms = [
            (&self.first_token, "ssl:time_to_first_token_seconds", "From a request to a text's first token."),
            (&self.next_token, "ssl:inter_token_latency_seconds", "From a token to the next."),
            (&self.whole, "ssl:e2e_request_latency_seconds", "From a request to a text's end."),
        ];
        for (histogram, name, help) in histograms {
            histogram.write(name, help, &mut text);
        }
        text.text
    }
}

/// The text while it is written.
struct Text {
    model: String,
    text: String,
}

impl Text {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.text, "{name}{{model_name=\"{}\"", self.model);
        for (label, of) in labels {
            let _ = write!(self.text, ",{label}=\"{}\"", escaped(of));
        }
        let _ = writeln!(self.text, "}} {value}");
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_labels_are_escaped() {
        let metrics = Metrics::default();
        for millis in [1, 3, 400_000] {
            metrics.whole.record(Duration::from_millis(millis));
        }
        metrics.finished("stop");
        metrics.answered("/health", 200);
        metrics.answered("/health", 404);
        let text = metrics.text("a\"b", &State::default());
        let value = |line: &str| {
            let found = text.lines().find_map(|own| own.strip_prefix(line)).unwrap_or_else(|| panic!("no {line} in\n{text}"));
            found.trim().parse::<f64>().expect("a number")
        };
        let bucket = |end: &str| value(&format!("ssl:e2e_request_latency_seconds_bucket{{model_name=\"a\\\"b\",le=\"{end}\"}}"));
        assert_eq!(["0.001", "0.0025", "0.005", "300", "+Inf"].map(bucket), [1.0, 1.0, 2.0, 2.0, 3.0]);
        assert_eq!(value("ssl:e2e_request_latency_seconds_sum{model_name=\"a\\\"b\"}"), 400.004);
        assert_eq!(value("ssl:request_success_total{model_name=\"a\\\"b\",finished_reason=\"stop\"}"), 1.0);
        assert_eq!(metrics.totals(), (2, 1));
        // Each family is told of once, and before its lines.
        let mut told = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("# TYPE ") {
                assert!(told.insert(name.split(' ').next().expect("a name").to_owned()), "{line}");
            } else if !line.starts_with('#') {
                let name = line.split('{').next().expect("a name");
                let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                assert!(told.contains(family), "{line}");
            }
        }
    }
}
