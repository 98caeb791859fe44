//! Curates the documents of JSONL files and says how fast, for `cargo xtask bench data` and for trying rules.
//!
//! ```text
//! curate filter FILE [RULES]     documents a second through all filters, or those of a JSON object like [data.filter]
//! curate judge FILE [RULES]      one line a document: the rule that it broke, or "kept"
//! curate near FILE [NEAR]        documents a second through near de-duplication, and the clusters
//! curate clusters FILE [NEAR]    one line a document: the number of the first of its cluster
//! curate scrub FILE              documents a second through scrubbing, and the counts
//! curate language FILE           one line a document: its language and how sure that is
//! ```
//!
//! What is timed runs once unmeasured and then for a second at least: one round over a small file is too short to measure.

use std::time::Instant;

use rayon::prelude::*;
use serde_json::Value;
use ssl_data::dedup::clusters::{Clusters, TABLE};
use ssl_data::dedup::{MinHash, NearConfig};
use ssl_data::filter::{FilterConfig, identify};
use ssl_data::scrub::{Counts, Scrub, ScrubConfig};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, verb, file, rest @ ..] = &args[..] else { return Err("a verb and a file".into()) };
    let all = r#"{"gopher-repetition": {}, "gopher-quality": {}, "c4": {}, "fineweb": {}}"#;
    let text = std::fs::read_to_string(file)?;
    let texts = text.lines().map(|line| {
        let value: Value = serde_json::from_str(line)?;
        Ok(value["text"].as_str().ok_or("no text")?.to_owned())
    });
    let texts: Vec<String> = texts.collect::<Result<_>>()?;
    let report = |seconds: f64, more: String| {
        let documents = texts.len();
        println!(
            "{{\"seconds\": {seconds}, \"documents\": {documents}, \"documents-per-second\": {}, {more}}}",
            documents as f64 / seconds
        );
    };
    match verb.as_str() {
        "filter" | "judge" => {
            let rules: FilterConfig = serde_json::from_str(rest.first().map_or(all, String::as_str))?;
            let judge = || -> Vec<_> { texts.par_iter().map(|text| rules.judge(text).err()).collect() };
            if verb == "filter" {
                let (judged, seconds) = timed(judge);
                report(seconds, format!("\"kept\": {}", judged.iter().filter(|rule| rule.is_none()).count()));
            } else {
                for rule in judge() {
                    println!("{}", rule.map_or("kept".into(), |rule| rule.to_string()));
                }
            }
        }
        "near" | "clusters" => {
            let config: NearConfig = serde_json::from_str(rest.first().map_or("{}", String::as_str))?;
            let cluster = || -> Result<Clusters> {
                let minhash = MinHash::new(&config);
                let keys: Vec<_> = texts.par_iter().map(|text| minhash.keys(text)).collect();
                let mut clusters = Clusters::new(texts.len() as u32);
                for bucket in 0..config.buckets {
                    let keys = || Ok(keys.iter().map(|keys| Ok(keys.as_ref().map_or(0, |keys| keys[bucket]))));
                    clusters.join_equal(keys, TABLE)?;
                }
                Ok(clusters)
            };
            if verb == "near" {
                let (clusters, seconds) = timed(cluster);
                let counts = clusters?.counts();
                report(seconds, format!("\"copies\": {}, \"clusters\": {}", counts.copies, counts.clusters));
            } else {
                let mut clusters = cluster()?;
                for document in 0..texts.len() as u32 {
                    println!("{}", clusters.first(document));
                }
            }
        }
        "scrub" => {
            let scrub = Scrub::new(&ScrubConfig::default())?;
            let (counts, seconds) = timed(|| {
                let counts = texts.par_iter().map(|text| {
                    let mut counts = Counts::new();
                    let _ = scrub.scrub(text, &mut counts);
                    counts
                });
                counts.reduce(Counts::new, |mut all, one| {
                    for (kind, count) in one {
                        *all.entry(kind).or_default() += count;
                    }
                    all
                })
            });
            report(seconds, format!("\"counts\": {}", serde_json::to_string(&counts)?));
        }
        "language" => {
            for text in &texts {
                let (language, confidence) = identify(text);
                println!("{language} {confidence:.4}");
            }
        }
        _ => return Err(format!("{verb} is no verb").into()),
    }
    Ok(())
}

/// What `work` gives, and the seconds that it takes.
fn timed<T>(work: impl Fn() -> T) -> (T, f64) {
    let mut result = work();
    let (begin, mut rounds) = (Instant::now(), 0);
    while rounds == 0 || begin.elapsed().as_secs_f64() < 1.0 {
        result = work();
        rounds += 1;
    }
    (result, begin.elapsed().as_secs_f64() / f64::from(rounds))
}
