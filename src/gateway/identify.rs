//! Third step: whose request it is. A token is verified once, and then known by its hash until it expires.
//!
//! A connection mostly brings the same token again: it remembers the last one, so that not even the hash is needed.

use arc_swap::Guard;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Weak};

use super::accept::Peer;
use super::pace::Tries;
use super::refusal::Refusal;
use super::rules::{Keys, Rules};
use crate::edge::revoked::{Cleared, Register};
use crate::identity::{Caller, TokenFault};
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
    /// In which list of revoked tokens it was not.
    cleared: Cleared,
}

/// What a token is held against besides the rules.
pub(super) struct Beside<'a> {
    /// Who brings it.
    pub(super) peer: &'a Peer,
    /// How many bad ones its address has shown.
    pub(super) tries: Tries<'a>,
    /// What operators have revoked.
    pub(super) revoked: &'a Register,
}

/// Longest `Authorization` that a connection remembers, in bytes.
const MAX_REMEMBERED: usize = 4096;

/// Whom a connection's last token named. It counts only under the keys that verified it, and until it expires.
#[derive(Default)]
pub(super) struct LastCaller(RefCell<Option<Remembered>>);

struct Remembered {
    /// The `Authorization` as it came.
    field: HeaderValue,
    /// The keys, and with them the policy, under which it was verified. While this is held, no other keys can stand at
    /// the same address.
    keys: Weak<Keys>,
    identity: Arc<Identity>,
}

impl fmt::Debug for LastCaller {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastCaller").finish_non_exhaustive()
    }
}

impl LastCaller {
    /// The caller, if this is the same token again. One that is bound to a certificate was brought with that: a connection
    /// has one from its first byte to its last. Only a token that was verified a moment ago, on the same connection,
    /// is compared with, and by many bytes at a time: there is no guessing of a signature by the time that this takes.
    fn again(&self, field: &HeaderValue, keys: &Arc<Keys>, now: u64) -> Option<Arc<Identity>> {
        let last = self.0.borrow();
        let known = last.as_ref()?;
        let same = known.field.as_bytes() == field.as_bytes()
            && std::ptr::eq(known.keys.as_ptr(), Arc::as_ptr(keys))
            && now < known.identity.authority.caller.expires_at;
        same.then(|| Arc::clone(&known.identity))
    }

    fn remember(&self, field: &HeaderValue, keys: &Arc<Keys>, identity: &Arc<Identity>) {
        let bytes = field.as_bytes();
        // Copied: the field is a part of the whole head's buffer.
        let copy = (bytes.len() <= MAX_REMEMBERED).then(|| HeaderValue::from_bytes(bytes).ok());
        *self.0.borrow_mut() = copy.flatten().map(|field| Remembered {
            field,
            keys: Arc::downgrade(keys),
            identity: Arc::clone(identity),
        });
    }
}

/// Finds the caller. None when there is no token: then only public routes are open. A token that is not known yet is not
/// looked at if its address has shown too many that led nowhere (THREATS L10); one that is known costs nothing.
pub(super) async fn identify(
    rules: &Arc<Rules>,
    headers: &HeaderMap,
    beside: &Beside<'_>,
    now: u64,
) -> Result<Option<Arc<Identity>>, Refusal> {
    let Some(field) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let Beside { peer, tries, revoked } = beside;
    let last = &peer.last;
    let keys = rules.keys();
    if let Some(known) = last.again(field, &keys, now) {
        known.not_revoked(revoked, now)?;
        return Ok(Some(known));
    }
    let Some(token) = bearer(field) else {
        tries.may_try()?;
        tries.failed().await;
        return Err(Refusal::because(Reason::InvalidToken, "not one bearer token"));
    };
    let certificate = peer.certificate.as_deref().map(|certificate| &certificate.sha256);
    if let Some(known) = keys.verified.get(token, now) {
        known.not_revoked(revoked, now)?;
        known.is_used_with(certificate)?;
        last.remember(field, &keys, &known);
        return Ok(Some(known));
    }
    tries.may_try()?;
    let judged = judge(rules, token, now).await.and_then(|(identity, keys)| {
        identity.not_revoked(revoked, now)?;
        identity.is_used_with(certificate)?;
        Ok((identity, keys))
    });
    if judged.is_err() && keys.ring.has_usable_key() {
        // Without a key no token is good, which is nobody's fault.
        tries.failed().await;
    }
    let (identity, keys) = judged?;
    let expires_at = identity.authority.caller.expires_at;
    keys.verified.insert(token, Arc::clone(&identity), expires_at);
    last.remember(field, &keys, &identity);
    Ok(Some(identity))
}

/// Verifies a token that is not known, with the keys that it was verified by.
async fn judge(rules: &Arc<Rules>, token: &str, now: u64) -> Result<(Arc<Identity>, Guard<Arc<Keys>>), Refusal> {
    let mut keys = rules.keys();
    let mut verified = keys.ring.verify(token, now);
    if let Err(TokenFault::UnknownKey { issuer }) = verified
        && rules.refetch(issuer).await
    {
        keys = rules.keys();
        verified = keys.ring.verify(token, now);
    }
    let caller = verified.map_err(|fault| Refusal::because(fault.reason(), fault.to_string()))?;
    let authority = Authority::new(rules.policy(), caller).map_err(|refused| {
        let (reason, Caller { user, .. }) = *refused;
        let revoked = if reason == Reason::InvalidToken {
            "revoked by the policy; "
        } else {
            ""
        };
        Refusal::because(reason, format!("{revoked}user {user}"))
    })?;
    let forwarded = forwarded(rules.policy(), &authority)?;
    let identity = Arc::new(Identity {
        authority: Arc::new(authority),
        forwarded,
        cleared: Cleared::of_none(),
    });
    Ok((identity, keys))
}

impl Identity {
    fn is_used_with(&self, certificate: Option<&[u8; 32]>) -> Result<(), Refusal> {
        let caller = &self.authority.caller;
        caller
            .is_used_with(certificate)
            .map_err(|fault| Refusal::because(fault.reason(), fault.to_string()))
    }

    fn not_revoked(&self, revoked: &Register, now: u64) -> Result<(), Refusal> {
        let caller = &self.authority.caller;
        match revoked.refuse(caller, &self.cleared, now) {
            None => Ok(()),
            Some(why) => Err(Refusal::because(
                Reason::InvalidToken,
                format!("{why}; user {}", caller.user),
            )),
        }
    }
}

/// The token of a `Bearer` header (RFC 6750, 2.1; the scheme's case is free, RFC 9110, 11.1).
fn bearer(field: &HeaderValue) -> Option<&str> {
    let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    let one = !token.is_empty() && memchr::memchr2(b' ', b',', token.as_bytes()).is_none();
    (scheme.eq_ignore_ascii_case("bearer") && one).then_some(token)
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
/// whatever is not visible ASCII is percent-encoded, in a list the separators too. So are blanks at either end: readers
/// of a header drop those, and ` root` would be `root` to a backend, but another user to the policy and the audit.
fn encode(text: &str, item: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        let plain = match byte {
            b'%' => false,
            b',' => !item,
            b' ' => !item && at != 0 && at != last,
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
        assert_eq!(encode("", false), "");
    }

    #[test]
    fn two_callers_never_look_alike_to_a_backend() {
        for (user, told) in [
            ("root", "root"),
            (" root", "%20root"),
            ("root ", "root%20"),
            ("  root", "%20 root"),
            (" ", "%20"),
            ("\u{a0}root", "%C2%A0root"),
            ("root\u{3000}", "root%E3%80%80"),
            ("%20root", "%2520root"),
        ] {
            assert_eq!(encode(user, false), told, "{user:?}");
        }
        assert_eq!(encode(" County_A", true), "%20County_A");
    }
}
