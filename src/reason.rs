//! Why Tollgate answered as it did: one closed list for the client's `error`, the audit line and the counters.
//!
//! What a reason looks like on the wire (status, headers, wording) is not known here: the gateway's
//! refusal module turns a [`Reason`] into HTTP, and it alone.

/// Every way in which a request ends without the backend's own answer (interface, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request head is larger than the header limit, or has too many fields.
    HeadersTooLarge,
    /// The request target is longer than the URI limit.
    UriTooLong,
    /// The body is larger than the body limit.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body broke off, or its framing is wrong.
    BodyBroken,
    /// Another reader could understand the path differently (section 5).
    AmbiguousPath,
    /// Another reader could understand the request differently: host, framing, duplicated control headers.
    AmbiguousRequest,
    /// The connection began with a client certificate, and other authorities vouch for those now.
    CertificateOutdated,
    /// The method is none that a backend of ours may see.
    UnsupportedMethod,
    /// A web page asks that may not, or for what it may not (Fetch's preflight).
    OriginNotAllowed,
    /// The peer's address is not one that the policy admits.
    SourceNotAllowed,
    /// A protected route was asked without a bearer token.
    MissingToken,
    /// The token is malformed, forged, for somebody else, or not yet valid.
    InvalidToken,
    /// The token was good once.
    ExpiredToken,
    /// The token names no role that the policy knows (S2.3).
    NoRole,
    /// The token holds roles that separation of duties keeps apart (S2.1).
    ConflictingRoles,
    /// The caller asks more often than its role may (S3.5).
    RateLimited,
    /// No module or no route takes the path.
    NoRoute,
    /// The route exists, but not for this method.
    MethodNotAllowed,
    /// The caller's scopes do not cover the route's (S2.2).
    DeniedScope,
    /// A held role is kept out of the module (S2.2).
    DeniedModule,
    /// The request is about a jurisdiction that the caller has not (S1.5).
    JurisdictionMismatch,
    /// The route's condition does not hold, or could not be evaluated (S1.3, S2.7, S3.4).
    DeniedCondition,
    /// A dry run of a route that has none.
    DryRunUnsupported,
    /// The body of a dry run is not what the route's schema, or its rules for entries, say (S1.10).
    DryRunInvalid,
    /// The body of a write is not.
    SchemaViolation,
    /// Too many large bodies are looked at already.
    ChecksBusy,
    /// The route demands an idempotency key and there is none (S1.8).
    IdempotencyKeyMissing,
    /// The idempotency key is not 1-255 visible ASCII characters.
    IdempotencyKeyInvalid,
    /// The key came before with another request.
    IdempotencyKeyReused,
    /// The first request with this key still runs.
    RequestInProgress,
    /// The first request with this key is done (S1.8).
    DuplicateRequest,
    /// The first request with this key was sent, and nobody knows what became of it.
    OutcomeUnknown,
    /// The route demands an `If-Match` and there is none (S1.9).
    PreconditionRequired,
    /// The resource has another version than those in `If-Match` (S1.9).
    VersionMismatch,
    /// Too many writes to the resource, or to too many resources, wait already, or one waited too long.
    ResourceBusy,
    /// The store of idempotency keys cannot be written: nothing is forwarded.
    StoreUnavailable,
    /// The audit log cannot be written: nothing is forwarded.
    AuditUnavailable,
    /// The backend could not be reached: nothing was sent.
    UpstreamUnavailable,
    /// The backend did not answer in time.
    UpstreamTimeout,
    /// The backend broke off, or its answer breaks HTTP or asks for what Tollgate does not do (`101`).
    UpstreamBroken,
    /// The backend's answer cannot be masked with certainty.
    UnmaskableResponse,
    /// The answer to a keyed write is larger than what may be held.
    AnswerTooLarge,
    /// The client hung up before it was answered.
    ClientClosed,
    /// A fault of Tollgate's own.
    Internal,
}

/// What the audit line's `decision` and the decision counter say (section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The request was let through and the backend's answer given back.
    Allowed,
    /// It was a dry run: the answer says what the write would do, and no backend was asked (S1.10).
    DryRun,
    /// It was let through, and the client hung up before it had the whole answer.
    Abandoned,
    /// It was refused, or failed, for this reason.
    Refused(Reason),
}

impl Reason {
    /// All of them, for metrics that are made before they are counted.
    pub const ALL: [Self; 45] = [
        Self::HeadersTooLarge,
        Self::UriTooLong,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::BodyBroken,
        Self::AmbiguousPath,
        Self::AmbiguousRequest,
        Self::CertificateOutdated,
        Self::UnsupportedMethod,
        Self::OriginNotAllowed,
        Self::SourceNotAllowed,
        Self::MissingToken,
        Self::InvalidToken,
        Self::ExpiredToken,
        Self::NoRole,
        Self::ConflictingRoles,
        Self::RateLimited,
        Self::NoRoute,
        Self::MethodNotAllowed,
        Self::DeniedScope,
        Self::DeniedModule,
        Self::JurisdictionMismatch,
        Self::DeniedCondition,
        Self::DryRunUnsupported,
        Self::DryRunInvalid,
        Self::SchemaViolation,
        Self::ChecksBusy,
        Self::IdempotencyKeyMissing,
        Self::IdempotencyKeyInvalid,
        Self::IdempotencyKeyReused,
        Self::RequestInProgress,
        Self::DuplicateRequest,
        Self::OutcomeUnknown,
        Self::PreconditionRequired,
        Self::VersionMismatch,
        Self::ResourceBusy,
        Self::StoreUnavailable,
        Self::AuditUnavailable,
        Self::UpstreamUnavailable,
        Self::UpstreamTimeout,
        Self::UpstreamBroken,
        Self::UnmaskableResponse,
        Self::AnswerTooLarge,
        Self::ClientClosed,
        Self::Internal,
    ];

    /// The `error` member of the client's answer and of the audit line.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::HeadersTooLarge => "headers_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyBroken => "body_broken",
            Self::AmbiguousPath => "ambiguous_path",
            Self::AmbiguousRequest => "ambiguous_request",
            Self::CertificateOutdated => "certificate_outdated",
            Self::UnsupportedMethod => "unsupported_method",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::SourceNotAllowed => "source_not_allowed",
            Self::MissingToken => "missing_token",
            Self::InvalidToken => "invalid_token",
            Self::ExpiredToken => "expired_token",
            Self::NoRole => "no_role",
            Self::ConflictingRoles => "conflicting_roles",
            Self::RateLimited => "rate_limited",
            Self::NoRoute => "no_route",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::DeniedScope => "denied_scope",
            Self::DeniedModule => "denied_module",
            Self::JurisdictionMismatch => "jurisdiction_mismatch",
            Self::DeniedCondition => "denied_condition",
            Self::DryRunUnsupported => "dry_run_unsupported",
            Self::DryRunInvalid => "dry_run_invalid",
            Self::SchemaViolation => "schema_violation",
            Self::ChecksBusy => "checks_busy",
            Self::IdempotencyKeyMissing => "idempotency_key_missing",
            Self::IdempotencyKeyInvalid => "idempotency_key_invalid",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::RequestInProgress => "request_in_progress",
            Self::DuplicateRequest => "duplicate_request",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::PreconditionRequired => "precondition_required",
            Self::VersionMismatch => "version_mismatch",
            Self::ResourceBusy => "resource_busy",
            Self::StoreUnavailable => "store_unavailable",
            Self::AuditUnavailable => "audit_unavailable",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamBroken => "upstream_broken",
            Self::UnmaskableResponse => "unmaskable_response",
            Self::AnswerTooLarge => "answer_too_large",
            Self::ClientClosed => "client_closed",
            Self::Internal => "internal",
        }
    }

    /// The audit `decision`: which step of the pipeline spoke (section 4).
    #[must_use]
    pub const fn decision(self) -> &'static str {
        match self {
            Self::HeadersTooLarge
            | Self::UriTooLong
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::BodyBroken
            | Self::AmbiguousPath
            | Self::AmbiguousRequest
            | Self::CertificateOutdated
            | Self::UnsupportedMethod
            | Self::SchemaViolation
            | Self::ChecksBusy
            | Self::ClientClosed => "DENIED_REQUEST",
            Self::OriginNotAllowed => "DENIED_ORIGIN",
            Self::SourceNotAllowed => "DENIED_SOURCE",
            Self::MissingToken | Self::InvalidToken | Self::ExpiredToken => "DENIED_TOKEN",
            Self::NoRole | Self::ConflictingRoles => "DENIED_ROLE",
            Self::RateLimited => "DENIED_RATE",
            Self::NoRoute | Self::MethodNotAllowed => "DENIED_ROUTE",
            Self::DeniedScope => "DENIED_SCOPE",
            Self::DeniedModule => "DENIED_MODULE",
            Self::JurisdictionMismatch => "DENIED_JURISDICTION",
            Self::DeniedCondition => "DENIED_CONDITION",
            Self::DryRunUnsupported | Self::DryRunInvalid => "DRY_RUN",
            Self::IdempotencyKeyMissing
            | Self::IdempotencyKeyInvalid
            | Self::IdempotencyKeyReused
            | Self::RequestInProgress
            | Self::DuplicateRequest
            | Self::OutcomeUnknown
            | Self::StoreUnavailable => "DENIED_IDEMPOTENCY",
            Self::PreconditionRequired | Self::VersionMismatch | Self::ResourceBusy => "DENIED_PRECONDITION",
            Self::AuditUnavailable => "DENIED_AUDIT",
            Self::UpstreamUnavailable
            | Self::UpstreamTimeout
            | Self::UpstreamBroken
            | Self::UnmaskableResponse
            | Self::AnswerTooLarge => "ERROR_UPSTREAM",
            Self::Internal => "ERROR_INTERNAL",
        }
    }
}

impl Outcome {
    /// The audit `decision`.
    #[must_use]
    pub const fn decision(self) -> &'static str {
        match self {
            Self::Allowed | Self::Abandoned => "ALLOWED",
            Self::DryRun => "DRY_RUN",
            Self::Refused(reason) => reason.decision(),
        }
    }

    /// The audit `error`; none when the request was let through.
    #[must_use]
    pub const fn error(self) -> Option<&'static str> {
        match self {
            Self::Allowed | Self::DryRun => None,
            Self::Abandoned => Some(Reason::ClientClosed.code()),
            Self::Refused(reason) => Some(reason.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_its_own_code() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}
