//! The suite's own small city: its policy, its callers, and what its backend says.

use serde_json::{Value, json};

/// Whose tokens are good.
pub const ISSUER: &str = "https://idp.city.example";

/// Planted in what must not leak.
pub const CANARY: &str = "CANARY-7f3a";

/// What the backend says of an account.
pub const ACCOUNT: &str = concat!(
    r#"{"account_id":"A1001", "balance":1234.5000,"ASSISTANCE-ELIGIBILITY":"CANARY-7f3a","customer":{"ssn":"CANARY-7f3a","#,
    r#""phone":"CANARY-7f3a","name":"x"},"s\u0075bsidy_tier":"CANARY-7f3a","note":"\/ok"}"#
);

/// The policy.
pub const POLICY: &str = r#"
version: 1
identity:
  issuers:
    - issuer: https://idp.city.example
      audience: billing-api
      public_key: ../keys/public.pem
      algorithms: [ES256]
      max_lifetime: 30m
  forward_as: { X-Municipal-User: user, X-Municipal-Role: roles, X-Jurisdiction-Scope: jurisdictions }
roles:
  billing_analyst: { scopes: [accounts:read, assistance:read] }
  caseworker: { scopes: [accounts:read, assistance:read, customer:pii_read] }
  clerk: { scopes: [accounts:read] }
  finance_admin: { scopes: ["*:read", ledger:sync] }
  rate_engineer: { scopes: [tariffs:read, tariffs:write], restricted_modules: [ledger] }
  collections_agent: { scopes: [accounts:read, "ledger:*"], restricted_modules: [tariffs] }
  driver: { scopes: [view_schedule] }
  dispatcher: { inherits: [driver], scopes: [manage_assignments] }
  remote: { scopes: [accounts:read], allow_from: [10.0.0.0/8] }
exclusive_roles:
  - [rate_engineer, collections_agent]
modules:
  accounts:
    prefix: /api/accounts
    upstream: billing
    routes:
      - { methods: [GET], scope: accounts:read }
      - { path: /help, methods: [GET], public: true }
  tariffs:
    prefix: /api/tariffs
    upstream: billing
    routes:
      - { methods: [GET], scope: tariffs:read }
      - { path: "/{id}", methods: [GET, PUT], scope: tariffs:write }
  ledger:
    prefix: /api/ledger
    upstream: billing
    jurisdiction: { from: "body:/county" }
    routes:
      - path: /sync
        methods: [POST]
        scope: ledger:sync
        idempotency: { required: true, transaction_id: /transaction_id, keep: 35d, on_duplicate: conflict }
      - path: /counties/{county}
        methods: [GET]
        scope: ledger:read
        jurisdiction: { from: "path:county" }
      - path: /entries
        methods: [GET]
        scope: ledger:read
        jurisdiction: { from: "query:county" }
      - path: /totals
        methods: [GET]
        scope: ledger:read
        jurisdiction: { from: "header:X-County" }
      - path: /state
        methods: [GET]
        scope: ledger:read
        jurisdiction: { fixed: [County_A] }
  portal:
    prefix: /portal
    upstream: billing
    path_parameters: allow
    unmaskable: [text/plain]
    routes:
      - { path: /schedule, methods: [GET], scope: view_schedule }
      - { path: /assignments, methods: [GET, POST], scope: manage_assignments }
fields:
  subsidy:
    names: [assistance_eligibility, subsidy_tier]
    visible_to: [assistance:read]
    never_to: [billing_analyst]
    mask: remove
  pii:
    names: [ssn, phone]
    headers: [X-Customer-Name]
    visible_to: [customer:pii_read]
    mask: redact
"#;

/// The claims of somebody with these roles, at home in `County_A`.
pub fn claims(roles: &[&str]) -> Value {
    json!({
        "iss": ISSUER,
        "aud": "billing-api",
        "sub": "u1",
        "roles": roles,
        "jurisdiction_scope": ["County_A"],
    })
}
