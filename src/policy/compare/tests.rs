//! Edits of one policy, and what is said of each. After a change of wording `INSTA_UPDATE=always cargo test --lib compare`
//! writes what is said now; read the difference before it is committed.

use super::*;
use crate::config::load_policy;
use proptest::prelude::*;
use std::fmt::Write as _;
use tempfile::TempDir;

const BASE: &str = r#"
version: 1
identity:
  issuers:
    - issuer: https://idp.example
      audience: billing
      public_key: key.pem
      algorithms: [ES256]
      max_lifetime: 30m
  forward_as: { X-User: user }
roles:
  reader: { scopes: [accounts:read, "reports:*"] }
  clerk: { inherits: [reader], scopes: [accounts:write] }
  auditor: { scopes: ["*:read", audit:read], restricted_modules: [payments] }
  payer: { scopes: [payments:write, pii:read], allow_from: [10.0.0.0/8] }
exclusive_roles:
  - [clerk, payer]
modules:
  accounts:
    prefix: /api/accounts
    upstream: billing
    jurisdiction: { from: "query:county" }
    routes:
      - { methods: [GET], scope: accounts:read }
      - { path: "/{id}", methods: [GET, PUT], scope: accounts:write }
      - { path: /help, methods: [GET], public: true }
  payments:
    prefix: /api/payments
    upstream: billing
    routes:
      - path: /{county}/run
        methods: [POST]
        scope: payments:write
        jurisdiction: { from: "path:county" }
        idempotency: { required: true, transaction_id: /id, keep: 35d, on_duplicate: conflict }
      - { path: /archive, methods: [GET], scope: payments:read, jurisdiction: { fixed: [A, B] } }
  audit:
    prefix: /audit
    upstream: archive
    unmaskable: [application/pdf]
    routes:
      - { methods: [GET], scope: audit:read }
fields:
  pii:
    names: [ssn, phone]
    headers: [X-Customer]
    visible_to: [pii:read]
    never_to: [reader]
    mask: redact
  balance:
    names: [balance]
    visible_to: [accounts:write, audit:read]
    modules: [accounts, audit]
allow_from: [10.0.0.0/8, 192.168.0.0/16]
cors:
  origins: [https://portal.example, "https://*.city.example"]
  methods: [GET, POST]
  headers: [Authorization]
  expose: [X-Request-Id]
  max_age: 10m
"#;

/// What is replaced by what.
type Edit = (&'static str, &'static str);

const EDITS: &[(&str, &[Edit])] = &[
    ("nothing", &[]),
    (
        "order and spacing",
        &[(
            "allow_from: [10.0.0.0/8, 192.168.0.0/16]",
            "allow_from: [192.168.0.0/16, 10.128.0.0/9, 10.0.0.0/9]",
        )],
    ),
    (
        "a scope more",
        &[("[payments:write, pii:read]", "[payments:write, pii:read, audit:read]")],
    ),
    ("a scope less", &[("[accounts:read, \"reports:*\"]", "[\"reports:*\"]")]),
    (
        "a wildcard",
        &[(
            "scopes: [accounts:write] }",
            "scopes: [accounts:write, \"payments:*\"] }",
        )],
    ),
    (
        "a new role",
        &[(
            "  payer: {",
            "  boss: { inherits: [clerk], scopes: [audit:read] }\n  payer: {",
        )],
    ),
    (
        "a role less, which kept out and was addressed",
        &[
            (
                "  payer: { scopes: [payments:write, pii:read], allow_from: [10.0.0.0/8] }\n",
                "  other: { scopes: [payments:write, pii:read] }\n",
            ),
            ("  - [clerk, payer]", "  - [clerk, other]"),
        ],
    ),
    (
        "a module on trial",
        &[(
            "    prefix: /api/accounts\n",
            "    prefix: /api/accounts\n    mode: shadow\n",
        )],
    ),
    (
        "a rate limit",
        &[("payer: {", "payer: { rate_limit: { requests: 5, per: 1s },")],
    ),
    ("an inheritance less", &[("clerk: { inherits: [reader], ", "clerk: { ")]),
    (
        "a module is restricted",
        &[("payer: {", "payer: { restricted_modules: [audit],")],
    ),
    (
        "a module is restricted by inheritance",
        &[("reader: {", "reader: { restricted_modules: [accounts],")],
    ),
    ("a restriction is lifted", &[(", restricted_modules: [payments]", "")]),
    (
        "exclusive roles may be held together",
        &[("exclusive_roles:\n  - [clerk, payer]\n", "")],
    ),
    (
        "more exclusive roles",
        &[("  - [clerk, payer]", "  - [clerk, payer]\n  - [reader, payer]")],
    ),
    (
        "a token and users are revoked",
        &[(
            "exclusive_roles:",
            "revoked:\n  tokens: [t-1]\n  users: [mallory]\n  issued_before: { ops7: \"2026-11-20T10:00:00Z\" }\nexclusive_roles:",
        )],
    ),
    ("a role from anywhere", &[(", allow_from: [10.0.0.0/8] }", " }")]),
    (
        "a role from more addresses",
        &[(
            ", allow_from: [10.0.0.0/8] }",
            ", allow_from: [10.0.0.0/8, 172.16.0.0/12] }",
        )],
    ),
    (
        "a role from fewer addresses",
        &[(", allow_from: [10.0.0.0/8] }", ", allow_from: [10.20.0.0/16] }")],
    ),
    (
        "everyone from anywhere",
        &[("allow_from: [10.0.0.0/8, 192.168.0.0/16]\n", "")],
    ),
    (
        "another page",
        &[(
            "[https://portal.example, ",
            "[https://portal.example, https://other.example, ",
        )],
    ),
    (
        "a page that a wildcard lets in already",
        &[(
            "[https://portal.example, ",
            "[https://portal.example, https://a.city.example, ",
        )],
    ),
    (
        "one page in place of many",
        &[("\"https://*.city.example\"", "https://a.city.example")],
    ),
    (
        "many pages in place of one",
        &[("https://portal.example", "\"https://*.portal.example\"")],
    ),
    (
        "pages may do more",
        &[
            (
                "  methods: [GET, POST]\n  headers: [Authorization]",
                "  methods: [GET, POST, PUT]\n  headers: [authorization, X-Other]",
            ),
            ("[X-Request-Id]", "[X-Request-Id, ETag]"),
        ],
    ),
    (
        "pages may do less",
        &[
            ("  methods: [GET, POST]\n  headers: [Authorization]", "  methods: [GET]"),
            ("  expose: [X-Request-Id]\n", ""),
            ("max_age: 10m", "max_age: 5m"),
        ],
    ),
    (
        "pages with credentials",
        &[
            (", \"https://*.city.example\"]", "]"),
            ("  max_age: 10m", "  credentials: true\n  max_age: 10m"),
        ],
    ),
    (
        "no pages",
        &[(
            "cors:\n  origins: [https://portal.example, \"https://*.city.example\"]\n  methods: [GET, POST]\n  headers: [Authorization]\n  expose: [X-Request-Id]\n  max_age: 10m\n",
            "",
        )],
    ),
    (
        "a route more",
        &[(
            "      - { path: /help,",
            "      - { path: /all, methods: [DELETE], scope: accounts:write }\n      - { path: /help,",
        )],
    ),
    (
        "a route less",
        &[(
            "      - { path: \"/{id}\", methods: [GET, PUT], scope: accounts:write }\n",
            "",
        )],
    ),
    ("a method more", &[("[GET, PUT]", "[GET, PUT, DELETE]")]),
    ("a method less", &[("[GET, PUT]", "[GET]")]),
    ("another parameter's name", &[("/{id}", "/{account}")]),
    (
        "a route that shadows another",
        &[(
            "      - { path: /help,",
            "      - { path: /special, methods: [GET], scope: accounts:read }\n      - { path: /help,",
        )],
    ),
    (
        "patterns that meet",
        &[(
            "      - { path: /archive,",
            "      - { path: \"/north/{what}\", methods: [POST], scope: accounts:write }\n      - { path: /archive,",
        )],
    ),
    (
        "a route becomes public",
        &[(
            "{ methods: [GET], scope: audit:read }",
            "{ methods: [GET], public: true }",
        )],
    ),
    (
        "a public route asks for a scope",
        &[("public: true", "scope: accounts:write")],
    ),
    (
        "another scope, which one role has too",
        &[(
            "methods: [GET], scope: accounts:read",
            "methods: [GET], scope: reports:read",
        )],
    ),
    ("another prefix", &[("prefix: /audit", "prefix: /audits")]),
    ("one prefix more", &[("prefix: /audit", "prefix: [/audit, /log]")]),
    (
        "another name for a module",
        &[
            ("  payments:\n", "  money:\n"),
            ("restricted_modules: [payments]", "restricted_modules: [accounts]"),
        ],
    ),
    (
        "no jurisdiction",
        &[("    jurisdiction: { from: \"query:county\" }\n", "")],
    ),
    ("another jurisdiction", &[("query:county", "header:X-County")]),
    (
        "a jurisdiction is asked",
        &[(
            "scope: audit:read }",
            "scope: audit:read, jurisdiction: { from: \"query:county\" } }",
        )],
    ),
    ("a fixed jurisdiction more", &[("fixed: [A, B]", "fixed: [A, B, C]")]),
    ("a fixed jurisdiction less", &[("fixed: [A, B]", "fixed: [A]")]),
    (
        "no idempotency",
        &[(
            "        idempotency: { required: true, transaction_id: /id, keep: 35d, on_duplicate: conflict }\n",
            "",
        )],
    ),
    (
        "a schema",
        &[(
            "        idempotency: {",
            "        dry_run: { schema: one.json, entries: /e, account: /a, amount: /m }\n        idempotency: {",
        )],
    ),
    (
        "a first answer that is given again",
        &[
            ("on_duplicate: conflict", "on_duplicate: replay"),
            ("modules:\n  accounts:", "store_keys: [k1.key]\nmodules:\n  accounts:"),
        ],
    ),
    (
        "a version that the backend compares",
        &[(
            "        idempotency: {",
            "        concurrency: { if_match: required }\n        idempotency: {",
        )],
    ),
    (
        "a version that is compared here",
        &[(
            "        idempotency: {",
            "        concurrency: { if_match: required, version: { get: /api/payments/archive, header: ETag } }\n        idempotency: {",
        )],
    ),
    (
        "a wait for the first request",
        &[("on_duplicate: conflict }", "on_duplicate: conflict, wait: 2s }")],
    ),
    (
        "an optional key, kept shorter",
        &[(
            "required: true, transaction_id: /id, keep: 35d",
            "required: false, transaction_id: /id, keep: 1d",
        )],
    ),
    (
        "another transaction id",
        &[("transaction_id: /id", "transaction_id: /ssn")],
    ),
    (
        "another backend",
        &[(
            "    prefix: /audit\n    upstream: archive",
            "    prefix: /audit\n    upstream: billing",
        )],
    ),
    (
        "what cannot be masked passes",
        &[("unmaskable: [application/pdf]", "unmaskable: pass")],
    ),
    (
        "JSON that is not quite JSON is masked, too",
        &[(
            "    unmaskable: [application/pdf]",
            "    unmaskable: [application/pdf]\n    json: tolerant",
        )],
    ),
    (
        "the backend gets the token",
        &[(
            "    unmaskable: [application/pdf]",
            "    forward_token: true\n    path_parameters: allow",
        )],
    ),
    (
        "answers are compressed",
        &[(
            "    unmaskable: [application/pdf]",
            "    unmaskable: [application/pdf]\n    compress: [zstd, gzip]",
        )],
    ),
    (
        "another charset and delimiter",
        &[(
            "    unmaskable: [application/pdf]",
            "    unmaskable: [application/pdf]\n    csv: { delimiter: \";\" }\n    charset: windows-1252",
        )],
    ),
    (
        "columns",
        &[(
            "    names: [balance]",
            "    names: [balance]\n    columns: [Saldo, \" IB_AN \"]",
        )],
    ),
    (
        "a class that had paths alone",
        &[("    names: [ssn, phone]\n", "    paths: [/ssn]\n")],
    ),
    ("a field less", &[("names: [ssn, phone]", "names: [ssn]")]),
    (
        "the same fields in other letters, and one more",
        &[("names: [ssn, phone]", "names: [SSN, pho-ne, mail]")],
    ),
    (
        "exact names",
        &[("    names: [balance]", "    names: [balance]\n    match: exact")],
    ),
    (
        "a class less",
        &[(
            "  balance:\n    names: [balance]\n    visible_to: [accounts:write, audit:read]\n    modules: [accounts, audit]\n",
            "",
        )],
    ),
    (
        "a class more",
        &[("  balance:\n", "  debt: { names: [debt] }\n  balance:\n")],
    ),
    (
        "a class in fewer modules",
        &[("modules: [accounts, audit]", "modules: [accounts]")],
    ),
    (
        "a class in more modules",
        &[("modules: [accounts, audit]", "modules: [accounts, audit, payments]")],
    ),
    (
        "visible to one scope more",
        &[("visible_to: [pii:read]", "visible_to: [pii:read, audit:read]")],
    ),
    ("visible to nobody", &[("    visible_to: [pii:read]\n", "")]),
    (
        "never to one role more",
        &[("never_to: [reader]", "never_to: [reader, payer]")],
    ),
    ("never to one role less", &[("    never_to: [reader]\n", "")]),
    (
        "a weaker mask",
        &[("    names: [balance]", "    names: [balance]\n    mask: \"null\"")],
    ),
    ("a stronger mask", &[("mask: redact", "mask: remove")]),
    (
        "another text for what is redacted",
        &[("mask: redact", "mask: redact\n    redact_as: withheld")],
    ),
    (
        "a hash in place of a text",
        &[
            ("mask: redact", "mask: hash\n    key: k1"),
            ("fields:\n", "field_keys: { k1: { file: k1.key } }\nfields:\n"),
        ],
    ),
    (
        "other headers for the backend",
        &[("{ X-User: user }", "{ X-User: user, X-Roles: roles }")],
    ),
];

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("key.pem"),
        "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n",
    )
    .unwrap();
    for (name, byte) in [("k1.key", 1), ("same.key", 1), ("other.key", 2)] {
        std::fs::write(folder.path().join(name), [byte; 32]).unwrap();
    }
    for (name, schema) in [("one.json", "{}"), ("two.json", "{ \"type\": \"object\" }")] {
        std::fs::write(folder.path().join(name), schema).unwrap();
    }
    folder
}

fn policy(text: &str) -> Policy {
    let folder = folder();
    let path = folder.path().join("p.yaml");
    std::fs::write(&path, text).unwrap();
    let upstreams: Vec<Arc<str>> = vec!["billing".into(), "archive".into()];
    load_policy(&path, &upstreams)
        .unwrap_or_else(|problems| panic!("{}", crate::config::render(&problems)))
        .policy
}

fn edited(edits: &[Edit]) -> Policy {
    let text = edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    policy(&text)
}

fn said(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        writeln!(text, "  {} {change}", change.effect).unwrap();
    }
    text
}

#[test]
fn every_kind_of_edit_is_seen_as_what_it_is() {
    let base = policy(BASE);
    let mut text = String::new();
    for (name, edits) in EDITS {
        writeln!(text, "{name}\n{}", said(&compare(&base, &edited(edits)))).unwrap();
    }
    insta::assert_snapshot!(text);
}

/// Nobody can say which of two schemas allows more: a change of one may widen, either way.
#[test]
fn another_schema_is_a_change_to_be_looked_at() {
    let with = |rule: &str| {
        edited(&[(
            "        idempotency: {",
            &*format!("        dry_run: {{ {rule} }}\n        idempotency: {{").leak(),
        )])
    };
    let base = "schema: one.json, entries: /e, account: /a, amount: /m";
    let one = with(base);
    assert!(compare(&one, &with(base)).is_empty());
    for (rule, expected) in [
        (
            "schema: two.json, entries: /e, account: /a, amount: /m",
            "holds bodies against another schema",
        ),
        (
            "schema: one.json, entries: /f, account: /a, amount: /m",
            "asks something else of the entries of a body",
        ),
        (
            "schema: one.json, entries: /e, account: /a, amount: /m, total: \"0\"",
            "asks something else of the entries of a body",
        ),
    ] {
        let other = with(rule);
        for changes in [compare(&one, &other), compare(&other, &one)] {
            let said = said(&changes);
            assert!(
                changes.iter().any(|change| change.effect == Effect::Widens) && said.contains(expected),
                "{said}"
            );
        }
    }
}

/// What widens in one direction narrows in the other; what cannot be decided widens in both.
#[test]
fn back_is_the_other_way_round() {
    let base = policy(BASE);
    for (name, edits) in EDITS {
        let other = edited(edits);
        let (there, back) = (compare(&base, &other), compare(&other, &base));
        let narrows = there.iter().any(|change| change.effect == Effect::Narrows);
        let widens = back.iter().any(|change| change.effect == Effect::Widens);
        assert!(!narrows || widens, "{name}: {}", said(&back));
        assert_eq!(there.is_empty(), back.is_empty(), "{name}");
    }
}

/// Of a hash and an envelope neither says less than the other, and another secret under the same name is another key.
#[test]
fn keys_are_compared_by_what_is_in_their_files() {
    let masked = |mask: &str, file: &str| {
        let text = BASE.replace("mask: redact", &format!("mask: {mask}\n    key: k1"));
        policy(&text.replace(
            "fields:\n",
            &format!("field_keys: {{ k1: {{ file: {file} }} }}\nfields:\n"),
        ))
    };
    let base = masked("hash", "k1.key");
    for (other, there, back) in [
        (masked("hash", "same.key"), "", ""),
        (
            masked("hash", "other.key"),
            "another key hashes or encrypts it",
            "another key hashes or encrypts it",
        ),
        (
            masked("encrypt", "k1.key"),
            "`encrypt` in place of `hash`",
            "`hash` in place of `encrypt`",
        ),
    ] {
        for (changes, text) in [(compare(&base, &other), there), (compare(&other, &base), back)] {
            let texts: Vec<&str> = changes.iter().map(|change| change.text.as_str()).collect();
            assert_eq!(
                texts,
                [text]
                    .iter()
                    .copied()
                    .filter(|text| !text.is_empty())
                    .collect::<Vec<_>>()
            );
            assert!(
                changes.iter().all(|change| change.effect == Effect::Widens),
                "{}",
                said(&changes)
            );
        }
    }
}

#[test]
fn issuers_gain_and_lose() {
    use crate::identity::{Algorithm, IssuerRules};
    use std::time::Duration;
    let rules = |issuer: &str| IssuerRules {
        issuer: issuer.into(),
        audiences: vec!["billing".into()],
        algorithms: vec![Algorithm::ES256],
        max_lifetime: Some(Duration::from_secs(1800)),
        require_bound: false,
        leeway: Duration::from_secs(30),
        claims: crate::identity::ClaimNames {
            user: "sub".into(),
            roles: vec!["roles".into()],
            scopes: vec!["scope".into()],
            jurisdictions: vec!["counties".into()],
        },
    };
    let base = rules("a");
    let edit = |change: &dyn Fn(&mut IssuerRules)| {
        let mut rules = rules("a");
        change(&mut rules);
        rules
    };
    for (other, keys, expected) in [
        (rules("a"), "k", &[][..]),
        (
            rules("a"),
            "l",
            &["widens issuer `a`: its keys are others: whoever has them can sign"],
        ),
        (
            rules("b"),
            "k",
            &[
                "widens tokens of issuer `b` are taken",
                "narrows tokens of issuer `a` are no longer taken",
            ],
        ),
        (
            edit(&|rules| rules.audiences = vec!["other".into()]),
            "k",
            &[
                "widens issuer `a`: audience `other` is taken",
                "narrows issuer `a`: audience `billing` is no longer taken",
            ],
        ),
        (
            edit(&|rules| rules.algorithms.push(Algorithm::RS256)),
            "k",
            &["widens issuer `a`: algorithm `RS256` is taken"],
        ),
        (
            edit(&|rules| rules.max_lifetime = None),
            "k",
            &["widens issuer `a`: tokens may live longer"],
        ),
        (
            edit(&|rules| rules.max_lifetime = Some(Duration::from_secs(900))),
            "k",
            &["narrows issuer `a`: tokens may not live as long"],
        ),
        (
            edit(&|rules| rules.leeway = Duration::ZERO),
            "k",
            &["narrows issuer `a`: `leeway` is shorter"],
        ),
        (
            edit(&|rules| rules.claims.roles = vec!["groups".into()]),
            "k",
            &["widens issuer `a`: `roles` are read from other claims"],
        ),
    ] {
        let one = |rules, keys: &str| Issuer {
            rules,
            keys: keys.into(),
        };
        let mut changes = issuers(&[one(&base, "k")], &[one(&other, keys)]);
        sort(&mut changes);
        let got: Vec<String> = changes
            .iter()
            .map(|change| format!("{} {change}", change.effect))
            .collect();
        assert_eq!(got, expected);
    }
}

const ROLES: [&str; 4] = ["reader", "clerk", "auditor", "payer"];
const MODULES: [&str; 3] = ["accounts", "payments", "audit"];

/// Roles with random grants, restrictions and classes: `restricted` and `never` are bits by role.
fn made(grants: [u8; 4], restricted: [u8; 4], never: u8, inherits: bool) -> String {
    let scopes = ["accounts:read", "payments:write", "audit:read", "pii:read"];
    let pick = |bits: u8, names: &[&str]| -> String {
        let picked: Vec<&str> = (0..names.len())
            .filter(|at| bits >> at & 1 == 1)
            .map(|at| names[at])
            .collect();
        picked.join(", ")
    };
    let mut text =
        String::from("version: 1\nroles:\n  all: { scopes: [accounts:read, payments:write, audit:read, pii:read] }\n");
    for (at, name) in ROLES.iter().enumerate() {
        let inherit = if inherits && at == 1 {
            "inherits: [reader], "
        } else {
            ""
        };
        let modules = pick(restricted[at], &MODULES);
        let restrict = if modules.is_empty() {
            String::new()
        } else {
            format!(", restricted_modules: [{modules}]")
        };
        writeln!(
            text,
            "  {name}: {{ {inherit}scopes: [{}]{restrict} }}",
            pick(grants[at], &scopes)
        )
        .unwrap();
    }
    text.push_str("modules:\n");
    for (at, name) in MODULES.iter().enumerate() {
        writeln!(
            text,
            "  {name}: {{ prefix: /{name}, upstream: billing, routes: [{{ methods: [GET], scope: \"{}\" }}] }}",
            scopes[at]
        )
        .unwrap();
    }
    let never = pick(never, &ROLES);
    let never = if never.is_empty() {
        String::new()
    } else {
        format!(", never_to: [{never}]")
    };
    writeln!(
        text,
        "fields:\n  pii: {{ names: [ssn], visible_to: [pii:read]{never} }}"
    )
    .unwrap();
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_policy_is_the_same_as_itself(grants in any::<[u8; 4]>(), restricted in any::<[u8; 4]>(), never in any::<u8>(), inherits in any::<bool>()) {
        let text = made(grants, restricted, never, inherits);
        prop_assert_eq!(compare(&policy(&text), &policy(&text)), vec![]);
    }

    /// What keeps out keeps out: no restriction more is ever taken for a wider policy, and taking it back always is.
    #[test]
    fn a_restriction_more_never_widens(
        grants in any::<[u8; 4]>(), restricted in any::<[u8; 4]>(), never in any::<u8>(), inherits in any::<bool>(),
        role in 0..4_usize, module in 0..3_u8, field in any::<bool>(),
    ) {
        let mut more = restricted;
        let mut more_never = never;
        if field { more_never |= 1 << role } else { more[role] |= 1 << module }
        let (old, new) = (policy(&made(grants, restricted, never, inherits)), policy(&made(grants, more, more_never, inherits)));
        let changes = compare(&old, &new);
        prop_assert!(changes.iter().all(|change| change.effect != Effect::Widens), "{}", said(&changes));
        let back = compare(&new, &old);
        let back_widens = back.iter().any(|change| change.effect == Effect::Widens);
        prop_assert_eq!(changes.is_empty(), !back_widens, "{}", said(&back));
    }
}
