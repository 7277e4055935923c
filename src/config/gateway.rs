//! `tollgate.yaml`, typed: what the gateway listens on, whom it protects, and within which limits (interface, section 2).
//!
//! Opens no socket and makes no folder. That a file is there is looked up; what is in it is not.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::addresses::{self, Address, Endpoint, MAX_SOCKET_PATH};
use super::fields::{Fields, Text};
use super::gateway_keys::{
    ADMIN, AUDIT, FAILED_TOKENS, GATEWAY, LATER, LIMITS, LISTENER, TLS, UPSTREAM, UPSTREAM_TLS, default,
};
use super::problem::{Problem, Problems, Span, quote};
use super::shape::{Shape, check};
use super::state::State;
use super::yaml::{self, Node};
use super::{environment, files};
use crate::policy::RateLimit;

/// The gateway file, read.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Where clients connect; at least one.
    pub listen: Vec<Listener>,
    /// Where operators connect.
    pub admin: Address,
    /// The policy file or folder.
    pub policy: PathBuf,
    /// Where the keys that were used are kept.
    pub state: State,
    /// Where the audit log goes.
    pub audit: Audit,
    /// The backends; a place in this list is an `UpstreamId`.
    pub upstreams: Vec<Upstream>,
    /// What a client may use up.
    pub limits: Limits,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long running requests may take after a stop was asked for.
    pub shutdown_grace: Duration,
    /// Threads that serve requests; absent = one for each core.
    pub workers: Option<usize>,
}

impl Gateway {
    /// How many threads serve requests; at least one.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.workers.unwrap_or_else(cores).max(1)
    }

    /// The upstreams' names, in the order of their ids; what `load_policy` wants.
    #[must_use]
    pub fn upstream_names(&self) -> Vec<Arc<str>> {
        self.upstreams
            .iter()
            .map(|upstream| Arc::clone(&upstream.name))
            .collect()
    }
}

/// An address on which clients connect.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The address.
    pub address: Address,
    /// Serves TLS.
    pub tls: Option<Tls>,
    /// Each connection begins with a PROXY header, and comes from one of these.
    pub proxies: Option<Vec<IpNet>>,
}

/// PEM files of a TLS listener.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// If given, clients must have a certificate from one of these authorities.
    pub client_ca: Option<PathBuf>,
}

/// The audit log.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Where it goes.
    pub target: AuditTarget,
    /// Whose answer waits until its record is on disk.
    pub sync: AuditSync,
}

/// Where the audit log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// Whose answer waits until its record is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditSync {
    /// Requests with an unsafe method.
    #[default]
    Writes,
    /// All requests.
    All,
    /// None.
    None,
}

/// A backend.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name in policy, audit and metrics.
    pub name: Arc<str>,
    /// Where it is.
    pub endpoint: Endpoint,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long its answer may take.
    pub timeout: Duration,
    /// Connections to it at one time.
    pub max_connections: u32,
    /// Of these, for one user's requests.
    pub max_connections_per_user: Option<u32>,
    /// How to reach it by TLS, where its URL says so.
    pub tls: Option<UpstreamTls>,
}

/// TLS to a backend.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// The name in its certificate.
    pub server_name: String,
    /// PEM of the authorities that vouch for it; absent = the system's.
    pub ca: Option<PathBuf>,
    /// PEM of the certificate chain that we show, and of its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What a client may use up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request line and headers, in bytes.
    pub header_bytes: u64,
    /// Request target, in bytes.
    pub uri_bytes: u64,
    /// Request body, in bytes.
    pub body_bytes: u64,
    /// All bodies that must be held whole, in bytes.
    pub held_bytes: u64,
    /// Client connections at one time.
    pub connections: u32,
    /// Of these, from one address; absent = all of them.
    pub connections_per_address: Option<u32>,
    /// Bad tokens from one address.
    pub failed_tokens: RateLimit,
    /// How long a request's headers may take.
    pub header_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: default::HEADER_BYTES,
            uri_bytes: default::URI_BYTES,
            body_bytes: default::BODY_BYTES,
            held_bytes: default::HELD_BYTES,
            connections: default::CONNECTIONS,
            connections_per_address: None,
            failed_tokens: default::FAILED_TOKENS,
            header_timeout: default::HEADER_TIMEOUT,
            body_timeout: default::BODY_TIMEOUT,
            idle_timeout: default::IDLE_TIMEOUT,
        }
    }
}

/// Reads the gateway file. `env` looks up environment variables.
///
/// # Errors
/// Everything that is wrong with it. With `Ok` come the warnings.
pub fn load_gateway(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Gateway, Vec<Problem>), Vec<Problem>> {
    let mut problems = Problems::default();
    let gateway = read(path, env, &mut problems);
    let warnings = problems.finish()?;
    // Without an error there is a gateway; if not, saying so is better than a panic.
    match gateway {
        Some(gateway) => Ok((gateway, warnings)),
        None => Err(vec![Problem::of_file(path.display().to_string(), "cannot be read")]),
    }
}

fn read(path: &Path, env: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) -> Option<Gateway> {
    let mut root = super::parse_file(path, problems)?.0;
    environment::expand(&mut root, env, problems);
    let start = Span {
        len: 0,
        ..super::start(&root)
    };
    check(&root, &Shape::Section(&GATEWAY), start, LATER, problems);
    let fields = Fields::new(&root, start, &GATEWAY);
    let trusted_proxies = super::ranges(fields.list("trusted_proxies"), problems);
    let listen = listeners(&fields, path, &trusted_proxies, problems);
    let admin = admin(&fields, path, problems);
    let upstreams: Vec<(Span, Upstream)> = fields
        .named("upstreams")
        .iter()
        .filter_map(|entry| upstream(entry, path, problems))
        .collect();
    own_addresses(&listen, &admin, &upstreams, problems);
    let policy = fields.text("policy").map(|text| {
        let policy = files::resolve(path, text.text);
        if !policy.is_dir() {
            must_be_there(text, &policy, problems);
        }
        policy
    });
    Some(Gateway {
        listen: listen.into_iter().map(|(_, listener)| listener).collect(),
        admin: admin.1,
        policy: policy.unwrap_or_default(),
        state: super::state::state(&fields, path, problems),
        audit: audit(&fields, path),
        upstreams: upstreams.into_iter().map(|(_, upstream)| upstream).collect(),
        limits: limits(&fields, problems),
        trusted_proxies,
        shutdown_grace: fields.duration("shutdown_grace").unwrap_or(default::SHUTDOWN_GRACE),
        workers: fields.count("workers").and_then(|count| usize::try_from(count).ok()),
    })
}

fn must_be_there(text: Text<'_>, path: &Path, problems: &mut Problems) {
    if let Err(fault) = files::is_there(path) {
        problems.error(text.at, format!("{} {fault}", text.quoted()));
    }
}

/// Whose PROXY headers a listener believes, if it asks for them.
fn proxies(own: &Fields<'_>, trusted: &[IpNet], problems: &mut Problems) -> Option<Vec<IpNet>> {
    let from = own.key("proxy_protocol_from");
    let Some(at) = own.key("proxy_protocol") else {
        if let Some(at) = from {
            problems
                .error(at, "`proxy_protocol_from` says nothing without `proxy_protocol`")
                .hint("write `proxy_protocol: required`");
        }
        return None;
    };
    // `required` is the only word that there is.
    let _ = own.text("proxy_protocol");
    let proxies = match from {
        Some(_) => super::ranges(own.list("proxy_protocol_from"), problems),
        None => trusted.to_vec(),
    };
    if from.is_none() && proxies.is_empty() {
        problems
            .error(at, "nobody's PROXY header is believed, so that nobody could connect")
            .hint("name the proxies in `proxy_protocol_from` or in `trusted_proxies`");
    }
    Some(proxies)
}

fn listeners(fields: &Fields<'_>, path: &Path, trusted: &[IpNet], problems: &mut Problems) -> Vec<(Span, Listener)> {
    let mut listeners: Vec<(Span, Listener)> = Vec::new();
    for node in fields.list("listen") {
        let own = Fields::new(node, node.at, &LISTENER);
        let tls = own.section("tls", &TLS).map(|tls| {
            let mut file = |name| {
                tls.text(name).map(|text: Text<'_>| {
                    let file = files::resolve(path, text.text);
                    must_be_there(text, &file, problems);
                    file
                })
            };
            Tls {
                certificate: file("certificate").unwrap_or_default(),
                key: file("key").unwrap_or_default(),
                client_ca: file("client_ca"),
            }
        });
        let Some((text, address)) = address(&own, path, problems) else {
            continue;
        };
        let takes_any_port = matches!(address, Address::Tcp(socket) if socket.port() == 0);
        if !takes_any_port && listeners.iter().any(|(_, other)| other.address == address) {
            problems.error(text.at, format!("{} is listened on twice", text.quoted()));
        }
        let proxies = proxies(&own, trusted, problems);
        listeners.push((text.at, Listener { address, tls, proxies }));
    }
    listeners
}

/// An address; the socket of a relative path is beside the file.
fn address<'a>(fields: &Fields<'a>, path: &Path, problems: &mut Problems) -> Option<(Text<'a>, Address)> {
    let text = fields.text("address")?;
    let address = match addresses::address(text.text).ok()? {
        Address::Unix(socket) => {
            let socket = path.parent().unwrap_or(Path::new("")).join(socket);
            if socket.as_os_str().len() > MAX_SOCKET_PATH {
                problems.error(
                    text.at,
                    format!(
                        "the path of {} is longer than {MAX_SOCKET_PATH} bytes in full",
                        text.quoted()
                    ),
                );
            }
            Address::Unix(socket)
        }
        tcp @ Address::Tcp(_) => tcp,
    };
    Some((text, address))
}

fn admin(fields: &Fields<'_>, path: &Path, problems: &mut Problems) -> (Option<Span>, Address) {
    let standard = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 9901)));
    let Some(own) = fields.section("admin", &ADMIN) else {
        return (None, standard);
    };
    let exposed = own.flag("insecure_admin_exposed").unwrap_or(false);
    let Some((text, address)) = address(&own, path, problems) else {
        return (None, standard);
    };
    if let Address::Tcp(socket) = address
        && !socket.ip().to_canonical().is_loopback()
    {
        let message = format!("other machines can reach the admin listener at {}", text.quoted());
        if exposed {
            problems.warn(text.at, message);
        } else {
            problems
                .error(text.at, message)
                .hint("use a loopback address such as `127.0.0.1:9901`, or say `insecure_admin_exposed: true`");
        }
    }
    (Some(text.at), address)
}

fn audit(fields: &Fields<'_>, path: &Path) -> Audit {
    let own = fields.section("audit", &AUDIT);
    let target = match own.and_then(|own| own.text("path")).map(|text| text.text) {
        Some("stdout") => AuditTarget::Stdout,
        Some(text) => AuditTarget::File(files::resolve(path, text)),
        None => AuditTarget::File(files::resolve(path, "audit/audit.jsonl")),
    };
    let sync = match own.and_then(|own| own.text("sync")).map(|text| text.text) {
        Some("all") => AuditSync::All,
        Some("none") => AuditSync::None,
        _ => AuditSync::Writes,
    };
    Audit { target, sync }
}

fn upstream((key, node): &(yaml::Key, Node), path: &Path, problems: &mut Problems) -> Option<(Span, Upstream)> {
    let own = Fields::new(node, key.at, &UPSTREAM);
    let (connect_timeout, timeout) = (own.duration("connect_timeout"), own.duration("timeout"));
    let max_connections = own.count("max_connections").and_then(|count| u32::try_from(count).ok());
    let max_connections = max_connections.unwrap_or(default::MAX_CONNECTIONS);
    let per_user = own
        .count("max_connections_per_user")
        .and_then(|count| u32::try_from(count).ok());
    if per_user.is_some_and(|per_user| per_user > max_connections) {
        problems
            .error(own.at, "`max_connections_per_user` is more than `max_connections`")
            .hint(format!("at most {max_connections}"));
    }
    let url = own.text("url")?;
    let endpoint = addresses::upstream(url.text).ok()?;
    let tls = upstream_tls(&own, &endpoint, path, problems);
    let upstream = Upstream {
        name: key.text.as_str().into(),
        tls,
        endpoint,
        connect_timeout: connect_timeout.unwrap_or(default::CONNECT_TIMEOUT),
        timeout: timeout.unwrap_or(default::TIMEOUT),
        max_connections,
        max_connections_per_user: per_user,
    };
    Some((url.at, upstream))
}

fn upstream_tls(own: &Fields<'_>, endpoint: &Endpoint, path: &Path, problems: &mut Problems) -> Option<UpstreamTls> {
    let fields = own.section("tls", &UPSTREAM_TLS);
    if let Some(fields) = &fields
        && !endpoint.tls
    {
        problems
            .error(fields.at, "`tls` is for a backend whose `url` starts with `https://`")
            .hint("leave `tls` out, or write `https://`");
    }
    let mut file = |name| {
        let text: Text<'_> = fields.as_ref()?.text(name)?;
        let file = files::resolve(path, text.text);
        must_be_there(text, &file, problems);
        Some(file)
    };
    let (ca, certificate, key) = (file("ca"), file("certificate"), file("key"));
    if let Some(fields) = &fields
        && certificate.is_some() != key.is_some()
    {
        problems
            .error(fields.at, "`certificate` and `key` go together")
            .hint("give both, or neither");
    }
    endpoint.tls.then(|| UpstreamTls {
        server_name: fields
            .as_ref()
            .and_then(|fields| fields.text("server_name"))
            .map_or_else(|| endpoint.host.clone(), |name| name.text.to_owned()),
        ca,
        identity: certificate.zip(key),
    })
}

/// A request must not come back in, least of all through the admin listener (THREATS P02). And two listeners cannot
/// have one address.
fn own_addresses(
    listen: &[(Span, Listener)],
    admin: &(Option<Span>, Address),
    upstreams: &[(Span, Upstream)],
    problems: &mut Problems,
) {
    if let Some((at, _)) = listen.iter().find(|(_, listener)| listener.address == admin.1)
        && !matches!(admin.1, Address::Tcp(socket) if socket.port() == 0)
    {
        problems.error(
            admin.0.unwrap_or(*at),
            "the admin listener has the address of a public one",
        );
    }
    for (at, upstream) in upstreams {
        let mut own = listen.iter().map(|(_, listener)| &listener.address);
        let name = quote(&upstream.name);
        if points_at(&upstream.endpoint, &admin.1) {
            problems.error(*at, format!("upstream {name} is the gateway's own admin listener"));
        } else if own.any(|address| points_at(&upstream.endpoint, address)) {
            problems.error(*at, format!("upstream {name} is the gateway itself"));
        }
        if addresses::is_link_local(&upstream.endpoint.host) {
            problems.warn(
                *at,
                format!("upstream {name} is at a link-local address, behind which machines keep credentials"),
            );
        }
    }
}

/// Whether a connection to `endpoint` would arrive at the listener, as far as names and numbers tell.
fn points_at(endpoint: &Endpoint, address: &Address) -> bool {
    let Address::Tcp(socket) = address else { return false };
    if endpoint.port != socket.port() {
        return false;
    }
    let host = match endpoint.ip() {
        Some(ip) => ip.to_canonical(),
        None if endpoint.host == "localhost" || endpoint.host.ends_with(".localhost") => {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        }
        None => return false,
    };
    let here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    let own = socket.ip().to_canonical();
    // A listener on every address has this machine's addresses, which are not known here, but loopback among them.
    host == own
        || (here(host) && here(own) && (own.is_unspecified() || host.is_unspecified() || endpoint.ip().is_none()))
}

fn failed_tokens(limits: &Fields<'_>) -> Option<RateLimit> {
    let own = limits.section("failed_tokens", &FAILED_TOKENS)?;
    let requests = u32::try_from(own.count("requests")?).ok()?;
    Some(RateLimit {
        requests,
        per: own.duration("per")?,
        burst: requests,
    })
}

fn limits(fields: &Fields<'_>, problems: &mut Problems) -> Limits {
    let standard = Limits::default();
    let Some(own) = fields.section("limits", &LIMITS) else {
        return standard;
    };
    let body_bytes = own.size("body_bytes").unwrap_or(standard.body_bytes);
    let limits = Limits {
        header_bytes: own.size("header_bytes").unwrap_or(standard.header_bytes),
        uri_bytes: own.size("uri_bytes").unwrap_or(standard.uri_bytes),
        body_bytes,
        held_bytes: own.size("held_bytes").unwrap_or(standard.held_bytes.max(body_bytes)),
        connections: own
            .count("connections")
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(standard.connections),
        connections_per_address: own
            .count("connections_per_address")
            .and_then(|count| u32::try_from(count).ok()),
        failed_tokens: failed_tokens(&own).unwrap_or(standard.failed_tokens),
        header_timeout: own.duration("header_timeout").unwrap_or(standard.header_timeout),
        body_timeout: own.duration("body_timeout").unwrap_or(standard.body_timeout),
        idle_timeout: own.duration("idle_timeout").unwrap_or(standard.idle_timeout),
    };
    if limits.held_bytes < limits.body_bytes
        && let Some(at) = own.key("held_bytes")
    {
        problems
            .error(
                at,
                "`held_bytes` is less than `body_bytes`: not even one such body could be held",
            )
            .hint(format!("at least {}", limits.body_bytes));
    }
    if limits.uri_bytes > limits.header_bytes
        && let Some(at) = own.key("uri_bytes").or_else(|| own.key("header_bytes"))
    {
        problems.warn(
            at,
            "`uri_bytes` is larger than `header_bytes`, which holds the request target too",
        );
    }
    limits
}
