//! What a verb reads from stdin or a file in one go.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};

use crate::outcome::Refusal;

/// The bytes of a file, or of stdin for `-`; more than `most` of them are refused rather than cut.
pub(crate) fn read(input: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let whole = most + 1;
    if input == Path::new("-") {
        std::io::stdin().take(whole).read_to_end(&mut bytes).context("cannot read stdin")?;
    } else {
        let read = File::open(input).and_then(|file| file.take(whole).read_to_end(&mut bytes));
        read.map_err(|source| ssl_data::Error::Io { action: "read", path: input.to_owned(), source })?;
    }
    if bytes.len() as u64 > most {
        let name = if input == Path::new("-") { "stdin".to_owned() } else { input.display().to_string() };
        return Err(Refusal::input(format!("{name} has more than {most} bytes"), "give it in parts"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_refused_and_not_cut() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), vec![b'a'; 1 << 20]).expect("room");
        assert_eq!(read(file.path(), 1 << 20).expect("it fits").len(), 1 << 20);
        let fault = read(file.path(), (1 << 20) - 1).expect_err("a byte too many").to_string();
        assert!(fault.contains("has more than 1048575 bytes"), "{fault}");
        assert!(read(Path::new("absent"), 1).is_err());
    }
}
