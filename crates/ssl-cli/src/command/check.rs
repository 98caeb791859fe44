//! `ssl check`: every fault of a run file at once, or the run in full.

use anyhow::Result;
use serde_json::json;

use crate::args::RunFile;
use crate::outcome::Outcome;
use crate::run::RunConfig;

/// Checks and prints.
pub(crate) fn run(args: &RunFile) -> Result<Outcome> {
    let loaded = RunConfig::load(&args.file, &args.overrides)?;
    Ok(Outcome { json: json!({ "run": loaded.value }), human: loaded.resolved, code: 0 })
}
