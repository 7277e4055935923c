//! What web pages may ask, asked by their browsers (Fetch's preflight). It comes without a token, and no backend hears of it.
//!
//! An actual request of a page that may not ask is answered as any other, without a word that would let the page read the
//! answer: that is the browser's to enforce, and a page of the gateway's own origin is not told from others by its `Origin`.

use http::{HeaderMap, Method};

use super::refusal::Refusal;
use crate::policy::Policy;
use crate::policy::cors::is_preflight;
use crate::reason::Reason;

/// What a browser is told, if that is all that it asks. Without `cors` such a request is one like any other.
pub(super) fn preflight(policy: &Policy, method: &Method, headers: &HeaderMap) -> Result<Option<HeaderMap>, Refusal> {
    let Some(cors) = policy.cors().filter(|_| is_preflight(method, headers)) else {
        return Ok(None);
    };
    cors.judge(headers)
        .map(|()| Some(cors.leave()))
        .map_err(|fault| Refusal::because(Reason::OriginNotAllowed, fault.to_string()))
}
