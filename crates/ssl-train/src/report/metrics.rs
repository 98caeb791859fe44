//! `metrics.jsonl`: one JSON object a logged step, readable at any moment, without repeated steps after a resume.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, Warned};

/// What is known at one logged step. Numbers that are not finite are stored as null and read back as NaN.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Optimizer steps done, from 1.
    pub step: u64,
    /// Tokens trained on since the run began.
    pub tokens: u64,
    /// Training loss of the whole step, nats a token.
    #[serde(deserialize_with = "or_nan")]
    pub loss: f64,
    /// Learning rate of the step.
    #[serde(deserialize_with = "or_nan")]
    pub lr: f64,
    /// Euclidean norm of all gradients, before clipping.
    #[serde(deserialize_with = "or_nan")]
    pub grad_norm: f64,
    /// Tokens a second since the record before.
    #[serde(deserialize_with = "or_nan")]
    pub tokens_per_second: f64,
    /// Model FLOPs utilisation, 0 to 1, where the device's peak is known. Source: Chowdhery et al. 2022, appendix B.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfu: Option<f64>,
    /// Resident memory of the process, MiB.
    #[serde(deserialize_with = "or_nan")]
    pub rss_mib: f64,
    /// Wall seconds since the run began, earlier parts of a resumed run included.
    #[serde(deserialize_with = "or_nan")]
    pub seconds: f64,
    /// Validation loss, nats a token, where it was measured at this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_loss: Option<f64>,
    /// Validation bits per byte of cleaned text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_bpb: Option<f64>,
    /// Standard error of `val_bpb` over documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_stderr: Option<f64>,
    /// What a task's validation examples were scored, where a model is adapted to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Text drawn from the model at this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
}

/// JSON has no NaN; `serde_json` writes null for it.
fn or_nan<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Option::deserialize(from).map(|number| number.unwrap_or(f64::NAN))
}

/// An open `metrics.jsonl`.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines; what a failed write left behind them is cut off before the next.
    end: u64,
    warned: Warned,
}

impl Metrics {
    /// Opens the file to append to, making it where there is none.
    ///
    /// A new run (`resume_after: None`) starts it empty. A resumed run keeps the records up to the step it resumed after and drops
    /// later ones, which it will write again, and a last line that was torn off.
    ///
    /// # Errors
    /// When the file cannot be read or written, or a line before the last is not a record.
    pub fn open(path: &Path, resume_after: Option<u64>) -> Result<Self, Error> {
        let io = |source| Error::io("open", path, source);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let end = match resume_after {
            None => 0,
            Some(step) => {
                let mut end = 0;
                for record in Lines::new(path, &file) {
                    let (record, after) = record?;
                    if record.step > step {
                        break;
                    }
                    end = after;
                }
                end
            }
        };
        file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(|source| Error::io("truncate", path, source))?;
        Ok(Self { path: path.into(), file, end, warned: Warned::default() })
    }

    /// Appends a record, whole and at once. A disk that refuses is warned of once, and the run goes on without the record.
    pub fn log(&mut self, record: &Record) {
        let outcome = self.append(record);
        self.warned.take(&self.path, outcome);
    }

    fn append(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        if self.warned.last_failed() {
            // What the failed write left behind would spoil the file's middle.
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::Start(self.end))?;
        }
        // One write a line, so that a reader never sees half of one while all goes well.
        self.file.write_all(&line)?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// Every whole record of the file at `path`; a last line that was torn off is left out.
    ///
    /// # Errors
    /// When the file cannot be read, or a line before the last is not a record.
    pub fn read(path: &Path) -> Result<Vec<Record>, Error> {
        let file = File::open(path).map_err(|source| Error::io("read", path, source))?;
        Lines::new(path, &file).map(|line| line.map(|(record, _)| record)).collect()
    }
}

/// The whole records of a file, each with the byte after it.
struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<&'a File>,
    line: u64,
    at: u64,
}

impl<'a> Lines<'a> {
    fn new(path: &'a Path, file: &'a File) -> Self {
        Self { path, reader: BufReader::new(file), line: 0, at: 0 }
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<(Record, u64), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        let read = match self.reader.read_until(b'\n', &mut bytes) {
            Ok(read) => read,
            Err(source) => return Some(Err(Error::io("read", self.path, source))),
        };
        self.line += 1;
        self.at += read as u64;
        // Without its newline a line was torn off, or there is none.
        if bytes.pop() != Some(b'\n') {
            return None;
        }
        match serde_json::from_slice(&bytes) {
            Ok(record) => Some(Ok((record, self.at))),
            // A power cut may leave zeros or scraps where the last lines were.
            Err(_) if self.reader.fill_buf().is_ok_and(<[u8]>::is_empty) => None,
            Err(source) => Some(Err(Error::Record { path: self.path.into(), line: self.line, source })),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn record(step: u64) -> Record {
        Record { step, tokens: step * 512, loss: 3.5, lr: 1e-3, grad_norm: 0.5, ..Record::default() }
    }

    fn written(steps: std::ops::RangeInclusive<u64>) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("metrics.jsonl");
        let mut metrics = Metrics::open(&path, None).expect("opened");
        steps.for_each(|step| metrics.log(&record(step)));
        (dir, path)
    }

    fn steps(path: &Path) -> Vec<u64> {
        Metrics::read(path).expect("read").iter().map(|record| record.step).collect()
    }

    #[test]
    fn field_names_are_the_surface() {
        let line = serde_json::to_string(&record(2)).expect("json");
        assert_eq!(
            line,
            r#"{"step":2,"tokens":1024,"loss":3.5,"lr":0.001,"grad_norm":0.5,"tokens_per_second":0.0,"rss_mib":0.0,"seconds":0.0}"#
        );
    }

    #[test]
    fn records_come_back() {
        let (_dir, path) = written(1..=2);
        let mut metrics = Metrics::open(&path, Some(2)).expect("opened");
        let full =
            Record { mfu: Some(0.4), val_loss: Some(3.0), val_bpb: Some(1.2), sample: Some("a\n\"b\" 中".into()), ..record(3) };
        metrics.log(&full);
        metrics.log(&Record { loss: f64::NAN, grad_norm: f64::INFINITY, ..record(4) });
        let read = Metrics::read(&path).expect("read");
        assert_eq!(read[..3], [record(1), record(2), full]);
        assert!(read[3].loss.is_nan() && read[3].grad_norm.is_nan() && read[3].lr > 0.0);
    }

    #[test]
    fn resuming_drops_what_will_be_written_again() {
        let (_dir, path) = written(1..=9);
        let mut metrics = Metrics::open(&path, Some(6)).expect("opened");
        assert_eq!(steps(&path), [1, 2, 3, 4, 5, 6]);
        metrics.log(&record(7));
        assert_eq!(steps(&path), [1, 2, 3, 4, 5, 6, 7]);
        Metrics::open(&path, None).expect("opened");
        assert_eq!(steps(&path), [0; 0]);
    }

    #[test]
    fn torn_end_is_dropped_at_every_byte() {
        let (_dir, path) = written(1..=3);
        let whole = fs::read(&path).expect("read");
        let two: usize = whole.split_inclusive(|byte| *byte == b'\n').take(2).map(<[u8]>::len).sum();
        for end in two..whole.len() {
            fs::write(&path, &whole[..end]).expect("written");
            assert_eq!(steps(&path), [1, 2], "{end}");
            Metrics::open(&path, Some(5)).expect("opened").log(&record(3));
            assert_eq!(fs::read(&path).expect("read"), whole, "{end}");
        }
        fs::write(&path, [&whole[..two], &[0; 40], b"\n"].concat()).expect("written");
        assert_eq!(steps(&path), [1, 2]);
    }

    #[test]
    fn damage_before_the_end_is_told_with_its_line() {
        let (_dir, path) = written(1..=3);
        let text = fs::read_to_string(&path).expect("read").replace("\"step\":2", "\"step\":two");
        fs::write(&path, text).expect("written");
        for fault in [Metrics::read(&path).err(), Metrics::open(&path, Some(3)).err()] {
            let told = fault.expect("a fault").to_string();
            assert!(told.contains("metrics.jsonl:2: not a record"), "{told}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn full_disk_does_not_end_the_run() {
        let file = OpenOptions::new().write(true).open("/dev/full").expect("opened");
        let mut metrics = Metrics { path: "/dev/full".into(), file, end: 0, warned: Warned::default() };
        metrics.log(&record(1));
        assert!(metrics.warned.last_failed());
        metrics.log(&record(2));
        assert_eq!(metrics.end, 0);
    }

    #[test]
    fn what_a_failed_write_left_is_cut_off() {
        let (_dir, path) = written(1..=2);
        let mut metrics = Metrics::open(&path, Some(2)).expect("opened");
        metrics.file.write_all(b"{\"step\":3,\"tok").expect("written");
        metrics.warned.take(&path, Err(io::Error::from(io::ErrorKind::StorageFull)));
        metrics.log(&record(3));
        assert_eq!(steps(&path), [1, 2, 3]);
    }
}
