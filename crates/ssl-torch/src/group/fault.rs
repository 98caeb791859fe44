//! What can come between processes that compute together.

use std::fmt;

use crate::error::Error;

/// Which of how many processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// From 0.
    pub rank: u32,
    /// How many there are.
    pub world: u32,
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.world)
    }
}

/// Why processes cannot go on together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GroupFault {
    /// The store where ranks meet cannot be opened or reached.
    #[error("cannot meet the other ranks at {address}: {message}")]
    NoStore {
        /// Host and port, or a file.
        address: String,
        /// What libtorch said, one line.
        message: String,
    },
    /// A rank was not there in time.
    #[error("rank {missing} did not arrive within {seconds:.0} s")]
    Absent {
        /// The first that is missing.
        missing: u32,
        /// How long it was waited for.
        seconds: f64,
    },
    /// All ranks arrived, and no connection came about between them.
    #[error("the ranks cannot connect to each other: {message}")]
    NoConnection {
        /// What libtorch said, one line.
        message: String,
    },
    /// A collective did not end in time.
    #[error("{what} did not end within {seconds:.0} s: another rank is stopped, stuck or much slower")]
    TimedOut {
        /// The collective.
        what: &'static str,
        /// The group's timeout.
        seconds: f64,
    },
    /// A connection broke.
    #[error("another rank ended during {what} ({message})")]
    Lost {
        /// The collective.
        what: &'static str,
        /// What libtorch said, one line.
        message: String,
    },
    /// A fault before this call has separated the ranks for good.
    #[error("{what} is not possible: the ranks have lost each other before")]
    Broken {
        /// The collective.
        what: &'static str,
    },
    /// Arguments that no collective takes; other ranks may wait for this one.
    #[error("{what} was refused: {message}")]
    Refused {
        /// The collective.
        what: &'static str,
        /// What libtorch said, one line.
        message: String,
    },
}

impl GroupFault {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoStore { .. } => {
                "rank 0 serves at MASTER_ADDR and MASTER_PORT: see that it runs, that the others can reach it and that \
                 the port is free"
            }
            Self::Absent { .. } => "see whether every rank was started, with the same MASTER_ADDR, MASTER_PORT and WORLD_SIZE",
            Self::NoConnection { .. } => "name the network interface that the machines share in GLOO_SOCKET_IFNAME",
            Self::TimedOut { .. } => {
                "look at the other ranks; where they are only slower, raise train.parallel.timeout-seconds. The last \
                 checkpoint is whole: start all ranks again"
            }
            Self::Lost { .. } | Self::Broken { .. } => {
                "the rank that ended says why; the last checkpoint is whole: start all ranks again"
            }
            Self::Refused { .. } => "the ranks do not run the same program on the same run file",
        }
    }

    /// The fault of this process.
    pub(super) fn at(self, seat: Seat) -> Error {
        Error::Group { seat, fault: self }
    }
}

/// Sorts what libtorch said when `what` failed on its way; Gloo tells only by its words.
pub(super) fn sort(what: &'static str, seconds: f64, message: &str) -> GroupFault {
    let lower = message.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if any(&["timed out", "timeout"]) {
        GroupFault::TimedOut { what, seconds }
    } else {
        // Gloo's messages begin with the place in its own source, which tells a user nothing.
        let message = message.split_once("] ").map_or(message, |(_, rest)| rest).to_owned();
        GroupFault::Lost { what, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_by_their_words() {
        let late = "[/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 6000ms for recv";
        assert_eq!(sort("a sum", 6.0, late), GroupFault::TimedOut { what: "a sum", seconds: 6.0 });
        let gone = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:38090";
        let GroupFault::Lost { message, .. } = sort("a sum", 6.0, gone) else { panic!("it was lost") };
        assert_eq!(message, "Connection closed by peer [127.0.0.1]:38090");
    }
}
