//! A suite: one TOML file of tasks that a model is judged by as it is, without being adapted to them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use ssl_data::config::Fault;
use ssl_data::task::{TaskConfig, TaskKind};

use crate::diagnose::{self, Diagnosis, Loaded};

/// Tasks by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SuiteConfig {
    /// Draws the examples that stand in prompts.
    #[serde(default)]
    pub(crate) seed: u64,
    /// What is asked.
    pub(crate) tasks: BTreeMap<String, SuiteTask>,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SuiteTask {
    /// Training examples that stand before each question.
    #[serde(default)]
    pub(crate) shots: u32,
    /// What is asked, and of which examples: those of `test`, or of `validation` where there are none.
    pub(crate) task: TaskConfig,
}

impl SuiteConfig {
    /// Reads a suite and checks it.
    ///
    /// # Errors
    /// Every fault at once, with its place.
    pub(crate) fn load(path: &Path) -> Result<Loaded<Self>, Diagnosis> {
        diagnose::load(path, &[], Self::validate)
    }

    fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.tasks.is_empty() {
            faults.push(Fault::new("tasks", "nothing is asked", "give a task under [tasks.NAME.task]"));
        }
        for (name, SuiteTask { shots, task }) in &self.tasks {
            let here = |path: &str| format!("tasks.{name}.{path}");
            faults.extend(task.validate().into_iter().map(|fault| Fault { path: here(&fault.path), ..fault }));
            let judged = matches!(
                &task.kind,
                TaskKind::Choice(_) | TaskKind::Cloze(_) | TaskKind::MinimalPairs(_) | TaskKind::Classification(_)
            );
            let kind = here(&format!("task.kind.{}", task.kind.name()));
            if !judged {
                faults.push(Fault::new(&kind, "has to be learned before it is judged", "adapt a model to it with ssl finetune"));
            }
            let nowhere = task.test.is_empty() && task.validation.is_empty() && task.test_share == 0.0;
            if nowhere {
                faults.push(Fault::new(&here("task.test"), "there is nothing to judge by", "name files of examples"));
            }
            let probed = matches!(&task.kind, TaskKind::Classification(config) if config.prompt.is_none());
            if probed && task.train.is_empty() {
                let hint = "name training files for a probe of its features, or give a prompt and words for its likelihood";
                faults.push(Fault::new(&here("task.train"), "classes without a prompt are learned by a probe", hint));
            }
            if probed && *shots > 0 {
                faults.push(Fault::new(&here("shots"), "without a prompt there is nothing to show", "give prompt and words"));
            }
            if *shots > 0 && task.train.is_empty() {
                faults.push(Fault::new(&here("task.train"), "there are no examples to show", "name training files"));
            }
            if *shots > 0 && matches!(task.kind, TaskKind::MinimalPairs(_)) {
                faults.push(Fault::new(&here("shots"), "minimal pairs are judged alone", "leave it out"));
            }
        }
        faults
    }
}
