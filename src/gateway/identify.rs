//! Third step: whose request it is. A token is verified once, and then known by its hash until it expires.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write as _;
use std::sync::Arc;

use super::refusal::Refusal;
use super::rules::Rules;
use crate::identity::TokenFault;
use crate::policy::parts::CallerFact;
use crate::policy::{Authority, Policy};
use crate::reason::Reason;

/// A verified caller, with what backends are told of it.
#[derive(Debug)]
pub struct Identity {
    /// What the caller may do.
    pub authority: Arc<Authority>,
    /// The policy's `forward_as`, ready to send.
    pub forwarded: Vec<(HeaderName, HeaderValue)>,
}

/// Finds the caller. None when there is no token: then only public routes are open.
pub(super) async fn identify(
    rules: &Arc<Rules>,
    headers: &HeaderMap,
    now: u64,
) -> Result<Option<Arc<Identity>>, Refusal> {
    let Some(field) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let token = bearer(field).ok_or_else(|| Refusal::because(Reason::InvalidToken, "not one bearer token"))?;
    let keys = rules.keys();
    if let Some(known) = keys.verified.get(token, now) {
        return Ok(Some(known));
    }
    let mut verified = keys.ring.verify(token, now);
    let mut keys = keys;
    if let Err(TokenFault::UnknownKey { issuer }) = verified
        && rules.refetch(issuer).await
    {
        keys = rules.keys();
        verified = keys.ring.verify(token, now);
    }
    let caller = verified.map_err(|fault| Refusal::because(fault.reason(), fault.to_string()))?;
    let expires_at = caller.expires_at;
    let authority = Authority::new(rules.policy(), caller)
        .map_err(|refused| Refusal::because(refused.0, format!("user {}", refused.1.user)))?;
    let forwarded = forwarded(rules.policy(), &authority)?;
    let identity = Arc::new(Identity {
        authority: Arc::new(authority),
        forwarded,
    });
    keys.verified.insert(token, Arc::clone(&identity), expires_at);
    Ok(Some(identity))
}

/// The token of a `Bearer` header (RFC 6750, 2.1; the scheme's case is free, RFC 9110, 11.1).
fn bearer(field: &HeaderValue) -> Option<&str> {
    let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains([' ', ','])).then_some(token)
}

fn forwarded(policy: &Policy, authority: &Authority) -> Result<Vec<(HeaderName, HeaderValue)>, Refusal> {
    let caller = &authority.caller;
    let list = |items: &mut dyn Iterator<Item = &str>, between: &str| {
        items.map(|item| encode(item, true)).collect::<Vec<_>>().join(between)
    };
    policy
        .forward_as()
        .iter()
        .map(|(name, fact)| {
            let text = match fact {
                CallerFact::User => encode(&caller.user, false),
                CallerFact::Issuer => encode(&caller.issuer, false),
                CallerFact::Roles => list(&mut authority.roles.iter().map(|role| &**role), ","),
                CallerFact::Jurisdictions => list(&mut caller.jurisdictions.iter().map(String::as_str), ","),
                CallerFact::Scopes => list(&mut caller.scopes.iter().flatten().map(String::as_str), " "),
            };
            let value = HeaderValue::from_str(&text)
                .map_err(|_| Refusal::because(Reason::InvalidToken, "a claim does not fit into a header"))?;
            Ok((name.clone(), value))
        })
        .collect()
}

/// A claim as one header value, or one item of a list, that cannot be taken for more than it is (THREATS D20):
/// whatever is not visible ASCII is percent-encoded, in a list the separators too.
fn encode(text: &str, item: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.trim().bytes() {
        let plain = match byte {
            b'%' => false,
            b',' | b' ' => !item,
            other => other.is_ascii_graphic(),
        };
        if plain {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_token_is_taken_and_nothing_else() {
        for (field, token) in [
            ("Bearer a.b.c", Some("a.b.c")),
            ("bearer a.b.c", Some("a.b.c")),
            ("BEARER  a.b.c", Some("a.b.c")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic dTpw", None),
            ("Bearer a b", None),
            ("Bearer a,Bearer b", None),
            ("a.b.c", None),
        ] {
            assert_eq!(bearer(&HeaderValue::from_str(field).unwrap()), token, "{field}");
        }
    }

    #[test]
    fn a_claim_cannot_become_two_headers_or_two_items() {
        assert_eq!(encode("a\r\nX-Admin: 1", false), "a%0D%0AX-Admin: 1");
        assert_eq!(encode("a, finance_admin", true), "a%2C%20finance_admin");
        assert_eq!(encode("Jane Doe", false), "Jane Doe");
        assert_eq!(encode("Zoë 100%", false), "Zo%C3%AB 100%25");
    }
}
