//! Properties of the road from packed tokens to batches: nothing lost, nothing twice, nothing altered unseen.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rayon::prelude::*;
use ssl_data::batch::{Grid, Rows, Window};
use ssl_data::config::WindowConfig;
use ssl_data::corpus::{Corpus, SplitName};
use ssl_data::manifest::Manifest;
use ssl_data::objective::causal::Reach;
use ssl_data::objective::{Causal, Objective};
use ssl_data::pack::{Layout, Writer};
use ssl_data::sampler::Sampler;
use ssl_data::shard::{Shard, Width};
use ssl_data::{Error, Result};
use tempfile::TempDir;

const SEPARATOR: u32 = 0;

/// Documents of the given lengths whose ids count up, so that every token but the separator tells its place.
fn documents(lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut next = 1;
    lengths
        .iter()
        .map(|&n| {
            next += n as u32;
            (next - n as u32..next).collect()
        })
        .collect()
}

/// The run of tokens that a split of these documents must hold.
fn stream(documents: &[Vec<u32>]) -> Vec<u32> {
    let run = documents.iter().flat_map(|ids| std::iter::once(SEPARATOR).chain(ids.iter().copied()));
    let end = (!documents.is_empty()).then_some(SEPARATOR);
    run.chain(end).collect()
}

fn write(dir: &Path, documents: &[Vec<u32>], layout: Layout) -> Result<Manifest> {
    let mut writer = Writer::create(dir, "train", layout)?;
    for ids in documents {
        writer.push(ids, 3 * ids.len() as u64)?;
    }
    let manifest = Manifest {
        version: ssl_data::manifest::VERSION,
        token_bytes: layout.width.bytes(),
        vocab_size: layout.vocab_size,
        separator: SEPARATOR,
        train: writer.finish()?,
        ..Manifest::default()
    };
    fs::write(dir.join("manifest.json"), serde_json::to_vec(&manifest).expect("a manifest is JSON")).expect("a temporary file");
    Ok(manifest)
}

fn layout(vocab_size: u32, shard_tokens: u64) -> Layout {
    Layout { shard_tokens, ..Layout::new(vocab_size, SEPARATOR) }
}

fn corpus(documents: &[Vec<u32>], shard_tokens: u64) -> (TempDir, Corpus) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    write(dir.path(), documents, layout(60_000, shard_tokens)).expect("writes");
    let corpus = Corpus::open(dir.path(), SplitName::Train).expect("opens");
    (dir, corpus)
}

fn every_kind(length: usize) -> Vec<WindowConfig> {
    let slide = |stride_tokens| WindowConfig::Slide { stride_tokens };
    let half = slide((length as u32).div_ceil(2));
    vec![WindowConfig::Packed {}, WindowConfig::Isolated {}, WindowConfig::Segments {}, slide(1), half, WindowConfig::Random {}]
}

fn windows(sampler: &Sampler) -> Vec<Window> {
    (0..sampler.in_order_len()).map(|index| sampler.in_order(index).expect("reads")).collect()
}

/// The (input, target) pairs of a batch that have weight, with the plain rules of padding checked on the way.
fn weighted(rows: &Rows<Grid>, windows: &[Window], length: usize) -> Vec<(u32, u32)> {
    let (Grid::Ids { data: inputs, .. }, Grid::Ids { data: targets, .. }) = (&rows.inputs, &rows.targets) else { panic!("ids") };
    let (Grid::Reals { data: weights, .. }, Grid::Ids { data: positions, .. }) = (&rows.weights, &rows.positions) else {
        panic!("kinds")
    };
    let mut pairs = Vec::new();
    for (row, window) in windows.iter().enumerate() {
        let n = window.tokens.len() - 1;
        for t in 0..length {
            let at = row * length + t;
            let counts = (window.fresh..n).contains(&t);
            assert!(weights[at].total_cmp(&f32::from(u8::from(counts))).is_eq(), "row {row} position {t}");
            assert!((0..length as i64).contains(&positions[at]));
            if t + 1 < n {
                assert_eq!(targets[at], inputs[at + 1], "targets are the inputs one later");
            }
            if counts {
                pairs.push((inputs[at] as u32, targets[at] as u32));
            }
        }
    }
    pairs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_packed_is_read(
        lengths in prop::collection::vec(0_usize..60, 0..40), shard_tokens in 1_u64..300,
        wide: bool, from in 0.0..1.0_f64, to in 0.0..1.0_f64,
    ) {
        let documents = documents(&lengths);
        let stream = stream(&documents);
        let dir = tempfile::tempdir()?;
        let manifest = write(dir.path(), &documents, layout(if wide { 70_000 } else { 60_000 }, shard_tokens))?;
        let corpus = Corpus::open(dir.path(), SplitName::Train)?;
        prop_assert_eq!(manifest.token_bytes, if wide { 4 } else { 2 });
        prop_assert_eq!(corpus.tokens(), stream.len() as u64);
        prop_assert_eq!(corpus.bytes(), lengths.iter().sum::<usize>() as u64 * 3);
        prop_assert_eq!(corpus.documents(), documents.len() as u64);
        for (k, ids) in documents.iter().enumerate() {
            let range = corpus.document(k as u64).expect("a document");
            prop_assert_eq!(&stream[range.start as usize..range.end as usize][1..], &ids[..]);
            prop_assert_eq!(corpus.documents_until(range.start), k as u64 + 1);
            prop_assert_eq!(corpus.documents_until(range.end - 1), k as u64 + 1);
        }
        let at = (from.min(to) * stream.len() as f64) as usize;
        let end = (from.max(to) * stream.len() as f64) as usize;
        for _ in 0..2 {
            let mut read = Vec::new();
            corpus.read(at as u64, end - at, &mut read)?;
            prop_assert_eq!(&read[..], &stream[at..end]);
        }
        prop_assert!(corpus.read(at as u64, stream.len() - at + 1, &mut Vec::new()).is_err());
        corpus.verify()?;
    }

    #[test]
    fn every_target_counts_once_in_order(
        lengths in prop::collection::vec(0_usize..40, 1..20), length in 1_usize..30, shard_tokens in 1_u64..200,
    ) {
        let documents = documents(&lengths);
        let (_dir, corpus) = corpus(&documents, shard_tokens);
        let mut expect: Vec<_> = stream(&documents).windows(2).map(|pair| (pair[0], pair[1])).collect();
        expect.sort_unstable();
        for kind in every_kind(length) {
            let sampler = Sampler::new(&corpus, &kind, length, 5)?;
            let windows = windows(&sampler);
            let batch = Causal::new(length, SEPARATOR, Reach::from(&kind)).collate(&windows, &mut []);
            let rows = batch.rows().expect("rows");
            let mut pairs = weighted(rows, &windows, length);
            pairs.sort_unstable();
            prop_assert_eq!(&pairs, &expect, "{:?}", kind);
            prop_assert!(sampler.in_order(sampler.in_order_len()).is_err());
        }
    }

    #[test]
    fn an_epoch_of_documents_trains_on_every_target(
        lengths in prop::collection::vec(0_usize..40, 1..20), length in 1_usize..30, epoch in 0_u64..4,
    ) {
        let documents = documents(&lengths);
        let (_dir, corpus) = corpus(&documents, 100);
        let mut expect: Vec<_> = stream(&documents).windows(2).map(|pair| (pair[0], pair[1])).collect();
        expect.sort_unstable();
        expect.dedup();
        for kind in [WindowConfig::Segments {}, WindowConfig::Slide { stride_tokens: (length as u32).div_ceil(3) }] {
            let sampler = Sampler::new(&corpus, &kind, length, 5)?;
            let n = sampler.epoch_len();
            let mut pairs = Vec::new();
            for sample in epoch * n..(epoch + 1) * n {
                let window = sampler.window(sample)?;
                prop_assert_eq!(window.fresh, 0);
                let inputs = &window.tokens[..window.tokens.len() - 1];
                prop_assert!(inputs[1..].iter().all(|&id| id != SEPARATOR), "a window holds two documents");
                pairs.extend(window.tokens.windows(2).map(|pair| (pair[0], pair[1])));
            }
            pairs.sort_unstable();
            pairs.dedup();
            prop_assert_eq!(&pairs, &expect, "{:?}", kind);
        }
    }

    #[test]
    fn streams_go_on_where_they_ended(
        lengths in prop::collection::vec(0_usize..40, 1..20), length in 1_usize..30, rows in 1_u32..7, epoch in 0_u64..3,
    ) {
        let documents = documents(&lengths);
        let (_dir, corpus) = corpus(&documents, 100);
        let sampler = Sampler::new(&corpus, &WindowConfig::Streams { rows }, length, 5)?;
        let streams = sampler.streams().expect("streams");
        let n = sampler.epoch_len();
        prop_assert_eq!(n % streams, 0);
        let mut read = vec![Vec::new(); streams as usize];
        for sample in epoch * n..(epoch + 1) * n {
            let window = sampler.window(sample)?;
            let (row, step) = ((sample % streams) as usize, sample % n / streams);
            prop_assert_eq!(window.continues, step > 0);
            let stream: &mut Vec<u32> = &mut read[row];
            if let Some(last) = stream.pop() {
                prop_assert_eq!(last, window.tokens[0], "a window begins with the last target of the one before");
            }
            stream.extend(&window.tokens);
        }
        // Each stream ends with the token that the next begins with; together they are the split, once.
        let mut whole = vec![read[0][0]];
        for stream in &read {
            prop_assert_eq!(whole.last(), stream.first());
            whole.extend(&stream[1..]);
        }
        prop_assert_eq!(whole, stream(&documents));
    }

    #[test]
    fn an_epoch_of_packed_windows_repeats_nothing_and_gives_up_less_than_two_windows(
        lengths in prop::collection::vec(1_usize..40, 1..20), length in 1_usize..30, epoch in 0_u64..4,
    ) {
        let documents = documents(&lengths);
        let (_dir, corpus) = corpus(&documents, 100);
        let sampler = Sampler::new(&corpus, &WindowConfig::Packed {}, length, 5)?;
        let n = sampler.epoch_len();
        let mut pairs = Vec::new();
        for sample in epoch * n..(epoch + 1) * n {
            let window = sampler.window(sample)?;
            prop_assert!(window.tokens.len() == length + 1 || n == 1);
            pairs.extend(window.tokens.windows(2).map(|pair| (pair[0], pair[1])));
        }
        let read = pairs.len();
        pairs.sort_unstable();
        pairs.dedup();
        prop_assert_eq!(pairs.len(), read);
        prop_assert!(read + 2 * length > corpus.targets() as usize, "{} of {}", read, corpus.targets());
    }

    #[test]
    fn isolated_windows_number_the_documents_by_their_separators(
        lengths in prop::collection::vec(0_usize..10, 1..30), length in 1_usize..30, sample in 0_u64..100,
    ) {
        let (_dir, corpus) = corpus(&documents(&lengths), 50);
        let window = Sampler::new(&corpus, &WindowConfig::Isolated {}, length, 5)?.window(sample)?;
        // The separator that closes the split begins no document, and is never an input.
        let inputs = window.tokens.len() - 1;
        let expect: Vec<u32> = (0..inputs)
            .map(|t| window.tokens[1..=t].iter().filter(|&&id| id == SEPARATOR).count() as u32)
            .collect();
        prop_assert_eq!(&window.document[..inputs], &expect[..]);
        prop_assert_eq!(window.document.len(), window.tokens.len());
    }

    #[test]
    fn a_flipped_bit_in_a_large_shard_is_found_and_its_block_named(at in 0.0..1.0_f64, bit in 0_u8..8) {
        let dir = tempfile::tempdir()?;
        let documents = documents(&[20_000, 30_000, 9_000]);
        let stream = stream(&documents);
        write(dir.path(), &documents, layout(60_000, 1 << 20))?;
        let path = dir.path().join("train-00000.tok");
        let token = (at * stream.len() as f64) as usize;
        let offset = 64 + token * 2;
        let mut bytes = fs::read(&path)?;
        bytes[offset] ^= 1 << bit;
        fs::write(&path, &bytes)?;
        let corpus = Corpus::open(dir.path(), SplitName::Train);
        let found = match &corpus {
            Ok(corpus) => corpus.read(token as u64, 1, &mut Vec::new()),
            Err(_) => corpus.map(drop),
        };
        let Err(error) = found else { panic!("a flipped bit went unseen") };
        prop_assert!(error.to_string().contains("train-00000.tok"), "{}", error);
        let Error::ShardBlock { block, .. } = error else { panic!("{error}") };
        prop_assert_eq!(block, (token * 2 / 65_536) as u64);
    }
}

#[test]
fn every_flipped_byte_of_a_shard_is_found() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    write(dir.path(), &documents(&[100, 0, 250]), layout(60_000, 1000)).expect("writes");
    let path = dir.path().join("train-00000.tok");
    let whole = fs::read(&path).expect("reads");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).expect("writes");
        let error = Corpus::open(dir.path(), SplitName::Train).and_then(|corpus| corpus.verify()).expect_err("an altered shard");
        assert!(error.to_string().contains("train-00000.tok"), "byte {at}: {error}");
    }
}

#[test]
fn every_other_length_of_a_shard_is_found() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    write(dir.path(), &documents(&[100, 0, 250]), layout(60_000, 1000)).expect("writes");
    let path = dir.path().join("train-00000.tok");
    let whole = fs::read(&path).expect("reads");
    let longer = [&whole[..], &[0]].concat();
    for bytes in (0..whole.len()).map(|n| &whole[..n]).chain([&longer[..]]) {
        fs::write(&path, bytes).expect("writes");
        let error = Corpus::open(dir.path(), SplitName::Train).expect_err("an altered shard");
        assert!(error.to_string().contains("train-00000.tok"), "{} bytes: {error}", bytes.len());
    }
}

#[test]
fn a_shard_cut_while_it_is_open_names_the_block() {
    let (dir, corpus) = corpus(&documents(&[50_000]), 1 << 20);
    fs::File::options().write(true).open(dir.path().join("train-00000.tok")).and_then(|file| file.set_len(70_000)).expect("cuts");
    let error = corpus.read(40_000, 10, &mut Vec::new()).expect_err("a cut shard");
    assert!(matches!(error, Error::ShardBlock { block: 1, source: Some(_), .. }), "{error}");
}

#[test]
fn shards_that_are_exchanged_missing_or_elsewhere_are_found() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let manifest = write(dir.path(), &documents(&[9, 9, 9]), layout(60_000, 10)).expect("writes");
    assert_eq!(manifest.train.shards, ["train-00000.tok", "train-00001.tok", "train-00002.tok"]);
    let open_with = |shards: [&str; 3]| {
        let mut altered = manifest.clone();
        altered.train.shards = shards.iter().map(ToString::to_string).filter(|name| !name.is_empty()).collect();
        fs::write(dir.path().join("manifest.json"), serde_json::to_vec(&altered).expect("JSON")).expect("writes");
        Corpus::open(dir.path(), SplitName::Train).map(drop)
    };
    open_with(["train-00000.tok", "train-00001.tok", "train-00002.tok"]).expect("opens");
    assert!(matches!(open_with(["train-00001.tok", "train-00000.tok", "train-00002.tok"]), Err(Error::Shard { .. })));
    assert!(matches!(open_with(["train-00000.tok", "train-00001.tok", ""]), Err(Error::SplitCounts { .. })));
    assert!(matches!(open_with(["../train-00000.tok", "train-00001.tok", ""]), Err(Error::Shard { .. })));
    assert!(matches!(open_with(["train-00000.tok", "train-00001.tok", "train-00003.tok"]), Err(Error::Io { .. })));
}

#[test]
fn the_writer_refuses_what_a_shard_cannot_hold() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let narrow = Layout { width: Width::Two, ..layout(65_537, 100) };
    let error = Writer::create(dir.path(), "train", narrow).expect_err("too many ids");
    assert!(matches!(error, Error::TokenWidth { vocab_size: 65_537, bytes: 2 }), "{error}");
    Writer::create(dir.path(), "train", Layout { width: Width::Two, ..layout(65_536, 100) }).expect("just fits");
    let mut writer = Writer::create(dir.path(), "train", layout(10, 100)).expect("creates");
    writer.push(&[9], 1).expect("the last id");
    assert!(matches!(writer.push(&[10], 1), Err(Error::TokenId { id: 10, vocab_size: 10 })));
    assert!(matches!(writer.push(&[1, SEPARATOR], 1), Err(Error::SeparatorInText { id: SEPARATOR, document: 1 })));
    drop(writer);
    assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 0, "an abandoned writer leaves nothing");
}

#[test]
fn an_empty_split_opens_and_has_no_windows() {
    let (_dir, corpus) = corpus(&[], 10);
    assert_eq!((corpus.tokens(), corpus.targets(), corpus.documents()), (0, 0, 0));
    assert!(matches!(Sampler::new(&corpus, &WindowConfig::Packed {}, 4, 0), Err(Error::EmptySplit { .. })));
}

#[test]
fn strides_that_would_skip_targets_are_refused() {
    let (_dir, corpus) = corpus(&documents(&[20]), 100);
    for stride_tokens in [0, 9] {
        let sampler = Sampler::new(&corpus, &WindowConfig::Slide { stride_tokens }, 8, 0);
        assert!(matches!(sampler, Err(Error::WindowStride { .. })), "{stride_tokens}");
    }
    Sampler::new(&corpus, &WindowConfig::Slide { stride_tokens: 8 }, 8, 0).expect("side by side");
}

#[test]
fn order_does_not_depend_on_where_or_by_whom_it_is_read() {
    let documents = documents(&[300, 5, 0, 70, 1000, 31]);
    for kind in every_kind(16) {
        let (_dir, first) = corpus(&documents, 200);
        let sampler = Sampler::new(&first, &kind, 16, 11).expect("plans");
        let total = 3 * sampler.epoch_len();
        let expect: Vec<Window> = (0..total).map(|sample| sampler.window(sample).expect("reads")).collect();
        let (_other, again) = corpus(&documents, 200);
        let fresh = Sampler::new(&again, &kind, 16, 11).expect("plans");
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let read: Vec<Window> =
                pool.install(|| (0..total).into_par_iter().map(|sample| fresh.window(sample).expect("reads")).collect());
            assert!(read == expect, "{kind:?} on {threads} threads");
        }
        for sample in (0..total).rev().step_by(7) {
            assert_eq!(fresh.window(sample).expect("reads"), expect[sample as usize], "{kind:?} resumed at {sample}");
        }
    }
}

#[test]
fn seeds_and_epochs_give_other_orders() {
    let (_dir, corpus) = corpus(&documents(&[3000]), 5000);
    let starts = |seed: u64, epoch: u64, kind: &WindowConfig| -> Vec<u32> {
        let sampler = Sampler::new(&corpus, kind, 16, seed).expect("plans");
        let n = sampler.epoch_len();
        (epoch * n..(epoch + 1) * n).map(|sample| sampler.window(sample).expect("reads").tokens[0]).collect()
    };
    for kind in every_kind(16) {
        let [base, epoch, seed] = [starts(1, 0, &kind), starts(1, 1, &kind), starts(2, 0, &kind)];
        assert_ne!(base, epoch, "{kind:?}");
        assert_ne!(base, seed, "{kind:?}");
        assert!(!base.is_sorted(), "{kind:?}");
    }
    let cuts: Vec<u32> = (0..8).map(|epoch| starts(1, epoch, &WindowConfig::Packed {})[0] % 16).collect();
    assert!(cuts.iter().any(|&cut| cut != cuts[0]), "packed windows are cut elsewhere each epoch: {cuts:?}");
}

#[test]
fn random_windows_are_whole_and_start_evenly() {
    let (_dir, corpus) = corpus(&documents(&[1014]), 5000);
    let sampler = Sampler::new(&corpus, &WindowConfig::Random {}, 16, 3).expect("plans");
    assert_eq!(sampler.epoch_len(), 1016 / 16);
    // Ids count up from the separator 0, so the first id is the start; 1000 starts in 10 cells of about 2000.
    let mut cells = [0_u32; 10];
    for sample in 0..20_000 {
        let window = sampler.window(sample).expect("reads");
        assert_eq!(window.tokens.len(), 17);
        cells[window.tokens[0] as usize / 100] += 1;
    }
    assert!(cells.iter().all(|&n| n.abs_diff(2000) < 270), "{cells:?}");
}

#[test]
fn a_shard_of_another_kind_is_told_apart() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("x.tok");
    fs::write(&path, [b'x'; 200]).expect("writes");
    let error = Shard::open(&path).expect_err("no shard");
    assert!(error.to_string().contains("x.tok"), "{error}");
}

#[test]
fn every_token_is_counted_once() {
    let (_dir, corpus) = corpus(&[vec![5, 7, 5], vec![], vec![59_999, 5]], 4);
    let counts = corpus.counts().expect("counts");
    let mut tokens = Vec::new();
    corpus.read(0, corpus.tokens() as usize, &mut tokens).expect("reads");
    assert_eq!(counts.len(), 60_000);
    assert_eq!(counts.iter().sum::<u64>(), corpus.tokens());
    for id in [SEPARATOR, 5, 7, 59_999] {
        assert_eq!(counts[id as usize], tokens.iter().filter(|&&token| token == id).count() as u64, "{id}");
    }
    assert_eq!(counts[5], 3);
}
