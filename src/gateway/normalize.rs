//! Second step: from a request to a [`Call`], which can be read in one way only.

use http::HeaderValue;
use http::uri::PathAndQuery;
use ipnet::IpNet;

use super::accept::{Accepted, Limits, Peer};
use super::refusal::Refusal;
use super::source::source;
use crate::call::{Call, Path, Query, headers};
use crate::edge::payload::Upload;
use crate::policy::Policy;
use crate::reason::Reason;

/// A call, its body, and what backends are told of how it came.
#[derive(Debug)]
pub(super) struct Normal {
    /// The call.
    pub call: Box<Call>,
    /// The body, not yet read.
    pub upload: Upload,
    /// Path and query as they came, which is how the backend gets them: what `call` was read from.
    pub target: PathAndQuery,
    /// The host that the client asked for.
    pub host: HeaderValue,
}

/// Makes the call. `Authorization` is still in its headers; [`super::forward()`] takes it out.
pub(super) fn normalize(
    accepted: Accepted,
    peer: &Peer,
    policy: &Policy,
    trusted: &[IpNet],
    limits: &Limits,
) -> Result<Normal, Refusal> {
    let Accepted { head, host, body } = accepted;
    let target = head
        .uri
        .path_and_query()
        .cloned()
        .ok_or_else(|| Refusal::from(Reason::AmbiguousPath))?;
    let (path, query) = read_target(policy, target.path(), target.query())?;
    let believed = if peer.unnamed { &[] } else { trusted };
    let source = source(&head.headers, peer.address, believed)?;
    let mut fields = head.headers;
    headers::strip_request(&mut fields, &policy.forward_as().iter().map(|(name, _)| name), true);
    Ok(Normal {
        call: Box::new(Call {
            method: head.method,
            path,
            query,
            host: String::from_utf8_lossy(host.as_bytes()).to_ascii_lowercase().into(),
            headers: fields,
            source,
            certificate: peer.certificate.clone(),
        }),
        upload: Upload::new(body, limits.body_bytes, limits.body_timeout),
        target,
        host,
    })
}

/// One path and one query, or none.
pub(super) fn read_target(policy: &Policy, path: &str, query: Option<&str>) -> Result<(Path, Query), Refusal> {
    let path = Path::parse(path).map_err(|fault| Refusal::because(Reason::AmbiguousPath, fault.to_string()))?;
    if path.has_parameters() && !policy.allows_path_parameters(&path) {
        return Err(Refusal::because(
            Reason::AmbiguousPath,
            "the path has `;` parameters, and the module does not allow them",
        ));
    }
    let query = Query::parse(query).map_err(|fault| Refusal::because(Reason::AmbiguousRequest, fault.to_string()))?;
    Ok((path, query))
}
