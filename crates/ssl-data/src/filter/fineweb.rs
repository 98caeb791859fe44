//! The rules of `FineWeb`: lists and menus look different from prose.
//!
//! Source: Penedo et al. 2024, "The `FineWeb` Datasets", section 3.6, as in datatrove 0.10 (`fineweb_quality_filter.py`). Differs: words of
//! scripts without spaces are counted by characters.

use serde::{Deserialize, Serialize};

use super::Rule;
use super::classes::{TERMINAL, is};
use super::profile::Profile;
use super::repeats::repeated;

/// `[data.filter.fineweb]`: shares of lines that are not blank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct FineWeb {
    /// The smallest share of lines that end in a terminal mark of any script.
    pub min_terminal_lines: f64,
    /// The largest share of lines of at most `short-line-chars`.
    pub max_short_lines: f64,
    /// The characters of a short line.
    pub short_line_chars: u64,
    /// The largest share of characters, line ends aside, in lines that stood before.
    pub max_repeated_line_chars: f64,
    /// The largest number of line ends a word.
    pub max_line_ends_per_word: f64,
}

impl Default for FineWeb {
    fn default() -> Self {
        Self {
            min_terminal_lines: 0.12,
            max_short_lines: 0.67,
            short_line_chars: 30,
            max_repeated_line_chars: 0.01,
            max_line_ends_per_word: 0.3,
        }
    }
}

impl FineWeb {
    /// The first rule that the text breaks, if any.
    pub(super) fn judge(&self, text: &str, profile: &Profile) -> Option<Rule> {
        let lines = || text.split('\n').filter(|line| !line.trim().is_empty());
        let (mut all, mut terminal, mut short, mut chars) = (0_u64, 0_u64, 0_u64, 0_u64);
        for line in lines() {
            let length = line.chars().count() as u64;
            all += 1;
            chars += length;
            terminal += u64::from(line.ends_with(|char| is(char, TERMINAL)));
            short += u64::from(length <= self.short_line_chars);
        }
        if all == 0 {
            return Some(Rule::FinewebTerminalLines);
        }
        if (terminal as f64) / (all as f64) < self.min_terminal_lines {
            return Some(Rule::FinewebTerminalLines);
        }
        if short as f64 / all as f64 > self.max_short_lines {
            return Some(Rule::FinewebShortLines);
        }
        if repeated(lines()).chars as f64 / chars as f64 > self.max_repeated_line_chars {
            return Some(Rule::FinewebRepeatedLines);
        }
        let ends = memchr::memchr_iter(b'\n', text.as_bytes()).count();
        (ends as f64 / profile.words.max(1) as f64 > self.max_line_ends_per_word).then_some(Rule::FinewebLineEnds)
    }
}
