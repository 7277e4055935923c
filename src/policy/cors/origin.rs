//! Origins of web pages, as browsers write them.
//!
//! A browser writes an origin in one way only (HTML, "serialization of an origin"), so origins are compared byte for byte,
//! and what a policy says must be written in that one way. Nothing is ever granted that was not matched whole.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest host name, in bytes (RFC 1035, 2.3.4).
const MAX_HOST: usize = 253;

/// Longest label of a host name, in bytes (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// An origin as a policy names it: one, or those of every name directly below a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebOrigin {
    /// Up to where the free label stands; the whole origin if there is none.
    start: Box<str>,
    /// What follows the free label, from its dot on.
    end: Option<Box<str>>,
}

/// Why a text names no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginFault {
    /// `*`.
    #[error("would let every page in")]
    Any,
    /// `null`.
    #[error("is the origin of no page in particular: sandboxed frames and local files all have it")]
    Null,
    /// Neither `http://` nor `https://`.
    #[error("does not start with `https://` or `http://`")]
    Scheme,
    /// Something after host and port.
    #[error("has a path")]
    Path,
    /// A user.
    #[error("has a user in it")]
    User,
    /// Not as browsers write it; the one way to write it, if that is known.
    #[error("is not written as browsers write it")]
    Spelling(Option<String>),
    /// A name that is not ASCII.
    #[error("has a name that is not ASCII")]
    NotAscii,
    /// No host name or address.
    #[error("has no host name or address")]
    Host,
    /// No port from 1 to 65535.
    #[error("has no port from 1 to 65535")]
    Port,
    /// `*` elsewhere than for the whole first label.
    #[error("has a `*` that is not the whole first label of a name")]
    Star,
    /// `*` for what is directly below a top-level domain.
    #[error("would let in every page below a top-level domain")]
    TooWide,
}

impl OriginFault {
    /// How to mend it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Any | Self::Null => "name each origin, such as `https://billing.city.example`".into(),
            Self::Scheme | Self::Host | Self::Port | Self::User => "such as `https://billing.city.example`".into(),
            Self::Path => "an origin is scheme, host and port, without a closing `/`".into(),
            Self::Spelling(Some(right)) => format!("write `{right}`"),
            Self::Spelling(None) => "such as `https://billing.city.example` or `http://[::1]:3000`".into(),
            Self::NotAscii => "write the name as DNS has it, with `xn--` labels".into(),
            Self::Star | Self::TooWide => "such as `https://*.city.example`".into(),
        }
    }
}

impl WebOrigin {
    /// Reads `https://billing.city.example`, `http://localhost:3000` or `https://*.city.example`.
    ///
    /// # Errors
    /// Why it names no origin, or names one otherwise than browsers do.
    pub fn parse(text: &str) -> Result<Self, OriginFault> {
        match text {
            "*" => return Err(OriginFault::Any),
            "null" => return Err(OriginFault::Null),
            _ => {}
        }
        if !text.is_ascii() {
            return Err(OriginFault::NotAscii);
        }
        let lower = text.to_ascii_lowercase();
        let (scheme, rest) = lower.split_once("://").ok_or(OriginFault::Scheme)?;
        let default_port = match scheme {
            "https" => "443",
            "http" => "80",
            _ => return Err(OriginFault::Scheme),
        };
        if rest.contains('@') {
            return Err(OriginFault::User);
        }
        if rest.contains(['/', '?', '#', '\\']) {
            return Err(OriginFault::Path);
        }
        let (host, port) = split_port(rest)?;
        let star = host.strip_prefix("*.");
        let name = star.unwrap_or(host);
        if name.contains('*') {
            return Err(OriginFault::Star);
        }
        let written = canonical_host(name)?;
        if star.is_some() {
            if !is_name(&written) {
                return Err(OriginFault::Star);
            }
            if !written.contains('.') {
                return Err(OriginFault::TooWide);
            }
        }
        let port = port.filter(|&port| port != default_port);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let stars = if star.is_some() { "*." } else { "" };
        let right = format!("{scheme}://{stars}{written}{port}");
        if right != text {
            return Err(OriginFault::Spelling(Some(right)));
        }
        Ok(match star {
            Some(_) => Self {
                start: format!("{scheme}://").into(),
                end: Some(format!(".{written}{port}").into()),
            },
            None => Self {
                start: right.into(),
                end: None,
            },
        })
    }

    /// Whether `origin`, as a browser sent it, is this one.
    #[must_use]
    pub fn admits(&self, origin: &[u8]) -> bool {
        let Some(end) = &self.end else {
            return origin == self.start.as_bytes();
        };
        origin
            .strip_prefix(self.start.as_bytes())
            .and_then(|rest| rest.strip_suffix(end.as_bytes()))
            .is_some_and(is_label)
    }

    /// Whether every page of `other` is one of this.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self == other || (other.end.is_none() && self.admits(other.start.as_bytes()))
    }

    /// Whether it stands for many names.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.end.is_some()
    }

    /// Whether its pages come over a line on which others may write into them. This machine's own do not.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let Some(rest) = self.start.strip_prefix("http://") else {
            return false;
        };
        let Ok((host, _)) = split_port(rest) else { return true };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let own = host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        !own || self.is_wildcard()
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            None => f.write_str(&self.start),
            Some(end) => write!(f, "{}*{end}", self.start),
        }
    }
}

/// Host, and port without leading zeros.
fn split_port(rest: &str) -> Result<(&str, Option<&str>), OriginFault> {
    let last = rest.rfind([':', ']']).and_then(|at| rest.split_at_checked(at));
    let Some((host, port)) = last.and_then(|(host, port)| Some((host, port.strip_prefix(':')?))) else {
        return Ok((rest, None));
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || port.parse::<u16>().map_or(true, |number| number == 0) {
        return Err(OriginFault::Port);
    }
    Ok((host, Some(port.trim_start_matches('0'))))
}

/// A host as browsers write it (WHATWG URL, "host serializing"); `text` is lower case.
fn canonical_host(text: &str) -> Result<String, OriginFault> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(OriginFault::Host)?;
        let address: Ipv6Addr = inner.parse().map_err(|_| OriginFault::Host)?;
        // These two readers write in different ways.
        if address.to_ipv4_mapped().is_some() {
            return Err(OriginFault::Spelling(None));
        }
        return Ok(format!("[{address}]"));
    }
    let numeric = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()));
    if numeric {
        return text
            .parse::<Ipv4Addr>()
            .map(|address| address.to_string())
            .map_err(|_| OriginFault::Host);
    }
    // With its closing dot it is another origin to browsers, which nobody serves.
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_host = text.len() <= MAX_HOST && text.split('.').all(|label| is_label(label.as_bytes()));
    is_host.then(|| text.to_owned()).ok_or(OriginFault::Host)
}

fn is_name(host: &str) -> bool {
    !host.starts_with('[') && host.parse::<Ipv4Addr>().is_err()
}

/// One label of a name, in lower case (RFC 952 and RFC 1123, 2.1).
fn is_label(label: &[u8]) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    (1..=MAX_LABEL).contains(&label.len())
        && label.iter().all(inner)
        && label.first() != Some(&b'-')
        && label.last() != Some(&b'-')
}
