//! Policy tests: cases that say what a policy decides (interface, section 9). A file is a list of cases.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value as Json};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::{Fields, Text, text};
use super::problem::{Problem, Problems, nearest, quote};
use super::shape::{Section, Shape, TextKind, check, optional, required};
use super::values::{self, Fault};
use super::yaml::{Node, Value};
use crate::call::certificate::{Certificate, NameFault};
use crate::masking::media_type;
use crate::reason::{Outcome, Reason};

/// One case, and where it stands.
#[derive(Clone, Debug)]
pub struct PolicyTest {
    /// Its name.
    pub name: String,
    /// The file as it was named.
    pub file: Arc<str>,
    /// Its line.
    pub line: u32,
    /// What the token says; without claims there is no token.
    pub claims: Option<Map<String, Json>>,
    /// The method.
    pub method: Method,
    /// The path with its query, or a URL.
    pub url: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Where it comes from.
    pub source: IpAddr,
    /// The certificate that the client shows.
    pub certificate: Option<Arc<Certificate>>,
    /// What the backend would say.
    pub response: Option<Response>,
    /// What must come of it.
    pub expect: Expect,
}

/// What a backend would say.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// A body of JSON.
    Json(Json),
    /// A body as it is.
    Text {
        /// Its `Content-Type`.
        content_type: String,
        /// Its text, before it is written in the module's charset.
        body: String,
    },
}

/// What must come of a case; what is absent is not compared.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// The audit line's `decision`.
    pub decision: Option<String>,
    /// The status.
    pub status: Option<u16>,
    /// The `error` of the client's answer.
    pub error: Option<String>,
    /// The backend's answer as the caller has it; of a text a string.
    pub body: Option<Json>,
    /// The classes of which something is masked in the answer; without `response`, those that would be.
    pub masked: Option<Vec<String>>,
}

static LINE: TextKind = TextKind {
    pattern: ".+",
    example: "county isolation",
    check: values::line,
};

static METHOD: TextKind = TextKind {
    pattern: "^[A-Z]+$",
    example: "GET",
    check: |text| {
        Method::from_bytes(text.as_bytes())
            .map(drop)
            .map_err(|_| Fault::new("is no method").hint("such as `GET`"))
    },
};

static HEADER: TextKind = TextKind {
    pattern: "^[A-Za-z0-9!#$%&'*+.^_|~-]+$",
    example: "X-Idempotency-Key",
    check: |text| values::header(text).map(drop),
};

static HEADER_VALUE: TextKind = TextKind {
    pattern: ".*",
    example: "k1",
    check: |text| {
        HeaderValue::from_str(text)
            .map(drop)
            .map_err(|_| Fault::new("cannot be a header's value"))
    },
};

static CONTENT_TYPE: TextKind = TextKind {
    pattern: "^[^/]+/[^/]+$",
    example: "text/csv",
    check: |text| match media_type(text.as_bytes()) {
        Some(_) if HeaderValue::from_str(text).is_ok() => Ok(()),
        _ => Err(Fault::new("is no media type").hint("such as `text/csv`")),
    },
};

static SOURCE: TextKind = TextKind {
    pattern: "^[0-9A-Fa-f:.]+$",
    example: "10.20.0.7",
    check: |text| {
        text.parse::<IpAddr>()
            .map(drop)
            .map_err(|_| Fault::new("is no address").hint("such as `10.20.0.7`"))
    },
};

static DECISION: TextKind = TextKind {
    pattern: "^[A-Z_]+$",
    example: "DENIED_SCOPE",
    check: |text| {
        let known = Reason::ALL.iter().map(|reason| reason.decision());
        one_of(text, "decision", known.chain([Outcome::Allowed.decision()]))
    },
};

static ERROR: TextKind = TextKind {
    pattern: "^[a-z_]+$",
    example: "denied_scope",
    check: |text| one_of(text, "error", Reason::ALL.iter().map(|reason| reason.code())),
};

/// Faults are worded to follow the text.
fn one_of(text: &str, what: &str, known: impl Iterator<Item = &'static str>) -> Result<(), Fault> {
    let known: Vec<&str> = known.collect();
    if known.contains(&text) {
        return Ok(());
    }
    let fault = Fault::new(format!("is no {what} that Tollgate gives"));
    Err(match nearest(text, known.into_iter()) {
        Some(hint) => fault.hint(hint),
        None => fault,
    })
}

static REQUEST: Section = Section {
    name: "request",
    about: "What is asked.",
    keys: &[
        required("method", Shape::Text(&METHOD), "The method."),
        required("url", Shape::Text(&LINE), "The path with its query, or a URL."),
        optional(
            "headers",
            Shape::Named(&HEADER, &Shape::OneOrMany(&Shape::Text(&HEADER_VALUE))),
            "Headers; a list for one that comes more than once.",
        ),
        optional("body", Shape::Json, "The body, sent as JSON."),
        optional(
            "source",
            Shape::Text(&SOURCE),
            "Where it comes from; `127.0.0.1` unless it says so.",
        ),
        optional(
            "certificate",
            Shape::Section(&CERTIFICATE),
            "The certificate that the client shows. Absent: none.",
        ),
    ],
};

static CERTIFICATE: Section = Section {
    name: "certificate",
    about: "What a client's certificate says.",
    keys: &[
        optional("spiffe_id", Shape::Text(&SPIFFE_ID), "Its one URI, a SPIFFE id."),
        optional(
            "common_name",
            Shape::Text(&COMMON_NAME),
            "Its subject's one common name.",
        ),
        optional(
            "sha256",
            Shape::Text(&SHA256),
            "Its hash, for tokens that are bound to it.",
        ),
    ],
};

static SPIFFE_ID: TextKind = TextKind {
    pattern: "^spiffe://.+$",
    example: "spiffe://city.example/etl",
    check: |text| described(Certificate::described(None, Some(text), None)),
};

static COMMON_NAME: TextKind = TextKind {
    pattern: ".+",
    example: "etl-1",
    check: |text| described(Certificate::described(None, None, Some(text))),
};

static SHA256: TextKind = TextKind {
    pattern: "^[0-9A-Fa-f]{64}$",
    example: "0f",
    check: |text| described(Certificate::described(Some(text), None, None)),
};

fn described(certificate: Result<Certificate, NameFault>) -> Result<(), Fault> {
    certificate.map(drop).map_err(|fault| Fault::new(fault.to_string()))
}

static EXPECT: Section = Section {
    name: "expect",
    about: "What must come of it.",
    keys: &[
        optional("decision", Shape::Text(&DECISION), "The audit line's `decision`."),
        optional(
            "status",
            Shape::Count { least: 100, most: 599 },
            "The status; an allowed request has 200.",
        ),
        optional("error", Shape::Text(&ERROR), "The `error` of the answer."),
        optional(
            "body",
            Shape::Json,
            "The `response` as this caller has it; enc:KEY:* stands for anything encrypted with that key.",
        ),
        optional(
            "masked",
            Shape::List(&Shape::Text(&LINE)),
            "Classes of fields that are masked.",
        ),
    ],
};

static CASE: Section = Section {
    name: "case",
    about: "One request, and what the policy makes of it.",
    keys: &[
        required("name", Shape::Text(&LINE), "What the case shows."),
        optional(
            "claims",
            Shape::JsonMap,
            "The token's claims; without them there is no token.",
        ),
        required("request", Shape::Section(&REQUEST), "What is asked."),
        optional(
            "response",
            Shape::Json,
            "What the backend would say: JSON, or a text of this `content_type`.",
        ),
        optional(
            "content_type",
            Shape::Text(&CONTENT_TYPE),
            "The type of `response`, which is then the body's text as it is; without it, `response` is JSON.",
        ),
        required("expect", Shape::Section(&EXPECT), "What must come of it."),
    ],
};

static CASES: Shape = Shape::Some(&Shape::Section(&CASE));

/// Reads files of cases, for a policy with these classes of fields.
///
/// # Errors
/// Everything that is wrong with them.
pub fn load_policy_tests(paths: &[PathBuf], classes: &[&str]) -> Result<Vec<PolicyTest>, Vec<Problem>> {
    let mut problems = Problems::default();
    let mut tests = Vec::new();
    for path in paths {
        read(path, classes, &mut tests, &mut problems);
    }
    problems.finish().map(|_| tests)
}

fn read(path: &Path, classes: &[&str], tests: &mut Vec<PolicyTest>, problems: &mut Problems) {
    let Some((root, _)) = super::parse_file(path, problems) else {
        return;
    };
    check(&root, &CASES, super::start(&root), &[], problems);
    let Value::List(nodes) = &root.value else { return };
    let mut names = HashSet::new();
    for node in nodes {
        let own = Fields::new(node, node.at, &CASE);
        if let Some(name) = own.text("name")
            && !names.insert(name.text)
        {
            problems.error(name.at, format!("two cases are named {}", name.quoted()));
        }
        tests.extend(case(node, &own, classes, problems));
    }
}

/// None for a case of which something has been noted already.
fn case(node: &Node, own: &Fields<'_>, classes: &[&str], problems: &mut Problems) -> Option<PolicyTest> {
    let request = own.section("request", &REQUEST)?;
    let expect = own.section("expect", &EXPECT)?;
    let claims = match own.json("claims") {
        Some(Json::Object(claims)) => Some(claims),
        _ => None,
    };
    let source = request.text("source").and_then(|text| text.text.parse().ok());
    let certificate = request.section("certificate", &CERTIFICATE).map(|own| {
        let text = |name| own.text(name).map(|text| text.text);
        Certificate::described(text("sha256"), text("spiffe_id"), text("common_name")).map(Arc::new)
    });
    let body = request.json("body").map(|body| serde_json::to_vec(&body));
    let expect = expected(&expect, own, classes, problems);
    Some(PolicyTest {
        name: own.text("name")?.text.to_owned(),
        file: problems.name(node.at),
        line: node.at.line,
        claims,
        method: Method::from_bytes(request.text("method")?.text.as_bytes()).ok()?,
        url: request.text("url")?.text.to_owned(),
        headers: headers(&request),
        body: body.and_then(Result::ok).unwrap_or_default(),
        source: source.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        certificate: certificate.transpose().ok()?,
        response: response(own, problems),
        expect,
    })
}

fn response(own: &Fields<'_>, problems: &mut Problems) -> Option<Response> {
    let Some(kind) = own.text("content_type") else {
        return own.json("response").map(Response::Json);
    };
    match own.json("response") {
        Some(Json::String(body)) => Some(Response::Text {
            content_type: kind.text.to_owned(),
            body,
        }),
        Some(_) => {
            problems
                .error(kind.at, "with a `content_type`, `response` is a text")
                .hint("write the body as it is after `response: |`, or leave `content_type` out");
            None
        }
        None => {
            problems
                .error(kind.at, "there is no `response` that has this `content_type`")
                .hint("say in `response` what the backend would answer");
            None
        }
    }
}

fn headers(request: &Fields<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (key, node) in request.named("headers") {
        let values: Vec<Text<'_>> = match &node.value {
            Value::List(items) => items.iter().filter_map(text).collect(),
            _ => text(node).into_iter().collect(),
        };
        let Ok(name) = key.text.parse::<HeaderName>() else {
            continue;
        };
        for value in values {
            if let Ok(value) = HeaderValue::from_str(value.text) {
                headers.append(name.clone(), value);
            }
        }
    }
    headers
}

fn expected(own: &Fields<'_>, case: &Fields<'_>, classes: &[&str], problems: &mut Problems) -> Expect {
    let keys = ["decision", "status", "error", "body", "masked"];
    if keys.iter().all(|key| own.key(key).is_none()) {
        problems
            .error(own.at, "`expect` expects nothing")
            .hint("such as `{ decision: DENIED_SCOPE, status: 403 }`");
    }
    if let Some(at) = own.key("body").filter(|_| case.key("response").is_none()) {
        problems
            .error(
                at,
                "there is no `response` of which `body` could be what the caller has",
            )
            .hint("say in `response` what the backend would answer");
    }
    if let Some(at) = own.key("body").filter(|_| case.text("content_type").is_some())
        && !own.json("body").is_some_and(|body| body.is_string())
    {
        problems
            .error(at, "of a `response` with a `content_type`, `body` is a text")
            .hint("write it as it is after `body: |`");
    }
    for class in own.texts("masked") {
        if !classes.contains(&class.text) {
            problems
                .error(class.at, format!("unknown class {}", quote(class.text)))
                .hint_with(|| nearest(class.text, classes.iter().copied()));
        }
    }
    let owned = |key: &str| own.text(key).map(|text| text.text.to_owned());
    Expect {
        decision: owned("decision"),
        status: own.count("status").and_then(|status| u16::try_from(status).ok()),
        error: owned("error"),
        body: own.json("body"),
        masked: own
            .key("masked")
            .map(|_| own.texts("masked").iter().map(|text| text.text.to_owned()).collect()),
    }
}
