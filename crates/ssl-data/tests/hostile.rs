//! Texts that were written to break their reader, and those that break one by chance.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;
use ssl_data::document::BORDER;
use ssl_data::extract::main_text;
use ssl_data::filter::FilterConfig;
use ssl_data::scrub::{Scrub, ScrubConfig};
use ssl_data::source::warc::{Archive, Entry};

fn scrub(names: &[&str]) -> Scrub {
    let list = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(list.path(), names.join("\n")).expect("writes");
    let names = (!names.is_empty()).then(|| list.path().to_path_buf());
    Scrub::new(&ScrubConfig { names, ..ScrubConfig::default() }).expect("a scrub")
}

fn scrubbed(scrub: &Scrub, text: &str) -> String {
    scrub.scrub(text, &mut BTreeMap::new()).unwrap_or_else(|| text.to_owned())
}

#[test]
fn a_link_ends_where_its_characters_end() {
    let scrub = scrub(&[]);
    assert_eq!(scrubbed(&scrub, "见 https://a.org/?token=abc，请点击这里"), "见 https://a.org/?token=<credentials>，请点击这里");
    let prose = "http://h:80，微博@user";
    assert_eq!(scrubbed(&scrub, prose), prose);
    let long = format!("https://a.org/?token={}", "中".repeat(700));
    assert_eq!(scrubbed(&scrub, &long), long);
}

#[test]
fn no_value_goes_from_one_side_of_a_pair_into_the_other() {
    let pair = format!("see https://x.org/?token=abc{BORDER}siehe dort");
    assert_eq!(scrubbed(&scrub(&[]), &pair), format!("see https://x.org/?token=<credentials>{BORDER}siehe dort"));
}

#[test]
fn a_name_within_a_longer_one_that_does_not_stand_alone_is_found() {
    let scrub = scrub(&["Ann", "Ann Lee"]);
    assert_eq!(scrubbed(&scrub, "Ann Leeds wrote to Ann Lee."), "<name> Leeds wrote to <name>.");
}

#[test]
fn documents_of_a_few_words_are_judged() {
    let every = json!({ "gopher-repetition": {}, "gopher-quality": { "min-words": 0 }, "c4": {}, "fineweb": {} });
    let filter: FilterConfig = serde_json::from_value(every).expect("a configuration");
    for text in ["", "Hello", "1 2 3 4 wordwordwordwordwordwordwordwordwordword", "a b c d e", "中", "\n\n"] {
        // Which rule it breaks does not matter: that it is asked without a fault does.
        let _ = filter.judge(text);
    }
}

#[test]
fn white_space_of_preformatted_text_stands_as_it_was() {
    let story = "<p>Words that tell a story, long enough to be the main text of a page about programs and people.</p>".repeat(4);
    let code = "<pre><code>def <span>foo</span>(<b>x</b>):\n    <i>return</i> x\n</code></pre>";
    let text = main_text(&format!("<html><body><article>{story}{code}{story}</article></body></html>"));
    assert!(text.contains("def foo(x):\n    return x\n"), "{text}");
}

#[test]
fn a_json_list_is_refused_without_its_text() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("a.jsonl"), "\"mail jane@example.org\"\n{\"text\": 13912345678}\n{\"text\": \"fine\"}\n")
        .expect("writes");
    let config = json!({ "paths": [dir.path().join("a.jsonl")], "tokenizer": { "char": {} }, "validation-fraction": 0.0 });
    let config = serde_json::from_value(config).expect("a configuration");
    let manifest = ssl_data::prepare::prepare(&config, &dir.path().join("corpus"), &ssl_data::prepare::Silent).expect("a corpus");
    let told = serde_json::to_string(&manifest).expect("json");
    assert!(!told.contains("jane") && !told.contains("13912345678"), "{told}");
    assert!(told.contains("a JSON object") || told.contains("not-json"), "{told}");
}

/// Each of many records was once copied together with all that follows it: hours.
#[test]
fn a_length_that_leads_over_many_records_costs_no_square() {
    let mut file = b"WARC/1.0\r\nContent-Length: 16000000\r\n\r\n".to_vec();
    while file.len() < 8 << 20 {
        file.extend_from_slice(b"WARC/1.0\r\nContent-Length: 1\r\n\r\nx\r\n\r\n");
    }
    let (mut archive, mut source, mut records) = (Archive::new(64 << 20), &file[..], 0_u64);
    let begun = Instant::now();
    while let Some(entry) = archive.next(&mut source).expect("memory is read") {
        records += u64::from(matches!(entry, Entry::Record(_)));
    }
    assert!(records > 200_000, "{records}");
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A block of chance in place of a tar's head is damaged or the end, never a fault of ours.
    #[test]
    fn any_block_is_read_as_a_tar(mut block in proptest::collection::vec(any::<u8>(), 512..1100), first in prop_oneof![Just(0x80_u8), any::<u8>()]) {
        block[148] = first;
        let file = tempfile::Builder::new().suffix(".tar").tempfile().expect("a temporary file");
        std::fs::write(file.path(), &block).expect("writes");
        let config = json!({ "paths": [file.path()], "tokenizer": { "char": {} } });
        let config = serde_json::from_value(config).expect("a configuration");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let fault = ssl_data::prepare::prepare(&config, dir.path(), &ssl_data::prepare::Silent);
        prop_assert!(fault.is_err());
    }

    #[test]
    fn any_text_is_scrubbed_and_judged(text in "[ -~中文é\u{1e}\n]{0,200}") {
        let clean = scrubbed(&scrub(&["Ann"]), &text);
        prop_assert_eq!(clean.matches(BORDER).count(), text.matches(BORDER).count());
        let every = json!({ "gopher-repetition": {}, "gopher-quality": {}, "c4": {}, "fineweb": {}, "language": {} });
        let filter: FilterConfig = serde_json::from_value(every).expect("a configuration");
        let _ = filter.judge(&text);
    }
}
