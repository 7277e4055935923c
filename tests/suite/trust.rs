//! Connections that a client certificate opened end when other authorities vouch for clients: what is under way is
//! finished, and nothing more is taken.

use std::io::Write as _;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use super::harness::frames::{END_HEADERS, END_STREAM, Frame, Frames, block, frame, get, kind};
use super::harness::*;

const HELD: &str = "/api/accounts/held";
const FREE: &str = "/api/accounts/A1";

/// A gateway whose first listener asks for certificates, and another that does not.
struct Listeners {
    gateway: Gateway,
    pki: Pki,
    token: String,
    plain: u16,
    release: mpsc::Sender<()>,
}

impl Listeners {
    /// The backend holds what is asked at [`HELD`] until it is released.
    fn start() -> (Self, Backend) {
        let (release, held) = mpsc::channel();
        let held = Mutex::new(held);
        let backend = Backend::script(move |request, stream| {
            let free = request.target != HELD || held.lock().unwrap().recv().is_ok();
            free && stream
                .write_all(answer("200 OK", "application/json", "{}").as_bytes())
                .is_ok()
        });
        let pki = Pki::new();
        let (setup, plain) = Setup::new(&backend).asking_for_certificates(&pki);
        let gateway = setup.start();
        let token = gateway.token(&claims(&["clerk"]));
        let listeners = Self {
            gateway,
            pki,
            token,
            plain,
            release,
        };
        (listeners, backend)
    }

    /// A port that leads to the first listener, with a certificate.
    fn tunnel(&self, protocol: &str) -> u16 {
        let shown = self.pki.client("etl-1", "spiffe://city.example/etl");
        tunnel(self.gateway.port, &self.pki.authority(), &shown, protocol)
    }

    fn get(&self, path: &str) -> Vec<u8> {
        let Self { token, .. } = self;
        format!("GET {path} HTTP/1.1\r\nHost: gw.example\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
    }

    /// The frame of a `GET`.
    fn frame(&self, stream: u32, path: &str) -> Vec<u8> {
        let bearer = format!("Bearer {}", self.token);
        let fields = block(&get(path, &bearer));
        frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &fields)
    }

    fn trust_others(&self) {
        write(&self.gateway.path(""), "tls/ca.crt", &Pki::new().authority());
    }
}

/// Whether the other side closes well before a client would give up waiting.
fn closes(client: &mut Client) -> bool {
    let began = Instant::now();
    client.is_closed() && began.elapsed() < DEADLINE / 2
}

#[test]
fn an_http1_connection_ends_with_the_trust_that_it_began_with() {
    let (listeners, backend) = Listeners::start();
    let port = listeners.tunnel("http/1.1");
    let (mut idle, mut busy) = (Client::open(port), Client::open(port));
    let mut stranger = Client::open(listeners.plain);
    for client in [&mut idle, &mut busy, &mut stranger] {
        assert_eq!(client.send(&listeners.get(FREE)).status, 200);
    }
    busy.write(&listeners.get(HELD));
    backend.wait_for(4);

    listeners.trust_others();
    assert!(closes(&mut idle), "a connection on which nothing is under way");
    listeners.release.send(()).unwrap();
    let answer = busy.read(false);
    assert_eq!(
        (answer.status, answer.whole),
        (200, true),
        "what was under way is finished"
    );
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(closes(&mut busy));
    assert_eq!(
        stranger.send(&listeners.get(FREE)).status,
        200,
        "nobody vouched for this one"
    );
    assert_eq!(backend.count(), 5);
    listeners.gateway.audit(5);
}

#[test]
fn another_certificate_of_the_server_ends_no_connection() {
    let (listeners, _backend) = Listeners::start();
    let mut client = Client::open(listeners.tunnel("http/1.1"));
    assert_eq!(client.send(&listeners.get(FREE)).status, 200);
    let (certificate, key) = listeners.pki.issue("localhost");
    write(&listeners.gateway.path(""), "tls/server.key", &key);
    write(&listeners.gateway.path(""), "tls/server.crt", &certificate);
    wait_for("the other certificate", || {
        listeners.gateway.log().contains("certificate in force")
    });
    for _ in 0..20 {
        assert_eq!(client.send(&listeners.get(FREE)).status, 200);
    }
}

/// The next frame that says something of a stream, or of the connection's end.
fn telling(client: &mut Frames) -> Option<Frame> {
    loop {
        let frame = client.next()?;
        if matches!(frame.kind, kind::GOAWAY | kind::HEADERS | kind::DATA | kind::RST_STREAM) {
            return Some(frame);
        }
    }
}

/// The body of a stream, up to its end.
fn body(client: &mut Frames, stream: u32) -> String {
    let mut body = Vec::new();
    loop {
        let frame = telling(client).expect("the connection ended before the stream");
        assert_ne!(frame.kind, kind::RST_STREAM, "{frame:?}");
        if frame.stream != stream {
            continue;
        }
        if frame.kind == kind::DATA {
            body.extend_from_slice(&frame.payload);
        }
        if frame.flags & END_STREAM != 0 {
            return String::from_utf8(body).unwrap();
        }
    }
}

/// A client that answers no `PING` is not known to have heard that the connection ends: what it still asks is refused.
#[test]
fn an_http2_connection_ends_with_the_trust_that_it_began_with() {
    let (listeners, backend) = Listeners::start();
    let mut client = Frames::open(listeners.tunnel("h2"));
    client.write(&listeners.frame(1, FREE));
    assert_eq!(body(&mut client, 1), "{}");
    client.write(&listeners.frame(3, HELD));
    backend.wait_for(2);

    listeners.trust_others();
    let told = telling(&mut client).unwrap();
    assert_eq!(told.kind, kind::GOAWAY);
    client.write(&listeners.frame(5, FREE));
    let refused = body(&mut client, 5);
    assert!(refused.contains("\"error\":\"certificate_outdated\""), "{refused}");
    assert!(refused.contains("\"status\":421"), "{refused}");
    listeners.release.send(()).unwrap();
    assert_eq!(body(&mut client, 3), "{}", "what was under way is finished");
    assert_eq!(backend.count(), 2);
    let lines = listeners.gateway.audit(3);
    let refusals: Vec<_> = lines
        .iter()
        .filter(|line| line["error"] == "certificate_outdated")
        .collect();
    assert_eq!(refusals.len(), 1, "{lines:?}");
    assert_eq!(refusals[0]["decision"], "DENIED_REQUEST");
}

/// One that does is told which of its requests were the last, and then there is no connection.
#[test]
fn an_http2_connection_that_hears_of_it_is_closed() {
    let (listeners, _backend) = Listeners::start();
    let mut client = Frames::open(listeners.tunnel("h2"));
    client.write(&listeners.frame(1, FREE));
    assert_eq!(body(&mut client, 1), "{}");
    listeners.trust_others();
    let began = Instant::now();
    let mut told = 0;
    while let Some(heard) = client.next() {
        if heard.kind == kind::PING && heard.flags == 0 {
            client.write(&frame(kind::PING, 1, 0, &heard.payload));
        }
        told += usize::from(heard.kind == kind::GOAWAY);
    }
    assert!(
        told >= 1 && began.elapsed() < DEADLINE / 2,
        "{told}, {:?}",
        began.elapsed()
    );
}
