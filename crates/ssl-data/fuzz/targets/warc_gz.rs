//! Files that end in `.warc.gz`.
#![no_main]

#[path = "../read.rs"]
mod read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = read::read(".warc.gz", "auto", bytes);
});
