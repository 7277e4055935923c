//! HTTP/2 floods (THREATS C13-C19): each ends, with its connection, while others are served as ever.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::harness::frames::{END_HEADERS, END_STREAM, Fate, Frames, block, frame, get, kind};
use super::harness::*;

/// More frames than any flood gets to send.
const MOST: usize = 200_000;

/// What the gateway may hold more of after a flood than before it.
const MAX_GROWTH: u64 = 32 << 20;

const ACCOUNTS: &str = "/api/accounts/A1001";

/// How long each of a good client's requests took, one after the other.
fn served(gateway: &Gateway, mut going: impl FnMut(usize) -> bool) -> Vec<Duration> {
    let token = gateway.token(&claims(&["clerk"]));
    let bytes = format!("GET {ACCOUNTS} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut client = Client::open(gateway.port);
    let mut took = Vec::new();
    while going(took.len()) {
        let started = Instant::now();
        assert_eq!(client.send(bytes.as_bytes()).status, 200);
        took.push(started.elapsed());
    }
    took.sort();
    took
}

/// What a flood came to.
pub struct Measured<T> {
    pub result: T,
    /// Memory that the gateway holds after it and did not hold before, in bytes.
    pub grown: u64,
}

/// Lets `flood` loose while a good client asks, and looks at what that costs the client.
pub fn while_others_are_served<T: Send>(gateway: &Gateway, flood: impl FnOnce() -> T + Send) -> Measured<T> {
    let before = served(gateway, |count| count < 50);
    let memory = gateway.memory();
    let over = AtomicBool::new(false);
    let (result, during) = thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let _over = Over(&over);
            flood()
        });
        let during = served(gateway, |count| count < 50 || !over.load(Ordering::Relaxed));
        (flooding.join().unwrap(), during)
    });
    let (usual, now) = (before[before.len() / 2], during[during.len() / 2]);
    assert!(now < usual * 10 + Duration::from_millis(50), "{usual:?} became {now:?}");
    let worst = during[during.len() - 1];
    assert!(worst < Duration::from_secs(2), "somebody waited {worst:?}");
    Measured {
        result,
        grown: gateway.memory().saturating_sub(memory),
    }
}

/// The same for a flood that leaves nothing behind.
fn without_a_trace<T: Send>(gateway: &Gateway, flood: impl FnOnce() -> T + Send) -> T {
    let Measured { result, grown } = while_others_are_served(gateway, flood);
    assert!(grown < MAX_GROWTH, "{grown} bytes more than before");
    result
}

/// Says that a flood is over, however it ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A flood whose connection is closed before it has sent all that it would.
fn ends(name: &str, gateway: &Gateway, read: bool, bytes: impl FnMut(usize) -> Vec<u8> + Send) {
    let sent = without_a_trace(gateway, || Frames::open(gateway.port).flood(read, MOST, bytes));
    assert!(sent < MOST, "{name} goes on");
}

fn stream(at: usize) -> u32 {
    2 * u32::try_from(at).unwrap() + 1
}

#[test]
fn floods_of_frames_that_ask_for_nothing_end() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let bearer = format!("Bearer {}", gateway.token(&claims(&["clerk"])));
    let asks = block(&get(ACCOUNTS, &bearer));
    for read in [true, false] {
        ends("PING", &gateway, read, |_| frame(kind::PING, 0, 0, &[0; 8]).repeat(100));
        ends("SETTINGS", &gateway, read, |_| {
            frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]).repeat(100)
        });
        ends("PRIORITY", &gateway, read, |_| {
            frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(100)
        });
        ends("WINDOW_UPDATE", &gateway, read, |_| {
            frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(100)
        });
        ends("an unknown frame", &gateway, read, |_| {
            frame(77, 0, 0, b"x").repeat(100)
        });
    }
    // A request that is taken back with its own bytes, and one that is taken back a moment later.
    let resets = |at: usize| {
        [
            frame(kind::HEADERS, END_STREAM | END_HEADERS, stream(at), &asks),
            frame(kind::RST_STREAM, 0, stream(at), &[0, 0, 0, 8]),
        ]
    };
    ends("a rapid reset", &gateway, true, |at| resets(at).concat());
    ends("a slower reset", &gateway, true, |at| resets(at / 2)[at % 2].clone());
    assert!(
        gateway
            .metrics()
            .contains("tollgate_connections_refused_total{reason=\"frames\"}")
    );
}

#[test]
fn a_head_without_an_end_is_given_up() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let field = block(&[("x-a", "a".repeat(1000))]);
    for piece in [&[][..], &field] {
        ends("CONTINUATION", &gateway, true, |at| {
            let kind = if at == 0 { kind::HEADERS } else { kind::CONTINUATION };
            let start = block(&get(ACCOUNTS, ""));
            frame(kind, 0, 1, if at == 0 { &start } else { piece })
        });
    }
}

#[test]
fn a_body_of_nothing_is_given_up() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let bearer = format!("Bearer {}", gateway.token(&claims(&["dispatcher"])));
    let mut fields = get("/portal/assignments", &bearer);
    fields[0] = (":method", "POST");
    let head = frame(kind::HEADERS, END_HEADERS, 1, &block(&fields));
    for piece in [&b""[..], b"x"] {
        ends("DATA", &gateway, true, |at| {
            if at == 0 {
                head.clone()
            } else {
                frame(kind::DATA, 0, 1, piece)
            }
        });
    }
}

/// Each stream is made such that we reset it (CVE-2025-8671): what it asked is at an end, and asking so on and on, too.
#[test]
fn a_client_that_has_its_streams_reset_by_us_is_given_up() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let bearer = format!("Bearer {}", gateway.token(&claims(&["clerk"])));
    let ask = block(&get(ACCOUNTS, &bearer));
    for fault in [
        |at| frame(kind::WINDOW_UPDATE, 0, stream(at), &[0; 4]),
        |at| frame(kind::WINDOW_UPDATE, 0, stream(at), &[127, 255, 255, 255]).repeat(2),
        |at| frame(kind::DATA, 0, stream(at), b"after the end"),
        |at| frame(kind::HEADERS, END_HEADERS, stream(at), b"\0\x01X\0"),
    ] {
        ends("a stream reset by us", &gateway, true, |at| {
            let head = frame(kind::HEADERS, END_STREAM | END_HEADERS, stream(at), &ask);
            [head, fault(at)].concat()
        });
    }
}

#[test]
fn streams_over_the_limit_are_refused_and_the_others_are_answered() {
    let backend = Backend::json("{}");
    let mut setup = Setup::new(&backend);
    setup.upstream = ", max_connections_per_user: 48";
    let gateway = setup.start();
    let mut who = claims(&["dispatcher"]);
    who["sub"] = "a slow one".into();
    let bearer = format!("Bearer {}", gateway.token(&who));
    let mut fields = get("/portal/assignments", &bearer);
    fields[0] = (":method", "POST");
    let mut client = Frames::open(gateway.port);
    // Heads of requests whose bodies never come. One user's share of the backend is held by those that are let in; others
    // over it are answered, and over the streams of a connection reset.
    let (count, share) = (500, 48);
    let heads: Vec<u8> = (0..count)
        .flat_map(|at| frame(kind::HEADERS, END_HEADERS, stream(at), &block(&fields)))
        .collect();
    without_a_trace(&gateway, || {
        client.write(&heads);
        let (mut over, mut refused) = (BTreeSet::new(), 0);
        while over.len() < count - share {
            let frame = client.next().expect("the connection goes on");
            match frame.kind {
                kind::HEADERS => over.insert(frame.stream),
                kind::RST_STREAM if frame.payload == [0, 0, 0, 7] => {
                    refused += 1;
                    over.insert(frame.stream)
                }
                _ => continue,
            };
        }
        assert!(refused > count / 2, "{refused} refused");
        assert!(!over.contains(&1));
    });
    // The oldest is answered when its body comes.
    client.write(&frame(kind::DATA, END_STREAM, 1, b"{}"));
    assert_eq!(client.fate(1), Fate::Answered(200, "{}".into()));
    let crowded = gateway.call("GET", "/portal/assignments", &["dispatcher"], "", "");
    assert_eq!(crowded.status, 200, "another user is not concerned");
}

#[test]
fn a_user_has_only_a_share_of_a_backends_connections() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let backend = Backend::script(move |request, stream| {
        if request.field("x-held").is_some() {
            held.lock().unwrap().recv().unwrap();
        }
        stream
            .write_all(answer("200 OK", "application/json", "{}").as_bytes())
            .is_ok()
    });
    let mut setup = Setup::new(&backend);
    setup.upstream = ", max_connections_per_user: 2";
    let gateway = setup.start();
    let token = gateway.token(&claims(&["dispatcher"]));
    let mut slow: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = Client::open(gateway.port);
            client.write(&request("GET", "/portal/assignments", &token, "X-Held: 1\r\n", ""));
            client
        })
        .collect();
    backend.wait_for(2);
    let third = gateway.call_as("GET", "/portal/assignments", &token, "", "");
    assert_eq!(
        (third.status, third.error().as_str(), third.field("retry-after")),
        (429, "rate_limited", Some("1"))
    );
    let mut other = claims(&["dispatcher"]);
    other["sub"] = "u2".into();
    let other = gateway.token(&other);
    assert_eq!(
        gateway.call_as("GET", "/portal/assignments", &other, "", "").status,
        200
    );
    // Who has no token is no such user, and shares with others at the same address.
    assert_eq!(gateway.call_as("GET", "/api/accounts/help", "", "", "").status, 200);
    // Both are released, since nobody knows which of them waits first.
    for _ in &slow {
        release.send(()).unwrap();
    }
    for client in &mut slow {
        assert_eq!(client.read(false).status, 200);
    }
    assert_eq!(
        gateway.call_as("GET", "/portal/assignments", &token, "", "").status,
        200
    );
}

/// Few bytes that name much: a large field is put into the table once, and then referred to again and again.
#[test]
fn a_header_list_is_only_so_large_however_few_its_bytes() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let bearer = format!("Bearer {}", gateway.token(&claims(&["clerk"])));
    for (references, fate) in [(10, "200"), (20, "431"), (60, "431"), (14_000, "gone")] {
        let mut fields = block(&get(ACCOUNTS, &bearer));
        // A literal with incremental indexing; then its index, the first of the table.
        let large = block(&[("x-large", "a".repeat(3900))]);
        fields.push(0x40);
        fields.extend_from_slice(&large[1..]);
        fields.resize(fields.len() + references, 0xbe);
        let mut client = Frames::open(gateway.port);
        without_a_trace(&gateway, || {
            client.write(&frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &fields));
            match client.fate(1) {
                Fate::Answered(status, _) => assert_eq!(status.to_string(), fate, "{references}"),
                other => assert_eq!(fate, "gone", "{references}: {other:?}"),
            }
        });
    }
}
