//! Where an answer stands in a passage, of all windows that were read of it.
//!
//! ```text
//! score(i, j) = begin_i + end_j        for i <= j < i + most, both in the passage
//! ```
//!
//! Source: Devlin et al. 2019, sections 4.2 and 4.3: without an answer, the score of the row's first position.

use ssl_data::task::Encoded;

/// The best span of a passage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// Its first byte and the one after its last.
    pub(super) bytes: (u32, u32),
    /// Its score.
    pub(super) score: f32,
    /// How much larger the score of no answer is.
    pub(super) no_answer: f32,
}

/// The best span of windows, whose logits `[t, 2]` are `read`: of equal ones the first.
pub(super) fn best(windows: &[Encoded], read: &[Vec<f32>], most_tokens: usize) -> Option<Span> {
    let mut best: Option<Span> = None;
    let mut none = f32::INFINITY;
    for (window, logits) in windows.iter().zip(read) {
        let of = |at: usize, which: usize| logits.get(at * 2 + which).copied().unwrap_or(f32::NEG_INFINITY);
        none = none.min(of(0, 0) + of(0, 1));
        let inside: Vec<usize> = (0..window.spans.len()).filter(|&at| window.spans[at].1 > window.spans[at].0).collect();
        for (place, &from) in inside.iter().enumerate() {
            for &to in inside[place..].iter().take(most_tokens.max(1)) {
                let score = of(from, 0) + of(to, 1);
                if best.is_none_or(|best| score > best.score) {
                    best = Some(Span { bytes: (window.spans[from].0, window.spans[to].1), score, no_answer: 0.0 });
                }
            }
        }
    }
    best.map(|best| Span { no_answer: none - best.score, ..best })
}
