//! What goes back to the client: the only type that the gateway returns.
//!
//! An answer is made by [`super::mask()`], whole or as a stream that masks as it goes, or by a refusal. A stream that
//! cannot be finished ends in an error, which makes the server cut the connection: it is never completed (invariant 7).

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

use super::decode::{Source, SourceFault};
use super::record::Line;
use crate::edge::backend::Lease;
use crate::edge::journal::Filed;
use crate::masking::Masker;
use crate::masking::coding::{EncodeFault, Encoder};
use crate::reason::{Outcome, Reason};

/// The body of an answer.
#[derive(Debug)]
pub enum AnswerBody {
    /// Known to the last byte.
    Whole(Option<Bytes>),
    /// Comes as the backend sends it.
    Stream(Box<Streaming>),
}

/// An answer that goes out as it comes.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) source: Source,
    pub(super) lease: Lease,
    pub(super) masker: Option<Masker>,
    pub(super) encoder: Option<Encoder>,
    /// What may go out already.
    pub(super) ready: Bytes,
    /// Longest wait for the backend's next bytes.
    pub(super) patience: Duration,
}

/// A body that is passed on, masked and compressed, as it comes.
#[derive(Debug)]
pub struct Streaming {
    source: Source,
    lease: Option<Lease>,
    masker: Option<Masker>,
    /// Gone once the end is made.
    encoder: Option<Encoder>,
    encoded: bool,
    /// Bytes that are known to be good and have not gone out yet.
    ready: Bytes,
    /// Longest wait for the backend's next bytes.
    patience: Duration,
    stall: Option<Pin<Box<Sleep>>>,
    line: Line,
    state: State,
}

#[derive(Debug)]
enum State {
    Flowing,
    /// All is said; the audit line is on its way to the disk.
    Filing(Filed),
    Over,
}

/// The answer was cut: what had gone out stands, and no end follows it.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut: {}", .0.code())]
pub struct Cut(Reason);

impl AnswerBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }

    pub(super) fn stream(flow: Box<Flow>, line: Line) -> Self {
        let Flow {
            source,
            lease,
            masker,
            encoder,
            ready,
            patience,
        } = *flow;
        Self::Stream(Box::new(Streaming {
            source,
            lease: Some(lease),
            masker,
            encoded: encoder.is_some(),
            encoder,
            ready,
            patience,
            stall: None,
            line,
            state: State::Flowing,
        }))
    }
}

impl Streaming {
    fn cut(&mut self, reason: Reason, detail: impl Into<Cow<'static, str>>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.state = State::Over;
        self.line.detail(detail.into());
        if let Some(masker) = &self.masker {
            self.line.cut(masker);
        }
        let _ = self.line.file(Outcome::Refused(reason));
        Poll::Ready(Some(Err(Cut(reason))))
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceFault>>> {
        loop {
            match Pin::new(&mut self.source).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.stall = None;
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(fault))) => return Poll::Ready(Some(Err(fault))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    let patience = self.patience;
                    let stall = self
                        .stall
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
                    ready!(stall.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(SourceFault::Stalled)));
                }
            }
        }
    }

    /// The backend has said all. What the masker and the encoder still hold goes out, then the line is filed.
    fn finish(&mut self) -> Result<Bytes, (Reason, String)> {
        let mut rest = Vec::new();
        if let Some(masker) = &mut self.masker {
            masker
                .finish(&mut rest)
                .map_err(|fault| (Reason::UnmaskableResponse, fault.to_string()))?;
        }
        // Only here the coding gets its end: an answer that is cut has none.
        if let Some(mut encoder) = self.encoder.take() {
            let mut coded = Vec::new();
            encoder
                .feed(&rest, &mut coded)
                .and_then(|()| encoder.finish(&mut coded))
                .map_err(|fault| (Reason::Internal, fault.to_string()))?;
            rest = coded;
        }
        if let Some(masker) = &self.masker {
            self.line.cut(masker);
        }
        if let Some(lease) = self.lease.take() {
            lease.keep();
        }
        self.state = self.line.file(Outcome::Allowed).map_or(State::Over, State::Filing);
        Ok(rest.into())
    }

    /// What of the bytes that are ready goes out now.
    fn take_ready(&mut self) -> Result<Bytes, EncodeFault> {
        let ready = std::mem::take(&mut self.ready);
        let Some(encoder) = &mut self.encoder else {
            return Ok(ready);
        };
        let mut coded = Vec::new();
        encoder.feed(&ready, &mut coded)?;
        Ok(coded.into())
    }

    /// Nothing comes for now: what the encoder holds goes out, so that a slow answer arrives as it is made.
    fn flush(&mut self) -> Result<Bytes, EncodeFault> {
        let mut coded = Vec::new();
        if let Some(encoder) = &mut self.encoder {
            encoder.flush(&mut coded)?;
        }
        Ok(coded.into())
    }

    fn poll_flowing(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        loop {
            if !self.ready.is_empty() {
                match self.take_ready() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                    Err(fault) => return self.cut(Reason::Internal, fault.to_string()),
                }
            }
            let Poll::Ready(data) = self.poll_source(cx) else {
                return match self.flush() {
                    Ok(bytes) if bytes.is_empty() => Poll::Pending,
                    Ok(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                    Err(fault) => self.cut(Reason::Internal, fault.to_string()),
                };
            };
            match data {
                Some(Ok(data)) => match &mut self.masker {
                    None => self.ready = data,
                    Some(masker) => {
                        let mut out = Vec::with_capacity(data.len());
                        if let Err(fault) = masker.feed(&data, &mut out) {
                            return self.cut(Reason::UnmaskableResponse, fault.to_string());
                        }
                        self.ready = out.into();
                    }
                },
                Some(Err(fault)) => return self.cut(fault.reason(), fault.to_string()),
                None => match self.finish() {
                    Ok(rest) if rest.is_empty() => return self.poll_filed(cx),
                    Ok(rest) => return Poll::Ready(Some(Ok(Frame::data(rest)))),
                    Err((reason, fault)) => return self.cut(reason, fault),
                },
            }
        }
    }

    /// The end of a write's answer waits for its audit line (section 10).
    fn poll_filed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let State::Filing(filed) = &mut self.state {
            let filed = ready!(Pin::new(filed).poll(cx));
            self.state = State::Over;
            if filed.is_err() {
                return Poll::Ready(Some(Err(Cut(Reason::AuditUnavailable))));
            }
        }
        Poll::Ready(None)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => match stream.state {
                State::Flowing => stream.poll_flowing(cx),
                State::Filing(_) | State::Over => stream.poll_filed(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream(stream) => matches!(stream.state, State::Over),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            // As it came, it is as long as the backend says.
            Self::Stream(stream) if stream.masker.is_none() && !stream.encoded && stream.ready.is_empty() => {
                stream.source.size_hint()
            }
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
