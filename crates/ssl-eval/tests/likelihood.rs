//! Likelihoods against the logits of the same models, one text at a time.

mod support;

use ssl_data::batch::{Attend, Batch, Rows, Source};
use ssl_data::objective::Form;
use ssl_data::vocab::{CLASS, END, MASK, PAD, sentinel};
use ssl_eval::Error;
use ssl_eval::choice::{Question, choose};
use ssl_eval::cloze::{Passage, fill};
use ssl_eval::likelihood::{Gap, Request, Scored, Scorer};
use ssl_eval::minimal_pairs::{Pair, judge};
use ssl_model::Model;
use ssl_model::config::{ElectraConfig, GeneratorConfig, ModelConfig};
use support::{CONTEXT, GO_ON, TEXT, bert, built, full, gpt, models, row, rows, t5, vocab};
use tch::{Device, Kind, Tensor};

/// Nats of `ids` at `places` of a batch of one row, and whether they are the likeliest.
fn asked(model: &dyn Model, batch: &Batch<Tensor>, answers: &[(usize, u32)]) -> (f64, bool) {
    let log_p = tch::no_grad(|| model.logits(batch)).to_kind(Kind::Double).log_softmax(-1, Kind::Double).squeeze_dim(0);
    let of = |&(place, id): &(usize, u32)| log_p.double_value(&[place as i64, i64::from(id)]);
    let best = |&(place, id): &(usize, u32)| log_p.get(place as i64).argmax(-1, false).int64_value(&[]) == i64::from(id);
    (-answers.iter().map(of).sum::<f64>(), answers.iter().all(best))
}

/// Nats of the ids from `from` on, of a model that looks back.
fn looking_back(model: &dyn Model, ids: &[u32], from: usize) -> (f64, bool) {
    let batch = Batch::Rows(rows(&ids[..ids.len() - 1], Attend::Causal));
    asked(model, &batch, &(from..ids.len()).map(|at| (at - 1, ids[at])).collect::<Vec<_>>())
}

fn pair(model: &dyn Model, source: &[u32], target: &[u32], from: usize) -> (f64, bool) {
    let source = Source { ids: row(source), present: row(source).ones_like() };
    let batch = Batch::Pair(source, rows(&target[..target.len() - 1], Attend::Causal));
    asked(model, &batch, &(from..target.len()).map(|at| (at - 1, target[at])).collect::<Vec<_>>())
}

#[track_caller]
fn near(found: f64, expect: f64) {
    assert!((found - expect).abs() < 1e-5 * expect.abs().max(1.0), "{found} for {expect}");
}

const REQUESTS: [Request<'static>; 6] = [
    Request { context: "the quick brown", continuation: " fox" },
    Request { context: "", continuation: "the dog" },
    Request { context: "the lazy dog sleeps. ", continuation: "zebra?" },
    Request { context: "the fox and the dog", continuation: " do not mind the sun" },
    Request { context: "a", continuation: "b" },
    Request { context: "the quick brown fox jumps over the lazy dog and", continuation: " the dog does not" },
];

#[test]
fn scores_do_not_depend_on_batches_order_or_threads() {
    let vocab = full();
    for (config, form) in models() {
        let model = built(&config, &vocab);
        let of = |tokens: usize, requests: &[Request<'_>]| {
            let scorer = Scorer::new(&*model, &vocab, form, config.start_token(), Device::Cpu).expect("a scorer");
            scorer.with_batch_tokens(tokens).with_greedy(true).continuations(requests, GO_ON).expect("scores")
        };
        let alone: Vec<Scored> = REQUESTS.iter().flat_map(|request| of(1, std::slice::from_ref(request))).collect();
        let compare = |found: &[Scored], expect: &[Scored]| {
            for (found, expect) in found.iter().zip(expect) {
                near(found.nats, expect.nats);
                assert_eq!((found.tokens, found.bytes, found.greedy), (expect.tokens, expect.bytes, expect.greedy));
            }
        };
        for tokens in [1, 40, 8192] {
            compare(&of(tokens, &REQUESTS), &alone);
        }
        let backwards: Vec<Request<'_>> = REQUESTS.into_iter().rev().collect();
        let mut found = of(100, &backwards);
        found.reverse();
        compare(&found, &alone);
        let threads = tch::get_num_threads();
        for count in [1, 2] {
            tch::set_num_threads(count);
            compare(&of(8192, &REQUESTS), &alone);
        }
        tch::set_num_threads(threads);
        // The texts are told apart, or all of the above would hold of a model that says nothing.
        let per_token = |one: &Scored| one.nats / one.tokens as f64;
        let spread = alone.iter().map(per_token).fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(x), high.max(x)));
        assert!(spread.1 - spread.0 > 0.05, "{}: {spread:?}", config.name());
    }
}

#[test]
fn looking_back_a_continuation_is_scored_after_the_separator_and_its_context() {
    let vocab = full();
    for (config, form) in models().into_iter().filter(|(_, form)| matches!(form, Form::Causal | Form::Prefix)) {
        let model = built(&config, &vocab);
        let scorer = Scorer::new(&*model, &vocab, form, None, Device::Cpu).expect("a scorer").with_greedy(true);
        let found = scorer.continuations(&REQUESTS, GO_ON).expect("scores");
        for (found, request) in found.iter().zip(REQUESTS) {
            let text = [request.context, request.continuation].concat();
            let ids = [vec![vocab.separator()], vocab.encode(&text).expect("ids")].concat();
            // The spaces at the end of a context are the continuation's.
            let from = 1 + vocab.encode(request.context.trim_end()).expect("ids").len();
            let cut = ids.len().saturating_sub(CONTEXT + 1);
            let (nats, greedy) = looking_back(&*model, &ids[cut..], from - cut);
            near(found.nats, nats);
            assert_eq!((found.tokens as usize, found.greedy), (ids.len() - from, greedy));
            assert_eq!(found.bytes as usize, request.continuation.len());
        }
        let longest = vocab.encode(&[REQUESTS[5].context, REQUESTS[5].continuation].concat()).expect("ids").len();
        assert!(longest > CONTEXT, "the last request is cut: {longest}");
    }
}

#[test]
fn what_a_model_writes_is_greedy_and_anything_else_is_not() {
    let vocab = full();
    let model = built(&gpt(), &vocab);
    let scorer = Scorer::new(&*model, &vocab, Form::Causal, None, Device::Cpu).expect("a scorer");
    let asked = scorer.continuations(&REQUESTS, GO_ON).expect("scores");
    assert!(asked.iter().all(|one| !one.greedy), "it was not asked for");
    let scorer = scorer.with_greedy(true);
    // The likeliest token that is text of its own, after several contexts.
    let mut found = 0;
    for context in TEXT.split_whitespace() {
        let ids = [vec![vocab.separator()], vocab.encode(context).expect("ids")].concat();
        let logits = tch::no_grad(|| model.logits(&Batch::Rows(rows(&ids, Attend::Causal))));
        let best = logits.select(1, ids.len() as i64 - 1).argmax(-1, false).int64_value(&[0]) as u32;
        let continuation = vocab.decode(&[best]);
        let whole = vocab.encode(&[context, &continuation].concat()).expect("ids");
        if whole != [&ids[1..], &[best]].concat() {
            continue;
        }
        found += 1;
        let longer = [continuation.as_str(), " q!"].concat();
        let requests = [continuation.as_str(), &longer].map(|continuation| Request { context, continuation });
        let scored = scorer.continuations(&requests, GO_ON).expect("scores");
        assert!(scored[0].greedy && !scored[1].greedy, "{context:?} {continuation:?}");
    }
    assert!(found > 0, "no likeliest token was text");
}

#[test]
fn from_both_sides_each_token_is_masked_with_the_rest_of_its_word() {
    let vocab = full();
    let model = built(&bert(), &vocab);
    let scorer = Scorer::new(&*model, &vocab, Form::Both, None, Device::Cpu).expect("a scorer").with_greedy(true);
    assert!(scorer.is_pseudo());
    let [class, end, mask] = [CLASS, END, MASK].map(|name| vocab.special(name).expect("a special token"));
    let text = "the zebra mind";
    let ids = vocab.encode(text).expect("ids");
    let whole = [vec![class], ids.clone(), vec![end]].concat();
    // By its text: a word begins with the token that begins with a space, or follows one that is nothing else.
    let text_of = |at: usize| vocab.decode(&[ids[at]]);
    let begins = |at: usize| at >= ids.len() || text_of(at).starts_with(' ') || text_of(at - 1).trim().is_empty();
    let (mut expect, mut longest) = (0.0, 0);
    for at in 0..ids.len() {
        let word = (at + 1..=ids.len()).find(|&next| begins(next)).expect("an end");
        let mut hidden = whole.clone();
        hidden[1 + at..=word].fill(mask);
        longest = longest.max(word - at);
        expect += asked(&*model, &Batch::Rows(rows(&hidden, Attend::Both)), &[(1 + at, ids[at])]).0;
    }
    assert!(longest > 2, "zebra is several tokens: {ids:?}");
    near(scorer.text_nats(&[text], GO_ON).expect("scores")[0].nats, expect);
    // A continuation alone, the context being seen and not scored.
    let parts = scorer.continuations(&[Request { context: "the zebra", continuation: " mind" }], GO_ON).expect("scores");
    let begin = vocab.encode("the zebra").expect("ids").len();
    assert_eq!(parts[0].tokens as usize, ids.len() - begin);
    assert!(parts[0].nats < expect);
}

#[test]
fn a_gap_is_one_mask_a_token_and_what_follows_is_read() {
    let vocab = full();
    let model = built(&bert(), &vocab);
    let scorer = Scorer::new(&*model, &vocab, Form::Both, None, Device::Cpu).expect("a scorer").with_greedy(true);
    let [class, end, mask] = [CLASS, END, MASK].map(|name| vocab.special(name).expect("a special token"));
    let gap = Gap { before: "the fox", answer: " minds zebras", after: " and the dog" };
    let ids = vocab.encode("the fox minds zebras and the dog").expect("ids");
    let from = vocab.encode("the fox").expect("ids").len();
    let until = vocab.encode("the fox minds zebras").expect("ids").len();
    let mut hidden = [vec![class], ids.clone(), vec![end]].concat();
    hidden[1 + from..=until].fill(mask);
    let answers: Vec<(usize, u32)> = (from..until).map(|at| (1 + at, ids[at])).collect();
    let (nats, greedy) = asked(&*model, &Batch::Rows(rows(&hidden, Attend::Both)), &answers);
    let found = scorer.gaps(&[gap], GO_ON).expect("scores")[0];
    near(found.nats, nats);
    assert_eq!((found.tokens as usize, found.greedy), (until - from, greedy));
    let without = scorer.gaps(&[Gap { after: "", ..gap }], GO_ON).expect("scores")[0];
    assert!((without.nats - found.nats).abs() > 1e-3, "what follows says nothing");
}

#[test]
fn without_class_and_end_rows_are_those_of_a_diffusion() {
    let vocab = vocab(&[PAD, MASK]);
    let model = built(&gpt(), &vocab);
    let scorer = Scorer::new(&*model, &vocab, Form::Both, None, Device::Cpu).expect("a scorer");
    let mask = vocab.special(MASK).expect("a mask");
    let ids = vocab.encode("q7").expect("ids");
    // One word of two tokens: the first is asked for with both masked.
    let row = |hidden: [u32; 2]| {
        let rows = rows(&[vocab.separator(), hidden[0], hidden[1]], Attend::Both);
        Batch::Rows(Rows { never: Some(i64::from(mask)), ..rows })
    };
    assert_eq!(ids.len(), 2);
    let expect = asked(&*model, &row([mask, mask]), &[(1, ids[0])]).0 + asked(&*model, &row([ids[0], mask]), &[(2, ids[1])]).0;
    near(scorer.text_nats(&["q7"], GO_ON).expect("scores")[0].nats, expect);
}

#[test]
fn two_stacks_write_the_continuation_from_the_context() {
    let (marked, plain) = (full(), vocab(&[PAD]));
    let modes = vocab(&[PAD, "[R]", "[S]", "[X]", &sentinel(0)]);
    let gap = Gap { before: "the quick", answer: " brown fox", after: "" };
    for (vocab, marks, mode) in [(&marked, true, None), (&plain, false, None), (&modes, false, Some("[S]"))] {
        let mut config = t5();
        let start = vocab.special(PAD).expect("padding");
        config.starts_with(start);
        let model = built(&config, vocab);
        let scorer = Scorer::new(&*model, vocab, Form::Pair, config.start_token(), Device::Cpu).expect("a scorer");
        let ids = vocab.encode("the quick brown fox").expect("ids");
        let from = vocab.encode("the quick").expect("ids").len();
        let mark: Vec<u32> = marks.then(|| vocab.special(&sentinel(0)).expect("a mark")).into_iter().collect();
        let mode: Vec<u32> = mode.map(|mode| vocab.special(mode).expect("a mode")).into_iter().collect();
        let source = [&mode[..], &ids[..from], &mark, &[vocab.separator()]].concat();
        let target = [&[start], &mark[..], &ids[from..]].concat();
        let expect = pair(&*model, &source, &target, 1 + mark.len()).0;
        let request = Request { context: gap.before, continuation: gap.answer };
        near(scorer.continuations(&[request], GO_ON).expect("scores")[0].nats, expect);
        near(scorer.gaps(&[gap], GO_ON).expect("scores")[0].nats, expect);
        let followed = Gap { after: " jumps", ..gap };
        match scorer.gaps(&[gap, followed], GO_ON) {
            Err(Error::Gap { at: 1 }) => assert!(vocab.special(&sentinel(0)).is_err()),
            found => {
                // What follows the gap follows its sentinel.
                let mode: Vec<u32> = vocab.special("[R]").into_iter().collect();
                let mark = vocab.special(&sentinel(0)).expect("a mark");
                let after = vocab.encode(" jumps").expect("ids");
                let source = [&mode[..], &ids[..from], &[mark], &after, &[vocab.separator()]].concat();
                let target = [&[start, mark], &ids[from..]].concat();
                near(found.expect("scores")[1].nats, pair(&*model, &source, &target, 2).0);
            }
        }
    }
}

#[test]
fn long_texts_are_slid_over_and_each_token_is_scored_once() {
    let vocab = full();
    let short = "the dog sleeps";
    let long = [TEXT, " ", TEXT].concat();
    for (config, form) in models() {
        let model = built(&config, &vocab);
        let scorer = Scorer::new(&*model, &vocab, form, config.start_token(), Device::Cpu).expect("a scorer");
        let found = scorer.text_nats(&[short, &long, ""], GO_ON).expect("scores");
        let plain = scorer.continuations(&[Request { context: "", continuation: short }], GO_ON).expect("scores");
        near(found[0].nats, plain[0].nats);
        assert_eq!((found[2].nats, found[2].tokens), (0.0, 0));
        assert_eq!(found[1].tokens as usize, vocab.encode(&long).expect("ids").len());
        assert_eq!(found[1].bytes as usize, long.len());
        // Not twice as many nats as a uniform guess, nor half: no token is left out or counted twice.
        let share = found[1].nats / found[1].tokens as f64 / f64::from(vocab.size()).ln();
        assert!((0.7..1.6).contains(&share), "{}: {share}", config.name());
    }
    // By hand: windows of 25 ids, the first scored whole and each other one by its last 12.
    let model = built(&gpt(), &vocab);
    let scorer = Scorer::new(&*model, &vocab, Form::Causal, None, Device::Cpu).expect("a scorer");
    let ids = [vec![vocab.separator()], vocab.encode(&long).expect("ids")].concat();
    let mut expect = looking_back(&*model, &ids[..=CONTEXT], 1).0;
    let mut from = CONTEXT + 1;
    while from < ids.len() {
        let end = ids.len().min(from + CONTEXT / 2);
        let begin = end - CONTEXT - 1;
        expect += looking_back(&*model, &ids[begin..end], from - begin).0;
        from = end;
    }
    near(scorer.text_nats(&[&long], GO_ON).expect("scores")[0].nats, expect);
    // A continuation that is longer than the context after one that is not empty.
    let request = Request { context: "the sun", continuation: &long };
    let scored = scorer.continuations(&[request], GO_ON).expect("scores")[0];
    assert_eq!(
        scored.tokens as usize,
        vocab.encode(&["the sun", &long].concat()).expect("ids").len() - vocab.encode("the sun").expect("ids").len()
    );
}

#[test]
fn tasks_follow_from_the_scores() {
    let vocab = full();
    let model = built(&gpt(), &vocab);
    let scorer = Scorer::new(&*model, &vocab, Form::Causal, None, Device::Cpu).expect("a scorer").with_greedy(true);
    let choices: Vec<String> = ["dog", "lazy fox", "sun"].map(String::from).to_vec();
    let nats = |context: &str, continuation: &str| {
        scorer.continuations(&[Request { context, continuation }], GO_ON).expect("scores")[0].nats
    };
    let questions: Vec<Question> = ["the quick", "over the", "in the", "mind"]
        .map(|context| Question { context: context.into(), choices: choices.clone(), answer: 1 })
        .to_vec();
    let found = choose(&scorer, &questions, " ", GO_ON).expect("answers");
    assert_eq!((found.acc.n, found.answers.len()), (4, 4));
    let mut right = [0.0; 2];
    for (question, answered) in questions.iter().zip(&found.answers) {
        let nats: Vec<f64> = choices.iter().map(|choice| nats(&question.context, &[" ", choice].concat())).collect();
        let least = |of: &dyn Fn(usize) -> f64| (0..3).min_by(|&a, &b| of(a).total_cmp(&of(b))).expect("a choice");
        let by_bytes = least(&|at| nats[at] / choices[at].len() as f64);
        assert_eq!((answered.by_sum, answered.by_bytes), (least(&|at| nats[at]), by_bytes));
        right[0] += f64::from(answered.by_sum == 1);
        right[1] += f64::from(answered.by_bytes == 1);
    }
    assert_eq!([found.acc.value, found.acc_norm.value], right.map(|right| right / 4.0));
    let wrong = [Question { answer: 3, ..questions[0].clone() }];
    assert!(matches!(choose(&scorer, &wrong, " ", GO_ON), Err(Error::Choice { at: 0, answer: 3, choices: 3 })));

    let texts = ["the dog sleeps", "the dog sleep", "fox the over"];
    let pairs = [(0, 1), (1, 0), (2, 2)].map(|(good, bad)| Pair { good: texts[good].into(), bad: texts[bad].into() });
    // One of the first two is right whatever the model finds, and a text is as likely as itself.
    near(judge(&scorer, &pairs, GO_ON).expect("judgements").acc.value, 0.5);

    let passages = ["the quick brown fox", "the lazy dog"].map(|text| Passage::last_word(text).expect("two words"));
    let found = fill(&scorer, &passages, GO_ON).expect("answers");
    let mean = f64::midpoint(nats("the quick brown", " fox"), nats("the lazy", " dog"));
    near(found.perplexity.value, mean.exp());
    assert_eq!(found.acc.value, found.scored.iter().filter(|one| one.greedy).count() as f64 / 2.0);
}

#[test]
fn what_cannot_be_scored_is_told() {
    let vocab = full();
    let model = built(&gpt(), &vocab);
    let new = |model, vocab, form| Scorer::new(model, vocab, form, None, Device::Cpu);
    for form in [Form::Texts, Form::Words] {
        assert!(matches!(new(&*model, &vocab, form), Err(Error::NotPredicting)));
    }
    let bare = support::vocab(&[]);
    let plain = built(&gpt(), &bare);
    assert!(matches!(new(&*plain, &bare, Form::Both), Err(Error::Data(_))));
    let shape = ElectraConfig { layers: 1, heads: 2, width: 32, embedding_width: 32, ..ElectraConfig::default() };
    let generator = GeneratorConfig { width: Some(16), heads: Some(1), ..GeneratorConfig::default() };
    let electra = ModelConfig::Electra(ElectraConfig { context_tokens: 16, generator, ..shape });
    let electra = built(&electra, &vocab);
    assert!(matches!(new(&*electra, &vocab, Form::Both), Err(Error::NotPredicting)));

    let scorer = new(&*model, &vocab, Form::Causal).expect("a scorer");
    let gap = Gap { before: "the", answer: " dog", after: " sleeps" };
    assert!(matches!(scorer.gaps(&[gap], GO_ON), Err(Error::Gap { at: 0 })));
    let empty = [REQUESTS[0], Request { context: "the", continuation: "" }];
    assert!(matches!(scorer.continuations(&empty, GO_ON), Err(Error::NoTokens { at: 1 })));
    assert!(matches!(choose(&scorer, &[], " ", GO_ON), Err(Error::Empty)));

    let told = std::cell::RefCell::new(Vec::new());
    let stop = |share: f64| {
        told.borrow_mut().push(share);
        told.borrow().len() > 3
    };
    assert!(matches!(scorer.with_batch_tokens(1).continuations(&REQUESTS, &stop), Err(Error::Stopped)));
    let told = told.into_inner();
    assert!(told.len() == 4 && told[0] == 0.0 && told.windows(2).all(|two| two[0] < two[1]) && told[3] < 1.0, "{told:?}");
}
