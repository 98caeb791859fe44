//! Every objective: its rates, that its text can be had back, and that nothing is predicted that must not be.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ssl_data::batch::{Attend, Batch, Grid, Rows, Source, Window};
use ssl_data::config::{TokenizerConfig, VocabConfig, WindowConfig};
use ssl_data::objective::masked::MaskUnit;
use ssl_data::objective::{HybridConfig, InfillConfig, MaskedConfig, ObjectiveConfig, SpanConfig};
use ssl_data::rng::Rng;
use ssl_data::vocab::{END, MASK, PAD, Vocab, sentinel};

const TEXT: &str = "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs, said the wizard; \
                    sphinx of black quartz, judge my vow! How vexingly quick daft zebras jump. 敏捷的棕色狐狸跳过了懒狗。";

fn all() -> Vec<ObjectiveConfig> {
    let masked = |unit, next_sentence| ObjectiveConfig::Masked(MaskedConfig { unit, next_sentence, ..MaskedConfig::default() });
    vec![
        ObjectiveConfig::Causal {},
        masked(MaskUnit::Token, false),
        masked(MaskUnit::Word, false),
        masked(MaskUnit::Span, false),
        masked(MaskUnit::Token, true),
        ObjectiveConfig::Span(SpanConfig::default()),
        ObjectiveConfig::Mixture {},
        ObjectiveConfig::Diffusion {},
        ObjectiveConfig::Hybrid(HybridConfig { causal: 0.5, rate: 0.15 }),
        ObjectiveConfig::Infill(InfillConfig::default()),
        ObjectiveConfig::Contrastive {},
    ]
}

fn vocab() -> Vocab {
    let mut specials: Vec<String> = all().iter().flat_map(ObjectiveConfig::special_tokens).collect();
    specials.sort();
    specials.dedup();
    let config = TokenizerConfig::ByteBpe(VocabConfig { vocab_tokens: 480, sample_bytes: 1 << 20, memory_mib: None });
    Vocab::train(std::iter::once(TEXT.repeat(3)), &config, &specials).expect("a vocabulary")
}

/// Windows of `length` targets over running text with a separator now and then, from a place that the number says.
fn windows(vocab: &Vocab, length: usize, numbers: std::ops::Range<u64>) -> Vec<Window> {
    let mut stream = Vec::new();
    while stream.len() < 64 * (length + 1) {
        stream.push(vocab.separator());
        stream.extend(vocab.encode(TEXT).expect("ids"));
    }
    let cut = |number: u64| {
        let start = Rng::at(1, 2, number).below((stream.len() - length - 1) as u64) as usize;
        let tokens = stream[start..=start + length].to_vec();
        Window { document: vec![0; tokens.len()], tokens, fresh: 0, continues: false }
    };
    numbers.map(cut).collect()
}

fn rngs(numbers: std::ops::Range<u64>) -> Vec<Rng> {
    numbers.map(|number| Rng::at(3, 4, number)).collect()
}

fn ids(grid: &Grid) -> Vec<Vec<u32>> {
    let Grid::Ids { data, shape } = grid else { panic!("ids were expected") };
    data.chunks(shape[1] as usize).map(|row| row.iter().map(|&id| id as u32).collect()).collect()
}

fn reals(grid: &Grid) -> Vec<Vec<f32>> {
    let Grid::Reals { data, shape } = grid else { panic!("reals were expected") };
    data.chunks(shape.get(1).map_or(1, |&t| t as usize)).map(<[f32]>::to_vec).collect()
}

fn collate(config: &ObjectiveConfig, vocab: &Vocab, length: usize, rows: u64) -> (Vec<Window>, Batch<Grid>) {
    let objective = config.build(&WindowConfig::Packed {}, length, vocab).expect("an objective");
    let samples = rows * objective.windows_per_row() as u64;
    let windows = windows(vocab, objective.window(), 0..samples);
    let batch = objective.collate(&windows, &mut rngs(0..samples));
    (windows, batch)
}

fn rows(batch: &Batch<Grid>) -> &Rows<Grid> {
    batch.rows().expect("rows")
}

fn source(batch: &Batch<Grid>) -> Vec<Vec<u32>> {
    let (Batch::Pair(Source { ids: source, present }, _) | Batch::Texts(Source { ids: source, present })) = batch else {
        panic!("a source was expected")
    };
    let present = ids(present);
    let one = |(row, present): (Vec<u32>, Vec<u32>)| {
        let n = present.iter().filter(|&&present| present == 1).count();
        assert!(present[..n].iter().all(|&present| present == 1), "padding comes last");
        row[..n].to_vec()
    };
    ids(source).into_iter().zip(present).map(one).collect()
}

/// The targets that count, row by row.
fn written(batch: &Batch<Grid>) -> Vec<Vec<u32>> {
    let pick = |(row, weights): (Vec<u32>, Vec<f32>)| row.into_iter().zip(weights).filter(|(_, w)| *w > 0.0).map(|(id, _)| id);
    ids(&rows(batch).targets).into_iter().zip(reals(&rows(batch).weights)).map(|row| pick(row).collect()).collect()
}

/// A batch is its rows, each made alone: nothing depends on a neighbour, and all shapes stay the same.
#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let vocab = vocab();
    for config in all() {
        let objective = config.build(&WindowConfig::Packed {}, 40, &vocab).expect("an objective");
        let per = objective.windows_per_row() as u64;
        let whole = objective.collate(&windows(&vocab, objective.window(), 0..6 * per), &mut rngs(0..6 * per));
        for row in 0..6 {
            let samples = row * per..(row + 1) * per;
            let alone = objective.collate(&windows(&vocab, objective.window(), samples.clone()), &mut rngs(samples));
            let compare = |whole: &Grid, alone: &Grid| match (whole, alone) {
                (Grid::Ids { .. }, Grid::Ids { .. }) => assert_eq!(ids(whole)[row as usize], ids(alone)[0], "{config:?}"),
                _ => assert_eq!(reals(whole)[row as usize], reals(alone)[0], "{config:?}"),
            };
            match (&whole, &alone) {
                (Batch::Rows(whole), Batch::Rows(alone)) => {
                    compare(&whole.inputs, &alone.inputs);
                    compare(&whole.targets, &alone.targets);
                    compare(&whole.weights, &alone.weights);
                    compare(&whole.counts, &alone.counts);
                }
                (Batch::Pair(from, whole), Batch::Pair(from_alone, alone)) => {
                    compare(&from.ids, &from_alone.ids);
                    compare(&from.present, &from_alone.present);
                    compare(&whole.inputs, &alone.inputs);
                    compare(&whole.targets, &alone.targets);
                    compare(&whole.weights, &alone.weights);
                }
                _ => assert_eq!(source(&whole)[row as usize], source(&alone)[0]),
            }
        }
    }
}

#[test]
fn padding_and_special_tokens_are_never_predicted() {
    let vocab = vocab();
    let end = vocab.separator();
    for config in all() {
        let (_, batch) = collate(&config, &vocab, 48, 64);
        let Some(rows) = batch.rows() else { continue };
        // What a model is meant to write: ends of documents, and the marks that order what it writes.
        let mut allowed = vec![end];
        match config {
            ObjectiveConfig::Span(_) | ObjectiveConfig::Mixture {} => {
                allowed.extend((0..100).map(|k| vocab.special(&sentinel(k)).expect("a sentinel")));
            }
            ObjectiveConfig::Infill(_) => {
                allowed.extend(ssl_data::objective::infill::MARKS.map(|m| vocab.special(m).expect("m")));
            }
            ObjectiveConfig::Masked(_) => allowed.clear(),
            _ => {}
        }
        let forbidden: Vec<u32> = vocab.specials().filter(|id| !allowed.contains(id)).collect();
        let mut predicted = 0;
        for row in written(&batch) {
            predicted += row.len();
            assert!(row.iter().all(|id| !forbidden.contains(id)), "{config:?}");
        }
        assert!(predicted > 64, "{config:?}: {predicted}");
        // Padding is seen by nothing that looks to both sides.
        let pad = vocab.special(PAD).expect("a pad");
        let inputs = ids(&rows.inputs);
        if inputs.iter().any(|row| row.last() == Some(&pad)) && rows.attend != Attend::Causal {
            let documents = ids(rows.documents.as_ref().expect("padding is told"));
            for (row, document) in inputs.iter().zip(documents) {
                assert!(row.iter().zip(document).all(|(&id, document)| (id == pad) == (document == 1)), "{config:?}");
            }
        }
    }
}

#[test]
fn masks_come_at_their_rates() {
    let vocab = vocab();
    let mask = vocab.special(MASK).expect("a mask");
    let specials: Vec<u32> = vocab.specials().collect();
    for unit in [MaskUnit::Token, MaskUnit::Word, MaskUnit::Span] {
        for rate in [0.15, 0.3] {
            let config = ObjectiveConfig::Masked(MaskedConfig { unit, rate, ..MaskedConfig::default() });
            let (_, batch) = collate(&config, &vocab, 128, 400);
            let rows = rows(&batch);
            let (mut chosen, mut candidates, mut fates) = (0_usize, 0_usize, BTreeMap::<&str, usize>::new());
            for ((inputs, targets), weights) in ids(&rows.inputs).iter().zip(ids(&rows.targets)).zip(reals(&rows.weights)) {
                candidates += targets.iter().filter(|id| !specials.contains(id)).count();
                for ((&input, target), weight) in inputs.iter().zip(targets).zip(weights) {
                    if weight == 0.0 {
                        assert_eq!(input, target, "what is not predicted stays");
                        continue;
                    }
                    chosen += 1;
                    let fate = if input == mask {
                        "mask"
                    } else if input == target {
                        "keep"
                    } else {
                        assert!(!specials.contains(&input), "a random token is an ordinary one");
                        "random"
                    };
                    *fates.entry(fate).or_default() += 1;
                }
            }
            // Rows round to whole words, of which some do not fit into what is left.
            let found = chosen as f64 / candidates as f64;
            assert!(found <= rate + 0.01 && found > rate * 0.93, "{unit:?} {rate}: {found}");
            let share = |fate| fates[fate] as f64 / chosen as f64;
            // The draws of a span are one: its shares vary as those of a third of the tokens.
            let sd = (0.16 / (chosen as f64 / 4.0)).sqrt();
            assert!((share("mask") - 0.8).abs() < 4.0 * sd && (share("keep") - 0.1).abs() < 4.0 * sd, "{unit:?} {fates:?}");
            assert!((share("random") - 0.1).abs() < 4.0 * sd, "{unit:?} {fates:?}");
        }
    }
}

#[test]
fn words_are_masked_whole_and_spans_are_runs_of_them() {
    let vocab = vocab();
    let edges = vocab.edges();
    let mut runs = Vec::new();
    for unit in [MaskUnit::Word, MaskUnit::Span] {
        let config = ObjectiveConfig::Masked(MaskedConfig { unit, ..MaskedConfig::default() });
        let (_, batch) = collate(&config, &vocab, 256, 100);
        let mut lengths = Vec::new();
        for (targets, weights) in ids(&rows(&batch).targets).iter().zip(reals(&rows(&batch).weights)) {
            let goes_on = |at: usize| at > 0 && edges[targets[at] as usize].goes_on(edges[targets[at - 1] as usize]);
            for at in 1..targets.len() {
                // A word's later tokens share the fate of its first.
                if goes_on(at) && vocab.specials().all(|id| id != targets[at - 1]) {
                    assert_eq!(weights[at], weights[at - 1], "{unit:?} at {at}");
                }
            }
            let words = (0..targets.len()).filter(|&at| weights[at] > 0.0 && !goes_on(at)).count();
            let begins = (1..targets.len()).filter(|&at| weights[at] > 0.0 && weights[at - 1] == 0.0).count();
            lengths.push(words as f64 / begins.max(1) as f64);
        }
        runs.push(lengths.iter().sum::<f64>() / lengths.len() as f64);
    }
    // The control: words alone make short runs, spans long ones.
    assert!(runs[0] < 1.5 && runs[1] > 2.0, "{runs:?}");
}

#[test]
fn the_second_sentence_follows_half_of_the_time() {
    let vocab = vocab();
    let config = ObjectiveConfig::Masked(MaskedConfig { next_sentence: true, ..MaskedConfig::default() });
    let (windows, batch) = collate(&config, &vocab, 60, 300);
    let sentences = rows(&batch).sentences.as_ref().expect("sentences");
    let Grid::Ids { data: random, .. } = &sentences.random else { panic!("ids were expected") };
    let drawn: i64 = random.iter().sum();
    assert!((drawn - 150).abs() < 4 * 9, "{drawn} of 300");
    let (segments, targets) = (ids(&sentences.segments), ids(&rows(&batch).targets));
    let end = vocab.special(END).expect("an end");
    let mut strangers = 0;
    for (row, windows) in windows.chunks(2).enumerate() {
        let second = segments[row].iter().position(|&segment| segment == 1).expect("a second sentence");
        let last = segments[row].iter().rposition(|&segment| segment == 1).expect("a second sentence");
        assert_eq!((targets[row][second - 1], targets[row][last]), (end, end));
        let (a, b) = (&targets[row][1..second - 1], &targets[row][second..last]);
        let inside = |window: &Window, part: &[u32]| window.tokens.windows(part.len()).any(|run| run == part);
        assert!(inside(&windows[0], a));
        let follows = inside(&windows[0], &[a, b].concat());
        assert!(random[row] == 1 || follows, "row {row}");
        // The text repeats itself, so that what is drawn from elsewhere may be the same by chance.
        strangers += i64::from(!follows);
        assert!(random[row] == 0 || inside(&windows[1], b));
    }
    assert!(strangers > drawn * 9 / 10, "{strangers} of {drawn}");
}

#[test]
fn diffusion_hides_what_it_predicts_and_weighs_it_by_the_inverse_of_its_share() {
    let vocab = vocab();
    let mask = vocab.special(MASK).expect("a mask");
    let (windows, batch) = collate(&ObjectiveConfig::Diffusion {}, &vocab, 64, 4000);
    let rows = rows(&batch);
    assert_eq!(rows.never, Some(i64::from(mask)));
    assert!(reals(&rows.counts).concat().iter().all(|&count| (count - 64.0).abs() < 0.5), "a bound is spread over all tokens");
    let mut shares = [0; 10];
    let mut sum = 0.0;
    for (((inputs, targets), weights), window) in
        ids(&rows.inputs).iter().zip(ids(&rows.targets)).zip(reals(&rows.weights)).zip(&windows)
    {
        assert_eq!(targets, window.tokens[1..]);
        for ((&input, target), weight) in inputs.iter().zip(&targets).zip(&weights) {
            assert_eq!(*weight > 0.0, input == mask);
            assert!(input == mask || input == *target);
        }
        if let Some(weight) = weights.iter().find(|weight| **weight > 0.0) {
            shares[(f64::from(1.0 / weight) * 9.999) as usize] += 1;
        }
        sum += weights.iter().map(|&weight| f64::from(weight)).sum::<f64>() / 64.0;
    }
    // The weights of a row add up to its tokens on average, which makes the loss a bound.
    assert!((sum / 4000.0 - 1.0).abs() < 0.05, "{}", sum / 4000.0);
    // Shares are uniform; the smallest often hide nothing.
    assert!(shares[1..].iter().all(|&count| (i32::abs(count - 400)) < 4 * 20), "{shares:?}");
}

#[test]
fn a_hybrid_row_answers_one_place_before_what_it_hides() {
    let vocab = vocab();
    let mask = vocab.special(MASK).expect("a mask");
    let config = ObjectiveConfig::Hybrid(HybridConfig { causal: 0.25, rate: 0.15 });
    let (windows, batch) = collate(&config, &vocab, 64, 800);
    let rows = rows(&batch);
    let Attend::Prefix(Grid::Ids { data: prefix, .. }) = &rows.attend else { panic!("prefixes were expected") };
    let causal = prefix.iter().filter(|&&prefix| prefix == 0).count();
    assert!(causal.abs_diff(200) < 4 * 13, "{causal} of 800");
    let (inputs, targets, weights) = (ids(&rows.inputs), ids(&rows.targets), reals(&rows.weights));
    let mut masks = 0;
    for (row, window) in windows.iter().enumerate() {
        assert_eq!(targets[row], window.tokens[1..]);
        let sum: f32 = weights[row].iter().sum();
        assert!((sum - 64.0).abs() < 1e-3, "every row weighs as much as its tokens");
        if prefix[row] == 0 {
            assert_eq!(inputs[row], window.tokens[..64]);
            continue;
        }
        for at in 1..64 {
            let answered = weights[row][at - 1] > 0.0;
            assert!(answered || inputs[row][at] == window.tokens[at], "what stays is not asked for");
            masks += usize::from(inputs[row][at] == mask);
            assert!(answered || inputs[row][at] != mask);
        }
    }
    assert!(masks > 600 * 64 / 10, "{masks}");
}

/// Puts the spans of a target back in their places.
fn restore(source: &[u32], target: &[u32], vocab: &Vocab) -> Vec<u32> {
    let sentinels: Vec<u32> = (0..100).map(|k| vocab.special(&sentinel(k)).expect("a sentinel")).collect();
    let mut spans = BTreeMap::new();
    let mut last = None;
    for &id in target {
        if sentinels.contains(&id) {
            assert!(spans.insert(id, Vec::new()).is_none(), "a sentinel stands once");
            last = Some(id);
        } else {
            spans.get_mut(&last.expect("a sentinel first")).expect("a span").push(id);
        }
    }
    source.iter().flat_map(|id| spans.get(id).cloned().unwrap_or_else(|| vec![*id])).collect()
}

fn check_spans(length: usize, config: SpanConfig) -> Result<(), TestCaseError> {
    let vocab = vocab();
    let (windows, batch) = collate(&ObjectiveConfig::Span(config), &vocab, length, 8);
    let shapes = (source(&batch), written(&batch));
    for ((source, target), window) in shapes.0.iter().zip(&shapes.1).zip(&windows) {
        let whole = &window.tokens[..window.tokens.len() - 1];
        let text = whole.strip_prefix(&[vocab.separator()]).unwrap_or(whole);
        let (Some((&end, source)), Some((&end2, target))) = (source.split_last(), target.split_last()) else {
            panic!("both have an end")
        };
        prop_assert_eq!((end, end2), (vocab.separator(), vocab.separator()));
        prop_assert_eq!(restore(source, target, &vocab), text);
        prop_assert!(source.len() < length);
        let sentinels: Vec<u32> = (0..100).map(|k| vocab.special(&sentinel(k)).expect("a sentinel")).collect();
        let spans = target.iter().filter(|id| sentinels.contains(id)).count();
        let taken = target.len() - spans;
        let expect = (text.len() as f64 * config.rate).round_ties_even().clamp(1.0, text.len() as f64 - 1.0);
        prop_assert_eq!(taken, expect as usize);
    }
    // A decoder reads what it wrote one place before, and first the padding.
    let pad = vocab.special(PAD).expect("a pad");
    for (inputs, targets) in ids(&rows(&batch).inputs).iter().zip(ids(&rows(&batch).targets)) {
        prop_assert_eq!(inputs[0], pad);
        let n = inputs.iter().skip(1).position(|&id| id == pad).map_or(inputs.len(), |at| at + 1);
        prop_assert_eq!(&inputs[1..n], &targets[..n - 1]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn span_corruption_restores_the_text(length in 6_usize..90, rate in 0.05_f64..0.6, mean in 1.0_f64..9.0) {
        check_spans(length, SpanConfig { rate, mean_span_tokens: mean })?;
    }
}

#[test]
fn t5_fills_its_source_as_the_authors_do() {
    // `compute_input_and_target_lengths(512, 0.15, 3.0)` of the T5 code gives 568 raw tokens and targets of 114.
    let config = SpanConfig::default();
    assert_eq!(config.lengths(568), (512, 114));
    let vocab = vocab();
    let objective = ObjectiveConfig::Span(config).build(&WindowConfig::Packed {}, 512, &vocab).expect("an objective");
    assert_eq!(objective.window(), 568);
}

#[test]
fn every_denoiser_of_the_mixture_restores_the_text_and_comes_as_often() {
    let vocab = vocab();
    let (windows, batch) = collate(&ObjectiveConfig::Mixture {}, &vocab, 200, 700);
    let modes = ["[R]", "[S]", "[X]"].map(|mode| vocab.special(mode).expect("a mode"));
    let mut counts = [0_i32; 3];
    for ((source, target), window) in source(&batch).iter().zip(written(&batch)).zip(&windows) {
        let mode = modes.iter().position(|&mode| mode == source[0]).expect("a mode first");
        counts[mode] += 1;
        let whole = &window.tokens[..window.tokens.len() - 1];
        let text = whole.strip_prefix(&[vocab.separator()]).unwrap_or(whole);
        let (source, target) = (&source[1..source.len() - 1], &target[..target.len() - 1]);
        let restored = if mode == 1 { [source, target].concat() } else { restore(source, target, &vocab) };
        assert_eq!(restored, text);
    }
    // 2 : 1 : 4 of 700; the standard deviation is below 14.
    assert!((counts[0] - 200).abs() < 56 && (counts[1] - 100).abs() < 56 && (counts[2] - 400).abs() < 56, "{counts:?}");
}

#[test]
fn infilling_keeps_the_text() {
    let vocab = vocab();
    let [prefix, suffix, middle] = ssl_data::objective::infill::MARKS.map(|mark| vocab.special(mark).expect("a mark"));
    let ids_of = vocab.encode("Pack my box with five dozen liquor jugs 敏捷").expect("ids");
    let tokens = [&[vocab.separator()], &ids_of[..], &[vocab.separator()]].concat();
    let window = Window { document: vec![0; tokens.len()], tokens, fresh: 0, continues: false };
    let objective =
        ObjectiveConfig::Infill(InfillConfig { rate: 0.5 }).build(&WindowConfig::Packed {}, 200, &vocab).expect("an objective");
    let (mut cut, mut orders) = (0_i32, [0_i32; 2]);
    for number in 0..400 {
        let batch = objective.collate(std::slice::from_ref(&window), &mut [Rng::at(0, 0, number)]);
        let target = written(&batch).remove(0);
        let text = match target.strip_suffix(&[vocab.separator()]).expect("an end") {
            [first, rest @ ..] if *first == prefix => {
                cut += 1;
                let at = |mark| rest.iter().position(|&id| id == mark).expect("a mark");
                let (s, m) = (at(suffix), at(middle));
                let (before, after, inside) = (&rest[..s], &rest[s + 1..m], &rest[m + 1..]);
                if before.is_empty() {
                    orders[1] += 1;
                } else {
                    orders[0] += 1;
                }
                // In the second order prefix and middle stand together, after the suffix.
                format!("{}{}{}", vocab.decode(before), vocab.decode(inside), vocab.decode(after))
            }
            whole => vocab.decode(whole),
        };
        assert_eq!(text, "Pack my box with five dozen liquor jugs 敏捷");
    }
    assert!((cut - 200).abs() < 40, "{cut} of 400");
    assert!((orders[0] - orders[1]).abs() < 60, "{orders:?}");
}
