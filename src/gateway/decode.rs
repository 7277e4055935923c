//! The bytes of a backend's answer as it meant them: what it compressed although it was asked not to is decoded here,
//! piece by piece as it is asked for, so that no answer takes more memory than it takes when it comes as it is.

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::refusal::Refusal;
use crate::masking::coding::{Bounds, Coding, DecodeFault, Decoder, MAX_DECODED};
use crate::reason::Reason;

/// Pieces that are decoded before other requests have their turn, 1 MiB together: one read from the wire may hold
/// hundreds of them.
const PIECES_A_TURN: u32 = 16;

/// A backend's body on its way here, decoded if it has to be.
#[derive(Debug)]
pub(super) struct Source {
    wire: Incoming,
    decoding: Option<Box<Decoding>>,
}

#[derive(Debug)]
struct Decoding {
    decoder: Decoder,
    /// What has come and is still to be decoded.
    coded: Bytes,
    /// Pieces made in this turn.
    pieces: u32,
}

/// Why there is no more of a body.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum SourceFault {
    /// The connection failed.
    #[error("the backend's answer broke off")]
    Broken,
    /// Nothing came for too long.
    #[error("the backend's answer stalled")]
    Stalled,
    /// The coding is not what it is said to be, or expands too far.
    #[error(transparent)]
    Coded(#[from] DecodeFault),
}

impl SourceFault {
    /// The reason in the words of the gateway.
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Broken => Reason::UpstreamBroken,
            Self::Stalled => Reason::UpstreamTimeout,
            Self::Coded(_) => Reason::UnmaskableResponse,
        }
    }
}

/// As long as nothing has gone out.
impl From<SourceFault> for Refusal {
    #[cold]
    fn from(fault: SourceFault) -> Self {
        Self::because(fault.reason(), fault.to_string())
    }
}

impl Source {
    /// The body as it comes, or as it is coded.
    pub(super) fn new(wire: Incoming, coding: Option<Coding>) -> Result<Self, SourceFault> {
        let decoder = coding
            .map(|coding| Decoder::new(coding, Bounds::default()))
            .transpose()?;
        let decoding = decoder.map(|decoder| {
            Box::new(Decoding {
                decoder,
                coded: Bytes::new(),
                pieces: 0,
            })
        });
        Ok(Self { wire, decoding })
    }
}

impl Decoding {
    fn next(&mut self) -> Result<Option<Bytes>, DecodeFault> {
        let mut rest: &[u8] = &self.coded;
        let piece = self.decoder.next(&mut rest)?.map(Bytes::copy_from_slice);
        let left = rest.len();
        self.coded = self.coded.split_off(self.coded.len() - left);
        Ok(piece)
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = SourceFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SourceFault>>> {
        let Self { wire, decoding } = self.get_mut();
        if let Some(decoding) = decoding {
            if decoding.pieces == PIECES_A_TURN {
                decoding.pieces = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(piece) = decoding.next()? {
                decoding.pieces += 1;
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
        let Some(frame) = ready!(Pin::new(wire).poll_frame(cx)) else {
            if let Some(decoding) = decoding {
                decoding.decoder.finish()?;
            }
            return Poll::Ready(None);
        };
        // Trailers are dropped: they may say anything (THREATS G30).
        let data = frame.map_err(|_| SourceFault::Broken)?.into_data().unwrap_or_default();
        let data = match decoding {
            None => data,
            // Nothing yet is a frame all the same: the backend has not stalled.
            Some(decoding) => {
                decoding.coded = data;
                decoding.next()?.unwrap_or_default()
            }
        };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.decoding.is_none() && self.wire.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.decoding {
            None => self.wire.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

/// The coding that an answer's head names, and names no longer: what goes out is decoded.
pub(super) fn take_coding(fields: &mut HeaderMap) -> Result<Option<Coding>, SourceFault> {
    let coding = coding(fields)?;
    fields.remove(header::CONTENT_ENCODING);
    Ok(coding)
}

/// The coding that an answer's head names.
pub(super) fn coding(fields: &HeaderMap) -> Result<Option<Coding>, SourceFault> {
    let values = fields.get_all(header::CONTENT_ENCODING);
    Ok(Coding::of(values.iter().map(|value| value.as_bytes()))?)
}

/// A whole body, decoded to at most `limit` bytes.
pub(super) fn decoded(coding: Option<Coding>, body: &Bytes, limit: u64) -> Result<Bytes, SourceFault> {
    let Some(coding) = coding else { return Ok(body.clone()) };
    let bounds = Bounds {
        decoded: limit.min(MAX_DECODED),
        ..Bounds::default()
    };
    let mut decoder = Decoder::new(coding, bounds)?;
    let mut rest: &[u8] = body;
    let mut all = Vec::with_capacity(body.len());
    while let Some(piece) = decoder.next(&mut rest)? {
        all.extend_from_slice(piece);
    }
    decoder.finish()?;
    Ok(all.into())
}
