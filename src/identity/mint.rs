//! Tokens for demos and tests. A gateway never makes one.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value};
use std::time::Duration;

use super::Algorithm;

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum MintFault {
    /// The key is none that can sign.
    #[error("no RSA, P-256, P-384 or Ed25519 private key in PEM")]
    Key,
    /// The library refused.
    #[error("cannot sign: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// Signs claims with a private key in PEM; the key decides the algorithm. `iat` and `exp` are added unless the claims
/// have them; `now` in unix seconds.
///
/// # Errors
/// [`MintFault`].
pub fn with_key(
    pem: &[u8],
    claims: &Map<String, Value>,
    kid: Option<&str>,
    ttl: Option<Duration>,
    now: u64,
) -> Result<String, MintFault> {
    let candidates = [
        EncodingKey::from_rsa_pem(pem).ok().map(|key| (key, Algorithm::RS256)),
        EncodingKey::from_ec_pem(pem).ok().map(|key| (key, Algorithm::ES256)),
        EncodingKey::from_ec_pem(pem).ok().map(|key| (key, Algorithm::ES384)),
        EncodingKey::from_ed_pem(pem).ok().map(|key| (key, Algorithm::EdDSA)),
    ];
    let claims = timed(claims, ttl, now);
    candidates
        .into_iter()
        .flatten()
        .find_map(|(key, algorithm)| sign(&claims, kid, &key, algorithm).ok())
        .ok_or(MintFault::Key)
}

/// Signs claims with a shared secret (HS256).
///
/// # Errors
/// [`MintFault`].
pub fn with_secret(
    secret: &[u8],
    claims: &Map<String, Value>,
    kid: Option<&str>,
    ttl: Option<Duration>,
    now: u64,
) -> Result<String, MintFault> {
    let key = EncodingKey::from_secret(secret.trim_ascii_end());
    sign(&timed(claims, ttl, now), kid, &key, Algorithm::HS256)
}

fn timed(claims: &Map<String, Value>, ttl: Option<Duration>, now: u64) -> Map<String, Value> {
    let mut claims = claims.clone();
    claims.entry("iat").or_insert_with(|| now.into());
    if let Some(ttl) = ttl {
        let expires = now.saturating_add(ttl.as_secs());
        claims.entry("exp").or_insert_with(|| expires.into());
    }
    claims
}

fn sign(
    claims: &Map<String, Value>,
    kid: Option<&str>,
    key: &EncodingKey,
    algorithm: Algorithm,
) -> Result<String, MintFault> {
    let mut header = Header::new(algorithm.library());
    header.kid = kid.map(str::to_owned);
    Ok(jsonwebtoken::encode(&header, claims, key)?)
}
