//! The room for bodies that a step must hold whole: one for all requests together.
//!
//! A body may be large and come slowly, and an HTTP/2 connection brings many: without a bound for all of them, what one
//! may be is no bound for the memory that the gateway needs.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes may be held, and how many are.
#[derive(Debug)]
pub struct Room {
    most: u64,
    held: AtomicU64,
}

/// Room that is taken; given back when dropped.
#[derive(Debug)]
pub struct Taken {
    room: Arc<Room>,
    bytes: u64,
}

/// A body with its room.
struct Kept {
    body: Bytes,
    #[expect(dead_code, reason = "held for its drop")]
    taken: Taken,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(most: u64) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: AtomicU64::new(0),
        })
    }

    /// Nothing yet.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Taken {
        Taken {
            room: Arc::clone(self),
            bytes: 0,
        }
    }
}

impl Taken {
    /// Takes room for so many bytes more, if there is any.
    #[must_use]
    pub fn more(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let before = self.room.held.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.room.most;
        if fits {
            self.bytes += bytes;
        } else {
            self.room.held.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Holds the room for as long as there is a copy of the body.
    #[must_use]
    pub fn keep(self, body: Bytes) -> Bytes {
        if body.is_empty() {
            return body;
        }
        Bytes::from_owner(Kept { body, taken: self })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_while_a_copy_of_the_body_lives() {
        let room = Room::new(10);
        let mut first = room.begin();
        assert!(first.more(4) && first.more(2));
        let mut second = room.begin();
        assert!(second.more(4));
        assert!(!second.more(1), "one byte too many");
        let body = first.keep(Bytes::from_static(b"123456"));
        let copy = body.slice(2..3);
        drop((body, second));
        assert!(!room.begin().more(5), "a part of it is still there");
        drop(copy);
        assert!(room.begin().more(10));
        assert_eq!(room.held.load(Ordering::Relaxed), 0);
        assert!(!room.begin().more(usize::MAX));
    }
}
