//! What a look inside shows, against the logits and hidden states of the same models, one text at a time.

mod support;

use ssl_data::batch::{Attend, Batch, Source};
use ssl_data::config::TokenizerConfig;
use ssl_data::objective::Form;
use ssl_data::vocab::{CLASS, END, MASK, PAD, Vocab, sentinel};
use ssl_eval::Error;
use ssl_eval::likelihood::{Candidate, Scorer};
use ssl_eval::look::{Embedding, Look};
use ssl_model::config::{ElectraConfig, GeneratorConfig, ModelConfig, Word2VecConfig};
use ssl_model::head::Pool;
use ssl_model::{Model, Pass};
use support::{CONTEXT, GO_ON, TEXT, bert, built, full, gpt, models, row, rows, t5, vocab};
use tch::{Device, Kind, Tensor};

/// Probabilities at each place of a batch of one row.
fn probabilities(model: &dyn Model, batch: &Batch<Tensor>) -> Tensor {
    tch::no_grad(|| model.logits(batch)).to_kind(Kind::Double).softmax(-1, Kind::Double).squeeze_dim(0)
}

#[track_caller]
fn near(found: f64, expect: f64) {
    assert!((found - expect).abs() < 1e-5 * expect.abs().max(1e-3), "{found} for {expect}");
}

fn scorer<'a>(model: &'a dyn Model, vocab: &'a Vocab, form: Form, config: &ModelConfig) -> Scorer<'a> {
    Scorer::new(model, vocab, form, config.start_token(), Device::Cpu).expect("a scorer")
}

#[test]
fn tokens_are_as_likely_as_the_text_that_they_make() {
    let vocab = full();
    let long = [TEXT, " zebras? ", TEXT].concat();
    for (config, form) in models() {
        let model = built(&config, &vocab);
        for text in ["the quick 天 zebra", long.as_str()] {
            let scorer = scorer(&*model, &vocab, form, &config);
            let found = scorer.tokens(text, 4, GO_ON).expect("tokens");
            assert_eq!(found.iter().map(|token| token.id).collect::<Vec<_>>(), vocab.encode(text).expect("ids"));
            assert_eq!(found.iter().map(|token| token.text.as_str()).collect::<String>(), text);
            let nats: f64 = found.iter().map(|token| -token.probability.ln()).sum();
            near(nats, scorer.text_nats(&[text], GO_ON).expect("nats")[0].nats);
            for token in &found {
                let best: Vec<f64> = token.candidates.iter().map(|one| one.probability).collect();
                assert!(best.len() == 4 && best.is_sorted_by(|a, b| a >= b), "{best:?}");
                let at = token.candidates.iter().position(|one| one.ids == [token.id]);
                assert!(at.is_none_or(|at| token.rank as usize == at + 1), "{token:?}");
                assert!(at.is_some() || (token.rank > 4 && token.probability <= best[3]), "{token:?}");
            }
            if text.len() < 40 {
                let few = scorer.with_batch_tokens(40).tokens(text, 1, GO_ON).expect("tokens");
                few.iter().zip(&found).for_each(|(few, found)| near(few.probability, found.probability));
            }
        }
    }
}

#[test]
fn the_rank_of_a_token_counts_those_that_are_likelier() {
    let vocab = full();
    let model = built(&gpt(), &vocab);
    let found = scorer(&*model, &vocab, Form::Causal, &gpt()).tokens("the lazy fox", 3, GO_ON).expect("tokens");
    let ids = [vec![vocab.separator()], vocab.encode("the lazy fox").expect("ids")].concat();
    let p = probabilities(&*model, &Batch::Rows(rows(&ids, Attend::Causal)));
    for (at, token) in found.iter().enumerate() {
        let all = Vec::<f64>::try_from(p.get(at as i64)).expect("numbers");
        let own = all[token.id as usize];
        near(token.probability, own);
        assert_eq!(token.rank as usize, 1 + all.iter().filter(|&&other| other > own).count());
        for one in &token.candidates {
            near(one.probability, all[one.ids[0] as usize]);
        }
    }
}

#[test]
fn a_bert_fills_gaps_from_both_sides() {
    let vocab = full();
    let model = built(&bert(), &vocab);
    let scorer = scorer(&*model, &vocab, Form::Both, &bert());
    let found = scorer.fill("the [MASK] fox jumps over[MASK] dog", 5, &|_| false).expect("candidates");
    let [class, end, mask] = [CLASS, END, MASK].map(|name| vocab.special(name).expect("a special token"));
    let [before, between, after] = ["the", " fox jumps over", " dog"].map(|part| vocab.encode(part).expect("ids"));
    let ids = [vec![class], before.clone(), vec![mask], between.clone(), vec![mask], after, vec![end]].concat();
    let p = probabilities(&*model, &Batch::Rows(rows(&ids, Attend::Both)));
    let masks = [1 + before.len(), 2 + before.len() + between.len()];
    assert_eq!(found.len(), 2);
    for (at, candidates) in masks.into_iter().zip(&found) {
        assert_eq!(ids[at], mask);
        let all = Vec::<f64>::try_from(p.get(at as i64)).expect("numbers");
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&a, &b| all[b].total_cmp(&all[a]));
        assert_eq!(candidates.iter().map(|one| one.ids[0] as usize).collect::<Vec<_>>(), order[..5]);
        for one in candidates {
            near(one.probability, all[one.ids[0] as usize]);
        }
    }
    assert_ne!(found[0], found[1]);
}

#[test]
fn a_space_before_a_gap_is_the_candidate_s_where_words_have_it() {
    let words = full();
    let model = built(&bert(), &words);
    let one = scorer(&*model, &words, Form::Both, &bert());
    assert_eq!(
        one.fill("the [MASK] fox", 3, &|_| false).expect("candidates"),
        one.fill("the[MASK] fox", 3, &|_| false).expect("candidates")
    );
    let specials = [PAD, CLASS, END, MASK].map(String::from);
    let letters = Vocab::train(std::iter::once(TEXT.to_owned()), &TokenizerConfig::Char {}, &specials).expect("a vocabulary");
    let model = built(&bert(), &letters);
    let one = scorer(&*model, &letters, Form::Both, &bert());
    assert_ne!(
        one.fill("the [MASK]ox", 3, &|_| false).expect("candidates"),
        one.fill("the[MASK]ox", 3, &|_| false).expect("candidates")
    );
}

#[test]
fn a_diffusion_never_answers_with_a_mask() {
    let vocab = vocab(&[PAD, MASK]);
    let model = built(&gpt(), &vocab);
    let found = scorer(&*model, &vocab, Form::Both, &gpt()).fill("the [MASK] fox", 1000, &|_| false).expect("candidates");
    let mask = vocab.special(MASK).expect("a mask");
    let all = &found[0];
    assert_eq!(all.len(), vocab.size() as usize);
    assert!(all.last().is_some_and(|last| last.ids == [mask] && last.probability == 0.0), "{:?}", all.last());
    near(all.iter().map(|one| one.probability).sum(), 1.0);
}

/// The probability that a T5 writes a run after `target` and then any mark.
fn run(model: &dyn Model, vocab: &Vocab, source: &[u32], target: &[u32], run: &[u32]) -> f64 {
    let read = Source { ids: row(source), present: row(source).ones_like() };
    let p = probabilities(model, &Batch::Pair(read, rows(&[target, run].concat(), Attend::Causal)));
    let at = |place: usize, id: u32| p.double_value(&[(target.len() - 1 + place) as i64, i64::from(id)]);
    let ends: f64 = vocab.specials().map(|mark| at(run.len(), mark)).sum();
    run.iter().enumerate().map(|(place, &id)| at(place, id)).product::<f64>() * ends
}

#[test]
fn a_t5_fills_gaps_with_runs_one_after_another() {
    let vocab = vocab(&[PAD, &sentinel(0), &sentinel(1)]);
    let mut config = t5();
    let start = vocab.special(PAD).expect("padding");
    config.starts_with(start);
    let model = built(&config, &vocab);
    let scorer = scorer(&*model, &vocab, Form::Pair, &config);
    // So many candidates that none is left out.
    let most = vocab.size() as usize;
    let found = scorer.fill("the [MASK] fox [MASK].", most, &|_| false).expect("candidates");
    let marks = [0, 1].map(|k| vocab.special(&sentinel(k)).expect("a mark"));
    let [a, b, c] = ["the", " fox", "."].map(|part| vocab.encode(part).expect("ids"));
    let source = [&a[..], &marks[..1], &b, &marks[1..], &c, &[vocab.separator()]].concat();
    let first: &Vec<Candidate> = &found[0];
    assert!(first.iter().any(|one| one.ids.len() > 1), "runs have several tokens");
    let whole = |candidates: &[Candidate], target: &[u32]| {
        assert!(candidates.is_sorted_by(|a, b| a.probability >= b.probability));
        for one in candidates.iter().take(12) {
            near(one.probability, run(&*model, &vocab, &source, target, &one.ids));
            assert_eq!(one.text, vocab.decode(&one.ids));
        }
        // No run of a single token was passed over.
        let worst = candidates.last().expect("a candidate").probability;
        for id in (0..vocab.size()).filter(|id| vocab.specials().all(|special| special != *id)).step_by(7) {
            let p = run(&*model, &vocab, &source, target, &[id]);
            assert!(p <= worst * 1.001 || candidates.iter().any(|one| one.ids == [id]), "{id}: {p}, {worst}");
        }
    };
    whole(first, &[start, marks[0]]);
    let second = [&[start, marks[0]], &first[0].ids[..], &marks[1..]].concat();
    whole(&found[1], &second);
}

#[test]
fn what_cannot_be_filled_is_told() {
    let vocab = full();
    let model = built(&gpt(), &vocab);
    assert!(matches!(scorer(&*model, &vocab, Form::Causal, &gpt()).fill("a [MASK]", 1, &|_| false), Err(Error::NotFilling)));
    let model = built(&bert(), &vocab);
    let scorer = scorer(&*model, &vocab, Form::Both, &bert());
    assert!(matches!(scorer.fill("no gap", 1, &|_| false), Err(Error::Gaps { gaps: 0, .. })));
    assert!(matches!(scorer.fill(&"[MASK]".repeat(33), 1, &|_| false), Err(Error::Gaps { gaps: 33, most: 32 })));
    let long = [TEXT, "[MASK]"].concat();
    assert!(matches!(scorer.fill(&long, 1, &|_| false), Err(Error::TooLong { most: CONTEXT, .. })));
}

/// Every kind of model that has hidden states, with the form it reads.
fn readers() -> Vec<(ModelConfig, Form)> {
    let shape = ElectraConfig { layers: 1, heads: 2, width: 32, embedding_width: 32, ..ElectraConfig::default() };
    let generator = GeneratorConfig { width: Some(16), heads: Some(1), ..GeneratorConfig::default() };
    let electra = ModelConfig::Electra(ElectraConfig { context_tokens: CONTEXT as u32, generator, ..shape });
    let words = Word2VecConfig { width: 16, context_tokens: CONTEXT as u32, ..Word2VecConfig::default() };
    let others =
        [(electra, Form::Texts), (bert(), Form::Texts), (gpt(), Form::Both), (ModelConfig::Word2vec(words), Form::Words)];
    models().into_iter().chain(others).collect()
}

const TEXTS: [&str; 5] = ["the fox", "a", "the quick brown fox jumps", "sun", "it sleeps in the"];

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_vector_does_not_depend_on_the_texts_beside_it() {
    let vocab = full();
    let ids: Vec<Vec<u32>> = [&TEXTS[..], &[TEXT]].concat().iter().map(|text| vocab.encode(text).expect("ids")).collect();
    assert!(ids[5].len() > CONTEXT);
    for (config, form) in readers() {
        let model = built(&config, &vocab);
        let look = Look::new(&*model, &vocab, form, config.start_token(), Device::Cpu);
        for pool in [Pool::Mean, Pool::First, Pool::Last] {
            let how = Embedding { pool, normalize: false };
            let together = look.embed(&ids, how, GO_ON).expect("vectors");
            for (ids, vector) in ids.iter().zip(&together) {
                assert_eq!(vector.len(), config.width() as usize);
                let alone = look.embed(std::slice::from_ref(ids), how, GO_ON).expect("a vector");
                assert!(apart(&alone[0], vector) < 1e-5, "{} {pool:?}: {}", config.name(), apart(&alone[0], vector));
            }
            // Texts are told apart, or all of this would hold of a constant.
            let marked = pool == Pool::First && matches!(form, Form::Causal | Form::Prefix);
            assert!(marked || apart(&together[1], &together[3]) > 1e-3, "{} {pool:?}", config.name());
            let normal = look.embed(&ids, Embedding { pool, normalize: true }, GO_ON).expect("vectors");
            for (normal, plain) in normal.iter().zip(&together) {
                let length = plain.iter().map(|x| x * x).sum::<f32>().sqrt();
                assert!(apart(normal, &plain.iter().map(|x| x / length).collect::<Vec<_>>()) < 1e-5);
            }
        }
    }
}

#[test]
fn a_vector_is_the_mean_over_the_text_s_own_tokens() {
    let vocab = full();
    let [class, end] = [CLASS, END].map(|name| vocab.special(name).expect("a mark"));
    let own = vocab.encode("the quick brown").expect("ids");
    let n = own.len() as i64;
    let mean = |model: &dyn Model, batch: &Batch<Tensor>, from: i64| {
        let hidden = tch::no_grad(|| model.hidden(batch, Pass::Eval)).squeeze_dim(0);
        Vec::<f32>::try_from(hidden.narrow(0, from, n).mean_dim(0, false, Kind::Float)).expect("numbers")
    };
    for (config, form) in readers() {
        let model = built(&config, &vocab);
        let look = Look::new(&*model, &vocab, form, config.start_token(), Device::Cpu);
        let found = look.embed(std::slice::from_ref(&own), Embedding::default(), GO_ON).expect("a vector").swap_remove(0);
        let (ids, attend, from) = match form {
            Form::Causal | Form::Prefix => ([&[vocab.separator()], &own[..]].concat(), Attend::Causal, 1),
            Form::Both | Form::Texts => ([&[class], &own[..], &[end]].concat(), Attend::Both, 1),
            Form::Pair => ([&own[..], &[vocab.separator()]].concat(), Attend::Both, 0),
            Form::Words => (own.clone(), Attend::Causal, 0),
        };
        let batch = if form == Form::Pair {
            let source = Source { ids: row(&ids), present: row(&ids).ones_like() };
            Batch::Pair(source, rows(&[vocab.separator()], Attend::Causal))
        } else {
            Batch::Rows(rows(&ids, attend))
        };
        assert!(apart(&found, &mean(&*model, &batch, from)) < 1e-5, "{}", config.name());

        // A long text: the windows' means, each by its tokens.
        let long = own.repeat(CONTEXT);
        let windows = long.len().div_ceil(look.room());
        let cut = |k: usize| long[long.len() * k / windows..long.len() * (k + 1) / windows].to_vec();
        let parts: Vec<Vec<u32>> = (0..windows).map(cut).collect();
        let vectors = look.embed(&parts, Embedding::default(), GO_ON).expect("vectors");
        let mut expect = vec![0.0; found.len()];
        for (part, vector) in parts.iter().zip(vectors) {
            let share = part.len() as f32 / long.len() as f32;
            expect.iter_mut().zip(vector).for_each(|(sum, x)| *sum += share * x);
        }
        let whole = look.embed(&[long], Embedding::default(), GO_ON).expect("a vector");
        assert!(apart(&whole[0], &expect) < 1e-5, "{}", config.name());
    }
}

#[test]
fn attention_is_shared_out_and_looks_where_it_may() {
    let vocab = full();
    let text = vocab.encode("the quick brown fox").expect("ids");
    for (config, form) in models() {
        let model = built(&config, &vocab);
        let look = Look::new(&*model, &vocab, form, config.start_token(), Device::Cpu);
        if matches!(config, ModelConfig::Lstm(_)) {
            assert!(matches!(look.attention(&text, 0), Err(Error::NoAttention)));
            continue;
        }
        let layers = if matches!(config, ModelConfig::Modernbert(_)) { 3 } else { 2 };
        for layer in 0..layers {
            let view = look.attention(&text, layer).expect("weights");
            let t = view.ids.len();
            assert_eq!((view.layers, view.layer, view.weights.len()), (layers, layer, 2), "{}", config.name());
            assert!(view.ids.windows(text.len()).any(|ids| ids == text), "{:?}", view.ids);
            for (at, row) in view.weights.iter().flat_map(|head| head.iter().enumerate()) {
                assert_eq!(row.len(), t);
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                let ahead: f32 = row[at + 1..].iter().sum();
                assert!(if matches!(form, Form::Causal | Form::Prefix) { ahead == 0.0 } else { at + 1 == t || ahead > 0.0 });
            }
        }
        assert!(matches!(look.attention(&text, 7), Err(Error::Layer { layer: 7, layers: n }) if n == layers));
        let long = text.repeat(CONTEXT);
        assert!(matches!(look.attention(&long, 0), Err(Error::TooLong { most: CONTEXT, .. })));
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    let vocab = full();
    let model = built(&bert(), &vocab);
    let look = Look::new(&*model, &vocab, Form::Both, None, Device::Cpu);
    let embed = |texts: &[Vec<u32>], stop: &dyn Fn(f64) -> bool| look.embed(texts, Embedding::default(), stop);
    assert!(matches!(embed(&[vec![5], Vec::new()], GO_ON), Err(Error::NoTokens { at: 1 })));
    assert!(matches!(embed(&[vec![5], vec![vocab.size()]], GO_ON), Err(Error::Token { id, .. }) if id == vocab.size()));
    assert!(matches!(embed(&[vec![5]], &|_| true), Err(Error::Stopped)));
    assert!(matches!(look.attention(&[vocab.size()], 0), Err(Error::Token { .. })));
    assert!(embed(&[], GO_ON).is_ok_and(|none| none.is_empty()));
}
