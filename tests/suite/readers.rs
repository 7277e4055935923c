//! Clients that do not read their answers (THREATS L03): given up, with the backend's connection behind them.

use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::Write;

use super::harness::*;

/// A backend whose answer never ends.
fn endless() -> Backend {
    Backend::script(|_, stream| {
        let piece = "7,".repeat(8 * 1024);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[";
        let mut going = stream.write_all(head.as_bytes()).is_ok();
        while going {
            going = stream.write_all(piece.as_bytes()).is_ok();
        }
        false
    })
}

fn impatient(backend: &Backend) -> Gateway {
    Setup::new(backend)
        .extra("limits: { body_timeout: 300ms, idle_timeout: 60s }")
        .start()
}

/// It was given up while its connection was still there.
fn is_given_up(gateway: &Gateway) {
    let line = &gateway.audit(1)[0];
    assert_eq!(
        (&line["decision"], &line["error"]),
        (&"ALLOWED".into(), &"client_closed".into())
    );
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let backend = endless();
    let gateway = impatient(&backend);
    let mut client = Client::open(gateway.port);
    let token = gateway.token(&claims(&["clerk"]));
    client.write(&request("GET", "/api/accounts/A1", &token, "", ""));
    assert_eq!(client.head().status, 200);
    is_given_up(&gateway);
    assert!(!client.read_chunks(), "what it had is no whole answer");
}

/// An HTTP/2 client with a window of so many bytes for each stream.
fn on_small_windows<F: Future<Output = ()>>(
    gateway: &Gateway,
    window: u32,
    test: impl FnOnce(http2::SendRequest<String>) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", gateway.port))
            .await
            .unwrap();
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        tokio::time::timeout(DEADLINE, test(sender)).await.expect("too slow");
    });
}

fn asking(token: &str, path: &str) -> http::Request<String> {
    http::Request::get(format!("http://gw.example{path}"))
        .header("authorization", format!("Bearer {token}"))
        .body(String::new())
        .unwrap()
}

#[test]
fn a_stream_whose_client_opens_no_window_is_reset_and_its_connection_goes_on() {
    let backend = Backend::script(|request, stream| {
        if request.target.ends_with("/small") {
            return stream
                .write_all(answer("200 OK", "application/json", "{}").as_bytes())
                .is_ok();
        }
        let piece = "7,".repeat(8 * 1024);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[";
        let mut going = stream.write_all(head.as_bytes()).is_ok();
        while going {
            going = stream.write_all(piece.as_bytes()).is_ok();
        }
        false
    });
    let gateway = impatient(&backend);
    let token = gateway.token(&claims(&["clerk"]));
    on_small_windows(&gateway, 1000, async |mut sender| {
        let stuck = sender.send_request(asking(&token, "/api/accounts/A1")).await.unwrap();
        assert_eq!(stuck.status(), 200);
        is_given_up(&gateway);
        let read = stuck.into_body().collect().await;
        assert!(read.is_err(), "what it had is no whole answer");
        let other = sender
            .send_request(asking(&token, "/api/accounts/small"))
            .await
            .unwrap();
        assert_eq!(other.into_body().collect().await.unwrap().to_bytes(), "{}");
    });
}

#[test]
fn a_large_answer_that_is_read_comes_whole_through_small_windows() {
    let body = format!("[{}7]", "7,".repeat(200_000));
    let backend = Backend::json(&body);
    let gateway = Setup::new(&backend).start();
    let token = gateway.token(&claims(&["clerk"]));
    for window in [1000, 20_000, 1 << 20] {
        on_small_windows(&gateway, window, async |mut sender| {
            let answer = sender.send_request(asking(&token, "/api/accounts/A1")).await.unwrap();
            let read = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(read == body.as_bytes(), "{} bytes of {}", read.len(), body.len());
        });
    }
}
