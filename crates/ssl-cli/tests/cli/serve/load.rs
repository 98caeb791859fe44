//! Two hundred clients at once, some of them bad: the good ones are served, and nothing is left behind.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Server, begin, leave, place};

const CLIENTS: usize = 200;
/// One in so many is bad.
const BAD: usize = 10;
/// Texts that the server writes at once.
const ROWS: f64 = 16.0;
/// A request may take so many times what it takes alone, for each time that all rows have to be filled.
const FACTOR: f64 = 4.0;
/// What a request takes alone on a machine that does much else at the same time: less is not counted on.
const LEAST: f64 = 0.02;

/// The time that 99 of 100 are below.
fn p99(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() * 99).div_ceil(100) - 1]
}

#[test]
fn two_hundred_clients_are_served_though_some_are_bad() {
    let place = place();
    let server = Server::start(&place, &["--client-seconds", "2"]);
    let good = |number: usize| {
        let begun = Instant::now();
        let ask = json!({ "prompt": "The old", "max_tokens": 8, "seed": number, "stream": number.is_multiple_of(2) });
        let answer = server.post("/v1/completions", &ask);
        assert_eq!(answer.status, 200, "{answer:?}");
        if number.is_multiple_of(2) {
            answer.events();
        }
        begun.elapsed().as_secs_f64()
    };
    let mut alone: Vec<f64> = (0..20).map(good).collect();
    let alone = p99(&mut alone);
    let bad = |number: usize| match number / BAD % 5 {
        0 => drop(server.connect().write_all(b"POST /v1/completions HTTP/1.1\r\nHost: loc")),
        1 => leave(begin(&server, 500).get_ref()),
        2 => {
            let mut stream = server.connect();
            let _ = stream.write_all(b"GET /health HTTP/1.1\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
        3 => drop(server.post("/v1/completions", &json!({ "prompt": [[1e99]], "n": -1 }))),
        _ => drop(server.connect().write_all(&[0xff; 4096])),
    };
    let mut times: Vec<f64> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn(move || {
                    if number.is_multiple_of(BAD) {
                        bad(number);
                        return None;
                    }
                    Some(good(number))
                })
            })
            .collect();
        clients.into_iter().filter_map(|client| client.join().expect("no client fails")).collect()
    });
    let (count, loaded) = (times.len(), p99(&mut times));
    println!("p99 alone {:.1} ms; of {count} among {CLIENTS} {:.1} ms", alone * 1e3, loaded * 1e3);
    assert!(loaded < FACTOR * alone.max(LEAST) * CLIENTS as f64 / ROWS, "p99 {loaded} s, alone {alone} s");
    server.is_idle();
    server.reaches("ssl:http_connections", "", 1.0);
    assert_eq!(server.metric("ssl:request_success_total", "finished_reason=\"error\""), 0.0);
    thread::sleep(Duration::from_millis(10));
    let ask = json!({ "prompt": "a", "max_tokens": 1, "logit_bias": { "0": -100 } });
    assert_eq!(server.done("/v1/completions", &ask)["usage"]["completion_tokens"], 1);
}
