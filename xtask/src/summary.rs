//! Reads what `cargo test -- --show-output` prints and adds it up.

use std::fmt;

/// Test results added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Tests that ran and held.
    pub(crate) passed: u64,
    /// Tests that did not hold.
    pub(crate) failed: u64,
    /// Tests that said why they did not run on this machine.
    pub(crate) skipped: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// What to do with a line that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Print it.
    Show,
    /// Captured output of a test that passed: drop it.
    Drop,
}

/// A reader of libtest's output, line by line.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    total: Summary,
    /// Skips seen in the test program that is running; libtest counts them as passed.
    skips: u64,
    in_successes: bool,
    /// Whether the current test's section already counted as skipped.
    counted: bool,
}

impl Reader {
    /// Takes the next line.
    pub(crate) fn read(&mut self, line: &str) -> Line {
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.in_successes = false;
            self.add(rest);
            return Line::Show;
        }
        match line {
            "successes:" => {
                self.in_successes = true;
                self.counted = true;
                return Line::Drop;
            }
            "failures:" => self.in_successes = false,
            _ => {}
        }
        if !self.in_successes {
            return Line::Show;
        }
        if line.starts_with("---- ") {
            self.counted = false;
        } else if line.starts_with("skipped:") {
            if !self.counted {
                self.counted = true;
                self.skips += 1;
            }
            return Line::Show;
        }
        Line::Drop
    }

    /// The sum over all test programs.
    pub(crate) fn finish(self) -> Summary {
        self.total
    }

    fn add(&mut self, result: &str) {
        let count = |name: &str| -> u64 {
            let part = result.split(['.', ';']).map(str::trim).find_map(|part| part.strip_suffix(name));
            part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        let skips = std::mem::take(&mut self.skips);
        self.total.passed += count(" passed").saturating_sub(skips);
        self.total.failed += count(" failed");
        self.total.skipped += count(" ignored") + skips;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(text: &str) -> Summary {
        let mut reader = Reader::default();
        for line in text.lines() {
            reader.read(line);
        }
        reader.finish()
    }

    const TWO: &str = "\
running 3 tests
test a ... ok

successes:

---- gpu stdout ----
skipped: no GPU
skipped: told twice

---- noisy stdout ----
all is well

successes:
    gpu
    noisy

test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

running 2 tests
failures:
---- b stdout ----
skipped: a failing test that says so still failed
test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn results_of_several_programs_add_up_and_a_skip_is_no_pass() {
        assert_eq!(sum(TWO), Summary { passed: 3, failed: 1, skipped: 3 });
        assert_eq!(sum(TWO).to_string(), "3 passed, 1 failed, 3 skipped");
    }

    #[test]
    fn only_skips_and_failures_are_shown() {
        let mut reader = Reader::default();
        let shown: Vec<&str> = TWO.lines().filter(|line| reader.read(line) == Line::Show).collect();
        assert!(shown.contains(&"skipped: no GPU"));
        assert!(shown.contains(&"---- b stdout ----"));
        assert!(!shown.contains(&"all is well"));
    }

    #[test]
    fn no_result_line_is_no_result() {
        assert_eq!(sum("error: could not compile `ssl-data`"), Summary::default());
    }
}
