//! How the ranks of a run come together: rank 0 takes the folder and prepares the corpus, the others wait for its word, and
//! then all connect.
//!
//! Preparing may take hours, so nobody can say when rank 0 should have been done; but while it works it counts, and the others end when
//! it has not counted on for as long as any rank is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::Result;
use ssl_torch::group::{Group, GroupFault, Seat, Store};
use ssl_train::parallel::ParallelConfig;

use super::start::hash;
use crate::diagnose::Loaded;
use crate::launch::Launch;
use crate::outcome::Refusal;
use crate::run::RunConfig;
use crate::signal;

/// What rank 0 says when the others may begin: the run's hash, and the step to go on from.
const BEGUN: &str = "begun";
/// Where rank 0 counts until then.
const COUNT: &str = "count";
/// How often the others look for it.
const POLL: Duration = Duration::from_millis(100);
/// And how often rank 0 counts.
const BEAT: Duration = Duration::from_secs(1);

/// A place where ranks meet.
pub(super) struct Meeting {
    /// For all attempts.
    place: Store,
    /// For this one.
    store: Store,
    launch: Launch,
    timeout: Duration,
    /// Counts while rank 0 prepares; nothing on the others.
    _counting: Option<Counting>,
}

/// A thread that counts until this is dropped.
struct Counting(Arc<AtomicBool>);

impl Counting {
    fn begin(store: Store) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        thread::spawn(move || {
            for count in 0_u64.. {
                // A store that is gone is told to whoever uses it next.
                if ended.load(Ordering::Relaxed) || store.set(COUNT, &count.to_string()).is_err() {
                    return;
                }
                sleep(BEAT);
            }
        });
        Self(over)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Meeting {
    /// Opens the place, or finds it.
    pub(super) fn open(launch: Launch, config: &ParallelConfig) -> Result<Self> {
        let timeout = Duration::from_secs(u64::from(config.timeout_seconds));
        let place = Store::tcp(&launch.host, launch.port, launch.serves, launch.seat, timeout)?;
        let here = || place.within(&launch.attempt);
        let counting = (launch.seat.rank == 0).then(here).transpose()?.map(Counting::begin);
        Ok(Self { store: here()?, place, launch, timeout, _counting: counting })
    }

    /// Whether this is rank 0.
    pub(super) fn leads(&self) -> bool {
        self.launch.seat.rank == 0
    }

    /// Waits for rank 0, however long it prepares, as long as it lives; says at which step it goes on.
    pub(super) fn begun(&self, loaded: &Loaded<RunConfig>) -> Result<Option<u64>> {
        let (sender, receiver) = channel();
        let store = self.place.within(&self.launch.attempt)?;
        // On a thread, because asking a server that is stopped does not come back.
        thread::spawn(move || {
            let mut seen = None;
            loop {
                let answer = store.get(BEGUN).and_then(|word| Ok((word, store.get(COUNT)?)));
                let last = !matches!(answer, Ok((None, _)));
                let count = answer.as_ref().ok().and_then(|(_, count)| count.clone());
                let news = last || count != seen;
                let gone = news && sender.send(answer.map(|(word, _)| word)).is_err();
                if last || gone {
                    return;
                }
                seen = count;
                sleep(POLL);
            }
        });
        let mut heard = Instant::now();
        let word = loop {
            match receiver.recv_timeout(POLL) {
                Ok(answer) => {
                    heard = Instant::now();
                    if let Some(word) = answer? {
                        break word;
                    }
                }
                Err(RecvTimeoutError::Timeout) if heard.elapsed() < self.timeout => {}
                Err(_) => {
                    let fault =
                        GroupFault::TimedOut { what: "waiting for rank 0 to prepare", seconds: self.timeout.as_secs_f64() };
                    return Err(ssl_torch::Error::Group { seat: self.launch.seat, fault }.into());
                }
            }
            if signal::requested() {
                return Err(ssl_data::Error::Interrupted { stage: "waiting for rank 0" }.into());
            }
        };
        let (run, step) = word.split_once(' ').unwrap_or_default();
        if run != hash(&loaded.resolved) {
            let message = "rank 0 was started with another run file, or other overrides";
            return Err(Refusal::usage(message, "give all ranks the same command"));
        }
        Ok(step.parse().ok())
    }

    /// Connects to the others; rank 0 says first where the run begins.
    pub(super) fn join(self, loaded: &Loaded<RunConfig>, step: Option<u64>) -> Result<Group> {
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
