//! The names of the rules, as reports give them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The rule that a document broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// `keep` of the language rules.
    OtherLanguage,
    /// `min-confidence` of the language rules.
    UnsureLanguage,
    /// `max-repeated-paragraphs` of Gopher.
    RepeatedParagraphs,
    /// `max-repeated-paragraph-chars` of Gopher.
    RepeatedParagraphChars,
    /// `max-repeated-lines` of Gopher.
    RepeatedLineShare,
    /// `max-repeated-line-chars` of Gopher.
    RepeatedLineChars,
    /// `max-top-run-chars` of Gopher, 2 words.
    TopRun2,
    /// `max-top-run-chars` of Gopher, 3 words.
    TopRun3,
    /// `max-top-run-chars` of Gopher, 4 words.
    TopRun4,
    /// `max-repeated-run-chars` of Gopher, 5 words.
    RepeatedRuns5,
    /// `max-repeated-run-chars` of Gopher, 6 words.
    RepeatedRuns6,
    /// `max-repeated-run-chars` of Gopher, 7 words.
    RepeatedRuns7,
    /// `max-repeated-run-chars` of Gopher, 8 words.
    RepeatedRuns8,
    /// `max-repeated-run-chars` of Gopher, 9 words.
    RepeatedRuns9,
    /// `max-repeated-run-chars` of Gopher, 10 words.
    RepeatedRuns10,
    /// `min-words` of Gopher.
    GopherFewWords,
    /// `max-words` of Gopher.
    GopherManyWords,
    /// `min-mean-word-chars` of Gopher.
    GopherShortWords,
    /// `max-mean-word-chars` of Gopher.
    GopherLongWords,
    /// `max-symbols-per-word` of Gopher, for `#`.
    GopherHashes,
    /// `max-symbols-per-word` of Gopher, for ellipses.
    GopherEllipses,
    /// `max-bullet-lines` of Gopher.
    GopherBulletLines,
    /// `max-ellipsis-lines` of Gopher.
    GopherEllipsisLines,
    /// `min-lettered-words` of Gopher.
    GopherNoLetters,
    /// `min-stop-words` of Gopher.
    GopherStopWords,
    /// `min-sentences` of C4.
    C4FewSentences,
    /// `lorem-ipsum` of C4.
    C4LoremIpsum,
    /// `curly-bracket` of C4.
    C4CurlyBracket,
    /// `min-terminal-lines` of `FineWeb`.
    FinewebTerminalLines,
    /// `max-short-lines` of `FineWeb`.
    FinewebShortLines,
    /// `max-repeated-line-chars` of `FineWeb`.
    FinewebRepeatedLines,
    /// `max-line-ends-per-word` of `FineWeb`.
    FinewebLineEnds,
    /// `min-score` of the quality rules.
    LowQuality,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
