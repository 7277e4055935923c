//! A request's body on its way in: read with a size limit and a deadline, whole or in pieces.
//!
//! Why it stopped is kept beside it, so that the gateway can tell the client's fault from the backend's.

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

use super::room::Room;
use crate::reason::Reason;

/// A request body as a backend gets it.
#[derive(Debug)]
pub enum Payload {
    /// None.
    Empty,
    /// Read already.
    Whole(Option<Bytes>),
    /// Passed on as it comes.
    Stream(Box<Upload>),
}

/// A client's body, still on the wire.
#[derive(Debug)]
pub struct Upload {
    body: Incoming,
    /// Bytes that may still come.
    left: u64,
    within: Duration,
    /// Armed when the body is first waited for.
    timer: Option<Pin<Box<Sleep>>>,
    ended: bool,
    fault: Option<UploadFault>,
}

/// Why an [`Upload`] broke off, once it has.
#[derive(Clone, Debug, Default)]
pub struct UploadFault(Arc<OnceLock<Reason>>);

/// The body broke off; the backend's connection is cut with it, so that it never sees a whole request.
#[derive(Debug, thiserror::Error)]
#[error("the request body broke off: {}", .0.code())]
pub struct BrokenOff(pub Reason);

impl Upload {
    /// A body of at most `limit` bytes that has come within `within` from when it is first waited for.
    #[must_use]
    pub fn new(body: Incoming, limit: u64, within: Duration) -> Self {
        Self {
            ended: body.is_end_stream(),
            body,
            left: limit,
            within,
            timer: None,
            fault: None,
        }
    }

    /// Tells later why the body broke off.
    #[must_use]
    pub fn fault(&mut self) -> UploadFault {
        self.fault.get_or_insert_default().clone()
    }

    /// Whether there is nothing to come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ended
    }

    /// Reads all of it, into room that it shares with others.
    ///
    /// # Errors
    /// Too large, too slow, or broken; or there is no room.
    pub async fn collect(mut self, room: &Arc<Room>) -> Result<Bytes, Reason> {
        let mut taken = room.begin();
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame.map_err(|BrokenOff(reason)| reason)?.into_data() else {
                continue;
            };
            if !taken.more(data.len()) {
                return Err(Reason::ChecksBusy);
            }
            if first.is_empty() && all.is_empty() {
                first = data;
                continue;
            }
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
        Ok(taken.keep(if all.is_empty() { first } else { all.freeze() }))
    }

    fn stop(&mut self, reason: Reason) -> BrokenOff {
        self.ended = true;
        if let Some(fault) = &self.fault {
            let _ = fault.0.set(reason);
        }
        BrokenOff(reason)
    }
}

impl UploadFault {
    /// Why it broke off.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.0.get().copied()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        loop {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers could speak in anybody's name (THREATS B19): they are dropped.
                    let Ok(data) = frame.into_data() else { continue };
                    let Some(left) = this.left.checked_sub(data.len() as u64) else {
                        return Poll::Ready(Some(Err(this.stop(Reason::BodyTooLarge))));
                    };
                    this.left = left;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(this.stop(Reason::BodyBroken)))),
                Poll::Ready(None) => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let within = this.within;
                    let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(within)));
                    std::task::ready!(timer.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(this.stop(Reason::BodyTimeout))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(upload) => Pin::new(&mut **upload).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream(upload) => upload.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(upload) => upload.size_hint(),
        }
    }
}
