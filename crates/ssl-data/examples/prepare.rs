//! Prepares a corpus and says how long each stage took and how much memory that needed at most, as one JSON object.
//!
//! ```text
//! prepare SECTION.json FOLDER     SECTION.json is what a run's [data] says, as JSON
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::fs;
use std::path::Path;

use ssl_data::config::DataConfig;
use ssl_data::prepare::{Silent, prepare};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [section, folder] = &args[..] else { return Err("prepare SECTION.json FOLDER".into()) };
    let config: DataConfig = serde_json::from_slice(&fs::read(section)?)?;
    if let Some(fault) = config.validate().first() {
        return Err(format!("{}: {} ({})", fault.path, fault.message, fault.hint).into());
    }
    let manifest = prepare(&config, Path::new(folder), &Silent)?;
    let report = serde_json::json!({
        "stages": manifest.stages,
        "train": manifest.train.documents,
        "validation": manifest.validation.documents,
        "dropped": manifest.dropped,
        "curation": manifest.curation,
        "peak-resident-mib": peak_mib(),
    });
    println!("{report}");
    Ok(())
}

/// The most memory that this process ever had in use, where the system says so.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? >> 10)
}
