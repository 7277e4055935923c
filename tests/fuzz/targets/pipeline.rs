//! Requests against `policies/municipal`, as `tollgate test` decides them: whatever is asked is decided, and what is let
//! through is what the files grant to someone who reads them without Tollgate.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tollgate::config::load_policy;
use tollgate::gateway::offline::{Explanation, Request, explain};
use tollgate::identity::IssuerRules;
use tollgate::policy::Policy;
use tollgate::reason::Outcome;

use crate::escapes::percent_decoded;

/// Inside, as a batch job is, and outside.
const SOURCES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 20, 0, 1), Ipv4Addr::new(203, 0, 113, 9)];

/// Modules all of whose routes take the county from the query.
const BY_QUERY: [&str; 5] = ["accounts", "statements", "consumption", "telemetry", "assistance"];

struct City {
    policy: Arc<Policy>,
    issuers: Vec<IssuerRules>,
    /// `roles.yaml`, as any reader of YAML has it.
    roles: Value,
}

static CITY: LazyLock<City> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The fuzz targets are a package of their own within the gateway's.
    let root = folder
        .ancestors()
        .find(|root| root.join("policies/municipal").is_dir())
        .unwrap();
    let policies = root.join("policies/municipal");
    let upstreams = ["billing", "rates", "archive"].map(Arc::from);
    let loaded = load_policy(&policies, &upstreams).unwrap();
    City {
        policy: Arc::new(loaded.policy),
        issuers: loaded.issuers.into_iter().map(|issuer| issuer.rules).collect(),
        roles: serde_yaml::from_str(&std::fs::read_to_string(policies.join("roles.yaml")).unwrap()).unwrap(),
    }
});

/// A line of claims (JSON; else there is no token), a line `METHOD TARGET`, header lines, an empty line, and the body. The
/// lowest bit of the first byte says where it comes from.
pub(crate) fn run(data: &[u8]) {
    let Some((&ask, rest)) = data.split_first() else { return };
    let source = IpAddr::V4(SOURCES[usize::from(ask & 1)]);
    let Some(request) = read(rest, source) else { return };
    let city = &*CITY;
    let explanation = explain(&city.policy, &city.issuers, &request);
    let _ = serde_json::to_string(&explanation.told()).unwrap();
    let text = String::from_utf8_lossy(&request.body);
    let answer = explanation.mask("application/json", &text);
    match explanation.outcome {
        Outcome::Allowed | Outcome::DryRun => hold(city, &request, &explanation),
        _ => assert!(answer.is_none() && explanation.fields.is_empty() && explanation.status() >= 400),
    }
}

fn read(mut rest: &[u8], source: IpAddr) -> Option<Request> {
    let mut line = || {
        let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        line
    };
    let claims = serde_json::from_slice(line()).ok();
    let (method, url) = std::str::from_utf8(line()).ok()?.split_once(' ')?;
    let mut headers = HeaderMap::new();
    loop {
        let field = line();
        if field.is_empty() {
            break;
        }
        let colon = field.iter().position(|&byte| byte == b':').unwrap_or(field.len());
        let (name, value) = (&field[..colon], field.get(colon + 1..).unwrap_or_default());
        headers.append(
            HeaderName::from_bytes(name).ok()?,
            HeaderValue::from_bytes(value.trim_ascii()).ok()?,
        );
    }
    Some(Request {
        claims,
        method: method.parse().ok()?,
        url: url.to_owned(),
        headers,
        body: rest.to_vec(),
        source,
        certificate: None,
    })
}

/// What the step says between its backticks. The last of that name: a step may be made twice.
fn told<'e>(explanation: &'e Explanation, step: &str) -> &'e str {
    let line = explanation.steps.iter().rfind(|line| line.step == step).unwrap();
    assert!(line.passed, "{line:?}");
    line.text.split('`').nth(1).unwrap()
}

fn strings<'v>(value: &'v Value, key: &str) -> Vec<&'v str> {
    value[key]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// A claim that is a text or a list of texts.
fn claimed<'c>(claims: &'c Map<String, Value>, name: &str) -> Vec<&'c str> {
    match claims.get(name) {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(text)) => vec![text],
        _ => Vec::new(),
    }
}

fn covers(pattern: &str, scope: &str) -> bool {
    match (pattern.split_once(':'), scope.split_once(':')) {
        (Some((place, verb)), Some((own_place, own_verb))) => {
            (place == "*" || place == own_place) && (verb == "*" || verb == own_verb)
        }
        _ => pattern == "*",
    }
}

fn hold(city: &City, request: &Request, explanation: &Explanation) {
    assert!(explanation.steps.iter().all(|line| line.passed) && explanation.would_deny.is_none());
    let claims = request.claims.as_ref().expect("nothing in the city is public");
    let names = match claims.contains_key("roles") {
        true => claimed(claims, "roles"),
        false => claimed(claims, "role"),
    };
    let held: Vec<(&str, &Value)> = names
        .into_iter()
        .filter_map(|name| Some((name, city.roles["roles"].get(name)?)))
        .collect();
    for set in city.roles["exclusive_roles"].as_array().unwrap() {
        let both = set
            .as_array()
            .unwrap()
            .iter()
            .all(|role| held.iter().any(|(name, _)| role == name));
        assert!(!both, "{set} are held together");
    }
    let (scope, module) = (told(explanation, "scope"), told(explanation, "module"));
    let granted = held
        .iter()
        .any(|(_, role)| strings(role, "scopes").iter().any(|own| covers(own, scope)));
    assert!(granted, "`{scope}` is not granted");
    if let Some(scopes) = claims.get("scope") {
        let words = claimed(claims, "scope").into_iter();
        let mut words = words.flat_map(|word| {
            if scopes.is_string() {
                word.split(' ').collect()
            } else {
                vec![word]
            }
        });
        assert!(words.any(|word| covers(word, scope)), "`{scope}` was narrowed away");
    }
    for (name, role) in &held {
        assert!(
            !strings(role, "restricted_modules").contains(&module),
            "`{name}` is kept out of `{module}`"
        );
        assert!(
            *name != "reconciliation_operator" || request.source == IpAddr::V4(SOURCES[0]),
            "from outside"
        );
    }
    if BY_QUERY.contains(&module) {
        let counties: Vec<String> = request
            .url
            .split_once('?')
            .into_iter()
            .flat_map(|(_, query)| query.split('&'))
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(|(name, _)| percent_decoded(name) == "county")
            .map(|(_, value)| percent_decoded(&value.replace('+', " ")))
            .collect();
        assert_eq!(counties.len(), 1, "{counties:?}");
        assert!(
            claimed(claims, "jurisdiction_scope").contains(&&*counties[0]),
            "{counties:?}"
        );
    }
}
