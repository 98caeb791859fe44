//! What is cut stood before, letter for letter, and what stood before at length is cut.

use proptest::prelude::*;

use super::super::Silent;
use super::draft::About;
use super::*;

/// What is left of texts, and what was cut; with room for so many keys, and seven files at once.
fn cut_all<F: Find>(find: &F, texts: &[String], room: usize) -> (Vec<(String, String)>, Cuts, Vec<String>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = draft::Writer::create(&dir.path().join("draft")).expect("creates");
    for (index, text) in texts.iter().enumerate() {
        let about = About { place: index.to_string(), ..About::default() };
        writer.push(text, TextHash::of(text), &about).expect("writes");
    }
    let draft = writer.finish().expect("finishes");
    let mut into = draft::Writer::create(&dir.path().join("left")).expect("creates");
    let mut dropped = Vec::new();
    let bounds = Bounds { room, fan: 7 };
    let cuts = cut_within(find, &draft, &mut into, 1, bounds, &Silent, |place| dropped.push(place.to_owned())).expect("cuts");
    let left = into.finish().expect("finishes");
    let left: Vec<Entry> = left.read(&Silent, stage::CUT).expect("opens").collect::<Result<_>>().expect("reads");
    (left.into_iter().map(|entry| (entry.about.place, entry.text)).collect(), cuts, dropped)
}

/// Letters that hardly repeat themselves.
fn noise(seed: u64, length: u64) -> String {
    (0..length).map(|n| char::from(b'a' + (crate::rng::hash(seed, 3, n) % 26) as u8)).collect()
}

fn left(texts: &[(String, String)]) -> Vec<&str> {
    texts.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn paragraphs_of_earlier_documents_are_cut_and_refrains_stay() {
    let notice = "All rights reserved. No part of this may be copied.";
    let texts = [
        format!("First text.\n\n{notice}\n\nIts end."),
        format!("Second text.\n\n{}", notice.to_uppercase()),
        "A refrain that comes again.\n\nA verse.\n\nA refrain that comes again.".into(),
        notice.to_owned(),
        "short\n\nFirst text.".into(),
    ];
    let (kept, cuts, dropped) = cut_all(&ParagraphConfig { min_chars: 20 }, &texts, 1000);
    assert_eq!(left(&kept), [texts[0].as_str(), "Second text.", &texts[2], &texts[4]]);
    assert_eq!((cuts.passages, cuts.documents, cuts.dropped), (2, 2, 1));
    assert_eq!(dropped, ["3"]);
    assert_eq!(cuts.examples[0].document, "1");
    assert!(cuts.examples[0].begins.starts_with("ALL RIGHTS"));
}

#[test]
fn passages_that_touch_at_a_space_of_any_kind_are_cut_once() {
    let (one, other) = (noise(1, 300), noise(2, 300));
    for space in (0..=0x3000).filter_map(char::from_u32).filter(|c| c.is_whitespace()) {
        let texts = [one.clone(), other.clone(), format!("{} {one}{space}{other}\nmore of it", noise(3, 40))];
        let (kept, cuts, _) = cut_all(&SubstringConfig { min_bytes: 200 }, &texts, 1000);
        assert_eq!((cuts.documents, cuts.bytes >= 600), (1, true), "{space:?}");
        assert!(
            left(&kept)[2].starts_with(&noise(3, 40)) && left(&kept)[2].ends_with("more of it"),
            "{space:?}: {}",
            left(&kept)[2]
        );
    }
}

#[test]
fn an_advertisement_within_sentences_is_cut_all_but_once() {
    let ad = noise(99, 90);
    let book: Vec<String> = (0..6).map(|n| noise(n, 700)).collect();
    let text = book.join(&ad);
    let other = format!("{}{ad}{}", noise(20, 300), noise(21, 300));
    let (kept, cuts, _) = cut_all(&SubstringConfig { min_bytes: 60 }, &[text, other], 1000);
    assert_eq!(cuts.passages, 5);
    // Bytes beside it that are equal by chance go with it: a letter in 26.
    let whole = format!("{}{ad}{}", book[0], book[1..].concat());
    assert!(whole.len() - kept[0].1.len() < 8, "{}", whole.len() - kept[0].1.len());
    assert!(!kept[1].1.contains(&ad[4..86]) && kept[1].1.len() > 590);
}

#[test]
fn a_long_repeat_is_followed_to_both_ends_and_never_beyond_a_text() {
    let shared = noise(1, 5000);
    let texts = [shared.clone(), format!("{}X{shared}Y{}", noise(2, 100), noise(3, 100)), shared[..2500].to_owned()];
    let (kept, cuts, dropped) = cut_all(&SubstringConfig { min_bytes: 100 }, &texts, 1000);
    assert_eq!(left(&kept), [&texts[0], &format!("{}XY{}", noise(2, 100), noise(3, 100))]);
    assert_eq!((cuts.bytes, cuts.passages), (7500, 2));
    assert_eq!(dropped, ["2"]);
}

#[test]
fn typesetting_parts_no_passage_and_words_stay_apart() {
    let words = |seed: u64, count: u64| (0..count).map(|n| noise(seed * 1000 + n, 5)).collect::<Vec<_>>();
    let (shared, text) = (words(1, 60), |seed| words(seed, 20).join(" "));
    let first = format!("{} “{}” {}", text(2), shared.join(" "), text(3));
    let second = format!("{}\n\n'{}'\n\n{}", text(4), shared.join("--\n"), text(5));
    let (kept, cuts, _) = cut_all(&SubstringConfig { min_bytes: 64 }, &[first.clone(), second], 1000);
    assert_eq!(left(&kept), [first, format!("{}\n\n''\n\n{}", text(4), text(5))]);
    assert_eq!((cuts.passages, cuts.bytes), (1, 60 * 5 + 59 * 3));
}

/// The table and the files are as small as can be, or hold everything.
#[test]
fn memory_does_not_change_what_is_cut() {
    let pick = |n: u64, k: u64| noise(if k.is_multiple_of(2) { 100 + n * 8 + k } else { crate::rng::hash(5, n, k) % 40 }, 150);
    let texts: Vec<String> = (0..60).map(|n| (0..8).map(|k| pick(n, k)).collect::<Vec<_>>().join("\n\n")).collect();
    let (substrings, paragraphs) = (SubstringConfig { min_bytes: 60 }, ParagraphConfig { min_chars: 100 });
    let (runs, whole) = (cut_all(&substrings, &texts, 1 << 20), cut_all(&paragraphs, &texts, 1 << 20));
    assert!(runs.1.passages >= 200 && whole.1.passages >= 190, "{:?} {:?}", runs.1, whole.1);
    for room in [1, 2, 30] {
        assert_eq!(cut_all(&substrings, &texts, room), runs, "{room}");
        assert_eq!(cut_all(&paragraphs, &texts, room), whole, "{room}");
    }
}

#[test]
fn white_space_around_a_passage_is_not_doubled() {
    let cases = [
        ("a [b] c", "a c"),
        ("a\n\n[b]\n\nc", "a\n\nc"),
        ("a [b]\n\nc", "a\n\nc"),
        ("a\n\n[b] c", "a\n\nc"),
        ("a[b] c", "a c"),
        ("a [b]", "a "),
        ("[b]c", "c"),
    ];
    for (text, expect) in cases {
        let range = text.find('[').expect("begins")..text.find(']').expect("ends") + 1;
        let range = with_space(text, range);
        assert_eq!(text[..range.start].to_owned() + &text[range.end..], expect, "{text:?}");
    }
}

#[test]
fn runs_of_one_character_end() {
    let (kept, _, _) = cut_all(&SubstringConfig { min_bytes: 64 }, &["=".repeat(100_000), "中".repeat(50_000)], 1000);
    assert!(kept.iter().all(|(_, text)| text.len() < 200), "{:?}", kept.iter().map(|(_, text)| text.len()).collect::<Vec<_>>());
}

/// Whether the window of `length` bytes at `at` of text `number` stands anywhere before.
fn stood_before(texts: &[String], number: usize, at: usize, length: usize) -> bool {
    let window = &texts[number].as_bytes()[at..at + length];
    texts[..number].iter().any(|text| text.as_bytes().windows(length).any(|other| other == window))
        || texts[number].as_bytes()[..at + length - 1].windows(length).any(|other| other == window)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    /// What is cut stood before, byte for byte where all bytes count; what is left holds no repeat of 1.5 times the length, but for those that cutting made;
    /// and how little fits changes nothing.
    #[test]
    fn cuts_are_repeats_and_long_repeats_are_cut(picks in proptest::collection::vec((0_u64..4, 0_usize..60, 40_usize..120), 1..12)) {
        const LENGTH: usize = 32;
        let texts: Vec<String> = picks.chunks(2).map(|parts| {
            parts.iter().map(|&(seed, from, length)| noise(seed, 200)[from..(from + length).min(200)].to_owned() + ".").collect()
        }).collect();
        let find = SubstringConfig { min_bytes: LENGTH };
        let (kept, cuts, _) = cut_all(&find, &texts, 1000);
        for room in [4, 9] {
            prop_assert_eq!(&cut_all(&find, &texts, room).0, &kept);
        }
        let mut repeats = 0;
        for (number, text) in texts.iter().enumerate() {
            let stood: Vec<bool> = (0..(text.len() + 1).saturating_sub(LENGTH)).map(|at| stood_before(&texts, number, at, LENGTH)).collect();
            let mut covered = vec![false; text.len()];
            stood.iter().enumerate().filter(|(_, stood)| **stood).for_each(|(at, _)| covered[at..at + LENGTH].fill(true));
            repeats += covered.iter().filter(|covered| **covered).count() as u64;
            // A text that has a window of 1.5 times the length that stood before lost something.
            let long = LENGTH * 3 / 2;
            let must = (0..(text.len() + 1).saturating_sub(long)).any(|at| stood_before(&texts, number, at, long));
            let now = kept.iter().find(|(place, _)| *place == number.to_string()).map_or("", |(_, text)| text);
            prop_assert!(!must || now.len() < text.len());
            prop_assert!(covered.iter().any(|covered| *covered) || now.len() == text.len());
        }
        prop_assert!(cuts.bytes <= repeats, "{} cut of {repeats}", cuts.bytes);
    }
}
