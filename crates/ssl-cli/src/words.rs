//! A model's word vectors: its first table by words, to write, to score, and to begin another model with.

use std::path::Path;

use anyhow::Result;
use ssl_data::vocab::Vocab;
use ssl_model::params::{Param, Params};
use ssl_model::weights::{Form, Vectors};
use tch::{Device, Kind, Tensor};

use crate::assemble::Opened;
use crate::outcome::Refusal;

/// The form that a file's name tells: text for `.txt` and `.vec`, else binary.
pub(crate) fn form(path: &Path) -> Form {
    let text = path.extension().is_some_and(|end| end == "txt" || end == "vec");
    if text { Form::Text } else { Form::Binary }
}

/// The words of a model with the rows of its first table. What stands for no word, or has white space inside, is left out.
pub(crate) fn vectors(opened: &Opened) -> Result<Vectors> {
    let vocab = opened.vocab()?;
    let (_, table) = first_table(&opened.params, opened.shape.vocab_size)?;
    let table = table.master.detach().to_device(Device::Cpu);
    let known: Vec<(u32, String)> = words(vocab).collect();
    let ids: Vec<i64> = known.iter().map(|(id, _)| i64::from(*id)).collect();
    let kept = ssl_torch::guard(|| table.index_select(0, &Tensor::from_slice(&ids)).to_kind(Kind::Float).view([-1]))?;
    let numbers = Vec::<f32>::try_from(kept).map_err(|fault| Refusal::input(fault.to_string(), "the model is damaged"))?;
    Ok(Vectors { words: known.into_iter().map(|(_, word)| word).collect(), width: table.size()[1] as usize, numbers })
}

/// Gives the rows of a model's first table the vectors that a file has for their words, or for their words in lower case.
/// Returns the table's name and the number of rows.
pub(crate) fn begin_from(path: &Path, params: &Params, vocab: &Vocab) -> Result<(String, usize)> {
    let vectors = Vectors::read(path, form(path))?;
    let (index, param) = first_table(params, vocab.size())?;
    let width = param.master.size()[1];
    if vectors.width as i64 != width {
        let message = format!("{} has vectors of {}, {} has rows of {width}", path.display(), vectors.width, param.name);
        return Err(Refusal::input(message, "give the model that width, or train vectors of its width"));
    }
    let places: std::collections::HashMap<&str, usize> =
        vectors.words.iter().enumerate().map(|(place, word)| (word.as_str(), place)).collect();
    let find = |word: &str| places.get(word).or_else(|| places.get(word.to_lowercase().as_str())).copied();
    let found: Vec<(i64, usize)> = words(vocab).filter_map(|(id, word)| Some((i64::from(id), find(&word)?))).collect();
    if found.is_empty() {
        let message = format!("{} has no word of the vocabulary", path.display());
        return Err(Refusal::input(message, "vectors and text must be of one language; text form ends in .txt, binary in .bin"));
    }
    let ids: Vec<i64> = found.iter().map(|(id, _)| *id).collect();
    let rows: Vec<f32> = found.iter().flat_map(|(_, place)| vectors.vector(*place)).copied().collect();
    ssl_torch::guard(|| {
        let table = param.master.detach().copy();
        let rows = Tensor::from_slice(&rows).view([-1, width]).to_device(table.device());
        let _ = table.shallow_clone().index_copy_(0, &Tensor::from_slice(&ids).to_device(table.device()), &rows);
        params.set(index, &table);
    })?;
    Ok((param.name.clone(), found.len()))
}

/// The first matrix with a row a token: what a model reads words with.
fn first_table(params: &Params, vocab: u32) -> Result<(usize, &Param)> {
    let is_table = |(_, param): &(usize, &Param)| matches!(param.master.size()[..], [rows, _] if rows == i64::from(vocab));
    let none = || Refusal::input("the model has no table with a row a token", "name a model that reads words");
    params.list().iter().enumerate().find(is_table).ok_or_else(none)
}

/// The ids that stand for a word, and the word.
fn words(vocab: &Vocab) -> impl Iterator<Item = (u32, String)> {
    let special: Vec<u32> = vocab.specials().chain(vocab.unknown()).collect();
    let ids = (0..vocab.size()).filter(move |id| !special.contains(id));
    let word = |id| (id, vocab.decode(&[id]).trim().to_owned());
    ids.map(word).filter(|(_, word)| !word.is_empty() && !word.contains(char::is_whitespace))
}
