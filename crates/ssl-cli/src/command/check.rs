//! `ssl check`: every fault of a run file at once, or the run in full with what it will cost.

use anyhow::Result;
use serde_json::json;

use crate::args::RunFile;
use crate::assemble::{Session, computed, home};
use crate::budget::Budget;
use crate::made_up;
use crate::outcome::Outcome;
use crate::progress::words;
use crate::run::RunConfig;

/// Checks and prints.
pub(crate) fn run(session: &Session, args: &RunFile) -> Result<Outcome> {
    let loaded = RunConfig::load(&args.file, &args.overrides)?;
    let config = &loaded.value;
    let device = home(&config.model, &session.runtime()?);
    // A tokenizer file that is not there yet is no fault of the run file.
    let budget = made_up::vocab_size(config)
        .ok()
        .map(|vocab| Budget::of(config, vocab, computed(device, config.train.precision), device))
        .transpose()?;
    let costs = budget.as_ref().map(|budget| budget.json(config));
    let told = budget.map_or_else(String::new, |budget| {
        let params = words::count(budget.params);
        format!("# {params} parameters, {}\n# {}\n", budget.operations(config), budget.line())
    });
    let human = format!("{}\n{told}", loaded.resolved.trim_end());
    Ok(Outcome { json: json!({ "run": loaded.value, "costs": costs }), human, code: 0 })
}
