//! Hands the stored bytes of pages to their decoder, after a look at what their headers claim.

use std::io::{self, Cursor};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::super::store::Store;
use super::thrift::{self, Fault};

/// How much is read of a header, at first and if that is too little: some hold whole texts, the least and the greatest.
const HEADS: [usize; 4] = [1 << 9, 1 << 13, 1 << 18, 1 << 24];

/// The stored bytes of one file.
pub(super) struct Pages {
    pub(super) store: Arc<Store>,
    pub(super) size: u64,
    /// A page has at most so many bytes, stored or unpacked.
    pub(super) limit: u64,
    /// Bytes that were read.
    pub(super) read: AtomicU64,
    /// Why bytes could not be read: no damage of the file.
    pub(super) fault: Mutex<Option<io::Error>>,
}

impl Pages {
    /// The fault of reading that was met, once.
    pub(super) fn fault(&self) -> Option<io::Error> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn take(&self, at: u64, count: usize) -> Result<Vec<u8>> {
        let bytes = self.store.bytes(at, count).map_err(|fault| {
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
            ParquetError::General("it cannot be read".into())
        })?;
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Pages {
    type T = Cursor<Vec<u8>>;

    /// The header of the page at `start`, and perhaps more.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        for count in HEADS {
            let head = self.take(start, count)?;
            match thrift::page_sizes(&head) {
                Ok((stored, unpacked)) if stored.max(unpacked) <= self.limit => return Ok(Cursor::new(head)),
                Ok(_) => return Err(ParquetError::General("a page is larger than allowed".into())),
                Err(Fault::Short) if head.len() == count => {}
                Err(_) => break,
            }
        }
        Err(ParquetError::General("a page has no header".into()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes> {
        if length as u64 > self.limit.min(self.size.saturating_sub(start)) {
            return Err(ParquetError::EOF("a page reaches over the end".into()));
        }
        let bytes = self.take(start, length)?;
        if bytes.len() != length {
            return Err(ParquetError::EOF("a page is cut off".into()));
        }
        Ok(bytes.into())
    }
}
