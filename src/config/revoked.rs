//! `revoked`: tokens and users that are refused whatever their tokens say.

use super::fields::{Fields, text};
use super::identity_keys::REVOKED;
use super::problem::Problems;
use super::values;
use crate::identity::{MAX_REVOKED, Revocation, Revoked};

/// Reads the list.
pub(super) fn read(policy: &Fields<'_>, problems: &mut Problems) -> Vec<Revocation> {
    let Some(own) = policy.section("revoked", &REVOKED) else {
        return Vec::new();
    };
    let mut list = Vec::new();
    let mut add = |revoked, issued_before| {
        list.push(Revocation {
            revoked,
            issuer: None,
            issued_before,
            until: None,
        });
    };
    for id in own.texts("tokens") {
        add(Revoked::Token(id.text.into()), None);
    }
    for user in own.texts("users") {
        add(Revoked::User(user.text.into()), None);
    }
    for (user, node) in own.named("issued_before") {
        // What is no time has been complained about.
        if let Some(time) = text(node).and_then(|time| values::time(time.text).ok()) {
            add(Revoked::User(user.text.as_str().into()), Some(time));
        }
    }
    if list.len() > MAX_REVOKED {
        problems
            .error(own.at, format!("has {} entries; {MAX_REVOKED} are taken", list.len()))
            .hint("a token that has expired need not be listed any more");
    }
    list
}
