//! The page of a corpus whose names try to get out of it.

use std::collections::BTreeMap;

use super::*;
use crate::clean::Reason;
use crate::composition::{Composition, Measure, Size, Source};
use crate::decontaminate::Overlap;
use crate::dedup::NearConfig;
use crate::manifest::{Curation, Cuts, NearCopies, Split};
use crate::scrub::Kind;

/// A corpus with something in every part, whose names try to get out.
fn manifest() -> Manifest {
    let size = |documents, bytes, tokens| Size { documents, bytes, tokens };
    let measure = Measure { documents: 9, bytes: 900, chars: 300, words: 290, tokens: 200 };
    let source = |name: &str, train| Source {
        name: name.into(),
        files: 2,
        read: 15,
        train,
        validation: size(1, 100, 40),
        sample: measure,
    };
    Manifest {
        fingerprint: "f00d".into(),
        vocab_size: 4096,
        token_bytes: 2,
        files: 4,
        train: Split { documents: 18, bytes: 5000, tokens: 2000, shards: Vec::new() },
        validation: Split { documents: 2, bytes: 200, tokens: 80, shards: Vec::new() },
        dropped: BTreeMap::from([(Reason::Duplicate, 7), (Reason::NearDuplicate, 3)]),
        examples: BTreeMap::from([(Reason::Duplicate, vec!["<script>alert(1)</script>.txt:3".into(), "中文/书.txt:9".into()])]),
        curation: Curation {
            scrubbed: BTreeMap::from([(Kind::NationalId, 12)]),
            contamination: BTreeMap::from([("squad\"><b>".into(), Overlap { items: 10, short: 2, met: 4, documents: 5 })]),
            near: Some(NearCopies { clusters: 2, copies: 3, largest: 3, rules: Some(NearConfig::default()) }),
            paragraphs: Some(Cuts { passages: 41, bytes: 1300, documents: 33, dropped: 2, examples: Vec::new() }),
            substrings: Some(Cuts { passages: 1, bytes: 650, documents: 1, dropped: 0, examples: Vec::new() }),
            ..Curation::default()
        },
        composition: Composition {
            sources: vec![source("small </td>", size(8, 1000, 500)), source("large 中文", size(10, 4000, 1500))],
            lengths: vec![0, 0, 5, 15],
            sampled_one_in: 2,
            languages: BTreeMap::from([("cmn".into(), measure), ("und".into(), Measure { documents: 1, ..measure })]),
        },
        ..Manifest::default()
    }
}

#[test]
fn the_page_tells_every_part_and_lets_nothing_out() {
    let page = render(&manifest(), &[0, 2]);
    for text in [
        "&lt;script&gt;alert(1)&lt;/script&gt;.txt:3",
        "中文/书.txt:9",
        "small &lt;/td&gt;",
        "squad&quot;&gt;&lt;b&gt;",
        "Mandarin (cmn)",
        "national id",
        "12",
        "50 %",
        "2–3",
        "8–15",
        "f00d",
        "about one in 2",
        "(1 / 14)^(1 / 8) = 72 %",
        "5 % of those that share 50 %, 99.9 % of those that share 90 %",
        "Repeated paragraphs",
        "1.3 kB, 20 % of",
        "33 documents",
        "Repeated runs of text",
        "650 B",
    ] {
        assert!(page.contains(text), "no {text:?} in {page}");
    }
    for text in ["<script", "squad\"", "http:", "https:", "src=", "url("] {
        assert!(!page.contains(text), "{text:?} got in");
    }
    let at = |text| page.find(text).expect("is there");
    assert!(at("large 中文") < at("small &lt;/td&gt;"), "the largest source is first");
}

#[test]
fn elements_close_in_order() {
    let page = render(&manifest(), &[0, 2]);
    let mut open = Vec::new();
    for tag in page.split('<').skip(1).filter_map(|rest| rest.split(['>', ' ', '\n']).next()) {
        match tag.strip_prefix('/') {
            _ if matches!(tag, "!doctype" | "meta" | "br" | "rect") => {}
            None => open.push(tag),
            Some(name) => assert_eq!(open.pop(), Some(name)),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn an_empty_or_older_manifest_has_a_page() {
    let page = render(&Manifest::default(), &[]);
    assert!(page.contains("prepared before") && page.contains("Nothing was left out") && !page.contains("NaN"));
}

#[test]
fn clusters_are_counted_by_size() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join(NEAR_DUPLICATES);
    let line = |cluster: u64| format!("{{\"cluster\":{cluster},\"document\":\"a:1\",\"kept\":true}}\n");
    std::fs::write(&path, [3, 9, 3, 9, 3, 4, 9, 4, 9, 9].map(line).concat()).expect("writes");
    // Clusters of three, five and two documents.
    assert_eq!(cluster_sizes(&path).expect("reads"), [0, 2, 1]);
    std::fs::write(&path, "no JSON\n").expect("writes");
    assert!(matches!(cluster_sizes(&path), Err(Error::Manifest { .. })));
    assert!(matches!(cluster_sizes(&dir.path().join("none")), Err(Error::Io { .. })));
}
