//! Names of requests: the client's own if it is plain, else one that nobody has used before.

use http::HeaderValue;
use http::header::{HeaderMap, HeaderName};
use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Every answer names its request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken from a client, in bytes.
const MAX_ID: usize = 128;

/// Makes ids on one worker: a random start and a counter.
#[derive(Debug)]
pub(super) struct RequestIds {
    /// The worker's sixteen digits, a hyphen, and room for the counter's.
    text: [u8; 33],
    next: Cell<u64>,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        // The standard library's hash keys are the process's own randomness; an id need not be secret, only its own.
        let random = || RandomState::new().build_hasher().finish();
        let mut text = [b'-'; 33];
        digits(random(), text.get_mut(..16).unwrap_or_default());
        Self {
            text,
            next: Cell::new(random() & 0xffff_ffff),
        }
    }

    /// The client's id, or a fresh one.
    pub(super) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let mut given = headers.get_all(REQUEST_ID).iter();
        match (given.next(), given.next()) {
            (Some(id), None) if is_plain(id.as_bytes()) => id.clone(),
            _ => self.fresh(),
        }
    }

    /// A fresh id.
    pub(super) fn fresh(&self) -> HeaderValue {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let mut text = self.text;
        digits(number, text.get_mut(17..).unwrap_or_default());
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0"))
    }
}

/// Sixteen hexadecimal digits.
fn digits(number: u64, places: &mut [u8]) {
    for (place, shift) in places.iter_mut().rev().zip((0..64).step_by(4)) {
        let digit = u8::try_from(number >> shift & 0xf).unwrap_or(0);
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
}

/// 1-128 of `[A-Za-z0-9._-]` (interface, section 4).
fn is_plain(id: &[u8]) -> bool {
    (1..=MAX_ID).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_id_is_kept_and_any_other_replaced() {
        let ids = RequestIds::new();
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-request-id", HeaderValue::from_str(value).unwrap());
            }
            ids.of(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(of(&["a-Z_0.9"]), "a-Z_0.9");
        assert_eq!(of(&[&"a".repeat(MAX_ID)]), "a".repeat(MAX_ID));
        for odd in [
            &[][..],
            &[""],
            &["a b"],
            &["a\"b"],
            &[&"a".repeat(MAX_ID + 1)],
            &["a", "a"],
        ] {
            let id = of(odd);
            assert!(is_plain(id.as_bytes()) && !odd.contains(&id.as_str()), "{odd:?} {id}");
        }
        assert_ne!(of(&[]), of(&[]));
    }
}
