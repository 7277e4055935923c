//! Which web pages may ask, and what their browsers are told of it (WHATWG Fetch, "CORS protocol"; the interface's `cors`).
//!
//! A page whose origin is not named gets no word of permission, and its browser keeps the answer from it. What a page may
//! ask is said in full or not at all: an origin, a method or a header that is not named is refused (THREATS P10-P13).

mod origin;
#[cfg(test)]
mod tests;

use http::header::{self, HeaderMap};
use http::{HeaderName, HeaderValue, Method};
use std::time::Duration;

pub use origin::{OriginFault, WebOrigin};

/// Most bytes of `Access-Control-Request-Headers` that are looked at: what does not fit in is refused (THREATS L09).
pub const MAX_ASKED: usize = 4096;

/// Asks for leave to reach into a private network: that of "Private Network Access" and of its successor.
const PRIVATE_NETWORK: [HeaderName; 2] = [
    HeaderName::from_static("access-control-request-private-network"),
    HeaderName::from_static("access-control-request-local-network"),
];

/// What pages may ask, as the author wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsRules {
    /// Whose pages; at least one.
    pub origins: Vec<WebOrigin>,
    /// Methods that they may use; at least one.
    pub methods: Vec<Method>,
    /// Request headers that they may set, beside those that need no leave.
    pub headers: Vec<HeaderName>,
    /// Response headers that they may read, beside those that need no leave.
    pub expose: Vec<HeaderName>,
    /// Whether browsers send cookies and client certificates along. Never with a wildcard among the origins.
    pub credentials: bool,
    /// How long browsers remember what they were told; absent: as long as they like, mostly five seconds.
    pub max_age: Option<Duration>,
}

/// What pages may ask, with what their browsers are told made ready.
#[derive(Debug)]
pub struct Cors {
    rules: CorsRules,
    /// What every preflight of an admitted page is answered.
    preflight: Vec<(HeaderName, HeaderValue)>,
    /// What is added to every answer to an admitted page.
    answer: Vec<(HeaderName, HeaderValue)>,
}

/// Why a preflight is refused; for the operator, never for the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreflightFault {
    /// No `cors` names the page's origin.
    #[error("the origin is not one that the policy names")]
    Origin,
    /// `methods` has not the method.
    #[error("the method is not one that pages may use")]
    Method,
    /// `headers` has not one of the headers, or there are more than anybody asks for.
    #[error("a header is not one that pages may set")]
    Header,
    /// The page comes from a wider network than the gateway's.
    #[error("pages may not reach into a private network")]
    PrivateNetwork,
}

impl Cors {
    /// Makes ready what browsers are told.
    #[must_use]
    pub fn new(rules: CorsRules) -> Self {
        let list = |items: &mut dyn Iterator<Item = &str>| {
            let text = items.collect::<Vec<_>>().join(", ");
            // Names and methods are tokens, which a field may always hold.
            HeaderValue::try_from(text).ok().filter(|value| !value.is_empty())
        };
        let credentials = rules.credentials.then(|| HeaderValue::from_static("true"));
        let preflight = [
            (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials.clone()),
            (
                header::ACCESS_CONTROL_ALLOW_METHODS,
                list(&mut rules.methods.iter().map(Method::as_str)),
            ),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                list(&mut rules.headers.iter().map(HeaderName::as_str)),
            ),
            (
                header::ACCESS_CONTROL_MAX_AGE,
                rules.max_age.map(|age| HeaderValue::from(age.as_secs())),
            ),
        ];
        let answer = [
            (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials),
            (
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                list(&mut rules.expose.iter().map(HeaderName::as_str)),
            ),
        ];
        let told = |(name, value): (HeaderName, Option<HeaderValue>)| Some((name, value?));
        Self {
            preflight: preflight.into_iter().filter_map(told).collect(),
            answer: answer.into_iter().filter_map(told).collect(),
            rules,
        }
    }

    /// As the author wrote it.
    #[must_use]
    pub fn rules(&self) -> &CorsRules {
        &self.rules
    }

    /// The origin that these request headers name, if its pages may read the answer. Two name none.
    #[must_use]
    pub fn admitted<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        let named = |known: &WebOrigin| known.admits(origin.as_bytes());
        self.rules.origins.iter().any(named).then_some(origin)
    }

    /// Judges a preflight.
    ///
    /// # Errors
    /// What in it the policy does not name.
    pub fn judge(&self, headers: &HeaderMap) -> Result<(), PreflightFault> {
        if self.admitted(headers).is_none() {
            return Err(PreflightFault::Origin);
        }
        if PRIVATE_NETWORK.iter().any(|name| headers.contains_key(name)) {
            return Err(PreflightFault::PrivateNetwork);
        }
        let mut asked = headers.get_all(header::ACCESS_CONTROL_REQUEST_METHOD).iter();
        let method = asked.next().filter(|_| asked.next().is_none());
        // Methods are compared with their case: browsers write those that they know in capitals (Fetch, "normalize").
        let allows = |name: &[u8]| {
            self.rules
                .methods
                .iter()
                .any(|method| method.as_str().as_bytes() == name)
        };
        if !method.is_some_and(|method| allows(method.as_bytes())) {
            return Err(PreflightFault::Method);
        }
        self.allows_headers(headers).then_some(()).ok_or(PreflightFault::Header)
    }

    fn allows_headers(&self, headers: &HeaderMap) -> bool {
        let asked = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let size: usize = asked.iter().map(HeaderValue::len).sum();
        let allows = |name: &str| {
            let mut known = self.rules.headers.iter();
            known.any(|known| known.as_str().eq_ignore_ascii_case(name))
        };
        size <= MAX_ASKED
            && asked.iter().all(|value| {
                let text = value.to_str();
                // An empty element asks for nothing, and is no fault (RFC 9110, 5.6.1.2).
                text.is_ok_and(|text| {
                    let mut names = text.split(',').map(|name| name.trim_matches([' ', '\t']));
                    names.all(|name| name.is_empty() || allows(name))
                })
            })
    }

    /// Tells the browser what its page may do with an answer, and caches that it is not for everybody. `admitted` is
    /// what [`Cors::admitted`] said of the request.
    pub fn tell(&self, admitted: Option<&HeaderValue>, fields: &mut HeaderMap) {
        vary_by_origin(fields);
        let Some(origin) = admitted else { return };
        fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        for (name, value) in &self.answer {
            fields.insert(name.clone(), value.clone());
        }
    }

    /// What the browser is told of a preflight that [`Cors::judge`] lets pass, beside what [`Cors::tell`] adds.
    #[must_use]
    pub fn leave(&self) -> HeaderMap {
        let mut fields: HeaderMap = self.preflight.iter().cloned().collect();
        fields.insert(
            header::VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        );
        fields
    }
}

/// Whether a request asks what a page may ask (Fetch, "CORS-preflight request"). No token comes with it.
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Adds `Origin` to what the answer depends on, unless it is there (RFC 9110, 12.5.5).
fn vary_by_origin(fields: &mut HeaderMap) {
    let named = |text: &str| {
        let mut names = text.split(',').map(str::trim);
        names.any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
    };
    let mut values = fields.get_all(header::VARY).iter();
    if !values.any(|value| value.to_str().is_ok_and(named)) {
        fields.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}
