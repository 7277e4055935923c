//! The keys of policy files that say whose tokens are believed (interface, section 3).

use std::time::Duration;

use super::policy_keys::{FILE, LINE, words};
use super::shape::{Section, Shape, TextKind, Words, optional, required};
use super::{addresses, values};

/// The largest leeway that a token's times may be given.
pub(super) const MAX_LEEWAY: Duration = Duration::from_secs(300);

static JWKS: TextKind = TextKind {
    pattern: "^(https://.+|[^:]+)$",
    example: "keys/jwks.json",
    check: addresses::jwks,
};

static FORWARDED: TextKind = TextKind {
    pattern: "^[!#$%&'*+^`|~0-9A-Za-z-]+$",
    example: "X-Municipal-User",
    check: |text| values::forwarded_header(text).map(drop),
};

static REVOKED_NAME: TextKind = TextKind {
    pattern: ".+",
    example: "3f0c9a61",
    check: values::revoked_name,
};

static TIME: TextKind = TextKind {
    pattern: "^\\d{4}-\\d{2}-\\d{2}[Tt ].+$",
    example: "2026-11-20T10:00:00Z",
    check: |text| values::time(text).map(drop),
};

static ALGORITHM: Words = words(
    "algorithm",
    &["RS256", "PS256", "ES256", "ES384", "EdDSA", "HS256"],
    &[],
);
static FACT: Words = words("fact", &["user", "roles", "jurisdictions", "scopes", "issuer"], &[]);

/// `identity`.
pub(super) static IDENTITY: Section = Section {
    name: "identity",
    about: "Whose tokens are believed, and what backends are told about the caller.",
    keys: &[
        optional(
            "issuers",
            Shape::Some(&Shape::Section(&ISSUER)),
            "Who may issue tokens. Required in one file of a policy that has identity.",
        ),
        optional(
            "forward_as",
            Shape::Named(&FORWARDED, &Shape::Word(&FACT)),
            "Request headers for the backend, and the fact about the caller that each carries.",
        ),
    ],
};

/// One entry of `issuers`.
pub(super) static ISSUER: Section = Section {
    name: "issuer",
    about: "An issuer of tokens. Exactly one of jwks, public_key and secret_file.",
    keys: &[
        required("issuer", Shape::Text(&LINE), "What the token's iss must be."),
        required(
            "audience",
            Shape::OneOrMany(&Shape::Text(&LINE)),
            "What the token's aud must be or hold; one of these.",
        ),
        optional("jwks", Shape::Text(&JWKS), "The issuer's keys: a file or an https URL."),
        optional(
            "jwks_ca",
            Shape::Text(&FILE),
            "Authorities (PEM) that the https server's certificate must come from. Absent: the system's.",
        ),
        optional(
            "public_key",
            Shape::Text(&FILE),
            "The issuer's one public key, a PEM file.",
        ),
        optional(
            "secret_file",
            Shape::Text(&FILE),
            "The shared secret for HS256, of at least 32 bytes.",
        ),
        optional(
            "algorithms",
            Shape::Some(&Shape::Word(&ALGORITHM)),
            "Signature algorithms that are accepted. Required save with secret_file.",
        ),
        optional(
            "max_lifetime",
            Shape::Duration {
                least: Duration::from_secs(1),
                most: Duration::from_secs(366 * 86_400),
            },
            "Longest time from iat to exp.",
        ),
        optional(
            "leeway",
            Shape::Duration {
                least: Duration::ZERO,
                most: MAX_LEEWAY,
            },
            "How far clocks may differ. Default: 30s.",
        ),
        optional(
            "require_bound_tokens",
            Shape::Flag,
            "Refuse tokens that are not bound to the client's certificate (RFC 8705). Default: false.",
        ),
        optional("claims", Shape::Section(&CLAIMS), "Where the token says what."),
    ],
};

/// `claims` of an issuer.
pub(super) static CLAIMS: Section = Section {
    name: "claims",
    about: "Names of claims; of several, the first that is there.",
    keys: &[
        optional("user", Shape::Text(&LINE), "Who it is. Default: sub."),
        optional(
            "roles",
            Shape::OneOrMany(&Shape::Text(&LINE)),
            "The roles. Default: [roles, role].",
        ),
        optional(
            "scopes",
            Shape::OneOrMany(&Shape::Text(&LINE)),
            "Scopes that narrow those of the roles. Default: scope.",
        ),
        optional(
            "jurisdictions",
            Shape::OneOrMany(&Shape::Text(&LINE)),
            "The jurisdictions. Default: jurisdiction_scope.",
        ),
    ],
};

/// `revoked`.
pub(super) static REVOKED: Section = Section {
    name: "revoked",
    about: "Tokens and users that are refused whatever their tokens say, of whichever issuer.",
    keys: &[
        optional(
            "tokens",
            Shape::Some(&Shape::Text(&REVOKED_NAME)),
            "Tokens by their jti.",
        ),
        optional(
            "users",
            Shape::Some(&Shape::Text(&REVOKED_NAME)),
            "Users by the claim that names them: sub, or what the issuer's claims.user says.",
        ),
        optional(
            "issued_before",
            Shape::Named(&REVOKED_NAME, &Shape::Text(&TIME)),
            "Users of whom only tokens from before a time are refused, and tokens without iat.",
        ),
    ],
};
