//! What other programs read: a folder for transformers with all that goes beside the weights, and a file for llama.cpp.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Place, RUN, listing};

/// A run of a model that looks back, over a byte-level BPE.
fn trained(model: &str) -> Place {
    let place = Place::new();
    let (begin, end) = (RUN.find("[model.gpt]").expect("a model"), RUN.find("[optim.adamw]").expect("an optimizer"));
    let run = format!("{}{model}\n{}", &RUN[..begin], &RUN[end..]);
    let run = run.replace("[data.tokenizer.char]", "[data.tokenizer.byte-bpe]\nvocab-tokens = 300");
    place.write(
        "run.toml",
        run.replace("steps = 40", "steps = 10").replace("[\"text\"]", &format!("[\"{}\"]", place.path("text").display())),
    );
    place.ssl(&["train", "run.toml", "--out", "out", "--quiet"]).says(0, &[]);
    place
}

const LLAMA: &str =
    "[model.llama]\nlayers = 1\nheads = 2\nkv-heads = 1\nwidth = 32\nfeed-forward-width = 64\ncontext-tokens = 16\n";

fn document(place: &Place, name: &str) -> Value {
    serde_json::from_str(&place.read(name)).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

#[test]
fn a_folder_has_what_transformers_looks_for() {
    let place = trained(LLAMA);
    place.ssl(&["export", "out", "--out", "hf", "--quiet"]).says(0, &[]);
    let config = document(&place, "hf/config.json");
    assert_eq!(config["architectures"], json!(["LlamaForCausalLM"]));
    let separator = &config["bos_token_id"];
    for (key, value) in [
        ("eos_token_id", separator.clone()),
        ("tie_word_embeddings", json!(false)),
        ("max_position_embeddings", json!(16)),
        ("dtype", json!("float32")),
        ("rope_parameters", json!({ "rope_type": "default", "rope_theta": 10000.0 })),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
    let writes = document(&place, "hf/generation_config.json");
    assert_eq!(writes, json!({ "bos_token_id": separator, "eos_token_id": separator, "pad_token_id": separator }));
    let roles = document(&place, "hf/special_tokens_map.json");
    assert_eq!(roles, json!({ "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>" }));
    assert_eq!(document(&place, "hf/tokenizer_config.json")["model_max_length"], 16);
    // A text begins as a document did in training, and an import keeps it.
    let frame = &document(&place, "hf/tokenizer.json")["post_processor"];
    assert_eq!(frame["single"][0]["SpecialToken"]["id"], "<|endoftext|>");
    assert_eq!(frame["single"].as_array().map(Vec::len), Some(2));
    place.ssl(&["import", "hf", "--out", "back", "--quiet"]).says(0, &[]);
    assert_eq!(&document(&place, "back/tokenizer.json")["post_processor"], frame);
}

#[test]
fn a_card_says_what_is_known_and_what_is_not() {
    let place = trained(LLAMA);
    place.ssl(&["export", "out", "--out", "hf", "--quiet"]).says(0, &[]);
    let card = place.read("hf/README.md");
    let corpus = document(&place, "out/corpus/manifest.json");
    for words in [
        "license: unknown",
        "pipeline_tag: text-generation",
        "**Licence: unknown.**",
        "llama, 1 layers of width 32",
        "10 steps",
        "[model.llama]",
        &format!("{} documents of 1 files, {} bytes", corpus["train"]["documents"], corpus["train"]["bytes"]),
    ] {
        assert!(card.contains(words), "no {words:?} in:\n{card}");
    }
    // Where texts lay is not told.
    assert!(card.contains("`text`") && !card.contains(&*place.path("").to_string_lossy()), "{card}");
    // A folder made from a folder knows less.
    place.ssl(&["export", "hf", "--out", "again", "--quiet"]).says(0, &[]);
    let card = place.read("again/README.md");
    assert!(card.contains("Another program wrote the folder") && !card.contains("## How it was trained"), "{card}");
}

#[test]
fn a_file_for_llama_cpp_is_whole_or_not_there() {
    let place = trained(LLAMA);
    let mut sizes = Vec::new();
    for (dtype, file) in [("fp32", "a.gguf"), ("bf16", "b.gguf"), ("q8_0", "c.gguf")] {
        let ran = place.ssl(&["export", "out", "--out", file, "--dtype", dtype, "--json", "--quiet"]);
        ran.says(0, &[]);
        let bytes = fs::read(place.path(file)).expect("a file");
        let has = |words: &str| bytes.windows(words.len()).any(|found| found == words.as_bytes());
        assert!(bytes.starts_with(b"GGUF\x03\0\0\0"));
        for words in ["llama.rope.freq_base", "tokenizer.ggml.merges", "gpt-2", "<|endoftext|>", "blk.0.attn_q.weight"] {
            assert!(has(words), "{words}");
        }
        assert_eq!(ran.json()["bytes"], bytes.len());
        sizes.push(bytes.len());
    }
    assert!(sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
    // What it was before stays where there is no room.
    place.write("mine.txt", "kept");
    place.ssl(&["export", "out", "--out", "mine.txt", "--format", "gguf"]).says(2, &["is no GGUF", "name a new file"]);
    assert_eq!(place.read("mine.txt"), "kept");
    let before = fs::read(place.path("a.gguf")).expect("a file");
    place.sh("trap '' XFSZ; ulimit -f 8; exec \"$0\" export out --out a.gguf").says(4, &["cannot write", "hint:"]);
    assert_eq!(fs::read(place.path("a.gguf")).expect("a file"), before);
    let left: Vec<_> = listing(&place.path("")).into_iter().filter(|path| path.to_string_lossy().contains("partial")).collect();
    assert!(left.is_empty(), "{left:?}");
    place.ssl(&["export", "out", "--out", "hf", "--dtype", "bf16"]).says(2, &["a folder holds numbers", "--format gguf"]);
}

#[test]
fn what_llama_cpp_does_not_know_is_refused_by_name() {
    // A vocabulary of characters.
    let place = Place::trained();
    let what = "a GGUF can hold a GPT or a Llama";
    place.ssl(&["export", "out", "--out", "x.gguf"]).says(2, &["not a byte-level BPE", what]);
    let place = trained("[model.lstm]\nlayers = 1\nwidth = 16\ncontext-tokens = 16\n");
    place.ssl(&["export", "out", "--out", "x", "--format", "gguf"]).says(2, &["model.lstm", what]);
    let gelu = "[model.gpt]\nlayers = 1\nheads = 2\nwidth = 16\ncontext-tokens = 16\nactivation = \"gelu\"\n";
    let place = trained(gelu);
    place.ssl(&["export", "out", "--out", "x.gguf"]).says(0, &["GELU by its tanh"]);
    assert!(place.path("x.gguf").exists());
}
