//! Just enough of the safetensors format to compare two files.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, Tensor>;

/// One tensor, its numbers as stored.
#[derive(Debug)]
pub(crate) struct Tensor {
    /// As the file names it, such as `F32`.
    pub(crate) dtype: String,
    /// Its shape.
    pub(crate) shape: Vec<u64>,
    /// Its numbers.
    pub(crate) bytes: Vec<u8>,
}

impl Tensor {
    /// Its numbers, if they are f32.
    pub(crate) fn reals(&self) -> Option<impl Iterator<Item = f32>> {
        let reals = self.bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        (self.dtype == "F32").then_some(reals)
    }
}

/// Reads a whole file: the length of its head (8 bytes), its head (JSON), the numbers.
pub(crate) fn read(file: &[u8]) -> Result<Tensors> {
    let (length, rest) = file.split_first_chunk::<8>().context("shorter than its length field")?;
    let (head, numbers) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).context("shorter than its head")?;
    let head: BTreeMap<String, Value> = serde_json::from_slice(head).context("the head is no JSON")?;
    let entries = head.into_iter().filter(|(name, _)| name != "__metadata__");
    entries
        .map(|(name, entry)| {
            let dtype = entry["dtype"].as_str().context("a tensor without dtype")?.to_owned();
            let shape = entry["shape"].as_array().context("a tensor without shape")?.iter().filter_map(Value::as_u64).collect();
            let at = |end: usize| entry["data_offsets"][end].as_u64().map(|at| at as usize);
            let bytes = at(0)
                .zip(at(1))
                .and_then(|(from, to)| numbers.get(from..to))
                .with_context(|| format!("{name} lies outside the file"))?;
            Ok((name, Tensor { dtype, shape, bytes: bytes.to_vec() }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_broken_file_is_an_error() {
        let mut outside = 63_u64.to_le_bytes().to_vec();
        outside.extend(br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":null}"#);
        for file in [&b"abc"[..], &9_u64.to_le_bytes(), &outside] {
            assert!(read(file).is_err(), "{file:?}");
        }
    }
}
