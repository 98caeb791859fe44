//! Our encoder against the `tokenizers` library, and vocabularies that are damaged, hostile, or of other kinds.

use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};
use ssl_data::config::TokenizerConfig;
use ssl_data::error::Error;
use ssl_data::vocab::{SEPARATOR, Vocab};
use tokenizers::Tokenizer;

/// What every vocabulary here is trained on: English, Chinese, code, numbers, emoji.
const TEXTS: [&str; 4] = [
    include_str!("../../../fixtures/corpus/english/harbour.txt"),
    include_str!("../../../fixtures/corpus/english/kitchen.txt"),
    "def f(x):\n    return x ** 2  # it's 3.14, isn't it? We'll see\n\n\tif x: 'They've' said 12345\r\n",
    "他说：“今天天气很好。”然后就走了。今天是2024年。 👩‍👩‍👧 naïve café ÅÉ ﬁne",
];

fn train(config: &Value) -> Vocab {
    let config: TokenizerConfig = serde_json::from_value(config.clone()).expect("a tokenizer");
    Vocab::train(TEXTS.iter().map(ToString::to_string), &config, &[]).expect("a vocabulary")
}

static BPE: LazyLock<Vocab> = LazyLock::new(|| train(&json!({ "byte-bpe": { "vocab-tokens": 600 } })));

/// The library's ids, none of them special.
fn library(vocab: &Vocab) -> Tokenizer {
    let mut tokenizer = Tokenizer::from_bytes(vocab.json()).expect("a tokenizer");
    tokenizer.set_encode_special_tokens(true);
    tokenizer
}

fn same(vocab: &Vocab, tokenizer: &Tokenizer, text: &str) {
    let theirs = tokenizer.encode_fast(text, false).expect("ids");
    assert_eq!(vocab.encode(text).expect("ids"), theirs.get_ids(), "{text:?}");
    assert_eq!(vocab.decode(theirs.get_ids()), text);
}

#[test]
fn awkward_texts_have_the_ids_of_the_library() {
    let tokenizer = library(&BPE);
    for text in TEXTS {
        same(&BPE, &tokenizer, text);
    }
    let cases = [
        "",
        " ",
        "  ",
        "\n",
        "\r\n",
        "\r\n\r\n a",
        "a\n",
        "a \n b",
        "\t\t x",
        "   three",
        "three   ",
        "a\u{a0}b",
        "\u{3000}全角",
        "\u{0}",
        "a\u{0}\u{1}\u{7f}b",
        "'s 't 're 've 'm 'll 'd 'S 'RE 'x",
        "don't DON'T we'll",
        "''s",
        "1234567890",
        "٣٤٥ Ⅷ ½ x²",
        "e\u{301}\u{301}",
        "👩‍👩‍👧‍👦🇩🇪",
        "ﬁ ŉ ǆ",
        "a_b-c.d/e",
        "\u{feff}bom",
        "\u{200b}zero\u{200d}width",
        "한국어 텍스트",
        "עברית וערבית العربية",
        "x\u{85}y\u{2028}z",
        "<|endoftext|>",
        "a<|endoftext|>b",
        "<|endoftext|",
    ];
    for text in cases {
        same(&BPE, &tokenizer, text);
    }
}

#[test]
fn long_runs_have_the_ids_of_the_library() {
    let tokenizer = library(&BPE);
    for unit in ["a", "ab", " ", "\n", "1", "好", "!", "the cat "] {
        same(&BPE, &tokenizer, &unit.repeat(20_000));
    }
}

#[test]
fn no_run_of_anything_takes_long() {
    // The library panics on the first of these.
    for unit in [" ", "a", "ab", "\n", "的", "-"] {
        let text = unit.repeat(10_000_000 / unit.len());
        let start = Instant::now();
        let ids = BPE.encode(&text).expect("ids");
        assert!(start.elapsed() < Duration::from_secs(20), "{unit:?} took {:?}", start.elapsed());
        assert!(BPE.decode(&ids) == text, "{unit:?}");
    }
}

#[test]
fn the_separator_spelled_out_stays_text() {
    for config in [
        json!({ "byte-bpe": { "vocab-tokens": 600 } }),
        json!({ "wordpiece": { "vocab-tokens": 400 } }),
        json!({ "unigram": { "vocab-tokens": 400 } }),
        json!({ "char": {} }),
        json!({ "word": { "min-count": 1 } }),
        json!({ "word": { "min-count": 1, "split": "words" } }),
    ] {
        let vocab = train(&config);
        for text in [SEPARATOR.to_owned(), format!("before{SEPARATOR}after"), SEPARATOR.repeat(3)] {
            let ids = vocab.encode(&text).expect("ids");
            assert!(!ids.is_empty() && !ids.contains(&vocab.separator()), "{config} {text:?}: {ids:?}");
        }
    }
}

#[test]
fn a_batch_is_its_texts_one_by_one() {
    let long = TEXTS.concat().repeat(40);
    for vocab in [&*BPE, &train(&json!({ "char": {} })), &train(&json!({ "unigram": { "vocab-tokens": 400 } }))] {
        let texts = [TEXTS[0], "", &long, TEXTS[3]];
        let one_by_one: Vec<Vec<u32>> = texts.iter().map(|text| vocab.encode(text).expect("ids")).collect();
        assert_eq!(vocab.encode_batch(&texts).expect("ids"), one_by_one);
    }
}

#[test]
fn every_kind_is_saved_and_loaded_as_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("tokenizer.json");
    for config in [
        json!({ "byte-bpe": { "vocab-tokens": 500 } }),
        json!({ "wordpiece": { "vocab-tokens": 400 } }),
        json!({ "unigram": { "vocab-tokens": 400 } }),
        json!({ "char": {} }),
    ] {
        let vocab = train(&config);
        vocab.save(&path).expect("room");
        let loaded = Vocab::load(&path).expect("a vocabulary");
        assert_eq!(
            (loaded.size(), loaded.separator(), loaded.json()),
            (vocab.size(), vocab.separator(), vocab.json()),
            "{config}"
        );
        for text in TEXTS {
            let ids = vocab.encode(text).expect("ids");
            assert_eq!(loaded.encode(text).expect("ids"), ids, "{config}");
            assert!(ids.iter().all(|&id| id < vocab.size()));
            // Other programs read the same file to the same ids.
            assert_eq!(library(&vocab).encode_fast(text, false).expect("ids").get_ids(), ids, "{config}");
        }
        // Words are told apart, and so are the characters that training saw.
        let text = TEXTS[0];
        let back = vocab.decode(&vocab.encode(text).expect("ids"));
        let squeeze = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(squeeze(&back), squeeze(text), "{config}");
        if config.get("char").is_some() || config.get("byte-bpe").is_some() {
            assert_eq!(back, text, "{config}");
        }
    }
}

#[test]
fn equal_texts_give_equal_vocabularies() {
    for config in
        [json!({ "byte-bpe": { "vocab-tokens": 500 } }), json!({ "wordpiece": { "vocab-tokens": 400 } }), json!({ "char": {} })]
    {
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool").install(|| train(&config));
        assert!(alone.json() == train(&config).json(), "{config}");
    }
}

#[test]
fn a_file_that_is_no_tokenizer_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("tokenizer.json");
    let whole: Value = serde_json::from_str(BPE.json()).expect("JSON");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut json = whole.clone();
        change(&mut json);
        json.to_string()
    };
    let cases = [
        (String::new(), "not JSON"),
        ("{\"model\"".into(), "not JSON"),
        ("[]".into(), "no model"),
        (BPE.json()[..BPE.json().len() / 2].into(), "not JSON"),
        (with(&|json| json["model"]["merges"] = json!([["zz", "yy"]])), "merge 0"),
        (with(&|json| json["model"]["vocab"]["zz"] = json!(3)), "id 3 is given twice"),
        (with(&|json| json["model"]["vocab"]["zz"] = json!(u64::MAX)), "beyond any model"),
        (with(&|json| json["model"]["vocab"]["zz"] = json!("x")), "not a number"),
        (
            with(&|json| {
                json["pre_tokenizer"] =
                    json!({ "type": "Split", "pattern": { "Regex": "(a+)+$" }, "behavior": "Isolated", "invert": false });
            }),
            "known to end in time",
        ),
        (with(&|json| (json["added_tokens"], json["model"]["vocab"]) = (json!([]), json!({ "a": 0 }))), "tokenizer.json"),
    ];
    for (text, word) in cases {
        fs::write(&path, text).expect("room");
        let fault = Vocab::load(&path).expect_err(word);
        let told = fault.to_string();
        assert!(
            matches!(fault, Error::Tokenizer { .. }) && told.contains("tokenizer.json") && told.contains(word),
            "{told} should name {word}"
        );
    }
    let fault = Vocab::load(&dir.path().join("absent.json")).expect_err("nothing is there").to_string();
    assert!(fault.contains("absent.json"), "{fault}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_has_the_ids_of_the_library(parts in prop::collection::vec(prop_oneof![
        Just(" ".to_owned()), Just("  \n".to_owned()), Just("'s".to_owned()), Just("\r\n".to_owned()), Just("好的。".to_owned()), Just("123".to_owned()),
        "[a-zA-Z]{1,8}", "\\PC{0,6}", any::<String>(),
    ], 0..12)) {
        let text = parts.concat();
        same(&BPE, &library(&BPE), &text);
    }

    #[test]
    fn any_text_has_the_words_of_the_library(parts in prop::collection::vec(prop_oneof![
        Just(" ".to_owned()), Just("\n".to_owned()), Just("'".to_owned()), Just("<unk>".to_owned()), Just("They've".to_owned()),
        "[a-zA-Z']{1,8}", "\\PC{0,6}", any::<String>(),
    ], 0..12)) {
        let text = parts.concat();
        for vocab in &*WORDS {
            let theirs = library(vocab).encode_fast(text.as_str(), false).expect("ids");
            prop_assert_eq!(vocab.encode(&text).expect("ids"), theirs.get_ids());
        }
    }
}

static WORDS: LazyLock<[Vocab; 2]> = LazyLock::new(|| [word("whitespace", false, true), word("words", true, false)]);

fn word(split: &str, lowercase: bool, line_end: bool) -> Vocab {
    train(&json!({ "word": { "min-count": 1, "split": split, "lowercase": lowercase, "line-end": line_end } }))
}

#[test]
fn words_have_the_ids_of_the_library_and_come_back_from_their_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let awkward = [
        "",
        "\n\n",
        "a\n b\r\nc",
        "the The THE",
        "<unk> <UNK> <eos> x<unk>y",
        "'quoted' don't o'clock'' rock'n'roll the dogs'",
        "ﬁ İstanbul ΣΟΦΟΣ ß Ⅷ Ⓐ e\u{301}x 한국어 天气很好",
        "they\u{2019}ve 3.14 a_b",
        "x\u{85}y\u{2028}z\u{a0}w\u{3000}v",
    ];
    for split in ["whitespace", "words"] {
        for (lowercase, line_end) in [(false, false), (false, true), (true, false), (true, true)] {
            let vocab = word(split, lowercase, line_end);
            let path = dir.path().join("tokenizer.json");
            vocab.save(&path).expect("a file");
            let again = Vocab::load(&path).expect("a vocabulary");
            assert_eq!(again.json(), vocab.json());
            let tokenizer = library(&vocab);
            for text in TEXTS.into_iter().chain(awkward) {
                let theirs = tokenizer.encode_fast(text, false).expect("ids");
                assert_eq!(vocab.encode(text).expect("ids"), theirs.get_ids(), "{split} {lowercase} {line_end} {text:?}");
                assert_eq!(again.encode(text).expect("ids"), theirs.get_ids());
            }
        }
    }
}

#[test]
fn words_are_numbered_by_falling_count_and_the_rare_are_unknown() {
    let texts = ["b b b <unk> c\n", "a a b d a\nD"];
    let train = |config: Value| {
        let config: TokenizerConfig = serde_json::from_value(config).expect("a tokenizer");
        Vocab::train(texts.iter().map(ToString::to_string), &config, &[]).expect("a vocabulary")
    };
    let vocab = train(json!({ "word": { "min-count": 2, "line-end": true, "lowercase": true } }));
    assert_eq!((vocab.size(), vocab.separator()), (6, 0));
    assert_eq!(vocab.encode("b a D c <unk>\n").expect("ids"), [3, 4, 5, 1, 1, 2]);
    assert_eq!(vocab.decode(&[4, 2, 1]), "a <eos> <unk>");
    let few = train(json!({ "word": { "min-count": 1, "max-words": 1 } }));
    assert_eq!(few.encode("b a").expect("ids"), [2, 1]);
    assert_eq!(few.encode("a <|endoftext|> b").expect("ids"), [1, 1, 2]);
}

/// What the library learns from the same texts.
fn trained_by_the_library(texts: &[&str], tokens: usize) -> Value {
    use tokenizers::models::TrainerWrapper;
    use tokenizers::models::bpe::{BPE, BpeTrainer};
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    let mut trainer: TrainerWrapper = BpeTrainer::builder()
        .vocab_size(tokens)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![tokenizers::AddedToken::from(SEPARATOR, true)])
        .show_progress(false)
        .build()
        .into();
    let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
    tokenizer.train(&mut trainer, texts.into_iter()).expect("trains");
    serde_json::to_value(tokenizer.get_model()).expect("JSON")
}

#[test]
fn training_learns_what_the_library_learns() {
    // The last has runs of one letter, and pairs that lead to one token on two ways.
    let runs = "aaaa aaaaa aab aba abab bcbc abcabc cabcab ccc bc abc abcd bcd aabcd ".repeat(40);
    let sets: [&[&str]; 4] = [&TEXTS, &TEXTS[..1], &TEXTS[3..], &[&runs]];
    for texts in sets {
        for tokens in [257, 300, 700, 5000] {
            let config: TokenizerConfig =
                serde_json::from_value(json!({ "byte-bpe": { "vocab-tokens": tokens } })).expect("a tokenizer");
            let ours = Vocab::train(texts.iter().map(ToString::to_string), &config, &[]).expect("a vocabulary");
            let ours: Value = serde_json::from_str(ours.json()).expect("JSON");
            let theirs = trained_by_the_library(texts, tokens);
            assert_eq!((&ours["model"]["vocab"], &ours["model"]["merges"]), (&theirs["vocab"], &theirs["merges"]), "{tokens}");
        }
    }
}

proptest! {
    /// Any text of few letters, where many pairs are equally frequent and tokens arise on several ways.
    #[test]
    fn training_learns_what_the_library_learns_from_anything(text in "[ab ]{1,120}", tokens in 257_usize..290) {
        let config: TokenizerConfig = serde_json::from_value(json!({ "byte-bpe": { "vocab-tokens": tokens } })).expect("a tokenizer");
        let ours = Vocab::train(std::iter::once(text.clone()), &config, &[]).expect("a vocabulary");
        let ours: Value = serde_json::from_str(ours.json()).expect("JSON");
        let theirs = trained_by_the_library(&[&text], tokens);
        prop_assert_eq!((&ours["model"]["vocab"], &ours["model"]["merges"]), (&theirs["vocab"], &theirs["merges"]));
    }
}

/// `WordPiece` of the same texts by the library. Continuations are handed to it as special tokens, in order: it gives them ids in the
/// order of a hash table.
fn pieces_by_the_library(texts: &[&str], tokens: usize) -> Value {
    use tokenizers::models::TrainerWrapper;
    use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
    use tokenizers::normalizers::BertNormalizer;
    use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
    let mut tokenizer = Tokenizer::new(WordPiece::builder().unk_token("[UNK]".into()).build().expect("a model"));
    tokenizer.with_normalizer(Some(BertNormalizer::new(true, true, Some(false), false))).expect("a normalizer");
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    let ours: TokenizerConfig = serde_json::from_value(json!({ "wordpiece": { "vocab-tokens": 8 } })).expect("a tokenizer");
    let ours = Vocab::train(texts.iter().map(ToString::to_string), &ours, &[]).expect("a vocabulary");
    let ours: Value = serde_json::from_str(ours.json()).expect("JSON");
    let mut inside: Vec<&String> =
        ours["model"]["vocab"].as_object().expect("tokens").keys().filter(|name| name.starts_with("##")).collect();
    inside.sort();
    let special = [SEPARATOR, "[UNK]"].into_iter().chain(inside.into_iter().map(String::as_str));
    let mut trainer: TrainerWrapper = WordPieceTrainer::builder()
        .vocab_size(tokens)
        .special_tokens(special.map(|word| tokenizers::AddedToken::from(word, true)).collect())
        .show_progress(false)
        .build()
        .into();
    let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
    tokenizer.train(&mut trainer, texts.into_iter()).expect("trains");
    serde_json::to_value(tokenizer.get_model()).expect("JSON")["vocab"].clone()
}

#[test]
fn wordpiece_training_learns_what_the_library_learns() {
    let runs = "aaaa aaaaa aab aba abab bcbc abcabc cabcab ccc bc abc abcd bcd aabcd ".repeat(40);
    let sets: [&[&str]; 3] = [&TEXTS[..1], &TEXTS[3..], &[&runs]];
    for texts in sets {
        for tokens in [300, 700] {
            let config: TokenizerConfig =
                serde_json::from_value(json!({ "wordpiece": { "vocab-tokens": tokens } })).expect("a tokenizer");
            let ours = Vocab::train(texts.iter().map(ToString::to_string), &config, &[]).expect("a vocabulary");
            let ours: Value = serde_json::from_str(ours.json()).expect("JSON");
            assert_eq!(ours["model"]["vocab"], pieces_by_the_library(texts, tokens), "{tokens}");
        }
    }
}

#[test]
fn vocabularies_are_functions_of_the_texts_on_any_number_of_threads() {
    // Characters that are too rare for training come back with dealt-out scores, equal ones side by side.
    let rare: String = ('α'..='ω').chain('а'..='я').flat_map(|c| [c, c, ' ']).collect();
    let texts: Vec<String> = TEXTS.iter().map(|text| text.repeat(3)).chain([rare]).collect();
    for kind in ["byte-bpe", "wordpiece", "unigram"] {
        let config: TokenizerConfig = serde_json::from_value(json!({ kind: { "vocab-tokens": 420 } })).expect("a tokenizer");
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let vocab = pool.install(|| Vocab::train(texts.iter().cloned(), &config, &[])).expect("a vocabulary");
            vocab.json().to_owned()
        };
        let one = on(1);
        // Hash tables begin anew each time.
        for threads in [1, 2, 3, 4] {
            assert_eq!(on(threads), one, "{kind} on {threads} threads");
        }
    }
}

#[test]
fn a_sample_that_memory_does_not_hold_trains_on_its_frequent_words() {
    let config: TokenizerConfig =
        serde_json::from_value(json!({ "byte-bpe": { "vocab-tokens": 300, "memory-mib": 1 } })).expect("a tokenizer");
    // More different words than a mebibyte holds, and a few that stand everywhere.
    let texts = (0..30_000).map(|n| format!("wherever {n:05} wherever x{:05} ", n * 7 % 100_000));
    let vocab = Vocab::train(texts, &config, &[]).expect("a vocabulary");
    assert_eq!(vocab.encode(" wherever").expect("ids").len(), 1);
}
