//! The parts of the page, in order.

use super::figures::{bytes, count, octave, of, percent, ratio, scaled, share};
use super::html::{Bar, Cell, bars, heading, note, pairs, table, tile};
use crate::clean::Reason;
use crate::composition::{Measure, Size};
use crate::dedup::NearConfig;
use crate::manifest::{Cuts, Manifest};

/// Rows of a list that are shown one by one.
const ROWS: usize = 24;
/// Places that are shown of each reason.
const EXAMPLES: usize = 3;

fn kept(manifest: &Manifest) -> Size {
    let (train, validation) = (&manifest.train, &manifest.validation);
    let documents = manifest.documents_kept();
    Size { documents, bytes: train.bytes + validation.bytes, tokens: train.tokens + validation.tokens }
}

/// The corpus in a line.
pub(super) fn line(manifest: &Manifest) -> String {
    let (size, files) = (kept(manifest), of(manifest.files, "file", "files"));
    let read = of(manifest.documents_read(), "record", "records");
    let print: String = manifest.fingerprint.chars().take(12).collect();
    format!("{files}, {read} read, {} kept · corpus {print}", of(size.documents, "document", "documents"))
}

/// The figures to see first.
pub(super) fn tiles(manifest: &Manifest) -> String {
    let (size, read) = (kept(manifest), manifest.documents_read());
    let held_out = format!("{} held out", count(manifest.validation.documents));
    let dropped = read.saturating_sub(size.documents);
    let tiles = [
        tile("tokens", &scaled(size.tokens), &format!("{} held out", scaled(manifest.validation.tokens))),
        tile("text", &bytes(size.bytes), "clean, in UTF-8"),
        tile("documents", &scaled(size.documents), &held_out),
        tile("bytes per token", &ratio(size.bytes, size.tokens), &format!("vocabulary of {}", count(manifest.vocab_size.into()))),
        tile("left out", &share(dropped, read), &format!("{} of {}", count(dropped), of(read, "record", "records"))),
    ];
    format!("<div class=\"tiles\">\n{}</div>\n", tiles.concat())
}

/// Each source with what it gave.
pub(super) fn sources(manifest: &Manifest) -> String {
    let sources = &manifest.composition.sources;
    if sources.is_empty() {
        return note("This corpus was prepared before sources were counted.");
    }
    let whole: u64 = sources.iter().map(|source| source.size().bytes).sum();
    let mut order: Vec<_> = sources.iter().collect();
    order.sort_by_key(|source| std::cmp::Reverse(source.size().bytes));
    let bar = |source: &&crate::composition::Source| {
        let size = source.size().bytes;
        Bar { name: source.name.clone(), value: size, note: format!("{}, {}", bytes(size), share(size, whole)) }
    };
    let drawn: Vec<Bar> = order.iter().take(ROWS).map(bar).collect();
    let row = |source: &&crate::composition::Source| {
        let size = source.size();
        let numbers = [
            count(source.files),
            count(source.read),
            // The only document of a corpus has a part in both splits.
            count(size.documents.min(kept(manifest).documents)),
            bytes(size.bytes),
            count(size.tokens),
            share(size.tokens, kept(manifest).tokens),
            count(source.validation.documents),
        ];
        [Cell::name(&source.name)].into_iter().chain(numbers.map(Cell::Number)).collect::<Vec<_>>()
    };
    let rows: Vec<_> = order.iter().take(ROWS).map(row).collect();
    let head = ["source", "files", "records", "documents kept", "text", "tokens", "share of tokens", "held out"];
    bars(&drawn) + &table(&head, &rows) + &hidden(order.len())
}

fn hidden(rows: usize) -> String {
    rows.checked_sub(ROWS + 1).map_or_else(String::new, |more| {
        note(&format!("{} with less are not shown; manifest.json has all.", count(more as u64 + 1)))
    })
}

/// What was dropped, why and where.
pub(super) fn dropped(manifest: &Manifest) -> String {
    let read = manifest.documents_read();
    let mut order: Vec<_> = manifest.dropped.iter().filter(|(_, count)| **count > 0).collect();
    if order.is_empty() {
        return note("Nothing was left out.");
    }
    order.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let name = |reason: &Reason| reason.to_string().replace('-', " ");
    let bar = |(reason, dropped): &(&Reason, &u64)| Bar {
        name: name(reason),
        value: **dropped,
        note: format!("{}, {}", count(**dropped), share(**dropped, read)),
    };
    let drawn: Vec<Bar> = order.iter().map(bar).collect();
    let row = |(reason, _): &(&Reason, &u64)| {
        let places = manifest.examples.get(reason).into_iter().flatten().take(EXAMPLES).cloned().collect();
        vec![Cell::Text(name(reason)), Cell::Foreign(places)]
    };
    let rows: Vec<_> = order.iter().map(row).collect();
    let remark = "Shares are of all records. Examples are the first places of each reason, a file and a line; what stood there is not \
                  shown.";
    bars(&drawn) + &note(remark) + &table(&["reason", "for example"], &rows)
}

/// A language as people call it.
fn language(code: &str) -> String {
    let name = whatlang::Lang::from_code(code).map(whatlang::Lang::eng_name);
    name.map_or_else(|| if code == "und" { "not told".into() } else { code.to_owned() }, |name| format!("{name} ({code})"))
}

/// How documents are spread over languages.
pub(super) fn languages(manifest: &Manifest) -> String {
    let languages = manifest.composition.languages.iter();
    let mut counts: Vec<(&str, u64)> = languages.map(|(code, measure)| (code.as_str(), measure.documents)).collect();
    let whole: u64 = counts.iter().map(|(_, documents)| documents).sum();
    if whole == 0 {
        return note("No document's language is known.");
    }
    counts.sort_by_key(|&(_, documents)| std::cmp::Reverse(documents));
    let bar = |&(code, documents): &(&str, u64)| Bar {
        name: language(code),
        value: documents,
        note: format!("{}, {}", count(documents), share(documents, whole)),
    };
    let drawn: Vec<Bar> = counts.iter().take(ROWS).map(bar).collect();
    let by = "Languages are told by script and trigrams of a document's beginning; of short texts they may be wrong.";
    bars(&drawn) + &hidden(counts.len()) + &note(&format!("{} {by}", drawn_note(manifest)))
}

fn drawn_note(manifest: &Manifest) -> String {
    let composition = &manifest.composition;
    let drawn: u64 = composition.languages.values().map(|measure| measure.documents).sum();
    match composition.sampled_one_in {
        0 | 1 => "Of every document.".into(),
        one_in => format!("Of {} documents, about one in {}, that their texts drew.", count(drawn), count(one_in)),
    }
}

/// How documents are spread over lengths.
pub(super) fn lengths(manifest: &Manifest) -> String {
    let lengths = &manifest.composition.lengths;
    let whole: u64 = lengths.iter().sum();
    let first = lengths.iter().position(|&documents| documents > 0).unwrap_or(0);
    let bar = |(power, &documents): (usize, &u64)| Bar {
        name: octave(power),
        value: documents,
        note: format!("{}, {}", count(documents), share(documents, whole)),
    };
    let drawn: Vec<Bar> = lengths.iter().enumerate().skip(first).map(bar).collect();
    if drawn.is_empty() {
        return note("This corpus was prepared before lengths were counted.");
    }
    let size = kept(manifest);
    let separators = manifest.train.documents + manifest.validation.documents;
    let mean = ratio(size.tokens.saturating_sub(separators), size.documents);
    bars(&drawn) + &note(&format!("Documents by tokens, each row twice as long as the one above; {mean} tokens on average."))
}

/// Equal and nearly equal documents, and passages that stood before.
pub(super) fn copies(manifest: &Manifest, sizes: &[u64]) -> String {
    let curation = &manifest.curation;
    let equal = manifest.dropped.get(&Reason::Duplicate).copied().unwrap_or(0);
    let mut out = pairs(&[("equal to an earlier one", of(equal, "document", "documents"))]);
    match &curation.near {
        Some(near) => {
            out += &heading("Near copies");
            out += &pairs(&[
                ("left out", of(near.copies, "document", "documents")),
                ("clusters", count(near.clusters)),
                ("the largest", of(near.largest, "document", "documents")),
            ]);
            let bar = |(power, &clusters): (usize, &u64)| Bar { name: octave(power), value: clusters, note: count(clusters) };
            let drawn: Vec<Bar> = sizes.iter().enumerate().skip(1).map(bar).collect();
            if !drawn.is_empty() {
                out += &(heading("Clusters by documents") + &bars(&drawn));
            }
            out += &note("The first document of each cluster is kept; near-duplicates.jsonl names all.");
            out += &near.rules.as_ref().map_or_else(String::new, |rules| note(&threshold(rules)));
        }
        None => out += &note("Near copies were not looked for."),
    }
    let passages = [
        ("Repeated paragraphs", &curation.paragraphs, "Paragraphs of earlier documents"),
        ("Repeated runs of text", &curation.substrings, "Long runs of text that stood before"),
    ];
    for (title, cuts, what) in passages {
        out += &match cuts {
            Some(cuts) => heading(title) + &cut(manifest, cuts),
            None => note(&format!("{what} were not looked for.")),
        };
    }
    out
}

/// How near a near copy is.
fn threshold(rules: &NearConfig) -> String {
    let NearConfig { ngram_words, buckets, hashes_per_bucket, .. } = rules;
    let threshold = rules.threshold();
    let found = [0.5, threshold, 0.9].map(|similarity| percent(rules.found(similarity)));
    format!(
        "Documents are near copies where all {hashes_per_bucket} hashes of one of {buckets} buckets are equal. The threshold that follows \
         is (1 / {buckets})^(1 / {hashes_per_bucket}) = {} of their runs of {ngram_words} words in common: of such pairs {} are found, \
         {} of those that share 50 %, {} of those that share 90 %. What is near to a near copy is in its cluster.",
        percent(threshold),
        found[1],
        found[0],
        found[2],
    )
}

/// Passages that were cut.
fn cut(manifest: &Manifest, cuts: &Cuts) -> String {
    let whole = kept(manifest).bytes + cuts.bytes;
    pairs(&[
        ("passages cut", count(cuts.passages)),
        ("text", format!("{}, {} of this and what is left", bytes(cuts.bytes), share(cuts.bytes, whole))),
        ("cut from", of(cuts.documents, "document", "documents")),
        ("left out, too little was left", of(cuts.dropped, "document", "documents")),
    ])
}

/// Counts of what scrubbing took out.
pub(super) fn personal(manifest: &Manifest) -> String {
    let scrubbed = &manifest.curation.scrubbed;
    if scrubbed.is_empty() {
        return note("Nothing was taken out: scrubbing was not asked for, or found nothing.");
    }
    let rows: Vec<_> = scrubbed
        .iter()
        .map(|(kind, &times)| vec![Cell::Text(kind.name().replace('-', " ")), Cell::Number(count(times))])
        .collect();
    table(&["kind", "times taken out"], &rows) + &note("Counts only; what was found is kept nowhere.")
}

/// What of evaluation sets was met.
pub(super) fn contamination(manifest: &Manifest) -> String {
    let sets = &manifest.curation.contamination;
    if sets.is_empty() {
        return note("No evaluation set was looked for.");
    }
    let rows: Vec<_> = sets
        .iter()
        .map(|(set, overlap)| {
            let numbers = [
                count(overlap.items),
                count(overlap.short),
                count(overlap.met),
                share(overlap.met, overlap.items.saturating_sub(overlap.short)),
                count(overlap.documents),
            ];
            [Cell::name(set)].into_iter().chain(numbers.map(Cell::Number)).collect::<Vec<_>>()
        })
        .collect();
    let head = ["set", "items", "too short to tell", "met", "share met", "documents that hold one"];
    table(&head, &rows) + &note("contamination.jsonl names items and documents.")
}

/// What was repaired in documents that were kept, and the lines that rules took out of them.
pub(super) fn mended(manifest: &Manifest) -> String {
    let repaired = manifest.repaired.iter();
    let removed = manifest.curation.removed_lines.iter();
    let lines = removed.map(|(rule, times)| (format!("lines removed: {}", rule.replace('-', " ")), times));
    let rows: Vec<_> = repaired
        .map(|(what, times)| (what.replace('-', " "), times))
        .chain(lines)
        .map(|(what, &times)| vec![Cell::Text(what), Cell::Number(count(times))])
        .collect();
    if rows.is_empty() { note("Nothing needed mending.") } else { table(&["what", "times"], &rows) }
}

/// How text becomes tokens, by source and by language.
pub(super) fn tokenizer(manifest: &Manifest) -> String {
    let composition = &manifest.composition;
    let rows = [
        ("vocabulary", of(manifest.vocab_size.into(), "id", "ids")),
        ("bytes on the disk", of(manifest.token_bytes.into(), "a token", "a token")),
        ("bytes per token, train", ratio(manifest.train.bytes, manifest.train.tokens)),
        ("bytes per token, held out", ratio(manifest.validation.bytes, manifest.validation.tokens)),
    ];
    let row = |(name, measure): (String, &Measure)| {
        let numbers = [
            count(measure.documents),
            ratio(measure.bytes, measure.tokens),
            ratio(measure.chars, measure.tokens),
            ratio(measure.tokens, measure.words),
        ];
        [Cell::name(&name)].into_iter().chain(numbers.map(Cell::Number)).collect::<Vec<_>>()
    };
    let by = |title: &str, mut measures: Vec<(String, &Measure)>| {
        measures.retain(|(_, measure)| measure.documents > 0);
        measures.sort_by_key(|(_, measure)| std::cmp::Reverse(measure.bytes));
        let all = measures.len();
        let rows: Vec<_> = measures.into_iter().take(ROWS).map(row).collect();
        if rows.is_empty() {
            return String::new();
        }
        let head = [title, "documents", "bytes per token", "characters per token", "tokens per word"];
        heading(&format!("By {title}")) + &table(&head, &rows) + &hidden(all)
    };
    let sources = composition.sources.iter().map(|source| (source.name.clone(), &source.sample)).collect();
    let languages = composition.languages.iter().map(|(code, measure)| (language(code), measure)).collect();
    let what = "Where a script sets no spaces, each character is a word. Separators are not counted.";
    pairs(&rows) + &by("source", sources) + &by("language", languages) + &note(&format!("{} {what}", drawn_note(manifest)))
}

/// What tells this corpus from others.
pub(super) fn fingerprints(manifest: &Manifest) -> String {
    let prints = &manifest.fingerprints;
    let rows = [
        ("corpus", manifest.fingerprint.clone()),
        ("inputs", prints.inputs.clone()),
        ("configuration", prints.config.clone()),
        ("tokenizer.json", prints.tokenizer.clone()),
    ];
    let rows: Vec<_> = rows.into_iter().filter(|(_, print)| !print.is_empty()).collect();
    pairs(&rows) + &note("BLAKE3. The corpus' own is of inputs and configuration; checkpoints carry it.")
}
