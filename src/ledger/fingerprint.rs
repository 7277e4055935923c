//! Whether two requests with one key are the same request (interface, section 6; THREATS H21, H22).
//!
//! The bytes are compared as the backend would get them; framing (chunks, lengths) has no part in it.

use aws_lc_rs::digest::{Context, SHA256};
use http::Method;
use std::fmt;

use super::key::{feed, finish};

/// A hash of method, path, query and body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Starts the fingerprint of a request: method, raw canonical path, raw query. No query and an empty one differ.
    #[must_use]
    pub fn of(method: &Method, path: &str, query: Option<&str>) -> FingerprintBuilder {
        let mut hash = Context::new(&SHA256);
        hash.update(b"tollgate request 1\n");
        feed(&mut hash, method.as_str().as_bytes());
        feed(&mut hash, path.as_bytes());
        match query {
            None => hash.update(&[0]),
            Some(query) => {
                hash.update(&[1]);
                feed(&mut hash, query.as_bytes());
            }
        }
        FingerprintBuilder(hash)
    }

    /// A fingerprint that was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For storing.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A fingerprint that still takes the body.
pub struct FingerprintBuilder(Context);

impl FingerprintBuilder {
    /// Adds the next piece of the body. How it is cut makes no difference: the body is the last field, so it needs no length.
    pub fn body(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The body is whole.
    #[must_use]
    pub fn finish(self) -> Fingerprint {
        Fingerprint(finish(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &Method, path: &str, query: Option<&str>, body: &[&[u8]]) -> Fingerprint {
        let mut builder = Fingerprint::of(method, path, query);
        body.iter().for_each(|piece| builder.body(piece));
        builder.finish()
    }

    #[test]
    fn any_change_is_another_request() {
        let all = [
            of(&Method::POST, "/a", None, &[b"body"]),
            of(&Method::PUT, "/a", None, &[b"body"]),
            of(&Method::POST, "/A", None, &[b"body"]),
            of(&Method::POST, "/%61", None, &[b"body"]),
            of(&Method::POST, "/a", Some(""), &[b"body"]),
            of(&Method::POST, "/a", Some("b"), &[b"body"]),
            of(&Method::POST, "/ab", None, &[b"body"]),
            of(&Method::POST, "/a", Some("bbody"), &[]),
            of(&Method::POST, "/a", None, &[b"body "]),
            of(&Method::POST, "/a", None, &[]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
    }

    #[test]
    fn how_the_body_is_cut_makes_no_difference() {
        let whole = of(&Method::POST, "/a", Some("q"), &[b"body"]);
        assert_eq!(
            whole,
            of(&Method::POST, "/a", Some("q"), &[b"", b"b", b"od", b"", b"y"])
        );
    }
}
