//! What an adapted model says of a task's examples, and how good that is.
//!
//! Rows are sorted by length and scored in batches; what is said of an example depends on its own rows alone. Where a long text
//! became several rows, their answers are merged: classes by the mean of their probabilities, tags word by word, spans by their score.

mod said;
mod scores;
mod span;

use ssl_data::batch::{Batch, Grid, Source};
use ssl_data::task::{Encoded, Encoder, Example, TaskKind};
use ssl_model::head::{Pool, present_of};
use ssl_model::{Model, Pass};
use tch::{Device, Kind, Tensor};

pub use said::Said;
pub use scores::{Judgement, Score};

use crate::bits_per_byte::upload;
use crate::error::{Error, Result};

/// Positions in one batch, padding included: enough to keep a processor busy.
const POSITIONS: usize = 8192;

/// A model, and how a task asks it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The model, with the task's head where the task has one.
    pub model: &'a dyn Model,
    /// How examples become rows.
    pub encoder: &'a Encoder,
    /// What is asked.
    pub kind: &'a TaskKind,
    /// The classes or tags.
    pub labels: &'a [String],
    /// Where the model lives.
    pub device: Device,
}

impl Asked<'_> {
    /// Answers every example and scores the answers. `stop` is told the share done and ends it.
    ///
    /// # Errors
    /// When an example cannot be encoded, an operation fails, or `stop` says so.
    pub fn judge(&self, examples: &[Example], stop: &dyn Fn(f64) -> bool) -> Result<Judgement> {
        if examples.is_empty() {
            return Err(Error::Empty);
        }
        let said = self.answer(examples, stop)?;
        scores::judge(self.kind, self.labels, examples, said)
    }

    /// What the model says of every example, in their order.
    ///
    /// # Errors
    /// As above.
    pub fn answer(&self, examples: &[Example], stop: &dyn Fn(f64) -> bool) -> Result<Vec<Said>> {
        if let TaskKind::Writing(writing) = self.kind {
            return said::write(self, writing, examples, stop);
        }
        let mut rows = Vec::new();
        for (at, example) in examples.iter().enumerate() {
            rows.extend(self.encoder.encode(example, at)?);
        }
        let read = self.read(&rows, stop)?;
        let mut said: Vec<Option<Said>> = (0..examples.len()).map(|_| None).collect();
        let mut from = 0;
        while from < rows.len() {
            let at = rows[from].example;
            let to = from + rows[from..].iter().take_while(|row| row.example == at).count();
            said[at] = Some(Said::of(self.kind, &examples[at], &rows[from..to], &read[from..to]));
            from = to;
        }
        said.into_iter().collect::<Option<Vec<_>>>().ok_or(Error::Empty)
    }

    /// What the model makes of each row: logits `[t or 1, c]` of a head, or its nats, weighted and summed, of a model that writes.
    fn read(&self, rows: &[Encoded], stop: &dyn Fn(f64) -> bool) -> Result<Vec<Vec<f32>>> {
        in_batches(rows, stop, &|rows| self.batch(rows))
    }

    fn batch(&self, rows: &[&Encoded]) -> Result<Vec<Vec<f32>>> {
        let batch = self.encoder.collate(rows);
        Ok(ssl_torch::guard(|| {
            tch::no_grad(|| {
                let batch = upload(batch, self.device);
                if !self.kind.has_head() {
                    return self.model.loss(&batch, Pass::Eval).rows().into_iter().map(|(nats, _)| vec![nats as f32]).collect();
                }
                let logits = self.model.logits(&batch).to_kind(Kind::Float).to_device(Device::Cpu);
                let c = logits.size()[2] as usize;
                let row = |at: usize| -> Vec<f32> {
                    let all = Vec::<f32>::try_from(logits.get(at as i64).contiguous().view([-1])).unwrap_or_default();
                    all[..(rows[at].len() * c).min(all.len())].to_vec()
                };
                (0..rows.len()).map(row).collect()
            })
        })?)
    }
}

/// One vector for each example, of the base of a model: its rows' hidden states pooled, rows of one example averaged.
///
/// # Errors
/// When an example cannot be encoded, an operation fails, or `stop` says so.
pub fn features(
    model: &dyn Model,
    encoder: &Encoder,
    examples: &[Example],
    pool: Pool,
    device: Device,
    stop: &dyn Fn(f64) -> bool,
) -> Result<Vec<Vec<f32>>> {
    let mut rows = Vec::new();
    for (at, example) in examples.iter().enumerate() {
        rows.extend(encoder.encode(example, at)?);
    }
    let read = in_batches(&rows, stop, &|rows| {
        let batch = encoder.collate(rows);
        let pooled = ssl_torch::guard(|| {
            tch::no_grad(|| {
                let batch = upload(batch, device);
                pool.of(&model.hidden(&batch, Pass::Eval), &present_of(&batch)).to_device(Device::Cpu)
            })
        })?;
        Ok((0..rows.len()).map(|row| Vec::<f32>::try_from(pooled.get(row as i64)).unwrap_or_default()).collect())
    })?;
    let mut features: Vec<Vec<f32>> = vec![Vec::new(); examples.len()];
    let mut counts = vec![0.0_f32; examples.len()];
    for (row, read) in rows.iter().zip(&read) {
        let sum = &mut features[row.example];
        sum.resize(read.len(), 0.0);
        sum.iter_mut().zip(read).for_each(|(sum, x)| *sum += x);
        counts[row.example] += 1.0;
    }
    features.iter_mut().zip(counts).for_each(|(sum, count)| sum.iter_mut().for_each(|x| *x /= count));
    Ok(features)
}

/// Makes a list of numbers of each row of a batch.
type ReadRows<'a> = dyn Fn(&[&Encoded]) -> Result<Vec<Vec<f32>>> + 'a;

/// What `read` makes of every row, in their order; rows of about one length are read together.
fn in_batches(rows: &[Encoded], stop: &dyn Fn(f64) -> bool, read: &ReadRows<'_>) -> Result<Vec<Vec<f32>>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| (rows[row].len(), row));
    let mut found: Vec<Vec<f32>> = vec![Vec::new(); rows.len()];
    let mut done = 0;
    while done < order.len() {
        if stop(done as f64 / order.len() as f64) {
            return Err(Error::Stopped);
        }
        let longest = |n: usize| rows[order[done + n - 1]].len().next_multiple_of(8);
        let most = (order.len() - done).min(POSITIONS);
        let n = (1..=most).take_while(|&n| n == 1 || n * longest(n) <= POSITIONS).last().unwrap_or(1);
        let of: Vec<&Encoded> = order[done..done + n].iter().map(|&row| &rows[row]).collect();
        for (&row, read) in order[done..done + n].iter().zip(read(&of)?) {
            found[row] = read;
        }
        done += n;
    }
    Ok(found)
}

/// A source on a device.
pub(crate) fn source(source: Source<Grid>, device: Device) -> Source<Tensor> {
    match upload(Batch::Texts(source), device) {
        Batch::Texts(source) => source,
        Batch::Rows(_) | Batch::Pair(..) => unreachable!("texts stay texts"),
    }
}
