//! Compression of answers, where a module says so and the client asks. Which coding an answer has is known from its head
//! and from how much of it there is, so that a `HEAD` says what a `GET` would.
//!
//! Off by default: how long a compressed answer is tells a listener what is in it, if somebody else can put text beside a
//! secret (BREACH).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{StatusCode, response};

use super::refusal::Refusal;
use super::view::{forget_bytes, vary};
use crate::masking::coding::accept::{Accepted, accepted};
use crate::masking::coding::{Coding, EncodeFault, Encoder};
use crate::masking::media_type;
use crate::policy::Permit;
use crate::reason::Reason;

/// The least that is compressed of an answer that is known whole, in bytes: less fits in one packet anyway.
pub const MIN_COMPRESSED: u64 = 1024;

/// Endings of media types that compress well, beside `text/`: what is masked, and what is written like it.
const COMPRESSIBLE: [&str; 10] = [
    "+json",
    "+json-seq",
    "+xml",
    "/json",
    "/json-seq",
    "/jsonl",
    "/ndjson",
    "/x-ndjson",
    "/x-jsonlines",
    "/xml",
];

/// What the client asks for, in a module that compresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    accepted: Accepted,
}

/// How much there is of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    /// So many bytes.
    Known(u64),
    /// It goes out as it comes.
    Flowing,
    /// Only masking it would tell.
    Unknown,
}

impl Wish {
    /// None if the module does not compress.
    pub(super) fn of(fields: &HeaderMap, permit: &Permit) -> Option<Self> {
        let offers = &permit.module()?.compress;
        if offers.is_empty() {
            return None;
        }
        let values = fields.get_all(header::ACCEPT_ENCODING);
        let mut accepted = accepted(values.iter().map(|value| value.as_bytes()), offers);
        if says(fields, "no-transform") {
            accepted.coding = None;
        }
        Some(Self { accepted })
    }

    /// With what an answer may be compressed.
    pub(super) fn coding(&self) -> Option<Coding> {
        self.accepted.coding
    }

    /// With what this answer is compressed, of which there is so much. Its head is the backend's, decoded if it was.
    pub(super) fn fits(&self, head: &response::Parts, size: Size) -> Option<Coding> {
        let coding = self.accepted.coding?;
        let worth = match size {
            Size::Known(0) => false,
            Size::Known(size) => size >= MIN_COMPRESSED || !self.accepted.identity,
            Size::Flowing => true,
            Size::Unknown => !self.accepted.identity,
        };
        (worth && has_body(head.status) && !is_coded(&head.headers) && is_text(&head.headers)).then_some(coding)
    }
}

/// Whether `Cache-Control` has this directive (RFC 9111, 5.2).
pub(super) fn says(fields: &HeaderMap, directive: &str) -> bool {
    fields.get_all(header::CACHE_CONTROL).iter().any(|value| {
        let directives = value.as_bytes().split(|&byte| byte == b',');
        directives
            .map(<[u8]>::trim_ascii)
            .any(|own| own.eq_ignore_ascii_case(directive.as_bytes()))
    })
}

/// Makes a head one of an answer in this coding, if in any. What is asked of a `HEAD` is here too.
pub(super) fn adjust(fields: &mut HeaderMap, coding: Option<Coding>) {
    vary(fields, "Accept-Encoding");
    if let Some(coding) = coding {
        forget_bytes(fields);
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
}

/// A whole body, compressed.
pub(super) fn encoded(coding: Coding, bytes: &[u8]) -> Result<Bytes, EncodeFault> {
    let mut encoder = Encoder::new(coding)?;
    let mut out = Vec::with_capacity(bytes.len() / 4);
    encoder.feed(bytes, &mut out)?;
    encoder.finish(&mut out)?;
    Ok(out.into())
}

/// As long as nothing has gone out.
impl From<EncodeFault> for Refusal {
    #[cold]
    fn from(fault: EncodeFault) -> Self {
        Self::because(Reason::Internal, fault.to_string())
    }
}

/// Whether an answer with this status has a body that is a whole representation.
fn has_body(status: StatusCode) -> bool {
    !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
        )
}

fn is_coded(fields: &HeaderMap) -> bool {
    fields.contains_key(header::CONTENT_ENCODING) || fields.contains_key(header::CONTENT_RANGE)
}

/// Whether the body is of a type that compresses well: what is masked, and other text.
fn is_text(fields: &HeaderMap) -> bool {
    let mut types = fields.get_all(header::CONTENT_TYPE).iter();
    let (Some(content_type), None) = (types.next(), types.next()) else {
        return false;
    };
    media_type(content_type.as_bytes())
        .is_some_and(|media| media.starts_with("text/") || COMPRESSIBLE.iter().any(|ending| media.ends_with(ending)))
}
