//! Many connections that hardly move (THREATS L01-L04, L19): others are served as ever, and what each may hold is bounded.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use super::floods::{Measured, while_others_are_served};
use super::harness::*;

/// Connections of each kind.
const HEADS: usize = 1_000;
const BODIES: usize = 500;
const READERS: usize = 500;

/// What one such connection may cost, in bytes: as the README says.
const EACH: u64 = 32 << 10;

/// What is held for the answers of one user's share of the backend's connections: as the README says.
const EACH_ANSWER: u64 = 1 << 20;

/// The share.
const SHARE: usize = 16;

/// Lets this program, and what it starts, open as many files as this takes.
fn enough_files() {
    let limit = format!("--nofile={}:", 3 * (HEADS + BODIES + READERS));
    let own = std::process::id().to_string();
    let status = Command::new("prlimit").args(["--pid", &own, &limit]).status();
    assert!(
        status
            .expect("this test starts prlimit: apt-get install util-linux")
            .success()
    );
}

fn open(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

#[test]
fn two_thousand_slow_connections_are_in_nobodys_way() {
    enough_files();
    let large = format!("[{}7]", "7,".repeat(4 << 20));
    let backend = Backend::script(move |request, stream| {
        let body = if request.target.ends_with("schedule") {
            &*large
        } else {
            "{}"
        };
        stream
            .write_all(answer("200 OK", "application/json", body).as_bytes())
            .is_ok()
    });
    let mut setup = Setup::new(&backend);
    setup.upstream = ", max_connections_per_user: 16";
    setup.extra = "limits: { header_timeout: 60s, body_timeout: 60s }".into();
    let gateway = setup.start();
    let mut who = claims(&["dispatcher"]);
    who["sub"] = "a slow one".into();
    let token = gateway.token(&who);
    let mut slow: Vec<TcpStream> = Vec::new();
    let Measured { grown, .. } = while_others_are_served(&gateway, || {
        for _ in 0..HEADS {
            slow.push(open(
                gateway.port,
                b"GET /portal/schedule HTTP/1.1\r\nHost: gw\r\nX-Slow: ",
            ));
        }
        let chunked = "Transfer-Encoding: chunked\r\n";
        let upload = request("POST", "/portal/assignments", &token, chunked, "");
        let keyed = request("POST", "/api/ledger/sync", &token, chunked, "");
        for at in 0..BODIES {
            slow.push(open(gateway.port, if at % 2 == 0 { &upload } else { &keyed }));
        }
        let download = request("GET", "/portal/schedule", &token, "", "");
        for _ in 0..READERS {
            slow.push(open(gateway.port, &download));
        }
        for _ in 0..3 {
            for (at, stream) in slow.iter_mut().enumerate() {
                // Those over the share have been answered, and may have been closed.
                let _ = if at < HEADS {
                    stream.write(b"a")
                } else {
                    stream.write(b"1\r\na\r\n")
                };
                if at >= HEADS + BODIES {
                    let _ = stream.read(&mut [0]);
                }
            }
        }
    });
    let most = slow.len() as u64 * EACH + SHARE as u64 * EACH_ANSWER;
    println!("{grown} of {most} bytes");
    assert!(grown < most, "{grown} bytes for {} slow connections", slow.len());
}

/// A body that a step must hold whole shares the room with all others: what has come of it counts, not what it will be.
#[test]
fn bodies_that_are_held_have_room_together() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend)
        .extra("limits: { body_bytes: 1MiB, held_bytes: 1MiB }")
        .start();
    let token = gateway.token(&claims(&["finance_admin"]));
    let body = format!(r#"{{"county":"County_A","note":"{}"}}"#, "a".repeat(600 << 10));
    let keyed = |key: &str| {
        let fields = format!("X-Idempotency-Key: {key}\r\n");
        request("POST", "/api/ledger/sync", &token, &fields, &body)
    };
    let mut tries = 0;
    wait_for("the second to find no room", || {
        tries += 1;
        let first = keyed(&format!("first-{tries}"));
        let (last, all_but_one) = first.split_last().unwrap();
        let mut slow = Client::open(gateway.port);
        slow.write(all_but_one);
        let second = ask(gateway.port, &keyed(&format!("second-{tries}")));
        slow.write(&[*last]);
        let first = slow.read(false);
        // The second may have been sooner.
        if second.status == 200 {
            return false;
        }
        assert_eq!((second.status, second.error().as_str()), (503, "checks_busy"));
        assert_eq!(second.field("retry-after"), Some("5"));
        assert_eq!(first.status, 200, "who has room keeps it");
        true
    });
    let third = ask(gateway.port, &keyed("third"));
    assert_eq!(third.status, 200, "the room is free again: {third:?}");
}
