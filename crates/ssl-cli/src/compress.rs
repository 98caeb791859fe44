//! What general compressors need for a text: the yardstick beside a model's bits per byte.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use liblzma::write::XzEncoder;

/// Counts what is written and keeps nothing.
#[derive(Default)]
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bits that `gzip -9` needs for a byte of the file; absent for an empty one.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn gzip9_bits_per_byte(path: &Path) -> io::Result<Option<f64>> {
    bits_per_byte(path, GzEncoder::new(Counter::default(), Compression::best()), GzEncoder::finish)
}

/// Bits that `xz -9` needs for a byte of the file; absent for an empty one. Holds up to 700 MB while it runs, less for less text.
///
/// # Errors
/// When the file cannot be read, or the memory is not there.
pub(crate) fn xz9_bits_per_byte(path: &Path) -> io::Result<Option<f64>> {
    let bytes = std::fs::metadata(path)?.len();
    let mut options = LzmaOptions::new_preset(9)?;
    // A dictionary beyond the text only costs memory, ten times its size.
    options.dict_size(bytes.clamp(1 << 16, 64 << 20) as u32);
    let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc64)?;
    bits_per_byte(path, XzEncoder::new_stream(Counter::default(), stream), XzEncoder::finish)
}

fn bits_per_byte<W: Write>(path: &Path, mut encoder: W, finish: fn(W) -> io::Result<Counter>) -> io::Result<Option<f64>> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    let mut bytes: u64 = 0;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
            Err(fault) => return Err(fault),
        };
        encoder.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
    let packed = finish(encoder)?.0;
    Ok((bytes > 0).then(|| packed as f64 * 8.0 / bytes as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(bytes: &[u8]) -> (Option<f64>, Option<f64>) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("text");
        std::fs::write(&path, bytes).expect("written");
        (gzip9_bits_per_byte(&path).expect("gzip"), xz9_bits_per_byte(&path).expect("xz"))
    }

    #[test]
    fn noise_needs_all_eight_bits_and_repetition_none() {
        // A generator of full period in 64 bits; the upper byte passes for noise. Source: Knuth, MMIX.
        let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        let noise: Vec<u8> = std::iter::successors(Some(1_u64), next).take(200_000).map(|state| (state >> 56) as u8).collect();
        let (Some(gzip), Some(xz)) = both(&noise) else { panic!("a text") };
        assert!((8.0..8.02).contains(&gzip) && (8.0..8.02).contains(&xz), "{gzip} {xz}");
        let (Some(gzip), Some(xz)) = both(&vec![b'a'; 200_000]) else { panic!("a text") };
        assert!(gzip < 0.02 && xz < 0.02, "{gzip} {xz}");
        // What repeats beyond 32 KiB is out of gzip's sight, and in xz's.
        let (Some(gzip), Some(xz)) = both(&noise.repeat(2)) else { panic!("a text") };
        assert!(gzip > 8.0 && (4.0..4.1).contains(&xz), "{gzip} {xz}");
    }

    #[test]
    fn nothing_and_nowhere() {
        assert_eq!(both(b""), (None, None));
        let nowhere = Path::new("no/such/file");
        assert!(gzip9_bits_per_byte(nowhere).is_err() && xz9_bits_per_byte(nowhere).is_err());
    }
}
