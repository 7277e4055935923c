//! What loads, and what it becomes. The two files are the interface's own examples (sections 2 and 3) without the keys
//! of later work.

use super::*;
use crate::config::fields::asked;
use crate::config::gateway_keys::GATEWAY;
use crate::config::policy_keys::POLICY;
use crate::config::shape::{Section, Shape};
use crate::config::{Address, AuditSync, AuditTarget, KeySource, Limits, Secret, Severity, State};
use crate::identity::{Algorithm, ClaimNames};
use crate::masking::coding::Coding;
use crate::masking::{Charset, Delimiter, Dialect};
use crate::policy::parts::{CallerFact, Jurisdiction, TransactionId, VersionFrom};
use http::Method;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) const GATEWAY_EXAMPLE: &str = r#"
listen:
  - address: 127.0.0.1:8080            # or unix:/run/tollgate/public.sock
    tls:                               # optional; files are watched and reloaded
      certificate: tls/server.crt
      key: tls/server.key
      client_ca: keys/ca.pem           # present = a client certificate is required
admin:
  address: 127.0.0.1:9901
policy: policies
state: state/
audit:
  path: audit/audit.jsonl              # or stdout
  sync: writes
upstreams:
  billing: { url: "http://127.0.0.1:9000", connect_timeout: 2s, timeout: 30s, max_connections: 128 }
limits: { header_bytes: 64KiB, uri_bytes: 8KiB, body_bytes: 10MiB, connections: 10000, header_timeout: 10s, body_timeout: 60s, idle_timeout: 75s }
trusted_proxies: []                    # whose X-Forwarded-For is believed
shutdown_grace: 30s
"#;

/// Keys that the example leaves out.
pub(super) const MORE_GATEWAY: &str = r#"
listen:
  - { address: "127.0.0.1:8080", proxy_protocol: required, proxy_protocol_from: [10.1.0.0/16, "fd00::/8"] }
  - { address: "127.0.0.1:8081", proxy_protocol: required }
  - { address: "127.0.0.1:8082" }
policy: policies
upstreams:
  billing: { url: "http://127.0.0.1:9000" }
limits:
  connections_per_address: 200
  failed_tokens: { requests: 20, per: 1m }
trusted_proxies: [10.0.0.0/8]
"#;

/// A store that gateways share.
const SHARED_STORE: &str = r#"
listen: [{ address: "127.0.0.1:8080" }]
policy: policies
state: postgres://tollgate@db.city.example/ledger
shared_store: { password_file: keys/secret, ca: keys/ca.pem, lease: 20s, folder: own/ }
upstreams:
  billing: { url: "http://127.0.0.1:9000" }
"#;

pub(super) const POLICY_EXAMPLE: &str = r#"
version: 1

identity:
  issuers:
    - issuer: https://idp.city.example
      audience: billing-api                   # a string or a list; required
      jwks: keys/jwks.json
      algorithms: [RS256]
      max_lifetime: 30m                       # exp - iat, S1's 15-30 minutes
      leeway: 30s
      claims: { user: sub, roles: [roles, role], scopes: scope, jurisdictions: jurisdiction_scope }
  forward_as: { X-Municipal-User: user, X-Municipal-Role: roles, X-Jurisdiction-Scope: jurisdictions }

roles:
  meter_validator:
    scopes: [telemetry:read, validation:write]
    restricted_modules: [rates]
  finance_admin:
    scopes: ["*:read", ledger:sync]
  driver:
    scopes: [assistance:read, customer:pii_read]
  dispatcher:
    inherits: [driver]
    scopes: [view_reports, manage_assignments]
    allow_from: [10.20.0.0/16]                # source addresses
    rate_limit: { requests: 50, per: 1s, burst: 100 }     # per user
  billing_analyst: { scopes: [rates:read] }
  finance_viewer: { scopes: [ledger:read] }
exclusive_roles:                              # separation of duties: a token with both is refused
  - [billing_analyst, finance_viewer]

modules:
  ledger:
    prefix: /api/ledger                       # a string or a list
    upstream: billing
    jurisdiction: { from: "body:/county" }    # path:NAME query:NAME header:NAME body:POINTER; or fixed: [County_A]
    routes:
      - path: /accounts/{account_id}          # below the module's prefix; a prefix itself; {name} is one segment
        methods: [GET]
        scope: ledger:read
        when: 'path.account_id.startsWith("A") && "County_A" in caller.jurisdictions'
      - path: /sync
        methods: [POST]
        scope: ledger:sync
        idempotency: { required: true, transaction_id: /transaction_id, keep: 35d, on_duplicate: conflict }
        concurrency: { if_match: required, version: { get: /api/ledger/state, pointer: /version_hash } }
  rates:
    prefix: /api/rates
    upstream: billing
    routes:
      - { methods: [GET], scope: rates:read }

fields:                                       # classified response fields
  subsidy:
    names: [assistance_eligibility, subsidy_tier]
    visible_to: [assistance:read]             # scopes
    never_to: [billing_analyst, finance_viewer]   # roles; wins over visible_to
    mask: remove                              # remove | redact | null | hash | encrypt
  pii:
    names: [ssn, phone]
    paths: ["/accounts/*/customer/address"]   # JSON pointers; * is one step, ** any number
    headers: [X-Customer-Name]
    visible_to: [customer:pii_read]
    modules: [rates, ledger]                  # absent = everywhere

cors: { origins: ["https://billing.city.example", "https://*.city.example"], methods: [GET, POST], headers: [Authorization, X-Idempotency-Key], expose: [X-Request-Id], credentials: false, max_age: 10m }
allow_from: [127.0.0.0/8, 10.0.0.0/8]         # optional, for everyone
"#;

/// Keys that the examples leave out.
pub(super) const MORE_POLICY: &str = r#"
version: 1
store_keys: [keys/field.key]
identity:
  issuers:
    - { issuer: a, audience: [x, y], public_key: keys/key.pem, algorithms: [ES256, EdDSA], claims: {} }
    - { issuer: b, audience: x, secret_file: keys/secret, require_bound_tokens: true }
    - { issuer: c, audience: x, jwks: "https://idp.example:8443/jwks.json", jwks_ca: keys/ca.pem, algorithms: [PS256] }
  forward_as: { X-Scopes: scopes, X-Issuer: issuer }
revoked:
  tokens: ["3f0c9a61"]
  users: [mallory]
  issued_before: { ops7: "2026-11-20T10:00:00Z" }
roles:
  a: { scopes: [x, y] }
modules:
  m:
    prefix: [/m, /n]
    upstream: archive
    path_parameters: allow
    forward_token: true
    unmaskable: pass
    compress: [br, gzip, zstd]
    json: tolerant
    mode: enforce
    routes:
      - { methods: [POST, PUT], scope: x, jurisdiction: { fixed: A }, idempotency: { transaction_id: "header:X-Id" }, dry_run: { schema: schemas/sync.json, entries: /e, account: /a, amount: /m, currency: /c, currencies: [USD], total: "0", sign: any, max_entries: 7, balances: { get: /m/filtered, pointer: /b } } }
      - { methods: [OPTIONS], public: true }
      - { path: /judged, methods: [POST], scope: x, reads_body: true, when: 'body.kind == "a"', mode: enforce }
      - { path: /kept, methods: [GET, PUT], scope: x, idempotency: { on_duplicate: replay }, concurrency: { if_match: required, wait: 2s, version: { header: ETag } } }
      - { path: /kept/whole, methods: [PUT], scope: x, concurrency: { if_match: required, version: { get: /m/filtered } } }
      - { path: /kept/at, methods: [PUT], scope: x, concurrency: { if_match: required, version: { get: /m/kept/state, pointer: /v } } }
      - { path: /kept/state, methods: [GET], scope: x }
      - { path: /filtered, methods: [GET], scope: x, rows: { at: /list/*/rows, when: 'row.owner == caller.user' } }
  n:
    prefix: /
    upstream: billing
    unmaskable: [Application/PDF]
    json: strict
    csv: { delimiter: "|" }
    charset: windows-1252
    routes:
      - { path: "/{county}", methods: [GET], scope: y, jurisdiction: { from: "path:county" } }
fields:
  c: { names: [ssn], match: exact, mask: null }
  d: { headers: [X-A], mask: redact, redact_as: withheld }
  e: { columns: [" Phone No ", iban] }
  f: { names: [customer], mask: hash, key: k1 }
field_keys:
  k1: { file: keys/field.key }
"#;

fn loaded(text: &str) -> LoadedPolicy {
    policy(text).unwrap_or_else(|problems| panic!("{}", said(&problems)))
}

#[test]
fn the_examples_load() {
    let (gateway, warnings) = gateway(GATEWAY_EXAMPLE).unwrap_or_else(|problems| panic!("{}", said(&problems)));
    assert_eq!(said(&warnings), "");
    assert_eq!(gateway.upstream_names(), [Arc::<str>::from("billing")]);
    let loaded = loaded(POLICY_EXAMPLE);
    insta::assert_snapshot!(said(&loaded.warnings), @r#"
    p.yaml:17:5: warning: nothing asks for what role `meter_validator` grants
      hint: no route, class or condition of this policy names a scope of it
    p.yaml:39:9: warning: the jurisdiction is read from the body, which `GET` requests have not
      hint: they are refused; give the route a `jurisdiction` of its own, such as `{ from: "query:county" }`
    p.yaml:47:60: warning: no route takes `GET` of `/api/ledger/state`
      hint: Tollgate reads the version there, and clients learn it from refusals only
    "#);
}

#[test]
fn what_a_gateway_file_leaves_out_has_a_value() {
    let text = "listen: [{ address: \"unix:public.sock\" }]\npolicy: policies\nupstreams: { b: { url: \"http://[::1]:9000\" } }\n";
    let folder = folder();
    write(folder.path(), "t.yaml", text);
    let (gateway, _) = load_gateway(&folder.path().join("t.yaml"), &env).unwrap();
    assert_eq!(
        gateway.listen[0].address,
        Address::Unix(folder.path().join("public.sock"))
    );
    assert!(gateway.listen[0].tls.is_none());
    assert_eq!(gateway.admin, Address::Tcp("127.0.0.1:9901".parse().unwrap()));
    assert_eq!(gateway.policy, folder.path().join("policies"));
    assert_eq!(gateway.state, State::Folder(folder.path().join("state/")));
    assert_eq!(
        gateway.audit.target,
        AuditTarget::File(folder.path().join("audit/audit.jsonl"))
    );
    assert_eq!(gateway.audit.sync, AuditSync::Writes);
    assert_eq!(gateway.limits, Limits::default());
    assert_eq!(gateway.shutdown_grace, Duration::from_secs(30));
    assert_eq!(gateway.workers, None);
    let upstream = &gateway.upstreams[0];
    assert_eq!((upstream.endpoint.host.as_str(), upstream.endpoint.port), ("::1", 9000));
    assert_eq!(upstream.connect_timeout, Duration::from_secs(2));
    assert_eq!(upstream.timeout, Duration::from_secs(30));
    assert_eq!(upstream.max_connections, 128);
    assert_eq!(upstream.max_connections_per_user, None);
}

#[test]
fn a_gateway_file_is_typed() {
    let text = GATEWAY_EXAMPLE
        .replace("path: audit/audit.jsonl", "path: stdout")
        .replace("sync: writes", "sync: all")
        .replace("trusted_proxies: []", "trusted_proxies: [10.0.0.0/8, 127.0.0.1]")
        .replace(
            "address: 127.0.0.1:9901",
            "address: \"0.0.0.0:${PORT}\"\n  insecure_admin_exposed: true",
        )
        .replace("127.0.0.1:9000", "backend:9000")
        .replace(
            "max_connections: 128",
            "max_connections: 128, max_connections_per_user: 32",
        )
        .replace("connections: 10000", "connections: \"${PORT}\"")
        + "workers: 2\n";
    let (gateway, warnings) = gateway(&text).unwrap_or_else(|problems| panic!("{}", said(&problems)));
    assert!(warnings[0].message.contains("admin listener"));
    assert_eq!(gateway.audit.target, AuditTarget::Stdout);
    assert_eq!(gateway.audit.sync, AuditSync::All);
    assert_eq!(
        gateway
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["10.0.0.0/8", "127.0.0.1/32"]
    );
    assert_eq!(gateway.admin, Address::Tcp("0.0.0.0:9000".parse().unwrap()));
    assert_eq!(gateway.limits.connections, 9000);
    assert_eq!(gateway.upstreams[0].max_connections_per_user, Some(32));
    assert_eq!(gateway.workers, Some(2));
    assert!(gateway.listen[0].tls.as_ref().unwrap().client_ca.is_some());
}

#[test]
fn a_policy_is_typed() {
    let loaded = loaded(MORE_POLICY);
    assert_eq!(said(&loaded.warnings), "");
    let modules: Vec<_> = loaded.policy.modules().map(|(module, _)| module.clone()).collect();
    assert_eq!(&*modules[0].upstream_name, "archive");
    assert_eq!(modules[0].upstream.0, 1);
    assert_eq!(modules[0].prefixes.len(), 2);
    assert!(modules[0].path_parameters && modules[0].forward_token && modules[0].unmaskable.pass_all);
    assert!(modules[0].tolerant_json && !modules[1].tolerant_json);
    assert!(!modules[1].unmaskable.pass_all);
    let codings = [Coding::Brotli, Coding::Gzip, Coding::Zstd];
    assert_eq!(
        (modules[0].compress.as_slice(), modules[1].compress.as_slice()),
        (&codings[..], &[][..])
    );
    assert_eq!(modules[1].unmaskable.pass, ["application/pdf"]);
    assert_eq!(modules[0].origin.line, 17);
    assert_eq!(modules[0].dialect, Dialect::default());
    assert_eq!(
        modules[1].dialect,
        Dialect {
            delimiter: Delimiter::Pipe,
            charset: Charset::named("windows-1252").unwrap(),
        }
    );
    let route = &modules[0].routes[0];
    assert_eq!(route.methods, [Method::POST, Method::PUT]);
    assert_eq!(route.jurisdiction, Some(Jurisdiction::Fixed(vec!["A".to_owned()])));
    let idempotency = route.idempotency.as_ref().unwrap();
    assert!(idempotency.required);
    assert_eq!(idempotency.keep, Duration::from_secs(35 * 86_400));
    assert_eq!(idempotency.wait, None);
    assert!(matches!(&idempotency.transaction_id, Some(TransactionId::Header(name)) if name == "x-id"));
    let dry_run = route.dry_run.as_ref().unwrap();
    let rules = &dry_run.entries;
    assert_eq!((&*dry_run.schema_file, &*rules.entries), ("schemas/sync.json", "/e"));
    assert_eq!((&*rules.account, &*rules.amount), ("/a", "/m"));
    assert_eq!(
        (rules.currency.as_deref(), &rules.currencies),
        (Some("/c"), &vec!["USD".to_owned()])
    );
    assert_eq!(
        (rules.balanced, rules.positive, rules.max_entries),
        (true, false, Some(7))
    );
    assert!(loaded.files.iter().any(|file| file.ends_with("schemas/sync.json")));
    let balances = dry_run.balances.as_ref().unwrap();
    assert_eq!((&*balances.get, &*balances.pointer), ("/m/filtered", "/b"));
    assert!(modules[0].routes[1].public && modules[0].routes[1].scope.is_none());
    let judged = &modules[0].routes[2];
    let when = judged.when.as_ref().unwrap();
    assert!(judged.reads_body && when.condition.reads_body() && when.origin.line > 1);
    assert_eq!(when.condition.source(), "body.kind == \"a\"");
    assert!(judged.rows.is_none());
    let kept = &modules[0].routes[3];
    assert!(kept.idempotency.as_ref().unwrap().replay.is_some());
    let concurrency = kept.concurrency.as_ref().unwrap();
    assert_eq!(concurrency.wait, Duration::from_secs(2));
    let version = |at: usize| {
        modules[0].routes[at]
            .concurrency
            .as_ref()
            .unwrap()
            .version
            .as_ref()
            .unwrap()
    };
    assert!(matches!(&version(3).from, VersionFrom::Header(name) if name == "etag") && version(3).get.is_none());
    assert!(matches!(version(4).from, VersionFrom::Body(_)));
    assert_eq!(version(5).from, VersionFrom::Pointer("/v".into()));
    assert_eq!(version(5).get.as_deref(), Some("/m/kept/state"));
    assert_eq!(
        modules[0].routes[5].concurrency.as_ref().unwrap().wait,
        Duration::from_secs(5)
    );
    let rows = modules[0].routes[7].rows.as_ref().unwrap();
    assert!(rows.condition.reads_row() && rows.origin.line == when.origin.line + 5);
    assert_eq!(rows.at.to_string(), "/list/*/rows");
    assert_eq!(
        loaded
            .policy
            .forward_as()
            .iter()
            .map(|(name, fact)| (name.as_str(), *fact))
            .collect::<Vec<_>>(),
        [("x-scopes", CallerFact::Scopes), ("x-issuer", CallerFact::Issuer)]
    );
    let issuers = &loaded.issuers;
    assert_eq!(issuers[0].rules.audiences, ["x", "y"]);
    assert_eq!(issuers[0].rules.algorithms, [Algorithm::ES256, Algorithm::EdDSA]);
    assert_eq!(issuers[0].rules.leeway, Duration::from_secs(30));
    assert_eq!(issuers[0].rules.max_lifetime, None);
    let claims = ClaimNames {
        user: "sub".to_owned(),
        roles: vec!["roles".to_owned(), "role".to_owned()],
        scopes: vec!["scope".to_owned()],
        jurisdictions: vec!["jurisdiction_scope".to_owned()],
    };
    assert_eq!(issuers[0].rules.claims, claims);
    assert!(matches!(&issuers[0].keys, KeySource::PublicKey(bytes, _) if bytes.starts_with(b"-----BEGIN")));
    assert_eq!(issuers[1].rules.algorithms, [Algorithm::HS256]);
    assert!(matches!(&issuers[1].keys, KeySource::Secret(bytes, _) if bytes.len() == 32));
    assert!(!format!("{issuers:?}").contains("48, 49"), "a secret in debug output");
    assert!(matches!(&issuers[2].keys, KeySource::JwksUrl { url, ca: Some(_) } if url.starts_with("https://idp")));
}

#[test]
fn a_folder_is_one_policy() {
    let folder = folder();
    let p = folder.path().join("p");
    write(
        &p,
        "roles.yaml",
        "version: 1\nroles:\n  a: { scopes: [\"*\"] }\nexclusive_roles: [[a, b]]\n",
    );
    write(
        &p,
        "more.yaml",
        "roles:\n  b: { scopes: [y] }\nexclusive_roles: [[b, a]]\n",
    );
    write(&p, ".hidden.yaml", "nonsense");
    write(&p, "notes.txt", "nonsense");
    write(
        &p,
        "identity.yaml",
        "version: 1\nidentity:\n  issuers: [{ issuer: i, audience: a, jwks: ../keys/jwks.json, algorithms: [RS256] }]\n",
    );
    write(
        &p,
        "m.yaml",
        "modules:\n  m: { prefix: /m, upstream: billing, routes: [{ methods: [GET], scope: y }] }\n",
    );
    let loaded = policy_at(&p).unwrap_or_else(|problems| panic!("{}", said(&problems)));
    assert_eq!(said(&loaded.warnings), "");
    let names: Vec<String> = loaded
        .files
        .iter()
        .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        names,
        ["identity.yaml", "m.yaml", "more.yaml", "roles.yaml", "jwks.json"]
    );
    assert_eq!(
        loaded.directories,
        [p.clone(), p.join("../keys")]
            .into_iter()
            .collect::<BTreeSet<PathBuf>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(loaded.version.len(), 16);
    assert_eq!(loaded.version, loaded.policy.version);

    write(&p, "z.yml", "version: 1\n");
    write(
        &p,
        "zz.yaml",
        "version: 1\nroles:\n  b: { scopes: [z] }\nidentity: { forward_as: { X-A: user } }\nallow_from: [10.0.0.0/8]\n",
    );
    write(
        &p,
        "zzz.yaml",
        "allow_from: [10.0.0.0/8]\nversion: \"1\"\nmodules: []\n",
    );
    insta::assert_snapshot!(said(&policy_at(&p).unwrap_err()), @r"
    z.yml:1:1: warning: is not read
      hint: files of a policy end in `.yaml`
    zz.yaml:3:3: error: `b` is given twice
      hint: it stands at more.yaml:2:3 already
    zzz.yaml:1:1: error: `allow_from` is given twice
      hint: it stands at zz.yaml:5:1 already
    zzz.yaml:2:10: error: expected a number, found a string
    zzz.yaml:3:10: error: expected a map, found a list
    ");
}

#[test]
fn a_config_map_is_a_folder_of_links() {
    let folder = folder();
    let map = folder.path().join("map");
    let (old, new) = (map.join("..2026_11_24_01.1"), map.join("..2026_11_24_02.2"));
    write(&old, "p.yaml", "version: 1\nroles:\n  a: { scopes: [x] }\n");
    write(&new, "p.yaml", "version: 1\nroles:\n  b: { scopes: [x] }\n");
    std::os::unix::fs::symlink(&old, map.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/p.yaml", map.join("p.yaml")).unwrap();
    let before = policy_at(&map).unwrap();
    fs::remove_file(map.join("..data")).unwrap();
    std::os::unix::fs::symlink(&new, map.join("..data")).unwrap();
    let after = policy_at(&map).unwrap();
    assert_eq!(before.files, [map.join("p.yaml")]);
    assert_ne!(before.version, after.version);
}

#[test]
fn a_version_names_the_bytes_that_were_read() {
    let folder = folder();
    let path = folder.path().join("p.yaml");
    let version = || policy_at(&path).unwrap().version;
    write(folder.path(), "p.yaml", MORE_POLICY);
    let first = version();
    assert_eq!(first, version());
    write(folder.path(), "p.yaml", &format!("{MORE_POLICY}#"));
    let second = version();
    assert_ne!(first, second);
    write(
        folder.path(),
        "keys/key.pem",
        "-----BEGIN PUBLIC KEY-----\nAAA=\n-----END PUBLIC KEY-----\n",
    );
    let third = version();
    assert_ne!(second, third);
    write(
        folder.path(),
        "keys/ca.pem",
        "-----BEGIN CERTIFICATE-----\nAAA=\n-----END CERTIFICATE-----\n",
    );
    assert_ne!(third, version());
}

#[test]
fn a_policy_of_nothing_loads_and_says_that_it_denies() {
    insta::assert_snapshot!(said(&loaded("version: 1\n").warnings), @r"
    p.yaml:1:1: warning: the policy has no `identity`: only public routes can be used
    p.yaml:1:1: warning: the policy has no `modules`: every request is refused
    ");
}

/// Every section that can be reached from a root.
fn sections(root: &'static Section, found: &mut Vec<&'static Section>) {
    fn inside(shape: &Shape, found: &mut Vec<&'static Section>) {
        match *shape {
            Shape::Section(section) => sections(section, found),
            Shape::List(of)
            | Shape::Some(of)
            | Shape::OneOrMany(of)
            | Shape::WordOrMany(_, of)
            | Shape::Named(_, of) => {
                inside(of, found);
            }
            _ => {}
        }
    }
    if found.iter().any(|known| known.name == root.name) {
        return;
    }
    found.push(root);
    root.keys.iter().for_each(|key| inside(&key.shape, found));
}

#[test]
fn proxies_and_limits_of_addresses_are_read() {
    let (gateway, warnings) = gateway(MORE_GATEWAY).unwrap();
    assert!(warnings.is_empty());
    let proxies: Vec<Option<String>> = gateway
        .listen
        .iter()
        .map(|listener| listener.proxies.as_ref().map(|ranges| format!("{ranges:?}")))
        .collect();
    assert_eq!(
        proxies,
        [
            Some("[10.1.0.0/16, fd00::/8]".into()),
            Some("[10.0.0.0/8]".into()),
            None
        ]
    );
    assert_eq!(gateway.limits.connections_per_address, Some(200));
    assert_eq!(gateway.limits.failed_tokens.requests, 20);
    assert_eq!(gateway.limits.failed_tokens.per, Duration::from_secs(60));
    assert_eq!(gateway.limits.failed_tokens.burst, 20);
}

#[test]
fn a_shared_store_is_read() {
    let (read, warnings) = gateway(SHARED_STORE).unwrap_or_else(|problems| panic!("{}", said(&problems)));
    assert_eq!(said(&warnings), "");
    let State::Shared(store) = &read.state else {
        panic!("{:?}", read.state);
    };
    assert_eq!(
        store.to_string(),
        "PostgreSQL at db.city.example:5432, database `ledger`"
    );
    assert_eq!(store.user.as_deref(), Some("tollgate"));
    let password = store.password.as_ref().map(Secret::expose);
    assert_eq!(password, Some("0123456789abcdef0123456789abcdef"));
    assert!(store.tls, "a server elsewhere is asked by TLS");
    assert!(store.ca.as_ref().is_some_and(|file| file.ends_with("keys/ca.pem")));
    assert_eq!(store.lease, Duration::from_secs(20));
    assert!(!store.insecure_volatile);
    assert!(store.folder.ends_with("own"));
    let text = SHARED_STORE
        .replace("postgres://tollgate@db.city.example/ledger", "redis://r.city.example")
        .replace("ca: keys/ca.pem, lease: 20s, folder: own/", "insecure_volatile: true");
    let (read, warnings) = gateway(&text).unwrap_or_else(|problems| panic!("{}", said(&problems)));
    assert!(read.state.folder().ends_with("state"));
    assert_eq!(read.state.to_string(), "Redis at r.city.example:6379, database `0`");
    let messages: Vec<&str> = warnings.iter().map(|problem| &*problem.message).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("it is not TLS"), "{messages:?}");
    assert!(messages[1].contains("lets a payment be made twice"), "{messages:?}");
}

#[test]
fn every_key_of_the_tables_is_read_and_in_the_schema() {
    loaded(POLICY_EXAMPLE);
    loaded(MORE_POLICY);
    gateway(GATEWAY_EXAMPLE).unwrap();
    gateway(MORE_GATEWAY).unwrap();
    gateway(SHARED_STORE).unwrap();
    let asked = asked::all();
    for (root, schema) in [
        (&GATEWAY, super::super::gateway_schema()),
        (&POLICY, super::super::policy_schema()),
    ] {
        let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
        let mut found = Vec::new();
        sections(root, &mut found);
        for section in found {
            let body = if section.name == root.name {
                &schema
            } else {
                &schema["$defs"][section.name]
            };
            let printed: BTreeSet<&str> = body["properties"]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            let known: BTreeSet<&str> = section.keys.iter().map(|key| key.name).collect();
            assert_eq!(printed, known, "{}", section.name);
            assert_eq!(body["additionalProperties"], false);
            for key in section.keys {
                assert!(
                    asked.contains(&(section.name, key.name)),
                    "nobody reads `{}` of `{}`",
                    key.name,
                    section.name
                );
                assert!(!key.about.is_empty());
            }
        }
    }
}

#[test]
fn warnings_do_not_keep_a_policy_from_loading() {
    let loaded = loaded("version: 1\nroles:\n  a: {}\n");
    assert!(
        loaded
            .warnings
            .iter()
            .all(|problem| problem.severity == Severity::Warning)
    );
    assert_eq!(loaded.warnings.len(), 3);
}
