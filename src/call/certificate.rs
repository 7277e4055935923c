//! What a client's certificate says of who shows it. Its chain has been verified; which names count is decided here.

use std::fmt::Write as _;

/// Longest SPIFFE id, in bytes (SPIFFE-ID, 2.3).
const MAX_SPIFFE_ID: usize = 2048;

/// Longest name of a trust domain, in bytes (SPIFFE-ID, 2.1).
const MAX_TRUST_DOMAIN: usize = 255;

/// Longest common name, in bytes.
const MAX_COMMON_NAME: usize = 256;

/// A certificate that a client has shown, and for which it has the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of its DER: RFC 8705's `x5t#S256`.
    pub sha256: [u8; 32],
    /// The same in lower-case hexadecimal.
    pub fingerprint: Box<str>,
    /// Its SPIFFE id: the one URI among its alternative names, if it is a `spiffe://` one. With none, two, or another, it
    /// has no SPIFFE id (X509-SVID, 2).
    pub spiffe_id: Option<Box<str>>,
    /// The one common name of its subject, if it is text that can be compared.
    pub common_name: Option<Box<str>>,
}

impl Certificate {
    /// A certificate by its hash, every URI among its alternative names, and every common name of its subject.
    #[must_use]
    pub fn new(sha256: [u8; 32], uris: &[&str], common_names: &[&str]) -> Self {
        let mut fingerprint = String::with_capacity(64);
        for byte in sha256 {
            // Writing into a string cannot fail.
            let _ = write!(fingerprint, "{byte:02x}");
        }
        let only = |names: &[&str], fits: fn(&str) -> bool| match names {
            [one] if fits(one) => Some(Box::from(*one)),
            _ => None,
        };
        Self {
            sha256,
            fingerprint: fingerprint.into(),
            spiffe_id: only(uris, is_spiffe_id),
            common_name: only(common_names, is_name),
        }
    }

    /// A certificate as an author describes one, for a question about the policy. Without a hash no token is bound to it.
    ///
    /// # Errors
    /// A name that no certificate could have.
    pub fn described(
        hash: Option<&str>,
        spiffe_id: Option<&str>,
        common_name: Option<&str>,
    ) -> Result<Self, NameFault> {
        let hash = hash.map(sha256).transpose()?.unwrap_or_default();
        let (uris, names) = (spiffe_id.as_slice(), common_name.as_slice());
        let one = Self::new(hash, uris, names);
        if spiffe_id.is_some() && one.spiffe_id.is_none() {
            return Err(NameFault::SpiffeId);
        }
        if common_name.is_some() && one.common_name.is_none() {
            return Err(NameFault::CommonName);
        }
        Ok(one)
    }
}

/// Why a certificate that an author describes can be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Not a SHA-256 in hexadecimal.
    #[error("is no SHA-256 of 64 hexadecimal digits")]
    Sha256,
    /// Not a SPIFFE id.
    #[error("is no SPIFFE id such as `spiffe://city.example/etl`")]
    SpiffeId,
    /// Not a common name.
    #[error("is no common name")]
    CommonName,
}

/// The SHA-256 that 64 hexadecimal digits stand for.
///
/// # Errors
/// There are others, or more, or fewer.
pub fn sha256(text: &str) -> Result<[u8; 32], NameFault> {
    let digits = text.bytes().map(super::hex).collect::<Option<Vec<u8>>>();
    let bytes = digits.filter(|digits| digits.len() == 64).map(|digits| {
        let pairs = digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit));
        pairs.collect::<Vec<u8>>()
    });
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(NameFault::Sha256)
}

/// `spiffe://trust-domain/path` in the one way in which it may be written (SPIFFE-ID, 2).
#[must_use]
pub fn is_spiffe_id(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("spiffe://").filter(|_| text.len() <= MAX_SPIFFE_ID) else {
        return false;
    };
    let (domain, path) = rest
        .split_once('/')
        .map_or((rest, None), |(domain, path)| (domain, Some(path)));
    let in_domain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
    let in_segment = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(in_segment);
    (1..=MAX_TRUST_DOMAIN).contains(&domain.len())
        && domain.bytes().all(in_domain)
        && path.is_none_or(|path| path.split('/').all(segment))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_COMMON_NAME && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_is_written_in_one_way_only() {
        for good in [
            "spiffe://city.example",
            "spiffe://city.example/billing/meter-1",
            "spiffe://a/B_c.d",
        ] {
            assert!(is_spiffe_id(good), "{good}");
        }
        let long = format!("spiffe://city.example/{}", "a".repeat(MAX_SPIFFE_ID));
        let wide = format!("spiffe://{}/a", "a".repeat(256));
        for bad in [
            "",
            "spiffe://",
            "spiffe:///a",
            "SPIFFE://city.example/a",
            "spiffe://City.example/a",
            "spiffe://city.example/",
            "spiffe://city.example//a",
            "spiffe://city.example/../a",
            "spiffe://city.example/./a",
            "spiffe://city.example/a?b",
            "spiffe://city.example/a#b",
            "spiffe://city.example/%61",
            "spiffe://city.example:8080/a",
            "spiffe://me@city.example/a",
            "https://city.example/a",
            "spiffe://city.example/a b",
            "spiffe://city.example/ä",
            &long,
            &wide,
        ] {
            assert!(!is_spiffe_id(bad), "{bad}");
        }
    }

    #[test]
    fn of_two_names_neither_counts() {
        let of = |uris: &[&str], names: &[&str]| {
            let certificate = Certificate::new([0xab; 32], uris, names);
            assert_eq!(&*certificate.fingerprint, "ab".repeat(32));
            (certificate.spiffe_id.is_some(), certificate.common_name.is_some())
        };
        let (id, other) = ("spiffe://city.example/a", "spiffe://city.example/b");
        assert_eq!(of(&[id], &["etl-1"]), (true, true));
        assert_eq!(of(&[id, other], &["etl-1", "etl-2"]), (false, false));
        assert_eq!(of(&[id, id], &[]), (false, false));
        assert_eq!(of(&["https://city.example", id], &[""]), (false, false));
        assert_eq!(of(&[], &["a\nb"]), (false, false));
    }
}
