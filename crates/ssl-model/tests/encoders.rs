//! Every encoder learns: each weight gets a gradient, one batch can be learned by heart, bf16 stays near fp32.

use ssl_data::batch::{Attend, Batch, Rows, Sentences, Source};
use ssl_data::objective::Form;
use ssl_model::config::{
    BertConfig, ContrastiveConfig, ElectraConfig, GeneratorConfig, ModelConfig, ModernbertConfig, Parts, Pooling, Variant,
};
use ssl_model::electra::Electra;
use ssl_model::layer::present;
use ssl_model::params::{Params, Precision};
use ssl_model::{Model, Pass};
use tch::{Device, Kind, Tensor};

const MASK: i64 = 1;
const PAD: i64 = 2;

fn bert(variant: Variant, next_sentence: bool) -> BertConfig {
    let segments = if variant == Variant::Bert { 2 } else { 1 };
    let shape = BertConfig { layers: 2, heads: 2, width: 32, context_tokens: 16, ..BertConfig::default() };
    BertConfig { variant, next_sentence, segments, dropout: 0.0, ..shape }
}

fn modernbert() -> ModernbertConfig {
    let shape = ModernbertConfig { layers: 3, heads: 2, width: 32, feed_forward_width: 48, ..ModernbertConfig::default() };
    ModernbertConfig { context_tokens: 16, local_window: 4, ..shape }
}

fn electra() -> ElectraConfig {
    let generator = GeneratorConfig { width: Some(16), heads: Some(1), ..GeneratorConfig::default() };
    let shape = ElectraConfig { layers: 2, heads: 2, width: 32, embedding_width: 24, ..ElectraConfig::default() };
    ElectraConfig { context_tokens: 16, dropout: 0.0, generator, ..shape }
}

fn models() -> [ModelConfig; 5] {
    [
        ModelConfig::Bert(bert(Variant::Bert, false)),
        ModelConfig::Bert(bert(Variant::Bert, true)),
        ModelConfig::Bert(bert(Variant::Roberta, false)),
        ModelConfig::Modernbert(modernbert()),
        ModelConfig::Electra(electra()),
    ]
}

/// Four rows of 15 positions, the last of them two thirds full; every third token is masked.
fn rows() -> Rows<Tensor> {
    let (b, t) = (4_i64, 15_i64);
    let place = |row: i64, at: i64| row == 3 && at >= 10;
    let each = |f: &dyn Fn(i64, i64) -> i64| {
        let data: Vec<i64> = (0..b).flat_map(|row| (0..t).map(move |at| (row, at))).map(|(row, at)| f(row, at)).collect();
        Tensor::from_slice(&data).view([b, t])
    };
    let token = |row: i64, at: i64| 3 + (row * 17 + at * (5 + row)) % 47;
    let masked = |row: i64, at: i64| at > 0 && (at + row) % 3 == 0 && !place(row, at);
    let inputs = each(&|row, at| match (place(row, at), masked(row, at)) {
        (true, _) => PAD,
        (_, true) => MASK,
        _ => token(row, at),
    });
    let weights = each(&|row, at| i64::from(masked(row, at))).to_kind(Kind::Float);
    let counts = weights.sum_dim_intlist(1, false, Kind::Float);
    Rows {
        documents: Some(each(&|row, at| i64::from(place(row, at)))),
        attend: Attend::Both,
        sentences: Some(Sentences { segments: each(&|_, at| i64::from(at > 6)), random: Tensor::from_slice(&[0_i64, 1, 0, 1]) }),
        ..Rows::new(inputs, each(&token), weights, counts, each(&|_, at| at))
    }
}

fn texts() -> Source<Tensor> {
    let rows = rows();
    Source { present: present(&rows).to_kind(Kind::Int64), ids: rows.targets }
}

fn built(config: &ModelConfig, precision: Precision) -> (Box<dyn Model>, Params) {
    let mut params = Params::new(Device::Cpu, precision, Some(1));
    (config.build(50, &mut params), params)
}

fn norm(params: &Params, at: usize) -> f64 {
    params.list()[at].leaf.grad().norm().double_value(&[])
}

/// Softmax does not see a shift of all scores, so that the true gradient of a key's bias is 0.
fn shift(name: &str) -> bool {
    name.ends_with("attention.self.key.bias")
}

#[test]
fn padding_is_found() {
    let rows = rows();
    assert_eq!(present(&rows), rows.documents.as_ref().expect("documents").eq(0));
    // A last document that is masked somewhere, or is of several tokens, is text.
    let masked = rows.weights.copy();
    let _ = masked.get(3).narrow(0, 14, 1).fill_(1.0);
    assert!(present(&Rows { weights: masked, ..self::rows() }).all().int64_value(&[]) == 1);
    let mixed = rows.inputs.copy();
    let _ = mixed.get(3).narrow(0, 14, 1).fill_(7);
    assert!(present(&Rows { inputs: mixed, ..rows }).all().int64_value(&[]) == 1);
}

#[test]
fn every_weight_gets_a_finite_gradient_that_is_not_zero() {
    for config in models() {
        let (model, params) = built(&config, Precision::Fp32);
        model.loss(&Batch::Rows(rows()), Pass::Train).total.backward();
        for (at, param) in params.list().iter().enumerate() {
            let norm = norm(&params, at);
            assert!(norm.is_finite() && (norm > 0.0 || shift(&param.name)), "{}: {}: {norm}", config.name(), param.name);
        }
    }
}

/// The same model, which is to tell texts apart by their first token.
fn by_first(config: &ModelConfig) -> ModelConfig {
    let contrastive = ContrastiveConfig { pooling: Pooling::ClsMlp, ..ContrastiveConfig::default() };
    match config.clone() {
        ModelConfig::Bert(c) => ModelConfig::Bert(BertConfig { contrastive, ..c }),
        ModelConfig::Modernbert(c) => ModelConfig::Modernbert(ModernbertConfig { contrastive, ..c }),
        ModelConfig::Electra(c) => ModelConfig::Electra(ElectraConfig { contrastive, ..c }),
        other => other,
    }
}

#[test]
fn texts_reach_the_stack_and_leave_the_heads_alone() {
    for config in models() {
        let config = by_first(&config);
        let (model, params) = built(&config, Precision::Fp32);
        let loss = model.loss(&Batch::Texts(texts()), Pass::Train);
        assert_eq!(loss.nats.size(), [4, 1]);
        assert_eq!(loss.rows().iter().map(|row| row.1).sum::<f64>(), 4.0);
        loss.total.backward();
        for (at, param) in params.list().iter().enumerate() {
            let heads = ["cls.", "lm_head.", "head.", "decoder.", "generator.", "discriminator_predictions.", "bert.pooler."];
            let head = heads.iter().any(|head| param.name.starts_with(head));
            let norm = norm(&params, at);
            assert!(norm.is_finite() && (shift(&param.name) || head == (norm == 0.0)), "{}: {norm}", param.name);
        }
    }
}

#[test]
fn one_batch_is_learned_by_heart() {
    // A discriminator's loss rests on the generator's chance, which is better the better both are.
    for config in models().into_iter().filter(|config| config.name() != "electra") {
        let (model, params) = built(&config, Precision::Fp32);
        let batch = Batch::Rows(rows());
        let count = rows().counts.sum(Kind::Double).double_value(&[]);
        let mut losses = Vec::new();
        for _ in 0..150 {
            let loss = model.loss(&batch, Pass::Train);
            losses.push(loss.total.double_value(&[]) / count);
            loss.total.backward();
            for param in params.list() {
                let (mut leaf, mut grad) = (param.leaf.shallow_clone(), param.leaf.grad());
                tch::no_grad(|| {
                    let _ = leaf.g_sub_(&(grad.sign() * 2e-3));
                    let _ = grad.zero_();
                });
            }
        }
        // ln 50, and ln 2 where the next sentence is asked for.
        assert!(losses[0] > 3.6 && losses[149] < 0.3, "{} goes from {} to {}", config.name(), losses[0], losses[149]);
    }
}

#[test]
fn a_discriminator_learns_which_words_were_put_in() {
    let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(1));
    let model = Electra::new(&electra(), 50, &mut params);
    let rows = rows();
    let words = Tensor::from_slice(&[9_i64]).repeat([rows.counts.sum(Kind::Int64).int64_value(&[])]);
    let mut losses = Vec::new();
    for _ in 0..150 {
        let loss = model.loss_with(&rows, Some(&words), Pass::Train);
        losses.push(loss.total.double_value(&[]) / rows.counts.sum(Kind::Double).double_value(&[]));
        loss.total.backward();
        for param in params.list() {
            let (mut leaf, mut grad) = (param.leaf.shallow_clone(), param.leaf.grad());
            tch::no_grad(|| {
                let _ = leaf.g_sub_(&(grad.sign() * 2e-3));
                let _ = grad.zero_();
            });
        }
    }
    // It begins at ln 50 + 50 ln 2.
    assert!((losses[0] - 38.6).abs() < 1.0 && losses[149] < 3.0, "from {} to {}", losses[0], losses[149]);
}

#[test]
fn bf16_stays_near_fp32_in_loss_and_gradients() {
    let words = Tensor::from_slice(&[9_i64]).repeat([rows().counts.sum(Kind::Int64).int64_value(&[])]);
    for config in models() {
        let runs = [Precision::Fp32, Precision::Bf16].map(|precision| {
            let mut params = Params::new(Device::Cpu, precision, Some(1));
            let loss = match &config {
                // With words given: a sample may fall to the other side of a rounded probability.
                ModelConfig::Electra(c) => Electra::new(c, 50, &mut params).loss_with(&rows(), Some(&words), Pass::Train),
                _ => config.build(50, &mut params).loss(&Batch::Rows(rows()), Pass::Train),
            };
            loss.total.backward();
            (loss.total.double_value(&[]), params)
        });
        let [(wide, wide_params), (narrow, narrow_params)] = &runs;
        assert!((narrow / wide - 1.0).abs() < 5e-3, "{}: {narrow} for {wide}", config.name());
        for (a, b) in wide_params.list().iter().zip(narrow_params.list()) {
            assert_eq!(a.master, b.master, "masters begin equal");
            assert_eq!(b.leaf.kind(), Kind::BFloat16);
            let name = &a.name;
            let (a, b) = (a.leaf.grad().to_kind(Kind::Double), b.leaf.grad().to_kind(Kind::Double));
            let off = ((&a - b).norm() / a.norm()).double_value(&[]);
            assert!(off < 0.1 || shift(name), "{}: {name}: {off}", config.name());
        }
    }
}

#[test]
fn what_a_model_reads_is_said() {
    for config in models() {
        assert!(config.reads(Form::Both) && config.reads(Form::Texts) && !config.reads(Form::Causal), "{}", config.name());
    }
    let alone = ModelConfig::Electra(ElectraConfig { parts: Parts::Discriminator, ..electra() });
    assert!(!alone.reads(Form::Both) && alone.reads(Form::Texts));
}

#[test]
fn faults_of_a_table_are_named() {
    let paths = |config: ModelConfig| -> Vec<String> { config.validate().into_iter().map(|fault| fault.path).collect() };
    for config in models() {
        assert!(paths(config).is_empty());
    }
    let bert = bert(Variant::Roberta, true);
    assert_eq!(paths(ModelConfig::Bert(bert.clone())), ["model.bert.next-sentence"]);
    assert_eq!(paths(ModelConfig::Bert(BertConfig { heads: 5, next_sentence: false, ..bert })), ["model.bert.heads"]);
    let modern = ModernbertConfig { width: 0, local_window: 1 << 21, dropout: 1.0, local_rope_base: 1.0, ..modernbert() };
    let found = paths(ModelConfig::Modernbert(modern));
    let expect = ["width", "local-window", "dropout", "local-rope-base"].map(|key| format!("model.modernbert.{key}"));
    assert_eq!(found, expect);
    let generator = GeneratorConfig { width: Some(10), heads: Some(3), ..GeneratorConfig::default() };
    let contrastive = ContrastiveConfig { temperature: 0.0, ..ContrastiveConfig::default() };
    let found = paths(ModelConfig::Electra(ElectraConfig { generator, contrastive, ..electra() }));
    assert_eq!(found, ["model.electra.generator.heads", "model.electra.contrastive.temperature"]);
}
