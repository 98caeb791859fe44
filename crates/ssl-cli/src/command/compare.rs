//! `ssl compare`: paradigms, on the same data at the same cost, judged by the same tasks; one table and one page.
//!
//! Each arm is a run folder of its own under `OUT/ARM/seed-N`, made by the program's own verbs in processes of their own, so that
//! memory is each arm's own and what is finished stays finished: the same command goes on where the last one stopped.

mod child;
mod page;
mod plan;
mod size;
mod verdict;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use self::plan::{Plan, Planned};
use crate::args::CompareArgs;
use crate::assemble::{CORPUS, Session};
use crate::compare::CompareConfig;
use crate::outcome::{Outcome, REQUEUE};
use crate::signal;

/// What an arm came to.
struct Arm {
    planned: Planned,
    /// What `ssl train` said.
    trained: Value,
    /// What `ssl finetune` said of each task, or why it was not asked.
    tasks: Vec<(String, Result<Value, String>)>,
}

/// Runs what is not done yet, and tells what all came to.
pub(crate) fn run(session: &Session, args: &CompareArgs) -> Result<Outcome> {
    let wall = Instant::now();
    let loaded = CompareConfig::load(&args.run.file, &args.run.overrides)?;
    let out = super::prepare::run_dir(args.out.as_ref(), &args.run);
    signal::listen("what is finished is kept")?;
    std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let plan = Plan::make(session, &loaded.value, &out)?;
    if args.plan {
        return Ok(Outcome { json: plan.json(), human: plan.describe(), code: 0 });
    }
    session.progress.say(&plan.describe());
    let worker = child::Worker::new(session, &out)?;
    let mut arms = Vec::new();
    for (at, planned) in plan.arms.iter().enumerate() {
        session.progress.say(&format!("{} of {}: {}", at + 1, plan.arms.len(), planned.label()));
        link_corpus(&out, &planned.dir)?;
        let Some(trained) = worker.run("train", &planned.dir, &planned.file, &[])? else { return Ok(stopped(&out)) };
        let mut tasks = Vec::new();
        for (name, task) in &plan.tasks {
            let dir = planned.dir.join("tasks").join(name);
            if let Some(reason) = task.refuses(planned) {
                tasks.push((name.clone(), Err(reason)));
                continue;
            }
            let from = format!("train.from={:?}", planned.dir.display().to_string());
            let seed = format!("train.seed={}", planned.seed);
            let Some(found) = worker.run("finetune", &dir, &task.file, &[from, seed])? else { return Ok(stopped(&out)) };
            tasks.push((name.clone(), Ok(found)));
        }
        arms.push(Arm { planned: planned.clone(), trained, tasks });
    }
    let verdict = verdict::weigh(&arms, &plan)?;
    let sizes = size::recommend(&arms, &loaded.value.budget);
    let json = json!({
        "run_dir": out, "arms": arms.iter().map(Arm::json).collect::<Vec<_>>(), "verdicts": verdict.json(),
        "sizes": sizes.iter().map(size::Size::json).collect::<Vec<_>>(), "wall_seconds": wall.elapsed().as_secs_f64(),
    });
    let path = out.join("comparison.json");
    std::fs::write(&path, format!("{json:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    let report = out.join("comparison.html");
    page::write(&report, &loaded, &plan, &arms, &verdict, &sizes)?;
    let human = format!("{}\n{}\nreport {}", verdict::table(&arms, &plan), verdict.words(&sizes), report.display());
    Ok(Outcome { json, human, code: 0 })
}

fn stopped(out: &Path) -> Outcome {
    let json = json!({ "run_dir": out, "stopped_because": "stopped by a signal" });
    Outcome { json, human: "stopped; the same command goes on".into(), code: REQUEUE }
}

/// All arms read one corpus, prepared once.
fn link_corpus(out: &Path, dir: &Path) -> Result<()> {
    let link = dir.join(CORPUS);
    if link.symlink_metadata().is_ok() {
        return Ok(());
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let target = out.join(CORPUS).canonicalize().with_context(|| format!("cannot find {}", out.join(CORPUS).display()))?;
    std::os::unix::fs::symlink(&target, &link).with_context(|| format!("cannot link {}", link.display()))
}

impl Arm {
    fn json(&self) -> Value {
        let tasks: serde_json::Map<String, Value> = self
            .tasks
            .iter()
            .map(|(name, found)| (name.clone(), found.clone().unwrap_or_else(|reason| json!({ "refused": reason }))))
            .collect();
        json!({
            "arm": self.planned.arm, "seed": self.planned.seed, "steps": self.planned.steps, "flops": self.planned.flops,
            "trained": self.trained, "tasks": tasks,
        })
    }
}
