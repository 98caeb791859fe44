//! The page of a run.

use std::path::Path;

use anyhow::{Context, Result};
use ssl_data::manifest::Manifest;
use ssl_data::sampler::Sampler;
use ssl_torch::Runtime;
use ssl_train::report::Metrics;
use ssl_train::state::TrainState;

use crate::budget::Budget;
use crate::diagnose::Loaded;
use crate::page::{Facts, Page, Score};
use crate::progress::words;
use crate::run::RunConfig;

/// What was measured beside the training itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    /// The matrix rate of the machine, operations a second.
    pub(super) peak_flops: Option<f64>,
    /// Seconds from the process's start to the end of its first step.
    pub(super) first_step: Option<f64>,
    /// The energy that the machine's processors drew meanwhile.
    pub(super) joules: Option<f64>,
}

/// Writes `report.html` into the run folder.
#[expect(clippy::too_many_arguments, reason = "the page shows all of it")]
pub(super) fn write(
    dir: &Path,
    loaded: &Loaded<RunConfig>,
    manifest: &Manifest,
    state: &TrainState,
    runtime: &Runtime,
    score: Score,
    why: &str,
    sampler: &Sampler,
    budget: &Budget,
    measured: Measured,
) -> Result<()> {
    let config = &loaded.value;
    let records = Metrics::read(&dir.join("metrics.jsonl"))?;
    let threads = tch::get_num_threads();
    let device = match runtime.device() {
        tch::Device::Cpu => format!("cpu, {threads} threads"),
        device => format!("{device:?}"),
    };
    let model = format!("{}, {} objective", config.model.describe(), config.objective.name());
    let rows = u64::from(config.train.batch_rows) * u64::from(config.train.accumulate);
    let joules = |joules: f64| {
        format!("{} J ({} Wh), all that the processors drew", words::scaled(joules), words::significant(joules / 3600.0))
    };
    let mut more = vec![
        ("Operations", budget.operations(config)),
        ("Tokens a step", words::count(rows * u64::from(config.model.context_tokens()))),
        ("Precision", format!("{:?}", state.params.precision()).to_lowercase()),
        ("Best validation at step", state.progress.best.at.map_or_else(|| "-".into(), |(step, _)| words::count(step))),
        ("Peak memory", ssl_torch::memory::peak_mib().map_or_else(|| "-".into(), |mib| words::bytes(mib * 1024.0 * 1024.0))),
        ("Memory foretold", words::bytes(budget.needs() as f64) + " beside the program itself"),
        (
            "First step",
            measured.first_step.map_or_else(|| "-".into(), |seconds| format!("{} after the start", words::duration(seconds))),
        ),
        ("Energy", measured.joules.map_or_else(|| "not told by this machine".into(), joules)),
    ];
    let drawn = sampler.epochs(state.progress.sample);
    if !drawn.is_empty() {
        let each: Vec<String> = drawn.iter().map(|(name, epochs)| format!("{name} {}", words::significant(*epochs))).collect();
        more.push(("Epochs of sources", each.join(", ")));
    }
    let rate = |flops: f64| format!("{} FLOP/s in this precision, measured at the start", words::scaled(flops));
    let environment = [
        ("ssl", env!("CARGO_PKG_VERSION").to_owned()),
        ("libtorch", "2.11".to_owned()),
        ("Processor", processor()),
        ("Matrix rate", measured.peak_flops.map_or_else(|| "-".into(), rate)),
        ("Corpus fingerprint", manifest.fingerprint.clone()),
    ];
    let title = dir
        .canonicalize()
        .unwrap_or_else(|_| dir.into())
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let page = Page {
        title: &title,
        facts: Facts {
            model: &model,
            params: state.params.count(),
            device: &device,
            steps: state.progress.step,
            tokens: state.progress.tokens,
            epochs: state.progress.sample as f64 / sampler.epoch_len().max(1) as f64,
            seconds: state.progress.seconds,
            stopped_because: why,
            more: &more,
        },
        score,
        records: &records,
        data: Some(manifest),
        config: &loaded.resolved,
        environment: &environment,
    };
    let path = dir.join("report.html");
    page.write(&path).with_context(|| format!("cannot write {}", path.display()))
}

/// The processor's name, where the system tells it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()));
    name.unwrap_or_else(|| std::env::consts::ARCH.into())
}
