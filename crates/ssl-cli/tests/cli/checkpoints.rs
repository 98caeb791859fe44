//! Checkpoints and corpora that were damaged on disk.

use std::fs;

use crate::support::{Place, RUN};

/// A finished run of 10 steps with checkpoints at 5 and 10.
fn trained() -> Place {
    let place = Place::new();
    place.write("run.toml", RUN.replace("steps = 40", "steps = 10").replace("every-steps = 10", "every-steps = 5"));
    place.ssl(&["train", "run.toml", "--out", "out", "--quiet"]).says(0, &[]);
    place
}

fn damage(place: &Place, file: &str, how: impl FnOnce(&mut Vec<u8>)) {
    let path = place.path(file);
    let mut bytes = fs::read(&path).unwrap_or_else(|fault| panic!("{file}: {fault}"));
    how(&mut bytes);
    fs::write(path, bytes).expect("room");
}

/// Another bit in the middle.
const FLIP: fn(&mut Vec<u8>) = |bytes| {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
};

/// The first half alone.
const CUT: fn(&mut Vec<u8>) = |bytes| bytes.truncate(bytes.len() / 2);

#[test]
fn a_half_written_checkpoint_is_passed_over_for_the_one_before() {
    for file in ["DONE", "model.safetensors", "state.json"] {
        let place = trained();
        let before = place.content("out/checkpoints/00000005");
        damage(&place, &format!("out/checkpoints/00000010/{file}"), CUT);
        place.ssl(&["generate", "out", "--max-tokens", "5"]).says(0, &["00000010", file]);
        let resumed = place.ssl(&["train", "run.toml", "--out", "out", "--json"]);
        resumed.says(0, &["00000010", "passed over", "going on from step 5"]);
        assert_eq!((&resumed.json()["steps"], &resumed.json()["resumed_from"]), (&10.into(), &5.into()));
        assert_eq!(place.content("out/checkpoints/00000005"), before);
    }
}

#[test]
fn without_one_whole_checkpoint_nothing_is_overwritten() {
    let place = trained();
    for step in ["00000005", "00000010"] {
        damage(&place, &format!("out/checkpoints/{step}/model.safetensors"), FLIP);
    }
    let before = place.content("out/checkpoints");
    place.ssl(&["train", "run.toml", "--out", "out"]).says(3, &["model.safetensors was altered", "cannot be resumed", "hint:"]);
    place.ssl(&["generate", "out"]).says(3, &["was altered"]);
    assert_eq!(place.content("out/checkpoints"), before);
}

#[test]
fn a_checkpoint_of_another_shape_is_refused_with_what_differs() {
    let place = trained();
    let args = ["train", "run.toml", "--out", "out", "--set", "model.gpt.width=32", "--allow-config-change"];
    place.ssl(&args).says(3, &["transformer.wte.weight", "16", "32"]);
    let place = trained();
    place.ssl(&["export", "out", "--out", "hf", "--quiet"]).says(0, &[]);
    damage(&place, "hf/config.json", |bytes| {
        *bytes = String::from_utf8_lossy(bytes).replace("\"n_embd\": 16", "\"n_embd\": 32").into_bytes();
    });
    place.ssl(&["import", "hf", "--out", "back"]).says(3, &["transformer.wte.weight", "16", "32"]);
    damage(&place, "hf/config.json", |bytes| {
        *bytes = String::from_utf8_lossy(bytes).replace("\"gpt2\"", "\"mamba\"").into_bytes();
    });
    place.ssl(&["import", "hf", "--out", "back"]).says(3, &["model_type", "mamba"]);
    damage(&place, "hf/model.safetensors", CUT);
    place.ssl(&["inspect", "hf/model.safetensors"]).says(3, &["model.safetensors"]);
}

#[test]
fn a_damaged_shard_is_named() {
    for how in [FLIP, CUT] {
        let place = trained();
        damage(&place, "out/corpus/validation-00000.tok", how);
        place.ssl(&["eval", "out", "bits-per-byte"]).says(3, &["validation-00000.tok"]);
        place.ssl(&["inspect", "out/corpus"]).says(3, &["validation-00000.tok"]);
    }
}

#[test]
fn a_tokenizer_that_is_none_is_named() {
    let place = trained();
    place.ssl(&["export", "out", "--out", "hf", "--quiet"]).says(0, &[]);
    for content in ["", "not JSON", "{}", "[1, 2]", "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}"] {
        place.write("hf/tokenizer.json", content);
        place.ssl(&["generate", "hf", "--max-tokens", "3"]).says(3, &["tokenizer.json"]);
        place.write("own.toml", RUN.replace("[data.tokenizer.char]", "[data.tokenizer.file]\npath = \"hf/tokenizer.json\""));
        place.ssl(&["train", "own.toml", "--out", "own"]).says(3, &["tokenizer.json"]);
    }
}
