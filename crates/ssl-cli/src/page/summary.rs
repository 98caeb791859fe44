//! The head of the page: tiles, the comparison with compressors, the facts of the run; and the samples.

use std::fmt::Write;

use ssl_train::report::Record;

use super::Page;
use super::html::{escape, pairs};
use crate::progress::words;

/// At most this many samples are shown, spread over the run.
const MAX_SAMPLES: usize = 12;
/// A longer sample is cut to this many characters.
const MAX_SAMPLE_CHARS: usize = 1500;

/// The run in a line.
pub(super) fn line(page: &Page<'_>) -> String {
    let facts = &page.facts;
    let params = words::scaled(facts.params as f64);
    format!("{} · {params} parameters · {} · {}", facts.model, facts.device, facts.stopped_because)
}

/// The figures to see first.
pub(super) fn tiles(page: &Page<'_>) -> String {
    let (facts, score) = (&page.facts, &page.score);
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    let mut tiles = Vec::new();
    if let Some(bits) = finite(score.bits_per_byte) {
        let error =
            finite(score.stderr).map_or_else(String::new, |error| format!("± {} standard error", words::significant(error)));
        tiles.push(("validation bits per byte", fixed(bits), error));
    }
    if let Some(loss) = finite(score.loss) {
        let perplexity = finite(score.perplexity).map_or_else(String::new, |p| format!(", perplexity {}", words::scaled(p)));
        tiles.push(("validation loss", fixed(loss), format!("nats per target{perplexity}")));
    }
    let epochs = if facts.epochs > 0.0 { format!(", {} epochs", words::significant(facts.epochs)) } else { String::new() };
    tiles.push(("tokens trained on", words::scaled(facts.tokens as f64), format!("{} steps{epochs}", words::count(facts.steps))));
    let mut speeds: Vec<f64> =
        page.records.iter().map(|record| record.tokens_per_second).filter(|speed| speed.is_finite()).collect();
    speeds.sort_by(f64::total_cmp);
    if let Some(speed) = speeds.get(speeds.len() / 2) {
        let mfu = page.records.iter().rev().find_map(|record| record.mfu.filter(|mfu| (0.0..=1.0).contains(mfu)));
        let mfu = mfu.map_or_else(|| "median".to_owned(), |mfu| format!("median, {:.1} % of the device's peak", mfu * 100.0));
        tiles.push(("tokens per second", words::scaled(*speed), mfu));
    }
    tiles.push(("time", words::duration(facts.seconds), facts.device.to_owned()));
    let tile = |(name, value, note): &(&str, String, String)| {
        format!(
            "<div class=\"tile\"><span>{}</span><strong>{}</strong><small>{}</small></div>\n",
            escape(name),
            escape(value),
            escape(note)
        )
    };
    format!("<div class=\"tiles\">\n{}</div>\n", tiles.iter().map(tile).collect::<String>())
}

/// The comparison with general compressors, and the facts.
pub(super) fn result(page: &Page<'_>) -> String {
    let facts = &page.facts;
    let mut rows = vec![
        ("model", facts.model.to_owned()),
        ("parameters", words::count(facts.params)),
        ("device", facts.device.to_owned()),
        ("steps", words::count(facts.steps)),
        ("tokens", words::count(facts.tokens)),
        ("time", words::duration(facts.seconds)),
        ("stopped because", facts.stopped_because.to_owned()),
    ];
    rows.extend(facts.more.iter().map(|(name, value)| (*name, value.clone())));
    format!("<div class=\"halves\">\n<div>\n{}</div>\n<div>\n{}</div>\n</div>\n", comparison(page), pairs(rows))
}

/// Bars of bits per byte: the model's beside those of compressors on the same text.
fn comparison(page: &Page<'_>) -> String {
    let score = &page.score;
    let (rows, unit) = if score.bits_per_byte.is_some() {
        let rows =
            vec![("this model", score.bits_per_byte, "model"), ("xz -9", score.xz, "other"), ("gzip -9", score.gzip, "other")];
        (rows, "Bits that each needs for a byte of the same held-out text; less is better.")
    } else {
        let rows = vec![("this model", score.loss, "model"), ("a guess by frequency", score.unigram, "other")];
        (rows, "Nats that each needs for a target of the same held-out text; less is better.")
    };
    let rows: Vec<_> = rows
        .into_iter()
        .filter_map(|(name, bits, class)| bits.filter(|b| b.is_finite() && *b >= 0.0).map(|b| (name, b, class)))
        .collect();
    let most = rows.iter().map(|row| row.1).fold(0.0, f64::max);
    if most == 0.0 {
        return "<p class=\"none\">The model was not measured on validation text.</p>\n".into();
    }
    let mut bars = String::new();
    for (name, bits, class) in &rows {
        let _ = writeln!(
            bars,
            "<div class=\"bar\"><span>{}</span><svg class=\"{class}\" aria-hidden=\"true\"><rect width=\"{:.1}%\" height=\"100%\" rx=\"3\"/></svg><b>{}</b></div>",
            escape(name),
            bits / most * 100.0,
            fixed(*bits),
        );
    }
    let (model, others): (Vec<_>, Vec<_>) =
        rows.iter().map(|(name, bits, _)| (*name, *bits)).partition(|row| row.0 == "this model");
    let verdict = model.first().map_or_else(String::new, |model| verdict(model.1, others.into_iter().rev()));
    format!(
        "<p class=\"verdict\">{}</p>\n<div class=\"bars\">\n{bars}</div>\n\
         <p class=\"note\">{unit}</p>\n",
        escape(&verdict)
    )
}

/// Where the model is ahead of the others, then where it is behind.
fn verdict<'a>(model: f64, others: impl Iterator<Item = (&'a str, f64)>) -> String {
    let (mut beats, mut behind) = (Vec::new(), Vec::new());
    for (name, other) in others {
        let gain = (1.0 - model / other) * 100.0;
        match gain {
            gain if !gain.is_finite() => {}
            gain if gain >= 0.0 => beats.push(format!("{name} by {} %", words::significant(gain))),
            gain => behind.push(format!("{name} by {} %", words::significant(-gain))),
        }
    }
    let said = [("beats", beats), ("trails", behind)].into_iter().filter(|(_, list)| !list.is_empty());
    let said: Vec<String> = said.map(|(verb, list)| format!("{verb} {}", list.join(" and "))).collect();
    if said.is_empty() { String::new() } else { format!("This model {}.", said.join(", but ")) }
}

/// Three decimals, where that is readable.
fn fixed(number: f64) -> String {
    if number.abs() < 1e6 { format!("{number:.3}") } else { format!("{number:.2e}") }
}

/// Samples from the first to the last, evenly chosen where there are many.
pub(super) fn samples(records: &[Record]) -> Option<String> {
    let all: Vec<_> = records.iter().filter_map(|record| record.sample.as_ref().map(|text| (record, text))).collect();
    let last = all.len().checked_sub(1)?;
    let shown: Vec<_> = if all.len() <= MAX_SAMPLES {
        (0..=last).collect()
    } else {
        (0..MAX_SAMPLES).map(|index| (index * last + (MAX_SAMPLES - 1) / 2) / (MAX_SAMPLES - 1)).collect()
    };
    let mut out = String::new();
    if shown.len() < all.len() {
        let _ = writeln!(out, "<p class=\"note\">{} of {} samples, spread over the run.</p>", shown.len(), all.len());
    }
    for index in shown {
        let (record, text) = all[index];
        let cut: String = text.chars().take(MAX_SAMPLE_CHARS).collect();
        let more = if cut.len() < text.len() { " …" } else { "" };
        let bits = record
            .val_bpb
            .filter(|bits| bits.is_finite())
            .map_or_else(String::new, |bits| format!("{} bits per byte", fixed(bits)));
        let _ = writeln!(
            out,
            "<article class=\"sample\"><h3>step {}<small>{}</small></h3><pre dir=\"auto\">{}{more}</pre></article>",
            words::count(record.step),
            escape(&bits),
            escape(&cut),
        );
    }
    Some(out)
}
