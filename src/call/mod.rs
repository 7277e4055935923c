//! A request once we stop trusting how it was written: one path, one query, one reading of each name.
//!
//! Routing, conditions, audit and the backend all see what stands here (invariant 2). Nothing here knows
//! the policy, HTTP statuses or the network.

pub mod certificate;
pub mod document;
pub mod headers;
pub mod json;
pub mod path;
pub mod query;

use http::{HeaderMap, Method};
use std::net::IpAddr;
use std::sync::Arc;

use certificate::Certificate;

pub use path::{Path, PathFault};
pub use query::{Query, QueryFault};

/// A request that could be read in one way only.
#[derive(Clone, Debug)]
pub struct Call {
    /// One of the methods that may be routed.
    pub method: Method,
    /// The canonical path.
    pub path: Path,
    /// The query, as it came and decoded where asked.
    pub query: Query,
    /// The host that was asked for, in lower case, with its port if the client wrote one.
    pub host: Box<str>,
    /// The client's headers after everything that is ours or hop-by-hop has gone.
    pub headers: HeaderMap,
    /// Who asks: the peer, or what a trusted proxy says of it.
    pub source: IpAddr,
    /// The certificate that the client has shown, where it is asked for one.
    pub certificate: Option<Arc<Certificate>>,
}

impl Call {
    /// Whether the method may change something (RFC 9110, 9.2.1: everything but GET, HEAD, OPTIONS).
    #[must_use]
    pub fn is_unsafe(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }
}

/// The value of a hexadecimal digit, as `%XX` escapes have them.
fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
