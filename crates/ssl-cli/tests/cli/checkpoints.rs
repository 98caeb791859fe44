//! Checkpoints and corpora that were damaged on disk.

use std::fs;

use crate::support::{CUT, FLIP, Place, RUN, listing};

#[test]
fn a_half_written_checkpoint_is_passed_over_for_the_one_before() {
    for file in ["DONE", "model.safetensors", "state.json"] {
        let place = Place::trained();
        let before = place.content("out/checkpoints/00000005");
        place.damage(&format!("out/checkpoints/00000010/{file}"), CUT);
        place.ssl(&["generate", "out", "--max-tokens", "5"]).says(0, &["00000010", file]);
        let resumed = place.ssl(&["train", "run.toml", "--out", "out", "--json"]);
        resumed.says(0, &["00000010", "passed over", "going on from step 5"]);
        assert_eq!((&resumed.json()["steps"], &resumed.json()["resumed_from"]), (&10.into(), &5.into()));
        assert_eq!(place.content("out/checkpoints/00000005"), before);
    }
}

#[test]
fn a_checkpoint_that_was_never_finished_does_not_exist() {
    let place = Place::trained();
    let newest = place.path("out/checkpoints/00000010");
    fs::remove_file(newest.join("DONE")).expect("a file");
    place.ssl(&["inspect", "out"]).says(0, &[]);
    assert!(
        place.ssl(&["inspect", "out"]).stdout.contains("damaged: checkpoint out/checkpoints/00000010: it was never finished")
    );
    for verb in ["generate", "inspect"] {
        place.ssl(&[verb, "out/checkpoints/00000010"]).says(3, &["00000010: it was never finished", "hint:"]);
    }
    fs::rename(&newest, place.path("out/checkpoints/.00000010.tmp")).expect("renamed");
    let resumed = place.ssl(&["train", "run.toml", "--out", "out", "--json"]);
    resumed.says(0, &["going on from step 5"]);
    assert_eq!(resumed.json()["resumed_from"], 5);
    fs::remove_file(newest.join("optim.safetensors")).expect("a file");
    place.ssl(&["train", "run.toml", "--out", "out"]).says(0, &["optim.safetensors", "passed over", "going on from step 5"]);
}

#[test]
fn records_that_are_none_are_named_with_their_line() {
    let place = Place::trained();
    place.damage("out/metrics.jsonl", |bytes| *bytes = String::from_utf8_lossy(bytes).replace("\"step\":3,", "").into_bytes());
    let before = place.content("out");
    for args in [&["inspect", "out"][..], &["train", "run.toml", "--out", "out"]] {
        place.ssl(args).says(3, &["metrics.jsonl:3: not a record", "hint:"]);
    }
    assert_eq!(place.content("out"), before);
}

#[test]
fn without_one_whole_checkpoint_nothing_is_overwritten() {
    let place = Place::trained();
    for step in ["00000005", "00000010"] {
        place.damage(&format!("out/checkpoints/{step}/model.safetensors"), FLIP);
    }
    let before = place.content("out/checkpoints");
    place.ssl(&["train", "run.toml", "--out", "out"]).says(3, &["model.safetensors was altered", "cannot be resumed", "hint:"]);
    place.ssl(&["generate", "out"]).says(3, &["was altered"]);
    assert_eq!(place.content("out/checkpoints"), before);
}

#[test]
fn a_checkpoint_of_another_shape_is_refused_with_what_differs() {
    let place = Place::trained();
    let args = ["train", "run.toml", "--out", "out", "--set", "model.gpt.width=32", "--allow-config-change"];
    let before = place.content("out");
    place.ssl(&args).says(3, &["transformer.wte.weight", "16", "32", "hint:"]);
    assert_eq!(place.content("out"), before);
    place.ssl(&["export", "out", "--out", "hf", "--quiet"]).says(0, &[]);
    place.damage("hf/config.json", |bytes| {
        *bytes = String::from_utf8_lossy(bytes).replace("\"n_embd\": 16", "\"n_embd\": 32").into_bytes();
    });
    place.ssl(&["import", "hf", "--out", "back"]).says(3, &["transformer.wte.weight", "16", "32"]);
    place.damage("hf/config.json", |bytes| {
        *bytes = String::from_utf8_lossy(bytes).replace("\"gpt2\"", "\"mamba\"").into_bytes();
    });
    place.ssl(&["import", "hf", "--out", "back"]).says(3, &["model_type", "mamba"]);
    // A shape far beyond its weights is refused before memory is taken for it.
    let shape = |to: &str| {
        let config = place.read("out/checkpoints/00000010/config.json").replace("\"n_embd\": 16", &format!("\"n_embd\": {to}"));
        place.write("hf/config.json", config);
    };
    shape("131072");
    place.ssl(&["generate", "hf"]).says(3, &["hf/config.json", "n_embd", "bytes", "hint:"]);
    for size in ["0", "-1", "1e18", "15", "\"x\"", "null"] {
        shape(size);
        place.ssl(&["import", "hf", "--out", "back"]).says(3, &["hf/config.json", "hint:"]);
    }
    assert!(!place.path("back").exists());
    // One that a run asks for and no memory holds.
    let ran = place.sh("ulimit -v 16000000; exec \"$0\" train run.toml --out large --set model.gpt.width=65536");
    ran.says(4, &["this run needs about", "free", "hint:"]);
    assert!(!ran.stderr.contains("frame #"), "{}", ran.stderr);
    // A model that finds no room leaves no half of itself.
    place.sh("trap '' XFSZ; ulimit -f 8; exec \"$0\" export out --out small").says(4, &["cannot write", "hint:"]);
    let left: Vec<_> = listing(&place.path("")).into_iter().filter(|path| path.to_string_lossy().contains("small")).collect();
    assert!(left.is_empty(), "{left:?}");
    place.damage("hf/model.safetensors", CUT);
    place.ssl(&["inspect", "hf/model.safetensors"]).says(3, &["model.safetensors"]);
}

#[test]
fn a_damaged_shard_is_named() {
    for how in [FLIP, CUT] {
        let place = Place::trained();
        place.damage("out/corpus/validation-00000.tok", how);
        place.ssl(&["eval", "out", "bits-per-byte"]).says(3, &["validation-00000.tok"]);
        place.ssl(&["inspect", "out/corpus"]).says(3, &["validation-00000.tok"]);
    }
}

/// Text for more than one block of a shard, of which only the first is read when the corpus is opened.
fn large() -> Place {
    let place = Place::new();
    let line = |i: u32| format!("{i} {} {}\n", i.wrapping_mul(2_654_435_761), i.wrapping_mul(40_503));
    place.write("text/tales.txt", (0..16_000).map(line).collect::<String>());
    let run = RUN.replace("\"block\"", "\"line\"").replace("context-tokens = 16", "context-tokens = 64");
    place.write("run.toml", run.replace("steps = 40", "steps = 8").replace("every-steps = 10", "every-steps = 4"));
    place.ssl(&["prepare", "run.toml", "--out", "out", "--quiet"]).says(0, &[]);
    place
}

#[test]
fn a_shard_damaged_behind_its_first_block_ends_the_run_with_its_name() {
    // The second block of 64 KiB, behind the header.
    let flip: fn(&mut Vec<u8>) = |bytes| bytes[64 + 100_000] ^= 4;
    let place = large();
    place.damage("out/corpus/validation-00000.tok", flip);
    place
        .ssl(&["train", "run.toml", "--out", "out"])
        .says(3, &["validation failed at step 4", "validation-00000.tok", "block 1", "prepare again"]);
    let place = large();
    place.damage("out/corpus/train-00000.tok", flip);
    // Batches so large that all of the corpus is read.
    place
        .ssl(&["train", "run.toml", "--out", "out", "--set", "train.batch-rows=2000"])
        .says(3, &["train-00000.tok", "block 1", "prepare again"]);
    place.ssl(&["inspect", "out/corpus/train-00000.tok"]).says(3, &["train-00000.tok", "block 1"]);
}

#[test]
fn a_corpus_damaged_before_training_is_prepared_again_with_a_word() {
    let place = Place::trained();
    let whole = place.content("out/corpus");
    for file in ["train-00000.tok", "manifest.json", "validation.txt"] {
        place.damage(&format!("out/corpus/{file}"), CUT);
        let ran = place.ssl(&["prepare", "run.toml", "--out", "out"]);
        ran.says(0, &["read and clean"]);
        let shards = |files: &[(std::path::PathBuf, Vec<u8>)]| {
            files.iter().filter(|(path, _)| !path.ends_with("manifest.json")).cloned().collect::<Vec<_>>()
        };
        assert_eq!(shards(&place.content("out/corpus")), shards(&whole), "{file}");
        assert!(
            file == "manifest.json" || ran.stderr.contains("warning: the corpus is damaged and is prepared again"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_tokenizer_that_is_none_is_named() {
    let place = Place::trained();
    place.ssl(&["export", "out", "--out", "hf", "--quiet"]).says(0, &[]);
    for content in ["", "not JSON", "{}", "[1, 2]", "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}"] {
        place.write("hf/tokenizer.json", content);
        place.ssl(&["generate", "hf", "--max-tokens", "3"]).says(3, &["tokenizer.json"]);
        place.write("own.toml", RUN.replace("[data.tokenizer.char]", "[data.tokenizer.file]\npath = \"hf/tokenizer.json\""));
        place.ssl(&["train", "own.toml", "--out", "own"]).says(3, &["tokenizer.json"]);
    }
}
