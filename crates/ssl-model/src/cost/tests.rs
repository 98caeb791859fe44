//! Costs against PyTorch's own count, and by hand.

use serde::Deserialize;

use super::*;
use crate::config::{GptConfig, LlamaConfig, LstmConfig, ModernbertConfig, MultiTokenConfig};

#[derive(Deserialize)]
struct Case {
    model: ModelConfig,
    vocab: u32,
    size: Counts,
    flops: u64,
}

#[derive(Deserialize)]
struct Counts {
    rows: u64,
    tokens: u64,
    source: u64,
    targets: u64,
    causal: bool,
}

impl From<Counts> for Size {
    fn from(c: Counts) -> Self {
        let Counts { rows, tokens, source, targets, causal } = c;
        Self { rows, tokens, source, targets, causal, ..Self::default() }
    }
}

/// One causal row of `tokens`.
fn row(tokens: u64) -> Size {
    Size { rows: 1, tokens, targets: tokens, causal: true, ..Size::default() }
}

#[test]
fn operations_are_those_that_pytorch_counts() {
    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/golden/flops/golden.json");
    let golden: Golden = serde_json::from_slice(&std::fs::read(path).expect("golden")).expect("cases");
    assert_eq!(golden.cases.len(), 6);
    for Case { model, vocab, size, flops } in golden.cases {
        assert_eq!(model.flops(vocab, &size.into()).usual(), flops, "{}", model.name());
    }
}

/// GPT-2 of 124 million weights: 6 (12 layers of 12 d² and the head of 50257 d) + 12 layers d t.
#[test]
fn gpt2_counts_as_its_published_recipes_do() {
    let (d, t) = (768, 1024);
    let flops = ModelConfig::Gpt(GptConfig::default()).flops(50257, &row(t));
    assert_eq!(flops.usual(), t * (6 * (12 * 12 * d * d + d * 50257) + 12 * 12 * d * t));
    // nanoGPT's estimate_mfu says 6 N + 12 L H Q T with N = 124,337,664 numbers outside of the table of positions; norms and
    // biases have no products.
    let theirs = (6 * 123_653_376 + 12 * 12 * d * t) as f64;
    assert!((flops.usual() as f64 / t as f64 / theirs - 1.0).abs() < 1e-3);
    // A causal mask hides all pairs above the diagonal: t (t - 1) / 2 of t².
    assert_eq!(flops.hidden, 12 * 12 * d * t * (t - 1) / 2);
    assert_eq!(flops.needed() + flops.hidden, flops.usual());
}

#[test]
fn what_a_mask_hides_is_counted_by_pairs() {
    let pairs = |t: u64, seen: &dyn Fn(u64, u64) -> bool| {
        (0..t).flat_map(|i| (0..t).map(move |j| (i, j))).filter(|&(i, j)| !seen(i, j)).count() as u64
    };
    let config =
        ModernbertConfig { layers: 7, heads: 2, width: 8, local_window: 6, global_every: 3, ..ModernbertConfig::default() };
    // Windows at the ends are counted as if they went on, so a little too much is taken for seen: 3 + 2 + 1 a side.
    let (t, near) = (40, 4);
    let flops = ModelConfig::Modernbert(config).flops(50, &Size { causal: false, ..row(t) });
    let ends = 2 * (3 + 2 + 1);
    assert_eq!(flops.hidden, 12 * 8 * near * (pairs(t, &|i, j| i.abs_diff(j) <= 3) - ends));
    let causal = ModelConfig::Gpt(GptConfig { layers: 2, heads: 2, width: 8, ..GptConfig::default() }).flops(50, &row(t));
    assert_eq!(causal.hidden, 12 * 8 * 2 * pairs(t, &|i, j| j <= i));
}

#[test]
fn further_heads_cost_a_layer_and_a_head_each() {
    let llama = LlamaConfig {
        layers: 2,
        heads: 2,
        kv_heads: 1,
        width: 8,
        feed_forward_width: 20,
        context_tokens: 16,
        rope_base: 1e4,
        norm_eps: 1e-5,
        tied: false,
        init: crate::init::Scheme::Xavier,
    };
    let one = ModelConfig::Llama(llama.clone()).flops(50, &row(16));
    let three = ModelConfig::Llama(LlamaConfig { layers: 4, ..llama.clone() }).flops(50, &row(16));
    let four = ModelConfig::MultiToken(MultiTokenConfig { future_tokens: 3, llama }).flops(50, &row(16));
    assert_eq!(four.attention, three.attention);
    // The second and the third token stand one and two places on, so that as many rows have none.
    assert_eq!(four.weights, three.weights + 6 * (15 + 14) * 8 * 50);
    assert!(one.usual() < three.usual());
}

/// In fp32, a GPT without dropout keeps 8 d + 2 u numbers a layer and position, here 16 d.
#[test]
fn activations_of_a_gpt_by_hand() {
    let config = GptConfig { layers: 2, heads: 2, width: 16, dropout: 0.0, ..GptConfig::default() };
    let (rows, t, d, v) = (3, 10, 16, 100);
    let size = Size { rows, tokens: t, targets: rows * t, causal: true, ..Size::default() };
    let held = ModelConfig::Gpt(config).held(v as u32, &size, 4);
    let n = rows * t;
    assert_eq!(held.activations, 4 * n * (2 * 16 * d + 2 * d + (2 * d + 2 * 4 * d)));
    assert_eq!(held.logits, 4 * (n * v + n * d + d * v));
}

#[test]
fn logits_are_held_by_chunks() {
    let config = ModelConfig::Lstm(LstmConfig { layers: 1, width: 8, ..LstmConfig::default() });
    let (v, bytes) = (1 << 20, 4);
    let held = |rows: u64| config.held(v, &Size { rows, tokens: 128, targets: rows * 128, ..Size::default() }, bytes).logits;
    // 64 rows of a million ids are the least that is made at once.
    assert!(held(64) - held(1) < 64 * 128 * 200, "{} {}", held(64), held(1));
    assert!(held(1) > 64 * u64::from(v) * bytes);
}
