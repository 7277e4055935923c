//! TLS as `openssl s_client` meets it: which versions, ciphers and protocols are taken, and what a session may carry over.
//!
//! What is refused is first shown to work against `openssl s_server`: a client that cannot ask proves nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::harness::*;

const HELP: &str = "GET /api/accounts/help HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const MISSING: &str = "this test starts openssl: apt-get install openssl";

/// A server that takes everything that openssl knows, ended when it is dropped.
struct Lax {
    port: u16,
    child: Child,
}

impl Lax {
    fn start(folder: &Path) -> Self {
        let port = free_port();
        let child = Command::new("openssl")
            .args([
                "s_server",
                "-quiet",
                "-www",
                "-client_renegotiation",
                "-cipher",
                "ALL:COMPLEMENTOFALL:@SECLEVEL=0",
            ])
            .args([
                "-accept",
                &format!("127.0.0.1:{port}"),
                "-cert",
                "tls/server.crt",
                "-key",
                "tls/server.key",
            ])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect(MISSING);
        wait_for("openssl s_server", || Client::try_open(port).is_some());
        Self { port, child }
    }
}

impl Drop for Lax {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client(port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command
        .args([
            "s_client",
            "-connect",
            &format!("127.0.0.1:{port}"),
            "-servername",
            "localhost",
        ])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Shakes hands, asks for a public route, and waits for the end: all that openssl says, and the answer.
fn asks(port: u16, folder: &Path, arguments: &[&str]) -> String {
    let mut child = client(port, arguments)
        .args(["-ign_eof", "-CAfile", "tls/ca.crt", "-verify_return_error"])
        .current_dir(folder)
        .spawn()
        .expect(MISSING);
    // Where the handshake fails nobody reads.
    let _ = child.stdin.take().unwrap().write_all(HELP.as_bytes());
    let Output { stdout, stderr, .. } = child.wait_with_output().unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    )
}

fn is_served(said: &str) -> bool {
    said.contains("HTTP/1.1 200 OK") || said.contains("HTTP/1.0 200 ok")
}

fn tls_gateway(backend: &Backend, pki: &Pki, client_ca: Option<&Pki>) -> (Gateway, PathBuf) {
    let (certificate, key) = pki.issue("localhost");
    let mut setup = Setup::new(backend);
    let asks = client_ca.map_or("", |_| ", client_ca: tls/clients.crt");
    setup.listener = format!("    tls: {{ certificate: tls/server.crt, key: tls/server.key{asks} }}");
    setup.files = vec![
        ("tls/server.crt", certificate),
        ("tls/server.key", key),
        ("tls/ca.crt", pki.authority()),
        ("tls/clients.crt", client_ca.unwrap_or(pki).authority()),
    ];
    let gateway = setup.start();
    let folder = gateway.path("");
    (gateway, folder)
}

#[test]
fn old_versions_and_weak_ciphers_are_refused() {
    let (backend, pki) = (Backend::start(), Pki::new());
    let (gateway, folder) = tls_gateway(&backend, &pki, None);
    let lax = Lax::start(&folder);
    let weak = |version, cipher| vec![version, "-cipher", cipher];
    for arguments in [
        weak("-tls1", "ALL:@SECLEVEL=0"),
        weak("-tls1_1", "ALL:@SECLEVEL=0"),
        weak("-tls1_2", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"),
        weak("-tls1_2", "ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"),
        weak("-tls1_2", "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"),
        weak("-tls1_2", "AECDH-AES128-SHA:@SECLEVEL=0"),
        weak("-tls1_2", "ADH-AES128-GCM-SHA256:@SECLEVEL=0"),
        weak("-tls1_2", "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"),
    ] {
        let said = asks(gateway.port, &folder, &arguments);
        assert!(
            !is_served(&said) && said.contains("Cipher is (NONE)"),
            "{arguments:?}: {said}"
        );
        let control = asks(lax.port, &folder, &arguments);
        assert!(
            control.contains("Cipher is ") && !control.contains("Cipher is (NONE)"),
            "{arguments:?}: {control}"
        );
    }
    assert_eq!(backend.count(), 0);
    for (arguments, said_of_it) in [
        (vec!["-tls1_2"], "TLSv1.2, Cipher is ECDHE-ECDSA-"),
        (vec!["-tls1_3"], "TLSv1.3, Cipher is TLS_"),
        (
            weak("-tls1_2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
            "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
        (
            weak("-tls1_2", "ECDHE-ECDSA-CHACHA20-POLY1305"),
            "Cipher is ECDHE-ECDSA-CHACHA20-POLY1305",
        ),
        (
            vec!["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
            "Cipher is TLS_AES_256_GCM_SHA384",
        ),
    ] {
        let said = asks(gateway.port, &folder, &arguments);
        assert!(is_served(&said) && said.contains(said_of_it), "{arguments:?}: {said}");
        assert!(
            said.contains("Compression: NONE") && said.contains("Verification: OK"),
            "{said}"
        );
    }
    assert_eq!(backend.count(), 5);
}

#[test]
fn a_protocol_is_agreed_on_or_there_is_no_connection() {
    let (backend, pki) = (Backend::start(), Pki::new());
    let (gateway, folder) = tls_gateway(&backend, &pki, None);
    for (offered, agreed) in [
        ("h2,http/1.1", "ALPN protocol: h2"),
        ("http/1.1,h2", "ALPN protocol: h2"),
        ("http/1.1", "ALPN protocol: http/1.1"),
    ] {
        let said = asks(gateway.port, &folder, &["-alpn", offered]);
        assert!(said.contains(agreed), "{offered}: {said}");
    }
    for offered in ["spdy/3", "h3", "http/1.0,ftp"] {
        let said = asks(gateway.port, &folder, &["-alpn", offered]);
        assert!(
            !is_served(&said) && said.contains("no application protocol"),
            "{offered}: {said}"
        );
    }
    let said = asks(gateway.port, &folder, &[]);
    assert!(is_served(&said) && said.contains("No ALPN negotiated"), "{said}");
    // One answer to `http/1.1` and one to no offer; what is sent as HTTP/2 is none.
    assert_eq!(backend.count(), 2);
}

/// Says `R` to `s_client` once hands are shaken; whether a second handshake is brought to its end.
fn renegotiates(port: u16, folder: &Path) -> bool {
    let mut child = client(
        port,
        &["-tls1_2", "-cipher", "ALL:@SECLEVEL=0", "-CAfile", "tls/ca.crt"],
    )
    .arg("-msg")
    .current_dir(folder)
    .spawn()
    .expect(MISSING);
    let mut words = child.stdin.take().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut errors = child.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut all = String::new();
        let _ = errors.read_to_string(&mut all);
        all
    });
    let mut finished = 0;
    let mut line = String::new();
    while said.read_line(&mut line).unwrap() > 0 {
        if line.contains("Verify return code") && finished <= 2 {
            words.write_all(b"R\n").unwrap();
        }
        finished += usize::from(line.contains("Finished"));
        // Of each handshake there are two: ours and theirs.
        if finished == 4 {
            let _ = words.write_all(b"Q\n");
            break;
        }
        line.clear();
    }
    let _ = child.kill();
    let _ = child.wait();
    let errors = reading.join().unwrap();
    assert!(errors.contains("RENEGOTIATING"), "the client did not try: {errors}");
    assert!(finished >= 2, "there was no first handshake: {errors}");
    finished == 4
}

#[test]
fn a_handshake_is_not_repeated() {
    let (backend, pki) = (Backend::start(), Pki::new());
    let (gateway, folder) = tls_gateway(&backend, &pki, None);
    let lax = Lax::start(&folder);
    assert!(renegotiates(lax.port, &folder), "the client can");
    assert!(!renegotiates(gateway.port, &folder));
    assert!(
        is_served(&asks(gateway.port, &folder, &["-tls1_2"])),
        "others are served"
    );
}

#[test]
fn a_session_does_not_outlive_the_trust_that_it_began_with() {
    let (backend, pki, clients) = (Backend::start(), Pki::new(), Pki::new());
    let (gateway, folder) = tls_gateway(&backend, &pki, Some(&clients));
    let shown = clients.client("etl-1", "spiffe://city.example/etl");
    write(&folder, "client.crt", &shown.certificate);
    write(&folder, "client.key", &shown.key);
    let certified = ["-cert", "client.crt", "-key", "client.key"];
    let with = |version: &'static str, more: &[&'static str]| [&[version], more].concat();
    for version in ["-tls1_2", "-tls1_3"] {
        let first = asks(
            gateway.port,
            &folder,
            &with(version, &[&certified[..], &["-sess_out", "session"]].concat()),
        );
        assert!(is_served(&first) && first.contains("New, "), "{first}");
        let again = asks(gateway.port, &folder, &with(version, &["-sess_in", "session"]));
        assert!(
            is_served(&again) && again.contains("Reused, "),
            "a session can be resumed: {again}"
        );
        let bare = asks(gateway.port, &folder, &with(version, &[]));
        assert!(!is_served(&bare), "a certificate is asked for: {bare}");
        let fresh = asks(
            gateway.port,
            &folder,
            &with(version, &[&certified[..], &["-sess_out", "session"]].concat()),
        );
        assert!(is_served(&fresh), "{fresh}");

        // Another authority vouches for clients now.
        let others = Pki::new();
        write(&folder, "tls/clients.crt", &others.authority());
        wait_for("the other authority", || {
            !is_served(&asks(gateway.port, &folder, &with(version, &certified)))
        });
        let stale = asks(gateway.port, &folder, &with(version, &["-sess_in", "session"]));
        assert!(!is_served(&stale) && !stale.contains("Reused, "), "{stale}");
        let both = asks(
            gateway.port,
            &folder,
            &with(version, &[&certified[..], &["-sess_in", "session"]].concat()),
        );
        assert!(!is_served(&both) && !both.contains("Reused, "), "{both}");
        write(&folder, "tls/clients.crt", &clients.authority());
        wait_for("the first authority", || {
            is_served(&asks(gateway.port, &folder, &with(version, &certified)))
        });
    }
}

#[test]
fn a_session_does_not_outlive_the_certificate_that_it_began_with() {
    let (backend, pki) = (Backend::start(), Pki::new());
    let (gateway, folder) = tls_gateway(&backend, &pki, None);
    let first = asks(gateway.port, &folder, &["-sess_out", "session"]);
    assert!(is_served(&first), "{first}");
    let again = asks(gateway.port, &folder, &["-sess_in", "session", "-sess_out", "session"]);
    assert!(again.contains("Reused, "), "{again}");
    let (certificate, key) = pki.issue("localhost");
    write(&folder, "tls/server.key", &key);
    write(&folder, "tls/server.crt", &certificate);
    wait_for("the other certificate", || {
        let said = asks(gateway.port, &folder, &["-sess_in", "session"]);
        is_served(&said) && said.contains("New, ")
    });
}
