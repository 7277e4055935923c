//! The keys that seal what the store keeps of backends' answers, and that versions of resources are made with.
//!
//! A store is copied, backed up and shared; a backend's answer holds what only some may see. So an answer is kept sealed
//! with a key that is not in the store, or not at all. An envelope opens for its own record and request only: both are part
//! of what is authenticated. It names its key, so that a new key may take over while older ones still open.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

use super::answer::KeptAnswer;
use super::{Fingerprint, MAX_ANSWER, RecordKey};

/// Length of a secret, in bytes.
pub const STORE_SECRET_BYTES: usize = 32;

/// Most keys at one time: the one that seals and older ones that still open.
pub const MAX_STORE_KEYS: usize = 16;

/// Bytes of a key's name in an envelope.
const ID: usize = 8;

/// Bytes that an envelope adds: layout, name of the key, nonce, tag.
const AROUND: usize = 1 + ID + NONCE_LEN + 16;

/// Largest envelope, bytes.
pub const MAX_SEALED_ANSWER: usize = MAX_ANSWER + AROUND;

/// First byte of an envelope; a change of the layout changes it.
const LAYOUT: u8 = 1;

/// What the keys that come from one secret are for; changing one opens no envelope, or changes every version.
const SEALING: &[u8] = b"tollgate kept answer v1";
const NAMING: &[u8] = b"tollgate store key name v1";
const VERSIONING: &[u8] = b"tollgate resource version v1";

/// Keys, of which the first seals and each opens what it sealed.
pub struct StoreKeys(Vec<StoreKey>);

struct StoreKey {
    /// Equal for equal secrets, and says nothing of them.
    id: [u8; ID],
    aead: LessSafeKey,
    mac: hmac::Key,
}

/// The envelope does not open: its key is gone, it is another record's or another request's, or its bytes were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kept answer does not open: its key is gone, or it has been changed")]
pub struct NotOpened;

impl fmt::Debug for StoreKeys {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| key.id)).finish()
    }
}

impl PartialEq for StoreKeys {
    /// Whether they come from the same secrets in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|key| key.id).eq(other.0.iter().map(|key| key.id))
    }
}

impl Eq for StoreKeys {}

impl StoreKey {
    fn new(secret: &[u8; STORE_SECRET_BYTES]) -> Option<Self> {
        let extracted = Salt::new(HKDF_SHA256, &[]).extract(secret);
        let derive = |purpose| {
            let mut key = [0; STORE_SECRET_BYTES];
            let info = [purpose];
            extracted.expand(&info, HKDF_SHA256).ok()?.fill(&mut key).ok()?;
            Some(key)
        };
        let id = *derive(NAMING)?.first_chunk()?;
        Some(Self {
            id,
            aead: LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &derive(SEALING)?).ok()?),
            mac: hmac::Key::new(hmac::HMAC_SHA256, &derive(VERSIONING)?),
        })
    }
}

impl StoreKeys {
    /// The keys that come from these secrets (HKDF, RFC 5869); none without a secret, or with more than
    /// [`MAX_STORE_KEYS`], or if the library refuses.
    #[must_use]
    pub fn new(secrets: &[[u8; STORE_SECRET_BYTES]]) -> Option<Self> {
        let keys: Vec<StoreKey> = secrets.iter().map(StoreKey::new).collect::<Option<_>>()?;
        (1..=MAX_STORE_KEYS).contains(&keys.len()).then_some(Self(keys))
    }

    /// Seals an answer for the record of one request. None if there is no randomness, or the library refuses: then it
    /// is not kept.
    #[must_use]
    pub fn seal(&self, record: &RecordKey, request: &Fingerprint, answer: &KeptAnswer) -> Option<Box<[u8]>> {
        let key = self.0.first()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = answer.encode();
        let tag = key
            .aead
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place(record, request)),
                &mut sealed,
            )
            .ok()?;
        Some([&[LAYOUT], &key.id[..], &nonce, &sealed, tag.as_ref()].concat().into())
    }

    /// Opens what was sealed for the record of this request.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub fn open(&self, record: &RecordKey, request: &Fingerprint, envelope: &[u8]) -> Result<KeptAnswer, NotOpened> {
        let (&[layout], rest) = envelope.split_first_chunk().ok_or(NotOpened)?;
        let (id, rest) = rest.split_first_chunk::<ID>().ok_or(NotOpened)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(NotOpened)?;
        if layout != LAYOUT || envelope.len() > MAX_SEALED_ANSWER {
            return Err(NotOpened);
        }
        let key = self.0.iter().find(|key| key.id == *id).ok_or(NotOpened)?;
        let mut answer = sealed.to_vec();
        let plain = key
            .aead
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(place(record, request)),
                &mut answer,
            )
            .map_err(|_| NotOpened)?;
        KeptAnswer::decode(plain).map_err(|_| NotOpened)
    }

    /// The version of a resource whose backend gives none: HMAC-SHA-256 of its body, in base64url. Without the key nobody
    /// can try out which masked value a body must hold for a version that they were given.
    #[must_use]
    pub fn version_of(&self, body: &[u8]) -> Option<String> {
        let tag = hmac::sign(&self.0.first()?.mac, body);
        Some(URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }
}

/// What an envelope belongs to. Both parts have one length, so that no two places are one text.
fn place(record: &RecordKey, request: &Fingerprint) -> [u8; 64] {
    let mut place = [0; 64];
    let (first, second) = place.split_at_mut(32);
    first.copy_from_slice(record.as_bytes());
    second.copy_from_slice(request.as_bytes());
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use proptest::prelude::*;

    const RECORD: RecordKey = RecordKey::from_bytes([1; 32]);
    const REQUEST: Fingerprint = Fingerprint::from_bytes([2; 32]);

    fn keys(secrets: &[u8]) -> StoreKeys {
        let secrets: Vec<_> = secrets.iter().map(|&of| [of; STORE_SECRET_BYTES]).collect();
        StoreKeys::new(&secrets).unwrap()
    }

    fn answer(body: &[u8]) -> KeptAnswer {
        KeptAnswer::of(201, &HeaderMap::new(), body).unwrap()
    }

    #[test]
    fn an_envelope_opens_with_its_key_for_its_record_and_request_alone() {
        let answer = answer(b"{\"ssn\":\"123-45-6789\"}");
        let sealed = keys(&[7]).seal(&RECORD, &REQUEST, &answer).unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"123-45"));
        assert_ne!(keys(&[7]).seal(&RECORD, &REQUEST, &answer).unwrap(), sealed);
        assert_eq!(keys(&[7]).open(&RECORD, &REQUEST, &sealed), Ok(answer.clone()));
        assert_eq!(
            keys(&[8, 7]).open(&RECORD, &REQUEST, &sealed),
            Ok(answer),
            "an older key"
        );
        let other_record = RecordKey::from_bytes([3; 32]);
        let other_request = Fingerprint::from_bytes([3; 32]);
        for (keys, record, request) in [
            (keys(&[8]), RECORD, REQUEST),
            (keys(&[7]), other_record, REQUEST),
            (keys(&[7]), RECORD, other_request),
            // The places of the two parts are their own.
            (
                keys(&[7]),
                RecordKey::from_bytes([2; 32]),
                Fingerprint::from_bytes([1; 32]),
            ),
        ] {
            assert_eq!(keys.open(&record, &request, &sealed), Err(NotOpened));
        }
    }

    #[test]
    fn a_new_key_seals_and_older_ones_open() {
        let answer = answer(b"x");
        let sealed = keys(&[8, 7]).seal(&RECORD, &REQUEST, &answer).unwrap();
        assert_eq!(keys(&[8]).open(&RECORD, &REQUEST, &sealed), Ok(answer));
        assert_eq!(keys(&[7]).open(&RECORD, &REQUEST, &sealed), Err(NotOpened));
    }

    #[test]
    fn the_largest_answer_fits_its_envelope() {
        let room = MAX_ANSWER - answer(b"").encode().len();
        let largest = answer(&vec![b'x'; room]);
        let sealed = keys(&[7]).seal(&RECORD, &REQUEST, &largest).unwrap();
        assert_eq!(sealed.len(), MAX_SEALED_ANSWER);
        assert_eq!(keys(&[7]).open(&RECORD, &REQUEST, &sealed), Ok(largest));
    }

    #[test]
    fn there_are_some_keys_and_not_too_many() {
        assert!(StoreKeys::new(&[]).is_none());
        let secrets = [[1; STORE_SECRET_BYTES]; MAX_STORE_KEYS + 1];
        assert!(StoreKeys::new(&secrets).is_none());
        assert!(StoreKeys::new(&secrets[..MAX_STORE_KEYS]).is_some());
        assert_eq!(keys(&[7, 8]), keys(&[7, 8]));
        assert_ne!(keys(&[7, 8]), keys(&[8, 7]));
        assert_ne!(keys(&[7]), keys(&[7, 8]));
        assert!(!format!("{:?}", keys(&[7])).contains("7, 7, 7"));
    }

    #[test]
    fn a_version_tells_bodies_apart_and_needs_the_key() {
        let version = keys(&[7]).version_of(b"{\"tier\":\"T1\"}").unwrap();
        assert_eq!(version, keys(&[7, 8]).version_of(b"{\"tier\":\"T1\"}").unwrap());
        assert_ne!(version, keys(&[7]).version_of(b"{\"tier\":\"T2\"}").unwrap());
        assert_ne!(version, keys(&[8]).version_of(b"{\"tier\":\"T1\"}").unwrap());
        assert_eq!(version.len(), 43);
    }

    proptest! {
        #[test]
        fn no_changed_envelope_opens(body in proptest::collection::vec(any::<u8>(), 0..60), at in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in any::<prop::sample::Index>()) {
            let keys = keys(&[7]);
            let sealed = keys.seal(&RECORD, &REQUEST, &answer(&body)).unwrap();
            let mut changed = sealed.to_vec();
            changed[at.index(sealed.len())] ^= flip;
            prop_assert_eq!(keys.open(&RECORD, &REQUEST, &changed), Err(NotOpened));
            prop_assert_eq!(keys.open(&RECORD, &REQUEST, &sealed[..cut.index(sealed.len())]), Err(NotOpened));
        }

        #[test]
        fn any_bytes_are_no_envelope(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            prop_assert_eq!(keys(&[7]).open(&RECORD, &REQUEST, &bytes), Err(NotOpened));
        }
    }
}
