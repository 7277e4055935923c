//! Values that go out hashed or encrypted: the same customer joins across reports, or who holds the key reads them again.
//!
//! A hash says of two values whether they are one, and to who holds the key which value it is. An envelope says nothing to
//! anybody else, and opens at its own place only: module, route and path are part of what is authenticated. Both stand as text,
//! `hmac:KEY:…` and `enc:KEY:…`, in base64url without padding.

mod hash;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::sync::Arc;

pub(super) use hash::Hasher;

/// Length of the secret that both keys come from, in bytes.
pub const SECRET_BYTES: usize = 32;

/// Largest value that is encrypted, in bytes as the backend wrote it: it is held whole. Likewise a field of CSV, an
/// attribute or the content of an element that is hashed; a value of JSON is hashed as it comes, however long.
pub const MAX_SEALED: usize = 64 * 1024;

/// Longest path of an encrypted value, in bytes.
pub const MAX_POINTER: usize = 64 * 1024;

/// What the two keys are for; changing either changes every hash and opens no envelope.
const HASHING: &[u8] = b"tollgate field hash v1";
const SEALING: &[u8] = b"tollgate field envelope v1";
/// What two keys are compared by.
const COMPARING: &[u8] = b"tollgate field fingerprint v1";

/// A key for fields, by its name in the policy.
pub struct FieldKey {
    id: Box<str>,
    mac: hmac::Key,
    aead: LessSafeKey,
    /// Equal for equal secrets, and says nothing of them.
    print: [u8; 32],
}

impl fmt::Debug for FieldKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FieldKey").field(&self.id).finish()
    }
}

/// Where an answer comes from, as audit lines say it: its envelopes open there only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The module's name. Two modules may have routes of one label.
    pub module: Arc<str>,
    /// The route's label.
    pub route: Arc<str>,
}

/// An envelope that does not open: another key, another place, or bytes that nobody sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the envelope does not open: it was sealed with another key, or at another place, or has been changed")]
pub struct Unsealed;

/// A value could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value could not be encrypted")]
pub struct NotSealed;

impl FieldKey {
    /// The keys that come from a secret (HKDF, RFC 5869), one for each use; none if the library refuses.
    #[must_use]
    pub fn new(id: &str, secret: &[u8; SECRET_BYTES]) -> Option<Self> {
        let extracted = Salt::new(HKDF_SHA256, &[]).extract(secret);
        let derive = |purpose| {
            let mut key = [0; 32];
            let info = [purpose];
            extracted.expand(&info, Length).ok()?.fill(&mut key).ok()?;
            Some(key)
        };
        Some(Self {
            id: id.into(),
            mac: hmac::Key::new(hmac::HMAC_SHA256, &derive(HASHING)?),
            aead: LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &derive(SEALING)?).ok()?),
            print: derive(COMPARING)?,
        })
    }

    /// Its name in the policy, and in what it makes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether both have one name and come from one secret.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.print == other.print
    }

    /// Reads a secret as a file has it: 32 bytes, or these in hexadecimal or base64, with a line end or without. 32 bytes that
    /// can all be typed are none: a passphrase, or a shorter secret in hexadecimal.
    #[must_use]
    pub fn secret(file: &[u8]) -> Option<[u8; SECRET_BYTES]> {
        if let Ok(raw) = <[u8; SECRET_BYTES]>::try_from(file) {
            let typed = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
            return (!raw.iter().all(typed)).then_some(raw);
        }
        let text = std::str::from_utf8(file).ok()?.trim_end_matches(['\r', '\n']);
        if text.len() == 2 * SECRET_BYTES {
            let digits = text.as_bytes().chunks(2).map(|pair| {
                let pair = std::str::from_utf8(pair).ok()?;
                let plain = pair.bytes().all(|byte| byte.is_ascii_hexdigit());
                plain.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
            });
            return digits.collect::<Option<Vec<u8>>>()?.try_into().ok();
        }
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        bytes.try_into().ok()
    }

    /// `hmac:KEY:…`, HMAC-SHA-256 of a value's text.
    #[must_use]
    pub fn hash(&self, text: &[u8]) -> String {
        self.written(hmac::sign(&self.mac, text).as_ref())
    }

    fn written(&self, tag: &[u8]) -> String {
        format!("hmac:{}:{}", self.id, URL_SAFE_NO_PAD.encode(tag))
    }

    /// `enc:KEY:…`, the value sealed for its place.
    ///
    /// # Errors
    /// There is no randomness, or the library refuses.
    pub fn seal(&self, value: &[u8], home: &Home, pointer: &str) -> Result<String, NotSealed> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| NotSealed)?;
        let mut envelope = nonce.to_vec();
        let mut sealed = value.to_vec();
        self.aead
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place(home, pointer)),
                &mut sealed,
            )
            .map_err(|_| NotSealed)?;
        envelope.extend_from_slice(&sealed);
        Ok(format!("enc:{}:{}", self.id, URL_SAFE_NO_PAD.encode(envelope)))
    }

    /// Opens an envelope of this key: the value's own bytes.
    ///
    /// # Errors
    /// It does not open here.
    pub fn open(&self, envelope: &str, home: &Home, pointer: &str) -> Result<Vec<u8>, Unsealed> {
        let sealed = envelope
            .strip_prefix("enc:")
            .and_then(|rest| rest.strip_prefix(&*self.id)?.strip_prefix(':'))
            .ok_or(Unsealed)?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unsealed)?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Unsealed)?;
        let mut value = sealed.to_vec();
        let length = self
            .aead
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(place(home, pointer)),
                &mut value,
            )
            .map_err(|_| Unsealed)?
            .len();
        value.truncate(length);
        Ok(value)
    }
}

/// The key that an envelope names; none for a text that is not written like one.
#[must_use]
pub fn key_of(envelope: &str) -> Option<&str> {
    let (id, sealed) = envelope.strip_prefix("enc:")?.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_one = !id.is_empty() && !sealed.is_empty() && id.bytes().chain(sealed.bytes()).all(plain);
    is_one.then_some(id)
}

/// Each part with its length, so that no two places are one text.
fn place(Home { module, route }: &Home, pointer: &str) -> Vec<u8> {
    let mut place = Vec::with_capacity(24 + module.len() + route.len() + pointer.len());
    for part in [module, route, pointer] {
        place.extend_from_slice(&(part.len() as u64).to_be_bytes());
        place.extend_from_slice(part.as_bytes());
    }
    place
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; SECRET_BYTES] = *b"0123456789abcdef0123456789abcdef";

    #[test]
    fn a_secret_is_read_in_every_way_that_people_write_one() {
        let hex: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
        let base64 = base64::engine::general_purpose::STANDARD.encode(SECRET);
        for good in [
            hex.clone().into_bytes(),
            (hex.to_uppercase() + "\r\n").into_bytes(),
            (base64 + "\n").into_bytes(),
        ] {
            assert_eq!(FieldKey::secret(&good), Some(SECRET), "{}", good.escape_ascii());
        }
        let raw = [0x80; SECRET_BYTES];
        assert_eq!(FieldKey::secret(&raw), Some(raw));
        for bad in [
            "",
            "short",
            "0123456789abcdef0123456789abcdef",
            "correct horse battery staple 12\n",
            hex.trim_start_matches("30"),
            &"+f".repeat(32),
            "====",
            &"A".repeat(45),
        ] {
            assert_eq!(FieldKey::secret(bad.as_bytes()), None, "{bad}");
        }
    }

    /// The tag by another way than `FieldKey`: both steps of HKDF and HMAC, written out (RFC 5869, 2.2 and 2.3).
    #[test]
    fn a_hash_is_hmac_under_a_derived_key() {
        let mac = |key: &[u8], text: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
                .as_ref()
                .to_vec()
        };
        let extracted = mac(&[0; 32], &SECRET);
        let derived = mac(&extracted, &[HASHING, &[1]].concat());
        let tag = URL_SAFE_NO_PAD.encode(mac(&derived, b"C-17"));
        let key = FieldKey::new("k1", &SECRET).unwrap();
        assert_eq!(key.hash(b"C-17"), format!("hmac:k1:{tag}"));
        assert_ne!(key.hash(b"C-18"), key.hash(b"C-17"));
    }

    #[test]
    fn an_envelope_opens_with_its_key_at_its_place_alone() {
        let key = FieldKey::new("k1", &SECRET).unwrap();
        let place = |module: &str, route: &str| Home {
            module: module.into(),
            route: route.into(),
        };
        let here = place("accounts", "/a/{id}");
        let sealed = key.seal(b"\"123-45\"", &here, "/customer/ssn").unwrap();
        assert_eq!(key_of(&sealed), Some("k1"));
        assert!(
            sealed
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b":-_".contains(&byte))
        );
        assert_ne!(key.seal(b"\"123-45\"", &here, "/customer/ssn").unwrap(), sealed);
        assert_eq!(key.open(&sealed, &here, "/customer/ssn").unwrap(), b"\"123-45\"");
        let other = FieldKey::new("k1", &[7; SECRET_BYTES]).unwrap();
        let renamed = FieldKey::new("k2", &SECRET).unwrap();
        for (key, module, route, pointer) in [
            (&other, "accounts", "/a/{id}", "/customer/ssn"),
            (&renamed, "accounts", "/a/{id}", "/customer/ssn"),
            (&key, "reports", "/a/{id}", "/customer/ssn"),
            (&key, "accounts/a", "/{id}", "/customer/ssn"),
            (&key, "accounts", "/a", "/customer/ssn"),
            (&key, "accounts", "/a/{id}", "/customer"),
            (&key, "accounts", "/a/{id}/customer", "/ssn"),
            (&key, "", "accounts/a/{id}", "/customer/ssn"),
        ] {
            let opened = key.open(&sealed, &place(module, route), pointer);
            assert_eq!(opened, Err(Unsealed), "{module} {route} {pointer}");
        }
        for at in "enc:k1:".len()..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(key.open(&changed, &here, "/customer/ssn"), Err(Unsealed));
        }
        for other in [
            "enc:k1",
            "enc:k1:",
            "enc::AAAA",
            "enc:see: below",
            "enc:k1:AA AA",
            "hmac:k1:AAAA",
        ] {
            assert_eq!(key_of(other), None, "{other}");
        }
        for bad in ["", "enc:", "enc:k1:", "enc:k1:AAAA", "hmac:k1:AAAA"] {
            assert_eq!(key.open(bad, &here, ""), Err(Unsealed), "{bad}");
        }
        assert_eq!(format!("{key:?}"), "FieldKey(\"k1\")");
        assert!(key.is_same(&FieldKey::new("k1", &SECRET).unwrap()));
        assert!(!key.is_same(&other) && !key.is_same(&renamed));
    }
}
