//! What is written for llama.cpp, read back by a parser that knows nothing of the writer.

mod support;

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;
use ssl_model::config::ModelConfig;
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{self, Numbers, Value};
use support::Golden;
use tch::{Device, Kind, Tensor};

/// A tensor of a file: extents from the innermost on, the number of its type, its bytes.
struct Found {
    extents: Vec<u64>,
    kind: u32,
    bytes: Vec<u8>,
}

/// A file, taken apart by the format's description.
struct Parsed {
    /// Values by key, each with the number of its type before it.
    about: BTreeMap<String, String>,
    tensors: BTreeMap<String, Found>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.bytes[self.at..self.at + N].try_into().expect("bytes");
        self.at += N;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let length = self.u64() as usize;
        self.at += length;
        String::from_utf8(self.bytes[self.at - length..self.at].to_vec()).expect("UTF-8")
    }

    fn value(&mut self, kind: u32) -> String {
        match kind {
            4 => self.u32().to_string(),
            5 => i32::from_le_bytes(self.take()).to_string(),
            6 => format!("{:?}", f32::from_le_bytes(self.take())),
            7 => (self.take::<1>() == [1]).to_string(),
            8 => self.text(),
            9 => {
                let (kind, count) = (self.u32(), self.u64());
                let items: Vec<String> = (0..count).map(|_| self.value(kind)).collect();
                format!("{kind}:{}", items.join(","))
            }
            other => panic!("type {other}"),
        }
    }
}

fn parse(bytes: &[u8]) -> Parsed {
    let mut reader = Reader { bytes, at: 0 };
    assert_eq!((&reader.take::<4>(), reader.u32()), (b"GGUF", 3));
    let (tensors, values) = (reader.u64(), reader.u64());
    let mut about = BTreeMap::new();
    for _ in 0..values {
        let (key, kind) = (reader.text(), reader.u32());
        let value = format!("{kind} {}", reader.value(kind));
        assert!(about.insert(key.clone(), value).is_none(), "{key} twice");
    }
    let mut infos = Vec::new();
    for _ in 0..tensors {
        let name = reader.text();
        let axes = reader.u32();
        let extents: Vec<u64> = (0..axes).map(|_| reader.u64()).collect();
        infos.push((name, extents, reader.u32(), reader.u64()));
    }
    let data = reader.at.next_multiple_of(32);
    let mut end = data;
    let mut found = BTreeMap::new();
    for (name, extents, kind, offset) in infos {
        let count: u64 = extents.iter().product();
        let bytes_of = match kind {
            0 => count * 4,
            1 | 30 => count * 2,
            8 => count / 32 * 34,
            other => panic!("type {other}"),
        };
        // Tensors follow each other at multiples of 32, with zeros between.
        let at = data + offset as usize;
        assert_eq!((at, offset % 32), (end.next_multiple_of(32), 0), "{name}");
        assert!(bytes[end..at].iter().all(|&byte| byte == 0), "{name}");
        end = at + bytes_of as usize;
        assert!(found.insert(name, Found { extents, kind, bytes: bytes[at..end].to_vec() }).is_none());
    }
    assert_eq!(end.next_multiple_of(32), bytes.len());
    Parsed { about, tensors: found }
}

fn exported(golden: &Golden, numbers: Numbers, about: Vec<(String, Value)>) -> Parsed {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.gguf");
    weights::export_gguf(&path, &golden.config, golden.vocab, &golden.params, &[], numbers, about).expect("written");
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1, "nothing else is left");
    parse(&fs::read(path).expect("a file"))
}

/// A weight of ours.
fn own(golden: &Golden, name: &str) -> Tensor {
    golden.params.list().iter().find(|param| param.name == name).unwrap_or_else(|| panic!("no {name}")).master.shallow_clone()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().to_kind(Kind::Float).contiguous().view([-1])).expect("numbers")
}

fn floats(found: &Found) -> Vec<f32> {
    assert_eq!(found.kind, 0);
    found.bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// IEEE 754's 16 bits, by the definition.
fn half(bits: [u8; 2]) -> f32 {
    let bits = u16::from_le_bytes(bits);
    let (sign, power, rest) = (bits >> 15, i32::from((bits >> 10) & 31), f32::from(bits & 1023));
    let size = if power == 0 { rest * 2_f32.powi(-24) } else { (1024.0 + rest) * 2_f32.powi(power - 25) };
    if sign == 1 { -size } else { size }
}

#[test]
fn a_gpt_is_written_bit_for_bit_under_the_other_names() {
    let golden = Golden::open("gpt2");
    let ModelConfig::Gpt(config) = &golden.config else { panic!("another model") };
    let about = vec![
        ("a.text".to_owned(), Value::Text("é\n".into())),
        ("a.flag".to_owned(), Value::Bool(true)),
        ("a.texts".to_owned(), Value::Texts(vec!["x".into(), String::new(), "Ġy z".into()])),
        ("a.ints".to_owned(), Value::Ints(vec![1, -3])),
    ];
    let parsed = exported(&golden, Numbers::F32, about);
    let said = |key: &str| parsed.about.get(key).unwrap_or_else(|| panic!("no {key}")).as_str();
    for (key, value) in [
        ("general.architecture", "8 gpt2".to_owned()),
        ("general.file_type", "4 0".to_owned()),
        ("gpt2.context_length", format!("4 {}", config.context_tokens)),
        ("gpt2.block_count", format!("4 {}", config.layers)),
        ("gpt2.embedding_length", format!("4 {}", config.width)),
        ("gpt2.feed_forward_length", format!("4 {}", config.feed_forward())),
        ("gpt2.attention.head_count", format!("4 {}", config.heads)),
        ("gpt2.attention.layer_norm_epsilon", format!("6 {:?}", config.norm_eps as f32)),
        ("a.text", "8 é\n".to_owned()),
        ("a.flag", "7 true".to_owned()),
        ("a.texts", "9 8:x,,Ġy z".to_owned()),
        ("a.ints", "9 5:1,-3".to_owned()),
    ] {
        assert_eq!(said(key), value, "{key}");
    }
    assert_eq!(parsed.tensors.len(), golden.params.list().len());
    for (theirs, ours, transposed) in [
        ("token_embd.weight", "transformer.wte.weight", false),
        ("position_embd.weight", "transformer.wpe.weight", false),
        ("output_norm.bias", "transformer.ln_f.bias", false),
        ("blk.0.attn_norm.weight", "transformer.h.0.ln_1.weight", false),
        ("blk.1.attn_qkv.weight", "transformer.h.1.attn.c_attn.weight", true),
        ("blk.1.attn_qkv.bias", "transformer.h.1.attn.c_attn.bias", false),
        ("blk.0.attn_output.weight", "transformer.h.0.attn.c_proj.weight", true),
        ("blk.0.ffn_norm.bias", "transformer.h.0.ln_2.bias", false),
        ("blk.1.ffn_up.weight", "transformer.h.1.mlp.c_fc.weight", true),
        ("blk.1.ffn_down.weight", "transformer.h.1.mlp.c_proj.weight", true),
    ] {
        let (found, mut expect) = (&parsed.tensors[theirs], own(&golden, ours));
        if transposed {
            expect = expect.tr();
        }
        let extents: Vec<u64> = expect.size().iter().rev().map(|&extent| extent as u64).collect();
        assert_eq!(found.extents, extents, "{theirs}");
        assert_eq!(floats(found), numbers(&expect), "{theirs}");
    }
}

#[test]
fn queries_and_keys_of_a_llama_turn_neighbours() {
    for name in ["llama", "llama-tied"] {
        let golden = Golden::open(name);
        let ModelConfig::Llama(config) = &golden.config else { panic!("another model") };
        let parsed = exported(&golden, Numbers::F32, Vec::new());
        assert_eq!(parsed.about["llama.attention.head_count_kv"], format!("4 {}", config.kv_heads));
        assert_eq!(parsed.about["llama.rope.freq_base"], format!("6 {:?}", config.rope_base as f32));
        assert_eq!(parsed.about["llama.vocab_size"], format!("4 {}", golden.vocab));
        assert_eq!(parsed.tensors.contains_key("output.weight"), !config.tied);
        let width = (config.width / config.heads) as usize;
        for (theirs, ours, turned) in [
            ("blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight", true),
            ("blk.1.attn_k.weight", "model.layers.1.self_attn.k_proj.weight", true),
            ("blk.1.attn_v.weight", "model.layers.1.self_attn.v_proj.weight", false),
            ("blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight", false),
        ] {
            let (found, expect) = (floats(&parsed.tensors[theirs]), numbers(&own(&golden, ours)));
            let (inputs, rows) = (config.width as usize, expect.len() / config.width as usize);
            let row = |numbers: &[f32], at: usize| numbers[at * inputs..(at + 1) * inputs].to_vec();
            for at in 0..rows {
                // Feature 2i of a head, and the one after it, are what transformers has at i and half a head further.
                let (head, inside) = (at / width, at % width);
                let from = head * width + inside / 2 + if inside % 2 == 1 { width / 2 } else { 0 };
                assert_eq!(row(&found, at), row(&expect, if turned { from } else { at }), "{theirs} {at}");
            }
        }
    }
}

#[test]
fn shorter_numbers_are_off_by_their_rounding_alone() {
    let golden = Golden::open("llama");
    let name = "model.layers.0.mlp.down_proj.weight";
    let expect = numbers(&own(&golden, name));
    let stored = |kind: Numbers| exported(&golden, kind, Vec::new()).tensors.remove("blk.0.ffn_down.weight").expect("a tensor");
    let f16 = stored(Numbers::F16);
    assert_eq!(f16.kind, 1);
    for (bits, x) in f16.bytes.as_chunks().0.iter().zip(&expect) {
        assert!((half(*bits) - x).abs() <= x.abs() * 2_f32.powi(-11) + 2_f32.powi(-25), "{x}");
    }
    let bf16 = stored(Numbers::Bf16);
    assert_eq!(bf16.kind, 30);
    for (bits, x) in bf16.bytes.as_chunks::<2>().0.iter().zip(&expect) {
        let back = f32::from_bits(u32::from(u16::from_le_bytes(*bits)) << 16);
        assert!((back - x).abs() <= x.abs() * 2_f32.powi(-8), "{x}");
    }
    // Vectors stay whole.
    let mut parsed = exported(&golden, Numbers::F16, Vec::new());
    assert_eq!(
        floats(&parsed.tensors.remove("output_norm.weight").expect("a norm")),
        numbers(&own(&golden, "model.norm.weight"))
    );
}

/// A Llama with rows of 64 and 96 numbers, whose weights the seed draws.
fn drawn(width: u32, up: u32) -> (ModelConfig, Params) {
    let shape = json!({
        "layers": 1, "heads": 2, "kv-heads": 1, "width": width, "feed-forward-width": up, "context-tokens": 8,
    });
    let config: ModelConfig = serde_json::from_value(json!({ "llama": shape })).expect("a model");
    let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(7));
    config.build(40, &mut params);
    (config, params)
}

#[test]
fn blocks_of_eight_bits_are_off_by_half_a_step() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.gguf");
    let (config, params) = drawn(64, 90);
    // A block of zeros, and one whose numbers lie on the grid and between: 127 steps of 1 / 64.
    let at = params.list().iter().position(|param| param.name.contains("o_proj")).expect("a map");
    let mut first: Vec<f32> = vec![0.0; 32];
    first.extend((0..32).map(|i| if i == 0 { 127.0 / 64.0 } else { (i as f32 - 16.0) / 128.0 }));
    let changed = params.list()[at].master.detach().copy();
    changed.get(0).copy_(&Tensor::from_slice(&first));
    params.set(at, &changed);
    weights::export_gguf(&path, &config, 40, &params, &[], Numbers::Q8_0, Vec::new()).expect("written");
    let parsed = parse(&fs::read(&path).expect("a file"));
    assert_eq!(parsed.about["general.file_type"], "4 7");

    let found = &parsed.tensors["blk.0.attn_output.weight"];
    assert_eq!((found.kind, &found.extents[..]), (8, &[64, 64][..]));
    assert_eq!(found.bytes[..34], [0; 34], "zeros are zeros");
    let (scale, grid) = (half([found.bytes[34], found.bytes[35]]), &found.bytes[36..68]);
    // Halves go away from zero: -7.5 becomes -8, and 0.5 becomes 1.
    assert_eq!((scale, grid[0] as i8, grid[1] as i8, grid[2] as i8, grid[17] as i8), (1.0 / 64.0, 127, -8, -7, 1));
    for (name, ours) in [("blk.0.attn_output.weight", "o_proj"), ("token_embd.weight", "embed_tokens")] {
        let master = &params.list().iter().find(|param| param.name.contains(ours)).expect("a map").master;
        for (block, xs) in parsed.tensors[name].bytes.chunks_exact(34).zip(numbers(master).chunks_exact(32)) {
            let (scale, most) = (half([block[0], block[1]]), xs.iter().fold(0.0_f32, |most, x| most.max(x.abs())));
            assert!((scale - most / 127.0).abs() <= most / 127.0 * 2_f32.powi(-11) + 2_f32.powi(-25));
            // Half a step, and what the scale's own rounding takes from the largest number.
            let bound = most / 127.0 * (0.5 + 127.0 * 2_f32.powi(-11)) * 1.0001 + 127.0 * 2_f32.powi(-25);
            for (byte, x) in block[2..].iter().zip(xs) {
                assert!((f32::from(*byte as i8) * scale - x).abs() <= bound, "{name}: {x}");
            }
        }
    }
    // Rows of 90 do not divide by 32.
    assert_eq!((parsed.tensors["blk.0.ffn_down.weight"].kind, parsed.tensors["blk.0.ffn_up.weight"].kind), (1, 8));
}

#[test]
fn what_it_cannot_hold_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.gguf");
    let bert = Golden::open("bert");
    let fault = weights::export_gguf(&path, &bert.config, bert.vocab, &bert.params, &[], Numbers::F32, Vec::new());
    let fault = fault.expect_err("a fault").to_string();
    assert!(fault.contains("model.gpt and model.llama") && fault.contains("model.bert"), "{fault}");
    let (config, params) = drawn(64, 96);
    let extra = [("score.weight".to_owned(), Tensor::zeros([2, 64], (Kind::Float, Device::Cpu)))];
    let fault = weights::export_gguf(&path, &config, 40, &params, &extra, Numbers::F32, Vec::new());
    assert!(fault.expect_err("a fault").to_string().contains("score.weight has no place"));
    // 70000 is beyond the 16 bits of IEEE 754, not of bfloat16.
    params.set(0, &(params.list()[0].master.detach() + 70_000.0));
    for (numbers, fits) in [(Numbers::F16, false), (Numbers::Bf16, true), (Numbers::Q8_0, true)] {
        let written = weights::export_gguf(&path, &config, 40, &params, &[], numbers, Vec::new());
        assert_eq!((written.is_ok(), path.exists()), (fits, fits), "{written:?}");
        let _ = fs::remove_file(&path);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
    }
}
