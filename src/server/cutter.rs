//! Where HTTP/2 frames begin in a stream of bytes, however it is cut.

/// Bytes of a frame's head (RFC 9113, 4.1).
const HEAD: usize = 9;

/// Most bytes of a frame that are looked at: the head, and a `GOAWAY`'s last stream and code.
const MOST: usize = HEAD + 8;

/// Frame types (RFC 9113, 6).
pub(super) mod kind {
    pub(in crate::server) const DATA: u8 = 0;
    pub(in crate::server) const HEADERS: u8 = 1;
    pub(in crate::server) const RST_STREAM: u8 = 3;
    pub(in crate::server) const GOAWAY: u8 = 7;
    pub(in crate::server) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::server) const CONTINUATION: u8 = 9;
}

/// The frames of one direction.
#[derive(Debug)]
pub(super) struct Cutter {
    /// What has come of the present frame's beginning.
    begun: [u8; MOST],
    known: usize,
    /// Bytes of its payload, or of the preface, that are still to come and are not looked at.
    skip: usize,
}

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of its payload.
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// The error code of a `RST_STREAM` or a `GOAWAY` (RFC 9113, 7); 0 in any other.
    pub(super) code: u32,
}

impl Cutter {
    /// Begins behind so many bytes that are no frames.
    pub(super) fn after(skip: usize) -> Self {
        Self {
            begun: [0; MOST],
            known: 0,
            skip,
        }
    }

    /// The next frame whose beginning is whole within these bytes, which are behind it then.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        *bytes = bytes.get(skipped..).unwrap_or_default();
        loop {
            let wanted = self.wanted();
            if self.known == wanted {
                let frame = self.frame();
                self.skip = frame.length.saturating_sub(wanted - HEAD);
                self.known = 0;
                return Some(frame);
            }
            if bytes.is_empty() {
                return None;
            }
            let room = self.begun.get_mut(self.known..wanted).unwrap_or_default();
            let count = room.len().min(bytes.len());
            let (now, rest) = bytes.split_at(count);
            for (to, from) in room.iter_mut().zip(now) {
                *to = *from;
            }
            self.known += count;
            *bytes = rest;
        }
    }

    /// How many bytes of the present frame are looked at, as far as that is known.
    fn wanted(&self) -> usize {
        if self.known < HEAD {
            return HEAD;
        }
        let frame = self.frame();
        let more = match frame.kind {
            kind::RST_STREAM => 4,
            kind::GOAWAY => 8,
            _ => 0,
        };
        HEAD + frame.length.min(more)
    }

    fn frame(&self) -> Frame {
        let [a, b, c, kind, flags, d, e, f, g, payload @ ..] = self.begun;
        let [p, q, r, s, t, u, v, w] = payload;
        Frame {
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind,
            flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
            code: match kind {
                kind::RST_STREAM => u32::from_be_bytes([p, q, r, s]),
                kind::GOAWAY => u32::from_be_bytes([t, u, v, w]),
                _ => 0,
            },
        }
    }

    /// Whether the last frame that was given has come to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.skip == 0
    }

    /// Whether everything up to here was whole frames.
    #[cfg(test)]
    pub(super) fn is_between(&self) -> bool {
        (self.known, self.skip) == (0, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let [.., a, b, c] = payload.len().to_be_bytes();
        let head = [&[a, b, c, kind, 5][..], &stream.to_be_bytes()].concat();
        [head, payload.to_vec()].concat()
    }

    #[test]
    fn frames_are_found_however_their_bytes_come() {
        let mut bytes = b"preface".to_vec();
        bytes.extend(frame(kind::HEADERS, 1, &[7; 300]));
        bytes.extend(frame(kind::RST_STREAM, 0x8000_0003, &[0, 0, 1, 8]));
        bytes.extend(frame(kind::GOAWAY, 0, &[0, 0, 0, 5, 0, 0, 0, 1, b'w', b'h', b'y']));
        bytes.extend(frame(kind::DATA, 5, &[]));
        bytes.extend(frame(kind::RST_STREAM, 7, &[]));
        bytes.extend(frame(kind::DATA, 9, &[1; 20_000]));
        let expected = [
            (kind::HEADERS, 1, 300, 0),
            (kind::RST_STREAM, 3, 4, 0x0108),
            (kind::GOAWAY, 0, 11, 1),
            (kind::DATA, 5, 0, 0),
            (kind::DATA, 9, 20_000, 0),
        ];
        for piece in [1, 2, 8, 9, 10, 13, 17, 18, 1000, bytes.len()] {
            let (mut cutter, mut found) = (Cutter::after(7), Vec::new());
            for mut part in bytes.chunks(piece) {
                while let Some(frame) = cutter.next(&mut part) {
                    assert_eq!(frame.flags, 5);
                    found.push(frame);
                }
            }
            assert!(cutter.is_between(), "{piece}");
            // One that is too short for its code is found all the same; what code it has is nothing that counts.
            let odd = found.remove(4);
            assert_eq!((odd.kind, odd.stream, odd.length), (kind::RST_STREAM, 7, 0));
            let found: Vec<_> = found
                .iter()
                .map(|one| (one.kind, one.stream, one.length, one.code))
                .collect();
            assert_eq!(found, expected, "{piece}");
        }
    }
}
