//! Files that were altered by chance, of every format: none may panic, hang or eat the memory, and each reads the same twice.
//!
//! The alterations are functions of the format and their number, so a fault is found again. Ten seconds, or minutes where slow
//! tests are asked for.

#[path = "../fuzz/read.rs"]
mod read;

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

/// One file takes no longer than this, on a busy machine.
const SLOWEST: Duration = Duration::from_secs(20);
/// Each kind is altered so many times at least, however slow the machine.
const ROUNDS: u64 = 100;
/// The most memory of the process, in KiB.
const MEMORY: u64 = 1 << 20;

/// Files of one kind: the end of their names, their format, and some of them.
struct Kind {
    end: &'static str,
    format: &'static str,
    seeds: Vec<Vec<u8>>,
}

fn fixture(name: &str) -> Value {
    let path = format!("{}/../../fixtures/sources/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).expect("reads")).expect("JSON")
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|&d| d == byte);
    let digits: Vec<u32> = text.bytes().filter_map(digit).map(|digit| digit as u32).collect();
    let group = |group: &[u32]| {
        let bits = group.iter().enumerate().fold(0, |bits, (at, digit)| bits | digit << (18 - 6 * at));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// All values of the key `bytes` below a value.
fn files(value: &Value) -> Vec<Vec<u8>> {
    match value {
        Value::Array(all) => all.iter().flat_map(files).collect(),
        Value::Object(all) => all
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(text) if key == "bytes" => vec![base64(text)],
                value => files(value),
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compresses");
    encoder.finish().expect("compresses")
}

/// A tar file of two members.
fn tar() -> Vec<u8> {
    let mut file = Vec::new();
    for (name, content) in [("a.txt", "Some text.\n\nMore."), ("b.csv", "text,id\n\"a, b\",1\n")] {
        let mut head = vec![0; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        head[148..156].fill(b' ');
        head[156] = b'0';
        let sum: u32 = head.iter().map(|&byte| u32::from(byte)).sum();
        head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        file.extend(head);
        file.extend(content.as_bytes());
        file.resize(file.len().next_multiple_of(512), 0);
    }
    file.resize(file.len() + 1024, 0);
    file
}

fn kinds() -> Vec<Kind> {
    let containers = fixture("containers.json");
    let page = "<!DOCTYPE html><html><head><meta charset=\"windows-1252\"><title>T&eacute;</title></head><body><nav><ul><li><a href=/>Home</a></ul></nav>\
                <article><h1>H</h1><p>The ferry leaves the harbour at nine, &#x41; &amp; it <b>returns</b>.</p><pre>x\n y</pre><table><tr><td>1<td>2</table>\
                <script>var x = \"</p>\";</script><!-- no --></article></body></html>";
    let http =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n{page}", page.len());
    let record = format!(
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.example/\r\nContent-Type: application/http\r\nContent-Length: {}\r\n\r\n{http}\r\n\r\n",
        http.len()
    );
    let two = [record.as_bytes(), record.as_bytes()].concat();
    let wiki = "<mediawiki><page>\n<title>A &amp; B</title><ns>0</ns><revision><text xml:space=\"preserve\">'''A''' is [[b|c]].{{t|{{u}}}}\n== H ==\n* x\n{| class=\"w\"\n| y\n|}\
                &lt;ref&gt;z&lt;/ref&gt;</text></revision></page><page><title>R</title><ns>0</ns><redirect title=\"A\" /></page></mediawiki>";
    let text = "From: a@b.example\nSubject: x\n\nCafÃ© de la gare â€” no.\n> quoted\n\n中文\r\n-- \nme\n";
    let kind = |end, format, seeds| Kind { end, format, seeds };
    let bytes = |text: &str| vec![text.as_bytes().to_vec()];
    vec![
        kind(".html", "auto", bytes(page)),
        kind(".warc", "auto", [vec![two.clone()], files(&fixture("warc.json"))].concat()),
        kind(".warc.gz", "auto", vec![[gzip(record.as_bytes()), gzip(record.as_bytes())].concat()]),
        kind(".warc.zst", "auto", vec![zstd::encode_all(&two[..], 1).expect("compresses")]),
        kind(".csv", "auto", bytes("id,text\n1,\"a \"\"b\"\"\nc\"\n2,d\n")),
        kind(".tsv", "auto", bytes("id\ttext\n1\t\"a \"\"b\"\" c\"\n2\td\n")),
        kind(
            ".json",
            "auto",
            bytes("[{\"text\": \"a\\u00e9 \\ud83d\\ude00\", \"more\": [1, {\"x\": null}]},\n {\"text\": \"b\"}]"),
        ),
        kind(".jsonl", "auto", bytes("{\"text\": \"a\\n\"}\n{\"more\": [1], \"text\": \"b\"}\n")),
        kind(".tar", "auto", vec![tar()]),
        kind(".zip", "auto", files(&containers["zip"])),
        kind(".parquet", "auto", files(&containers["parquet"])),
        kind(".xml", "wiki", bytes(wiki)),
        kind(
            ".txt",
            "auto",
            vec![text.as_bytes().to_vec(), encoding_rs::KOI8_R.encode("Все люди рождаются свободными.").0.into_owned()],
        ),
        kind(".txt.zst", "auto", vec![zstd::encode_all(text.repeat(9).as_bytes(), 1).expect("compresses")]),
    ]
}

/// Writes the files that altering begins with, a folder a kind, for the fuzz targets to begin with too.
fn sow(folder: &std::path::Path, kinds: &[Kind]) {
    for kind in kinds {
        let folder = folder.join(kind.end.trim_start_matches('.').replace('.', "_"));
        fs::create_dir_all(&folder).expect("creates");
        for (number, seed) in kind.seeds.iter().enumerate() {
            fs::write(folder.join(number.to_string()), seed).expect("writes");
        }
    }
}

/// `SplitMix64` (Steele, Lea and Flood 2014).
struct Rng(u64);

impl Rng {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// A number below `end`, which may be 0.
fn below(rng: &mut Rng, end: usize) -> usize {
    if end == 0 { 0 } else { (rng.next_u64() % end as u64) as usize }
}

/// Alters a file in one to eight places.
fn alter(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[below(rng, seeds.len())].clone();
    for _ in 0..=below(rng, 8) {
        let (at, size) = (below(rng, bytes.len()), bytes.len());
        let end = (at + 1 + below(rng, 40)).min(size);
        match below(rng, 9) {
            0 if size > 0 => bytes[at] ^= 1 << below(rng, 8),
            1 if size > 0 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'<', b'\n'][below(rng, 8)],
            2 if at + 8 <= size => {
                let number = [0, 1, u64::MAX, i64::MAX as u64, u64::from(u32::MAX), 1 << 31, 1 << 40, size as u64][below(rng, 8)];
                let width = [2, 4, 8][below(rng, 3)];
                bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
            }
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].repeat(1 + below(rng, 50));
                bytes.splice(at..at, part);
            }
            5 => {
                let noise: Vec<u8> = (0..below(rng, 30)).map(|_| rng.next_u64() as u8).collect();
                bytes.splice(at..at, noise);
            }
            6 => bytes.truncate(at),
            7 => {
                let other = &seeds[below(rng, seeds.len())];
                let from = below(rng, other.len());
                bytes.splice(at..end, other[from..].iter().take(200).copied());
            }
            // What ends a file matters most to containers.
            _ if size > 64 => {
                let last = size - 1 - below(rng, 64);
                bytes[last] = rng.next_u64() as u8;
            }
            _ => {}
        }
    }
    bytes
}

#[test]
fn no_altered_file_panics_hangs_or_eats_the_memory() {
    let minutes = if std::env::var_os("SSL_SLOW").is_some() { 5 } else { 0 };
    let time = Duration::from_secs(60 * minutes).max(Duration::from_secs(10));
    let (kinds, begun, mut count) = (kinds(), Instant::now(), 0);
    if let Some(folder) = std::env::var_os("SSL_SEEDS") {
        sow(folder.as_ref(), &kinds);
    }
    for number in 0_u64.. {
        for (which, kind) in kinds.iter().enumerate() {
            let mut rng = Rng(number << 8 | which as u64);
            let bytes = if number == 0 { kind.seeds[0].clone() } else { alter(&mut rng, &kind.seeds) };
            let start = Instant::now();
            let came = std::panic::catch_unwind(|| read::read(kind.end, kind.format, &bytes));
            let place = format!("{} number {number}", kind.end);
            let came = came.unwrap_or_else(|_| panic!("{place} panicked"));
            assert!(start.elapsed() < SLOWEST, "{place} took {:?}", start.elapsed());
            assert!(number > 0 || came.documents > 0, "{place}: {came:?}");
            if number % 16 == 0 {
                assert_eq!(read::read(kind.end, kind.format, &bytes), came, "{place}");
            }
            count += 1;
        }
        if begun.elapsed() > time && number >= ROUNDS {
            break;
        }
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    match peak {
        Some(peak) => assert!(peak < MEMORY, "{peak} KiB"),
        None => println!("skipped: the peak of memory, which this system does not tell"),
    }
    println!("{count} files in {:?}, at most {peak:?} KiB", begun.elapsed());
}
