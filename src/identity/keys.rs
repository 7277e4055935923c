//! Public keys, from PEM, from a JWK set (RFC 7517), or a shared secret; each bound to the algorithms that it is for.

use aws_lc_rs::signature::{self, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;

use super::{Algorithm, object};

/// Most keys of a set that are used.
pub const MAX_KEYS: usize = 64;

/// Largest JWK set, in bytes.
pub const MAX_JWKS_BYTES: usize = 256 * 1024;

/// Shortest shared secret, in bytes (RFC 7518, 3.2).
pub(super) const MIN_SECRET: usize = 32;

/// Smallest and largest RSA modulus, in bits (RFC 7518, 3.3; the largest bounds the work of one check).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Most keys that are tried for a token without a key id.
const MAX_TRIES: usize = 4;

/// The keys of one issuer.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// It is a set that its issuer may change, and no single key of the policy's.
    changes: bool,
}

/// One key, ready to verify.
pub(super) struct Key {
    kid: Option<String>,
    /// What it may be used for: by its type, the issuer's list, and its own `alg`.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Which keys could have signed a token.
pub(super) enum Candidates<'k> {
    /// None has this id, or there is none at all.
    Unknown,
    /// The key of this id is for other algorithms.
    Unfit,
    /// These.
    Keys {
        /// They.
        found: Vec<&'k Key>,
        /// Nothing but their fitting says that it was one of them: the issuer may have another by now.
        guessed: bool,
    },
}

/// A key of a set that is not used, and why. Others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its place in the set, from 0.
    pub index: usize,
    /// Its id.
    pub kid: Option<String>,
    /// Why.
    pub why: KeyFault,
}

/// Why bytes are no key to verify with; worded for whoever wrote the policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Not a public key in PEM.
    #[error("is no public key in PEM (`-----BEGIN PUBLIC KEY-----`)")]
    Pem,
    /// A private key where a public one belongs.
    #[error("is a private key; the gateway wants the public one only")]
    Private,
    /// An RSA key that is too small or too large.
    #[error("is an RSA key of {0} bits; 2048 to 8192 are taken")]
    RsaSize(usize),
    /// An RSA exponent with which nothing is safe, or that costs too much.
    #[error("has an RSA exponent that is not taken: odd ones from 3 to 2^33 are")]
    Exponent,
    /// Numbers that are no point of the curve that is named.
    #[error("is no point of its curve")]
    Point,
    /// A curve or key type that is not used.
    #[error("has a key type or curve that is not supported")]
    Type,
    /// The key fits none of the issuer's algorithms.
    #[error("fits none of the issuer's `algorithms`")]
    Algorithm,
    /// Not for signatures.
    #[error("is not meant for signatures (`use`, `key_ops`)")]
    Use,
    /// Two keys of one id.
    #[error("has the `kid` of another key of the set")]
    DuplicateKid,
    /// A shared secret that can be guessed.
    #[error("is a secret of {0} bytes; at least {MIN_SECRET} are needed")]
    ShortSecret(usize),
    /// Not a JWK set.
    #[error("is no JWK set")]
    NotASet,
    /// A member is malformed.
    #[error("has a malformed `{0}`")]
    Member(&'static str),
    /// More than may be read.
    #[error("is larger than a JWK set may be: {MAX_JWKS_BYTES} bytes, {MAX_KEYS} keys")]
    TooLarge,
    /// Nothing that could verify a token.
    #[error("has no key that can be used")]
    NoUsableKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Whether the key made this signature. The algorithm is one of the key's own.
    pub(super) fn signed(&self, message: &[u8], signature: &str, algorithm: Algorithm) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.key, algorithm.library()).unwrap_or(false)
    }
}

impl KeySet {
    /// Whether no token could be verified.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The ids of the keys, for logs.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(|key| key.kid.as_deref())
    }

    /// One public key in PEM.
    ///
    /// # Errors
    /// It is none, is too weak, or fits no algorithm.
    pub fn public_key(pem: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeyFault> {
        if String::from_utf8_lossy(pem).contains("PRIVATE KEY-----") {
            return Err(KeyFault::Private);
        }
        let info = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyFault::Pem)?;
        let (key, fits) = from_info(pem, &info)?;
        let algorithms = common(algorithms, &fits)?;
        Ok(Self {
            keys: vec![Key {
                kid: None,
                algorithms,
                key,
            }],
            changes: false,
        })
    }

    /// A shared secret. Blanks at its end are an editor's.
    ///
    /// # Errors
    /// It is too short.
    pub fn secret(bytes: &[u8]) -> Result<Self, KeyFault> {
        let secret = bytes.trim_ascii_end();
        if secret.len() < MIN_SECRET {
            return Err(KeyFault::ShortSecret(secret.len()));
        }
        Ok(Self {
            keys: vec![Key {
                kid: None,
                algorithms: vec![Algorithm::HS256],
                key: DecodingKey::from_secret(secret),
            }],
            changes: false,
        })
    }

    /// A JWK set. Keys that cannot be used are left out, with the reason; one odd key does not take the others away.
    ///
    /// # Errors
    /// It is no set, or has no key that can be used.
    pub fn jwks(bytes: &[u8], algorithms: &[Algorithm]) -> Result<(Self, Vec<SkippedKey>), KeyFault> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        if bytes.len() > MAX_JWKS_BYTES {
            return Err(KeyFault::TooLarge);
        }
        let set: Set<'_> = serde_json::from_slice(bytes).map_err(|_| KeyFault::NotASet)?;
        if set.keys.len() > MAX_KEYS {
            return Err(KeyFault::TooLarge);
        }
        let read: Vec<_> = set.keys.iter().map(|raw| read(raw.get(), algorithms)).collect();
        let mut counts: HashMap<String, usize> = HashMap::new();
        for (kid, _) in &read {
            if let Some(kid) = kid {
                *counts.entry(kid.clone()).or_default() += 1;
            }
        }
        let mut keys = Vec::new();
        let mut skipped = Vec::new();
        for (index, (kid, key)) in read.into_iter().enumerate() {
            let doubled = kid
                .as_ref()
                .is_some_and(|kid| counts.get(kid).is_some_and(|count| *count > 1));
            match key {
                Ok(_) if doubled => skipped.push(SkippedKey {
                    index,
                    kid,
                    why: KeyFault::DuplicateKid,
                }),
                Ok((key, algorithms)) => keys.push(Key { kid, algorithms, key }),
                Err(why) => skipped.push(SkippedKey { index, kid, why }),
            }
        }
        if keys.is_empty() {
            return Err(KeyFault::NoUsableKey);
        }
        Ok((Self { keys, changes: true }, skipped))
    }

    /// The keys that could have signed a token of this key id and algorithm. A single key without an id of its own takes
    /// tokens of any id: the policy names no other.
    pub(super) fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Candidates<'_> {
        let named: Vec<&Key> = self
            .keys
            .iter()
            .filter(|key| kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid)
            .collect();
        if named.is_empty() {
            return Candidates::Unknown;
        }
        let fit: Vec<&Key> = named
            .into_iter()
            .filter(|key| key.algorithms.contains(&algorithm))
            .take(MAX_TRIES)
            .collect();
        match (fit.is_empty(), kid) {
            (false, _) => Candidates::Keys {
                guessed: self.changes && !fit.iter().any(|key| kid.is_some() && key.kid.as_deref() == kid),
                found: fit,
            },
            (true, Some(_)) => Candidates::Unfit,
            (true, None) => Candidates::Unknown,
        }
    }
}

fn common(allowed: &[Algorithm], fits: &[Algorithm]) -> Result<Vec<Algorithm>, KeyFault> {
    let both: Vec<Algorithm> = fits.iter().copied().filter(|one| allowed.contains(one)).collect();
    if both.is_empty() {
        return Err(KeyFault::Algorithm);
    }
    Ok(both)
}

/// What kind of key a `SubjectPublicKeyInfo` is, told by its algorithm identifier (RFC 5280, 4.1.2.7; RFC 8410; RFC 5480).
fn from_info(pem: &[u8], info: &SubjectPublicKeyInfoDer<'_>) -> Result<(DecodingKey, Vec<Algorithm>), KeyFault> {
    const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
    const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
    let (outer, _) = der(info.as_ref(), 0x30).ok_or(KeyFault::Pem)?;
    let (identifier, rest) = der(outer, 0x30).ok_or(KeyFault::Pem)?;
    let has = |oid: &[u8]| identifier.windows(oid.len()).any(|window| window == oid);
    if has(RSA) {
        let (bits, _) = der(rest, 0x03).ok_or(KeyFault::Pem)?;
        let (key, _) = bits.get(1..).and_then(|key| der(key, 0x30)).ok_or(KeyFault::Pem)?;
        let (modulus, rest) = der(key, 0x02).ok_or(KeyFault::Pem)?;
        rsa_size(modulus)?;
        let (exponent, _) = der(rest, 0x02).ok_or(KeyFault::Pem)?;
        rsa_exponent(exponent)?;
        let key = DecodingKey::from_rsa_pem(pem).map_err(|_| KeyFault::Pem)?;
        return Ok((key, vec![Algorithm::RS256, Algorithm::PS256]));
    }
    let curve = [(P256, Algorithm::ES256), (P384, Algorithm::ES384)]
        .into_iter()
        .find(|(oid, _)| has(oid));
    if let Some((_, algorithm)) = curve {
        let (bits, _) = der(rest, 0x03).ok_or(KeyFault::Pem)?;
        point(algorithm, bits.get(1..).ok_or(KeyFault::Pem)?)?;
        let key = DecodingKey::from_ec_pem(pem).map_err(|_| KeyFault::Pem)?;
        return Ok((key, vec![algorithm]));
    }
    if identifier == ED25519 {
        let key = DecodingKey::from_ed_pem(pem).map_err(|_| KeyFault::Pem)?;
        return Ok((key, vec![Algorithm::EdDSA]));
    }
    Err(KeyFault::Type)
}

/// One DER element of the tag: its content, and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *first != tag {
        return None;
    }
    if *length < 0x80 {
        return rest.split_at_checked(usize::from(*length));
    }
    let count = usize::from(*length & 0x7f);
    let (digits, rest) = rest.split_at_checked(count).filter(|_| count <= 3)?;
    let length = digits.iter().fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit));
    rest.split_at_checked(length)
}

fn rsa_size(modulus: &[u8]) -> Result<(), KeyFault> {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let significant = modulus.get(zeros..).unwrap_or_default();
    let top = significant.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = (significant.len() * 8).saturating_sub(top);
    if RSA_BITS.contains(&bits) {
        Ok(())
    } else {
        Err(KeyFault::RsaSize(bits))
    }
}

/// With an exponent of 1 a message is its own signature.
fn rsa_exponent(exponent: &[u8]) -> Result<(), KeyFault> {
    const MOST: u64 = 1 << 33;
    let value = exponent.iter().try_fold(0_u64, |value, byte| {
        let value = value.checked_mul(256)?.checked_add(u64::from(*byte))?;
        (value <= MOST).then_some(value)
    });
    match value {
        Some(value) if value >= 3 && value % 2 == 1 => Ok(()),
        _ => Err(KeyFault::Exponent),
    }
}

/// A key that is no point of its curve verifies nothing, and is said so before a token comes.
fn point(algorithm: Algorithm, point: &[u8]) -> Result<(), KeyFault> {
    let curve = match algorithm {
        Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
        _ => &signature::ECDSA_P256_SHA256_FIXED,
    };
    ParsedPublicKey::new(curve, point)
        .map(drop)
        .map_err(|_| KeyFault::Point)
}

type Read = (Option<String>, Result<(DecodingKey, Vec<Algorithm>), KeyFault>);

/// One JWK: its id, and the key or why it is not used.
fn read(raw: &str, allowed: &[Algorithm]) -> Read {
    let Some(members) = object::parse(raw.as_bytes()) else {
        return (None, Err(KeyFault::NotASet));
    };
    let kid = members.get("kid").and_then(Value::as_str).map(str::to_owned);
    let key = match members.get("kid") {
        Some(Value::String(_)) | None => from_jwk(&members, allowed),
        Some(_) => Err(KeyFault::Member("kid")),
    };
    (kid, key)
}

fn from_jwk(members: &Map<String, Value>, allowed: &[Algorithm]) -> Result<(DecodingKey, Vec<Algorithm>), KeyFault> {
    let text = |name: &'static str| members.get(name).and_then(Value::as_str).ok_or(KeyFault::Member(name));
    let coordinate = |name: &'static str, bytes: usize| {
        let text = text(name)?;
        let decoded = URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyFault::Member(name))?;
        if decoded.len() == bytes {
            Ok(text)
        } else {
            Err(KeyFault::Member(name))
        }
    };
    if ["d", "p", "q", "dp", "dq", "qi", "oth"]
        .iter()
        .any(|name| members.contains_key(*name))
    {
        return Err(KeyFault::Private);
    }
    for_signatures(members)?;
    let (fits, key) = match text("kty")? {
        "RSA" => {
            let modulus = URL_SAFE_NO_PAD.decode(text("n")?).map_err(|_| KeyFault::Member("n"))?;
            rsa_size(&modulus)?;
            let exponent = URL_SAFE_NO_PAD.decode(text("e")?).map_err(|_| KeyFault::Member("e"))?;
            rsa_exponent(&exponent)?;
            let key = DecodingKey::from_rsa_components(text("n")?, text("e")?);
            (vec![Algorithm::RS256, Algorithm::PS256], key)
        }
        "EC" => {
            let (algorithm, size) = match text("crv")? {
                "P-256" => (Algorithm::ES256, 32),
                "P-384" => (Algorithm::ES384, 48),
                _ => return Err(KeyFault::Type),
            };
            let (x, y) = (coordinate("x", size)?, coordinate("y", size)?);
            let mut whole = vec![0x04];
            for part in [x, y] {
                whole.extend(URL_SAFE_NO_PAD.decode(part).map_err(|_| KeyFault::Point)?);
            }
            point(algorithm, &whole)?;
            let key = DecodingKey::from_ec_components(x, y);
            (vec![algorithm], key)
        }
        "OKP" if text("crv")? == "Ed25519" => {
            let key = DecodingKey::from_ed_components(coordinate("x", 32)?);
            (vec![Algorithm::EdDSA], key)
        }
        // `oct` above all: a shared secret that a server publishes is none (THREATS F03).
        _ => return Err(KeyFault::Type),
    };
    let key = key.map_err(|_| KeyFault::Member("key"))?;
    let own = match members.get("alg") {
        None => fits,
        Some(Value::String(name)) => {
            let own = name.parse().map_err(|_| KeyFault::Algorithm)?;
            common(&[own], &fits)?
        }
        Some(_) => return Err(KeyFault::Member("alg")),
    };
    Ok((key, common(allowed, &own)?))
}

/// RFC 7517, 4.2 and 4.3: what is there must say so, and an operation is named once.
fn for_signatures(members: &Map<String, Value>) -> Result<(), KeyFault> {
    if members.get("use").is_some_and(|value| value.as_str() != Some("sig")) {
        return Err(KeyFault::Use);
    }
    let Some(operations) = members.get("key_ops") else {
        return Ok(());
    };
    let mut named: Vec<&str> = operations
        .as_array()
        .and_then(|all| all.iter().map(Value::as_str).collect())
        .ok_or(KeyFault::Member("key_ops"))?;
    let (count, verifies) = (named.len(), named.contains(&"verify"));
    named.sort_unstable();
    named.dedup();
    match (named.len() == count, verifies) {
        (false, _) => Err(KeyFault::Member("key_ops")),
        (true, false) => Err(KeyFault::Use),
        (true, true) => Ok(()),
    }
}
