//! Connections: TLS, client certificates, protocols, sockets, and an end in order.

use super::harness::*;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::mpsc;

/// `curl` with these arguments: exit code and output.
fn curl(arguments: &[&str]) -> (i32, String) {
    let output = Command::new("curl")
        .args(["-s", "--max-time", "10"])
        .args(arguments)
        .output()
        .expect("this test starts curl: apt-get install curl");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

fn tls_setup(backend: &Backend, pki: &Pki, client_ca: bool) -> Setup {
    let (certificate, key) = pki.issue("localhost");
    let mut setup = Setup::new(backend);
    setup.listener = "    tls: { certificate: tls/server.crt, key: tls/server.key".into();
    if client_ca {
        setup.listener += ", client_ca: tls/ca.crt";
    }
    setup.listener += " }";
    setup.files = vec![
        ("tls/server.crt", certificate),
        ("tls/server.key", key),
        ("tls/ca.crt", pki.authority()),
    ];
    setup
}

#[test]
fn tls_speaks_both_protocols_by_alpn() {
    let backend = Backend::start();
    let gateway = tls_setup(&backend, &Pki::new(), false).start();
    let token = format!("Authorization: Bearer {}", gateway.token(&claims(&["clerk"])));
    let url = format!("https://localhost:{}/api/accounts/A1", gateway.port);
    let ca = gateway.path("tls/ca.crt");
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let arguments = [
            "--cacert",
            ca.to_str().unwrap(),
            flag,
            "-H",
            &token,
            "-w",
            " %{http_code} %{http_version}",
            &url,
        ];
        let (code, text) = curl(&arguments);
        assert_eq!(code, 0);
        assert!(text.ends_with(&format!(" 200 {version}")), "{text}");
    }
    assert_eq!(backend.last().field("x-forwarded-proto"), Some("https"));
}

#[test]
fn a_client_certificate_is_required_where_its_authority_is_named() {
    let backend = Backend::start();
    let pki = Pki::new();
    let gateway = tls_setup(&backend, &pki, true).start();
    let url = format!("https://localhost:{}/api/accounts/help", gateway.port);
    let ca = gateway.path("tls/ca.crt");
    let ca = ca.to_str().unwrap();
    assert_ne!(curl(&["--cacert", ca, &url]).0, 0, "no certificate");
    for (issuer, taken) in [(&pki, true), (&Pki::new(), false)] {
        let (certificate, key) = issuer.issue("client");
        write(gateway.path("").as_path(), "client.crt", &certificate);
        write(gateway.path("").as_path(), "client.key", &key);
        let (crt, key) = (gateway.path("client.crt"), gateway.path("client.key"));
        let (code, _) = curl(&[
            "--cacert",
            ca,
            "--cert",
            crt.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
            &url,
        ]);
        assert_eq!(code == 0, taken);
    }
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_changed_certificate_is_in_force_at_once() {
    let backend = Backend::start();
    let gateway = tls_setup(&backend, &Pki::new(), false).start();
    let other = Pki::new();
    write(gateway.path("").as_path(), "other.crt", &other.authority());
    let (certificate, key) = other.issue("localhost");
    write(gateway.path("").as_path(), "tls/server.key", &key);
    write(gateway.path("").as_path(), "tls/server.crt", &certificate);
    let url = format!("https://localhost:{}/api/accounts/help", gateway.port);
    let ca = gateway.path("other.crt");
    wait_for("the new certificate", || {
        curl(&["--cacert", ca.to_str().unwrap(), &url]).0 == 0
    });
}

#[test]
fn http2_with_prior_knowledge_and_a_socket_file() {
    let backend = Backend::start();
    let mut setup = Setup::new(&backend);
    setup.listener = "  - address: unix:public.sock".into();
    let gateway = setup.start();
    let token = format!("Authorization: Bearer {}", gateway.token(&claims(&["clerk"])));
    let url = format!("http://localhost:{}/api/accounts/A1", gateway.port);
    let (_, text) = curl(&[
        "--http2-prior-knowledge",
        "-H",
        &token,
        "-w",
        " %{http_code} %{http_version}",
        &url,
    ]);
    assert!(text.ends_with(" 200 2"), "{text}");
    let socket = gateway.path("public.sock");
    let url = "http://localhost/api/accounts/A1";
    let (_, text) = curl(&[
        "--unix-socket",
        socket.to_str().unwrap(),
        "-H",
        &token,
        "-w",
        " %{http_code}",
        url,
    ]);
    assert!(text.ends_with(" 200"), "{text}");
}

#[test]
fn a_drain_finishes_what_is_under_way_and_takes_nothing_new() {
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let backend = Backend::script(move |_, stream| {
        held.lock().unwrap().recv().unwrap();
        stream
            .write_all(answer("200 OK", "application/json", "{}").as_bytes())
            .is_ok()
    });
    let mut gateway = Setup::new(&backend).start();
    let mut client = Client::open(gateway.port);
    client.write(&request(
        "GET",
        "/api/accounts/A1",
        &gateway.token(&claims(&["clerk"])),
        "",
        "",
    ));
    backend.wait_for(1);
    gateway.signal("TERM");
    let port = gateway.port;
    wait_for("the listener to close", || Client::try_open(port).is_none());
    let ready = gateway.admin("GET", "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("draining"));
    release.send(()).unwrap();
    assert_eq!(client.read(false).status, 200);
    assert!(gateway.ended().success());
    let events: Vec<_> = audit_lines(&gateway.path("audit/audit.jsonl"));
    assert_eq!(events.last().unwrap()["event"], "stop");
}

#[test]
fn a_drain_does_not_last_longer_than_its_grace() {
    let backend = Backend::script(|_, stream| {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        false
    });
    let mut gateway = Setup::new(&backend).extra("shutdown_grace: 300ms").start();
    let mut client = Client::open(gateway.port);
    client.write(&request(
        "GET",
        "/api/accounts/A1",
        &gateway.token(&claims(&["clerk"])),
        "",
        "",
    ));
    backend.wait_for(1);
    gateway.signal("TERM");
    assert!(gateway.ended().success());
    assert!(client.is_closed());
}

#[test]
fn connections_beyond_the_limit_wait_for_a_place() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).extra("limits: { connections: 2 }").start();
    let token = gateway.token(&claims(&["clerk"]));
    let keep = format!("GET /api/accounts/A1 HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut first = Client::open(gateway.port);
    let mut second = Client::open(gateway.port);
    assert_eq!(first.send(keep.as_bytes()).status, 200);
    assert_eq!(second.send(keep.as_bytes()).status, 200);
    let mut third = Client::open(gateway.port);
    third.write(keep.as_bytes());
    assert_eq!(first.send(keep.as_bytes()).status, 200, "the others go on");
    assert_eq!(backend.count(), 3);
    drop(first);
    assert_eq!(third.read(false).status, 200);
}

#[test]
fn two_gateways_do_not_share_an_address() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "keys/public.pem", key_pair().1);
    write(folder.path(), "policy/policy.yaml", POLICY);
    write(
        folder.path(),
        "tollgate.yaml",
        &format!(
            "listen: [{{ address: \"127.0.0.1:{}\" }}]\nadmin: {{ address: \"127.0.0.1:{}\" }}\npolicy: policy\nupstreams: {{ billing: {{ \
             url: \"http://127.0.0.1:1\" }} }}\n",
            gateway.port,
            free_port()
        ),
    );
    let (code, _, err) = run(&["serve", "--config", "tollgate.yaml"], folder.path());
    assert_eq!(code, 1);
    assert!(err.contains("cannot listen"), "{err}");
}

#[test]
fn a_handshake_that_stalls_is_given_up() {
    let backend = Backend::start();
    let pki = Pki::new();
    let mut setup = tls_setup(&backend, &pki, false);
    setup.extra = "limits: { header_timeout: 300ms }".into();
    let gateway = setup.start();
    let mut silent = Client::open(gateway.port);
    let mut half = Client::open(gateway.port);
    half.write(b"\x16\x03\x01\x02\x00\x01");
    assert!(silent.is_closed());
    assert!(half.is_closed());
    // Nor is HTTP in the clear answered.
    let clear = raw(gateway.port, &request("GET", "/api/accounts/help", "", "", ""));
    assert!(!clear.contains("HTTP/"), "{clear}");
    let ca = gateway.path("tls/ca.crt");
    let url = format!("https://localhost:{}/api/accounts/help", gateway.port);
    // On a busy machine curl itself may be too slow for so short a time.
    wait_for("others to be served", || {
        curl(&["--cacert", ca.to_str().unwrap(), &url]).0 == 0
    });
}

#[test]
fn a_broken_certificate_leaves_the_last_good_one_or_stops_the_start() {
    let backend = Backend::start();
    let mut gateway = tls_setup(&backend, &Pki::new(), false).start();
    let ca = gateway.path("tls/ca.crt");
    let url = format!("https://localhost:{}/api/accounts/help", gateway.port);
    write(gateway.path("").as_path(), "tls/server.crt", "rubbish");
    gateway.signal("HUP");
    wait_for("the refusal in the log", || {
        gateway.log().contains("the certificate on disk does not load")
    });
    assert_eq!(curl(&["--cacert", ca.to_str().unwrap(), &url]).0, 0);
    gateway.kill();
    // Another key than the certificate's is no better than none.
    let (certificate, _) = Pki::new().issue("localhost");
    for text in ["rubbish", &certificate] {
        write(gateway.path("").as_path(), "tls/server.crt", text);
        let (code, _, said) = run(&["serve", "--config", "tollgate.yaml"], &gateway.path(""));
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("server.crt"), "{said}");
    }
}

#[test]
fn a_socket_file_of_an_earlier_life_is_in_nobodys_way() {
    let backend = Backend::start();
    let mut setup = Setup::new(&backend);
    setup.listener = "  - address: unix:public.sock".into();
    let mut gateway = setup.start();
    let socket = gateway.path("public.sock");
    for _ in 0..2 {
        let (code, _) = curl(&[
            "--unix-socket",
            socket.to_str().unwrap(),
            "http://localhost/api/accounts/help",
        ]);
        assert_eq!(code, 0);
        gateway.kill();
        assert!(socket.exists());
        gateway.launch();
    }
    assert_eq!(backend.count(), 2);
}
