//! The keys of the gateway file (interface, section 2).

use std::time::Duration;

use super::shape::{Section, Shape, TextKind, Words, optional, required};
use super::{addresses, values};

/// Keys and words that a later version reads.
pub(super) const LATER: &[&str] = &["checkpoint_key", "checkpoint_url"];

const MS: u64 = 1;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600_000;

const fn duration(least: u64, most: u64) -> Shape {
    Shape::Duration {
        least: Duration::from_millis(least),
        most: Duration::from_millis(most),
    }
}

static PATH: TextKind = TextKind {
    pattern: ".+",
    example: "tls/server.crt",
    check: values::line,
};

static SERVER_NAME: TextKind = TextKind {
    pattern: "^[A-Za-z0-9_.:-]+$",
    example: "billing.internal",
    check: |text| addresses::server_name(text),
};

static ADDRESS: TextKind = TextKind {
    pattern: "^(unix:.+|[0-9.]+:[0-9]+|\\[[0-9A-Fa-f:.%]+\\]:[0-9]+)$",
    example: "127.0.0.1:8080",
    check: |text| addresses::address(text).map(drop),
};

static URL: TextKind = TextKind {
    pattern: "^https?://[^/?#@]+:[0-9]+$",
    example: "http://127.0.0.1:9000",
    check: |text| addresses::upstream(text).map(drop),
};

static STATE: TextKind = TextKind {
    pattern: ".+",
    example: "state/",
    check: super::state::check,
};

static NAME: TextKind = TextKind {
    pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
    example: "billing",
    check: values::name,
};

/// An address range; the policy's too.
pub(super) static RANGE: TextKind = TextKind {
    pattern: "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$",
    example: "10.0.0.0/8",
    check: |text| addresses::range(text).map(drop),
};

static SYNC: Words = Words {
    what: "setting",
    known: &["writes", "all", "none"],
    later: &[],
    null: false,
};

static PROXY_PROTOCOL: Words = Words {
    what: "setting",
    known: &["required"],
    later: &[],
    null: false,
};

/// The whole file.
pub(super) static GATEWAY: Section = Section {
    name: "gateway",
    about: "What the gateway listens on, whom it protects, and within which limits. Read once, at start.",
    keys: &[
        required(
            "listen",
            Shape::Some(&Shape::Section(&LISTENER)),
            "Where clients connect.",
        ),
        optional(
            "admin",
            Shape::Section(&ADMIN),
            "Where operators connect: health, metrics, reload.",
        ),
        required(
            "policy",
            Shape::Text(&PATH),
            "A policy file, or a folder whose *.yaml are read as one policy. Reloaded when it changes.",
        ),
        optional(
            "state",
            Shape::Text(&STATE),
            "A folder = the embedded store; postgres://… or rediss://… = a store that gateways share. Default: state/.",
        ),
        optional(
            "shared_store",
            Shape::Section(&SHARED_STORE),
            "More about the store that `state` names by a URL.",
        ),
        optional("audit", Shape::Section(&AUDIT), "Where the audit log goes."),
        required(
            "upstreams",
            Shape::Named(&NAME, &Shape::Section(&UPSTREAM)),
            "The backends, by name.",
        ),
        optional("limits", Shape::Section(&LIMITS), "What a client may use up."),
        optional(
            "trusted_proxies",
            Shape::List(&Shape::Text(&RANGE)),
            "Address ranges whose X-Forwarded-For is believed. Default: none.",
        ),
        optional(
            "shutdown_grace",
            duration(0, HOUR),
            "How long running requests may take after a stop was asked for. Default: 30s.",
        ),
        optional(
            "workers",
            Shape::Count { least: 1, most: 1024 },
            "Threads that serve requests. Default: one for each core.",
        ),
    ],
};

/// One entry of `listen`.
pub(super) static LISTENER: Section = Section {
    name: "listener",
    about: "An address on which clients connect.",
    keys: &[
        required(
            "address",
            Shape::Text(&ADDRESS),
            "An IP address and a port, or unix:PATH.",
        ),
        optional(
            "tls",
            Shape::Section(&TLS),
            "Serves TLS; the files are watched and reloaded.",
        ),
        optional(
            "proxy_protocol",
            Shape::Word(&PROXY_PROTOCOL),
            "required: each connection begins with a PROXY header (version 1 or 2), which says whose it is.",
        ),
        optional(
            "proxy_protocol_from",
            Shape::Some(&Shape::Text(&RANGE)),
            "Address ranges whose PROXY header is believed; others may not connect. Default: trusted_proxies.",
        ),
    ],
};

/// `tls` of a listener.
pub(super) static TLS: Section = Section {
    name: "tls",
    about: "Certificate and key, as PEM files.",
    keys: &[
        required("certificate", Shape::Text(&PATH), "The certificate chain."),
        required("key", Shape::Text(&PATH), "The private key."),
        optional(
            "client_ca",
            Shape::Text(&PATH),
            "If given, clients must have a certificate from one of these authorities.",
        ),
    ],
};

/// `admin`.
pub(super) static ADMIN: Section = Section {
    name: "admin",
    about: "The admin listener.",
    keys: &[
        optional(
            "address",
            Shape::Text(&ADDRESS),
            "An IP address and a port, or unix:PATH. Default: 127.0.0.1:9901.",
        ),
        optional(
            "insecure_admin_exposed",
            Shape::Flag,
            "Lets the admin listener have an address that other machines reach.",
        ),
    ],
};

/// `shared_store`.
pub(super) static SHARED_STORE: Section = Section {
    name: "shared_store",
    about: "More about the store that `state` names by a URL.",
    keys: &[
        optional(
            "password_file",
            Shape::Text(&PATH),
            "A file whose first line is the password, in place of one in the URL.",
        ),
        optional(
            "ca",
            Shape::Text(&PATH),
            "Authorities of the server's certificate, a PEM file. Default: the system's.",
        ),
        optional(
            "lease",
            duration(SECOND, HOUR),
            "After how long without a sign of life a gateway counts as gone, so that what it ran is unknown. Default: 15s.",
        ),
        optional(
            "folder",
            Shape::Text(&PATH),
            "Where this gateway keeps what it shares with nobody: the list of what `tollgate revoke` has revoked. Default: state/.",
        ),
        optional(
            "insecure_volatile",
            Shape::Flag,
            "Takes a server that may forget what it acknowledged: PostgreSQL without `fsync`, Redis without `appendfsync always`.",
        ),
    ],
};

/// `audit`.
pub(super) static AUDIT: Section = Section {
    name: "audit",
    about: "The audit log.",
    keys: &[
        optional(
            "path",
            Shape::Text(&PATH),
            "A file, or stdout. Default: audit/audit.jsonl.",
        ),
        optional(
            "sync",
            Shape::Word(&SYNC),
            "Whose answer waits until its record is on disk: writes = unsafe methods, all, none. Default: writes.",
        ),
    ],
};

/// One entry of `upstreams`.
pub(super) static UPSTREAM: Section = Section {
    name: "upstream",
    about: "A backend.",
    keys: &[
        required(
            "url",
            Shape::Text(&URL),
            "http://HOST:PORT or https://HOST:PORT, without a path.",
        ),
        optional(
            "tls",
            Shape::Section(&UPSTREAM_TLS),
            "For https: who vouches for the backend, and who we are. Default: the system's authorities.",
        ),
        optional("connect_timeout", duration(MS, HOUR), "Default: 2s."),
        optional(
            "timeout",
            duration(MS, HOUR),
            "How long the backend's answer may take. Default: 30s.",
        ),
        optional(
            "max_connections",
            Shape::Count { least: 1, most: 65_536 },
            "Connections to this backend at one time. Default: 128.",
        ),
        optional(
            "max_connections_per_user",
            Shape::Count { least: 1, most: 65_536 },
            "Of these, for one user's requests; without a token, one address's (one /64 of IPv6). Absent: all of them.",
        ),
    ],
};

/// `tls` of an upstream.
pub(super) static UPSTREAM_TLS: Section = Section {
    name: "tls",
    about: "TLS to a backend; its certificate is always verified.",
    keys: &[
        optional(
            "ca",
            Shape::Text(&PATH),
            "Authorities that vouch for the backend, a PEM file. Default: the system's.",
        ),
        optional(
            "certificate",
            Shape::Text(&PATH),
            "The certificate chain that we show, a PEM file; with `key`.",
        ),
        optional("key", Shape::Text(&PATH), "Its private key, a PEM file."),
        optional(
            "server_name",
            Shape::Text(&SERVER_NAME),
            "The name in the backend's certificate. Default: the host of `url`.",
        ),
    ],
};

/// `limits`.
pub(super) static LIMITS: Section = Section {
    name: "limits",
    about: "What a client may use up.",
    keys: &[
        optional(
            "header_bytes",
            Shape::Size {
                least: 1 << 10,
                most: 1 << 20,
            },
            "Request line and headers. Default: 64KiB.",
        ),
        optional(
            "uri_bytes",
            Shape::Size {
                least: 64,
                most: 64 << 10,
            },
            "The request target. Default: 8KiB.",
        ),
        optional(
            "body_bytes",
            Shape::Size {
                least: 1,
                most: 1 << 30,
            },
            "A request's body. Default: 10MiB.",
        ),
        optional(
            "held_bytes",
            Shape::Size {
                least: 1,
                most: 1 << 40,
            },
            "All bodies together that must be held whole; at least body_bytes. Default: 256MiB.",
        ),
        optional(
            "connections",
            Shape::Count {
                least: 1,
                most: 1_000_000,
            },
            "Client connections at one time. Default: 10000.",
        ),
        optional(
            "connections_per_address",
            Shape::Count {
                least: 1,
                most: 1_000_000,
            },
            "Of these, from one address (one /64 of IPv6), which is not one of trusted_proxies. Absent: all of them.",
        ),
        optional(
            "failed_tokens",
            Shape::Section(&FAILED_TOKENS),
            "How many bad tokens an address (one /64 of IPv6) may show before none is looked at. Default: 1000 in 1m.",
        ),
        optional(
            "header_timeout",
            duration(10 * MS, HOUR),
            "How long a request's headers may take. Default: 10s.",
        ),
        optional(
            "body_timeout",
            duration(10 * MS, HOUR),
            "How long a request's body may take. Default: 60s.",
        ),
        optional(
            "idle_timeout",
            duration(10 * MS, 24 * HOUR),
            "How long a connection may wait for its next request. Default: 75s.",
        ),
    ],
};

/// `failed_tokens` of `limits`.
pub(super) static FAILED_TOKENS: Section = Section {
    name: "failed_tokens",
    about: "How many bad tokens an address may show. After that, only tokens that are known to be good are taken from it.",
    keys: &[
        required(
            "requests",
            Shape::Count {
                least: 1,
                most: 1_000_000,
            },
            "Bad tokens in each such time, and at once after a pause.",
        ),
        required("per", duration(100 * MS, 24 * HOUR), "The time."),
    ],
};

/// Durations in milliseconds, for defaults.
pub(super) mod default {
    use super::{Duration, SECOND};
    use crate::policy::RateLimit;

    const fn seconds(count: u64) -> Duration {
        Duration::from_millis(count * SECOND)
    }

    pub(in super::super) const CONNECT_TIMEOUT: Duration = seconds(2);
    pub(in super::super) const TIMEOUT: Duration = seconds(30);
    pub(in super::super) const MAX_CONNECTIONS: u32 = 128;
    pub(in super::super) const HEADER_BYTES: u64 = 64 << 10;
    pub(in super::super) const URI_BYTES: u64 = 8 << 10;
    pub(in super::super) const BODY_BYTES: u64 = 10 << 20;
    pub(in super::super) const HELD_BYTES: u64 = 256 << 20;
    pub(in super::super) const CONNECTIONS: u32 = 10_000;
    pub(in super::super) const HEADER_TIMEOUT: Duration = seconds(10);
    pub(in super::super) const BODY_TIMEOUT: Duration = seconds(60);
    pub(in super::super) const IDLE_TIMEOUT: Duration = seconds(75);
    pub(in super::super) const LEASE: Duration = seconds(15);
    pub(in super::super) const FAILED_TOKENS: RateLimit = RateLimit {
        requests: 1000,
        per: seconds(60),
        burst: 1000,
    };
    pub(in super::super) const SHUTDOWN_GRACE: Duration = seconds(30);
}
