//! Server-sent events, of which each is sent when it is there. Source: the HTML standard, section 9.2.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::mpsc;

/// What ends a stream.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Where events are put.
#[derive(Debug, Clone)]
pub(super) struct Events(mpsc::UnboundedSender<Bytes>);

impl Events {
    /// Sends a document; nobody may be there to read it.
    pub(super) fn send(&self, document: &Value) {
        let _ = self.0.send(format!("data: {document}\n\n").into());
    }

    /// Sends the end.
    pub(super) fn done(&self) {
        let _ = self.0.send(Bytes::from_static(DONE));
    }
}

/// A body that does its own work: when the client leaves, the body is dropped, and the work with it.
struct Stream {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    events: mpsc::UnboundedReceiver<Bytes>,
}

/// A response whose events `work` puts where it is told.
pub(super) fn stream<F: Future<Output = ()> + Send + 'static>(work: impl FnOnce(Events) -> F) -> Response {
    let (sender, events) = mpsc::unbounded_channel();
    let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(work(Events(sender)));
    let mut response = Response::new(Body::new(Stream { work: Some(work), events }));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = |bytes: Option<Bytes>| bytes.map(|bytes| Ok(Frame::data(bytes)));
        // What is there is sent before more is made.
        if let Poll::Ready(bytes) = self.events.poll_recv(cx) {
            return Poll::Ready(frame(bytes));
        }
        if let Some(work) = &mut self.work
            && work.as_mut().poll(cx).is_ready()
        {
            self.work = None;
        }
        self.events.poll_recv(cx).map(frame)
    }
}
