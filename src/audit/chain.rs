//! How lines are chained: each carries the hash of the one before, so that none can be changed, removed or moved
//! without breaking all that follow.

use aws_lc_rs::digest::{SHA256, digest};

/// A SHA-256 in lower-case hexadecimal.
pub type Hash = [u8; 64];

/// What stands before the hash of a line.
pub const HASH_MEMBER: &[u8] = b",\"hash\":\"";

/// What stands before the hash of the line before.
pub const PREV_MEMBER: &[u8] = b",\"prev\":\"";

/// What stands before a line's number; every line begins with it.
pub const SEQ_MEMBER: &[u8] = b"{\"seq\":";

/// What the next line is chained to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of the last line; 0 before the first.
    pub seq: u64,
    /// Its hash; zeros before the first.
    pub hash: Hash,
}

/// Why a line is no link of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It does not have the form that this program writes.
    #[error("is no audit record")]
    Form,
    /// Its hash is another than its bytes have.
    #[error("was edited: its hash is not that of its content")]
    Edited,
}

/// What a line says of its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub seq: u64,
    /// The hash of the line before.
    pub prev: Hash,
    /// Its own.
    pub hash: Hash,
}

impl Link {
    /// Before the first line.
    pub const GENESIS: Self = Self {
        seq: 0,
        hash: [b'0'; 64],
    };

    /// Ends the line that starts at `start` in `out` and holds everything up to its last own member, and is then the
    /// link that the next one is chained to.
    pub fn seal(&mut self, out: &mut Vec<u8>, start: usize) {
        out.extend_from_slice(PREV_MEMBER);
        out.extend_from_slice(&self.hash);
        out.extend_from_slice(b"\"}");
        self.seq += 1;
        self.hash = hex(digest(&SHA256, out.get(start..).unwrap_or_default()).as_ref());
        out.pop();
        out.extend_from_slice(HASH_MEMBER);
        out.extend_from_slice(&self.hash);
        out.extend_from_slice(b"\"}\n");
    }
}

/// Reads a line, without its end, and checks its own hash.
///
/// # Errors
/// It is no record, or not the one that was written.
pub fn read(line: &[u8]) -> Result<Place, LineFault> {
    let body = line.strip_suffix(b"\"}").ok_or(LineFault::Form)?;
    let (head, hash) = split_hash(body, HASH_MEMBER)?;
    let (_, prev) = split_hash(head.strip_suffix(b"\"").ok_or(LineFault::Form)?, PREV_MEMBER)?;
    let digits = line.strip_prefix(SEQ_MEMBER).ok_or(LineFault::Form)?;
    let end = digits.iter().position(|byte| *byte == b',').ok_or(LineFault::Form)?;
    let digits = digits.get(..end).unwrap_or_default();
    let seq = std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'))
        .and_then(|text| text.parse().ok())
        .ok_or(LineFault::Form)?;
    let mut context = aws_lc_rs::digest::Context::new(&SHA256);
    context.update(head);
    context.update(b"}");
    if hex(context.finish().as_ref()) != hash {
        return Err(LineFault::Edited);
    }
    Ok(Place { seq, prev, hash })
}

/// Splits off a hash and the member that names it, from the end.
fn split_hash<'l>(bytes: &'l [u8], member: &[u8]) -> Result<(&'l [u8], Hash), LineFault> {
    let at = bytes.len().checked_sub(64).ok_or(LineFault::Form)?;
    let (rest, hash) = bytes.split_at_checked(at).ok_or(LineFault::Form)?;
    let head = rest.strip_suffix(member).ok_or(LineFault::Form)?;
    Ok((head, hash.try_into().map_err(|_| LineFault::Form)?))
}

/// Lower-case hexadecimal of a SHA-256.
#[must_use]
pub fn hex(digest: &[u8]) -> Hash {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or(b'0');
    let mut out = [b'0'; 64];
    for (pair, byte) in out.chunks_exact_mut(2).zip(digest) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
    out
}
