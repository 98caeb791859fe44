//! Files that end in `.html`.
#![no_main]

#[path = "../read.rs"]
mod read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = read::read(".html", "auto", bytes);
});
