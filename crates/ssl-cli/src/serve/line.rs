//! A connection that does not wait forever: a client that stops reading is left, and one that is still sending when it has its answer
//! is given a moment, so that the answer is not lost.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// How long a client that is told no may go on sending: to close while bytes come in makes the system throw away what it was told.
const LINGER: Duration = Duration::from_secs(1);
/// And how much: more than is on its way when it hears of it.
const LINGER_BYTES: usize = 8 << 20;
/// A client that sends nothing for so long has read what there was.
const SILENCE: Duration = Duration::from_millis(100);

/// A connection with limits on waiting.
pub(super) struct Line {
    stream: TokioIo<TcpStream>,
    patience: Duration,
    /// Runs while the client reads nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs while the connection is closed: until then, and the silence before it.
    closing: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Bytes that came after the answer.
    late: usize,
}

impl Line {
    /// A connection whose client may read nothing for `patience`.
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream: TokioIo::new(stream), patience, stalled: None, closing: None, late: 0 }
    }

    /// Gives up when writing has waited too long.
    fn patiently<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// Reads what still comes, and forgets it.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (until, silence) = self.closing.get_or_insert_with(|| (Instant::now() + LINGER, Box::pin(sleep(SILENCE))));
        let mut rest = [0; 8192];
        while Instant::now() < *until && self.late < LINGER_BYTES {
            if let Poll::Ready(ready) = self.stream.inner().poll_read_ready(cx) {
                match ready.and_then(|()| self.stream.inner().try_read(&mut rest)) {
                    Ok(read @ 1..) => {
                        self.late += read;
                        silence.as_mut().reset(Instant::now() + SILENCE);
                    }
                    Err(fault) if fault.kind() == ErrorKind::WouldBlock => {}
                    Ok(0) | Err(_) => return Poll::Ready(()),
                }
            } else {
                return silence.as_mut().poll(cx);
            }
        }
        Poll::Ready(())
    }
}

impl Read for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl Write for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let written = Pin::new(&mut line.stream).poll_write(cx, bytes);
        line.patiently(cx, written)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let written = Pin::new(&mut line.stream).poll_write_vectored(cx, parts);
        line.patiently(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if line.closing.is_none() {
            ready!(Pin::new(&mut line.stream).poll_shutdown(cx))?;
        }
        line.linger(cx).map(Ok)
    }
}
