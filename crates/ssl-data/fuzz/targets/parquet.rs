//! Files that end in `.parquet`.
#![no_main]

#[path = "../read.rs"]
mod read;

// The decoder panics on some files, which is caught and counted; libFuzzer's hook would end the process before. What nobody catches
// still does.
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| {
    let _ = read::read(".parquet", "auto", bytes);
});
