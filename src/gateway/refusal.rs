//! What a client is told when Tollgate answers itself: `application/problem+json` (RFC 9457).
//!
//! The only place that turns a [`Reason`] into HTTP. Two readers, two texts: the client's says what it may know,
//! [`Refusal::detail`] what the operator must.

use http::header::{self, HeaderValue};
use http::{HeaderName, Method, Response, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::answer::AnswerBody;
use super::pace::seconds;
use crate::ledger::Version;
use crate::ledger::schema::Fault;
use crate::policy::Denial;
use crate::reason::Reason;

/// A request that Tollgate answers itself.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For the audit line and the log only.
    pub detail: Option<Cow<'static, str>>,
    /// Boxed: a refusal is passed up through every step, and is nearly always small.
    facts: Box<Facts>,
}

/// What a case adds to the client's answer.
#[derive(Debug, Default)]
struct Facts {
    scope: Option<Arc<str>>,
    methods: Vec<Method>,
    allowed_scope: Option<Vec<String>>,
    original: Option<Original>,
    wait: Option<Duration>,
    errors: Vec<Fault>,
    /// The version of the resource as it is now, an entity tag.
    version: Option<HeaderValue>,
}

/// The first request with a key that came again (S1.8).
#[derive(Debug)]
pub(super) struct Original {
    /// What the backend called it.
    pub transaction_id: Option<Box<str>>,
    /// The backend's status; absent when an operator's word is all that is known.
    pub status: Option<u16>,
    /// When its answer was whole, in unix seconds.
    pub completed_at: u64,
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: Cow<'static, str>,
    error: &'static str,
    decision: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_scope: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_transaction_id: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_status: Option<Option<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
}

/// Cold, as every way to make one: the compiler then keeps what leads here out of the way of requests that go through.
impl From<Reason> for Refusal {
    #[cold]
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            detail: None,
            facts: Box::default(),
        }
    }
}

impl From<Denial> for Refusal {
    #[cold]
    fn from(denial: Denial) -> Self {
        Self {
            reason: denial.reason,
            detail: denial.detail.map(Cow::Owned),
            facts: Box::new(Facts {
                scope: denial.scope,
                methods: denial.methods,
                allowed_scope: denial.jurisdictions,
                original: None,
                wait: None,
                errors: Vec::new(),
                version: None,
            }),
        }
    }
}

impl Refusal {
    /// A reason, with more for the operator.
    #[cold]
    pub(super) fn because(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..reason.into()
        }
    }

    /// A reason for which the client learns the methods that would do.
    #[cold]
    pub(super) fn methods(reason: Reason, methods: Vec<Method>) -> Self {
        Self {
            facts: Box::new(Facts {
                methods,
                ..Facts::default()
            }),
            ..reason.into()
        }
    }

    /// The caller may ask again after `wait`.
    #[cold]
    pub(super) fn too_fast(wait: Duration) -> Self {
        Self {
            facts: Box::new(Facts {
                wait: Some(wait),
                ..Facts::default()
            }),
            ..Reason::RateLimited.into()
        }
    }

    /// No token is looked at before `wait` is over.
    #[cold]
    pub(super) fn too_many_bad_tokens(wait: Duration) -> Self {
        Self {
            detail: Some("too many bad tokens from this address".into()),
            ..Self::too_fast(wait)
        }
    }

    /// The key came before, and its request is done.
    #[cold]
    pub(super) fn duplicate(original: Original) -> Self {
        Self {
            facts: Box::new(Facts {
                original: Some(original),
                ..Facts::default()
            }),
            ..Reason::DuplicateRequest.into()
        }
    }

    /// The resource has another version, this one, or is not there.
    pub(super) fn mismatch(current: Option<&Version>) -> Self {
        let version = current.and_then(|version| HeaderValue::try_from(version.tag()).ok());
        let detail = match current {
            None => Some("the resource is not there"),
            Some(version) if version.is_weak() => Some("the backend's version is a weak tag, which never matches"),
            Some(_) => None,
        };
        Self {
            detail: detail.map(Cow::Borrowed),
            facts: Box::new(Facts {
                version,
                ..Facts::default()
            }),
            ..Reason::VersionMismatch.into()
        }
    }

    /// The body is not what it must be. The operator learns how many faults there are, and the client which.
    #[cold]
    pub(super) fn invalid(reason: Reason, errors: Vec<Fault>) -> Self {
        let count = errors.len();
        Self {
            reason,
            detail: Some(format!("faults in the body: {count}").into()),
            facts: Box::new(Facts {
                errors,
                ..Facts::default()
            }),
        }
    }

    /// The answer.
    pub(super) fn into_response(self, request_id: &str) -> Response<AnswerBody> {
        let status = status(self.reason);
        let original = self.facts.original.as_ref();
        let problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: client_text(self.reason, &self.facts),
            error: self.reason.code(),
            decision: self.reason.decision(),
            request_id,
            allowed_scope: self.facts.allowed_scope.as_deref(),
            original_transaction_id: original.map(|original| original.transaction_id.as_deref()),
            original_status: original.map(|original| original.status),
            completed_at: original.map(|original| timestamp(original.completed_at)),
            errors: &self.facts.errors,
        };
        // A struct of strings and numbers always serialises.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(AnswerBody::whole(body.into()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.fields() {
            headers.insert(name, value);
        }
        response
    }

    fn fields(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = Vec::new();
        let mut add = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                fields.push((name, value));
            }
        };
        match self.reason {
            Reason::MissingToken => add(header::WWW_AUTHENTICATE, "Bearer"),
            Reason::InvalidToken | Reason::NoRole => add(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""),
            Reason::ExpiredToken => add(
                header::WWW_AUTHENTICATE,
                "Bearer error=\"invalid_token\", error_description=\"the token has expired\"",
            ),
            Reason::DeniedScope => {
                let scope = self.facts.scope.as_deref().unwrap_or_default();
                add(
                    header::WWW_AUTHENTICATE,
                    &format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""),
                );
            }
            Reason::MethodNotAllowed | Reason::UnsupportedMethod => {
                let methods: Vec<&str> = self.facts.methods.iter().map(Method::as_str).collect();
                add(header::ALLOW, &methods.join(", "));
            }
            Reason::RateLimited => {
                // In whole seconds (RFC 9110, 10.2.3).
                let wait = seconds(self.facts.wait.unwrap_or_default()).max(1);
                add(header::RETRY_AFTER, &wait.to_string());
            }
            Reason::RequestInProgress | Reason::ResourceBusy => add(header::RETRY_AFTER, "1"),
            _ if status(self.reason) == StatusCode::SERVICE_UNAVAILABLE => add(header::RETRY_AFTER, "5"),
            _ => {}
        }
        if ends_connection(self.reason) {
            add(header::CONNECTION, "close");
        }
        if let Some(version) = self.facts.version.as_ref().and_then(|version| version.to_str().ok()) {
            add(header::ETAG, version);
        }
        let transaction_id = self
            .facts
            .original
            .as_ref()
            .and_then(|original| original.transaction_id.as_deref());
        if let Some(id) = transaction_id {
            add(HeaderName::from_static("x-original-transaction-id"), id);
        }
        fields
    }
}

/// An answer as HTTP/1.1 writes it, for a connection that is closed after it.
pub(super) fn last_bytes(answer: Response<AnswerBody>, request_id: &HeaderValue) -> Vec<u8> {
    let (head, body) = answer.into_parts();
    let AnswerBody::Whole(body) = body else {
        return Vec::new();
    };
    let body = body.unwrap_or_default();
    let phrase = head.status.canonical_reason().unwrap_or_default();
    let mut out = format!("HTTP/1.1 {} {phrase}\r\n", head.status.as_u16()).into_bytes();
    let mut field = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    };
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != header::CONNECTION) {
        field(name.as_str(), value.as_bytes());
    }
    field("x-request-id", request_id.as_bytes());
    field("content-length", body.len().to_string().as_bytes());
    field("connection", b"close");
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
    out
}

/// Where it is not sure how a request was meant to be read, it is not sure either where the next one begins.
const fn ends_connection(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::AmbiguousRequest
            | Reason::BodyBroken
            | Reason::BodyTimeout
            | Reason::BodyTooLarge
            | Reason::HeadersTooLarge
            | Reason::UriTooLong
    )
}

fn timestamp(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map(|time| time.to_string())
        .unwrap_or_default()
}

/// The status of each reason (interface, section 4).
pub(super) const fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Reason::UriTooLong => StatusCode::URI_TOO_LONG,
        Reason::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        Reason::BodyBroken
        | Reason::AmbiguousPath
        | Reason::AmbiguousRequest
        | Reason::DryRunUnsupported
        | Reason::IdempotencyKeyMissing
        | Reason::IdempotencyKeyInvalid
        | Reason::ClientClosed => StatusCode::BAD_REQUEST,
        Reason::MissingToken | Reason::InvalidToken | Reason::ExpiredToken | Reason::NoRole => StatusCode::UNAUTHORIZED,
        Reason::OriginNotAllowed
        | Reason::SourceNotAllowed
        | Reason::ConflictingRoles
        | Reason::DeniedScope
        | Reason::DeniedModule
        | Reason::JurisdictionMismatch
        | Reason::DeniedCondition => StatusCode::FORBIDDEN,
        Reason::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Reason::NoRoute => StatusCode::NOT_FOUND,
        Reason::UnsupportedMethod | Reason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Reason::RequestInProgress | Reason::DuplicateRequest | Reason::OutcomeUnknown => StatusCode::CONFLICT,
        Reason::IdempotencyKeyReused | Reason::DryRunInvalid | Reason::SchemaViolation => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        // A client may ask again on another connection (RFC 9110, 15.5.20).
        Reason::CertificateOutdated => StatusCode::MISDIRECTED_REQUEST,
        Reason::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
        Reason::VersionMismatch => StatusCode::PRECONDITION_FAILED,
        Reason::ChecksBusy
        | Reason::ResourceBusy
        | Reason::StoreUnavailable
        | Reason::AuditUnavailable
        | Reason::UpstreamUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Reason::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        Reason::UpstreamBroken | Reason::UnmaskableResponse | Reason::AnswerTooLarge => StatusCode::BAD_GATEWAY,
        Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What the client may know.
fn client_text(reason: Reason, facts: &Facts) -> Cow<'static, str> {
    Cow::Borrowed(match reason {
        Reason::DeniedScope => {
            let scope = facts.scope.as_deref().unwrap_or_default();
            return format!("Insufficient permissions. Required: {scope}").into();
        }
        Reason::HeadersTooLarge => "The header section is too large.",
        Reason::UriTooLong => "The request target is too long.",
        Reason::BodyTooLarge => "The body is too large.",
        Reason::BodyTimeout => "The body did not arrive in time.",
        Reason::BodyBroken => "The body is malformed or incomplete.",
        Reason::AmbiguousPath => "The path could be read in more than one way.",
        Reason::AmbiguousRequest => "The request could be read in more than one way.",
        Reason::CertificateOutdated => "This needs a new connection.",
        Reason::UnsupportedMethod => "This method is not supported.",
        Reason::OriginNotAllowed => "Pages of this origin may not ask this.",
        Reason::SourceNotAllowed => "Requests from this address are not allowed.",
        Reason::MissingToken => "A bearer token is needed.",
        Reason::InvalidToken => "The token is not valid.",
        Reason::ExpiredToken => "The token has expired. A fresh one is needed.",
        Reason::NoRole => "The token names no role that is known here.",
        Reason::ConflictingRoles => "The token holds roles that must not be held together.",
        Reason::RateLimited => "Requests come too fast.",
        Reason::NoRoute => "There is nothing at this path.",
        Reason::MethodNotAllowed => "This method is not allowed here.",
        Reason::DeniedModule => "Your role is kept out of this part of the service.",
        Reason::JurisdictionMismatch => "The request is outside your jurisdiction.",
        Reason::DeniedCondition => "The request does not meet the conditions of this part of the service.",
        Reason::DryRunUnsupported => "There is no dry run here.",
        Reason::DryRunInvalid | Reason::SchemaViolation => "The body is not what this part of the service takes.",
        Reason::IdempotencyKeyMissing => "An X-Idempotency-Key header is needed.",
        Reason::IdempotencyKeyInvalid => "The idempotency key must be 1 to 255 visible ASCII characters.",
        Reason::IdempotencyKeyReused => "This idempotency key was used with another request.",
        Reason::RequestInProgress => "A request with this idempotency key is still in progress.",
        Reason::DuplicateRequest => "A request with this idempotency key is done already.",
        Reason::OutcomeUnknown => {
            "A request with this idempotency key was sent and its outcome is unknown. It is not sent again."
        }
        Reason::PreconditionRequired => "An If-Match header with the version that this change was made for is needed.",
        Reason::VersionMismatch => "The resource has changed. Read it again before you change it.",
        Reason::ResourceBusy => "Others are changing this resource now.",
        Reason::ChecksBusy | Reason::StoreUnavailable | Reason::AuditUnavailable => {
            "The service cannot take this request now."
        }
        Reason::UpstreamUnavailable => "The service behind cannot be reached.",
        Reason::UpstreamTimeout => "The service behind did not answer in time.",
        Reason::UpstreamBroken => "The service behind gave a broken answer.",
        Reason::UnmaskableResponse => "The answer of the service behind cannot be shown safely.",
        Reason::AnswerTooLarge => "The answer of the service behind is too large.",
        Reason::ClientClosed => "The client closed the connection.",
        Reason::Internal => "Something went wrong here.",
    })
}
