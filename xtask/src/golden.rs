//! `cargo xtask golden`: computes `fixtures/golden` anew with PyTorch and shows the difference.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::output::{data, say};
use crate::safetensors::{self, Tensors};
use crate::{child, python, workspace};

/// How a computed file stands to the kept one.
#[derive(Debug, PartialEq)]
enum Difference {
    /// Byte for byte.
    Same,
    /// Same names and shapes; the largest absolute difference of any number, and the tensor that has it.
    Numbers(f64, String),
    /// Anything else.
    Other(&'static str),
}

/// The command; the exit code is 1 when something differs and is not written.
pub(crate) fn run(write: bool) -> Result<u8> {
    let mut command = python::with(&["torch", "transformers", "safetensors"])?;
    let kept = workspace::root().join("fixtures/golden");
    let fresh = workspace::root().join("target/golden");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    say("computing the golden values with PyTorch");
    let status = child::status(command.arg(kept.join("make.py")).arg(&fresh).env("PYTHONDONTWRITEBYTECODE", "1"))?;
    if !status.success() {
        bail!("make.py ended with {}", child::code(status));
    }
    let mut different = 0;
    for name in files(&fresh)? {
        let difference = compare(&kept.join(&name), &fresh.join(&name))?;
        match &difference {
            Difference::Same => continue,
            Difference::Numbers(by, tensor) => data(format_args!("{}: by up to {by:.3e}, in {tensor}", name.display())),
            Difference::Other(how) => data(format_args!("{}: {how}", name.display())),
        }
        different += 1;
        if write {
            let to = kept.join(&name);
            fs::create_dir_all(to.parent().context("a file without a folder")?)?;
            fs::copy(fresh.join(&name), to)?;
        }
    }
    data(format_args!("{different} files differ{}", if write { " and were replaced" } else { "" }));
    Ok(u8::from(different > 0 && !write))
}

/// Files below `dir`, from there, in order.
fn files(dir: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(dir)?.to_path_buf());
            }
        }
    }
    Ok(found)
}

fn compare(kept: &Path, fresh: &Path) -> Result<Difference> {
    let Ok(old) = fs::read(kept) else { return Ok(Difference::Other("new")) };
    let new = fs::read(fresh)?;
    if old == new {
        return Ok(Difference::Same);
    }
    if fresh.extension().is_none_or(|end| end != "safetensors") {
        return Ok(Difference::Other("differs"));
    }
    let read = |bytes, path: &Path| safetensors::read(bytes).with_context(|| format!("cannot read {}", path.display()));
    Ok(numbers(&read(&old, kept)?, &read(&new, fresh)?))
}

fn numbers(old: &Tensors, new: &Tensors) -> Difference {
    if !old.keys().eq(new.keys()) {
        return Difference::Other("has other tensors");
    }
    let mut most = (0.0, String::new());
    for (name, a) in old {
        let b = &new[name];
        if (&a.dtype, &a.shape) != (&b.dtype, &b.shape) {
            return Difference::Other("has other shapes");
        }
        match (a.reals(), b.reals()) {
            (Some(a), Some(b)) => {
                // A NaN on one side only is as far apart as can be.
                let gap = |(a, b): (f32, f32)| {
                    if a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() { 0.0 } else { f64::from((a - b).abs()) }
                };
                let by = a.zip(b).map(gap).fold(0.0, |most: f64, gap| if gap.is_nan() { f64::INFINITY } else { most.max(gap) });
                if by > most.0 {
                    most = (by, name.clone());
                }
            }
            _ if a.bytes != b.bytes => return Difference::Other("has other numbers that are not f32"),
            _ => {}
        }
    }
    if most.0 == 0.0 { Difference::Other("differs in its head only") } else { Difference::Numbers(most.0, most.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one f32 tensor.
    fn file(dir: &Path, name: &str, tensor: &str, values: &[f32]) -> PathBuf {
        let head =
            format!(r#"{{"{tensor}":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}}"#, values.len(), values.len() * 4);
        let mut bytes = (head.len() as u64).to_le_bytes().to_vec();
        bytes.extend(head.as_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn the_largest_difference_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let kept = file(dir, "a.safetensors", "w", &[1.0, 2.0, 3.0]);
        let check = |fresh: PathBuf, expect: Difference| assert_eq!(compare(&kept, &fresh).unwrap(), expect);
        check(file(dir, "b.safetensors", "w", &[1.0, 2.0, 3.0]), Difference::Same);
        check(file(dir, "c.safetensors", "w", &[1.0, 2.5, 3.25]), Difference::Numbers(0.5, "w".into()));
        check(file(dir, "d.safetensors", "w", &[1.0, f32::NAN, 3.0]), Difference::Numbers(f64::INFINITY, "w".into()));
        check(file(dir, "e.safetensors", "w", &[1.0]), Difference::Other("has other shapes"));
        check(file(dir, "f.safetensors", "v", &[1.0, 2.0, 3.0]), Difference::Other("has other tensors"));
        assert_eq!(compare(&dir.join("absent"), &kept).unwrap(), Difference::Other("new"));
    }
}
