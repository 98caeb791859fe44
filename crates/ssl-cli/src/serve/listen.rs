//! Connections: as many as may be, each with a time for its heads, until a stop is asked for.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::line::Line;
use super::served::Served;

/// Bytes of a request's head, and of what is read ahead of a body.
const HEAD_BYTES: usize = 64 << 10;
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// What is waited for when the system has no more handles.
const PAUSE: Duration = Duration::from_millis(50);
/// What a connection is told that is one too many.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// How connections are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// At once.
    pub(super) connections: u16,
    /// How long a client may take for a head, and may read nothing.
    pub(super) client: Duration,
}

/// Takes an address.
pub(super) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// The connections of a server.
pub(super) struct Connections {
    places: Arc<Semaphore>,
    bounds: Bounds,
}

impl Connections {
    /// None yet.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { places: Arc::new(Semaphore::new(usize::from(bounds.connections))), bounds }
    }

    /// Accepts connections, forever. Each is told by `stopping` to end with the request that it is at.
    pub(super) async fn accept(
        &self,
        listener: TcpListener,
        router: Router,
        served: Arc<Served>,
        stopping: watch::Receiver<bool>,
    ) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                served.metrics.turned_away.fetch_add(1, Ordering::Relaxed);
                // A client that cannot take so little has gone.
                let _ = stream.try_write(FULL);
                continue;
            };
            let one = connection(stream, router.clone(), Arc::clone(&served), self.bounds.client, stopping.clone(), place);
            tokio::spawn(one);
        }
    }

    /// Waits until there is none, at most for `patience`; whether that came.
    pub(super) async fn end(&self, patience: Duration) -> bool {
        timeout(patience, self.places.acquire_many(u32::from(self.bounds.connections))).await.is_ok()
    }
}

/// One connection to its end.
async fn connection(
    stream: TcpStream,
    router: Router,
    served: Arc<Served>,
    client: Duration,
    mut stopping: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    served.metrics.connections.fetch_add(1, Ordering::Relaxed);
    let _counted = Counted(&served);
    // Small pieces of a stream are sent when they are there.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(client).max_buf_size(HEAD_BYTES);
    let mut open = pin!(builder.serve_connection(Line::new(stream, client), service));
    let mut stop = pin!(stopping.wait_for(|stop| *stop));
    let mut told = false;
    let ended = poll_fn(|cx| {
        if !told && stop.as_mut().poll(cx).is_ready() {
            told = true;
            open.as_mut().graceful_shutdown();
        }
        open.as_mut().poll(cx)
    });
    // A client may leave at any moment, which is none of our faults.
    let _ = ended.await;
}

/// Counts a connection off, however it ends.
struct Counted<'a>(&'a Served);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
