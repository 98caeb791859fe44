//! Every paradigm goes the same road: it trains, resumes to the bit, reports, goes out and comes back.

use std::fs;

use crate::support::Place;

/// A name, and the sections of a run that make the paradigm.
pub(crate) const PARADIGMS: [(&str, &str); 17] = [
    (
        "bert",
        "[objective.masked]\nunit = \"word\"\nnext-sentence = true\n[model.bert]\nnext-sentence = true\nSTACK\ndropout = 0.1",
    ),
    ("roberta", "[objective.masked]\nunit = \"span\"\n[model.bert]\nvariant = \"roberta\"\nsegments = 1\nSTACK\ndropout = 0.1"),
    ("modernbert", "[objective.masked]\nrate = 0.3\n[model.modernbert]\nlocal-window = 8\nglobal-every = 2\nSTACK"),
    (
        "electra",
        "[objective.masked]\nkeep = 0.15\nrandom = 0.0\n[model.electra]\nembedding-width = 8\nSTACK\ndropout = 0.1
        [model.electra.generator]\nlayers = 1\nheads = 2\nwidth = 8\nfeed-forward-width = 16",
    ),
    ("simcse", "[data.windows.segments]\n[objective.contrastive]\n[model.bert]\nSTACK\ndropout = 0.1"),
    ("t5", "[objective.span]\n[model.t5]\nhead-width = 8\nSTACK\ndropout = 0.1"),
    ("ul2", "[objective.mixture]\n[model.t5]\nhead-width = 8\ngated = true\nSTACK\ndropout = 0.1"),
    ("infill", "[objective.infill]\nrate = 0.5\n[model.gpt]\nSHORT\ndropout = 0.1"),
    ("multi-token", "[objective.causal]\n[model.multi-token]\nfuture-tokens = 2\n[model.multi-token.llama]\nkv-heads = 1\nSTACK"),
    ("gpt-bert", "[objective.hybrid]\ncausal = 0.5\n[model.llama]\nkv-heads = 2\nSTACK"),
    ("diffusion", "[objective.diffusion]\n[model.llama]\nkv-heads = 2\nSTACK"),
    (
        "lstm",
        "[data.windows.streams]\nrows = 4\n[objective.causal]\n[model.lstm]\nlayers = 2\nwidth = 16\ncontext-tokens = 16
        tied = true\ndropout = 0.1",
    ),
    (
        "translation",
        "[data.pairs.tab]\n[data.windows.segments]\n[objective.translation]\ntarget-tokens = 32\n[model.transformer]\nSTACK
        dropout = 0.1\nlabel-smoothing = 0.1",
    ),
    ("skip-gram", "WORDS[objective.neighbours]\n[model.word2vec]\nwidth = 8"),
    ("skip-gram-tree", "WORDS[objective.neighbours]\n[model.word2vec]\nwidth = 8\nhierarchical = true"),
    ("cbow", "WORDS[objective.neighbours]\n[model.word2vec]\nwidth = 8\ncbow = true"),
    ("cbow-tree", "WORDS[objective.neighbours]\n[model.word2vec]\nwidth = 8\ncbow = true\nhierarchical = true"),
];

/// Those that go on with a text, or answer it.
const WRITERS: [&str; 6] = ["infill", "multi-token", "gpt-bert", "diffusion", "lstm", "translation"];

/// Those that fill gaps.
const FILLERS: [&str; 6] = ["bert", "roberta", "modernbert", "t5", "ul2", "diffusion"];

const STACK: &str = "layers = 2\nheads = 2\nwidth = 16\nfeed-forward-width = 32\ncontext-tokens = 32";
const SHORT: &str = "layers = 2\nheads = 2\nwidth = 16\ncontext-tokens = 32";
const WORDS: &str = "[data.tokenizer.word]\nlowercase = true\nsplit = \"words\"\nmin-count = 1\n";

/// The run file of a paradigm: 8 steps, saved at 4.
pub(crate) fn run(name: &str, sections: &str) -> String {
    let sections = sections.replace("STACK", STACK).replace("SHORT", SHORT);
    let own = sections.contains("WORDS");
    let sections = sections.replace("WORDS", WORDS);
    let tokenizer = if own { "" } else { "[data.tokenizer.byte-bpe]\nvocab-tokens = 400\n" };
    // Pairs come from their own file, a pair a line.
    let text = if name == "translation" { "paths = [\"pairs.txt\"]" } else { "paths = [\"text\"]\ndocument = \"block\"" };
    let optim = if own { "[optim.sgd]\nlr = 0.025" } else { "[optim.adamw]\nlr = 3e-3" };
    format!(
        "[data]\n{text}\nvalidation-fraction = 0.2\n{tokenizer}{sections}\n{optim}\n[schedule.constant]\nwarmup-steps = 0
        [train]\nsteps = 8\nbatch-rows = 4\nlog-every-steps = 1\nsave-every-steps = 4\nkeep-checkpoints = 3\nseed = 3
        [eval]\nevery-steps = 4\nsample-tokens = 6\n"
    )
}

/// A line and its words from behind.
fn pairs() -> String {
    let tale = |i: u32| format!("the {} clerk saw {} boats\t{} boats saw the {} clerk\n", i % 7, i % 5, i % 5, i % 7);
    (0..80).map(tale).collect()
}

#[test]
fn every_paradigm_resumes_to_the_bit_and_goes_out_and_comes_back() {
    for (name, sections) in PARADIGMS {
        let place = Place::new();
        place.write("run.toml", run(name, sections));
        place.write("pairs.txt", pairs());
        let train = ["train", "run.toml", "--out", "out", "--json"];
        let whole = place.ssl(&train);
        whole.says(0, &[]);
        let whole = whole.json();
        assert!(whole["val_loss"].as_f64().is_some_and(f64::is_finite), "{name}: {whole}");
        assert!(place.read("out/report.html").to_lowercase().contains("validation"), "{name}");

        // As if the power had gone after the checkpoint of step 4.
        let last = ["model.safetensors", "optim.safetensors"].map(|file| format!("out/checkpoints/00000008/{file}"));
        let bytes = |file: &String| fs::read(place.path(file)).unwrap_or_else(|fault| panic!("{name}: {file}: {fault}"));
        let (weights, log) = (last.each_ref().map(bytes), place.read("out/metrics.jsonl").lines().count());
        fs::remove_dir_all(place.path("out/checkpoints/00000008")).expect("a folder");
        let resumed = place.ssl(&train);
        resumed.says(0, &["going on from step 4"]);
        for key in ["val_loss", "unigram_loss", "tokens", "train_loss"] {
            assert_eq!(resumed.json()[key], whole[key], "{name}: {key}");
        }
        assert!(last.each_ref().map(bytes) == weights, "{name}: the resumed weights differ");
        assert_eq!(place.read("out/metrics.jsonl").lines().count(), log, "{name}");

        place.ssl(&["export", "out", "--out", "hf"]).says(0, &[]);
        place.ssl(&["import", "hf", "--out", "back"]).says(0, &[]);
        assert_eq!(
            fs::read(place.path("back/model.safetensors")).ok(),
            fs::read(place.path("hf/model.safetensors")).ok(),
            "{name}"
        );
        let config = |dir: &str| place.read(&format!("{dir}/config.json"));
        assert_eq!(config("back"), config("hf"), "{name}");

        place.ssl(&["bench", "run.toml", "--steps", "1"]).says(0, &[]);
        place.ssl(&["forward", "back", "--ids", "5,6,7", "--out", "logits.safetensors"]).says(0, &[]);
        let written = place.ssl(&["generate", "out", "--prompt", "the", "--max-tokens", "4"]);
        if WRITERS.contains(&name) {
            written.says(0, &[]);
        } else {
            written.says(2, &["hint:"]);
        }
        let filled = place.ssl(&["fill", "out", "--text", "the [MASK] clerk", "--top-k", "3", "--json"]);
        if FILLERS.contains(&name) {
            filled.says(0, &[]);
            let gap = filled.json()["gaps"][0]["candidates"].clone();
            assert!(gap.as_array().is_some_and(|all| (1..=3).contains(&all.len())), "{name}: {gap}");
            assert!(gap[0]["probability"].as_f64().is_some_and(|p| p > 0.0 && p <= 1.0), "{name}: {gap}");
        } else {
            filled.says(2, &["hint:"]);
        }
        place.write("lines.txt", "the old fisherman\nrain\n");
        let vectors = place.ssl(&["embed", "out", "--input", "lines.txt", "--normalize", "--json"]);
        vectors.says(0, &[]);
        let vectors = vectors.json();
        let length = |at: usize| {
            let vector = vectors["embeddings"][at].as_array().expect("a vector");
            vector.iter().filter_map(serde_json::Value::as_f64).map(|x| x * x).sum::<f64>()
        };
        assert!([0, 1].into_iter().all(|at| (length(at) - 1.0).abs() < 1e-4), "{name}: {vectors}");
    }
}

/// Vectors that one model learned are where another begins.
#[test]
fn word_vectors_are_scored_written_and_begun_with() {
    let place = Place::new();
    let (_, sections) = PARADIGMS[13];
    place.write("words.toml", run("skip-gram", sections).replace("steps = 8", "steps = 40"));
    place.ssl(&["train", "words.toml", "--out", "words"]).says(0, &[]);
    place.write("pairs.txt", "a b score\nrain letter 2\nlamp clock 5\nferry kettle 7\nsister clerk 8\nsea whale 1\n");
    let scored = place.ssl(&["eval", "words", "word-similarity", "--data", "pairs.txt", "--json"]);
    scored.says(0, &[]);
    assert_eq!((&scored.json()["results"][0]["n"], &scored.json()["asked"]), (&4.into(), &5.into()));
    place.write("questions.txt", ": some\nold fisherman tired doctor\nrain lamp letter whale\n");
    let answered = place.ssl(&["eval", "words", "word-analogy", "--data", "questions.txt", "--json"]);
    answered.says(0, &[]);
    assert_eq!(answered.json()["results"][0]["n"], 1);
    place.ssl(&["eval", "words", "word-analogy", "bleu", "--data", "questions.txt"]).says(2, &["one by one"]);
    place.ssl(&["eval", "words", "word-similarity"]).says(2, &["--data"]);
    place.ssl(&["generate", "words"]).says(2, &[]);
    let eight = ["eval", "words", "word-similarity", "--data", "pairs.txt", "--weights", "int8"];
    place.ssl(&eight).says(3, &["word2vec does not compute with weights of eight bits", "--weights int8 is for"]);

    place.ssl(&["export", "words", "--out", "hf"]).says(0, &[]);
    let text = place.read("hf/vectors.txt");
    let row = |line: &str| line.split(' ').skip(1).map(|x| x.parse::<f32>().expect("a number")).collect::<Vec<_>>();
    let doctor = text.lines().find(|line| line.starts_with("doctor ")).map(row).expect("a word");
    // An LSTM of that width, over other tokens, before its first step.
    let lstm =
        "[data.tokenizer.word]\nmin-count = 1\n[objective.causal]\n[model.lstm]\nlayers = 1\nwidth = 8\ncontext-tokens = 8";
    for name in ["hf/vectors.txt", "hf/vectors.bin"] {
        let run = run("lstm", "").replace("[data.tokenizer.byte-bpe]\nvocab-tokens = 400\n", lstm);
        let out = name.replace('/', "-");
        place.write("lstm.toml", run.replace("lr = 3e-3", "lr = 1e-30"));
        place
            .ssl(&["train", "lstm.toml", "--out", &out, "--set", &format!("train.from=\"{name}\"")])
            .says(0, &["beginning with", "rows"]);
        place.ssl(&["export", &out, "--out", &format!("{out}-hf")]).says(0, &[]);
        let shown = place.ssl(&["inspect", &format!("{out}-hf/model.safetensors")]);
        shown.says(0, &[]);
        let stored = fs::read(place.path(&format!("{out}-hf/model.safetensors"))).expect("a file");
        let bytes: Vec<u8> = doctor.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert!(stored.windows(bytes.len()).any(|window| window == bytes), "{name}: no row is the word's vector");
        place
            .ssl(&[
                "train",
                "lstm.toml",
                "--out",
                "wide",
                "--set",
                &format!("train.from=\"{name}\""),
                "--set",
                "model.lstm.width=16",
            ])
            .says(3, &["vectors of 8", "rows of 16", "hint:"]);
        fs::remove_dir_all(place.path("wide")).expect("a folder");
    }
}
