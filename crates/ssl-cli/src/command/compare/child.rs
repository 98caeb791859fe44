//! The program's own verbs in processes of their own, what they print kept beside their run folders.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::assemble::Session;
use crate::outcome::{REQUEUE, Refusal};
use crate::signal;

/// How often a running child is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Runs verbs.
pub(super) struct Worker {
    program: PathBuf,
    flags: Vec<String>,
}

impl Worker {
    /// With the flags that this process was given.
    pub(super) fn new(session: &Session, out: &Path) -> Result<Self> {
        let program = std::env::current_exe().with_context(|| format!("cannot find this program, for {}", out.display()))?;
        Ok(Self { program, flags: session.flags() })
    }

    /// The document that `ssl VERB FILE --out DIR` prints; `None` where a stop was asked for. One that was printed before is read again
    /// where file and overrides are the same.
    pub(super) fn run(&self, verb: &str, dir: &Path, file: &Path, set: &[String]) -> Result<Option<Value>> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let asked = blake3::hash(&[&text, set.join("\n").as_bytes()].concat()).to_hex().to_string();
        let kept = dir.join("outcome.json");
        if let Some(found) = read(&kept).filter(|found| found["asked"] == asked.as_str()) {
            return Ok(Some(found["outcome"].clone()));
        }
        let mut command = Command::new(&self.program);
        command.args(&self.flags).args(["--json", verb]).arg(file).arg("--out").arg(dir);
        command.args(set.iter().flat_map(|one| ["--set", one]));
        // A terminal's Ctrl-C must not reach it by itself: a second signal would end it at once.
        command.process_group(0);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start this program again")?;
        let stdout = child.stdout.take();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut stdout) = stdout {
                // What cannot be read is no document, which is told below.
                let _ = std::io::Read::read_to_string(&mut stdout, &mut text);
            }
            text
        });
        let mut asked_to_stop = false;
        let status = loop {
            if let Some(status) = child.try_wait().context("cannot wait for this program")? {
                break status;
            }
            if signal::requested() && !asked_to_stop {
                asked_to_stop = true;
                let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).stderr(Stdio::null()).status();
            }
            std::thread::sleep(LOOK);
        };
        let text = reader.join().unwrap_or_default();
        if status.code() == Some(i32::from(REQUEUE)) || (asked_to_stop && !status.success()) {
            return Ok(None);
        }
        let document: Value = serde_json::from_str(text.trim()).unwrap_or_default();
        if !status.success() {
            let message = document["error"]["message"].as_str().unwrap_or("it ended without a word").to_owned();
            let code = u8::try_from(status.code().unwrap_or(1)).unwrap_or(1);
            let hint = document["error"]["hint"].as_str().unwrap_or("see what it said above").to_owned();
            return Err(Refusal { message: format!("ssl {verb} {}: {message}", file.display()), hint, code }.into());
        }
        let partial = kept.with_extension("json.tmp");
        let whole = serde_json::json!({ "asked": asked, "outcome": document });
        std::fs::write(&partial, whole.to_string())
            .and_then(|()| std::fs::rename(&partial, &kept))
            .with_context(|| format!("cannot write {}", kept.display()))?;
        Ok(Some(document))
    }
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
