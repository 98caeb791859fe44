//! How long this process has lived, the loading of its libraries included.

use std::fs;

/// Ticks a second in `/proc`, the same on every machine that Linux runs on for programs.
const TICKS: f64 = 100.0;

/// Seconds since the process was started, to a hundredth; `None` where the system does not say.
pub(crate) fn seconds() -> Option<f64> {
    between(&fs::read_to_string("/proc/self/stat").ok()?, &fs::read_to_string("/proc/uptime").ok()?)
}

/// From a process's `stat` and the machine's `uptime`.
fn between(stat: &str, uptime: &str) -> Option<f64> {
    // The second field is the program's name, which may hold anything; the start is the 22nd.
    let (_, rest) = stat.rsplit_once(')')?;
    let started: f64 = rest.split_whitespace().nth(19)?.parse().ok()?;
    let now: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some((now - started / TICKS).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = "41 (a) b (c) S 1 41 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 98 97";
        assert!(between(stat, "125.50 300.00\n").is_some_and(|age| (age - 2.05).abs() < 1e-9));
        assert_eq!(between("nonsense", "1 2"), None);
    }

    #[test]
    fn a_process_grows_older() {
        let before = seconds().expect("Linux says so");
        std::thread::sleep(std::time::Duration::from_millis(50));
        let grown = seconds().expect("Linux says so") - before;
        assert!((0.02..5.0).contains(&grown), "{grown}");
    }
}
