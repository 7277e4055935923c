//! How far a long reading is, on standard error, and only when a person looks at it.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

/// How often it is written.
const EVERY: Duration = Duration::from_millis(200);

/// Bytes between two looks at the clock.
const STEP: u64 = 1 << 20;

/// Bytes read of bytes in all.
pub(super) struct Progress {
    shown: bool,
    total: u64,
    done: u64,
    next: u64,
    written: Instant,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        Self {
            shown: total > 0 && stderr().is_terminal(),
            total,
            done: 0,
            next: STEP,
            written: Instant::now(),
        }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.done += u64::try_from(bytes).unwrap_or(u64::MAX);
        if !self.shown || self.done < self.next {
            return;
        }
        self.next = self.done + STEP;
        if self.written.elapsed() >= EVERY {
            self.written = Instant::now();
            let percent = self.done.saturating_mul(100) / self.total;
            // What cannot be shown is not missed.
            let _ = write!(stderr(), "\r{:>3} % of {} MiB", percent.min(100), self.total >> 20);
        }
    }

    /// Leaves the line as it was.
    pub(super) fn done(&self) {
        if self.shown {
            let _ = write!(stderr(), "\r{:40}\r", "");
        }
    }
}
