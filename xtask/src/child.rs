//! A child that gets our signals: Ctrl-C goes to it once, and its end is waited for.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use anyhow::{Context, Result};

/// The child that runs now.
static CHILD: Mutex<Option<u32>> = Mutex::new(None);

/// Hands SIGINT, SIGTERM and SIGHUP on as SIGINT, once for all children of this process.
fn hand_on_signals() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut set = Ok(());
    ONCE.call_once(|| set = ctrlc::set_handler(hand_on));
    set.context("cannot watch for Ctrl-C")
}

#[expect(clippy::exit, reason = "a signal between two children ends the program, as it would without the handler")]
fn hand_on() {
    match *current() {
        None => std::process::exit(130),
        Some(id) => drop(Command::new("kill").args(["-s", "INT", &id.to_string()]).status()),
    }
}

fn current() -> MutexGuard<'static, Option<u32>> {
    CHILD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `command` to its end.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    Ok(finish(command)?.status)
}

/// Runs `command` to its end and returns what it wrote to stdout.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    finish(command.stdout(Stdio::piped()))
}

fn finish(command: &mut Command) -> Result<Output> {
    hand_on_signals()?;
    let child = {
        let mut current = current();
        // In a group of its own, or a terminal's Ctrl-C would reach it a second time.
        let child =
            command.process_group(0).spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        *current = Some(child.id());
        child
    };
    let output = child.wait_with_output();
    *current() = None;
    output.with_context(|| format!("cannot wait for {}", command.get_program().display()))
}

/// The exit code to hand on: the program's own, or 128 + signal as shells count it.
pub(crate) fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: two would share the slot of the child that runs now.
    #[test]
    fn exit_codes_pass_out_and_ctrl_c_passes_in() {
        let run = |script: &str| code(status(Command::new("sh").args(["-c", script])).unwrap());
        assert_eq!(run("exit 75"), 75);
        assert_eq!(run("kill -TERM $$"), 128 + 15);
        let said = output(Command::new("sh").args(["-c", "echo said"])).unwrap();
        assert_eq!(said.stdout, b"said\n");

        // The child interrupts us, and is interrupted in turn.
        let script = format!("trap 'kill $!; exit 75' INT; sleep 60 & kill -INT {}; wait", std::process::id());
        assert_eq!(run(&script), 75);
    }
}
