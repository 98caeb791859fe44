//! Text to ids: our encoder and the `tokenizers` library on the same text and vocabulary.
#![expect(missing_docs, reason = "made by a macro")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ssl_data::config::{TokenizerConfig, VocabConfig};
use ssl_data::vocab::Vocab;
use tokenizers::Tokenizer;

const TEXT: &str = include_str!("../../../fixtures/corpus/english/harbour.txt");

fn encode(criterion: &mut Criterion) {
    let config = TokenizerConfig::ByteBpe(VocabConfig { vocab_tokens: 1024, sample_bytes: 1 << 20, memory_mib: None });
    let vocab = Vocab::train(std::iter::once(TEXT.to_owned()), &config, &[]).expect("a vocabulary");
    let library = Tokenizer::from_bytes(vocab.json()).expect("a tokenizer");
    let text = TEXT.repeat(100);
    assert_eq!(vocab.encode(&text).expect("ids"), library.encode_fast(text.as_str(), false).expect("ids").get_ids());

    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(20);
    group.bench_function("ours, one thread", |bencher| bencher.iter(|| vocab.encode(black_box(&text))));
    group.bench_function("tokenizers, one thread", |bencher| {
        bencher.iter(|| library.encode_fast(black_box(text.as_str()), false));
    });
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
