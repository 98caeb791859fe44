//! A server of a small model, and a client that speaks no more of HTTP than it must.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Place, RUN, Ran};

/// What the server of these tests calls its model.
pub(super) const MODEL: &str = "out";

/// A model of few weights that reads 1024 tokens.
pub(super) fn place() -> Place {
    let place = Place::new();
    train(&place, &RUN.replace("context-tokens = 16", "context-tokens = 1024"));
    place
}

/// Trains a run for three steps.
pub(super) fn train(place: &Place, run: &str) {
    place.write("run.toml", run);
    let mut args = vec!["train", "run.toml", "--out", MODEL, "--quiet"];
    for short in
        ["train.steps=3", "train.batch-rows=1", "train.accumulate=1", "schedule.cosine.warmup-steps=1", "eval.every-steps=3"]
    {
        args.extend(["--set", short]);
    }
    place.ssl(&args).says(0, &[]);
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
        let status =
            head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status in {head}"));
        let head = head.to_ascii_lowercase();
        let body = if head.contains("transfer-encoding: chunked") { joined(body) } else { body.to_owned() };
        Self { status, head, body }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|fault| panic!("{fault} in {self:?}"))
    }

    /// The documents of a stream, which must be exact: each event one line, then an empty one, and `[DONE]` last and once.
    pub(super) fn events(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(self.head.contains("content-type: text/event-stream"), "{}", self.head);
        let mut events: Vec<&str> = self.body.split("\n\n").collect();
        assert_eq!((events.pop(), events.pop()), (Some(""), Some("data: [DONE]")), "{}", self.body);
        let event = |event: &str| {
            let document = event.strip_prefix("data: ").unwrap_or_else(|| panic!("{event:?} is no event"));
            serde_json::from_str(document).unwrap_or_else(|fault| panic!("{fault} in {document}"))
        };
        events.into_iter().map(event).collect()
    }
}

/// A chunked body in one.
fn joined(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        whole.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").expect("a chunk's end");
        if size == 0 {
            break;
        }
    }
    whole
}

/// A running server, which ends with this.
pub(super) struct Server {
    child: Option<Child>,
    pub(super) addr: SocketAddr,
    key: Option<String>,
}

impl Server {
    /// Serves the model of `place` at a free port.
    pub(super) fn start(place: &Place, args: &[&str]) -> Self {
        let flags = ["serve", MODEL, "--addr", "127.0.0.1:0", "--threads", "1", "--json"];
        let mut command = place.command(&[&flags, args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let line = lines.by_ref().map(|line| line.expect("text")).find(|line| line.contains("http://"));
        let line = line.expect("it says where it listens");
        let addr = line.split("http://").nth(1).and_then(|addr| addr.trim().parse().ok());
        // A pipe that nobody reads would fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child: Some(child), addr: addr.unwrap_or_else(|| panic!("no address in {line}")), key: None }
    }

    pub(super) fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
        stream
    }

    /// A request as bytes.
    pub(super) fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let key = self.key.as_ref().map_or_else(String::new, |key| format!("Authorization: Bearer {key}\r\n"));
        let host = if headers.contains("Host:") { String::new() } else { format!("Host: {}\r\n", self.addr) };
        format!(
            "{method} {path} HTTP/1.1\r\n{host}{key}{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    pub(super) fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.raw(self.request(method, path, headers, body).as_bytes())
    }

    /// Sends bytes and reads all that comes.
    pub(super) fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        Answer::of(&answer)
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "")
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, "Content-Type: application/json\r\n", &body.to_string())
    }

    /// The document of an answer that says yes.
    pub(super) fn done(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body);
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        answer.json()
    }

    /// Refused with a status, and blamed on a field.
    pub(super) fn refuses(&self, path: &str, body: &Value, status: u16, param: Option<&str>) {
        let answer = self.post(path, body);
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        let error = answer.json()["error"].clone();
        assert_eq!(error["param"].as_str(), param, "{path} {body}: {error}");
        for key in ["message", "type"] {
            assert!(error[key].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        }
        assert!(error.get("code").is_some(), "{error}");
    }

    /// The sum of a metric's lines that hold `with`.
    pub(super) fn metric(&self, name: &str, with: &str) -> f64 {
        let text = self.get("/metrics").body;
        let of = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(with);
        text.lines().filter(of).map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).expect("a number")).sum()
    }

    /// Waits until a metric is `value`.
    pub(super) fn reaches(&self, name: &str, with: &str, value: f64) {
        let begun = Instant::now();
        while self.metric(name, with) != value {
            assert!(begun.elapsed() < Duration::from_secs(10), "{name} {with} is {}, not {value}", self.metric(name, with));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Nothing runs or waits.
    pub(super) fn is_idle(&self) {
        self.reaches("ssl:num_requests_running", "", 0.0);
        self.reaches("ssl:num_requests_waiting", "", 0.0);
    }

    /// Asks it to stop.
    pub(super) fn signal(&self) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
    }

    /// How it ends once it was asked to.
    pub(super) fn wait(mut self) -> Ran {
        let child = self.child.take().expect("it runs");
        Ran::of(child.wait_with_output().expect("it ends"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Begins a streamed text and reads its first event.
pub(super) fn begin(server: &Server, tokens: u32) -> BufReader<TcpStream> {
    let body = serde_json::json!({ "prompt": "The", "max_tokens": tokens, "stream": true, "logit_bias": { "0": -100 } });
    let mut stream = server.connect();
    stream.write_all(server.request("POST", "/v1/completions", "", &body.to_string()).as_bytes()).expect("it reads");
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert!(reader.read_line(&mut line).expect("it answers") > 0, "it ended");
    }
    reader
}

/// Leaves.
pub(super) fn leave(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}
