//! What a run will cost and what there is: operations a step, memory against what is free.

use anyhow::Result;
use serde_json::{Value, json};
use ssl_data::objective::Form;
use ssl_model::cost::{Flops, Size};
use ssl_model::params::{Params, Precision};
use ssl_train::memory::Memory;
use tch::Device;

use crate::made_up;
use crate::outcome::Refusal;
use crate::progress::words;
use crate::run::RunConfig;

/// The estimate of memory lies within this share of what is measured; `tests/cli/accounting.rs` holds it to that.
const TOLERANCE: f64 = 0.25;

/// The costs of a run.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Trained numbers.
    pub(crate) params: u64,
    /// One micro-batch.
    size: Size,
    /// Operations of one optimizer step.
    pub(crate) flops: Flops,
    memory: Memory,
    free: Option<u64>,
}

impl Budget {
    /// Of a run over `vocab` ids that computes in `precision` on `device`.
    pub(crate) fn of(config: &RunConfig, vocab: u32, precision: Precision, device: Device) -> Result<Self> {
        let size = Size::of(&made_up::batch(config, vocab)?.batch);
        let mut plan = Params::planned();
        ssl_torch::guard(|| config.model.build(vocab, &mut plan))?;
        let params = plan.count();
        let bytes = if precision == Precision::Fp32 { 4 } else { 2 };
        let held = config.model.held(vocab, &size, bytes);
        let Flops { weights, attention, hidden } = config.model.flops(vocab, &size);
        let passes = u64::from(config.train.accumulate);
        let flops = Flops { weights: weights * passes, attention: attention * passes, hidden: hidden * passes };
        let memory = Memory::of(params, held, precision, &config.train, &config.optim);
        Ok(Self { params, size, flops, memory, free: ssl_torch::free::bytes(device) })
    }

    /// Positions read and written in one optimizer step, which operations a token are told over.
    pub(crate) fn positions(&self, config: &RunConfig) -> u64 {
        self.size.positions() * u64::from(config.train.accumulate)
    }

    /// Bytes that the run needs beside the program itself.
    pub(crate) fn needs(&self) -> u64 {
        self.memory.total
    }

    /// One line: what is needed, and what is free.
    pub(crate) fn line(&self) -> String {
        let bytes = |bytes: u64| words::bytes(bytes as f64);
        let free = self.free.map_or_else(String::new, |free| format!(", {} free", bytes(free)));
        let Memory { weights, gradients, moments, activations, logits, .. } = self.memory;
        let parts = [
            ("weights", weights),
            ("gradients", gradients),
            ("moments", moments),
            ("activations", activations),
            ("logits", logits),
        ];
        let parts: Vec<String> = parts.iter().map(|(name, part)| format!("{name} {}", bytes(*part))).collect();
        format!("needs about {} of memory{free} ({})", bytes(self.memory.total), parts.join(", "))
    }

    /// Operations a token as usually counted, and without what a mask hides.
    pub(crate) fn operations(&self, config: &RunConfig) -> String {
        let each = |flops: u64| words::scaled(flops as f64 / self.positions(config).max(1) as f64);
        let usual = format!("{} FLOP a token", each(self.flops.usual()));
        if self.flops.hidden == 0 {
            return usual;
        }
        format!("{usual} with attention counted in full, {} without what its mask hides", each(self.flops.needed()))
    }

    /// Refuses a run that cannot fit even if the estimate is too high; warns of one that may not.
    pub(crate) fn weigh(&self, form: Form) -> Result<Option<String>> {
        let Some(free) = self.free else { return Ok(None) };
        let hint = match form {
            Form::Words => "give a smaller vocabulary or a smaller model.word2vec.width",
            _ => {
                "give a smaller train.batch-rows (and as many times train.accumulate, which is the same step), precision = \
                 \"bf16\", shorter contexts, or a smaller model"
            }
        };
        let message = format!("this run {}", self.line());
        if self.memory.total as f64 * (1.0 - TOLERANCE) > free as f64 {
            return Err(Refusal { message, hint: hint.into(), code: 4 }.into());
        }
        Ok((self.memory.total > free).then(|| format!("warning: {message} and may not fit; {hint}")))
    }

    /// For `--json`.
    pub(crate) fn json(&self, config: &RunConfig) -> Value {
        let tokens = self.positions(config).max(1) as f64;
        let Memory { weights, gradients, moments, activations, logits, total } = self.memory;
        json!({
            "params": self.params,
            "flops_per_token": self.flops.usual() as f64 / tokens,
            "flops_per_token_needed": self.flops.needed() as f64 / tokens,
            "flops_per_step": self.flops.usual(),
            "memory_bytes": {
                "weights": weights, "gradients": gradients, "moments": moments, "activations": activations,
                "logits": logits, "needs": total, "free": self.free,
            },
        })
    }
}
