//! Writes of one round, gathered and made one after the other at its end.
//!
//! Under load a worker finds many sockets ready at a time. Were each answer written as soon as it is made, its reader would
//! wake up, take it, and fall asleep again before the next one comes. Made together, the writes wake each reader once, and
//! the same code of the kernel runs many times in a row. A round is what is ready when its first write comes: the worker
//! does that, then the writes, and only then looks at its sockets again.
//!
//! To its user a connection is what it was, with a little more room in the socket: a write that was taken is on its way and
//! has not arrived, and a fault of it is told at the next write or flush.

use socket2::SockRef;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::{swap, take};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

/// Most that is gathered of one connection, bytes. More is written at once: to copy it would cost more than a wake-up.
const MOST: usize = 16 * 1024;

/// Most buffers that a thread keeps for its next rounds, each of up to [`MOST`] bytes.
const MAX_SPARE: usize = 64;

/// A TCP connection whose small writes are made at the end of the worker's round.
#[derive(Debug)]
pub struct Gathered {
    read: OwnedReadHalf,
    sink: Rc<Sink>,
}

#[derive(Debug)]
struct Sink {
    write: OwnedWriteHalf,
    held: RefCell<Held>,
}

/// What was taken and not written.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    /// Whether the round will write it. If not, and there are bytes, the socket is full.
    listed: bool,
    /// Whom to tell when the round could not write all of it.
    owner: Option<Waker>,
    /// Why it could not, until it was told.
    fault: Option<io::Error>,
}

/// What a thread writes at the end of its round.
#[derive(Default)]
struct Round {
    sinks: Vec<Rc<Sink>>,
    spare: Vec<Vec<u8>>,
    /// The task that writes, and what wakes it once it has run.
    writing: Option<(JoinHandle<()>, Option<Waker>)>,
}

thread_local! {
    static ROUND: RefCell<Round> = RefCell::default();
}

impl Gathered {
    /// Over a connection of this thread's runtime.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        let sink = Rc::new(Sink {
            write,
            held: RefCell::default(),
        });
        Self { read, sink }
    }
}

impl Round {
    /// Has `sink` written at the end of the round. Gives it a buffer.
    fn list(&mut self, sink: &Rc<Sink>) -> Vec<u8> {
        let first = self.sinks.is_empty();
        self.sinks.push(Rc::clone(sink));
        match &self.writing {
            // That of a runtime which has ended is no more.
            Some((task, waker)) if !task.is_finished() => {
                if first && let Some(waker) = waker {
                    waker.wake_by_ref();
                }
            }
            _ => self.writing = Some((tokio::task::spawn_local(write_rounds()), None)),
        }
        self.spare.pop().unwrap_or_default()
    }

    /// Takes what is to be written, and remembers whom to wake for the next round.
    fn begin(&mut self, sinks: &mut Vec<Rc<Sink>>, waker: &Waker) {
        swap(sinks, &mut self.sinks);
        if let Some((_, known)) = &mut self.writing
            && !known.as_ref().is_some_and(|known| known.will_wake(waker))
        {
            *known = Some(waker.clone());
        }
    }

    fn keep(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < MAX_SPARE {
            self.spare.push(buffer);
        }
    }
}

/// The task that ends a thread's rounds. The first write of a round wakes it, and so it comes after all that was ready then.
async fn write_rounds() {
    let mut sinks = Vec::new();
    poll_fn(|cx| {
        ROUND.with_borrow_mut(|round| round.begin(&mut sinks, cx.waker()));
        for sink in sinks.drain(..) {
            if let Some(buffer) = sink.write_listed() {
                ROUND.with_borrow_mut(|round| round.keep(buffer));
            }
        }
        Poll::Pending
    })
    .await
}

impl Sink {
    /// Writes what the round has of it, and gives back the buffer if nothing is left in it.
    fn write_listed(&self) -> Option<Vec<u8>> {
        let held = &mut *self.held.borrow_mut();
        held.listed = false;
        if !held.bytes.is_empty() {
            match self.write.try_write(&held.bytes) {
                Ok(written) if written < held.bytes.len() => drop(held.bytes.drain(..written)),
                Ok(_) => held.bytes.clear(),
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => {}
                Err(fault) => {
                    held.bytes.clear();
                    held.fault = Some(fault);
                }
            }
            if (held.fault.is_some() || !held.bytes.is_empty())
                && let Some(owner) = &held.owner
            {
                owner.wake_by_ref();
            }
        }
        held.bytes.is_empty().then(|| take(&mut held.bytes))
    }

    /// Takes `parts` for the round, and says how many bytes that is; none if they do not fit, or others are before them that the
    /// socket would not take.
    fn hold(self: &Rc<Self>, parts: &[IoSlice<'_>], cx: &Context<'_>) -> Option<usize> {
        let held = &mut *self.held.borrow_mut();
        let waits = held.listed || held.bytes.is_empty();
        let count = parts.iter().map(|part| part.len()).sum();
        if !waits || held.fault.is_some() || held.bytes.len().saturating_add(count) > MOST {
            return None;
        }
        if !held.listed {
            held.listed = true;
            held.bytes = ROUND.with_borrow_mut(|round| round.list(self));
            if !held.owner.as_ref().is_some_and(|owner| owner.will_wake(cx.waker())) {
                held.owner = Some(cx.waker().clone());
            }
        }
        for part in parts {
            held.bytes.extend_from_slice(part);
        }
        Some(count)
    }

    /// Writes all that was taken, now.
    fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let held = &mut *self.held.borrow_mut();
        if let Some(fault) = held.fault.take() {
            return Poll::Ready(Err(fault));
        }
        while !held.bytes.is_empty() {
            let written = ready!(self.poll_write(&[IoSlice::new(&held.bytes)], cx))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            held.bytes.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&self, parts: &[IoSlice<'_>], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            match self.write.try_write_vectored(parts) {
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => {
                    ready!(self.write.as_ref().poll_write_ready(cx))?
                }
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for Gathered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().read).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(count) = self.sink.hold(parts, cx) {
            return Poll::Ready(Ok(count));
        }
        ready!(self.sink.poll_drain(cx))?;
        self.sink.poll_write(parts, cx)
    }

    // Who breaks off a TLS handshake has one try to say why, after what it had to say before.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.sink.held.borrow().listed {
            return Poll::Ready(Ok(()));
        }
        self.sink.poll_drain(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.sink.poll_drain(cx))?;
        let shut = SockRef::from(self.sink.write.as_ref()).shutdown(Shutdown::Write);
        Poll::Ready(match shut {
            Err(fault) if fault.kind() == ErrorKind::NotConnected => Ok(()),
            shut => shut,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::io::Read as _;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::yield_now;

    /// Runs as a worker does: on one thread, with a runtime of its own.
    fn work<T>(work: impl Future<Output = T>) -> T {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        runtime.unwrap().block_on(work)
    }

    async fn pair() -> (Gathered, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Gathered::new(ours), listener.accept().await.unwrap().0)
    }

    /// Bytes of which each says where it is, nearly.
    fn numbered(count: usize) -> Vec<u8> {
        (0..=250).cycle().take(count).collect()
    }

    /// What has come by now, without a look at the runtime's events.
    fn arrived(theirs: &mut std::net::TcpStream) -> Vec<u8> {
        let mut bytes = [0; 64];
        match theirs.read(&mut bytes) {
            Ok(count) => bytes[..count].to_vec(),
            Err(fault) => {
                assert_eq!(fault.kind(), ErrorKind::WouldBlock);
                Vec::new()
            }
        }
    }

    #[test]
    fn small_writes_are_made_at_the_end_of_the_round() {
        work(async {
            let (mut first, theirs) = pair().await;
            let (mut second, others) = pair().await;
            let (mut theirs, mut others) = (theirs.into_std().unwrap(), others.into_std().unwrap());
            for round in 0..3 {
                first.write_all(b"one ").await.unwrap();
                second.write_all(b"other").await.unwrap();
                first.write_all(b"answer").await.unwrap();
                first.flush().await.unwrap();
                assert_eq!(
                    (arrived(&mut theirs), arrived(&mut others)),
                    (vec![], vec![]),
                    "{round}"
                );
                yield_now().await;
                assert_eq!(arrived(&mut theirs), b"one answer", "{round}");
                assert_eq!(arrived(&mut others), b"other", "{round}");
            }
        });
    }

    #[test]
    fn what_was_taken_goes_out_although_the_connection_is_dropped() {
        work(async {
            let (mut ours, mut theirs) = pair().await;
            ours.write_all(b"last words").await.unwrap();
            drop(ours);
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"last words");
        });
    }

    #[test]
    fn an_end_comes_after_what_was_taken() {
        work(async {
            let (mut ours, theirs) = pair().await;
            let mut theirs = theirs.into_std().unwrap();
            ours.write_all(b"all of it").await.unwrap();
            ours.shutdown().await.unwrap();
            // At once: who shuts down may be the last task there is.
            assert_eq!(arrived(&mut theirs), b"all of it");
            assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
        });
    }

    #[test]
    fn a_fault_is_told_at_the_next_write() {
        work(async {
            let (mut ours, theirs) = pair().await;
            SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
            drop(theirs);
            ours.write_all(b"to nobody").await.unwrap();
            yield_now().await;
            let told = ours.write_all(b"more").await.unwrap_err().kind();
            assert!(
                matches!(told, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                "{told}"
            );
        });
    }

    /// As an HTTP connection does: answers, and waits for the next request. It flushes whenever it is woken.
    async fn answer(mut ours: Gathered, answer: &'static [u8]) {
        ours.write_all(answer).await.unwrap();
        let mut next = [0; 1];
        poll_fn(|cx| {
            let _ = Pin::new(&mut ours).poll_flush(cx)?;
            Pin::new(&mut ours).poll_read(cx, &mut ReadBuf::new(&mut next))
        })
        .await
        .unwrap();
    }

    #[test]
    fn what_a_full_socket_did_not_take_goes_out_when_there_is_room() {
        work(async {
            for room in [0, 1000] {
                let (ours, mut theirs) = pair().await;
                SockRef::from(ours.sink.write.as_ref())
                    .set_send_buffer_size(4096)
                    .unwrap();
                let mut before = 0;
                while let Ok(written) = ours.sink.write.try_write(&[b'.'; 512]) {
                    before += written;
                }
                let mut came = vec![0; before];
                theirs.read_exact(&mut came[..room]).await.unwrap();
                let waiting = tokio::task::spawn_local(answer(ours, &[b'!'; MOST]));
                // The answer is taken, and then the round cannot write it.
                yield_now().await;
                yield_now().await;
                came.resize(before + MOST, 0);
                let reading = theirs.read_exact(&mut came[room..]);
                let read = tokio::time::timeout(Duration::from_secs(60), reading).await;
                read.expect("the rest was forgotten").unwrap();
                assert!(came[..before].iter().all(|byte| *byte == b'.'), "{room}");
                assert!(came[before..].iter().all(|byte| *byte == b'!'), "{room}");
                theirs.write_all(b"?").await.unwrap();
                waiting.await.unwrap();
            }
        });
    }

    #[test]
    fn what_a_socket_took_in_part_is_not_written_twice() {
        work(async {
            let (mut ours, mut theirs) = pair().await;
            SockRef::from(ours.sink.write.as_ref())
                .set_send_buffer_size(4096)
                .unwrap();
            let mut sent = Vec::new();
            while ours.sink.held.borrow().bytes.is_empty() {
                let now: Vec<u8> = numbered(sent.len() + 3000).split_off(sent.len());
                ours.write_all(&now).await.unwrap();
                sent.extend(now);
                yield_now().await;
            }
            let waiting = tokio::task::spawn_local(answer(ours, b""));
            let mut came = vec![0; sent.len()];
            theirs.read_exact(&mut came).await.unwrap();
            assert!(came == sent);
            theirs.write_all(b"?").await.unwrap();
            waiting.await.unwrap();
        });
    }

    #[test]
    fn a_round_after_that_of_another_runtime() {
        for _ in 0..3 {
            work(async {
                let (mut ours, theirs) = pair().await;
                let mut theirs = theirs.into_std().unwrap();
                ours.write_all(b"here").await.unwrap();
                yield_now().await;
                assert_eq!(arrived(&mut theirs), b"here");
                // Never written: the runtime ends within the round.
                ours.write_all(b"there").await.unwrap();
            });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever the sizes, and however slow the reader: each byte comes once, in its place.
        #[test]
        fn bytes_keep_their_order(sizes in vec(prop_oneof![4 => 0..2000_usize, 2 => 0..40_000_usize, 1 => 0..200_000_usize], 1..24), flushes in any::<u32>()) {
            let all = numbered(sizes.iter().sum());
            let expected = all.clone();
            let came = work(async move {
                let (mut ours, mut theirs) = pair().await;
                SockRef::from(ours.sink.write.as_ref()).set_send_buffer_size(8192).unwrap();
                let writing = tokio::task::spawn_local(async move {
                    let mut rest = &all[..];
                    for (at, size) in sizes.into_iter().enumerate() {
                        let (now, later) = rest.split_at(size);
                        rest = later;
                        ours.write_all(now).await.unwrap();
                        if flushes & (1 << at) != 0 {
                            ours.flush().await.unwrap();
                            yield_now().await;
                        }
                    }
                    ours.shutdown().await.unwrap();
                });
                let mut came = Vec::new();
                let reading = theirs.read_to_end(&mut came);
                tokio::time::timeout(Duration::from_secs(60), reading).await.expect("the rest was forgotten").unwrap();
                writing.await.unwrap();
                came
            });
            prop_assert!(came == expected);
        }
    }
}
