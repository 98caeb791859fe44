//! GGUF, the single file that llama.cpp reads: named values, then the tensors' names, types, shapes and places, then their numbers.
//!
//! Only what must be written is here. Extents stand in the order of memory, the innermost first, so that a map `[out, in]` has the
//! extents `in, out`; numbers are little-endian, and each tensor begins at a multiple of `ALIGNMENT` bytes.
//!
//! Source: the format's description, `docs/gguf.md` of ggml, version 3; the blocks of `Q8_0` are those of `ggml-quants.c`.

use std::fs;
use std::io::{BufWriter, IntoInnerError, Write};
use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// What the place of every tensor is a multiple of: the format's own choice where a file does not name another.
const ALIGNMENT: u64 = 32;

const MAGIC: &[u8; 4] = b"GGUF";
const VERSION: u32 = 3;
/// The longest name of a tensor that ggml keeps, in bytes; one more ends it.
const NAME_BYTES: usize = 63;
/// The most axes that ggml knows.
const AXES: usize = 4;
/// Numbers that share a scale in `Q8_0`.
const BLOCK: usize = 32;

/// A value of the header.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A size or an id.
    U32(u32),
    /// A number.
    F32(f32),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
    /// A list of small numbers.
    Ints(Vec<i32>),
    /// A list of texts.
    Texts(Vec<String>),
}

/// What numbers are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// 32 bits, as trained.
    F32,
    /// 16 bits of IEEE 754.
    F16,
    /// The upper 16 bits of 32.
    Bf16,
    /// Whole numbers of 8 bits, each 32 with a scale of 16 bits: 8.5 bits a number.
    Q8_0,
}

/// A tensor, and how it is stored.
#[derive(Debug)]
pub(super) struct Item {
    /// Its name.
    pub(super) name: String,
    /// Its numbers.
    pub(super) tensor: Tensor,
    /// What they become.
    pub(super) numbers: Numbers,
}

impl Numbers {
    /// What `tensor` can be stored as where this is wanted: a row that does not divide into blocks stays at 16 bits.
    pub(super) fn or_wider(self, tensor: &Tensor) -> Self {
        let row = tensor.size().last().copied().unwrap_or(0);
        if self == Self::Q8_0 && row % BLOCK as i64 != 0 { Self::F16 } else { self }
    }

    /// ggml's number of the type.
    fn id(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 8,
            Self::Bf16 => 30,
        }
    }

    /// llama.cpp's number of a file whose matrices are stored so (`llama_ftype`).
    pub(super) fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 7,
            Self::Bf16 => 32,
        }
    }

    /// Bytes of so many numbers.
    fn bytes(self, count: u64) -> u64 {
        match self {
            Self::F32 => count * 4,
            Self::F16 | Self::Bf16 => count * 2,
            Self::Q8_0 => count / BLOCK as u64 * (BLOCK as u64 + 2),
        }
    }
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// When the disk refuses; when a tensor's name, axes or rows do not fit the format, or a number does not fit its type.
pub(super) fn write(path: &Path, about: &[(String, Value)], items: &[Item]) -> Result<()> {
    let bad = |reason: String| Error::Gguf { path: path.into(), reason };
    let io = |source| Error::Io { action: "write", path: path.into(), source };
    let header = header(about, items).map_err(bad)?;
    let partial = path.with_added_extension("partial");
    let attempt = || -> Result<()> {
        let mut out = BufWriter::new(fs::File::create(&partial).map_err(io)?);
        out.write_all(&header).map_err(io)?;
        for item in items {
            let bytes = ssl_torch::guard(|| encoded(item))?;
            let bytes = bytes.ok_or_else(|| bad(format!("{} holds a number too large for {:?}", item.name, item.numbers)))?;
            out.write_all(&padded(bytes)).map_err(io)?;
        }
        let file = out.into_inner().map_err(IntoInnerError::into_error).map_err(io)?;
        file.sync_all().map_err(io)?;
        fs::rename(&partial, path).map_err(io)
    };
    attempt().inspect_err(|_| drop(fs::remove_file(&partial)))
}

/// Everything before the numbers.
fn header(about: &[(String, Value)], items: &[Item]) -> std::result::Result<Vec<u8>, String> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend((items.len() as u64).to_le_bytes());
    out.extend((about.len() as u64).to_le_bytes());
    for (key, value) in about {
        text(key, &mut out);
        value.put(&mut out);
    }
    let mut at = 0;
    for Item { name, tensor, numbers } in items {
        let (shape, count) = (tensor.size(), tensor.numel() as u64);
        if name.len() > NAME_BYTES || shape.len() > AXES {
            return Err(format!("{name} of {} axes is more than {NAME_BYTES} bytes of name and {AXES} axes", shape.len()));
        }
        if *numbers == Numbers::Q8_0 && shape.last().is_none_or(|row| row % BLOCK as i64 != 0) {
            return Err(format!("rows of {name} {shape:?} do not divide into blocks of {BLOCK}"));
        }
        text(name, &mut out);
        out.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|&extent| out.extend((extent as u64).to_le_bytes()));
        out.extend(numbers.id().to_le_bytes());
        out.extend(u64::to_le_bytes(at));
        at += numbers.bytes(count).next_multiple_of(ALIGNMENT);
    }
    Ok(padded(out))
}

impl Value {
    /// The number of its type, and the value.
    fn put(&self, out: &mut Vec<u8>) {
        const U32: u32 = 4;
        const I32: u32 = 5;
        const F32: u32 = 6;
        const BOOL: u32 = 7;
        const TEXT: u32 = 8;
        const ARRAY: u32 = 9;
        let list = |kind: u32, count: usize, out: &mut Vec<u8>| {
            out.extend(ARRAY.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend((count as u64).to_le_bytes());
        };
        match self {
            Self::U32(value) => out.extend([U32.to_le_bytes(), value.to_le_bytes()].concat()),
            Self::F32(value) => out.extend([F32.to_le_bytes(), value.to_le_bytes()].concat()),
            Self::Bool(value) => {
                out.extend(BOOL.to_le_bytes());
                out.push(u8::from(*value));
            }
            Self::Text(value) => {
                out.extend(TEXT.to_le_bytes());
                text(value, out);
            }
            Self::Ints(values) => {
                list(I32, values.len(), out);
                for value in values {
                    out.extend(value.to_le_bytes());
                }
            }
            Self::Texts(values) => {
                list(TEXT, values.len(), out);
                for value in values {
                    text(value, out);
                }
            }
        }
    }
}

/// A text after its length.
fn text(value: &str, out: &mut Vec<u8>) {
    out.extend((value.len() as u64).to_le_bytes());
    out.extend(value.as_bytes());
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
    bytes
}

/// The stored numbers of a tensor; `None` where one becomes infinite.
fn encoded(item: &Item) -> Option<Vec<u8>> {
    let flat = item.tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1]);
    let narrow = match item.numbers {
        Numbers::F32 => flat,
        Numbers::F16 => flat.to_kind(Kind::Half),
        Numbers::Bf16 => flat.to_kind(Kind::BFloat16),
        Numbers::Q8_0 => return blocks(&flat),
    };
    finite(&narrow).then(|| bytes(&narrow))
}

/// Blocks of 32 numbers: `d = max |x| / 127` in 16 bits, then each `x / d` rounded, halves away from 0. It is off by at most
/// `d / 2`, and by 127 times what rounding `d` to 16 bits took away.
fn blocks(flat: &Tensor) -> Option<Vec<u8>> {
    let mut numbers = vec![0.0_f32; flat.numel()];
    flat.copy_data(&mut numbers, flat.numel());
    let blocks = numbers.chunks_exact(BLOCK);
    let scales: Vec<f32> = blocks.clone().map(|block| block.iter().fold(0.0, |most: f32, x| most.max(x.abs())) / 127.0).collect();
    let short = Tensor::from_slice(&scales).to_kind(Kind::Half);
    if !finite(&short) || !finite(flat) {
        return None;
    }
    let mut out = Vec::with_capacity(scales.len() * (BLOCK + 2));
    for ((block, &scale), short) in blocks.zip(&scales).zip(bytes(&short).chunks_exact(2)) {
        // ggml multiplies by the inverse of the scale before it is shortened.
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        out.extend(short);
        out.extend(block.iter().flat_map(|x| ((x * inverse).round() as i8).to_le_bytes()));
    }
    Some(out)
}

fn finite(tensor: &Tensor) -> bool {
    tensor.isfinite().all().int64_value(&[]) == 1
}

fn bytes(flat: &Tensor) -> Vec<u8> {
    let count = flat.numel();
    let mut out = vec![0; count * flat.kind().elt_size_in_bytes()];
    flat.copy_data_u8(&mut out, count);
    out
}
