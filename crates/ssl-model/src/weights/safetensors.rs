//! The safetensors format: eight bytes of length, a JSON header of names, types, shapes and places, then the numbers.
//!
//! Reading trusts nothing: sizes are checked before anything is allocated, names must be unique, places must tile the
//! file, and only one tensor at a time is in memory. Writing streams.
//!
//! Source: the safetensors format description, version 0.

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::fs;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// A longer header is refused: names and shapes of a hundred thousand tensors fit well inside.
const HEADER_BYTES: u64 = 16 << 20;
/// More axes than any weight has.
const AXES: usize = 8;
/// Numbers copied at a time.
const CHUNK: i64 = 1 << 22;

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name, as the file gives it.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Its extents.
    pub shape: Vec<i64>,
    begin: u64,
    end: u64,
}

/// An open file with a checked header.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    handle: fs::File,
    data_at: u64,
    entries: Vec<Entry>,
}

impl File {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// When it cannot be read, or is not a safetensors file.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { action: "read", path: path.into(), source };
        let bad = |reason: String| Error::Safetensors { path: path.into(), reason };
        let file = fs::File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut length = [0; 8];
        if size < 8 {
            return Err(bad(format!("{size} bytes are too few")));
        }
        file.read_exact_at(&mut length, 0).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > HEADER_BYTES || length > size - 8 {
            return Err(bad(format!("a header of {length} bytes in a file of {size}")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact_at(&mut header, 8).map_err(io)?;
        let header: Header = serde_json::from_slice(&header).map_err(|fault| bad(format!("header: {fault}")))?;
        let mut entries =
            header.0.into_iter().map(|(name, raw)| entry(name, &raw)).collect::<std::result::Result<Vec<_>, _>>().map_err(bad)?;
        entries.sort_by_key(|entry| (entry.begin, entry.end));
        let mut at = 0;
        for entry in &entries {
            if entry.begin != at {
                return Err(bad(format!("{} begins at byte {} where {at} was expected", entry.name.escape_debug(), entry.begin)));
            }
            at = entry.end;
        }
        if at != size - 8 - length {
            return Err(bad(format!("{} bytes of numbers where the header names {at}", size - 8 - length)));
        }
        Ok(Self { path: path.into(), handle: file, data_at: 8 + length, entries })
    }

    /// The tensors, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entry of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Reads one tensor, in its own type.
    ///
    /// # Errors
    /// When the file cannot be read, or memory runs out.
    pub fn tensor(&self, entry: &Entry) -> Result<Tensor> {
        let mut bytes = vec![0; (entry.end - entry.begin) as usize];
        self.handle.read_exact_at(&mut bytes, self.data_at + entry.begin).map_err(|source| Error::Io {
            action: "read",
            path: self.path.clone(),
            source,
        })?;
        Ok(ssl_torch::guard(|| Tensor::from_data_size(&bytes, &entry.shape, entry.kind))?)
    }

    /// Whether a tensor is all zeros.
    ///
    /// # Errors
    /// As [`File::tensor`].
    pub fn is_zero(&self, entry: &Entry) -> Result<bool> {
        let tensor = self.tensor(entry)?;
        Ok(tensor.numel() == 0 || tensor.to_kind(Kind::Float).abs().max().double_value(&[]) == 0.0)
    }
}

/// Writes tensors in this order, whole or not at all.
///
/// # Errors
/// When the disk refuses, or a tensor is of a type that has no name in the format.
pub fn write(path: &Path, list: &[(String, Tensor)]) -> Result<()> {
    let io = |source| Error::Io { action: "write", path: path.into(), source };
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut at = 0;
    for (name, tensor) in list {
        let (label, width) = type_name(tensor.kind())
            .ok_or_else(|| Error::Safetensors { path: path.into(), reason: format!("{name} is {:?}", tensor.kind()) })?;
        let end = at + tensor.numel() as u64 * width;
        header.insert(name.clone(), json!({ "dtype": label, "shape": tensor.size(), "data_offsets": [at, end] }));
        at = end;
    }
    let mut text = serde_json::Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');

    let partial = path.with_extension("safetensors.tmp");
    let attempt = || -> std::io::Result<()> {
        let mut out = BufWriter::new(fs::File::create(&partial)?);
        out.write_all(&(text.len() as u64).to_le_bytes())?;
        out.write_all(&text)?;
        let mut bytes = Vec::new();
        for (_, tensor) in list {
            let (_, width) = type_name(tensor.kind()).unwrap_or(("", 0));
            let flat = tensor.detach().contiguous().view([-1]);
            let mut at = 0;
            while at < flat.size()[0] {
                let count = CHUNK.min(flat.size()[0] - at);
                bytes.resize(count as usize * width as usize, 0);
                flat.narrow(0, at, count).to_device(Device::Cpu).copy_data_u8(&mut bytes, count as usize);
                out.write_all(&bytes)?;
                at += count;
            }
        }
        let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        path.parent()
            .map_or(Ok(()), |dir| fs::File::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })?.sync_all())
    };
    attempt().map_err(|source| {
        let _ = fs::remove_file(&partial);
        io(source)
    })
}

const TYPES: [(&str, Kind, u64); 8] = [
    ("F64", Kind::Double, 8),
    ("F32", Kind::Float, 4),
    ("F16", Kind::Half, 2),
    ("BF16", Kind::BFloat16, 2),
    ("I64", Kind::Int64, 8),
    ("I32", Kind::Int, 4),
    ("U8", Kind::Uint8, 1),
    ("BOOL", Kind::Bool, 1),
];

fn type_name(kind: Kind) -> Option<(&'static str, u64)> {
    TYPES.iter().find(|(_, known, _)| *known == kind).map(|&(label, _, width)| (label, width))
}

/// A header entry as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

fn entry(name: String, raw: &Raw) -> std::result::Result<Entry, String> {
    let shown: String = name.chars().take(100).flat_map(char::escape_debug).collect();
    let Some(&(_, kind, width)) = TYPES.iter().find(|(label, ..)| *label == raw.dtype) else {
        return Err(format!("{shown} is of an unknown type {:?}", raw.dtype));
    };
    let extents = raw.shape.iter().map(|&extent| i64::try_from(extent)).collect::<std::result::Result<Vec<_>, _>>();
    let shape = extents.ok().filter(|shape| shape.len() <= AXES).ok_or_else(|| format!("{shown} has an impossible shape"))?;
    let count = raw.shape.iter().try_fold(width, |product, &extent| product.checked_mul(extent));
    let [begin, end] = raw.data_offsets;
    if count.is_none() || end.checked_sub(begin) != count {
        return Err(format!("{shown} takes {count:?} bytes and has bytes {begin} to {end}"));
    }
    Ok(Entry { name, kind, shape, begin, end })
}

/// The header, refusing what a plain map would hide: a name given twice.
struct Header(BTreeMap<String, Raw>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Unique;
        impl<'de> Visitor<'de> for Unique {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
                let mut out = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<BTreeMap<String, String>>()?;
                        continue;
                    }
                    match out.entry(name) {
                        btree_map::Entry::Vacant(place) => place.insert(map.next_value()?),
                        btree_map::Entry::Occupied(place) => {
                            return Err(serde::de::Error::custom(format!("{} appears twice", place.key().escape_debug())));
                        }
                    };
                }
                Ok(Header(out))
            }
        }
        deserializer.deserialize_map(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(header: &str, data: usize) -> String {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.safetensors");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        fs::write(&path, bytes).expect("written");
        File::open(&path).err().map(|fault| fault.to_string()).unwrap_or_default()
    }

    #[test]
    fn files_round_trip_and_the_reference_reader_agrees() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.safetensors");
        let a = Tensor::from_slice(&[1.5_f32, -2.0, 3.25, 0.0, 5.0, 6.0]).view([2, 3]);
        let b = Tensor::from_slice(&[7_i64]);
        let empty = Tensor::zeros([0, 4], (Kind::Float, Device::Cpu));
        let list = [("a", &a), ("b", &b), ("empty", &empty), ("bf", &a.to_kind(Kind::BFloat16))]
            .map(|(n, t)| (n.to_owned(), t.shallow_clone()));
        write(&path, &list).expect("written");
        let file = File::open(&path).expect("opened");
        for (name, tensor) in &list {
            let entry = file.find(name).expect("an entry");
            assert_eq!(&file.tensor(entry).expect("a tensor"), tensor, "{name}");
        }
        let bytes = fs::read(&path).expect("bytes");
        let reference = safetensors::SafeTensors::deserialize(&bytes).expect("the reference reads it");
        assert_eq!(reference.tensor("a").expect("a").shape(), [2, 3]);
        assert_eq!(reference.len(), 4);
    }

    #[test]
    fn hostile_headers_are_refused() {
        let one = r#""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
        let cases = [
            (format!("{{{one},{one}}}"), 4, "appears twice"),
            (r#"{"a":{"dtype":"F32","shape":[18446744073709551615,0],"data_offsets":[0,0]}}"#.into(), 0, "impossible shape"),
            (r#"{"a":{"dtype":"F32","shape":[4611686018427387904,2],"data_offsets":[0,8]}}"#.into(), 8, "takes None"),
            (r#"{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#.into(), 4, "unknown type"),
            (format!("{{{one}}}"), 8, "8 bytes of numbers"),
            (format!("{{{one}}}"), 2, "2 bytes of numbers"),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#.into(), 4, "has bytes"),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#.into(), 6, "begins at byte 2"),
            (r#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#.into(), 4, "impossible shape"),
            ("[1]".into(), 0, "header"),
        ];
        for (header, data, expect) in cases {
            let found = refused(&header, data);
            assert!(found.contains(expect), "{header}: {found:?}");
        }
    }

    #[test]
    fn lying_lengths_are_refused_before_anything_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.safetensors");
        for bytes in [vec![], vec![1, 2], u64::MAX.to_le_bytes().to_vec(), (100_u64 << 20).to_le_bytes().to_vec()] {
            fs::write(&path, bytes).expect("written");
            assert!(matches!(File::open(&path), Err(Error::Safetensors { .. })));
        }
    }
}
