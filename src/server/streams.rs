//! Answers of an HTTP/2 connection that are not waited for for ever.
//!
//! A client that opens no window for a stream keeps its answer, and the backend's connection behind it, while it goes on to
//! answer pings: the connection is never idle, and its bytes are never held up. So each stream has a clock of its own. It
//! runs while something of the answer has been handed out and nobody asks for more; when it rings, the stream is reset.

use bytes::Bytes;
use http_body::Body;
use hyper::body::{Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

use super::patience::Busy;
use crate::gateway::{AnswerBody, Cut};

/// Most bytes that are handed out at once: a client that takes so many within its time is not given up.
const PIECE: usize = 16 * 1024;

/// The streams of an HTTP/2 connection, as tasks of this worker's own thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    /// How long a client may leave an answer where it is.
    pub(super) stall: Duration,
}

/// What a stream waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wait {
    /// An answer, or more of it.
    #[default]
    Us,
    /// The client, since so many pieces of the answer were asked for.
    Client { piece: u64 },
}

/// Seen from both the stream's task and its answer.
#[derive(Debug, Default)]
struct Watch {
    wait: Cell<Wait>,
    pieces: Cell<u64>,
}

thread_local! {
    /// That of the stream whose task runs.
    static CURRENT: RefCell<Option<Rc<Watch>>> = const { RefCell::new(None) };
}

/// An answer's body, which keeps its connection busy until it has been written.
#[derive(Debug)]
pub(super) struct Held {
    body: AnswerBody,
    /// What has come of the body and has not been handed out.
    rest: Bytes,
    /// In HTTP/2 only.
    watch: Option<Rc<Watch>>,
    _busy: Busy,
}

impl Held {
    pub(super) fn new(body: AnswerBody, busy: Busy) -> Self {
        let watch = CURRENT.with_borrow(Clone::clone);
        if let Some(watch) = &watch {
            watch.handed_out();
        }
        Self {
            body,
            rest: Bytes::new(),
            watch,
            _busy: busy,
        }
    }

    /// The next piece, which is as large as it comes where nobody watches.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) if self.watch.is_some() => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let polled = this.poll_piece(cx);
        if let Some(watch) = &this.watch {
            match polled {
                Poll::Pending => watch.wait.set(Wait::Us),
                Poll::Ready(_) => watch.handed_out(),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() {
            self.body.size_hint()
        } else {
            SizeHint::default()
        }
    }
}

impl Watch {
    fn handed_out(&self) {
        let piece = self.pieces.get() + 1;
        self.pieces.set(piece);
        self.wait.set(Wait::Client { piece });
    }
}

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(Watched {
            task: Box::pin(task),
            watch: Rc::default(),
            stall: self.stall,
            alarm: None,
        });
    }
}

/// A stream's task with its clock.
struct Watched<F> {
    task: Pin<Box<F>>,
    watch: Rc<Watch>,
    stall: Duration,
    /// The piece that is waited for, and until when.
    alarm: Option<(u64, Pin<Box<Sleep>>)>,
}

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let before = CURRENT.replace(Some(Rc::clone(&this.watch)));
        let polled = this.task.as_mut().poll(cx);
        CURRENT.set(before);
        if polled.is_ready() {
            return Poll::Ready(());
        }
        let Wait::Client { piece } = this.watch.wait.get() else {
            this.alarm = None;
            return Poll::Pending;
        };
        let until = Instant::now() + this.stall;
        match &mut this.alarm {
            Some((waited, alarm)) if *waited != piece => {
                *waited = piece;
                alarm.as_mut().reset(until);
            }
            Some(_) => {}
            none => *none = Some((piece, Box::pin(tokio::time::sleep_until(until)))),
        }
        let Some((_, alarm)) = &mut this.alarm else {
            return Poll::Pending;
        };
        // Dropping the task resets its stream.
        alarm.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task that asks for one more piece whenever it is told so.
    fn watched(pieces: tokio::sync::mpsc::UnboundedReceiver<bool>, stall: u64) -> Watched<impl Future<Output = ()>> {
        let mut pieces = pieces;
        let task = async move {
            let watch = CURRENT.with_borrow(Clone::clone).unwrap();
            while let Some(ready) = pieces.recv().await {
                if ready {
                    watch.handed_out();
                } else {
                    watch.wait.set(Wait::Us);
                }
            }
            std::future::pending::<()>().await;
        };
        Watched {
            task: Box::pin(task),
            watch: Rc::default(),
            stall: Duration::from_secs(stall),
            alarm: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_given_up_when_its_client_takes_nothing() {
        let (send, pieces) = tokio::sync::mpsc::unbounded_channel();
        let start = Instant::now();
        let talk = async {
            for ready in [false, true, true, false, true] {
                tokio::time::sleep(Duration::from_secs(9)).await;
                send.send(ready).unwrap();
            }
            // Nothing more is asked for.
        };
        tokio::join!(watched(pieces, 10), talk);
        assert_eq!(start.elapsed().as_secs(), 5 * 9 + 10);
        assert!(
            CURRENT.with_borrow(Option::is_none),
            "outside of a task there is no stream"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_us_waits() {
        let (send, pieces) = tokio::sync::mpsc::unbounded_channel();
        send.send(true).unwrap();
        send.send(false).unwrap();
        let waited = tokio::time::timeout(Duration::from_secs(1000), watched(pieces, 10)).await;
        assert!(waited.is_err());
    }
}
