//! `POST /-/explain` of the admin port: a request decided by the policy in force, step by step, without being made.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::call::certificate::Certificate;
use crate::gateway::Rules;
use crate::gateway::offline::{self, Request};

/// Largest question, in bytes: the body of the request in question is in it.
const MAX_QUESTION: usize = 1 << 20;

/// What is asked. Unknown members are refused: a misspelt one would be answered as if it were not there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    claims: Option<Map<String, Value>>,
    method: String,
    url: String,
    #[serde(default)]
    headers: Map<String, Value>,
    body: Option<Value>,
    source: Option<IpAddr>,
    certificate: Option<Shown>,
}

/// The certificate of the client in question.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    sha256: Option<String>,
    spiffe_id: Option<String>,
    common_name: Option<String>,
}

/// The answer, or what is wrong with the question.
pub(super) async fn answer(body: Incoming, rules: &Rules) -> Result<Value, Value> {
    let wrong = |detail: String| json!({ "error": "bad_question", "detail": detail });
    let bytes = Limited::new(body, MAX_QUESTION)
        .collect()
        .await
        .map_err(|_| {
            wrong(format!(
                "the question is incomplete, or larger than {MAX_QUESTION} bytes"
            ))
        })?
        .to_bytes();
    let request = read(&bytes).map_err(wrong)?;
    let keys = rules.keys();
    let explanation = offline::explain(rules.policy(), keys.ring.rules(), &request);
    serde_json::to_value(explanation.told()).map_err(|fault| wrong(fault.to_string()))
}

fn read(bytes: &Bytes) -> Result<Request, String> {
    let question: Question = serde_json::from_slice(bytes).map_err(|fault| fault.to_string())?;
    let method = Method::from_bytes(question.method.as_bytes());
    let certificate = question.certificate.as_ref().map(|shown| {
        let described = Certificate::described(
            shown.sha256.as_deref(),
            shown.spiffe_id.as_deref(),
            shown.common_name.as_deref(),
        );
        described.map(Arc::new)
    });
    let body = question.body.map(|body| serde_json::to_vec(&body)).transpose();
    Ok(Request {
        claims: question.claims,
        method: method.map_err(|_| format!("`{}` is no method", question.method))?,
        url: question.url,
        headers: headers(&question.headers)?,
        body: body.map_err(|fault| fault.to_string())?.unwrap_or_default(),
        source: question.source.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        certificate: certificate
            .transpose()
            .map_err(|fault| format!("`certificate`: a name {fault}"))?,
    })
}

/// Each value is a text, or a list of texts for a header that comes more than once.
fn headers(given: &Map<String, Value>) -> Result<HeaderMap, String> {
    let mut fields = HeaderMap::new();
    for (name, value) in given {
        let header: HeaderName = name.parse().map_err(|_| format!("`{name}` is no header name"))?;
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            let value = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
            fields.append(
                header.clone(),
                value.ok_or_else(|| format!("`{name}` has no header's value"))?,
            );
        }
    }
    Ok(fields)
}
