//! What a client spends on HTTP/2 frames that ask for nothing.
//!
//! A request costs the client a round through the policy, the rate limits and the audit log. `PING`, `SETTINGS`, `PRIORITY`,
//! `RST_STREAM` and frames that nobody knows cost it nothing, and each makes work for us (CVE-2019-9512, -9513, -9515,
//! CVE-2023-44487). The library under us limits what they may hold in memory; here is what they may cost in time: a
//! connection has so many of them in each [`PERIOD`], and is closed when it has spent them.

use std::time::Duration;
use tokio::time::Instant;

/// How long an allowance lasts.
const PERIOD: Duration = Duration::from_secs(10);

/// Frames that ask for nothing, in each period.
const MAX_IDLE: u32 = 1_000;

/// `WINDOW_UPDATE` frames in each period, over those that what was written explains.
const MAX_WINDOWS: u64 = 1_000;

/// Bytes written that explain one `WINDOW_UPDATE`. A client with small windows sends two for each that it has filled.
const BYTES_PER_WINDOW: u64 = 64;

/// Bytes of a frame's head (RFC 9113, 4.1).
const HEAD: usize = 9;

/// Frame types that are counted otherwise than as idle (RFC 9113, 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const WINDOW_UPDATE: u8 = 8;
}

/// The frames of one connection, as they come in.
#[derive(Debug)]
pub(super) struct Frames {
    /// What has come of a frame's head.
    head: [u8; HEAD],
    known: usize,
    /// Bytes of the present frame's payload, or of the preface, that are still to come.
    skip: usize,
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
    pub(super) fn after(preface: usize) -> Self {
        Self {
            head: [0; HEAD],
            known: 0,
            skip: preface,
            idle: 0,
            windows: 0,
            written: 0,
            since: Instant::now(),
        }
    }

    /// Counts the frames that begin in these bytes.
    pub(super) fn came(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = self.head.get_mut(self.known..).unwrap_or_default();
            let count = wanted.len().min(bytes.len());
            let (now, rest) = bytes.split_at(count);
            for (to, from) in wanted.iter_mut().zip(now) {
                *to = *from;
            }
            self.known += count;
            bytes = rest;
            if self.known == HEAD {
                let [a, b, c, kind, ..] = self.head;
                self.known = 0;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.count(kind)?;
            }
        }
        Ok(())
    }

    /// So many bytes were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
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

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let [.., a, b, c] = payload.to_be_bytes();
        let mut frame = vec![a, b, c, kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD + payload, kind);
        frame
    }

    /// How many of these frames a fresh connection may send, up to `most`.
    fn taken(frame: &[u8], most: u32) -> u32 {
        let mut frames = Frames::after(0);
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
        let mut frames = Frames::after(0);
        for _ in 0..20 {
            for _ in 0..MAX_IDLE {
                assert_eq!(frames.came(&frame(6, 8)), Ok(()));
            }
            tokio::time::advance(PERIOD).await;
        }
        for _ in 0..100_000 {
            frames.wrote(100);
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
            let mut frames = Frames::after(preface);
            for bytes in stream.chunks(piece) {
                assert_eq!(frames.came(bytes), Ok(()));
            }
            assert_eq!(
                (frames.idle, frames.windows, frames.skip, frames.known),
                (2, 1, 0, 0),
                "{piece}"
            );
        }
    }
}
