//! The engine against full forward passes, and what it does when texts come, go and fail.

mod engine_support;

use std::sync::mpsc;
use std::time::Duration;

use engine_support::{CONTEXT, Faulty, Heard, VOCAB, built, greedy_by_forward, hear, ids, log_probs_by_forward, models};
use ssl_eval::engine::{End, Engine, Event, Limits, Refused, Request};
use ssl_eval::sample::{Sampling, Want};
use tch::Device;

fn start(model: Box<dyn ssl_model::Model>, limits: Limits) -> Engine {
    Engine::start(model, Device::Cpu, limits)
}

fn request(seed: u64, prompt: usize, max_tokens: usize) -> Request {
    Request { prompt: ids(seed, prompt), max_tokens, sampling: Sampling::greedy(), ..Request::default() }
}

fn drawn(seed: u64) -> Sampling {
    Sampling { temperature: 0.9, top_p: 0.95, presence_penalty: 0.3, seed, ..Sampling::default() }
}

#[test]
fn cached_is_a_full_forward_token_for_token() {
    for config in models() {
        let model = built(&config);
        let asked: Vec<Request> = (0..3).map(|at| request(at, 2 + 4 * at as usize, 12)).collect();
        let expected: Vec<Vec<u32>> = asked.iter().map(|asked| greedy_by_forward(model.as_ref(), asked)).collect();
        let engine = start(model, Limits::default());
        for (asked, expected) in asked.into_iter().zip(expected) {
            let heard = hear(&engine, asked);
            assert_eq!(heard.ids, expected, "{}", config.name());
            assert_eq!(heard.end, End::Length);
        }
    }
}

#[test]
fn alone_or_among_others_whole_or_in_pieces_texts_are_the_same() {
    for config in models() {
        let asked: Vec<Request> = (0..7)
            .map(|at| {
                let sampling = if at % 2 == 0 { Sampling::greedy() } else { drawn(at) };
                Request { sampling, ..request(at, 1 + 3 * at as usize, 4 + 2 * at as usize) }
            })
            .collect();
        let engine = start(built(&config), Limits { kept_tokens: 0, ..Limits::default() });
        let alone: Vec<Heard> = asked.iter().map(|asked| hear(&engine, asked.clone())).collect();
        for piece in [1, 3, 7, 100] {
            let engine = start(built(&config), Limits { rows: 3, piece, kept_tokens: 0, ..Limits::default() });
            let waiting: Vec<_> = asked.iter().map(|asked| engine_support::submit(&engine, asked.clone())).collect();
            for (waiting, alone) in waiting.into_iter().zip(&alone) {
                assert_eq!(&waiting.wait(), alone, "{} in pieces of {piece}", config.name());
            }
        }
    }
}

#[test]
fn a_prompt_that_begins_like_a_finished_text_goes_on_from_there() {
    for config in models() {
        let engine = start(built(&config), Limits { kept_tokens: 200, ..Limits::default() });
        let fresh = start(built(&config), Limits { kept_tokens: 0, ..Limits::default() });
        let first = Request { sampling: drawn(4), ..request(1, 10, 8) };
        let heard = hear(&engine, first.clone());
        // The whole text and more; the prompt again; and a prompt that leaves it half way.
        let on = [&first.prompt[..], &heard.ids, &ids(5, 3)].concat();
        let half = [&first.prompt[..6], &ids(6, 5)].concat();
        for prompt in [on, first.prompt.clone(), half] {
            let asked = Request { prompt, sampling: drawn(9), ..request(0, 0, 6) };
            assert_eq!(hear(&engine, asked.clone()), hear(&fresh, asked), "{}", config.name());
        }
        let reused = engine.state().reused_tokens;
        let expected = match config.name() {
            "t5" | "transformer" => 0,
            // A state can only be gone on with from its end.
            "lstm" => 17,
            _ => 17 + 9 + 6,
        };
        assert_eq!((reused, fresh.state().reused_tokens), (expected, 0), "{}", config.name());
        assert!(engine.state().kept_tokens <= 200);
    }
}

#[test]
fn an_echo_is_scored_as_a_full_forward_scores_it() {
    for config in models() {
        let model = built(&config);
        for (max_tokens, piece) in [(0, 3), (3, 100)] {
            let asked = Request { logprobs: Some(2), echo: true, ..request(3, 14, max_tokens) };
            let expected = log_probs_by_forward(model.as_ref(), &asked);
            let engine = start(built(&config), Limits { piece, ..Limits::default() });
            let heard = hear(&engine, asked.clone());
            assert_eq!(heard.echo.iter().map(|token| token.id).collect::<Vec<_>>(), asked.prompt);
            assert_eq!((heard.ids.len(), heard.end), (max_tokens, End::Length), "{}", config.name());
            for (token, expected) in heard.echo.iter().zip(&expected) {
                let Some(expected) = expected else {
                    assert!(token.logprob.is_none() && token.top.is_empty());
                    continue;
                };
                let (own, best) = (token.logprob.expect("a score"), token.top[0]);
                assert!((f64::from(own) - expected.own).abs() < 1e-5, "{}: {own} for {expected:?}", config.name());
                assert_eq!((best.0, token.top.len()), (expected.best.0, 2));
                assert!((f64::from(best.1) - expected.best.1).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn an_end_ends_a_text_untold_and_so_does_the_context() {
    let config = &models()[0];
    let engine = start(built(config), Limits::default());
    let whole = hear(&engine, request(2, 5, 10));
    let end = whole.ids[4];
    let until = whole.ids.iter().position(|&id| id == end).unwrap_or(0);
    let heard = hear(&engine, Request { ends: vec![end], ..request(2, 5, 10) });
    assert_eq!((heard.ids, heard.end), (whole.ids[..until].to_vec(), End::Stop));
    let heard = hear(&engine, request(2, 5, 1000));
    assert_eq!((heard.ids.len(), heard.end), (CONTEXT - 5, End::Length));
    assert_eq!(hear(&engine, request(2, 5, 0)).end, End::Length);
}

#[test]
fn what_cannot_be_served_is_refused() {
    let engine = start(built(&models()[0]), Limits::default());
    let refused = |request| engine.submit(request, Box::new(|_| Want::More)).map(drop).expect_err("refused");
    assert_eq!(refused(request(0, 0, 1)), Refused::Empty);
    assert_eq!(refused(request(0, CONTEXT, 1)), Refused::Prompt { tokens: CONTEXT, context: CONTEXT });
    let strange = Request { prompt: vec![1, VOCAB], ..request(0, 0, 1) };
    assert_eq!(refused(strange), Refused::Token { id: VOCAB, vocab: VOCAB as usize });
    assert_eq!(hear(&engine, request(0, CONTEXT, 0)).end, End::Length);
}

#[test]
fn a_full_queue_refuses_and_a_cancelled_request_ends_wherever_it_is() {
    let engine = start(built(&models()[1]), Limits { rows: 1, queue: 2, piece: 1, ..Limits::default() });
    // The first text waits in its sink, so that the others certainly wait for it.
    let (go, gate) = mpsc::channel::<()>();
    let (told, tell) = mpsc::channel();
    let mut tokens = 0;
    let ticket = engine.submit(
        request(1, 2, 30),
        Box::new(move |event| {
            tokens += 1;
            told.send(event).expect("somebody hears");
            if tokens == 1 {
                gate.recv_timeout(Duration::from_secs(20)).expect("the gate opens");
            }
            Want::More
        }),
    );
    let ticket = ticket.expect("a ticket");
    assert!(matches!(tell.recv().expect("a token"), Event::Token(_)));
    let waiting = engine_support::submit(&engine, request(2, 2, 3));
    let dropped = engine_support::submit(&engine, request(3, 2, 3));
    assert_eq!(engine.state().waiting, 2);
    let refused = engine.submit(request(4, 2, 3), Box::new(|_| Want::More)).map(drop);
    assert_eq!(refused, Err(Refused::Full { waiting: 2 }));
    // One is cancelled while it runs, one while it waits, one while its prompt is read.
    drop(ticket);
    let dropped = dropped.cancel();
    go.send(()).expect("it waits");
    let rest: Vec<Event> = tell.iter().collect();
    assert_eq!(rest.last(), Some(&Event::End(End::Cancelled)));
    assert!(rest.len() < 5, "cancelled at the next step, not after {}", rest.len());
    assert_eq!(dropped.wait().end, End::Cancelled);
    assert_eq!(waiting.wait().end, End::Length);
    let reading = engine_support::submit(&engine, request(5, 40, 3)).cancel().wait();
    assert_eq!((reading.end, reading.ids.len()), (End::Cancelled, 0));
    let enough = engine_support::submit_until(&engine, request(6, 2, 20), 3).wait();
    assert_eq!((enough.end, enough.ids.len()), (End::Cancelled, 3));
}

#[test]
fn a_text_that_fails_fails_alone() {
    // Nobody else may write what triggers the fault.
    let harmless = Sampling { logit_bias: vec![(Faulty::TRIGGER, -100.0)], ..Sampling::greedy() };
    let asked: Vec<Request> = (0..4).map(|at| Request { sampling: harmless.clone(), ..request(at, 4, 8) }).collect();
    let good: Vec<Heard> = {
        let engine = start(built(&models()[0]), Limits::default());
        asked.iter().map(|asked| hear(&engine, asked.clone())).collect()
    };
    for faulty in [Faulty::Panics, Faulty::NotFinite] {
        let engine = start(faulty.around(built(&models()[0])), Limits { kept_tokens: 0, ..Limits::default() });
        let bad = Request { prompt: vec![Faulty::TRIGGER, 5, 6], ..request(0, 0, 8) };
        let mut all: Vec<_> = asked.iter().map(|asked| engine_support::submit(&engine, asked.clone())).collect();
        all.insert(2, engine_support::submit(&engine, bad));
        let mut heard: Vec<Heard> = all.into_iter().map(engine_support::Waiting::wait).collect();
        let End::Failed(fault) = heard.remove(2).end else { panic!("it failed") };
        assert!(fault.contains(faulty.says()), "{fault}");
        assert_eq!(heard, good);
        let panicked = engine.with(|_, _| panic!("a job"));
        assert!(panicked.is_err() && engine.with(|model, _| model.context()).expect("it lives") == CONTEXT);
        let mut sink = engine_support::submit_panicking(&engine, request(0, 4, 8));
        sink.wait();
        assert_eq!(hear(&engine, asked[0].clone()), good[0]);
    }
}

#[test]
fn many_requests_leave_nothing_behind() {
    let engine = start(built(&models()[1]), Limits { rows: 8, queue: 1000, piece: 16, kept_tokens: 120, ..Limits::default() });
    let asked = |at: u64| Request { sampling: drawn(at), ..request(at % 9, 3 + at as usize % 11, 1 + at as usize % 7) };
    let waiting: Vec<_> = (0..400).map(|at| engine_support::submit(&engine, asked(at))).collect();
    let written: usize = waiting.into_iter().map(|waiting| waiting.wait().ids.len()).sum();
    // The last end is told before its text has left.
    engine.with(|_, _| ()).expect("it lives");
    let state = engine.state();
    assert_eq!((state.waiting, state.running), (0, 0));
    assert_eq!(state.written_tokens, written as u64);
    assert!(state.kept_tokens <= 120 && state.reused_tokens > 0, "{state:?}");
    let prompts: u64 = (0..400).map(|at| 3 + at % 11).sum();
    assert_eq!(state.prompt_tokens + state.reused_tokens, prompts);
}

#[test]
fn the_last_handle_ends_the_engine_and_what_waits() {
    let engine = start(built(&models()[0]), Limits { rows: 1, ..Limits::default() });
    let other = engine.clone();
    drop(engine);
    assert_eq!(hear(&other, request(0, 3, 2)).end, End::Length);
    let waiting: Vec<_> = (0..3).map(|at| engine_support::submit(&other, request(at, 3, CONTEXT))).collect();
    drop(other);
    for waiting in waiting {
        assert!(matches!(waiting.wait().end, End::Cancelled | End::Length));
    }
}

#[test]
fn drafts_change_no_text_and_save_steps_where_they_are_right() {
    let config = engine_support::multi_token();
    let engine = |drafts| start(built(&config), Limits { drafts, piece: 7, ..Limits::default() });
    let (plain, drafting) = (engine(false), engine(true));
    for at in 0..8 {
        let sampling = if at % 2 == 0 { Sampling::greedy() } else { drawn(at) };
        let asked = Request { sampling, ..request(at, 3 + 2 * at as usize, 20) };
        assert_eq!(hear(&drafting, asked.clone()), hear(&plain, asked), "text {at}");
    }
    let (plain, drafting) = (plain.state(), drafting.state());
    assert_eq!(plain.written_tokens, drafting.written_tokens);
    assert!(drafting.steps < plain.steps, "{} steps for {}", drafting.steps, plain.steps);
}
