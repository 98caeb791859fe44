//! `TensorBoard` event files: scalars and text, framed as `TFRecord` and written as protocol buffers by hand.
//!
//! Source: tensorflow/core/util/event.proto, summary.proto, tensor.proto; the record writer of tensorflow/core/lib/io.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Error, Record, Warned};

/// An open event file.
#[derive(Debug)]
pub struct TensorBoard {
    path: PathBuf,
    file: File,
    warned: Warned,
}

impl TensorBoard {
    /// Starts a new event file in `dir`. After a resume, `TensorBoard` is told to forget what it was shown of later steps.
    ///
    /// # Errors
    /// When the folder or the file cannot be made.
    pub fn open(dir: &Path, resume_after: Option<u64>) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(|source| Error::io("make", dir, source))?;
        let now = now();
        // Readers take the files of a folder in the order of their names; the process number keeps two starts in a second apart.
        let path = dir.join(format!("events.out.tfevents.{:010}.ssl.{}", now as u64, std::process::id()));
        let open = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = open.map_err(|source| Error::io("open", &path, source))?;
        let mut head = frame(&event(now, 0, &field(3, b"brain.Event:2")));
        if let Some(step) = resume_after {
            // SessionLog { status: START } makes readers drop every event from this step on.
            head.extend(frame(&event(now, step + 1, &field(7, &varint_field(1, 1)))));
        }
        file.write_all(&head).map_err(|source| Error::io("write", &path, source))?;
        Ok(Self { path, file, warned: Warned::default() })
    }

    /// Writes what a record holds. A disk that refuses is warned of once, and the run goes on.
    pub fn log(&mut self, record: &Record) {
        let scalars = [
            ("train/loss", Some(record.loss)),
            ("train/learning rate", Some(record.lr)),
            ("train/gradient norm", Some(record.grad_norm)),
            ("speed/tokens per second", Some(record.tokens_per_second)),
            ("speed/model flops utilisation", record.mfu),
            ("memory/resident MiB", Some(record.rss_mib)),
            ("validation/loss", record.val_loss),
            ("validation/bits per byte", record.val_bpb),
        ];
        let mut summary: Vec<u8> = Vec::new();
        for (tag, number) in scalars {
            if let Some(number) = number {
                summary.extend(scalar(tag, number as f32));
            }
        }
        if let Some(sample) = &record.sample {
            // TensorBoard shows text as Markdown; indented lines stay as they are.
            let indented: Vec<String> = sample.lines().map(|line| format!("    {line}")).collect();
            summary.extend(text("sample", &indented.join("\n")));
        }
        let outcome = self.file.write_all(&frame(&event(now(), record.step, &field(5, &summary))));
        self.warned.take(&self.path, outcome);
    }

    /// The file being written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// `Event { wall_time = 1, step = 2, what }`.
fn event(seconds: f64, step: u64, what: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1 << 3 | 1];
    bytes.extend(seconds.to_le_bytes());
    // A zero is left out, as protocol buffers of version 3 have it.
    if step > 0 {
        bytes.extend(varint_field(2, step));
    }
    bytes.extend(what);
    bytes
}

/// `Summary { value = 1 { tag = 1, simple_value = 2 } }`.
fn scalar(tag: &str, number: f32) -> Vec<u8> {
    let mut value = field(1, tag.as_bytes());
    value.push(2 << 3 | 5);
    value.extend(number.to_le_bytes());
    field(1, &value)
}

/// `Summary { value = 1 { tag = 1, tensor = 8, metadata = 9 { plugin_data = 1 { plugin_name = 1 } } } }`,
/// with `Tensor { dtype = 1 (7 is string), tensor_shape = 2 { dim = 2 { size = 1 } }, string_val = 8 }`.
fn text(tag: &str, text: &str) -> Vec<u8> {
    let tensor = [varint_field(1, 7), field(2, &field(2, &varint_field(1, 1))), field(8, text.as_bytes())].concat();
    let metadata = field(1, &field(1, b"text"));
    field(1, &[field(1, tag.as_bytes()), field(8, &tensor), field(9, &metadata)].concat())
}

/// A field of bytes: text or a message.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(bytes.len() as u64, &mut out);
    out.extend(bytes);
    out
}

fn varint_field(number: u8, value: u64) -> Vec<u8> {
    let mut out = vec![number << 3];
    varint(value, &mut out);
    out
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A `TFRecord`: length, its checksum, bytes, their checksum.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), bytes, &masked(bytes).to_le_bytes()].concat()
}

/// The masked CRC-32C of the format: a checksum over bytes that hold checksums would be weak unmasked.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected polynomial 0x82f63b78.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0, |crc: u32, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_the_standard() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// The expected bytes are those of `TensorBoard` 2.21's own record writer and protocol buffers.
    #[test]
    fn bytes_are_those_of_the_reference() {
        let head = b"\x18\0\0\0\0\0\0\0\xa3\x7fK\"\x09\0\0\0\0\0\0\xf8?\x1a\x0dbrain.Event:2*(dl";
        assert_eq!(frame(&event(1.5, 0, &field(3, b"brain.Event:2"))), head);
        let one =
            b"\x18\0\0\0\0\0\0\0\xa3\x7fK\"\x09\0\0\0\0\0\0\xf8?\x10\xac\x02*\x0a\x0a\x08\x0a\x01a\x15\0\0\x80?\xe3\xd5\x97\x0b";
        assert_eq!(frame(&event(1.5, 300, &field(5, &scalar("a", 1.0)))), one);
        let words = b"\x0a\x1a\x0a\x01aB\x0b\x08\x07\x12\x04\x12\x02\x08\x01B\x01bJ\x08\x0a\x06\x0a\x04text";
        assert_eq!(text("a", "b"), words);
    }

    /// Reads the frames of a file back, checking both checksums of each.
    fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut rest = bytes;
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().expect("8 bytes")) as usize;
            let bytes = &rest[12..12 + length];
            assert_eq!(rest[8..12], masked(&rest[..8]).to_le_bytes());
            assert_eq!(rest[12 + length..16 + length], masked(bytes).to_le_bytes());
            frames.push(bytes.to_vec());
            rest = &rest[16 + length..];
        }
        frames
    }

    #[test]
    fn a_run_becomes_frames() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut board = TensorBoard::open(&dir.path().join("events"), Some(7)).expect("opened");
        board.log(&Record { step: 8, loss: 2.5, val_bpb: Some(1.25), sample: Some("一\n二".into()), ..Record::default() });
        board.log(&Record { step: 9, loss: f64::NAN, ..Record::default() });
        let frames = frames(&fs::read(board.path()).expect("read"));
        assert_eq!(frames.len(), 4);
        assert_eq!(frames[1][9..], [16, 8, 0x3a, 2, 8, 1], "a start of session at step 8");
        let holds = |frame: &[u8], part: &[u8]| frame.windows(part.len()).any(|window| window == part);
        assert!(holds(&frames[2], b"validation/bits per byte") && holds(&frames[2], "    一\n    二".as_bytes()));
        assert!(!holds(&frames[3], b"validation/"));
    }
}
