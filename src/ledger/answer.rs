//! A backend's answer to a keyed write, as it is kept for whoever sends the write again.
//!
//! Kept is what the backend said, before anything is masked: who asks again may see more or less than who asked first. It
//! is never written down as it is; [`StoreKeys`](super::StoreKeys) seals it.
//!
//! Decoding is strict: bytes that [`KeptAnswer::encode`] does not write are a fault, never a guess.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Largest answer that is kept, in bytes: status, headers and body as the backend sent it. Whoever sends a write again whose
/// answer was larger gets its transaction's name.
pub const MAX_ANSWER: usize = 64 * 1024;

/// Most header fields of an answer that is kept.
pub const MAX_ANSWER_FIELDS: usize = 256;

/// First byte; a change of the layout changes it.
const VERSION: u8 = 1;

/// Header fields that belong to a moment, a connection or a session, and not to the answer (THREATS H23). Names are in
/// lower case.
const OF_THE_MOMENT: [&str; 16] = [
    "age",
    "alt-svc",
    "authentication-info",
    "clear-site-data",
    "connection",
    "date",
    "idempotency-replayed",
    "proxy-authenticate",
    "proxy-authentication-info",
    "retry-after",
    "server-timing",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "www-authenticate",
    "x-request-id",
];

/// Status, headers and body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The status, 200-999.
    pub status: u16,
    /// The header fields that belong to the answer, in their order.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The body as it came, coded or not.
    pub body: Vec<u8>,
}

/// The bytes are no answer of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kept answer is malformed")]
pub struct AnswerFault;

impl KeptAnswer {
    /// What is kept of an answer; none if it is more than [`MAX_ANSWER`] or [`MAX_ANSWER_FIELDS`].
    #[must_use]
    pub fn of(status: u16, fields: &HeaderMap, body: &[u8]) -> Option<Self> {
        let kept = fields
            .iter()
            .filter(|(name, _)| !OF_THE_MOMENT.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()));
        let answer = Self {
            status,
            fields: kept.collect(),
            // Copied last: what is too large is not copied at all.
            body: if body.len() <= MAX_ANSWER {
                body.to_vec()
            } else {
                return None;
            },
        };
        (answer.size() <= MAX_ANSWER && answer.fields.len() <= MAX_ANSWER_FIELDS).then_some(answer)
    }

    fn size(&self) -> usize {
        let field = |(name, value): &(HeaderName, HeaderValue)| 4 + name.as_str().len() + value.len();
        5 + self.fields.iter().map(field).sum::<usize>() + self.body.len()
    }

    /// Its header fields as a map.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        self.fields.iter().cloned().collect()
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size());
        out.push(VERSION);
        out.extend(self.status.to_be_bytes());
        out.extend(length(self.fields.len()));
        for (name, value) in &self.fields {
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                out.extend(length(part.len()));
                out.extend(part);
            }
        }
        out.extend(&self.body);
        out
    }

    /// Reads an answer's bytes.
    ///
    /// # Errors
    /// [`AnswerFault`] for anything that [`KeptAnswer::encode`] does not write of an answer within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, AnswerFault> {
        if bytes.len() > MAX_ANSWER {
            return Err(AnswerFault);
        }
        let (&[version, high, low], mut rest) = bytes.split_first_chunk().ok_or(AnswerFault)?;
        let status = u16::from_be_bytes([high, low]);
        if version != VERSION || !(200..=999).contains(&status) {
            return Err(AnswerFault);
        }
        let count = number(&mut rest)?;
        if count > MAX_ANSWER_FIELDS {
            return Err(AnswerFault);
        }
        let mut fields = Vec::with_capacity(count);
        for _ in 0..count {
            let name = HeaderName::from_lowercase(part(&mut rest)?).map_err(|_| AnswerFault)?;
            let value = HeaderValue::from_bytes(part(&mut rest)?).map_err(|_| AnswerFault)?;
            fields.push((name, value));
        }
        Ok(Self {
            status,
            fields,
            body: rest.to_vec(),
        })
    }
}

/// Within [`MAX_ANSWER`], a length takes two bytes. A longer part is one that decoding refuses.
fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn number(rest: &mut &[u8]) -> Result<usize, AnswerFault> {
    let (number, after) = rest.split_first_chunk().ok_or(AnswerFault)?;
    *rest = after;
    Ok(usize::from(u16::from_be_bytes(*number)))
}

fn part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], AnswerFault> {
    let length = number(rest)?;
    let (part, after) = rest.split_at_checked(length).ok_or(AnswerFault)?;
    *rest = after;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn what_belongs_to_the_answer_is_kept_and_nothing_of_the_moment() {
        let all = headers(&[
            ("content-type", "application/json"),
            ("link", "</a>"),
            ("link", "</b>"),
            ("x-transaction-id", "T1"),
            ("set-cookie", "session=1"),
            ("date", "Wed, 25 Nov 2026 09:00:00 GMT"),
            ("x-request-id", "r1"),
            ("www-authenticate", "Basic"),
            ("idempotency-replayed", "true"),
        ]);
        let kept = KeptAnswer::of(201, &all, b"{}").unwrap();
        assert_eq!(
            kept.headers(),
            headers(&[
                ("content-type", "application/json"),
                ("link", "</a>"),
                ("link", "</b>"),
                ("x-transaction-id", "T1"),
            ])
        );
        assert_eq!((kept.status, &kept.body[..]), (201, &b"{}"[..]));
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let fields = headers(&[("etag", "\"1\"")]);
        let room = MAX_ANSWER - KeptAnswer::of(200, &fields, b"").unwrap().encode().len();
        let largest = KeptAnswer::of(200, &fields, &vec![b'x'; room]).unwrap();
        assert_eq!(largest.encode().len(), MAX_ANSWER);
        assert_eq!(KeptAnswer::decode(&largest.encode()), Ok(largest));
        assert_eq!(KeptAnswer::of(200, &fields, &vec![b'x'; room + 1]), None);
        assert_eq!(KeptAnswer::of(200, &fields, &vec![b'x'; MAX_ANSWER + 1]), None);
        let mut many = HeaderMap::new();
        for _ in 0..MAX_ANSWER_FIELDS {
            many.append("a", HeaderValue::from_static(""));
        }
        let most = KeptAnswer::of(200, &many, b"").unwrap();
        assert_eq!(KeptAnswer::decode(&most.encode()), Ok(most.clone()));
        let mut more = most;
        more.fields
            .push((HeaderName::from_static("a"), HeaderValue::from_static("")));
        assert_eq!(KeptAnswer::decode(&more.encode()), Err(AnswerFault));
        many.append("a", HeaderValue::from_static(""));
        assert_eq!(KeptAnswer::of(200, &many, b""), None);
    }

    #[test]
    fn what_is_never_written_is_no_answer() {
        let good = KeptAnswer::of(201, &headers(&[("etag", "\"1\"")]), b"{}")
            .unwrap()
            .encode();
        assert!(KeptAnswer::decode(&good).is_ok());
        for (at, byte) in [
            (0, 2),
            (1, 0xff),
            (2, 1),
            (3, 2),
            (4, 2),
            (6, 0xff),
            (7, b'E'),
            (13, b'\n'),
        ] {
            let mut edited = good.clone();
            edited[at] = byte;
            assert_eq!(KeptAnswer::decode(&edited), Err(AnswerFault), "{at}");
        }
        assert_eq!(KeptAnswer::decode(&vec![1; MAX_ANSWER + 1]), Err(AnswerFault));
    }

    fn any_answer() -> impl Strategy<Value = KeptAnswer> {
        let field = ("[a-z][a-z0-9-]{0,20}", "[!-~]{0,40}").prop_map(|(name, value)| {
            let name = HeaderName::from_lowercase(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(&value).unwrap())
        });
        (
            200..1000_u16,
            proptest::collection::vec(field, 0..8),
            proptest::collection::vec(any::<u8>(), 0..200),
        )
            .prop_map(|(status, fields, body)| KeptAnswer { status, fields, body })
    }

    proptest! {
        #[test]
        fn an_answer_is_read_as_it_was_written(answer in any_answer()) {
            prop_assert_eq!(KeptAnswer::decode(&answer.encode()), Ok(answer));
        }

        #[test]
        fn bytes_have_one_reading(bytes in proptest::collection::vec(any::<u8>(), 0..60), answer in any_answer(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut changed = answer.encode();
            let at = at.index(changed.len());
            changed[at] = byte;
            for bytes in [bytes, changed] {
                if let Ok(answer) = KeptAnswer::decode(&bytes) {
                    prop_assert_eq!(answer.encode(), bytes);
                }
            }
        }
    }
}
