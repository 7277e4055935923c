//! Where requests come from: proxies that are believed, the PROXY protocol, and what one address may use up.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::harness::{ask as send, *};

/// The suite's policy, open to this network only.
fn only_from(range: &str) -> String {
    format!("{POLICY}allow_from: [{range}]\n")
}

#[test]
fn whom_a_trusted_proxy_does_not_name_is_nobody() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend)
        .policy(&only_from("127.0.0.0/8, 192.0.2.0/24"))
        .extra("trusted_proxies: [127.0.0.0/8]")
        .start();
    for (lines, status, error) in [
        ("", 200, ""),
        ("X-Forwarded-For: 192.0.2.7\r\n", 200, ""),
        ("X-Forwarded-For: 192.0.2.7:4711\r\n", 200, ""),
        ("X-Forwarded-For: 192.0.2.7, 127.0.0.9\r\n", 200, ""),
        (
            "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 198.51.100.1\r\n",
            403,
            "source_not_allowed",
        ),
        (
            "X-Forwarded-For: 192.0.2.7, 198.51.100.1\r\n",
            403,
            "source_not_allowed",
        ),
        ("X-Forwarded-For: unknown\r\n", 400, "ambiguous_request"),
        ("X-Forwarded-For: \r\n", 400, "ambiguous_request"),
        ("X-Forwarded-For: \u{e9}\r\n", 400, "ambiguous_request"),
        ("X-Forwarded-For: unknown, 127.0.0.9\r\n", 400, "ambiguous_request"),
        ("X-Forwarded-For: unknown, 192.0.2.7\r\n", 200, ""),
        // Not believed, neither for good nor for bad.
        ("Forwarded: for=198.51.100.1\r\n", 200, ""),
        ("X-Real-IP: 198.51.100.1\r\n", 200, ""),
    ] {
        let answer = gateway.call("GET", "/api/accounts/A1", &["clerk"], lines, "");
        assert_eq!(answer.status, status, "{lines}");
        if status != 200 {
            assert_eq!(answer.error(), error, "{lines}");
        }
    }
    let lines = gateway.audit(13);
    assert_eq!(lines[1]["ip_address"], "192.0.2.7");
    assert_eq!(lines[4]["ip_address"], "198.51.100.1");
    assert!(lines[6]["detail"].as_str().unwrap().contains("names no address"));
    assert_eq!(backend.last().field("x-forwarded-for"), Some("127.0.0.1"));
}

fn proxied(backend: &Backend) -> Setup {
    let mut setup = Setup::new(backend).policy(&only_from("192.0.2.0/24, \"2001:db8::/32\", 127.0.0.1"));
    setup.listener = "    proxy_protocol: required\n    proxy_protocol_from: [127.0.0.1]".into();
    setup
}

/// A PROXY header of version 2.
fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    bytes.extend(rest);
    bytes
}

#[test]
fn a_proxy_says_whose_a_connection_is() {
    let backend = Backend::start();
    let gateway = proxied(&backend).extra("trusted_proxies: [127.0.0.1]").start();
    let token = gateway.token(&claims(&["clerk"]));
    let ask = |header: &[u8], lines: &str| {
        let request = request("GET", "/api/accounts/A1", &token, lines, "");
        send(gateway.port, &[header, &request].concat())
    };
    let four = [192, 0, 2, 9, 127, 0, 0, 1, 0xC8, 0x22, 0x01, 0xBB];
    for (header, source) in [
        (b"PROXY TCP4 192.0.2.7 127.0.0.1 51234 443\r\n".to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 51234 443\r\n".to_vec(), "2001:db8::7"),
        (version_2(0x21, 0x11, &four), "192.0.2.9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (version_2(0x20, 0x00, &[]), "127.0.0.1"),
        (version_2(0x21, 0x31, &[0; 216]), "127.0.0.1"),
    ] {
        // Whoever it is: what they write of themselves is not the proxy's word.
        let answer = ask(&header, "X-Forwarded-For: 192.0.2.200\r\n");
        assert_eq!(answer.status, 200, "{source}");
        assert_eq!(backend.last().field("x-forwarded-for"), Some(source));
    }
    let answer = ask(b"PROXY TCP4 198.51.100.1 127.0.0.1 51234 443\r\n", "");
    assert_eq!((answer.status, answer.error().as_str()), (403, "source_not_allowed"));
    let sources: Vec<_> = gateway.audit(7).iter().map(|line| line["ip_address"].clone()).collect();
    assert_eq!(
        sources,
        [
            "192.0.2.7",
            "2001:db8::7",
            "192.0.2.9",
            "127.0.0.1",
            "127.0.0.1",
            "127.0.0.1",
            "198.51.100.1"
        ]
    );
}

#[test]
fn a_proxy_that_is_trusted_twice_is_believed_about_its_own_client() {
    let backend = Backend::start();
    let gateway = proxied(&backend).extra("trusted_proxies: [192.0.2.0/28]").start();
    let request = request(
        "GET",
        "/api/accounts/A1",
        &gateway.token(&claims(&["clerk"])),
        "X-Forwarded-For: 192.0.2.200\r\n",
        "",
    );
    for (proxy, source) in [("192.0.2.7", "192.0.2.200"), ("192.0.2.100", "192.0.2.100")] {
        let header = format!("PROXY TCP4 {proxy} 127.0.0.1 51234 443\r\n");
        assert_eq!(send(gateway.port, &[header.as_bytes(), &request].concat()).status, 200);
        assert_eq!(backend.last().field("x-forwarded-for"), Some(source));
    }
}

#[test]
fn without_its_header_a_connection_is_closed_unanswered() {
    let backend = Backend::start();
    let gateway = proxied(&backend).extra("limits: { header_timeout: 300ms }").start();
    let plain = request("GET", "/api/accounts/help", "", "", "");
    let cases = [
        plain,
        b"PROXY TCP4 192.0.2.7 127.0.0.1 51234 443\n".to_vec(),
        b"PROXY TCP9 192.0.2.7 127.0.0.1 51234 443\r\n".to_vec(),
        version_2(0x21, 0x12, &[0; 12]),
        // Never ends, and says nothing.
        b"PROXY TCP4 ".to_vec(),
        Vec::new(),
    ];
    for start in &cases {
        assert_eq!(raw(gateway.port, start), "", "{}", String::from_utf8_lossy(start));
    }
    assert_eq!(backend.count(), 0);
    let count = format!(
        "tollgate_connections_refused_total{{reason=\"proxy_protocol\"}} {}",
        cases.len()
    );
    wait_for("the connections to be counted", || gateway.metrics().contains(&count));
    // A header is good for one connection and for all of its requests.
    let mut client = Client::open(gateway.port);
    client.write(b"PROXY TCP4 192.0.2.7 127.0.0.1 51234 443\r\n");
    for _ in 0..3 {
        let answer = client.send(b"GET /api/accounts/help HTTP/1.1\r\nHost: gw\r\n\r\n");
        assert_eq!(answer.status, 200);
    }
    let again = client.send(b"PROXY TCP4 192.0.2.8 127.0.0.1 51234 443\r\n\r\n");
    assert_eq!(again.status, 400, "in the middle it is no header");
}

#[test]
fn others_than_the_proxy_may_not_connect() {
    let backend = Backend::start();
    let mut setup = proxied(&backend);
    setup.listener = setup.listener.replace("[127.0.0.1]", "[10.0.0.0/8]");
    let gateway = setup.start();
    let plain = request("GET", "/api/accounts/help", "", "", "");
    let header = b"PROXY TCP4 192.0.2.7 127.0.0.1 51234 443\r\n";
    assert_eq!(raw(gateway.port, &[header, plain.as_slice()].concat()), "");
    assert_eq!(backend.count(), 0);
}

/// A proxy for one connection, which writes this header before what its client says.
fn proxy(gateway: u16, header: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", gateway)).unwrap();
        server.write_all(header.as_bytes()).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || io::copy(&mut from, &mut to));
        let _ = io::copy(&mut &server, &mut &client);
    });
    port
}

#[test]
fn tls_comes_after_the_header() {
    let backend = Backend::start();
    let pki = Pki::new();
    let (certificate, key) = pki.issue("localhost");
    let mut setup = proxied(&backend);
    setup.listener += "\n    tls: { certificate: tls/server.crt, key: tls/server.key }";
    setup.files = vec![
        ("tls/server.crt", certificate),
        ("tls/server.key", key),
        ("tls/ca.crt", pki.authority()),
    ];
    let gateway = setup.start();
    let port = proxy(gateway.port, "PROXY TCP4 192.0.2.77 127.0.0.1 51234 443\r\n");
    let output = std::process::Command::new("curl")
        .args(["-s", "--max-time", "10", "--cacert"])
        .arg(gateway.path("tls/ca.crt"))
        .args(["-w", " %{http_code}"])
        .arg(format!("https://localhost:{port}/api/accounts/help"))
        .output()
        .expect("this test starts curl: apt-get install curl");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.ends_with(" 200"), "{text} {:?}", output.status);
    assert_eq!(backend.last().field("x-forwarded-for"), Some("192.0.2.77"));
    assert_eq!(
        raw(gateway.port, b"\x16\x03\x01\x00\x05hello"),
        "",
        "a handshake is no header"
    );
}

#[test]
fn bad_tokens_are_not_looked_at_for_ever() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend)
        .extra("limits: { failed_tokens: { requests: 3, per: 1h } }\ntrusted_proxies: [127.0.0.1]")
        .start();
    let good = gateway.token(&claims(&["clerk"]));
    let mut other = claims(&["clerk"]);
    other["sub"] = "u2".into();
    let unknown = gateway.token(&other);
    let bad = format!("{good}x");
    let expired = mint(key_pair().0, &claims(&["clerk"]), 0);
    let ask = |from: &str, token: &str| {
        gateway.call_as(
            "GET",
            "/api/accounts/A1",
            token,
            &format!("X-Forwarded-For: {from}\r\n"),
            "",
        )
    };
    assert_eq!(ask("192.0.2.7", &good).status, 200);
    let useless = gateway.token(&claims(&["nobody"]));
    for token in [&bad, &expired, &useless] {
        assert_eq!(ask("192.0.2.7", token).status, 401);
    }
    for token in [&bad, &unknown] {
        let refused = ask("192.0.2.7", token);
        assert_eq!((refused.status, refused.error().as_str()), (429, "rate_limited"));
        assert_eq!(refused.json()["decision"], "DENIED_RATE");
        let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
        assert!((1100..=1200).contains(&wait), "{wait}");
        assert_eq!(refused.field("ratelimit"), None, "whose limit it is, is nobody's");
    }
    assert_eq!(
        ask("192.0.2.7", &good).status,
        200,
        "who is known goes on, whoever shares the address"
    );
    assert_eq!(ask("192.0.2.7", "").status, 401, "no token is no bad token");
    assert_eq!(ask("192.0.2.8", &bad).status, 401, "another address has its own");
    assert_eq!(ask("192.0.2.8", &unknown).status, 200);
    assert_eq!(ask("192.0.2.7", &unknown).status, 200, "and now it is known");
    for host in 1..=3 {
        assert_eq!(ask(&format!("2001:db8::{host}"), &bad).status, 401);
    }
    assert_eq!(
        ask("2001:db8::4", &bad).status,
        429,
        "a network of one customer is one address"
    );
    assert_eq!(ask("2001:db8:0:1::4", &bad).status, 401);
    let lines = gateway.audit(16);
    assert_eq!(lines[4]["detail"], "too many bad tokens from this address");
}

#[test]
fn an_address_has_so_many_connections() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend)
        .extra("limits: { connections_per_address: 2 }")
        .start();
    let asked = b"GET /api/accounts/help HTTP/1.1\r\nHost: gw\r\n\r\n";
    let mut first = Client::open(gateway.port);
    let mut second = Client::open(gateway.port);
    assert_eq!((first.send(asked).status, second.send(asked).status), (200, 200));
    assert_eq!(raw(gateway.port, asked), "", "one more is closed unanswered");
    assert_eq!(
        (first.send(asked).status, second.send(asked).status),
        (200, 200),
        "the others go on"
    );
    drop(first);
    wait_for("the place to be free", || {
        Client::try_open(gateway.port).is_some_and(|mut client| client.is_answered(asked))
    });
    assert!(
        gateway
            .metrics()
            .contains("tollgate_connections_refused_total{reason=\"too_many\"}")
    );
}

#[test]
fn a_trusted_proxy_has_as_many_connections_as_there_are() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend)
        .extra("limits: { connections_per_address: 1 }\ntrusted_proxies: [127.0.0.1]")
        .start();
    let asked = b"GET /api/accounts/help HTTP/1.1\r\nHost: gw\r\n\r\n";
    let mut clients: Vec<Client> = (0..5).map(|_| Client::open(gateway.port)).collect();
    for client in &mut clients {
        assert_eq!(client.send(asked).status, 200);
    }
}

#[test]
fn behind_the_proxy_protocol_each_client_is_counted_for_itself() {
    let backend = Backend::start();
    let gateway = proxied(&backend)
        .extra("limits: { connections_per_address: 1 }")
        .start();
    let open = |from: &str| {
        let mut client = Client::open(gateway.port);
        client.write(format!("PROXY TCP4 {from} 127.0.0.1 1 2\r\n").as_bytes());
        client
    };
    let asked = b"GET /api/accounts/help HTTP/1.1\r\nHost: gw\r\n\r\n";
    let (mut first, mut second) = (open("192.0.2.7"), open("192.0.2.8"));
    assert_eq!((first.send(asked).status, second.send(asked).status), (200, 200));
    let mut third = open("192.0.2.7");
    third.write(asked);
    assert!(third.is_closed());
    assert_eq!(first.send(asked).status, 200);
}
