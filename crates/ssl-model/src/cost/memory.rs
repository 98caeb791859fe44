//! What a pass holds: the activations that gradients will need, and the logits at hand.
//!
//! Counted per layer and position, in numbers of the model's type: the stream after each branch, each norm's result, queries,
//! keys, values and what was read, and what the feed-forward keeps. Dropout keeps its draws; attention that libtorch has no
//! fused kernel for (dropout, learned scores) keeps its scores too, and contiguous copies of what it read. What an LSTM and the
//! turning of rotary positions take is fitted to measurement. These are the CPU's numbers: where norms and gates are libtorch's own
//! operations they keep somewhat more, and what was taken and never touched counts there too. All of it is measured against, in `ssl-cli/tests/cli/accounting.rs`.

use super::layers::{Feed, Head, Load, Parts, Stack};

/// Logits are made in chunks of so many bytes.
const LOGITS: u64 = 128 << 20;

/// Bytes that a pass holds at its fullest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Activations kept for the gradients, and those of the layer at work.
    pub activations: u64,
    /// Logits, and the gradients that are made from them at once.
    pub logits: u64,
}

impl Held {
    pub(super) fn of(parts: &Parts, bytes: u64) -> Self {
        let kept: u64 = parts.stacks.iter().map(|(stack, load)| kept(stack, load, bytes)).sum();
        let at_work = parts.stacks.iter().map(|(stack, load)| at_work(stack, load, bytes)).max().unwrap_or(0);
        let logits = parts.heads.iter().map(|head| chunk(head, bytes)).max().unwrap_or(0);
        let made: u64 = parts.heads.iter().map(|head| made(head, bytes)).sum();
        Self { activations: kept + at_work, logits: logits + made }
    }
}

/// Bytes that a stack keeps.
fn kept(stack: &Stack, load: &Load, bytes: u64) -> u64 {
    let Stack { layers, width: d, heads, inner, up, dropout, .. } = *stack;
    let (n, t, source) = (load.positions(), load.tokens, load.rows * load.source);
    let drop = u64::from(dropout);
    if stack.feed == Feed::Recurrent {
        // Four gates, both states, and what the cell makes of them.
        return bytes * n * d * (layers * (10 + drop) + 2 + 2 * drop);
    }
    let branches = if stack.cross { 3 } else { 2 };
    let feed = match stack.feed {
        Feed::Recurrent => 0,
        Feed::Relu => up * (1 + 2 * drop * u64::from(stack.scored)),
        Feed::Gelu => 2 * up,
        Feed::Gated => (3 + drop) * up,
    };
    let fused = !dropout && !stack.scored;
    let scores = |seen: u64| if fused { 0 } else { heads * seen * (1 + 2 * drop) + 5 * inner };
    let mask = |seen: u64| if fused && load.masked { seen } else { 0 };
    let turned = if stack.rotary { 4 * (inner + stack.shared) } else { 0 };
    let own = 4 * inner + turned + scores(t) + mask(t);
    let cross = if stack.cross { 2 * inner + scores(load.source) + mask(load.source) } else { 0 };
    let layer = branches * (2 + drop) * d + feed + own + cross;
    let source_keys = if stack.cross { 2 * inner * source } else { 0 };
    bytes * (layers * (n * layer + source_keys) + n * (2 + drop) * d)
}

/// Bytes of gradients on their way through one layer.
fn at_work(stack: &Stack, load: &Load, bytes: u64) -> u64 {
    let maps = if stack.feed == Feed::Gated { 4 } else { 2 };
    let scores = if stack.dropout || stack.scored { 4 * stack.heads * load.tokens } else { 0 };
    bytes * load.positions() * (2 * stack.width + (maps * stack.up.max(stack.inner)).max(scores))
}

/// Rows of logits made at once.
fn rows(head: &Head, bytes: u64) -> u64 {
    (LOGITS / (head.vocab * bytes).max(1)).max(64).min(head.positions)
}

fn chunk(head: &Head, bytes: u64) -> u64 {
    rows(head, bytes) * head.vocab * bytes
}

/// What a head leaves: the gradients of its input and of its table, which are summed in fp32 where there are several chunks.
fn made(head: &Head, bytes: u64) -> u64 {
    let width = head.width + u64::from(head.bias);
    let table = width * head.vocab;
    let sum = if rows(head, bytes) < head.positions { 4 * table } else { 0 };
    let copies = if head.bias { bytes * (table + head.positions * width) } else { 0 };
    bytes * (head.positions * width + table) + sum + copies
}
