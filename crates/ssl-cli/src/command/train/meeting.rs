//! How the ranks of a run come together: rank 0 takes the folder and prepares the corpus, the others wait for its word, and
//! then all connect.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use ssl_torch::group::{Group, Seat, Store};
use ssl_train::parallel::ParallelConfig;
use tch::Device;

use super::start::hash;
use crate::diagnose::Loaded;
use crate::launch::Launch;
use crate::outcome::Refusal;
use crate::run::RunConfig;
use crate::signal;

/// What rank 0 says when the others may begin: the run's hash, and the step to go on from.
const BEGUN: &str = "begun";
/// How often the others look for it.
const POLL: Duration = Duration::from_millis(100);

/// A place where ranks meet.
pub(super) struct Meeting {
    store: Store,
    launch: Launch,
}

impl Meeting {
    /// Opens the place, or finds it.
    pub(super) fn open(launch: Launch, config: &ParallelConfig) -> Result<Self> {
        let timeout = Duration::from_secs(u64::from(config.timeout_seconds));
        let store = Store::tcp(&launch.host, launch.port, launch.serves, launch.seat, timeout)?.within(&launch.attempt)?;
        Ok(Self { store, launch })
    }

    /// Whether this is rank 0.
    pub(super) fn leads(&self) -> bool {
        self.launch.seat.rank == 0
    }

    /// Waits for rank 0, however long it prepares; says at which step it goes on.
    pub(super) fn begun(&self, loaded: &Loaded<RunConfig>) -> Result<Option<u64>> {
        let word = loop {
            if let Some(word) = self.store.get(BEGUN)? {
                break word;
            }
            if signal::requested() {
                return Err(ssl_data::Error::Interrupted { stage: "waiting for rank 0" }.into());
            }
            sleep(POLL);
        };
        let (run, step) = word.split_once(' ').unwrap_or_default();
        if run != hash(&loaded.resolved) {
            let message = "rank 0 was started with another run file, or other overrides";
            return Err(Refusal::usage(message, "give all ranks the same command"));
        }
        Ok(step.parse().ok())
    }

    /// Connects to the others; rank 0 says first where the run begins.
    pub(super) fn join(self, loaded: &Loaded<RunConfig>, step: Option<u64>, device: Device) -> Result<Group> {
        if device != Device::Cpu {
            let message = "several processes train together on CPUs only: nothing here speaks NCCL yet";
            return Err(Refusal::usage(message, "give --device cpu, or train in one process"));
        }
        if self.leads() {
            let step = step.map_or_else(|| "anew".into(), |step| step.to_string());
            self.store.set(BEGUN, &format!("{} {step}", hash(&loaded.resolved)))?;
        }
        Ok(Group::join(self.store, self.launch.interface.as_deref())?)
    }
}

/// A fault with the rank that had it, where it does not say so itself.
pub(super) fn signed(fault: anyhow::Error, seat: Seat) -> anyhow::Error {
    if fault.to_string().contains(&seat.to_string()) { fault } else { fault.context(seat.to_string()) }
}
