//! From a token to the caller that it vouches for (RFC 7519, RFC 7515, RFC 8725).
//!
//! [`Keyring::verify`] is the whole of it: a pure function of the token, the keys and the time. The signature's arithmetic is
//! a library's; everything that the library leaves to its caller (who may issue, which algorithm with which key, what
//! a header may demand, what is missing, doubled or of the wrong type) is decided here, and every doubt is a refusal.
//!
//! Knows no network and no clock. Keys that come from elsewhere are fetched by the edge.

mod binding;
mod cache;
mod claims;
mod keyring;
mod keys;
pub mod mint;
mod object;
mod revocation;
#[cfg(test)]
mod tests;
mod token;

use serde_json::{Map, Value};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::reason::Reason;

pub use cache::{MAX_VERIFIED, VerifiedCache};
pub use claims::caller_of;
pub use keyring::Keyring;
pub use keys::{KeyFault, KeySet, MAX_JWKS_BYTES, MAX_KEYS, SkippedKey};
pub use revocation::{MAX_REVOKED, MAX_REVOKED_NAME, Revocation, Revocations, Revoked};
pub use token::MAX_TOKEN;

/// Who asks, as a verified token says.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Who vouches (`iss`).
    pub issuer: Arc<str>,
    /// The user claim.
    pub user: String,
    /// The roles that the token names, known or not, in its order.
    pub roles: Vec<String>,
    /// The token's own scopes; absent when it has no such claim, and then it narrows nothing.
    pub scopes: Option<Vec<String>>,
    /// The jurisdictions (S1.5).
    pub jurisdictions: Vec<String>,
    /// Every claim.
    pub claims: Map<String, Value>,
    /// `iat`, in unix seconds.
    pub issued_at: Option<u64>,
    /// When the token ends to be good, in unix seconds: `exp` and the issuer's leeway.
    pub expires_at: u64,
    /// `jti`.
    pub token_id: Option<String>,
    /// SHA-256 of the client certificate without which the token is not good (RFC 8705).
    pub bound_to: Option<[u8; 32]>,
}

/// A signature algorithm (RFC 7518, 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// Ed25519.
    EdDSA,
    /// HMAC with SHA-256, a shared secret: only by `secret_file`.
    HS256,
}

/// The name of no algorithm that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is none of RS256, PS256, ES256, ES384, EdDSA, HS256")]
pub struct UnknownAlgorithm;

/// What an issuer's tokens must be like.
#[derive(Clone, Debug)]
pub struct IssuerRules {
    /// `iss`, exactly.
    pub issuer: Arc<str>,
    /// `aud`: one of these must be in it.
    pub audiences: Vec<String>,
    /// The only algorithms that are taken.
    pub algorithms: Vec<Algorithm>,
    /// Longest `exp - iat`; then `iat` is required (S1.12).
    pub max_lifetime: Option<Duration>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Tokens that are not bound to a client certificate are refused.
    pub require_bound: bool,
    /// Which claims say what.
    pub claims: ClaimNames,
}

/// Which claims say what. Of several names for one thing the first that is in the token counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// The user.
    pub user: String,
    /// The roles.
    pub roles: Vec<String>,
    /// The scopes that narrow what the roles grant.
    pub scopes: Vec<String>,
    /// The jurisdictions.
    pub jurisdictions: Vec<String>,
}

/// Why a token is refused. The client learns only [`TokenFault::reason`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is longer than any token should be.
    #[error("the token is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// Not three parts of strict base64url, or not JSON objects within.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Its header asks for something that is not done here.
    #[error("the token's header has `{0}`, which is not taken")]
    Header(&'static str),
    /// No issuer of the policy.
    #[error("the token's issuer is not one of the policy's")]
    Issuer,
    /// An algorithm that the issuer does not use, or that does not fit its key.
    #[error("the token's algorithm is not one of its issuer's")]
    Algorithm,
    /// No key of the issuer fits; another might have come since.
    #[error("the token's key is not known")]
    UnknownKey {
        /// The issuer's index.
        issuer: usize,
    },
    /// The signature is not its issuer's.
    #[error("the signature is wrong")]
    Signature,
    /// A claim is missing, of the wrong type, or says what may not be.
    #[error("the claim `{0}` {1}")]
    Claim(String, &'static str),
    /// It is bound to a client certificate (RFC 8705).
    #[error("the token is bound to a client certificate, and {0}")]
    Unbound(&'static str),
    /// It was good once.
    #[error("the token has expired")]
    Expired,
}

impl TokenFault {
    /// What the client is told.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Expired => Reason::ExpiredToken,
            _ => Reason::InvalidToken,
        }
    }
}

impl Default for ClaimNames {
    fn default() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            user: "sub".into(),
            roles: vec!["roles".into(), "role".into()],
            scopes: one("scope"),
            jurisdictions: one("jurisdiction_scope"),
        }
    }
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::RS256,
        Self::PS256,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
        Self::HS256,
    ];

    /// As in a token's header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
            Self::HS256 => "HS256",
        }
    }

    /// Whether it is a shared secret's.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256)
    }

    const fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::PS256 => jsonwebtoken::Algorithm::PS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::ES384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
            Self::HS256 => jsonwebtoken::Algorithm::HS256,
        }
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or(UnknownAlgorithm)
    }
}
