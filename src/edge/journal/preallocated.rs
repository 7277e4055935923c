//! Blocks of the disk for lines that are not written yet.
//!
//! A write that was forwarded must have its line, also when the disk is full by the time that it is answered. So blocks are
//! allocated ahead of the end of the file, and while that cannot be done no request is taken.

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::File;
use std::io;

/// How many bytes are allocated ahead: a kilobyte, which is more than a line commonly takes, for each of 16,384 requests at once.
pub(super) const AHEAD: u64 = 16 << 20;

/// With fewer than this ahead more are asked for.
const LEAST: u64 = AHEAD / 2;

/// How far the file's blocks are allocated.
#[derive(Debug, Default)]
pub(super) struct Preallocated {
    /// Offset up to which lines surely fit.
    until: u64,
}

impl Preallocated {
    /// Allocates blocks behind the end of a file, which stays where it is.
    ///
    /// Where nothing can be allocated ahead (some network file systems, devices, pipes) nothing is asked for.
    ///
    /// # Errors
    /// There are none, as the file system says.
    pub(super) fn extend(&mut self, file: &File, end: u64) -> io::Result<()> {
        if self.until.saturating_sub(end) >= LEAST {
            return Ok(());
        }
        match fallocate(file, FallocateFlags::KEEP_SIZE, end, AHEAD) {
            Ok(()) => self.until = end.saturating_add(AHEAD),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODEV | Errno::SPIPE) => self.until = u64::MAX,
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    /// Gives back what was allocated behind the end of a file that is no longer written.
    pub(super) fn give_back(&mut self, file: &File, end: u64) {
        self.until = 0;
        // At worst the blocks stay until the file is removed.
        let _ = file.set_len(end);
    }
}
