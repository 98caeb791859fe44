//! Files that end in `.tsv`.
#![no_main]

#[path = "../read.rs"]
mod read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = read::read(".tsv", "auto", bytes);
});
