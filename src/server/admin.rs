//! The admin port: metrics, probes, reload, questions about the policy in force. For operators and machines on this host, never for browsers.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::explain;
use super::listen::{Listener, Stream};
use super::operators::{self, Asked, Desk, Told, Who};
use super::reload::{Cause, Reloader};

/// Most admin connections at one time.
const MAX_CONNECTIONS: usize = 64;

/// How long a head may take, and how long a connection may be idle.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one admin connection may last.
const MAX_LIFE: Duration = Duration::from_secs(60);

/// Serves the admin port until it is dropped.
pub(super) async fn serve(listener: Listener, reloader: Arc<Reloader>, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(fault) => {
                tracing::warn!(%fault, "cannot accept an admin connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (reloader, desk) = (Arc::clone(&reloader), Arc::clone(&desk));
        let who = Arc::new(who(&stream));
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let (reloader, desk, who) = (Arc::clone(&reloader), Arc::clone(&desk), Arc::clone(&who));
                async move { Ok::<_, Infallible>(answer(request, &reloader, &desk, &who).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            let _ = match stream {
                Stream::Tcp(io) => timeout(MAX_LIFE, http.serve_connection(TokioIo::new(io), service)).await,
                Stream::Unix(io) => timeout(MAX_LIFE, http.serve_connection(TokioIo::new(io), service)).await,
            };
            drop(place);
        });
    }
}

/// The other side, as far as the system knows it.
fn who(stream: &Stream) -> Who {
    let from = match stream {
        Stream::Tcp(io) => io.peer_addr().map(|address| address.to_string()),
        Stream::Unix(io) => io.peer_cred().map(|peer| format!("unix socket, uid {}", peer.uid())),
    };
    Who {
        via: "admin",
        from: from.unwrap_or_default(),
    }
}

async fn answer(request: Request<Incoming>, reloader: &Reloader, desk: &Desk, who: &Who) -> Response<Full<Bytes>> {
    if is_browser(&request) {
        return text(StatusCode::FORBIDDEN, "the admin port is not for browsers\n");
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => text(StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz" | "/healthz") => ready(reloader),
        (&Method::GET, "/metrics") => metrics(reloader),
        (&Method::GET, "/-/policy") => json_answer(StatusCode::OK, &reloader.describe()),
        (&Method::POST, "/-/reload") => match reloader.reload(Cause::Admin) {
            Ok(version) => json_answer(StatusCode::OK, &json!({ "result": "loaded", "version": &*version })),
            Err(problems) => json_answer(
                StatusCode::UNPROCESSABLE_ENTITY,
                &json!({ "result": "refused", "problems": problems }),
            ),
        },
        (&Method::POST, "/-/explain") => match explain::answer(request.into_body(), &reloader.rules()).await {
            Ok(told) => json_answer(StatusCode::OK, &told),
            Err(fault) => json_answer(StatusCode::BAD_REQUEST, &fault),
        },
        (_, path) if is_about_keys(path) => keys(request, desk, who).await,
        (_, "/livez" | "/readyz" | "/healthz" | "/metrics" | "/-/policy") => not_allowed("GET"),
        (_, "/-/reload" | "/-/explain") => not_allowed("POST"),
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn is_about_keys(path: &str) -> bool {
    let below = path.strip_prefix(operators::PATH);
    matches!(path, operators::BACKUP_PATH | operators::REVOKED_PATH)
        || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Questions about idempotency keys and revoked tokens, and an operator's word on them.
async fn keys(request: Request<Incoming>, desk: &Desk, who: &Who) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, operators::MAX_BODY).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is incomplete or too large\n");
    };
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let Told { status, body } = desk
        .answer(Asked {
            method: &head.method,
            target,
            body: &body.to_bytes(),
            who,
        })
        .await;
    let mut response = json_answer(status, &body);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let allow = match head.uri.path() {
            operators::BACKUP_PATH => "GET, POST",
            operators::REVOKED_PATH => "GET, POST, DELETE",
            path if path.ends_with("/settle") => "POST",
            _ => "GET",
        };
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// A page in somebody's browser must not reach this port, neither by a form nor under a name that it made point here
/// (THREATS P03): no `Origin`, and a `Host` that is an address or `localhost`.
fn is_browser(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    !host.is_some_and(is_plain_host)
}

fn is_plain_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn ready(reloader: &Reloader) -> Response<Full<Bytes>> {
    let reasons = reloader.unready();
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut body = json!({ "ready": reasons.is_empty(), "reasons": reasons, "impaired": reloader.impaired() });
    if let Some(fields) = body.as_object_mut() {
        fields.insert("policy".into(), reloader.describe());
    }
    json_answer(status, &body)
}

fn metrics(reloader: &Reloader) -> Response<Full<Bytes>> {
    match reloader.metrics_text() {
        Ok(body) => typed(StatusCode::OK, "text/plain; version=0.0.4", body.into()),
        Err(fault) => {
            tracing::error!(%fault, "metrics cannot be written");
            text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written\n")
        }
    }
}

fn not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

fn json_answer(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    typed(status, "application/json", format!("{value:#}\n").into())
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

fn typed(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_name_the_admin_port() {
        for good in [
            "localhost",
            "LOCALHOST:9901",
            "127.0.0.1:9901",
            "[::1]:9901",
            "[::1]",
            "10.1.2.3",
        ] {
            assert!(is_plain_host(good), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:9901",
            "",
            "127.0.0.1.evil.example",
            "localhost.evil:1",
        ] {
            assert!(!is_plain_host(bad), "{bad}");
        }
    }
}
