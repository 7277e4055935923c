//! A client's connection that does not wait for ever.
//!
//! Hyper's own timer knows the head of a request only. Here every state has its limit: a connection that says nothing,
//! a head that does not end, a pause between requests, an answer that is not read. Bodies have their own
//! ([`crate::edge::payload`]). Timers are lazy: one is armed when a read finds nothing, and looks at the clock again
//! when it rings, so that a busy connection never touches it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::frames::Frames;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the connection's start, or from a head's first byte, to the head's end.
    pub head: Duration,
    /// Between an answer and the next request.
    pub idle: Duration,
    /// While it does not read what is written, or reads it slower than [`LEAST_RATE`].
    pub stall: Duration,
}

/// How fast an answer must be read, in bytes a second, for the time that it takes to count as none lost: a client that reads
/// a little now and then is as slow as one that reads nothing.
const LEAST_RATE: u64 = 1024;

/// Most bytes of a head that are kept to look for a second framing.
const MAX_KEPT: usize = 128 * 1024;

/// Most bytes of room for a head that an idle connection holds on to.
const MAX_IDLE_KEPT: usize = 8 * 1024;

/// Says what to answer to a head that cannot be read, given the status that hyper chose: the bytes of a whole answer.
pub(super) type Refuse = Box<dyn Fn(u16) -> Vec<u8>>;

/// What a connection is doing, shared between its bytes and its requests.
pub(super) struct Doings {
    /// Requests being answered.
    busy: Cell<usize>,
    /// Whether any request has come yet.
    any: Cell<bool>,
    /// When the present wait began; none until somebody has to wait in earnest, so that a busy connection never asks for
    /// the time.
    since: Cell<Option<Instant>>,
    /// Wakes the connection. When it rings, whatever the wait is by then, the clock is looked at.
    alarm: RefCell<Option<Pin<Box<Sleep>>>>,
    /// Bytes of a next head have come.
    head_begun: Cell<bool>,
    /// The bytes of the head, as they came.
    head: RefCell<Vec<u8>>,
    /// Who looked for more while a request was being answered, and has to look at the clock when it is over.
    waiting: RefCell<Option<Waker>>,
    /// It sent more HTTP/2 frames than it may.
    flooded: Cell<bool>,
}

impl fmt::Debug for Doings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doings")
            .field("busy", &self.busy)
            .finish_non_exhaustive()
    }
}

/// A request being answered; over when dropped.
#[derive(Debug)]
pub(super) struct Busy(Rc<Doings>);

impl Doings {
    /// A fresh connection.
    #[must_use]
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            busy: Cell::new(0),
            any: Cell::new(false),
            since: Cell::new(Some(Instant::now())),
            alarm: RefCell::default(),
            head_begun: Cell::new(false),
            head: RefCell::default(),
            waiting: RefCell::default(),
            flooded: Cell::new(false),
        })
    }

    /// Whether the connection was closed because of the frames that it sent.
    pub(super) fn flooded(&self) -> bool {
        self.flooded.get()
    }

    /// A request's head is complete.
    #[must_use]
    pub(super) fn begin(self: &Rc<Self>) -> Busy {
        self.busy.set(self.busy.get() + 1);
        self.any.set(true);
        self.head_begun.set(false);
        Busy(Rc::clone(self))
    }

    /// Whether the body of a request with a `Transfer-Encoding` may have another framing too: a `Content-Length`, which hyper
    /// drops beside it (RFC 9112, 6.1). Looks at the head as it came. The head of a request that was sent ahead of an answer
    /// is not known; then nothing is sure either.
    #[must_use]
    pub(super) fn doubts_framing(&self, method: &str) -> bool {
        let kept = self.head.borrow();
        let start = kept.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
        let kept = kept.get(start..).unwrap_or_default();
        let end = kept
            .windows(2)
            .zip(kept.windows(4).map(Some).chain(std::iter::repeat(None)))
            .position(|(two, four)| two == b"\n\n" || four == Some(b"\r\n\r\n"));
        let (Some(head), true) = (end.and_then(|end| kept.get(..end)), kept.starts_with(method.as_bytes())) else {
            return true;
        };
        let name = b"\ncontent-length";
        head.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name))
    }

    /// The head has been looked at.
    pub(super) fn forget_head(&self) {
        let mut head = self.head.borrow_mut();
        if head.capacity() > MAX_IDLE_KEPT {
            *head = Vec::new();
        }
        head.clear();
    }

    /// Bytes came, in HTTP/1: heads are told from pauses.
    fn heard(&self, bytes: &[u8]) {
        if self.busy.get() > 0 {
            return;
        }
        if !self.head_begun.replace(true) {
            self.since.set(None);
        }
        let mut head = self.head.borrow_mut();
        let room = MAX_KEPT.saturating_sub(head.len());
        head.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
    }

    /// When a client that says nothing more is given up; never while it waits for us.
    fn deadline(&self, patience: Patience) -> Option<Instant> {
        if self.busy.get() > 0 {
            return None;
        }
        let within = if self.any.get() && !self.head_begun.get() {
            patience.idle
        } else {
            patience.head
        };
        let since = self.since.get().unwrap_or_else(Instant::now);
        self.since.set(Some(since));
        Some(since + within)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let doings = &self.0;
        doings.busy.set(doings.busy.get().saturating_sub(1));
        doings.since.set(None);
        // While an alarm is set, it is enough to look when it rings; the connection mostly looks at once anyway.
        if doings.alarm.borrow().as_ref().is_some_and(|alarm| !alarm.is_elapsed()) {
            return;
        }
        if let Some(waiting) = doings.waiting.borrow_mut().take() {
            waiting.wake();
        }
    }
}

/// The connection.
pub(super) struct Patient<T> {
    io: T,
    /// Read ahead to tell the protocols apart; comes first.
    ahead: Vec<u8>,
    taken: usize,
    doings: Rc<Doings>,
    patience: Patience,
    writing: Option<Pin<Box<Sleep>>>,
    /// Since when nothing could be written.
    blocked: Option<Instant>,
    /// How long that has been in all, less the time that what was written meanwhile may take.
    lost: Duration,
    /// Answers heads that hyper cannot read, instead of hyper.
    refuse: Option<Refuse>,
    /// What is left to write of such an answer.
    refusal: VecDeque<u8>,
    /// In HTTP/2 only.
    frames: Option<Frames>,
}

impl<T> fmt::Debug for Patient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient")
            .field("doings", &self.doings)
            .finish_non_exhaustive()
    }
}

impl<T> Patient<T> {
    /// Watches over `io`, of which `ahead` has been read already.
    pub(super) fn new(io: T, ahead: Vec<u8>, doings: Rc<Doings>, patience: Patience) -> Self {
        Self {
            io,
            ahead,
            taken: 0,
            doings,
            patience,
            writing: None,
            blocked: None,
            lost: Duration::ZERO,
            refuse: None,
            refusal: VecDeque::new(),
            frames: None,
        }
    }

    /// Has heads that hyper cannot read answered by `refuse`.
    #[must_use]
    pub(super) fn refusing(mut self, refuse: Refuse) -> Self {
        self.refuse = Some(refuse);
        self
    }

    /// Speaks HTTP/2, whose frames are counted.
    #[must_use]
    pub(super) fn multiplexed(mut self, frames: Frames) -> Self {
        self.frames = Some(frames);
        self
    }

    /// Whether these bytes are hyper's own answer, which gives way to ours. It answers a head that it cannot read with an
    /// empty body and without asking anybody; every answer of the gateway names its request, and a head comes alone.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        if self.doings.busy.get() > 0 || self.refuse.is_none() {
            return false;
        }
        let Some(mut status) = hypers_own(bytes) else {
            return false;
        };
        if status == 431 && !self.doings.head.borrow().contains(&b'\n') {
            // All that came was the beginning of one line, which is the target's.
            status = 414;
        }
        if let Some(refuse) = self.refuse.take() {
            self.refusal.extend(refuse(status));
        }
        true
    }

    /// Pending until the deadline of the present state; then an error.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let Some(deadline) = self.doings.deadline(self.patience) else {
                *self.doings.waiting.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let mut alarm = self.doings.alarm.borrow_mut();
            let timer = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            // An older, earlier alarm is left as it is: when it rings, the clock is looked at again.
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(deadline);
        }
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let blocked = *self.blocked.get_or_insert_with(Instant::now);
        let until = blocked + self.patience.stall.saturating_sub(self.lost);
        let timer = self
            .writing
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// Counts what was written, and the time that it could not be.
    fn written<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
        count: fn(&R) -> usize,
    ) -> Poll<io::Result<R>> {
        let Poll::Ready(result) = written else {
            return self.poll_stall(cx).map(Err);
        };
        if let Some(blocked) = self.blocked.take() {
            self.lost += blocked.elapsed();
            self.writing = None;
        }
        if !self.lost.is_zero()
            && let Ok(written) = &result
        {
            let may_take = (count(written) as u64).saturating_mul(1_000_000) / LEAST_RATE;
            self.lost = self.lost.saturating_sub(Duration::from_micros(may_take));
        }
        Poll::Ready(result)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.taken < this.ahead.len() {
            let rest = this.ahead.get(this.taken..).unwrap_or_default();
            let now = rest.get(..rest.len().min(buffer.remaining())).unwrap_or_default();
            buffer.put_slice(now);
            this.taken += now.len();
            if this.taken == this.ahead.len() {
                this.ahead = Vec::new();
                this.taken = 0;
            }
        } else {
            match Pin::new(&mut this.io).poll_read(cx, buffer) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => return this.poll_patience(cx).map(Err),
            }
        }
        let came = buffer.filled().get(before..).unwrap_or_default();
        if let Some(frames) = &mut this.frames {
            if frames.came(came).is_err() {
                this.doings.flooded.set(true);
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        } else if !came.is_empty() {
            this.doings.heard(came);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> Patient<T> {
    /// Writes what is left of an answer of our own.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let (bytes, _) = self.refusal.as_slices();
            let written = Pin::new(&mut self.io).poll_write(cx, bytes);
            let count = ready!(self.written(cx, written, |count| *count))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.refusal.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

/// The status of an answer that has hyper's own form: a head alone, of known fields, without a request's name.
fn hypers_own(bytes: &[u8]) -> Option<u16> {
    // Most answers have a body, and are told by their last bytes.
    let head = std::str::from_utf8(bytes.strip_suffix(b"\r\n\r\n")?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let own = |line: &str| {
        let name = line.split(':').next().unwrap_or_default();
        matches!(name, "connection" | "content-length" | "date")
    };
    (status >= 400 && lines.all(own)).then_some(status)
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.replaces(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        if let (Some(frames), Poll::Ready(Ok(count))) = (&mut this.frames, &written) {
            frames.wrote(bytes.get(..*count).unwrap_or_default());
        }
        this.written(cx, written, |count| *count)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let [only] = parts
            && this.replaces(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, parts);
        if let (Some(frames), Poll::Ready(Ok(count))) = (&mut this.frames, &written) {
            let mut rest = *count;
            for part in parts {
                frames.wrote(part.get(..rest.min(part.len())).unwrap_or_default());
                rest = rest.saturating_sub(part.len());
            }
        }
        this.written(cx, written, |count| *count)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(cx))?;
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.written(cx, flushed, |()| 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(cx))?;
        let shut = Pin::new(&mut this.io).poll_shutdown(cx);
        this.written(cx, shut, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        stall: Duration::from_secs(60),
    };

    fn pair(doings: &Rc<Doings>) -> (Patient<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        (Patient::new(ours, Vec::new(), Rc::clone(doings), PATIENCE), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_given_up_when_a_head_would_be() {
        let start = Instant::now();
        let (mut io, _theirs) = pair(&Doings::new());
        let fault = io.read_u8().await.unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_do_not_stretch_a_heads_time() {
        let start = Instant::now();
        let (mut io, mut theirs) = pair(&Doings::new());
        for _ in 0..3 {
            let trickle = async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                theirs.write_u8(b'G').await.unwrap();
            };
            let (read, ()) = tokio::join!(io.read_u8(), trickle);
            read.unwrap();
        }
        assert!(io.read_u8().await.is_err());
        assert_eq!(
            start.elapsed().as_secs(),
            13,
            "ten seconds from the first byte, which came after three"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_a_client_may_be_idle_and_while_it_waits_for_us_for_ever() {
        let doings = Doings::new();
        let (mut io, mut theirs) = pair(&doings);
        theirs.write_u8(b'G').await.unwrap();
        io.read_u8().await.unwrap();
        let busy = doings.begin();
        let waited = tokio::time::timeout(Duration::from_secs(1000), io.read_u8()).await;
        assert!(waited.is_err(), "the client waits for us");
        drop(busy);
        let start = Instant::now();
        assert!(io.read_u8().await.is_err());
        assert_eq!(start.elapsed().as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_rang_while_a_request_was_answered_is_set_again_after_it() {
        let doings = Doings::new();
        let (mut io, mut theirs) = pair(&doings);
        assert!(
            tokio::time::timeout(Duration::from_secs(1), io.read_u8())
                .await
                .is_err(),
            "now an alarm is set"
        );
        theirs.write_u8(b'G').await.unwrap();
        io.read_u8().await.unwrap();
        let busy = doings.begin();
        let start = Instant::now();
        let over = async {
            // The alarm rings meanwhile, and finds a client that waits for us.
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(busy);
        };
        let (read, ()) = tokio::join!(io.read_u8(), over);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 175);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_is_given_up() {
        let start = Instant::now();
        let (mut io, _theirs) = pair(&Doings::new());
        let fault = io.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    /// Reads so many bytes each ten seconds, of an answer that never ends; tells when it was given up.
    async fn given_up_after(bytes: usize, within: u64) -> Option<u64> {
        let start = Instant::now();
        let (mut io, mut theirs) = pair(&Doings::new());
        let reading = async {
            let mut buffer = vec![0; bytes];
            loop {
                tokio::time::sleep(Duration::from_secs(10)).await;
                if theirs.read_exact(&mut buffer).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let writing = async {
            loop {
                if io.write_all(&[0; 64]).await.is_err() {
                    return start.elapsed().as_secs();
                }
            }
        };
        tokio::select! {
            () = reading => None,
            given_up = writing => Some(given_up),
            () = tokio::time::sleep(Duration::from_secs(within)) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_trickles_is_given_up_like_one_that_is_not_read() {
        assert_eq!(given_up_after(1, 10_000).await, Some(60));
        let half = given_up_after(5120, 10_000).await.unwrap();
        assert!(
            (110..=120).contains(&half),
            "at half the rate about twice as long: {half}"
        );
        assert_eq!(
            given_up_after(10_240, 10_000).await,
            None,
            "at the least rate it goes on"
        );
    }

    #[tokio::test]
    async fn hypers_own_answer_gives_way_to_ours_and_no_other_does() {
        let (io, mut theirs) = pair(&Doings::new());
        let mut io = io.refusing(Box::new(|status| format!("ours {status}").into_bytes()));
        let own = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        io.write_all(own).await.unwrap();
        io.shutdown().await.unwrap();
        let mut all = String::new();
        theirs.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "ours 400");
        for other in [
            "HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
            "data",
        ] {
            assert_eq!(hypers_own(other.as_bytes()), None, "{other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_ahead_comes_first_and_a_second_framing_is_seen() {
        let doings = Doings::new();
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut io = Patient::new(
            ours,
            b"POST / HTTP/1.1\r\ncontent-".to_vec(),
            Rc::clone(&doings),
            PATIENCE,
        );
        theirs.write_all(b"LENGTH: 4\r\n").await.unwrap();
        drop(theirs);
        let mut all = Vec::new();
        io.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"POST / HTTP/1.1\r\ncontent-LENGTH: 4\r\n");
        assert!(doings.doubts_framing("POST"), "a head without an end");
        for (head, doubted) in [
            ("POST / HTTP/1.1\r\ncontent-LENGTH: 4\r\n\r\n", true),
            ("POST / HTTP/1.1\nContent-Length: 4\n\n", true),
            ("\r\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\n5\r\n\nContent-Length: 4", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\n\r\n", true),
            ("", true),
        ] {
            doings.forget_head();
            doings.heard(head.as_bytes());
            assert_eq!(doings.doubts_framing("POST"), doubted, "{head}");
        }
    }
}
