//! How fast tokens are packed, checked, cut into shuffled windows and collated, on one thread.
#![expect(missing_docs, reason = "criterion's macros make functions without documentation")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ssl_data::config::WindowConfig;
use ssl_data::corpus::{Corpus, SplitName};
use ssl_data::manifest::Manifest;
use ssl_data::objective::causal::Reach;
use ssl_data::objective::{Causal, Objective};
use ssl_data::pack::{Layout, Writer};
use ssl_data::rng::Rng;
use ssl_data::sampler::Sampler;

const TOKENS: usize = 16 << 20;
const BATCH: u64 = 12;

/// Packs documents of about 1000 random tokens.
fn pack(dir: &Path, tokens: usize) {
    let mut writer = Writer::create(dir, "train", Layout::new(8192, 0)).expect("creates");
    let mut rng = Rng::at(0, 0, 0);
    let ids: Vec<u32> = (0..1000).map(|_| 1 + rng.below(8191) as u32).collect();
    for _ in 0..tokens / 1000 {
        writer.push(&ids[rng.below(500) as usize..], 4000).expect("writes");
    }
    let train = writer.finish().expect("finishes");
    let manifest = Manifest {
        version: ssl_data::manifest::VERSION,
        token_bytes: 2,
        vocab_size: 8192,
        separator: 0,
        train,
        ..Manifest::default()
    };
    fs::write(dir.join("manifest.json"), serde_json::to_vec(&manifest).expect("JSON")).expect("writes");
}

fn shard(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut group = c.benchmark_group("pack");
    group.sample_size(10).throughput(Throughput::Elements(1 << 20));
    group.bench_function("1 Mi tokens to the disk", |b| b.iter(|| pack(dir.path(), 1 << 20)));
    group.finish();

    pack(dir.path(), TOKENS);
    let corpus = Corpus::open(dir.path(), SplitName::Train).expect("opens");
    let mut group = c.benchmark_group("verify");
    group.sample_size(10).throughput(Throughput::Bytes(corpus.tokens() * 2));
    group.bench_function("whole", |b| b.iter(|| corpus.verify().expect("whole")));
    group.finish();

    let mut group = c.benchmark_group("batch of 12");
    for (name, kind) in
        [("packed", WindowConfig::Packed {}), ("isolated", WindowConfig::Isolated {}), ("segments", WindowConfig::Segments {})]
    {
        for length in [64_usize, 1024] {
            let sampler = Sampler::new(&corpus, &kind, length, 1).expect("plans");
            let objective = Causal::new(length, corpus.separator(), Reach::from(&kind));
            let mut next = 0;
            group.throughput(Throughput::Elements(BATCH * length as u64));
            group.bench_function(format!("{name} {length}"), |b| {
                b.iter(|| {
                    let windows: Vec<_> = (next..next + BATCH).map(|sample| sampler.window(sample).expect("reads")).collect();
                    next += BATCH;
                    black_box(objective.collate(&windows, &mut []))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, shard);
criterion_main!(benches);
