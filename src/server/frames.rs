//! What a client spends on HTTP/2 frames that ask for nothing.
//!
//! A request costs the client a round through the policy, the rate limits and the audit log. `PING`, `SETTINGS`, `PRIORITY`,
//! `RST_STREAM` and frames that nobody knows cost it nothing, and each makes work for us (CVE-2019-9512, -9513, -9515,
//! CVE-2023-44487). The library under us limits what they may hold in memory; here is what they may cost in time: a
//! connection has so many of them in each [`PERIOD`], and is closed when it has spent them.

use std::cell::RefCell;
use std::mem::replace;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

use super::cutter::{Cutter, kind};
use super::heads::Heads;

/// How long an allowance lasts.
const PERIOD: Duration = Duration::from_secs(10);

/// Frames that ask for nothing, in each period.
const MAX_IDLE: u32 = 1_000;

/// `WINDOW_UPDATE` frames in each period, over those that what was written explains.
const MAX_WINDOWS: u64 = 1_000;

/// Bytes written that explain one `WINDOW_UPDATE`. A client with small windows sends two for each that it has filled.
const BYTES_PER_WINDOW: u64 = 64;

/// Of a `HEADERS` or `CONTINUATION` frame: no more of the head follows (RFC 9113, 6.2).
const END_HEADERS: u8 = 4;

/// The frames of one connection, as they come in and go out.
#[derive(Debug)]
pub(super) struct Frames {
    coming: Cutter,
    going: Cutter,
    heads: Rc<RefCell<Heads>>,
    /// A head ends with the frame that is coming.
    head_ends: bool,
    idle: u32,
    windows: u64,
    /// Bytes written in this period.
    written: u64,
    /// When the period began.
    since: Instant,
}

/// More frames came than any client has a use for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;

impl Frames {
    /// A connection whose preface, of so many bytes, is still to be read.
    pub(super) fn after(preface: usize, heads: Rc<RefCell<Heads>>) -> Self {
        Self {
            coming: Cutter::after(preface),
            going: Cutter::after(0),
            heads,
            head_ends: false,
            idle: 0,
            windows: 0,
            written: 0,
            since: Instant::now(),
        }
    }

    /// Counts the frames that begin in these bytes.
    pub(super) fn came(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        while let Some(frame) = self.coming.next(&mut bytes) {
            self.end_head();
            if frame.kind == kind::HEADERS {
                self.heads.borrow_mut().begun(frame.stream);
            }
            let of_head = matches!(frame.kind, kind::HEADERS | kind::CONTINUATION);
            self.head_ends = of_head && frame.flags & END_HEADERS != 0;
            self.count(frame.kind)?;
        }
        if self.coming.is_whole() {
            self.end_head();
        }
        Ok(())
    }

    /// The last frame is whole: a head that ends with it is, too.
    fn end_head(&mut self) {
        if replace(&mut self.head_ends, false) {
            self.heads.borrow_mut().whole();
        }
    }

    /// These bytes were written.
    pub(super) fn wrote(&mut self, mut bytes: &[u8]) {
        self.written += bytes.len() as u64;
        while let Some(frame) = self.going.next(&mut bytes) {
            self.heads.borrow_mut().answered(&frame);
        }
    }

    fn count(&mut self, kind: u8) -> Result<(), Flood> {
        match kind {
            // The library has its own budget for empty and tiny ones; a request is counted as one.
            kind::DATA | kind::HEADERS => return Ok(()),
            kind::WINDOW_UPDATE => self.windows += 1,
            _ => self.idle += 1,
        }
        if self.idle <= MAX_IDLE && self.windows <= MAX_WINDOWS + self.written / BYTES_PER_WINDOW {
            return Ok(());
        }
        // Only now is it worth to know the time.
        if self.since.elapsed() < PERIOD {
            return Err(Flood);
        }
        (self.idle, self.windows, self.written, self.since) = (0, 0, 0, Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(preface: usize) -> Frames {
        Frames::after(preface, Rc::default())
    }

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let [.., a, b, c] = payload.to_be_bytes();
        let mut frame = vec![a, b, c, kind, 0, 0, 0, 0, 1];
        frame.resize(9 + payload, kind);
        frame
    }

    /// How many of these frames a fresh connection may send, up to `most`.
    fn taken(frame: &[u8], most: u32) -> u32 {
        let mut frames = fresh(0);
        (0..most).find(|_| frames.came(frame).is_err()).unwrap_or(most)
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_each_kind_ends_and_requests_are_none() {
        for (kind, most) in [
            (0, 5_000),
            (1, 5_000),
            (2, 1_000),
            (3, 1_000),
            (4, 1_000),
            (6, 1_000),
            (8, 1_000),
            (99, 1_000),
        ] {
            assert_eq!(taken(&frame(kind, 8), 5_000), most, "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_allowance_comes_back_with_time_and_with_what_is_read() {
        let mut frames = fresh(0);
        for _ in 0..20 {
            for _ in 0..MAX_IDLE {
                assert_eq!(frames.came(&frame(6, 8)), Ok(()));
            }
            tokio::time::advance(PERIOD).await;
        }
        for _ in 0..100_000 {
            frames.wrote(&[0; 100]);
            assert_eq!(frames.came(&frame(8, 4)), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_told_apart_however_their_bytes_come() {
        let mut stream = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let preface = stream.len();
        for (kind, payload) in [(4, 18), (1, 300), (0, 0), (0, 70_000), (6, 8), (8, 4)] {
            stream.extend(frame(kind, payload));
        }
        for piece in [1, 2, 7, 8, 9, 10, 24, 1000, stream.len()] {
            let mut frames = fresh(preface);
            for bytes in stream.chunks(piece) {
                assert_eq!(frames.came(bytes), Ok(()));
            }
            assert_eq!(
                (frames.idle, frames.windows, frames.coming.is_between()),
                (2, 1, true),
                "{piece}"
            );
        }
    }
}
