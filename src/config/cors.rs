//! `cors`: which web pages may ask. Its keys and their reader.

use http::{HeaderName, Method};
use std::time::Duration;

use super::fields::{self, Fields};
use super::policy_keys::METHOD;
use super::problem::Problems;
use super::shape::{Section, Shape, TextKind, optional, required};
use super::values;
use crate::policy::cors::{CorsRules, WebOrigin};

/// The longest time that browsers remember a preflight: as long as the most patient one.
const MAX_PREFLIGHT_AGE: Duration = Duration::from_secs(86_400);

static WEB_ORIGIN: TextKind = TextKind {
    pattern: "^https?://[a-z0-9.:*\\[\\]-]+$",
    example: "https://billing.city.example",
    check: |text| values::web_origin(text),
};

static PAGE_HEADER: TextKind = TextKind {
    pattern: "^[!#$%&'+.^_`|~0-9A-Za-z-]+$",
    example: "Authorization",
    check: |text| values::page_header(text).map(drop),
};

/// `cors`.
pub(super) static CORS: Section = Section {
    name: "cors",
    about: "Which web pages may ask, and what their browsers let them read.",
    keys: &[
        required(
            "origins",
            Shape::Some(&Shape::Text(&WEB_ORIGIN)),
            "Scheme, host and port of pages, as browsers write them; https://*.city.example stands for every name directly below.",
        ),
        required(
            "methods",
            Shape::Some(&Shape::Word(&METHOD)),
            "Methods that pages may use; HEAD comes with GET.",
        ),
        optional(
            "headers",
            Shape::List(&Shape::Text(&PAGE_HEADER)),
            "Request headers that pages may set. Without Authorization they can send no token.",
        ),
        optional(
            "expose",
            Shape::List(&Shape::Text(&PAGE_HEADER)),
            "Response headers that pages may read.",
        ),
        optional(
            "credentials",
            Shape::Flag,
            "true: browsers send cookies and client certificates along. Only with origins named one by one. Default: false.",
        ),
        optional(
            "max_age",
            Shape::Duration {
                least: Duration::ZERO,
                most: MAX_PREFLIGHT_AGE,
            },
            "How long browsers remember what they were told. Absent: a few seconds.",
        ),
    ],
};

/// The section, if there is one.
pub(super) fn read(policy: &Fields<'_>, problems: &mut Problems) -> Option<CorsRules> {
    let cors = policy.section("cors", &CORS)?;
    let credentials = cors.flag("credentials").unwrap_or(false);
    Some(CorsRules {
        origins: origins(&cors, credentials, problems),
        methods: methods(&cors),
        headers: headers(&cors, "headers"),
        expose: headers(&cors, "expose"),
        credentials,
        max_age: cors.duration("max_age"),
    })
}

fn origins(cors: &Fields<'_>, credentials: bool, problems: &mut Problems) -> Vec<WebOrigin> {
    let mut origins: Vec<WebOrigin> = Vec::new();
    for text in cors.list("origins").iter().filter_map(fields::text) {
        let Ok(origin) = WebOrigin::parse(text.text) else {
            continue;
        };
        if credentials && origin.is_wildcard() {
            // Whoever comes by one name of the domain would ask with the cookies of everybody (THREATS J15).
            problems
                .error(
                    text.at,
                    format!("{} stands for many names, and `credentials` is `true`", text.quoted()),
                )
                .hint("name each origin that may send credentials; a bearer token needs no `credentials`");
        }
        if origin.is_open() {
            problems
                .warn(text.at, format!("pages of {} come over an open line", text.quoted()))
                .hint("who is on the way can put a script into them: write `https://`");
        }
        origins.push(origin);
    }
    origins
}

/// `HEAD` comes with `GET`, as on routes.
fn methods(cors: &Fields<'_>) -> Vec<Method> {
    let texts = cors.list("methods").iter().filter_map(fields::text);
    let mut methods: Vec<Method> = texts.filter_map(|text| text.text.parse().ok()).collect();
    if methods.contains(&Method::GET) && !methods.contains(&Method::HEAD) {
        methods.push(Method::HEAD);
    }
    methods
}

fn headers(cors: &Fields<'_>, key: &str) -> Vec<HeaderName> {
    let texts = cors.list(key).iter().filter_map(fields::text);
    texts.filter_map(|text| values::page_header(text.text).ok()).collect()
}
