//! Reads file by file on a thread of its own. What was read of a file before a fault stays; the rest of it is given up as one bad record,
//! and the next file is read.

use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use crate::clean::Reason;
use crate::config::{DataConfig, PairsConfig};
use crate::document::Origin;
use crate::error::{Error, Result};
use crate::prepare::{Watch, pairs};
use crate::source::{Cutting, Input, Item, Progress, Records, Stamp};

/// Bytes of records cleaned at once.
const BATCH: usize = 8 << 20;
/// What a record costs beside its bytes, so that a file of empty lines makes no endless batch.
const OVERHEAD: usize = 128;
/// A record as it was read, or why the rest of its file is given up.
pub(super) type Found = std::result::Result<Item, (Reason, Error)>;

/// Sends all records in order, batch by batch, until the receiver has heard enough.
pub(super) fn read(
    config: &DataConfig,
    inputs: &[(Input, Stamp)],
    progress: &Progress,
    watch: &dyn Watch,
    send: &SyncSender<Result<Vec<(u32, Found)>>>,
) {
    let stop = || watch.stop();
    let cutting = Cutting::from(config);
    let mut batch = Vec::new();
    let mut cost = 0;
    let (sources, targets) = match config.pairs {
        Some(PairsConfig::Files { .. }) => inputs.split_at(inputs.len() / 2),
        _ => (inputs, &[][..]),
    };
    for (index, (input, stamp)) in sources.iter().enumerate() {
        let open = |input, stamp| Records::open(input, stamp, &cutting, &config.limits, progress, &stop);
        let target = targets.get(index);
        let was_read = [Some(stamp), target.map(|(_, stamp)| stamp)].into_iter().flatten().all(|stamp| *stamp != Stamp::UNREAD);
        let items = match (open(input, *stamp), target.map(|(input, stamp)| open(input, *stamp)).transpose()) {
            (Ok(records), Ok(target)) => pairs::side_by_side(records, target),
            (Err(fault), _) | (_, Err(fault)) => Box::new(std::iter::once(Err(fault))),
        };
        for item in items {
            let found = match item.map_err(Error::given_up) {
                Ok(item) => Ok(item),
                Err(Ok((reason, fault))) => {
                    if reason == Reason::Changed || reason == Reason::Unreadable && was_read {
                        progress.lost.store(true, Ordering::Relaxed);
                    }
                    Err((reason, fault))
                }
                // What stands before the fault is looked at first, so that the first fault of the input is the one told.
                Err(Err(fault)) => return drop(send.send(Ok(batch)).and_then(|()| send.send(Err(fault)))),
            };
            cost += size(&found);
            batch.push((input.part, found));
            if cost >= BATCH {
                cost = 0;
                if send.send(Ok(std::mem::take(&mut batch))).is_err() {
                    return;
                }
            }
        }
    }
    drop(send.send(Ok(batch)));
}

/// What a record costs until it is judged. Addresses and the names of members of archives may be longer than texts.
fn size(found: &Found) -> usize {
    let place = |origin: &Origin| origin.path.as_os_str().len() + origin.address.as_ref().map_or(0, |address| address.len());
    OVERHEAD
        + match found {
            Ok(Item::Record(record)) => record.size() + place(&record.origin),
            Ok(Item::Dropped(_, origin, _)) => place(origin),
            Err((_, fault)) => fault.to_string().len(),
        }
}
