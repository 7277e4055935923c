//! `identity`: whose tokens are believed, and what backends are told about the caller.

use http::HeaderName;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::fields::{Fields, Text, text};
use super::identity_keys::{CLAIMS, IDENTITY, ISSUER};
use super::keys::{Inputs, IssuerSource, KeySource};
use super::problem::{Problems, quote};
use super::yaml::Node;
use super::{addresses, values};
use crate::identity::{Algorithm, ClaimNames, IssuerRules};
use crate::policy::parts::CallerFact;

/// Longest lifetime of a token that S1.12 lets pass without a word.
const LONG_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// How far clocks may differ unless the author says otherwise.
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// Shortest secret for HS256, in bytes (RFC 7518, 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// Reads the issuers.
pub(super) fn issuers(fields: Option<Fields<'_>>, inputs: &mut Inputs, problems: &mut Problems) -> Vec<IssuerSource> {
    // Not required of each file: another may have them.
    if let Some(fields) = &fields
        && fields.key("issuers").is_none()
    {
        problems.error(fields.at, "`issuers` is missing");
    }
    let mut list: Vec<IssuerSource> = Vec::new();
    let mut seen = HashSet::new();
    for node in fields.iter().flat_map(|fields| fields.list("issuers")) {
        let own = Fields::new(node, node.at, &ISSUER);
        let Some(issuer) = issuer(&own, inputs, problems) else {
            continue;
        };
        if !seen.insert(Arc::clone(&issuer.rules.issuer)) {
            let at = own.text("issuer").map_or(own.at, |text| text.at);
            problems
                .error(at, format!("issuer {} is given twice", quote(&issuer.rules.issuer)))
                .hint("tokens of one issuer are verified with one set of keys");
        }
        list.push(issuer);
    }
    list
}

fn issuer(own: &Fields<'_>, inputs: &mut Inputs, problems: &mut Problems) -> Option<IssuerSource> {
    let keys = key_source(own, inputs, problems);
    let algorithms = algorithms(own, problems);
    let max_lifetime = own.duration("max_lifetime");
    if max_lifetime.is_some_and(|lifetime| lifetime > LONG_LIFETIME)
        && let Some(at) = own.get("max_lifetime").map(|node| node.at)
    {
        problems
            .warn(at, "tokens live longer than 30 minutes")
            .hint("a role that was taken away keeps working for that long");
    }
    let claims = own.section("claims", &CLAIMS);
    let names = |key: &str, standard: &[&str]| -> Vec<String> {
        let names = claims.map(|claims| claims.texts(key)).unwrap_or_default();
        if names.is_empty() {
            standard.iter().map(|name| (*name).to_owned()).collect()
        } else {
            names.into_iter().map(|text| text.text.to_owned()).collect()
        }
    };
    let claims = ClaimNames {
        user: claims
            .and_then(|claims| claims.text("user"))
            .map_or_else(|| "sub".to_owned(), |text| text.text.to_owned()),
        roles: names("roles", &["roles", "role"]),
        scopes: names("scopes", &["scope"]),
        jurisdictions: names("jurisdictions", &["jurisdiction_scope"]),
    };
    let audiences = own
        .texts("audience")
        .into_iter()
        .map(|text| text.text.to_owned())
        .collect();
    let leeway = own.duration("leeway").unwrap_or(DEFAULT_LEEWAY);
    Some(IssuerSource {
        rules: IssuerRules {
            issuer: own.text("issuer")?.text.into(),
            audiences,
            algorithms,
            max_lifetime,
            leeway,
            require_bound: own.flag("require_bound_tokens").unwrap_or(false),
            claims,
        },
        keys: keys?,
    })
}

/// An HMAC secret verifies and signs, a public key does not: with both kinds allowed, a public key could be taken for a
/// secret (RFC 8725, 2.1). So `HS256` stands with `secret_file` alone, and nothing else does.
fn algorithms(own: &Fields<'_>, problems: &mut Problems) -> Vec<Algorithm> {
    let texts = own.texts("algorithms");
    let list: Vec<Algorithm> = texts.iter().filter_map(|text| text.text.parse().ok()).collect();
    let shared = own.key("secret_file").is_some();
    if own.key("algorithms").is_none() {
        if shared {
            return vec![Algorithm::HS256];
        }
        problems
            .error(own.at, "`algorithms` is missing")
            .hint("name those that the issuer signs with, such as `[RS256]`");
    }
    for text in texts {
        match (text.text == "HS256", shared) {
            (true, false) => problems
                .error(text.at, "`HS256` needs `secret_file`")
                .hint("a public key is no secret: whoever has it could sign"),
            (false, true) => problems
                .error(text.at, format!("{} cannot be used with `secret_file`", text.quoted()))
                .hint("`secret_file` is for `HS256` alone"),
            _ => {}
        }
    }
    list
}

fn key_source(own: &Fields<'_>, inputs: &mut Inputs, problems: &mut Problems) -> Option<KeySource> {
    let (jwks, public_key, secret) = (own.text("jwks"), own.text("public_key"), own.text("secret_file"));
    let ca = own.text("jwks_ca");
    let given: Vec<&str> = ["jwks", "public_key", "secret_file"]
        .into_iter()
        .filter(|name| own.key(name).is_some())
        .collect();
    match given.as_slice() {
        [] => problems
            .error(own.at, "the issuer has no keys")
            .hint("name `jwks`, `public_key` or `secret_file`"),
        [_] => {}
        [_, second, ..] => problems
            .error(
                own.key(second).unwrap_or(own.at),
                format!("`{second}` stands beside `{}`", given.first().unwrap_or(&"")),
            )
            .hint("an issuer has one of `jwks`, `public_key` and `secret_file`"),
    }
    let fetched = jwks.filter(|text| text.text.starts_with("https://"));
    if let Some(at) = own.key("jwks_ca")
        && fetched.is_none()
    {
        problems.error(at, "`jwks_ca` has no meaning without an `https://` URL in `jwks`");
    }
    let ca = ca.and_then(|text| pem(text, "CERTIFICATE", "a certificate", inputs, problems));
    if let Some(text) = fetched {
        let ca = ca.map(|(bytes, _)| bytes);
        return Some(KeySource::JwksUrl {
            url: text.text.to_owned(),
            ca,
        });
    }
    if let Some(text) = jwks {
        addresses::jwks(text.text).ok()?;
        let (bytes, path) = inputs.named_file(text, problems)?;
        return Some(KeySource::JwksFile(bytes, path));
    }
    if let Some(text) = public_key {
        let (bytes, path) = pem(text, "PUBLIC KEY", "a public key", inputs, problems)?;
        return Some(KeySource::PublicKey(bytes, path));
    }
    shared_secret(secret?, inputs, problems)
}

/// A PEM file of some kind. A private key in its place is refused before anything else looks at it.
fn pem(
    text: Text<'_>,
    marker: &str,
    what: &str,
    inputs: &mut Inputs,
    problems: &mut Problems,
) -> Option<(Vec<u8>, std::path::PathBuf)> {
    let (bytes, path) = inputs.named_file(text, problems)?;
    let content = String::from_utf8_lossy(&bytes);
    if content.contains("PRIVATE KEY-----") {
        problems
            .error(text.at, format!("{} holds a private key", text.quoted()))
            .hint("a verifier needs none; keep it where tokens are signed");
        return None;
    }
    if !content.contains(&format!("{marker}-----")) {
        problems.error(text.at, format!("{} does not hold {what} in PEM", text.quoted()));
        return None;
    }
    Some((bytes, path))
}

fn shared_secret(text: Text<'_>, inputs: &mut Inputs, problems: &mut Problems) -> Option<KeySource> {
    let (mut bytes, path) = inputs.named_file(text, problems)?;
    // Editors end a file with a line break, secret stores do not; the secret is the same.
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.len() < MIN_SECRET_BYTES {
        problems
            .error(
                text.at,
                format!(
                    "the secret in {} is shorter than {MIN_SECRET_BYTES} bytes",
                    text.quoted()
                ),
            )
            .hint("make one with `openssl rand -base64 48`");
        return None;
    }
    Some(KeySource::Secret(bytes, path))
}

/// Reads the headers that tell backends about the caller.
pub(super) fn forward_as(fields: Option<Fields<'_>>, problems: &mut Problems) -> Vec<(HeaderName, CallerFact)> {
    let mut list: Vec<(HeaderName, CallerFact)> = Vec::new();
    let mut seen = HashSet::new();
    for (key, node) in fields.iter().flat_map(|fields| fields.named("forward_as")) {
        let Ok(name) = values::forwarded_header(&key.text) else {
            continue;
        };
        let Some(fact) = fact(node) else { continue };
        if !seen.insert(name.clone()) {
            problems
                .error(key.at, format!("header {} is given twice", quote(&key.text)))
                .hint("case does not matter in header names");
        }
        list.push((name, fact));
    }
    list
}

fn fact(node: &Node) -> Option<CallerFact> {
    Some(match text(node)?.text {
        "user" => CallerFact::User,
        "roles" => CallerFact::Roles,
        "jurisdictions" => CallerFact::Jurisdictions,
        "scopes" => CallerFact::Scopes,
        "issuer" => CallerFact::Issuer,
        _ => return None,
    })
}

/// The section, if the policy has it.
pub(super) fn section<'a>(policy: &Fields<'a>) -> Option<Fields<'a>> {
    policy.section("identity", &IDENTITY)
}
