//! Stopping on request: the first Ctrl-C or SIGTERM asks the work to end well, the second ends it at once.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a stop was asked for.
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// The exit code of a program ended by Ctrl-C, as shells have it.
const AT_ONCE: i32 = 130;

/// Listens for Ctrl-C, SIGTERM and SIGHUP. `promise` tells what the first one leads to, such as "saving a checkpoint".
///
/// # Errors
/// When the system refuses, or this was done before.
pub(crate) fn listen(promise: &'static str) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            leave();
        }
        // Nobody may be there to read it.
        let _ = writeln!(std::io::stderr(), "\nstopping: {promise}; once more stops at once");
    })
}

/// Whether a stop was asked for; every long loop asks.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

#[expect(clippy::exit, reason = "the second signal asks for exactly this; files are whole at any moment")]
fn leave() -> ! {
    std::process::exit(AT_ONCE)
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    /// A signal reaches a whole process, so the test starts itself again as the one to be stopped.
    #[test]
    fn first_signal_asks_and_second_ends() {
        if std::env::var_os("SSL_TEST_SIGNAL").is_some() {
            listen("testing").expect("listens");
            let _ = writeln!(std::io::stderr(), "ready");
            while !requested() {
                sleep(Duration::from_millis(5));
            }
            sleep(Duration::from_mins(1));
            return;
        }
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["signal::tests::first_signal_asks_and_second_ends", "--exact", "--nocapture"])
            .env("SSL_TEST_SIGNAL", "1")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let mut stderr = child.stderr.take().expect("a pipe");
        let mut heard = Vec::new();
        let mut hear = |words: &str| {
            let mut byte = [0];
            while !String::from_utf8_lossy(&heard).contains(words) {
                assert_eq!(stderr.read(&mut byte).expect("read"), 1, "ended before saying {words:?}");
                heard.push(byte[0]);
            }
        };
        let signal = |name: &str| {
            let sent = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill");
            assert!(sent.success());
        };
        hear("ready\n");
        signal("-TERM");
        hear("stopping: testing; once more stops at once\n");
        signal("-INT");
        assert_eq!(child.wait().expect("ended").code(), Some(AT_ONCE));
    }
}
