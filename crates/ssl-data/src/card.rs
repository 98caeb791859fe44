//! `card.html`: what a corpus is made of, on one page that needs no other file.
//!
//! The page is a function of the manifest and of the reports beside it: the same corpus, the same bytes, however long it took. It shows
//! counts and places, never what was dropped or taken out: that may be somebody's secret, or an attack on whoever looks.
//!
//! Source of what is asked: Gebru et al. 2021, "Datasheets for Datasets"; Bender and Friedman 2018, "Data Statements".

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::manifest::{Manifest, NEAR_DUPLICATES};

mod figures;
mod html;
mod parts;

use html::{escape, section};

/// The page's name inside a corpus folder.
pub const CARD: &str = "card.html";

/// Clusters of near copies whose sizes are told; of more, only the sums of the manifest are.
const CLUSTERS: usize = 1 << 20;

/// Writes the card of the corpus in `dir`, whose manifest is `manifest`, whole or not at all.
///
/// # Errors
/// When a report cannot be read, or the disk refuses.
pub fn write(manifest: &Manifest, dir: &Path) -> Result<()> {
    let sizes = manifest.curation.near.as_ref().map_or(Ok(Vec::new()), |_| cluster_sizes(&dir.join(NEAR_DUPLICATES)))?;
    let page = render(manifest, &sizes);
    let path = dir.join(CARD);
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(page.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|fault| fault.error)
    };
    write().map(drop).map_err(|source| Error::io("write", &path, source))
}

/// How many clusters there are of 2^k up to 2^(k + 1) - 1 documents, by k; nothing where there are too many to be counted here.
fn cluster_sizes(path: &Path) -> Result<Vec<u64>> {
    #[derive(serde::Deserialize)]
    struct Line {
        cluster: u64,
    }
    let io = |source| Error::io("read", path, source);
    let mut documents = std::collections::BTreeMap::<u64, u64>::new();
    for line in BufReader::new(File::open(path).map_err(io)?).lines() {
        let line: Line =
            serde_json::from_str(&line.map_err(io)?).map_err(|source| Error::Manifest { path: path.into(), source })?;
        *documents.entry(line.cluster).or_default() += 1;
        if documents.len() > CLUSTERS {
            return Ok(Vec::new());
        }
    }
    let mut sizes = Vec::new();
    for size in documents.into_values() {
        let power = size.ilog2() as usize;
        sizes.resize(sizes.len().max(power + 1), 0);
        sizes[power] += 1;
    }
    Ok(sizes)
}

/// The page.
fn render(manifest: &Manifest, cluster_sizes: &[u64]) -> String {
    let parts = [
        parts::tiles(manifest),
        section("sources", "Where it came from", &parts::sources(manifest)),
        section("dropped", "Left out", &parts::dropped(manifest)),
        section("languages", "Languages", &parts::languages(manifest)),
        section("lengths", "Lengths", &parts::lengths(manifest)),
        section("copies", "Copies", &parts::copies(manifest, cluster_sizes)),
        section("personal", "Personal data and secrets", &parts::personal(manifest)),
        section("contamination", "Evaluation sets", &parts::contamination(manifest)),
        section("mended", "Mended", &parts::mended(manifest)),
        section("tokenizer", "Tokenizer", &parts::tokenizer(manifest)),
        section("fingerprints", "Fingerprints", &parts::fingerprints(manifest)),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Data card</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>Data card</h1>\n<p>{}</p>\n</header>\n\
         {}<footer>Written by ssl {}. This file needs no other.</footer>\n</main>\n</body>\n</html>\n",
        include_str!("card/page.css"),
        escape(&parts::line(manifest)),
        parts.concat(),
        env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests;
