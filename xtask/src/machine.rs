//! What a result is to be read with: this machine, this commit, today.

use std::fs;
use std::process::Command;

use crate::workspace;

/// A short name of the processor and its cores, fit for a file name, such as `amd-epyc-7763-2`.
pub(crate) fn name() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split_once(':'));
    format!("{}-{}", slug(model.map_or(std::env::consts::ARCH, |(_, model)| model)), cores())
}

/// Cores that programs may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether the processor multiplies bf16 matrices itself.
pub(crate) fn computes_bf16() -> bool {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.split_whitespace().any(|flag| matches!(flag, "avx512_bf16" | "amx_bf16" | "bf16"))
}

/// The commit that is checked out, with a mark when files differ from it.
pub(crate) fn commit() -> String {
    say_of("git", &["describe", "--always", "--dirty", "--abbrev=10"]).unwrap_or_else(|| "unknown".into())
}

/// Today, as 2026-01-31.
pub(crate) fn today() -> String {
    say_of("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(|| "undated".into())
}

fn say_of(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(workspace::root()).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}

/// Lower case words joined by `-`.
fn slug(text: &str) -> String {
    let text = text.replace("(R)", " ").replace("(TM)", " ").to_ascii_lowercase();
    let words =
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').filter(|word| !word.is_empty() && *word != "processor");
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn names_are_fit_for_files() {
        assert_eq!(slug(" Intel(R) Xeon(R) CPU @ 2.20GHz"), "intel-xeon-cpu-2.20ghz");
        assert_eq!(slug("AMD EPYC 7763 64-Core Processor"), "amd-epyc-7763-64-core");
    }
}
