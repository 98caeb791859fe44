//! Copies of real texts are found: news with known near copies, cross-posts, editions of one book; and what is no text is dropped.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;
use ssl_data::dedup::clusters::{Clusters, TABLE};
use ssl_data::dedup::{MinHash, NearConfig, Seen, TextHash};
use ssl_data::filter::{FilterConfig, Rule};

mod support;

use support::{data, unpack};

fn cluster(texts: &[String], config: &NearConfig) -> Clusters {
    let minhash = MinHash::new(config);
    let keys: Vec<_> = texts.iter().map(|text| minhash.keys(text)).collect();
    let mut clusters = Clusters::new(texts.len() as u32);
    for bucket in 0..config.buckets {
        clusters
            .join_equal(|| Ok(keys.iter().map(|keys| Ok(keys.as_ref().map_or(0, |keys| keys[bucket])))), TABLE)
            .expect("keys");
    }
    clusters
}

#[test]
fn near_copies_of_news_are_found_and_nothing_else() {
    let Some(dir) = data("messy/near-duplicates") else { return };
    let text = String::from_utf8(unpack(&dir.join("articles_1000.train.gz"))).expect("UTF-8");
    let (ids, texts): (Vec<_>, Vec<_>) =
        text.lines().filter_map(|line| line.split_once(' ')).map(|(id, text)| (id.to_owned(), text.to_owned())).unzip();
    let truth = fs::read_to_string(dir.join("articles_1000.truth")).expect("reads");
    let truth: BTreeSet<(&str, &str)> = truth
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(one, other)| (one.min(other.trim()), one.max(other.trim())))
        .collect();
    let mut clusters = cluster(&texts, &NearConfig::default());
    let mut found = BTreeSet::new();
    for one in 0..texts.len() {
        for other in 0..one {
            if clusters.first(one as u32) == clusters.first(other as u32) {
                found.insert((ids[one].as_str().min(&ids[other]), ids[one].as_str().max(&ids[other])));
            }
        }
    }
    let right = found.intersection(&truth).count() as f64;
    let (precision, recall) = (right / found.len() as f64, right / truth.len() as f64);
    println!("near copies: precision {precision:.3}, recall {recall:.3} of {} pairs", truth.len());
    assert!(precision >= 0.95 && recall >= 0.95, "precision {precision}, recall {recall}: {found:?} for {truth:?}");
}

#[test]
fn editions_of_a_book_are_one_cluster_among_other_books() {
    let Some(dir) = data("messy/editions") else { return };
    let names = ["2701-0.utf8.txt.gz", "2701.ascii.txt.gz", "moby10b.txt.gz"];
    let mut texts: Vec<String> =
        names.iter().map(|name| String::from_utf8_lossy(&unpack(&dir.join(name))).into_owned()).collect();
    let novels = dir.join("../../english-novels");
    for name in ["Conrad_Rover_1923.txt.gz", "Stevenson_Treasure_1883.txt.gz"] {
        texts.push(String::from_utf8_lossy(&unpack(&novels.join(name))).into_owned());
    }
    let mut clusters = cluster(&texts, &NearConfig::default());
    let firsts: Vec<u32> = (0..5).map(|document| clusters.first(document)).collect();
    assert_eq!(firsts, [0, 0, 0, 3, 4]);
}

#[test]
fn cross_posts_are_found() {
    let Some(dir) = data("messy/newsgroups-4") else { return };
    let archive = unpack(&dir.join("newsgroups-4.tar.gz"));
    let (mut at, mut posts, mut copies, mut seen) = (0, 0, 0, Seen::default());
    // A tar archive: a header of 512 bytes, the file, padding to 512.
    while let Some(header) = archive.get(at..at + 512).filter(|header| header[0] != 0) {
        let size = std::str::from_utf8(&header[124..136]).expect("octal digits").trim_matches(['\0', ' ']);
        let size = usize::from_str_radix(size, 8).expect("a size");
        let file = &archive[at + 512..at + 512 + size];
        if header[156] == b'0' || header[156] == 0 {
            posts += 1;
            let text = String::from_utf8_lossy(file);
            let body = text.split_once("\n\n").map_or("", |(_, body)| body);
            copies += u32::from(!seen.first(TextHash::of(body)));
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    assert_eq!((posts, copies), (4000, 421));
}

#[test]
fn a_picture_read_as_text_is_dropped() {
    let Some(dir) = data("messy/garbage") else { return };
    let text = fs::read_to_string(dir.join("garbage.txt")).expect("reads");
    let judge = |rules: serde_json::Value| {
        let rules: FilterConfig = serde_json::from_value(rules).expect("a configuration");
        rules.judge(&text).err()
    };
    let all = ["gopher-repetition", "c4", "fineweb", "gopher-quality"].map(|name| judge(json!({ name: {} })));
    println!("a picture: {all:?}");
    // It repeats nothing; the rules of words see that it has none.
    assert_eq!(all[3], Some(Rule::GopherLongWords));
    assert!(judge(json!({ "gopher-repetition": {}, "gopher-quality": {}, "c4": {}, "fineweb": {} })).is_some());
}
