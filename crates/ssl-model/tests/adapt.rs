//! Adapters, heads and preferences: what adapts a model gives what its papers' equations give.

use ssl_data::batch::{Attend, Batch, Rows, Source};
use ssl_model::config::{BertConfig, GptConfig, LlamaConfig, ModelConfig, T5Config};
use ssl_model::dpo::Dpo;
use ssl_model::head::{HeadConfig, Headed, Pool};
use ssl_model::layer::LoraConfig;
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{self, WEIGHTS};
use ssl_model::{Model, Pass};
use tch::{Device, Kind, Tensor};

const VOCAB: u32 = 40;

fn gpt() -> ModelConfig {
    ModelConfig::Gpt(GptConfig { layers: 2, heads: 2, width: 16, context_tokens: 16, dropout: 0.0, ..GptConfig::default() })
}

fn bert() -> ModelConfig {
    ModelConfig::Bert(BertConfig { layers: 2, heads: 2, width: 16, context_tokens: 16, dropout: 0.0, ..BertConfig::default() })
}

fn all() -> Vec<ModelConfig> {
    let llama = serde_json::json!({
        "layers": 2, "heads": 2, "kv-heads": 2, "width": 16, "feed-forward-width": 24, "context-tokens": 16,
    });
    let llama: LlamaConfig = serde_json::from_value(llama).expect("a shape");
    let t5 = T5Config { layers: 1, heads: 2, width: 16, dropout: 0.0, ..T5Config::default() };
    vec![gpt(), ModelConfig::Llama(llama), bert(), ModelConfig::T5(t5)]
}

fn params(seed: Option<u64>) -> Params {
    Params::new(Device::Cpu, Precision::Fp32, seed)
}

/// Ids that differ from row to row, `[rows, length]`.
fn ids(rows: i64, length: i64, vocab: i64) -> Tensor {
    (Tensor::arange(rows * length, (Kind::Int64, Device::Cpu)) * 7 + 3).remainder(vocab).view([rows, length])
}

fn rows(rows: i64, length: i64, attend: Attend<Tensor>) -> Rows<Tensor> {
    let ids = ids(rows, length, i64::from(VOCAB));
    let ones = Tensor::ones([rows, length], (Kind::Float, Device::Cpu));
    let positions = Tensor::arange(length, (Kind::Int64, Device::Cpu)).expand([rows, length], false).contiguous();
    let counts = ones.sum_dim_intlist(1, false, Kind::Float);
    Rows { attend, ..Rows::new(ids.shallow_clone(), ids.roll([1], [1]), ones, counts, positions) }
}

fn batch(config: &ModelConfig) -> Batch<Tensor> {
    match config {
        ModelConfig::Bert(_) => Batch::Rows(rows(2, 8, Attend::Both)),
        ModelConfig::T5(_) => {
            let present = Tensor::ones([2, 8], (Kind::Int64, Device::Cpu));
            Batch::Pair(Source { ids: ids(2, 8, i64::from(VOCAB)), present }, rows(2, 6, Attend::Causal))
        }
        _ => Batch::Rows(rows(2, 8, Attend::Causal)),
    }
}

fn close(a: &Tensor, b: &Tensor) -> f64 {
    tch::no_grad(|| (a - b).abs().max().double_value(&[]))
}

#[test]
fn a_merged_adapter_is_the_adapter() {
    for config in all() {
        let mut adapted = params(Some(1));
        adapted.adapt(Some(LoraConfig { rank: 2, ..LoraConfig::default() }));
        let model = config.build(VOCAB, &mut adapted);
        let batch = batch(&config);
        let logits = |model: &dyn Model| tch::no_grad(|| model.logits(&batch));
        let begun = logits(model.as_ref());
        for (at, param) in adapted.list().iter().enumerate() {
            if param.name.contains("lora_B") {
                adapted.set(
                    at,
                    &(Tensor::arange(param.master.numel() as i64, (Kind::Float, Device::Cpu)).sin() * 0.05)
                        .view_as(&param.master),
                );
            }
        }
        let beside = logits(model.as_ref());
        assert!(close(&begun, &beside) > 1e-3, "{}: the adapter does nothing", config.name());

        let before: Vec<Tensor> = adapted.list().iter().map(|param| param.master.copy()).collect();
        adapted.fold(1.0);
        let dir = tempfile::tempdir().unwrap();
        weights::save(&dir.path().join(WEIGHTS), &adapted.adapters(false), &[]).unwrap();
        let mut plain = params(None);
        let merged = config.build(VOCAB, &mut plain);
        weights::load(&dir.path().join(WEIGHTS), &plain).unwrap();
        let apart = close(&logits(merged.as_ref()), &beside);
        assert!(apart < 1e-5, "{}: merged and unmerged differ by {apart}", config.name());

        adapted.fold(-1.0);
        for (param, before) in adapted.list().iter().zip(&before) {
            assert!(close(&param.master, before) < 1e-6, "{} did not come back", param.name);
        }
    }
}

#[test]
fn an_adapter_is_a_fiftieth_of_its_model() {
    for config in [ModelConfig::Bert(BertConfig::default()), ModelConfig::Gpt(GptConfig::default())] {
        let mut planned = Params::planned();
        planned.adapt(Some(LoraConfig::default()));
        let _model = config.build(30_000, &mut planned);
        let (own, rest) = (planned.adapters(true).count(), planned.adapters(false).count());
        assert!(own > 0 && own * 50 < rest, "{}: {own} of {rest}", config.name());
    }
}

/// A head's model over `config`, its parameters, and its batch with `targets` and `weights` set.
fn headed(config: &ModelConfig, head: &HeadConfig) -> (Headed, Params) {
    let mut params = params(Some(3));
    let base = config.build(VOCAB, &mut params);
    let model = Headed::new(base, config, head, 0.0, &mut params);
    (model, params)
}

#[test]
fn a_class_is_read_from_a_text_and_not_from_its_padding() {
    for pool in [Pool::Mean, Pool::First, Pool::Last, Pool::Pooler] {
        for config in [gpt(), bert()] {
            let (model, params) = headed(&config, &HeadConfig::Classes { count: 3, pool });
            let attend = if matches!(config, ModelConfig::Bert(_)) { Attend::Both } else { Attend::Causal };
            let short = Rows { weights: rows(1, 5, Attend::Both).weights.zeros_like(), ..rows(1, 5, attend.shallow()) };
            let pad = |x: &Tensor| x.constant_pad_nd([0, 3]);
            let documents = Some(Tensor::from_slice(&[0_i64, 0, 0, 0, 0, 1, 1, 1]).unsqueeze(0));
            let long = Rows {
                documents,
                attend,
                ..Rows::new(
                    pad(&short.inputs),
                    pad(&short.targets),
                    pad(&short.weights),
                    short.counts.copy(),
                    pad(&short.positions),
                )
            };
            let logits = |rows: Rows<Tensor>| tch::no_grad(|| model.logits(&Batch::Rows(rows)));
            let (alone, padded) = (logits(short), logits(long));
            assert_eq!(alone.size(), [1, 1, 3]);
            let apart = close(&alone, &padded);
            assert!(apart < 1e-5, "{pool:?} of {}: {apart}", config.name());
            assert!(
                params
                    .list()
                    .iter()
                    .any(|param| param.name == if pool == Pool::Last { "score.weight" } else { "classifier.weight" })
            );
        }
    }
}

trait Shallow {
    fn shallow(&self) -> Self;
}

impl Shallow for Attend<Tensor> {
    fn shallow(&self) -> Self {
        match self {
            Attend::Causal => Attend::Causal,
            Attend::Both => Attend::Both,
            Attend::Prefix(prefix) => Attend::Prefix(prefix.shallow_clone()),
        }
    }
}

#[test]
fn losses_of_heads_are_cross_entropies() {
    let config = bert();
    let at = |x: &Tensor, row: i64, column: i64| x.double_value(&[row, column]);
    let log = |logits: &Tensor| logits.log_softmax(-1, Kind::Double);

    let (model, _params) = headed(&config, &HeadConfig::Classes { count: 3, pool: Pool::Mean });
    let mut rows_ = rows(2, 8, Attend::Both);
    rows_.targets = Tensor::from_slice(&[2_i64, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]).view([2, 8]);
    rows_.weights = Tensor::from_slice(&[1_f32, 0., 0., 0., 0., 0., 0., 0., 2., 0., 0., 0., 0., 0., 0., 0.]).view([2, 8]);
    let batch = Batch::Rows(rows_);
    let log_p = tch::no_grad(|| log(&model.logits(&batch).squeeze_dim(1)));
    let expect = -(at(&log_p, 0, 2) + 2.0 * at(&log_p, 1, 1));
    let found = tch::no_grad(|| model.loss(&batch, Pass::Eval).total.double_value(&[]));
    assert!((found - expect).abs() < 1e-5, "{found} for {expect}");

    let (model, _params) = headed(&config, &HeadConfig::Span {});
    let mut rows_ = rows(2, 8, Attend::Both);
    // The first row's answer runs from 2 to 5, the second's is the one token 3.
    rows_.targets = Tensor::from_slice(&[0_i64, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]).view([2, 8]);
    rows_.weights = Tensor::from_slice(&[0_f32, 0., 0.5, 0., 0., 0.5, 0., 0., 0., 0., 0., 1., 0., 0., 0., 0.]).view([2, 8]);
    let batch = Batch::Rows(rows_);
    let log_p = tch::no_grad(|| model.logits(&batch).log_softmax(1, Kind::Double));
    let of = |row: i64, column: i64, which: i64| log_p.double_value(&[row, column, which]);
    let expect = -0.5 * (of(0, 2, 0) + of(0, 5, 1) + of(1, 3, 0) + of(1, 3, 1));
    let found = tch::no_grad(|| model.loss(&batch, Pass::Eval).total.double_value(&[]));
    assert!((found - expect).abs() < 1e-5, "{found} for {expect}");
}

#[test]
fn preferences_have_the_gradient_of_their_equation() {
    let beta = 0.5;
    let config = gpt();
    let (mut ours, mut theirs) = (params(Some(5)), params(Some(5)));
    let (model, reference) = (config.build(VOCAB, &mut ours), config.build(VOCAB, &mut theirs));
    theirs.set_rates(|_| 0.0);
    // Away from where it began, where all margins are 0.
    for (at, param) in ours.list().iter().enumerate() {
        let noise = Tensor::arange(param.master.numel() as i64, (Kind::Float, Device::Cpu)).cos().view_as(&param.master);
        ours.set(at, &tch::no_grad(|| &param.master + noise * 0.02));
    }
    let mut rows_ = rows(4, 8, Attend::Causal);
    rows_.weights = Tensor::from_slice(&[0_f32, 0., 0., 1., 1., 1., 1., 0.]).expand([4, 8], false).contiguous();
    let targets = rows_.targets.shallow_clone();
    let weights = rows_.weights.shallow_clone();
    let batch = Batch::Rows(rows_);
    let log_p = |model: &dyn Model| {
        let log = model.logits(&batch).log_softmax(2, Kind::Float).gather(2, &targets.unsqueeze(2), false).squeeze_dim(2);
        (log * &weights).sum_dim_intlist(1, false, Kind::Double).view([2, 2])
    };
    let beyond = log_p(model.as_ref()) - tch::no_grad(|| log_p(reference.as_ref()));
    let margins = (beyond.select(1, 0) - beyond.select(1, 1)) * beta;
    let expect = -margins.log_sigmoid().sum(Kind::Double);
    expect.backward();
    let grads: Vec<Tensor> = ours.list().iter().map(|param| param.leaf.grad().copy()).collect();
    let leaves: Vec<Tensor> = ours.list().iter().map(|param| param.leaf.shallow_clone()).collect();
    ssl_torch::optimizer::drop_grads(&leaves).unwrap();

    let dpo = Dpo::new(model, reference, beta);
    let loss = dpo.loss(&batch, Pass::Train);
    assert!((loss.total.double_value(&[]) - expect.double_value(&[])).abs() < 1e-6);
    assert!(loss.rows().iter().map(|(nats, _)| nats).sum::<f64>() - expect.double_value(&[]) < 1e-5);
    loss.total.backward();
    for ((param, leaf), grad) in ours.list().iter().zip(&leaves).zip(&grads) {
        let apart = close(&leaf.grad(), grad);
        assert!(apart < 1e-5 * (1.0 + grad.abs().max().double_value(&[])), "{}: {apart}", param.name);
    }
    assert!(grads.iter().any(|grad| grad.abs().max().double_value(&[]) > 1e-3));
}
