//! `state`: where the keys that were used are kept, in a folder of this machine or in a server that several gateways
//! share.
//!
//! A password never comes out of here but to the connection: no problem quotes the URL, and [`Secret`] does not print.

use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fields::Fields;
use super::files;
use super::gateway_keys::{SHARED_STORE, default};
use super::problem::{Problems, Span};

/// Where the state is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The folder of the embedded store.
    Folder(PathBuf),
    /// A server.
    Shared(Box<SharedStore>),
}

/// What kind of server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// PostgreSQL.
    PostgreSql,
    /// Redis.
    Redis,
}

impl State {
    /// The folder of this machine in which this gateway keeps what it shares with nobody.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder,
            Self::Shared(shared) => &shared.folder,
        }
    }
}

/// A server whose store several gateways share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedStore {
    /// What kind of server it is.
    pub kind: ServerKind,
    /// Where it listens.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// As whom to log in; never absent for PostgreSQL.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The database's name; of Redis, its number.
    pub database: String,
    /// Whether the connection is TLS, with the server's certificate verified for its name.
    pub tls: bool,
    /// Authorities for that; absent = the system's.
    pub ca: Option<PathBuf>,
    /// After how long without a sign of life a gateway counts as gone, by the store's clock.
    pub lease: Duration,
    /// Takes a server that may forget what it acknowledged.
    pub insecure_volatile: bool,
    /// Where this gateway keeps what it shares with nobody: the list of what is revoked.
    pub folder: PathBuf,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A DNS name or an IP address, an IPv6 one without its brackets.
    Name(String),
    /// A Unix socket.
    Socket(PathBuf),
}

/// A password. It has no text but for whoever asks for it by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the connection alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Without user and password.
impl fmt::Display for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, port, database) = (self.kind, self.port, &self.database);
        match &self.host {
            Host::Name(host) if host.contains(':') => write!(f, "{kind} at [{host}]:{port}, database `{database}`"),
            Host::Name(host) => write!(f, "{kind} at {host}:{port}, database `{database}`"),
            Host::Socket(file) => write!(f, "{kind} at {}, database `{database}`", file.display()),
        }
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PostgreSql => "PostgreSQL",
            Self::Redis => "Redis",
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "`{}`", folder.display()),
            Self::Shared(shared) => fmt::Display::fmt(shared, f),
        }
    }
}

impl Host {
    /// Whether nobody on a network sees what is said to it.
    fn is_here(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Name(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        }
    }
}

/// The folder of a gateway file that names none.
const FOLDER: &str = "state/";

/// Reads `state` and `shared_store`, which goes with it.
pub(super) fn state(fields: &Fields<'_>, path: &Path, problems: &mut Problems) -> State {
    let text = fields.text("state");
    let own = fields.section("shared_store", &SHARED_STORE);
    let written = text.map_or(FOLDER, |text| text.text);
    let Some((scheme, rest)) = written.split_once("://") else {
        if let Some(own) = own {
            problems
                .error(
                    own.at,
                    "`shared_store` goes with a store that is shared, and `state` is a folder",
                )
                .hint("such as `state: postgres://tollgate@db.city.example/tollgate`");
        }
        return State::Folder(files::resolve(path, written));
    };
    let at = text.map_or_else(Span::default, |text| text.at);
    let mut shared = match url(scheme, rest) {
        Ok(shared) => shared,
        Err(fault) => {
            problems
                .error(at, format!("`state` {}", fault.message))
                .hint(fault.hint);
            return State::Folder(PathBuf::new());
        }
    };
    if !shared.tls && !shared.host.is_here() {
        problems.warn(
            at,
            "what is said to the store of `state`, the password too, can be read and changed on the way: it is not TLS",
        );
    }
    let folder = own.as_ref().and_then(|own| own.text("folder"));
    shared.folder = files::resolve(path, folder.map_or(FOLDER, |text| text.text));
    if let Some(own) = own {
        settings(&own, path, &mut shared, problems);
    }
    State::Shared(Box::new(shared))
}

fn settings(own: &Fields<'_>, path: &Path, shared: &mut SharedStore, problems: &mut Problems) {
    if let Some(file) = own.text("password_file") {
        match password(&files::resolve(path, file.text)) {
            Ok(_) if shared.password.is_some() => {
                problems.error(file.at, "the password is in `state` too");
            }
            Ok(password) => shared.password = Some(password),
            Err(fault) => {
                problems.error(file.at, format!("{} {fault}", file.quoted()));
            }
        }
    }
    if let Some(ca) = own.text("ca") {
        let file = files::resolve(path, ca.text);
        match files::is_there(&file) {
            Ok(()) if !shared.tls => {
                problems.error(ca.at, "`ca` goes with TLS, which `state` does not ask for");
            }
            Ok(()) => shared.ca = Some(file),
            Err(fault) => {
                problems.error(ca.at, format!("{} {fault}", ca.quoted()));
            }
        }
    }
    shared.lease = own.duration("lease").unwrap_or(default::LEASE);
    shared.insecure_volatile = own.flag("insecure_volatile").unwrap_or(false);
    if let Some(at) = own.key("insecure_volatile").filter(|_| shared.insecure_volatile) {
        problems.warn(at, "a store that may forget a key lets a payment be made twice");
    }
}

/// The first line of a file.
fn password(file: &Path) -> Result<Secret, String> {
    let bytes = files::read(file)?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err("begins with no password".to_owned());
    }
    Ok(Secret(line.to_owned()))
}

/// What is wrong with the URL; follows `state`, and repeats nothing of it but what cannot be a secret.
struct Wrong {
    message: &'static str,
    hint: &'static str,
}

const POSTGRES: &str = "such as `postgres://tollgate@db.city.example/tollgate?sslmode=require`";
const REDIS: &str = "such as `rediss://tollgate@redis.city.example/0`";

/// `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require`, or `rediss://USER:PASSWORD@HOST:PORT/NUMBER`; on a Unix
/// socket, `postgres://USER@/DATABASE?host=/FOLDER` and `redis:///NUMBER?socket=/FILE`.
fn url(scheme: &str, rest: &str) -> Result<SharedStore, Wrong> {
    let (kind, example, port) = match scheme {
        "postgres" | "postgresql" => (ServerKind::PostgreSql, POSTGRES, 5432),
        "redis" | "rediss" => (ServerKind::Redis, REDIS, 6379),
        _ => {
            return Err(Wrong {
                message: "is no folder and no store that is known",
                hint: "name a folder, such as `state/`, PostgreSQL by `postgres://…`, or Redis by `rediss://…`",
            });
        }
    };
    let wrong = |message| Wrong { message, hint: example };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let text = |part: &str| {
        let text = percent_decode_str(part).decode_utf8().ok()?;
        (!text.contains('\0')).then(|| text.into_owned())
    };
    let part = |part: &str| match text(part) {
        Some(text) => Ok((!text.is_empty()).then_some(text)),
        None => Err(wrong("has a part that is not UTF-8 text, `%`-encoded")),
    };
    let (host, port) = host(place, port).ok_or_else(|| wrong("has no host with a port from 1 to 65535"))?;
    let mut shared = SharedStore {
        kind,
        host: Host::Name(host),
        port,
        user: part(user)?,
        password: part(password)?.map(Secret),
        database: part(database)?.unwrap_or_default(),
        tls: scheme != "redis",
        ca: None,
        lease: default::LEASE,
        insecure_volatile: false,
        folder: PathBuf::new(),
    };
    match kind {
        ServerKind::PostgreSql => postgres(&mut shared, query),
        ServerKind::Redis => redis(&mut shared, query),
    }
    .map_err(wrong)?;
    if shared.tls && matches!(shared.host, Host::Socket(_)) {
        return Err(wrong("asks for TLS on a Unix socket"));
    }
    Ok(shared)
}

fn host(place: &str, standard: u16) -> Option<(String, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => standard,
        None => return None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().filter(|&n| n > 0)?,
        Some(_) => return None,
    };
    host.chars().all(known).then(|| (host.to_owned(), port))
}

fn postgres(shared: &mut SharedStore, query: &str) -> Result<(), &'static str> {
    let mut mode = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", "disable")) => mode = Some(false),
            // Whoever verifies nothing might as well ask for nothing, so all three verify everything.
            Some(("sslmode", "require" | "verify-ca" | "verify-full")) => mode = Some(true),
            Some(("sslmode", _)) => return Err("has an `sslmode` that is neither `disable` nor `require`"),
            Some(("host", folder)) if folder.starts_with('/') => {
                shared.host = Host::Socket(Path::new(folder).join(format!(".s.PGSQL.{}", shared.port)))
            }
            _ => return Err("has a parameter that is neither `sslmode` nor `host=/FOLDER`"),
        }
    }
    if matches!(&shared.host, Host::Name(name) if name.is_empty()) {
        return Err("has no host");
    }
    if shared.user.is_none() {
        return Err("has no user");
    }
    if shared.database.is_empty() {
        return Err("has no database");
    }
    shared.tls = mode.unwrap_or(!shared.host.is_here());
    Ok(())
}

fn redis(shared: &mut SharedStore, query: &str) -> Result<(), &'static str> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("socket", file)) if file.starts_with('/') => shared.host = Host::Socket(file.into()),
            _ => return Err("has a parameter that is not `socket=/FILE`"),
        }
    }
    if matches!(&shared.host, Host::Name(name) if name.is_empty()) {
        return Err("has no host");
    }
    if shared.database.is_empty() {
        shared.database.push('0');
    }
    let digits = shared.database.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || shared.database.len() > MAX_DIGITS {
        return Err("has a database that is no number");
    }
    Ok(())
}

/// Of the number of a database of Redis.
const MAX_DIGITS: usize = 6;

/// A folder's name. A URL is left to [`state`], which never repeats it: a password may be in it.
pub(super) fn check(text: &str) -> Result<(), super::values::Fault> {
    if text.contains("://") {
        return Ok(());
    }
    super::values::line(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SharedStore, &'static str> {
        let (scheme, rest) = text.split_once("://").unwrap();
        url(scheme, rest).map_err(|wrong| wrong.message)
    }

    #[test]
    fn a_url_is_read_to_its_parts() {
        let all = read("postgres://tg:p%40ss%3A@db.example:5433/ledger%2Fkeys?sslmode=require").unwrap();
        assert_eq!((all.port, all.tls), (5433, true));
        assert_eq!(all.host, Host::Name("db.example".into()));
        assert_eq!((all.user.as_deref(), &*all.database), (Some("tg"), "ledger/keys"));
        assert_eq!(all.password.as_ref().map(Secret::expose), Some("p@ss:"));
        for (text, host, port, tls) in [
            ("postgres://u@db/d", "db", 5432, true),
            ("postgres://u@db/d?sslmode=disable", "db", 5432, false),
            ("postgresql://u@localhost/d", "localhost", 5432, false),
            ("postgres://u@127.0.0.1/d?sslmode=verify-full", "127.0.0.1", 5432, true),
            ("postgres://u@[::1]:5/d", "::1", 5, false),
        ] {
            let read = read(text).unwrap();
            assert_eq!(
                (read.host, read.port, read.tls),
                (Host::Name(host.into()), port, tls),
                "{text}"
            );
        }
        for (text, user, password, port, database, tls) in [
            ("redis://localhost", None, None, 6379, "0", false),
            ("rediss://:pw@r:1/7", None, Some("pw"), 1, "7", true),
            ("rediss://u:p%40@r", Some("u"), Some("p@"), 6379, "0", true),
        ] {
            let read = read(text).unwrap();
            let given = (read.user.as_deref(), read.password.as_ref().map(Secret::expose));
            assert_eq!((read.kind, given), (ServerKind::Redis, (user, password)), "{text}");
            assert_eq!((read.port, &*read.database, read.tls), (port, database, tls), "{text}");
        }
        let socket = read("redis:///1?socket=/run/redis.sock").unwrap();
        assert_eq!(
            (socket.host, &*socket.database),
            (Host::Socket("/run/redis.sock".into()), "1")
        );
        let socket = read("postgres://u@/d?host=/run/postgresql").unwrap();
        assert_eq!(
            (socket.host, socket.tls),
            (Host::Socket("/run/postgresql/.s.PGSQL.5432".into()), false)
        );
    }

    #[test]
    fn what_cannot_be_read_is_no_store() {
        for (text, message) in [
            ("redis://u:pw@r/x", "has a database that is no number"),
            ("redis://r/-1", "has a database that is no number"),
            ("redis:///0", "has no host"),
            ("redis://r/0?timeout=1", "has a parameter that is not `socket=/FILE`"),
            ("rediss:///0?socket=/run/redis.sock", "asks for TLS on a Unix socket"),
            ("s3://bucket", "is no folder and no store that is known"),
            ("postgres://db/d", "has no user"),
            ("postgres://u@db", "has no database"),
            ("postgres://u@/d", "has no host"),
            ("postgres://u@db:0/d", "has no host with a port from 1 to 65535"),
            ("postgres://u@db:x/d", "has no host with a port from 1 to 65535"),
            ("postgres://u@[db]/d", "has no host with a port from 1 to 65535"),
            ("postgres://u@a,b/d", "has no host with a port from 1 to 65535"),
            (
                "postgres://u:%ff@db/d",
                "has a part that is not UTF-8 text, `%`-encoded",
            ),
            (
                "postgres://u:%00@db/d",
                "has a part that is not UTF-8 text, `%`-encoded",
            ),
            (
                "postgres://u@db/d?sslmode=prefer",
                "has an `sslmode` that is neither `disable` nor `require`",
            ),
            (
                "postgres://u@db/d?options=-c",
                "has a parameter that is neither `sslmode` nor `host=/FOLDER`",
            ),
            (
                "postgres://u@/d?host=/run&sslmode=require",
                "asks for TLS on a Unix socket",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        let store = read("postgres://u:hunter2@db/d").unwrap();
        assert!(!format!("{store:?} {store}").contains("hunter2"));
    }
}
