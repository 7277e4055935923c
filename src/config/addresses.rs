//! Where things are: addresses to listen on, backends, address ranges, URLs of keys.
//!
//! As written: no name is looked up, nothing is connected to.

use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::values::{Fault, line};

/// Longest path of a Unix socket, in bytes (`sun_path` less its closing NUL).
pub(super) const MAX_SOCKET_PATH: usize = 107;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/x.sock`.
pub(super) fn address(text: &str) -> Result<Address, Fault> {
    if let Some(path) = text.strip_prefix("unix:") {
        line(path)?;
        if path.len() > MAX_SOCKET_PATH {
            return Err(Fault::new(format!(
                "is longer than the {MAX_SOCKET_PATH} bytes that a Unix socket's path may have"
            )));
        }
        return Ok(Address::Unix(path.into()));
    }
    text.parse().map(Address::Tcp).map_err(|_| {
        Fault::new("is no address to listen on")
            .hint("such as `127.0.0.1:8080`, `[::1]:8080` or `unix:/run/tollgate/public.sock`")
    })
}

/// Where a backend is: `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A DNS name or an IP address, an IPv6 one without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// It is spoken to by TLS.
    pub tls: bool,
}

impl Endpoint {
    /// `host:port`, as a URL and a `Host` header have it.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The host as an address, if it is written as one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// `http://127.0.0.1:9000` or `https://…`: no user, no path, a port.
pub(super) fn upstream(text: &str) -> Result<Endpoint, Fault> {
    line(text)?;
    let example = "such as `http://127.0.0.1:9000`";
    if text.starts_with("unix:") {
        return Err(Fault::new("is not supported yet: `unix:` upstreams").hint(example));
    }
    let (tls, scheme, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (false, "http", rest),
        (None, Some(rest)) => (true, "https", rest),
        (None, None) => return Err(Fault::new("does not start with `http://` or `https://`").hint(example)),
    };
    if rest.contains('@') {
        return Err(Fault::new("has a user in it").hint(example));
    }
    if let Some((at, _)) = rest.char_indices().find(|(_, c)| matches!(c, '/' | '?' | '#' | '\\')) {
        let origin = rest.get(..at).unwrap_or_default();
        return Err(Fault::new("has a path").hint(format!(
            "write `{scheme}://{}`; requests keep their own path",
            origin.escape_default()
        )));
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => rest
            .split_once("]:")
            .ok_or_else(|| Fault::new("has no port").hint(example))?,
        None => rest
            .rsplit_once(':')
            .ok_or_else(|| Fault::new("has no port").hint(example))?,
    };
    let bracketed = rest.starts_with('[');
    let fits = if bracketed {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        is_host(host)
    };
    if !fits {
        return Err(Fault::new("has no host name or address").hint(example));
    }
    let port = port
        .parse::<u16>()
        .ok()
        .filter(|&number| number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| Fault::new("has no port from 1 to 65535").hint(example))?;
    Ok(Endpoint {
        host: host.to_ascii_lowercase(),
        port,
        tls,
    })
}

/// A DNS name or an IP address, as a certificate has it.
pub(super) fn server_name(text: &str) -> Result<(), Fault> {
    line(text)?;
    if is_host(text) || text.parse::<IpAddr>().is_ok() {
        Ok(())
    } else {
        Err(Fault::new("is no host name or address").hint("such as `billing.internal`"))
    }
}

/// A DNS name or an IPv4 address. A name that ends in a number must be an address: resolvers read `127.1` and `0x7f.1`
/// as addresses (WHATWG URL, "ends in a number").
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.starts_with(|c: char| c.is_ascii_digit());
    host.len() <= 253 && host.split('.').all(label) && (!numeric || host.parse::<Ipv4Addr>().is_ok())
}

/// Whether a host is one that cloud machines keep their own credentials behind.
pub(super) fn is_link_local(host: &str) -> bool {
    match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80),
        Err(_) => host.eq_ignore_ascii_case("metadata.google.internal"),
    }
}

/// `10.0.0.0/8`, `::1/128`, or one address. Bits past the prefix stay as written.
pub(super) fn range(text: &str) -> Result<IpNet, Fault> {
    let parsed = match text.contains('/') {
        true => text.parse::<IpNet>().ok(),
        false => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    let range = parsed.ok_or_else(|| Fault::new("is no address range").hint("such as `10.0.0.0/8` or `::1/128`"))?;
    if let IpNet::V6(net) = range
        && let Some(v4) = net.addr().to_ipv4_mapped()
        && net.prefix_len() >= 96
    {
        return Err(Fault::new("is an IPv4 range written as IPv6, which matches nothing")
            .hint(format!("write `{v4}/{}`", net.prefix_len() - 96)));
    }
    Ok(range)
}

/// A file or an `https` URL.
pub(super) fn jwks(text: &str) -> Result<(), Fault> {
    line(text)?;
    let Some((scheme, rest)) = text.split_once("://") else {
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        return match scheme {
            Some("file" | "http" | "https" | "data") => Err(Fault::new("is neither a file nor an `https://` URL")),
            _ => Ok(()),
        };
    };
    if scheme != "https" {
        return Err(Fault::new("is neither a file nor an `https://` URL")
            .hint("keys that come over an open line can be anybody's"));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Fault::new("has a user in it"));
    }
    if rest.contains(['#', '\\', ' ']) || !rest.is_ascii() {
        return Err(Fault::new("is no URL"));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']').unwrap_or((inner, "")),
        None => authority
            .find(':')
            .and_then(|at| authority.split_at_checked(at))
            .unwrap_or((authority, "")),
    };
    let bracketed = authority.starts_with('[');
    let host_fits = if bracketed {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        is_host(host)
    };
    let port_fits = port.is_empty()
        || port
            .strip_prefix(':')
            .and_then(|number| number.parse::<u16>().ok())
            .is_some_and(|number| number > 0);
    if !host_fits || !port_fits {
        return Err(Fault::new("has no host name or address").hint("such as `https://idp.city.example/jwks.json`"));
    }
    if is_link_local(host) {
        return Err(Fault::new(
            "is a link-local address, behind which machines keep credentials",
        ));
    }
    Ok(())
}
