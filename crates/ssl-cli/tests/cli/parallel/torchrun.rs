//! The same under PyTorch's launcher, which starts the ranks, and starts them again when one dies.

use std::env;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{last, port, same_files, trained, wait_for};
use crate::support::{Place, RUN};

/// torchrun with two workers of our program; nothing where no Python has it.
#[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
fn torchrun(place: &Place, name: &str, restarts: u32) -> Option<Command> {
    let python = env::var_os("SSL_PYTHON").filter(|name| !name.is_empty()).unwrap_or_else(|| "python3".into());
    let mut found = Command::new(&python);
    found.args(["-c", "import torch.distributed.run"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !found.status().is_ok_and(|status| status.success()) {
        println!("skipped: {} has no torch.distributed.run; set SSL_PYTHON to a Python that has it", python.display());
        return None;
    }
    let mut command = Command::new(python);
    command
        .args(["-m", "torch.distributed.run", "--nnodes=1", "--nproc-per-node=2", "--no-python"])
        .args(["--master-addr=127.0.0.1", &format!("--master-port={}", port()), &format!("--max-restarts={restarts}")])
        .arg(env!("CARGO_BIN_EXE_ssl"))
        .args(["train", "run.toml", "--out", name, "--threads", "1", "--json"])
        .current_dir(place.path(""))
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(place.path(&format!("{name}.txt"))).expect("room"));
    Some(command)
}

#[test]
fn torchrun_starts_ranks_and_starts_them_again() {
    let place = Place::new();
    let run = RUN.replace("every-steps = 10", "every-steps = 1").replace("steps = 40", "steps = 24");
    place.write("run.toml", run + "[train.parallel]\ntimeout-seconds = 60\n");
    let Some(mut command) = torchrun(&place, "whole", 0) else { return };
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", place.read("whole.txt"));
    let told: Value = serde_json::from_slice(&output.stdout).expect("one document, of rank 0");
    assert_eq!(told["steps"], 24);

    trained(&place, 2, "by-hand", &[]);
    same_files(&place, "whole", "by-hand");

    let mut command = torchrun(&place, "broken", 1).expect("it was there before");
    let launcher = command.spawn().expect("it starts");
    wait_for(&place, "broken", 12);
    let workers = Command::new("pgrep").args(["-P", &launcher.id().to_string(), "-f", "--", "--out broken"]).output();
    let workers = String::from_utf8(workers.expect("pgrep").stdout).expect("numbers");
    let worker = workers.lines().last().expect("a worker");
    assert!(Command::new("kill").args(["-KILL", worker]).status().expect("kill").success());
    let output = launcher.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", place.read("broken.txt"));
    // The first attempt ended with the document of its error.
    let stdout = String::from_utf8(output.stdout).expect("text");
    let told: Value = serde_json::from_str(stdout.lines().last().expect("a document")).expect("that of rank 0");
    assert!(told["resumed_from"].as_u64().is_some_and(|step| (10..24).contains(&step)), "{told}");
    assert!(last(&place, "broken").ends_with("00000024"));
    same_files(&place, "broken", "whole");
}
