//! Files that end in `.json`.
#![no_main]

#[path = "../read.rs"]
mod read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = read::read(".json", "auto", bytes);
});
