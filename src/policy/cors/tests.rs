//! Cases as data: origins that a policy may name, pages that are admitted, preflights that are let pass.

use super::*;
use proptest::prelude::*;

/// What a policy may name, and what it is told otherwise.
#[test]
fn an_origin_is_named_as_browsers_write_it_or_not_at_all() {
    for good in [
        "https://billing.city.example",
        "http://billing.city.example",
        "https://billing.city.example:8443",
        "http://billing.city.example:443",
        "https://billing.city.example:80",
        "http://localhost:3000",
        "http://127.0.0.1:5173",
        "http://[::1]:3000",
        "https://xn--zri-hoa.example",
        "https://a",
        "https://a-b.c1.example",
        "https://*.city.example",
        "https://*.city.example:8443",
    ] {
        let origin = WebOrigin::parse(good).unwrap_or_else(|fault| panic!("{good}: {fault}"));
        assert_eq!(origin.to_string(), good);
        assert_eq!(origin.is_wildcard(), good.contains('*'), "{good}");
    }
    let long = format!("https://{}.example", "a".repeat(64));
    let spelled = |right: &str| OriginFault::Spelling(Some(right.into()));
    for (bad, fault) in [
        ("*", OriginFault::Any),
        ("null", OriginFault::Null),
        ("", OriginFault::Scheme),
        ("billing.city.example", OriginFault::Scheme),
        ("//billing.city.example", OriginFault::Scheme),
        ("ftp://billing.city.example", OriginFault::Scheme),
        ("file://", OriginFault::Scheme),
        ("*://billing.city.example", OriginFault::Scheme),
        ("chrome-extension://abc", OriginFault::Scheme),
        ("https://", OriginFault::Host),
        ("https://billing.city.example/", OriginFault::Path),
        ("https://billing.city.example/app", OriginFault::Path),
        ("https://billing.city.example?x", OriginFault::Path),
        ("https://billing.city.example#x", OriginFault::Path),
        ("https://billing.city.example\\x", OriginFault::Path),
        ("https://u@billing.city.example", OriginFault::User),
        ("https://u:p@billing.city.example", OriginFault::User),
        ("HTTPS://billing.city.example", spelled("https://billing.city.example")),
        ("https://Billing.city.example", spelled("https://billing.city.example")),
        (
            "https://billing.city.example:443",
            spelled("https://billing.city.example"),
        ),
        ("http://billing.city.example:80", spelled("http://billing.city.example")),
        ("https://a.example:08443", spelled("https://a.example:8443")),
        ("https://*.City.example", spelled("https://*.city.example")),
        ("http://[0:0::1]:3000", spelled("http://[::1]:3000")),
        ("http://[::FFFF]", spelled("http://[::ffff]")),
        ("http://[::ffff:127.0.0.1]", OriginFault::Spelling(None)),
        ("https://billing.city.example.", spelled("https://billing.city.example")),
        ("https://zürich.example", OriginFault::NotAscii),
        ("https://billing..example", OriginFault::Host),
        ("https://.example", OriginFault::Host),
        ("https://-a.example", OriginFault::Host),
        ("https://a-.example", OriginFault::Host),
        ("https://a b.example", OriginFault::Host),
        ("https://a_b.example", OriginFault::Host),
        ("https://a,b.example", OriginFault::Host),
        (long.as_str(), OriginFault::Host),
        ("https://127.1", OriginFault::Host),
        ("https://0x7f.1", OriginFault::Host),
        ("https://[::1", OriginFault::Host),
        ("https://[gw]", OriginFault::Host),
        ("https://a.example:", OriginFault::Port),
        ("https://a.example:0", OriginFault::Port),
        ("https://a.example:65536", OriginFault::Port),
        ("https://a.example:+1", OriginFault::Port),
        ("https://a.example:80:80", OriginFault::Host),
        ("https://*", OriginFault::Star),
        ("https://*city.example", OriginFault::Star),
        ("https://a.*.example", OriginFault::Star),
        ("https://*.*.example", OriginFault::Star),
        ("https://a.*", OriginFault::Star),
        ("https://*.127.0.0.1", OriginFault::Star),
        ("https://*.[::1]", OriginFault::Star),
        ("https://*.example", OriginFault::TooWide),
        ("https://*.city.example:*", OriginFault::Port),
    ] {
        assert_eq!(WebOrigin::parse(bad), Err(fault), "{bad}");
    }
}

/// What browsers, and others, send, and whether it is let in.
#[test]
fn a_page_is_admitted_by_its_whole_origin() {
    let one = "https://portal.county-a.example";
    let below = "https://*.city.example";
    let port = "https://*.city.example:8443";
    let plain = "http://localhost:3000";
    for (named, sent, admitted) in [
        (one, "https://portal.county-a.example", true),
        (one, "http://portal.county-a.example", false),
        (one, "https://portal.county-a.example.evil", false),
        (one, "https://portal.county-a.example.evil.example", false),
        (one, "https://evilportal.county-a.example", false),
        (one, "https://a.portal.county-a.example", false),
        (one, "https://county-a.example", false),
        (one, "https://PORTAL.county-a.example", false),
        (one, "HTTPS://portal.county-a.example", false),
        (one, "https://portal.county-a.example:443", false),
        (one, "https://portal.county-a.example:8443", false),
        (one, "https://portal.county-a.example.", false),
        (one, "https://portal.county-a.example/", false),
        (one, " https://portal.county-a.example", false),
        (one, "https://portal.county-a.example https://evil.example", false),
        (one, "https://evil.example, https://portal.county-a.example", false),
        (one, "https://evil.example#https://portal.county-a.example", false),
        (one, "https://portal.county-a.example@evil.example", false),
        (one, "https://portalXcounty-a.example", false),
        (one, "null", false),
        (one, "", false),
        (one, "*", false),
        (below, "https://billing.city.example", true),
        (below, "https://b1-x.city.example", true),
        (below, "https://xn--zri-hoa.city.example", true),
        (below, "https://1.city.example", true),
        (below, "https://city.example", false),
        (below, "https://.city.example", false),
        (below, "https://a.b.city.example", false),
        (below, "https://*.city.example", false),
        (below, "https://evil-city.example", false),
        (below, "https://evilcity.example", false),
        (below, "https://billing.city.example.evil", false),
        (below, "https://evil.example/.city.example", false),
        (below, "https://evil.example#.city.example", false),
        (below, "https://evil.example:80/.city.example", false),
        (below, "https://evil:1.city.example", false),
        (below, "https://u@evil.city.example", false),
        (below, "https://-a.city.example", false),
        (below, "https://a-.city.example", false),
        (below, "https://a_b.city.example", false),
        (below, "https://A.city.example", false),
        (below, "https://a%2e.city.example", false),
        (below, "https://\u{e9}.city.example", false),
        (below, "http://billing.city.example", false),
        (below, "https://billing.city.example:8443", false),
        (below, "https://billing.city.example.", false),
        (below, "null", false),
        (port, "https://billing.city.example:8443", true),
        (port, "https://billing.city.example", false),
        (port, "https://billing.city.example:443", false),
        (port, "https://billing.city.example:84430", false),
        (plain, "http://localhost:3000", true),
        (plain, "http://localhost:3001", false),
        (plain, "http://localhost", false),
        (plain, "https://localhost:3000", false),
        (plain, "http://localhost:3000.evil.example", false),
    ] {
        let named = WebOrigin::parse(named).unwrap();
        assert_eq!(named.admits(sent.as_bytes()), admitted, "{named} {sent:?}");
    }
    let below = WebOrigin::parse(below).unwrap();
    let label = |length| format!("https://{}.city.example", "a".repeat(length));
    assert!(below.admits(label(63).as_bytes()));
    assert!(!below.admits(label(64).as_bytes()), "no name has such a label");
}

#[test]
fn one_origin_covers_what_it_admits() {
    for (wide, narrow, covers) in [
        ("https://a.city.example", "https://a.city.example", true),
        ("https://*.city.example", "https://a.city.example", true),
        ("https://*.city.example", "https://*.city.example", true),
        ("https://a.city.example", "https://*.city.example", false),
        ("https://*.city.example", "https://*.b.city.example", false),
        ("https://*.city.example", "http://a.city.example", false),
    ] {
        let [wide, narrow] = [wide, narrow].map(|text| WebOrigin::parse(text).unwrap());
        assert_eq!(wide.covers(&narrow), covers, "{wide} {narrow}");
    }
    for (origin, open) in [
        ("https://a.example", false),
        ("http://a.example", true),
        ("http://localhost:3000", false),
        ("http://127.0.0.1:3000", false),
        ("http://[::1]:3000", false),
        ("http://10.0.0.1:3000", true),
        ("http://*.localhost.example", true),
    ] {
        assert_eq!(WebOrigin::parse(origin).unwrap().is_open(), open, "{origin}");
    }
}

fn rules() -> CorsRules {
    CorsRules {
        origins: ["https://billing.city.example", "https://*.town.example"]
            .map(|text| WebOrigin::parse(text).unwrap())
            .into(),
        methods: vec![Method::GET, Method::PATCH],
        headers: vec![
            header::AUTHORIZATION,
            HeaderName::from_static("x-idempotency-key"),
            header::CONTENT_TYPE,
        ],
        expose: vec![HeaderName::from_static("x-request-id")],
        credentials: false,
        max_age: Some(Duration::from_secs(600)),
    }
}

fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        fields.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    fields
}

const METHOD: &str = "access-control-request-method";
const HEADERS: &str = "access-control-request-headers";
const OWN: (&str, &str) = ("origin", "https://billing.city.example");

#[test]
fn a_preflight_is_let_pass_whole_or_refused() {
    let cors = Cors::new(rules());
    let many = "x-idempotency-key,".repeat(400);
    let commas = ",".repeat(60_000);
    let pass: Result<(), PreflightFault> = Ok(());
    let (header, method) = (Err(PreflightFault::Header), Err(PreflightFault::Method));
    let (origin, network) = (Err(PreflightFault::Origin), Err(PreflightFault::PrivateNetwork));
    type Lines<'l> = &'l [(&'static str, &'l str)];
    let cases: &[(Lines<'_>, Result<(), PreflightFault>)] = &[
        (&[OWN, (METHOD, "GET")], pass),
        (&[OWN, (METHOD, "PATCH")], pass),
        (&[("origin", "https://a.town.example"), (METHOD, "GET")], pass),
        (&[OWN, (METHOD, "GET"), (HEADERS, "authorization")], pass),
        (&[OWN, (METHOD, "GET"), (HEADERS, "Authorization")], pass),
        (
            &[OWN, (METHOD, "GET"), (HEADERS, "authorization,x-idempotency-key")],
            pass,
        ),
        (
            &[OWN, (METHOD, "GET"), (HEADERS, "authorization, x-idempotency-key")],
            pass,
        ),
        (
            &[
                OWN,
                (METHOD, "GET"),
                (HEADERS, "authorization"),
                (HEADERS, "content-type"),
            ],
            pass,
        ),
        (&[OWN, (METHOD, "patch")], method),
        (&[OWN, (METHOD, "get")], method),
        (&[OWN, (METHOD, "POST")], method),
        (&[OWN, (METHOD, "HEAD")], method),
        (&[OWN, (METHOD, "")], method),
        (&[OWN, (METHOD, "*")], method),
        (&[OWN, (METHOD, "GET, PATCH")], method),
        (&[OWN, (METHOD, "GET"), (METHOD, "GET")], method),
        (&[OWN], method),
        (&[OWN, (METHOD, "GET"), (HEADERS, "x-other")], header),
        (&[OWN, (METHOD, "GET"), (HEADERS, "authorization,x-other")], header),
        (&[OWN, (METHOD, "GET"), (HEADERS, "*")], header),
        (&[OWN, (METHOD, "GET"), (HEADERS, "")], pass),
        (&[OWN, (METHOD, "GET"), (HEADERS, "authorization,")], pass),
        (&[OWN, (METHOD, "GET"), (HEADERS, ",authorization")], pass),
        (&[OWN, (METHOD, "GET"), (HEADERS, " ,\t, authorization ,,")], pass),
        (&[OWN, (METHOD, "GET"), (HEADERS, ",x-other,")], header),
        (&[OWN, (METHOD, "GET"), (HEADERS, "authorization content-type")], header),
        (&[OWN, (METHOD, "GET"), (HEADERS, "x_idempotency_key")], header),
        (&[OWN, (METHOD, "GET"), (HEADERS, "authorizatio")], header),
        (&[OWN, (METHOD, "GET"), (HEADERS, "\u{e9}")], header),
        (&[OWN, (METHOD, "GET"), (HEADERS, &many)], header),
        (&[OWN, (METHOD, "GET"), (HEADERS, &commas)], header),
        (&[("origin", "https://evil.example"), (METHOD, "GET")], origin),
        (&[("origin", "null"), (METHOD, "GET")], origin),
        (
            &[("origin", "https://billing.city.example.evil"), (METHOD, "GET")],
            origin,
        ),
        (&[OWN, OWN, (METHOD, "GET")], origin),
        (&[(METHOD, "GET")], origin),
        (
            &[OWN, (METHOD, "GET"), ("access-control-request-private-network", "true")],
            network,
        ),
        (
            &[
                OWN,
                (METHOD, "GET"),
                ("access-control-request-private-network", "false"),
            ],
            network,
        ),
        (
            &[OWN, (METHOD, "GET"), ("access-control-request-local-network", "true")],
            network,
        ),
        (
            &[
                ("origin", "null"),
                (METHOD, "GET"),
                ("access-control-request-private-network", "true"),
            ],
            origin,
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(&cors.judge(&fields(lines)), expected, "{:.300}", format!("{lines:?}"));
    }
}

#[test]
fn what_is_a_preflight() {
    for (method, lines, expected) in [
        (Method::OPTIONS, &[OWN, (METHOD, "GET")][..], true),
        (Method::OPTIONS, &[OWN], false),
        (Method::OPTIONS, &[(METHOD, "GET")], false),
        (Method::GET, &[OWN, (METHOD, "GET")], false),
        (Method::OPTIONS, &[("origin", ""), (METHOD, "")], true),
    ] {
        assert_eq!(is_preflight(&method, &fields(lines)), expected, "{method} {lines:?}");
    }
}

fn told(fields: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_browser_is_told_what_its_page_may_do() {
    let cors = Cors::new(rules());
    let asked = fields(&[OWN]);
    let mut answer = HeaderMap::new();
    cors.tell(cors.admitted(&asked), &mut answer);
    assert_eq!(
        told(&answer),
        [
            "access-control-allow-origin: https://billing.city.example",
            "access-control-expose-headers: x-request-id",
            "vary: Origin"
        ]
    );
    let foreign = fields(&[("origin", "https://evil.example")]);
    let mut answer = HeaderMap::new();
    cors.tell(cors.admitted(&foreign), &mut answer);
    assert_eq!(told(&answer), ["vary: Origin"]);
    let mut leave = cors.leave();
    cors.tell(cors.admitted(&asked), &mut leave);
    assert_eq!(
        told(&leave),
        [
            "access-control-allow-headers: authorization, x-idempotency-key, content-type",
            "access-control-allow-methods: GET, PATCH",
            "access-control-allow-origin: https://billing.city.example",
            "access-control-expose-headers: x-request-id",
            "access-control-max-age: 600",
            "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        ]
    );
    let cors = Cors::new(CorsRules {
        credentials: true,
        expose: Vec::new(),
        headers: Vec::new(),
        max_age: None,
        ..rules()
    });
    let mut leave = cors.leave();
    cors.tell(cors.admitted(&asked), &mut leave);
    assert_eq!(
        told(&leave),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-methods: GET, PATCH",
            "access-control-allow-origin: https://billing.city.example",
            "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        ]
    );
}

#[test]
fn what_an_answer_depends_on_is_said_once() {
    for (before, after) in [
        (&[][..], &["Origin"][..]),
        (&["Authorization"], &["Authorization", "Origin"]),
        (&["Accept-Encoding, origin"], &["Accept-Encoding, origin"]),
        (&["ORIGIN"], &["ORIGIN"]),
        (&["*"], &["*"]),
        (&["X-Origin"], &["X-Origin", "Origin"]),
        (&["Accept", "Origin"], &["Accept", "Origin"]),
    ] {
        let mut fields = HeaderMap::new();
        for value in before {
            fields.append(header::VARY, value.parse().unwrap());
        }
        vary_by_origin(&mut fields);
        let now: Vec<&HeaderValue> = fields.get_all(header::VARY).iter().collect();
        assert_eq!(now, after, "{before:?}");
    }
}

proptest! {
    /// Whatever is sent: what a wildcard admits is one label between what the policy wrote, and nothing else.
    #[test]
    fn a_wildcard_admits_one_label(sent in "(https://|http://|)?[a-z0-9.:/@#*-]{0,20}(\\.city\\.example|city\\.example|)(:443|:8443|\\.|)") {
        let named = WebOrigin::parse("https://*.city.example").unwrap();
        let label = sent.strip_prefix("https://").and_then(|rest| rest.strip_suffix(".city.example"));
        let one = label.is_some_and(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-') && !label.ends_with('-')
        });
        prop_assert_eq!(named.admits(sent.as_bytes()), one);
    }

    /// What is read is written again as it was read, and admits itself unless it stands for many.
    #[test]
    fn reading_and_writing_agree(text in "(https|http)://(\\*\\.)?[a-z0-9-]{1,5}(\\.[a-z0-9-]{1,5}){0,2}(:[0-9]{1,5})?") {
        if let Ok(origin) = WebOrigin::parse(&text) {
            prop_assert_eq!(origin.to_string(), text.clone());
            prop_assert_eq!(origin.admits(text.as_bytes()), !origin.is_wildcard());
        }
    }
}
