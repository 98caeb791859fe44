//! Clients that are slow, rude or gone: each is left, and what it held is given back.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Server, begin, leave, place};

#[test]
fn clients_that_leave_are_not_worked_for() {
    let place = place();
    let server = Server::start(&place, &["--rows", "1", "--queue", "2"]);
    let aborted = |count: f64| {
        server.reaches("ssl:request_success_total", "finished_reason=\"abort\"", count);
        server.is_idle();
    };
    // While its text is written.
    let writing = begin(&server, 1000);
    leave(writing.get_ref());
    aborted(1.0);
    // While it waits behind another's, streamed or not.
    let writing = begin(&server, 1000);
    let mut waiting = Vec::new();
    for stream in [false, true] {
        let ask = json!({ "prompt": "a", "max_tokens": 1000, "stream": stream }).to_string();
        let mut connection = server.connect();
        connection.write_all(server.request("POST", "/v1/completions", "", &ask).as_bytes()).expect("it reads");
        waiting.push(connection);
    }
    server.reaches("ssl:num_requests_waiting", "", 2.0);
    // The queue is full now.
    let full = server.post("/v1/completions", &json!({ "prompt": "a" }));
    assert_eq!((full.status, &full.json()["error"]["code"]), (429, &"queue_full".into()));
    assert!(full.head.contains("retry-after: 1"), "{}", full.head);
    waiting.iter().for_each(leave);
    server.reaches("ssl:num_requests_waiting", "", 0.0);
    leave(writing.get_ref());
    aborted(4.0);
    // One that stays and reads nothing holds no text up, and has its own in the end.
    let mut slow = begin(&server, 200);
    server.is_idle();
    let mut rest = String::new();
    slow.read_to_string(&mut rest).expect("the rest");
    assert!(rest.contains("data: [DONE]\n\n"), "{rest}");
    // While its prompt is read, or before that.
    let ask = json!({ "prompt": "a".repeat(1000), "max_tokens": 20 }).to_string();
    let mut reading = server.connect();
    reading.write_all(server.request("POST", "/v1/completions", "", &ask).as_bytes()).expect("it reads");
    leave(&reading);
    server.is_idle();
    // In the middle of a body, and of a head.
    for part in ["POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"pro", "POST /v1/comp"] {
        let mut connection = server.connect();
        connection.write_all(part.as_bytes()).expect("it reads");
        leave(&connection);
    }
    // The one that asks is the only one left.
    server.reaches("ssl:http_connections", "", 1.0);
    // Without the token that would end the text.
    let ask = json!({ "prompt": "a", "max_tokens": 2, "logit_bias": { "0": -100 } });
    assert_eq!(server.done("/v1/completions", &ask)["usage"]["completion_tokens"], 2);
}

#[test]
fn what_is_too_slow_or_too_large_is_refused() {
    let place = place();
    let server = Server::start(&place, &["--client-seconds", "1", "--max-body-kib", "64", "--connections", "20"]);
    // A head that does not come, or not to its end, ends the connection; a body that does not come is told so.
    for part in ["", "GET /health HTTP/1.1\r\nHost: loc"] {
        let (mut connection, begun, mut rest) = (server.connect(), Instant::now(), Vec::new());
        connection.write_all(part.as_bytes()).expect("it reads");
        let _ = connection.read_to_end(&mut rest);
        assert!((0.5..5.0).contains(&begun.elapsed().as_secs_f64()), "{part:?}: {:?}", begun.elapsed());
    }
    let half = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    assert_eq!(server.raw(half.as_bytes()).status, 408);
    // A body that says it is too large is refused before it is sent, and one that does not say so as soon as it is.
    let announced = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n{";
    let answer = server.raw(announced.as_bytes());
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (413, &"body_too_large".into()));
    let mut connection = server.connect();
    connection
        .write_all(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        .expect("it reads");
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    let sent = (0..16_384).take_while(|_| connection.write_all(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 1000, "a gigabyte was read: {sent} chunks");
    // A client that stops sending when it is told has its answer.
    let mut connection = server.connect();
    let head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.write_all(&[head, chunk.as_bytes(), chunk.as_bytes()].concat()).expect("it reads");
    let mut answer = [0; 64];
    connection.read_exact(&mut answer).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
    // Heads without end.
    let many = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X-A: b\r\n".repeat(100_000));
    let mut connection = server.connect();
    let _ = connection.write_all(many.as_bytes());
    let mut answer = [0; 12];
    if connection.read_exact(&mut answer).is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
    // More connections than may be: further ones are told so, and those that say nothing make room in the end.
    let idle: Vec<_> = (0..40).map(|_| server.connect()).collect();
    let mut told = String::new();
    let _ = (&idle[39]).read_to_string(&mut told);
    assert!(told.starts_with("HTTP/1.1 503"), "{told:?}");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(server.get("/health").status, 200);
    assert!(server.metric("ssl:http_connections_refused_total", "") >= 20.0);
    drop(idle);
    // Pages of the web that come under another name are refused, and nothing is told to others' pages.
    for headers in
        ["Host: evil.example\r\n", "Host: localhost\r\nOrigin: https://evil.example\r\n", "Host: localhost\r\nOrigin: null\r\n"]
    {
        let answer = server.ask("POST", "/v1/completions", headers, "{\"prompt\": \"a\"}");
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (403, &"not_local".into()), "{headers}");
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    }
    server.is_idle();
}

#[test]
fn a_stop_lets_texts_end_and_cuts_those_that_do_not() {
    let place = place();
    let rest = |mut stream: std::io::BufReader<std::net::TcpStream>| {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("the rest");
        rest
    };
    let server = Server::start(&place, &[]);
    let text = begin(&server, 300);
    server.signal();
    let told = rest(text);
    assert!(told.contains("data: [DONE]\n\n") && told.contains("\"finish_reason\":\"length\""), "{told}");
    let ran = server.wait();
    assert_eq!((ran.code, &ran.json()["all_ended"], &ran.json()["cancelled"]), (Some(0), &true.into(), &0.into()), "{ran:?}");
    // One that would take longer than may be waited for is told as far as it came.
    let server = Server::start(&place, &["--stop-seconds", "0"]);
    let text = begin(&server, 1000);
    let begun = Instant::now();
    server.signal();
    let told = rest(text);
    assert!(told.contains("data: [DONE]\n\n") && told.contains("\"finish_reason\":\"length\""), "{told}");
    assert_eq!(server.wait().code, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
