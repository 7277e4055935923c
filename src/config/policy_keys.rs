//! The keys of policy files (interface, section 3).

use std::time::Duration;

use super::body_keys::{CHARSET, CSV, JSON};
use super::class_keys::{CLASS, FIELD_KEY, KEY_NAME};
use super::concurrency::CONCURRENCY;
use super::cors::CORS;
use super::dry_runs::DRY_RUN;
use super::gateway_keys::RANGE;
use super::identity_keys::{IDENTITY, REVOKED};
use super::shape::{Section, Shape, TextKind, Words, optional, required};
use super::values;
use crate::policy::{PathPattern, ScopePattern};

/// Keys that a later version reads. The change that builds one takes it out of here and into its section.
pub(super) const LATER: &[&str] = &[
    "fallback",
    "approval",
    "signature",
    "elevations",
    "approvers",
    "signers",
    "recertification",
    "recertify_by",
    "controls",
];

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// How long idempotency keys are remembered unless the author says otherwise: a billing period and some days (section 3).
pub(super) const DEFAULT_KEEP: Duration = Duration::from_secs(35 * 86_400);

/// Longest wait for a first request with the same key. Its body is held in memory meanwhile.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(30);

/// Shortest; to wait not at all is to leave the key out.
const MIN_WAIT: Duration = Duration::from_millis(10);

pub(super) static LINE: TextKind = TextKind {
    pattern: ".+",
    example: "subject",
    check: values::line,
};

pub(super) static FILE: TextKind = TextKind {
    pattern: ".+",
    example: "keys/key.pem",
    check: values::line,
};

pub(super) static NAME: TextKind = TextKind {
    pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
    example: "ledger",
    check: values::name,
};

pub(super) static ROLE: TextKind = TextKind {
    pattern: "^[^,\"\\\\`]{1,128}$",
    example: "finance_admin",
    check: values::role,
};

pub(super) static SCOPE: TextKind = TextKind {
    pattern: "^[!#-)+-9;-\\[\\]-~]+(:[!#-)+-9;-\\[\\]-~]+)*$",
    example: "ledger:read",
    check: values::scope,
};

static GRANT: TextKind = TextKind {
    pattern: "^(\\*|[!#-)+-9;-\\[\\]-~]+)(:(\\*|[!#-)+-9;-\\[\\]-~]+))*$",
    example: "*:read",
    check: |text| Ok(ScopePattern::parse(text).map(drop)?),
};

static PREFIX: TextKind = TextKind {
    pattern: "^/([^/{}%?#;\\\\]+(/[^/{}%?#;\\\\]+)*)?$",
    example: "/api/ledger",
    check: |text| values::prefix(text).map(drop),
};

static ROUTE_PATH: TextKind = TextKind {
    pattern: "^/([^/%?#;\\\\]+(/[^/%?#;\\\\]+)*)?$",
    example: "/accounts/{account_id}",
    check: |text| Ok(PathPattern::parse(text).map(drop)?),
};

static JURISDICTION_SOURCE: TextKind = TextKind {
    pattern: "^(path|query|header|body):.+$",
    example: "body:/county",
    check: |text| values::jurisdiction(text).map(drop),
};

static CONDITION: TextKind = TextKind {
    pattern: "\\S",
    example: "path.driver_id == caller.user",
    // The route's reader compiles it: its problems have places within the text.
    check: |_| Ok(()),
};

static TRANSACTION_ID: TextKind = TextKind {
    pattern: "^(/|header:.).*$",
    example: "/transaction_id",
    check: |text| values::transaction_id(text).map(drop),
};

pub(super) static POINTER: TextKind = TextKind {
    pattern: "^/.*$",
    example: "/accounts/*/customer/address",
    check: values::pointer,
};

static ROWS_AT: TextKind = TextKind {
    pattern: "^(/.*)?$",
    example: "/assignments",
    check: values::pointer_or_root,
};

pub(super) static HEADER: TextKind = TextKind {
    pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
    example: "X-Customer-Name",
    check: |text| values::header(text).map(drop),
};

static MEDIA_TYPE: TextKind = TextKind {
    pattern: "^[^/;* ]+/[^/;* ]+$",
    example: "application/pdf",
    check: |text| values::media_type(text).map(drop),
};

pub(super) const fn words(what: &'static str, known: &'static [&'static str], later: &'static [&'static str]) -> Words {
    Words {
        what,
        known,
        later,
        null: false,
    }
}

pub(super) static METHOD: Words = words(
    "method",
    &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    &[],
);
static PATH_PARAMETERS: Words = words("setting", &["allow", "refuse"], &[]);
static COMPRESS: Words = words("coding", &["zstd", "br", "gzip"], &[]);
static UNMASKABLE: Words = words("setting", &["pass"], &[]);
static ON_DUPLICATE: Words = words("setting", &["conflict", "replay"], &[]);
static MODE: Words = words("mode", &["enforce", "shadow"], &[]);
pub(super) static MATCH: Words = words("way to match", &["exact"], &[]);
/// A whole file; the files of a folder are merged.
pub(super) static POLICY: Section = Section {
    name: "policy",
    about: "Who may do what. Reloaded as a whole, or not at all.",
    keys: &[
        optional(
            "version",
            Shape::Count { least: 1, most: 1 },
            "The version of this format: 1. At least one file of a policy says it.",
        ),
        optional(
            "identity",
            Shape::Section(&IDENTITY),
            "Whose tokens are believed, and what backends are told about the caller.",
        ),
        optional(
            "roles",
            Shape::Named(&ROLE, &Shape::Section(&ROLE_KEYS)),
            "Roles by the name that tokens give them.",
        ),
        optional(
            "exclusive_roles",
            Shape::Some(&Shape::Some(&Shape::Text(&ROLE))),
            "Separation of duties: a token with two roles of one set is refused.",
        ),
        optional(
            "modules",
            Shape::Named(&NAME, &Shape::Section(&MODULE)),
            "Parts of the backends' URL space.",
        ),
        optional(
            "fields",
            Shape::Named(&NAME, &Shape::Section(&CLASS)),
            "Classified response fields.",
        ),
        optional(
            "field_keys",
            Shape::Named(&KEY_NAME, &Shape::Section(&FIELD_KEY)),
            "Secrets for fields that are hashed or encrypted.",
        ),
        optional(
            "store_keys",
            Shape::Some(&Shape::Text(&FILE)),
            "Files with 32 random bytes each. The first seals answers that the store keeps, every one opens them.",
        ),
        optional(
            "allow_from",
            Shape::Some(&Shape::Text(&RANGE)),
            "Source addresses that may ask at all. Absent: every one.",
        ),
        optional(
            "revoked",
            Shape::Section(&REVOKED),
            "Tokens and users that are refused whatever their tokens say.",
        ),
        optional(
            "cors",
            Shape::Section(&CORS),
            "Which web pages may ask. Absent: browsers keep every answer from pages of other origins.",
        ),
    ],
};

/// One entry of `roles`.
pub(super) static ROLE_KEYS: Section = Section {
    name: "role",
    about: "What a role grants, and what it is kept out of.",
    keys: &[
        optional(
            "scopes",
            Shape::List(&Shape::Text(&GRANT)),
            "Scopes that it grants; * stands for one part between colons.",
        ),
        optional(
            "inherits",
            Shape::List(&Shape::Text(&ROLE)),
            "Roles whose scopes and restrictions it takes over.",
        ),
        optional(
            "restricted_modules",
            Shape::List(&Shape::Text(&NAME)),
            "Modules that it is kept out of, whatever else grants.",
        ),
        optional(
            "allow_from",
            Shape::Some(&Shape::Text(&RANGE)),
            "Source addresses from which it may be used.",
        ),
        optional(
            "rate_limit",
            Shape::Section(&RATE_LIMIT),
            "How often each user who holds it may ask. Of several held roles' limits the strictest holds.",
        ),
    ],
};

/// The longest time over which requests are counted: longer is a quota, not a rate.
const MAX_PER: Duration = Duration::from_secs(86_400);

/// The largest count of requests in a limit: more than a gateway answers is none.
const MAX_REQUESTS: u64 = 1_000_000;

/// `rate_limit` of a role.
pub(super) static RATE_LIMIT: Section = Section {
    name: "rate_limit",
    about: "How often each user may ask.",
    keys: &[
        required(
            "requests",
            Shape::Count {
                least: 1,
                most: MAX_REQUESTS,
            },
            "Requests in each such time, evenly.",
        ),
        required(
            "per",
            Shape::Duration {
                least: Duration::from_millis(100),
                most: MAX_PER,
            },
            "The time.",
        ),
        optional(
            "burst",
            Shape::Count {
                least: 1,
                most: MAX_REQUESTS,
            },
            "Requests at once after a pause. Default: as many as requests.",
        ),
    ],
};

/// One entry of `modules`.
pub(super) static MODULE: Section = Section {
    name: "module",
    about: "A part of the backends' URL space with one owner.",
    keys: &[
        required(
            "prefix",
            Shape::OneOrMany(&Shape::Text(&PREFIX)),
            "Where it begins; a prefix ends at a segment. The most specific module wins.",
        ),
        required(
            "upstream",
            Shape::Text(&NAME),
            "The backend, as the gateway file names it.",
        ),
        optional(
            "jurisdiction",
            Shape::Section(&JURISDICTION),
            "Where a request's jurisdiction is read, for routes that do not say otherwise.",
        ),
        optional(
            "path_parameters",
            Shape::Word(&PATH_PARAMETERS),
            "Whether ;parameters in paths pass. Default: refuse.",
        ),
        optional(
            "forward_token",
            Shape::Flag,
            "Whether the backend gets the caller's token. Default: false.",
        ),
        optional(
            "unmaskable",
            Shape::WordOrMany(&UNMASKABLE, &Shape::Text(&MEDIA_TYPE)),
            "Media types that pass although they cannot be masked; pass = all of them.",
        ),
        optional("csv", Shape::Section(&CSV), "How its CSV answers are written."),
        optional(
            "charset",
            Shape::Word(&CHARSET),
            "The charset of text answers whose Content-Type names none; never JSON's. Default: utf-8.",
        ),
        optional(
            "json",
            Shape::Word(&JSON),
            "tolerant: JSON with 007, .5, +1, raw tabs and Latin-1 in strings, and trailing commas is masked, too. Default: strict.",
        ),
        optional(
            "compress",
            Shape::Some(&Shape::Word(&COMPRESS)),
            "Codings with which answers are compressed for clients that ask for one, the preferred first. Default: none.",
        ),
        optional(
            "mode",
            Shape::Word(&MODE),
            "shadow: what its routes' rules deny is let through and recorded. Default: enforce.",
        ),
        required(
            "routes",
            Shape::Some(&Shape::Section(&ROUTE)),
            "Its routes. What no route takes is denied.",
        ),
    ],
};

/// One entry of `routes`.
pub(super) static ROUTE: Section = Section {
    name: "route",
    about: "A path below the module's prefix, and what its methods ask of the caller.",
    keys: &[
        optional(
            "path",
            Shape::Text(&ROUTE_PATH),
            "Below the module's prefix; a prefix itself; {name} is one segment. Default: /.",
        ),
        required("methods", Shape::Some(&Shape::Word(&METHOD)), "HEAD comes with GET."),
        optional("scope", Shape::Text(&SCOPE), "The scope that the caller must have."),
        optional(
            "public",
            Shape::Flag,
            "true: needs no token; everything classified is masked.",
        ),
        optional(
            "jurisdiction",
            Shape::Section(&JURISDICTION),
            "In place of the module's.",
        ),
        optional(
            "when",
            Shape::Text(&CONDITION),
            "A condition in CEL on caller, request, path, query, headers, body, source.ip and now, which must hold too.",
        ),
        optional(
            "reads_body",
            Shape::Flag,
            "true: the condition may read the JSON body. Default: false.",
        ),
        optional(
            "idempotency",
            Shape::Section(&IDEMPOTENCY),
            "Keeps writes from happening twice.",
        ),
        optional(
            "concurrency",
            Shape::Section(&CONCURRENCY),
            "Keeps writers from undoing each other's changes.",
        ),
        optional(
            "mode",
            Shape::Word(&MODE),
            "In place of the module's: shadow lets through and records what the route's rules deny, enforce denies it.",
        ),
        optional(
            "dry_run",
            Shape::Section(&DRY_RUN),
            "Holds bodies against a schema, and answers ?dry_run=true without the backend.",
        ),
        optional(
            "rows",
            Shape::Section(&ROWS),
            "Drops elements of the answer's arrays that the caller may not see. Any answer that is no JSON is refused.",
        ),
    ],
};

/// `rows` of a route.
pub(super) static ROWS: Section = Section {
    name: "rows",
    about: "Drops elements of the answer's arrays that the caller may not see. Any answer that is no JSON is refused.",
    keys: &[
        required(
            "at",
            Shape::Text(&ROWS_AT),
            "A JSON pointer to the array, empty for the whole answer; * is one step.",
        ),
        required(
            "when",
            Shape::Text(&CONDITION),
            "A condition in CEL on row, and on all that a route's condition may name but body. A row stays if it holds.",
        ),
    ],
};

/// `jurisdiction` of a module or a route.
pub(super) static JURISDICTION: Section = Section {
    name: "jurisdiction",
    about: "Where a request's jurisdiction is read. Exactly one of from and fixed.",
    keys: &[
        optional(
            "from",
            Shape::Text(&JURISDICTION_SOURCE),
            "path:NAME, query:NAME, header:NAME or body:POINTER.",
        ),
        optional(
            "fixed",
            Shape::OneOrMany(&Shape::Text(&LINE)),
            "These, whatever the request says.",
        ),
    ],
};

/// `idempotency` of a route.
pub(super) static IDEMPOTENCY: Section = Section {
    name: "idempotency",
    about: "Keeps writes from happening twice.",
    keys: &[
        optional(
            "required",
            Shape::Flag,
            "Whether a request without a key is refused. Default: true.",
        ),
        optional(
            "transaction_id",
            Shape::Text(&TRANSACTION_ID),
            "Where the backend's answer has its transaction id: a JSON pointer, or header:NAME.",
        ),
        optional(
            "keep",
            Shape::Duration {
                least: MINUTE,
                most: Duration::from_secs(400 * DAY.as_secs()),
            },
            "How long a finished key is remembered. Default: 35d.",
        ),
        optional(
            "on_duplicate",
            Shape::Word(&ON_DUPLICATE),
            "What a second request with the key gets: its transaction id, or the first answer once more (replay: up to 64 KiB, sealed with store_keys). Default: conflict.",
        ),
        optional(
            "wait",
            Shape::Duration {
                least: MIN_WAIT,
                most: MAX_WAIT,
            },
            "How long a second request waits for a first one that still runs, at most 30s. Default: not at all.",
        ),
    ],
};
