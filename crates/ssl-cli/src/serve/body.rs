//! A request's body, of which no more is read than may be, and for no longer.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::StatusCode;
use tokio::time::timeout;

use super::ask::Ask;
use super::fault::{Fault, Result};
use super::served::Served;

/// Reads a body's fields, away from the threads that connections need.
pub(super) async fn read(served: &Served, request: Request) -> Result<Ask> {
    let bytes = bytes(served, request).await?;
    tokio::task::spawn_blocking(move || Ask::parse(&bytes)).await.map_err(|_| Fault::ours("the body could not be read"))?
}

async fn bytes(served: &Served, request: Request) -> Result<Vec<u8>> {
    let most = served.limits.body;
    let too_large = || {
        let message = format!("a body may have {most} bytes at most");
        Fault::new(StatusCode::PAYLOAD_TOO_LARGE, message).coded("body_too_large")
    };
    let mut body = request.into_body();
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let (mut read, begun) = (Vec::new(), tokio::time::Instant::now());
    loop {
        // A body may take as long as its parts may pause, for each part of a share of the whole.
        let left = (served.limits.client * BODY_PAUSES).saturating_sub(begun.elapsed());
        let part = timeout(served.limits.client.min(left), poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await;
        let late = || Fault::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time").coded("timeout");
        let Some(part) = part.map_err(|_| late())? else { return Ok(read) };
        let part = part.map_err(|_| Fault::new(StatusCode::BAD_REQUEST, "the body breaks off"))?;
        if let Ok(data) = part.into_data() {
            if read.len() + data.len() > most {
                return Err(too_large());
            }
            read.extend_from_slice(&data);
        }
    }
}

/// A whole body may take so many times as long as one pause in it.
const BODY_PAUSES: u32 = 3;
