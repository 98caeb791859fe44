//! Learns word vectors and scores them; `fixtures/bench/word2vec_peer.py` runs it in turn with gensim on the same words.
//!
//!     word2vec prepare OUT FILE...                       OUT/tokenizer.json and OUT/stream.txt, a sentence a line
//!     word2vec train OUT VECTORS SEED THREADS LR ORDER   three epochs over the stream, `as-is` or `shuffled` by sentence
//!     word2vec score VECTORS QUESTIONS PAIRS...          analogies and similarities of any file in word2vec's binary format
#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::time::Instant;

use ssl_data::config::{TokenizerConfig, WordConfig, WordSplit};
use ssl_data::rng::{Rng, hash};
use ssl_data::vocab::Vocab;
use ssl_eval::Table;
use ssl_eval::word_analogy::{questions, word_analogy};
use ssl_eval::word_similarity::{pairs, word_similarity};
use ssl_model::SelfTaught;
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{Form, Vectors};
use ssl_model::word2vec::{Chunk, Word2Vec, Word2VecConfig};
use tch::Device;

const EPOCHS: u64 = 3;
/// Words learned from at one learning rate, about as many as gensim's workers take at once.
const STEP: usize = 20_000;
/// The most words of a sentence, as in word2vec.c.
const SENTENCE: usize = 1000;
/// The id of `<unk>`.
const UNKNOWN: u32 = 1;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["prepare", out, ref files @ ..] => prepare(Path::new(out), files),
        ["train", out, vectors, seed, threads, lr, order] => {
            let shuffled = order == "shuffled";
            train(Path::new(out), Path::new(vectors), seed.parse()?, threads.parse()?, lr.parse()?, shuffled)
        }
        ["score", vectors, questions, ref pairs @ ..] => score(Path::new(vectors), Path::new(questions), pairs),
        _ => Err(
            "usage: word2vec prepare OUT FILE... | train OUT VECTORS SEED THREADS LR ORDER | score VECTORS QUESTIONS PAIRS..."
                .into(),
        ),
    }
}

/// Both programs read the words that this writes, so neither gains by how it splits text.
fn prepare(out: &Path, files: &[&str]) -> Done {
    let texts = files.iter().map(|path| read(Path::new(path))).collect::<Result<Vec<_>, _>>()?;
    let config = WordConfig { lowercase: true, split: WordSplit::Words, ..WordConfig::default() };
    let vocab = Vocab::train(texts.iter().cloned(), &TokenizerConfig::Word(config), &[])?;
    fs::create_dir_all(out)?;
    vocab.save(&out.join("tokenizer.json"))?;
    let mut stream = BufWriter::new(File::create(out.join("stream.txt"))?);
    let mut words = 0;
    for text in &texts {
        let ids: Vec<u32> = vocab.encode(text)?.into_iter().filter(|&id| id != UNKNOWN).collect();
        for sentence in ids.chunks(SENTENCE) {
            writeln!(stream, "{}", vocab.decode(sentence))?;
        }
        words += ids.len();
    }
    stream.flush()?;
    println!("words {words} vocabulary {}", vocab.size());
    Ok(())
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    if path.extension().is_some_and(|end| end == "gz") {
        flate2::read::MultiGzDecoder::new(File::open(path)?).read_to_string(&mut text)?;
    } else {
        File::open(path)?.read_to_string(&mut text)?;
    }
    Ok(text)
}

fn train(out: &Path, into: &Path, seed: u64, threads: usize, lr: f64, shuffled: bool) -> Done {
    let vocab = Vocab::load(&out.join("tokenizer.json"))?;
    let text = fs::read_to_string(out.join("stream.txt"))?;
    let mut sentences = vocab.encode_batch(&text.lines().collect::<Vec<_>>())?;
    let mut counts = vec![0_u64; vocab.size() as usize];
    for &id in sentences.iter().flatten().filter(|&&id| id > UNKNOWN) {
        counts[id as usize] += 1;
    }
    let words: u64 = counts.iter().sum();
    let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(seed));
    let model = Word2Vec::new(&Word2VecConfig::default(), vocab.size(), &mut params);
    model.count(&counts);
    let (mut seen, mut step, mut seconds) = (0, 0, 0.0);
    for epoch in 0..EPOCHS {
        if shuffled {
            let mut rng = Rng::at(seed, 1, epoch);
            (1..sentences.len()).rev().for_each(|i| sentences.swap(i, rng.below(i as u64 + 1) as usize));
        }
        let tokens: Vec<u32> = sentences.concat();
        let documents: Vec<u32> = (0..).zip(&sentences).flat_map(|(i, ids)| vec![i; ids.len()]).collect();
        let start = Instant::now();
        for (tokens, documents) in tokens.chunks(STEP).zip(documents.chunks(STEP)) {
            let done = seen as f64 / (EPOCHS * words) as f64;
            model.update(Chunk { tokens, documents }, lr * (1.0 - done).max(1e-4), hash(seed, 2, step), threads)?;
            seen += tokens.len();
            step += 1;
        }
        seconds += start.elapsed().as_secs_f64();
    }
    println!("seconds {seconds:.2} words_s {:.0}", (EPOCHS * words) as f64 / seconds);
    // The separator and the unknown have no vectors.
    let width = model.vectors().size()[1];
    let kept = model.vectors().narrow(0, 2, i64::from(vocab.size()) - 2).contiguous();
    let numbers = Vec::<f32>::try_from(kept.view([-1]))?;
    let words = (2..vocab.size()).map(|id| vocab.decode(&[id])).collect();
    Vectors { words, width: width as usize, numbers }.write(into, Form::Binary)?;
    Ok(())
}

fn score(vectors: &Path, asked: &Path, lists: &[&str]) -> Done {
    let vectors = Vectors::read(vectors, Form::Binary)?;
    let table = Table::new(&vectors.words, &vectors.numbers, vectors.width);
    for list in lists {
        let found = word_similarity(&table, &pairs(&fs::read_to_string(list)?));
        let (estimate, name) = (found.spearman, Path::new(list).file_stem().unwrap_or_default().display().to_string());
        println!("{name} {:.4} +- {:.4} ({} of {} pairs)", estimate.value, estimate.stderr, estimate.n, found.pairs);
    }
    let found = word_analogy(&table, &questions(&fs::read_to_string(asked)?))?.total;
    let (estimate, asked) = (found.accuracy, found.questions);
    println!("analogies {:.4} +- {:.4} ({} of {asked} questions)", estimate.value, estimate.stderr, estimate.n);
    Ok(())
}
