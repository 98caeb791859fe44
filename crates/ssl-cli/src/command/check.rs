//! `ssl check`: every fault of a file at once, or the file in full; of a run, with what it will cost.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::adapt::FinetuneConfig;
use crate::args::RunFile;
use crate::assemble::{Session, computed, home};
use crate::budget::Budget;
use crate::compare::CompareConfig;
use crate::diagnose::Loaded;
use crate::made_up;
use crate::outcome::Outcome;
use crate::progress::words;
use crate::run::RunConfig;
use crate::suite::SuiteConfig;

/// Checks and prints.
pub(crate) fn run(session: &Session, args: &RunFile) -> Result<Outcome> {
    // What a file is for follows from its tables; what cannot be read is told as a run's fault.
    match kind(&args.file) {
        Kind::Finetune => Ok(plain(&FinetuneConfig::load(&args.file, &args.overrides)?)),
        Kind::Compare => Ok(plain(&CompareConfig::load(&args.file, &args.overrides)?)),
        Kind::Suite => Ok(plain(&SuiteConfig::load(&args.file)?)),
        Kind::Run => of_run(session, args),
    }
}

enum Kind {
    Run,
    Finetune,
    Compare,
    Suite,
}

fn kind(path: &Path) -> Kind {
    let table = std::fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok()).unwrap_or_default();
    let has = |key: &str| table.contains_key(key);
    if has("arms") {
        Kind::Compare
    } else if has("task") {
        Kind::Finetune
    } else if has("tasks") {
        Kind::Suite
    } else {
        Kind::Run
    }
}

fn plain<T: Serialize>(loaded: &Loaded<T>) -> Outcome {
    Outcome { json: json!({ "run": loaded.value, "costs": null }), human: loaded.resolved.trim_end().to_owned(), code: 0 }
}

fn of_run(session: &Session, args: &RunFile) -> Result<Outcome> {
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
