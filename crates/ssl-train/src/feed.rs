//! Batches ahead of time: one thread cuts windows and collates them while the model computes.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use ssl_data::batch::{Batch, Grid};
use ssl_data::objective::Objective;
use ssl_data::sampler::Sampler;
use ssl_torch::group::Seat;
use ssl_torch::memory::{self, Numbers};
use tch::{Device, Tensor};

use crate::error::Result;

/// One forward pass worth of data.
#[derive(Debug)]
pub struct Micro {
    /// The first sample in it; row i begins with sample `first + i * samples / rows`.
    pub first: u64,
    /// Samples in it.
    pub samples: u64,
    /// The batch, in host memory.
    pub batch: Batch<Grid>,
}

/// A stream of micro-batches from a sample on, without end.
#[derive(Debug)]
pub struct Feed {
    receiver: Receiver<ssl_data::Result<Micro>>,
}

impl Feed {
    /// Micro-batches of `rows` rows, the first of which begins with sample `from`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(sampler: Sampler, objective: Box<dyn Objective>, rows: u64, from: u64) -> Result<Self> {
        Self::part(sampler, objective, rows, from, Seat { rank: 0, world: 1 })
    }

    /// The same, but of each batch of `rows` rows only the part of one rank, rank 0 the first rows.
    ///
    /// # Errors
    /// When the rows cannot be divided, or the system gives no thread.
    pub fn part(sampler: Sampler, objective: Box<dyn Objective>, rows: u64, from: u64, seat: Seat) -> Result<Self> {
        if !rows.is_multiple_of(u64::from(seat.world)) {
            return Err(crate::Error::Ranks { reason: format!("{rows} rows cannot be divided among {}", seat.world) });
        }
        let all = rows * objective.windows_per_row() as u64;
        let samples = all / u64::from(seat.world);
        Self::spawn(move |sender| {
            let mut first = from + u64::from(seat.rank) * samples;
            loop {
                let windows = (first..first + samples).map(|sample| sampler.window(sample)).collect::<ssl_data::Result<Vec<_>>>();
                let made = windows.map(|windows| {
                    let mut rngs: Vec<_> = (first..first + samples).map(|sample| sampler.rng(sample)).collect();
                    Micro { first, samples, batch: objective.collate(&windows, &mut rngs) }
                });
                let failed = made.is_err();
                // A closed channel means that training ended.
                if sender.send(made).is_err() || failed {
                    return;
                }
                first += all;
            }
        })
    }

    /// Micro-batches that `make` makes, each from its first sample on, of `samples` samples; the first begins with sample `from`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn made(samples: u64, from: u64, make: impl Fn(u64) -> ssl_data::Result<Batch<Grid>> + Send + 'static) -> Result<Self> {
        Self::spawn(move |sender| {
            let mut first = from;
            loop {
                let made = make(first).map(|batch| Micro { first, samples, batch });
                let failed = made.is_err();
                if sender.send(made).is_err() || failed {
                    return;
                }
                first += samples;
            }
        })
    }

    /// The same batch over and over, for measuring speed alone.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn repeat(batch: Batch<Grid>) -> Result<Self> {
        Self::spawn(move |sender| while sender.send(Ok(Micro { first: 0, samples: 0, batch: batch.clone() })).is_ok() {})
    }

    fn spawn(work: impl FnOnce(SyncSender<ssl_data::Result<Micro>>) + Send + 'static) -> Result<Self> {
        // Two ready and one in the making hide the disk; more would only hold memory.
        let (sender, receiver) = sync_channel(2);
        let spawned = thread::Builder::new().name("feed".into()).spawn(move || work(sender));
        spawned.map_err(|source| crate::Error::Io { action: "start a thread for", path: "feed".into(), source })?;
        Ok(Self { receiver })
    }

    /// The next micro-batch.
    ///
    /// # Errors
    /// When the corpus cannot be read.
    pub fn take(&self) -> Result<Micro> {
        match self.receiver.recv() {
            Ok(micro) => Ok(micro?),
            Err(_) => {
                Err(crate::Error::Io { action: "read", path: "feed".into(), source: std::io::ErrorKind::UnexpectedEof.into() })
            }
        }
    }
}

/// Copies a batch to a device; to a GPU while this thread goes on.
///
/// # Errors
/// When the device has no room.
pub fn upload(batch: Batch<Grid>, device: Device) -> std::result::Result<Batch<Tensor>, ssl_torch::Error> {
    batch.try_map(&mut |grid| match &grid {
        Grid::Ids { data, shape } => memory::upload(Numbers::Whole(data), shape, device),
        Grid::Reals { data, shape } => memory::upload(Numbers::Real(data), shape, device),
    })
}
