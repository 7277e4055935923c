//! A compact JWS (RFC 7515, 3.1) taken apart, and what its header may say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Algorithm, TokenFault, object};

/// Longest token, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// Longest key id, in bytes.
const MAX_KID: usize = 256;

/// Header members that would change what is verified, or bring keys of the sender's choice (THREATS F07-F10, F17, F36).
const REFUSED: [&str; 8] = ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"];

/// A token whose parts could be read. Nothing in it is believed yet.
#[derive(Debug)]
pub(super) struct Token<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) claims: Map<String, Value>,
    /// What was signed: header and payload as they came.
    pub(super) signed: &'t str,
    pub(super) signature: &'t str,
}

impl<'t> Token<'t> {
    pub(super) fn parse(token: &'t str) -> Result<Self, TokenFault> {
        if token.len() > MAX_TOKEN {
            return Err(TokenFault::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed("not three parts"))?;
        let (header, payload) = signed
            .split_once('.')
            .filter(|(_, payload)| !payload.contains('.'))
            .ok_or(TokenFault::Malformed("not three parts"))?;
        if [header, payload, signature].contains(&"") {
            return Err(TokenFault::Malformed("an empty part"));
        }
        decode(signature)?;
        let header = object::parse(&decode(header)?).ok_or(TokenFault::Malformed("its header is no plain object"))?;
        let algorithm = check_header(&header)?;
        let kid = kid(&header)?;
        let claims = object::parse(&decode(payload)?).ok_or(TokenFault::Malformed("its claims are no plain object"))?;
        Ok(Self {
            algorithm,
            kid,
            claims,
            signed,
            signature,
        })
    }
}

/// Strict base64url: no padding, no other alphabet, no bits left over.
fn decode(part: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenFault::Malformed("a part is no base64url"))
}

fn check_header(header: &Map<String, Value>) -> Result<Algorithm, TokenFault> {
    if let Some(name) = REFUSED.into_iter().find(|name| header.contains_key(*name)) {
        return Err(TokenFault::Header(name));
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(kind))
            if ["jwt", "at+jwt", "application/at+jwt", "application/jwt"]
                .iter()
                .any(|own| kind.eq_ignore_ascii_case(own)) => {}
        Some(_) => return Err(TokenFault::Header("typ")),
    }
    if header.contains_key("cty") {
        return Err(TokenFault::Header("cty"));
    }
    header
        .get("alg")
        .and_then(Value::as_str)
        .and_then(|name| name.parse().ok())
        .ok_or(TokenFault::Algorithm)
}

fn kid(header: &Map<String, Value>) -> Result<Option<String>, TokenFault> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if kid.len() <= MAX_KID => Ok(Some(kid.clone())),
        Some(_) => Err(TokenFault::Header("kid")),
    }
}
