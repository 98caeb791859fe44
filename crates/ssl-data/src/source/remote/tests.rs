//! Against a server on this machine that behaves, and then does not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::source::{Cutting, Input, Item, Progress, Records, stamp};

const QUICK: Patience =
    Patience { silence: Duration::from_millis(400), least: 1000, attempts: 3, pause: Duration::from_millis(5) };

/// What a server does with the connection it has accepted, after it has read the head of the request.
type Answering = fn(&mut TcpStream, &str, usize) -> io::Result<()>;

/// A server that answers the requests that come, numbered from 0, and closes each connection; and the count of them.
fn serve(answering: Answering) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (at, count) = (listener.local_addr().expect("an address"), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for connection in listener.incoming() {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || {
                let Ok(mut connection) = connection else { return };
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                // A client that has heard enough hangs up.
                let _ = answering(&mut connection, &String::from_utf8_lossy(&head).to_ascii_lowercase(), number);
            });
        }
    });
    (at, count)
}

/// 200 000 bytes of which no two stretches are alike.
fn content() -> Vec<u8> {
    (0..20_000).flat_map(|number| format!("{number:09}\n").into_bytes()).collect()
}

/// Answers as a good server does, but with `sent` bytes of the body that was asked for at the most.
fn answer(connection: &mut TcpStream, head: &str, sent: usize) -> io::Result<()> {
    let all = content();
    let asked = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    let numbers = asked.and_then(|range| range.split_once('-'));
    let (status, range, more) = match numbers {
        Some((first, last)) => {
            let first: usize = first.parse().expect("a number");
            let last = last.parse().map_or(all.len() - 1, |last: usize| last.min(all.len() - 1));
            ("206 Partial Content", first..last + 1, format!("Content-Range: bytes {first}-{last}/{}\r\n", all.len()))
        }
        None => ("200 OK", 0..all.len(), String::new()),
    };
    let body = &all[range];
    write!(connection, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n", body.len())?;
    connection.write_all(&body[..body.len().min(sent)])
}

fn address(at: SocketAddr, rest: &str) -> Address {
    Address::of(&format!("http://{at}{rest}")).expect("an address")
}

fn read(address: &Address) -> Result<Vec<u8>> {
    let object = Object::open(address, QUICK)?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 10_000]);
    loop {
        match object.read_at(bytes.len() as u64, &mut buffer)? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

#[test]
fn an_object_is_read_in_order_and_at_any_place() {
    let (at, _) = serve(|connection, head, _| answer(connection, head, usize::MAX));
    let address = address(at, "/a/b%20c.txt?token=secret");
    assert_eq!(read(&address).expect("reads"), content());
    let object = Object::open(&address, QUICK).expect("opens");
    assert_eq!(object.bytes(123_450, 20).expect("reads"), content()[123_450..123_470]);
    assert_eq!(object.bytes(199_995, 20).expect("reads"), content()[199_995..]);
    assert_eq!(object.bytes(999_999, 20).expect("reads"), b"");
    let mut buffer = [0; 10];
    for place in [0, 70_000, 5] {
        let read = object.read_at(place, &mut buffer).expect("reads");
        assert_eq!(buffer[..read], content()[place as usize..place as usize + read]);
    }
}

#[test]
fn a_body_that_breaks_off_is_read_on_from_there() {
    let (at, count) = serve(|connection, head, _| answer(connection, head, 30_000));
    assert_eq!(read(&address(at, "/x")).expect("reads"), content());
    assert!(count.load(Ordering::SeqCst) >= 7, "{count:?}");
}

#[test]
fn a_body_that_always_ends_at_the_same_place_is_cut_off() {
    let (at, _) = serve(|connection, head, _| {
        let more = if head.contains("range: bytes=0-") || !head.contains("range:") { 50_000 } else { 0 };
        answer(connection, head, more)
    });
    let fault = read(&address(at, "/x")).expect_err("a short body");
    assert!(matches!(&fault, Error::Remote { .. }), "{fault}");
    assert!(fault.to_string().contains(&format!("http://{at}/x")), "{fault}");
}

#[test]
fn a_server_that_stumbles_is_asked_again() {
    let (at, count) = serve(|connection, head, number| match number {
        0 => connection.write_all(b"HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
        1 => Ok(()),
        _ => answer(connection, head, usize::MAX),
    });
    assert_eq!(read(&address(at, "/x")).expect("reads"), content());
    assert!(count.load(Ordering::SeqCst) >= 3);
}

#[test]
fn what_cannot_be_had_is_told_with_its_address_and_in_time() {
    let loops: Answering = |connection, _, _| {
        connection.write_all(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    };
    let errs: Answering =
        |connection, _, _| connection.write_all(b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let garbles: Answering = |connection, _, _| connection.write_all(b"\xff\xfe no HTTP at all\r\n\r\n");
    let hides: Answering = |connection, _, _| {
        connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    };
    let silent: Answering = |_, _, _| {
        thread::sleep(Duration::from_secs(20));
        Ok(())
    };
    let stalls: Answering = |connection, head, _| {
        if head.contains("range:") {
            connection.write_all(b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        } else {
            answer(connection, head, 100).and_then(|()| {
                connection.flush()?;
                thread::sleep(Duration::from_secs(20));
                Ok(())
            })
        }
    };
    let drips: Answering = |connection, head, _| {
        answer(connection, head, 1)?;
        for _ in 0..1000 {
            thread::sleep(Duration::from_millis(20));
            connection.write_all(b"0")?;
        }
        Ok(())
    };
    for (name, answering) in [
        ("loops", loops),
        ("errs", errs),
        ("garbles", garbles),
        ("hides", hides),
        ("silent", silent),
        ("stalls", stalls),
        ("drips", drips),
    ] {
        let (at, _) = serve(answering);
        let url = format!("http://jane:pass@{at}/x?token=secret");
        let begun = Instant::now();
        let fault = read(&Address::of(&url).expect("an address")).expect_err(name).to_string();
        assert!(fault.contains(&format!("http://{at}/x")), "{name}: {fault}");
        assert!(!fault.contains("pass") && !fault.contains("secret") && !fault.contains("jane"), "{name}: {fault}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{name}: {:?}", begun.elapsed());
    }
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    assert!(matches!(read(&address(free, "/x")), Err(Error::Remote { .. })));
}

#[test]
fn what_is_not_there_or_not_allowed_is_the_callers_fault() {
    let (at, count) = serve(|connection, head, _| {
        let status = if head.contains("secret") { "403 Forbidden" } else { "404 Not Found" };
        write!(connection, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    });
    let kind = |rest: &str| match read(&address(at, rest)) {
        Err(Error::Io { source, .. }) => source.kind(),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind("/x"), io::ErrorKind::NotFound);
    assert_eq!(kind("/secret"), io::ErrorKind::PermissionDenied);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn an_object_that_changes_meanwhile_is_refused() {
    let (at, _) = serve(|connection, head, number| match number {
        0 => {
            write!(connection, "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n")?;
            connection.write_all(&content()[..50_000])
        }
        _ if head.contains("if-match: \"1\"") => {
            connection.write_all(b"HTTP/1.1 412 Precondition Failed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        }
        _ => answer(connection, head, usize::MAX),
    });
    let fault = read(&address(at, "/x")).expect_err("a change");
    assert!(matches!(fault, Error::Changed { .. }), "{fault}");
}

#[test]
fn documents_come_from_servers_as_from_disks() {
    let (at, _) = serve(|connection, head, _| answer(connection, head, 60_000));
    let address = address(at, "/rows.txt?token=secret");
    let config = serde_json::json!({ "paths": [address.whole()], "tokenizer": { "char": {} }, "document": "line" });
    let config: crate::config::DataConfig = serde_json::from_value(config).expect("a configuration");
    let inputs: Vec<Input> = crate::source::find(&config, std::path::Path::new("/nowhere")).expect("finds");
    assert_eq!((inputs.len(), inputs[0].name.as_str()), (1, "rows.txt"));
    let (progress, stop) = (Progress::default(), || false);
    let stamp = stamp(&inputs[0], &progress, &stop).expect("stamps");
    assert_eq!(stamp.digest, *blake3::hash(&content()).as_bytes());
    let records = Records::open(&inputs[0], stamp, &Cutting::from(&config), &config.limits, &progress, &stop).expect("opens");
    let mut count = 0;
    for item in records {
        let Item::Record(record) = item.expect("reads") else { panic!("a line was dropped") };
        count += 1;
        assert_eq!(record.origin.to_string(), format!("http://{at}/rows.txt:{count}"));
    }
    assert_eq!(count, 20_000);
}
