//! A folder with a small text and a small run, and the program in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A run that takes a second.
pub(crate) const RUN: &str = r#"# a small run
[data]
paths = ["text"]
document = "block"
validation-fraction = 0.2
[data.tokenizer.char]

[objective.causal]

[model.gpt]
layers = 1
heads = 2
width = 16
context-tokens = 16
dropout = 0.1

[optim.adamw]
lr = 1e-2
[schedule.cosine]
warmup-steps = 5

[train]
steps = 40
batch-rows = 4
accumulate = 2
clip-norm = 1.0
log-every-steps = 1
save-every-steps = 5
keep-checkpoints = 3

[eval]
every-steps = 10
sample-tokens = 8
"#;

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The one document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|fault| panic!("{fault} in {:?}\n{}", self.stdout, self.stderr))
    }

    /// Ended with `code`, and stderr has every one of `words`.
    pub(crate) fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// A folder of its own.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// With `run.toml` and some text.
    pub(crate) fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().expect("a folder") };
        place.write("run.toml", RUN);
        place.write("text/tales.txt", tales());
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("room");
        fs::write(path, content).expect("room");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|fault| panic!("{name}: {fault}"))
    }

    /// The program with arguments, yet to be started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ssl"));
        command.args(args);
        self.prepared(command)
    }

    /// In this folder, without what the environment adds. Tests run beside each other, so each gets one thread.
    fn prepared(&self, mut command: Command) -> Command {
        command.current_dir(self.dir.path()).stdin(Stdio::null()).env_remove("RUST_BACKTRACE").env("OMP_NUM_THREADS", "1");
        command
    }

    /// Runs the program to its end.
    pub(crate) fn ssl(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().expect("it starts"))
    }

    /// Runs a shell script to its end, in which the program is "$0".
    pub(crate) fn sh(&self, script: &str) -> Ran {
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_ssl")]);
        Ran::of(self.prepared(command).output().expect("sh"))
    }

    /// A finished run of 10 steps in `out`, with checkpoints at 5 and 10.
    pub(crate) fn trained() -> Self {
        let place = Self::new();
        place.write("run.toml", RUN.replace("steps = 40", "steps = 10").replace("every-steps = 10", "every-steps = 5"));
        place.ssl(&["train", "run.toml", "--out", "out", "--quiet"]).says(0, &[]);
        place
    }

    /// Starts the program and lets it run.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    }

    /// Changes the bytes of a file.
    pub(crate) fn damage(&self, file: &str, how: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path(file);
        let mut bytes = fs::read(&path).unwrap_or_else(|fault| panic!("{file}: {fault}"));
        how(&mut bytes);
        fs::write(path, bytes).expect("room");
    }

    /// The records of `metrics.jsonl` without what belongs to the clock and the machine.
    pub(crate) fn timeless(&self, run: &str) -> Vec<Value> {
        let line = |line: &str| {
            let mut record: Value = serde_json::from_str(line).expect("an object");
            for key in ["seconds", "tokens_per_second", "mfu", "rss_mib"] {
                record.as_object_mut().expect("an object").remove(key);
            }
            record
        };
        self.read(&format!("{run}/metrics.jsonl")).lines().map(line).collect()
    }

    /// Every file below a folder, with what is in it.
    pub(crate) fn content(&self, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.path(name)];
        while let Some(folder) = folders.pop() {
            for path in listing(&folder) {
                if path.is_dir() { folders.push(path) } else { found.push((path.clone(), fs::read(&path).expect("a file"))) }
            }
        }
        found.sort();
        found
    }
}

/// Another bit in the middle.
pub(crate) const FLIP: fn(&mut Vec<u8>) = |bytes| {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
};

/// The first half alone.
pub(crate) const CUT: fn(&mut Vec<u8>) = |bytes| bytes.truncate(bytes.len() / 2);

/// What a folder holds, sorted.
pub(crate) fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// Sixty short paragraphs.
fn tales() -> String {
    let who = ["The old fisherman", "A tired doctor", "My younger sister", "Nobody in town", "The second clerk"];
    let what = ["carried the lamp", "forgot the letter", "watched the rain", "mended a clock"];
    let when = ["before dawn.", "on the last ferry.", "while the kettle sang."];
    let tale = |i: usize| {
        let (first, second) = (
            format!("{} {} {}", who[i % 5], what[i % 4], when[i % 3]),
            format!("{} {} again", who[(i + 2) % 5], what[(i + 1) % 4]),
        );
        format!("{first}\n{second}, {i} times, {}\n\n", when[(i + 1) % 3])
    };
    (0..60).map(tale).collect()
}
