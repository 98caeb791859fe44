//! Tables against their definitions, and learning.

use ssl_torch::word2vec::Target;
use tch::{Device, Kind};

use super::*;
use crate::params::Precision;

#[test]
fn negatives_are_drawn_by_count_to_the_power() {
    let counts = [0, 1000, 10, 1, 250, 0, 40];
    let table = noise(&counts, 0.75);
    let mut shares = [0.0; 7];
    for (word, slot) in table.iter().enumerate() {
        // The whole of a slot is 2^32; a threshold of 2^32 - 1 is short of it by one.
        let own = f64::from(slot.threshold) / 2_f64.powi(32);
        shares[word] += own / 7.0;
        shares[slot.other as usize] += (1.0 - own) / 7.0;
    }
    let total: f64 = counts.iter().map(|&count| (count as f64).powf(0.75)).sum();
    for (word, &count) in counts.iter().enumerate() {
        let expect = if count > 0 { (count as f64).powf(0.75) / total } else { 0.0 };
        assert!((shares[word] - expect).abs() < 1e-8, "{word}: {} {expect}", shares[word]);
    }
}

#[test]
fn frequent_words_are_kept_as_the_program_keeps_them() {
    let kept = keep(&[0, 900_000, 99_000, 1000], 1e-3);
    let chance = |share: f64| ((share / 1e-3).sqrt() + 1.0) * 1e-3 / share;
    assert_eq!((kept[0], kept[3]), (0, u32::MAX));
    for (found, share) in [(kept[1], 0.9), (kept[2], 0.099)] {
        assert!((f64::from(found) / 2_f64.powi(32) - chance(share)).abs() < 1e-9, "{found}");
    }
    assert_eq!(keep(&[5, 0], 0.0), [u32::MAX, 0]);
}

#[test]
fn paths_are_huffmans() {
    // Huffman 1952, by hand: 5 + 9 = 14, 12 + 13 = 25, 14 + 16 = 30, 25 + 30 = 55, 45 + 55 = 100.
    let counts = [45, 13, 12, 0, 16, 9, 5];
    let Target::Tree { starts, nodes, labels } = huffman(&counts) else { panic!("a tree") };
    let lengths: Vec<u32> = starts.windows(2).map(|ends| ends[1] - ends[0]).collect();
    assert_eq!(lengths, [1, 3, 3, 0, 3, 4, 4]);
    let cost: u64 = counts.iter().zip(&lengths).map(|(count, &length)| count * u64::from(length)).sum();
    assert_eq!(cost, 14 + 25 + 30 + 55 + 100);
    // Every path begins at the root, the node made last, and no two words share one.
    let path = |word: usize| {
        let range = starts[word] as usize..starts[word + 1] as usize;
        nodes[range.clone()].iter().zip(labels[range].iter().map(|label| label.to_bits())).collect::<Vec<_>>()
    };
    let paths: Vec<_> = (0..7).filter(|&word| word != 3).map(path).collect();
    assert!(paths.iter().all(|path| *path[0].0 == 4));
    for (i, a) in paths.iter().enumerate() {
        assert!(paths[..i].iter().all(|b| !a.starts_with(b) && !b.starts_with(a)));
    }
    assert!(matches!(huffman(&[0, 3]), Target::Tree { nodes, .. } if nodes.is_empty()));
    assert!(matches!(huffman(&[]), Target::Tree { starts, .. } if starts == [0]));
}

#[test]
fn windows_end_at_documents() {
    let cut = |tokens: &[u32], documents: &[u32]| sentences(Chunk { tokens, documents });
    assert_eq!(cut(&[0, 1, 2, 0, 3], &[]).expect("sentences"), [const { 0..5 }]);
    assert_eq!(cut(&[1, 1, 2, 0, 3], &[0, 0, 1, 2, 2]).expect("sentences"), [0..2, 2..3, 3..5]);
    assert!(cut(&[], &[]).expect("none").is_empty());
    assert!(cut(&[1, 2], &[0]).is_err());
}

/// All four kinds learn that words 2k and 2k + 1 stand together.
#[test]
fn every_kind_learns_which_words_stand_together() {
    let pair = |i: u32| i.wrapping_mul(2_654_435_761) >> 16 & 0x1e;
    let tokens: Vec<u32> = (0..20_000).flat_map(|i| [pair(i), pair(i) + 1]).collect();
    let documents: Vec<u32> = (0..tokens.len() as u32).map(|i| i / 2).collect();
    let counts: Vec<u64> = (0..32).map(|word| tokens.iter().filter(|&&token| token == word).count() as u64).collect();
    let chunk = Chunk { tokens: &tokens, documents: &documents };
    for (hierarchical, cbow) in [(false, false), (false, true), (true, false), (true, true)] {
        let config = Word2VecConfig { width: 16, subsample: 0.0, hierarchical, cbow, ..Word2VecConfig::default() };
        let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(1));
        let model = Word2Vec::new(&config, 32, &mut params);
        assert!(model.measure(chunk, 0, 1).is_err());
        model.count(&counts);
        let mean = |found: Found| found.nats / found.predictions as f64;
        // Outputs begin at 0, so every sigmoid is one half; 32 words that are about as frequent hang 5 turns deep.
        let before = mean(model.measure(chunk, 0, 1).expect("a loss"));
        let expect = if hierarchical { 5.0 } else { 6.0 } * std::f64::consts::LN_2;
        assert!((before / expect - 1.0).abs() < 0.05, "{before} {expect}");
        for pass in 0..4 {
            model.update(chunk, 0.05, pass, 2).expect("a step");
        }
        // The partner is certain: the tree's loss goes to 0; negatives' does not, since words are drawn against each other.
        let after = mean(model.measure(chunk, 0, 1).expect("a loss"));
        assert!(after < if hierarchical { 0.5 } else { 2.0 }, "hierarchical {hierarchical} cbow {cbow}: {after}");
        assert_eq!(model.vectors().kind(), Kind::Float);
    }
}
