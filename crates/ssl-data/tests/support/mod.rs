//! What several tests of preparations need: a folder's content, somebody who says stop, and the sets of real data.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use ssl_data::Error;
use ssl_data::config::DataConfig;
use ssl_data::manifest::{MANIFEST, Manifest};
use ssl_data::prepare::{Silent, Watch, prepare};

/// The files of a folder by their names.
pub(crate) type Content = BTreeMap<PathBuf, Vec<u8>>;

/// Everything in a corpus folder, but for how long it took.
pub(crate) fn content(dir: &Path) -> Content {
    let mut files = Content::new();
    for entry in fs::read_dir(dir).expect("lists") {
        let path = entry.expect("lists").path();
        let bytes = fs::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        files.insert(path.file_name().expect("a name").into(), bytes);
    }
    let manifest = files.get_mut(Path::new(MANIFEST)).expect("a manifest");
    let mut parsed: Manifest = serde_json::from_slice(manifest).expect("a manifest");
    parsed.stages.iter_mut().for_each(|stage| stage.seconds = 0.0);
    *manifest = serde_json::to_vec(&parsed).expect("JSON");
    files
}

/// The content of the corpus that is prepared at one go.
pub(crate) fn expected(config: &DataConfig) -> Content {
    let dir = tempfile::tempdir().expect("a temporary folder");
    prepare(config, dir.path(), &Silent).expect("prepares");
    content(dir.path())
}

/// Says stop at the `after`th question, and from then on.
pub(crate) struct StopAfter(AtomicU64, u64);

impl StopAfter {
    pub(crate) fn new(after: u64) -> Self {
        Self(AtomicU64::new(0), after)
    }
}

impl Watch for StopAfter {
    fn stage(&self, _: &'static str, _: u64, _: Option<u64>, _: u64) {}

    fn stop(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) >= self.1
    }
}

/// Checks that one thread and three give the same corpus.
pub(crate) fn threads_change_nothing(config: &DataConfig) {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| expected(config))
    };
    assert!(with(1) == with(3));
}

/// Checks that a run that was stopped leaves no corpus, and that the next makes the one that it would have made. `step` says how many
/// questions later, after so many, the next is stopped; what comes back is how many there were.
pub(crate) fn stops_change_nothing(config: &DataConfig, step: impl Fn(u64) -> u64) -> u64 {
    let expected = expected(config);
    let mut stops = 0;
    loop {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let result = prepare(config, dir.path(), &StopAfter::new(stops));
        let done = result.is_ok();
        assert!(done || matches!(result, Err(Error::Interrupted { .. })), "{result:?}");
        assert_eq!(dir.path().join(MANIFEST).exists(), done);
        prepare(config, dir.path(), &Silent).expect("prepares");
        assert!(content(dir.path()) == expected, "stopped after {stops} questions");
        if done {
            return stops;
        }
        stops += step(stops);
    }
}

/// A folder of the sets of real data, if they lie beside or above the repository.
#[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.map(|dir| dir.join("shared/data").join(name)).find(|dir| dir.is_dir());
    if found.is_none() {
        println!("skipped: shared/data/{name} is not there");
    }
    found
}

/// What a gzip file holds.
pub(crate) fn unpack(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    MultiGzDecoder::new(file).read_to_end(&mut bytes).expect("unpacks");
    bytes
}
