//! Tokens that are good only together with the client certificate that they name (RFC 8705, 3.1).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Caller, TokenFault};

/// The one way of binding that is checked here.
const THUMBPRINT: &str = "x5t#S256";

/// Which certificate the claims bind their token to. A token that is bound in another way as well, or only, is refused: that
/// it is used by its owner cannot be seen here.
pub(super) fn bound_to(claims: &Map<String, Value>) -> Result<Option<[u8; 32]>, TokenFault> {
    let fault = |what| TokenFault::Claim("cnf".to_owned(), what);
    let members = match claims.get("cnf") {
        None => return Ok(None),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(fault("is no object")),
    };
    if members.keys().any(|name| name != THUMBPRINT) {
        return Err(fault("binds the token in a way that is not checked here"));
    }
    members
        .get(THUMBPRINT)
        .and_then(Value::as_str)
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .and_then(|bytes| bytes.try_into().ok())
        .map(Some)
        .ok_or_else(|| fault("has no SHA-256 in `x5t#S256`"))
}

impl Caller {
    /// Whether the token may be used by whoever has shown a certificate of this SHA-256, or none.
    ///
    /// # Errors
    /// It is bound to a certificate, and that is not this one.
    pub fn is_used_with(&self, certificate: Option<&[u8; 32]>) -> Result<(), TokenFault> {
        match (&self.bound_to, certificate) {
            (None, _) => Ok(()),
            (Some(bound), Some(shown)) if verify_slices_are_equal(bound, shown).is_ok() => Ok(()),
            (Some(_), Some(_)) => Err(TokenFault::Unbound("the certificate is another")),
            (Some(_), None) => Err(TokenFault::Unbound("no certificate was shown")),
        }
    }
}
