//! HTTP/2 floods (THREATS C13-C19): each ends, with its connection, while others are served as ever.

use std::sync::atomic::{AtomicBool, Ordering};
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

/// Lets `flood` loose while a good client asks, and looks at what that costs.
pub fn while_others_are_served<T: Send>(gateway: &Gateway, flood: impl FnOnce() -> T + Send) -> T {
    let before = served(gateway, |count| count < 50);
    let memory = gateway.memory();
    let over = AtomicBool::new(false);
    let (result, during) = thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let result = flood();
            over.store(true, Ordering::Relaxed);
            result
        });
        let during = served(gateway, |count| count < 50 || !over.load(Ordering::Relaxed));
        (flooding.join().unwrap(), during)
    });
    let (usual, now) = (before[before.len() / 2], during[during.len() / 2]);
    assert!(now < usual * 10 + Duration::from_millis(50), "{usual:?} became {now:?}");
    let worst = during[during.len() - 1];
    assert!(worst < Duration::from_secs(2), "somebody waited {worst:?}");
    let grown = gateway.memory().saturating_sub(memory);
    assert!(grown < MAX_GROWTH, "{grown} bytes more than before");
    result
}

/// A flood whose connection is closed before it has sent all that it would.
fn ends(name: &str, gateway: &Gateway, read: bool, bytes: impl FnMut(usize) -> Vec<u8> + Send) {
    let sent = while_others_are_served(gateway, || Frames::open(gateway.port).flood(read, MOST, bytes));
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
    let _ = Fate::Gone(None);
}
