//! Headers as data, each whole, cut at every byte, and read byte by byte.

use super::*;
use proptest::prelude::*;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::ReadBuf;

fn client(address: &str) -> Result<Sender, HeaderFault> {
    Ok(Sender::Client(address.parse::<IpAddr>().unwrap()))
}

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    bytes.extend(rest);
    bytes
}

const V4: [u8; 12] = [192, 0, 2, 7, 192, 0, 2, 1, 0xC8, 0x22, 0x01, 0xBB];

fn v6(from: &str) -> Vec<u8> {
    let from: std::net::Ipv6Addr = from.parse().unwrap();
    let mut bytes = from.octets().to_vec();
    bytes.extend([0; 16]);
    bytes.extend([0xC8, 0x22, 0x01, 0xBB]);
    bytes
}

fn extension(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    bytes.extend(value);
    bytes
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// What each is.
fn cases() -> Vec<(Vec<u8>, Result<Sender, HeaderFault>)> {
    let line = |text: &str| text.as_bytes().to_vec();
    let unnamed = Ok(Sender::Unnamed);
    let long = "x".repeat(MAX_V1 - "PROXY UNKNOWN \r\n".len());
    let four = |extensions: &[&[u8]]| v2(0x21, 0x11, &join(&[&V4[..], &join(extensions)[..]]));
    // Computed by another program over the header with a zeroed sum.
    let right = [0x07, 0x8F, 0xDB, 0x93];
    let none = Err(HeaderFault::None);
    let malformed = Err(HeaderFault::Line);
    let extensions = Err(HeaderFault::Extensions);
    vec![
        (
            line("PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\r\n"),
            client("192.0.2.7"),
        ),
        (
            line("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
            client("255.255.255.255"),
        ),
        (line("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), client("0.0.0.0")),
        (
            line("PROXY TCP6 2001:db8::7 2001:db8::1 51234 443\r\n"),
            client("2001:db8::7"),
        ),
        (line("PROXY TCP6 :: :: 0 0\r\n"), client("::")),
        (line("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n"), client("192.0.2.7")),
        (
            line(
                "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            ),
            client("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ),
        (line("PROXY UNKNOWN\r\n"), unnamed),
        (line("PROXY UNKNOWN 192.0.2.7 192.0.2.1 51234 443\r\n"), unnamed),
        (line("PROXY UNKNOWN what ever\r\n"), unnamed),
        (line(&format!("PROXY UNKNOWN {long}\r\n")), unnamed),
        (line(&format!("PROXY UNKNOWN {long}x\r\n")), Err(HeaderFault::TooLong)),
        (line(&format!("PROXY {}", "x".repeat(200))), Err(HeaderFault::TooLong)),
        (line("PROXY UNKNOWNX\r\n"), malformed),
        (line("PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\n"), malformed),
        (line("PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\r\r\n"), malformed),
        (line("PROXY TCP4 192.0.2.7 192.0.2.1 51234 443 \r\n"), malformed),
        (line("PROXY TCP4 192.0.2.7 192.0.2.1 51234 443 1\r\n"), malformed),
        (line("PROXY TCP4  192.0.2.7 192.0.2.1 51234 443\r\n"), malformed),
        (line("PROXY TCP4\t192.0.2.7 192.0.2.1 51234 443\r\n"), malformed),
        (line("PROXY  TCP4 192.0.2.7 192.0.2.1 51234 443\r\n"), malformed),
        (line("PROXY TCP4 192.0.2.7 192.0.2.1 51234\r\n"), malformed),
        (line("PROXY TCP4 192.0.2.7 192.0.2.1\r\n"), malformed),
        (line("PROXY TCP4 192.0.2.07 192.0.2.1 51234 443\r\n"), malformed),
        (line("PROXY TCP4 192.0.2 192.0.2.1 51234 443\r\n"), malformed),
        (line("PROXY TCP4 192.0.2.7 rubbish 51234 443\r\n"), malformed),
        (line("PROXY TCP4 2001:db8::7 2001:db8::1 51234 443\r\n"), malformed),
        (line("PROXY TCP6 192.0.2.7 192.0.2.1 51234 443\r\n"), malformed),
        (line("PROXY TCP6 fe80::1%eth0 ::1 51234 443\r\n"), malformed),
        (line("PROXY TCP4 192.0.2.7 192.0.2.1 65536 443\r\n"), malformed),
        (line("PROXY TCP4 192.0.2.7 192.0.2.1 051234 443\r\n"), malformed),
        (line("PROXY TCP4 192.0.2.7 192.0.2.1 +1 443\r\n"), malformed),
        (line("PROXY TCP4 192.0.2.7 192.0.2.1 1 -1\r\n"), malformed),
        (line("PROXY tcp4 192.0.2.7 192.0.2.1 51234 443\r\n"), malformed),
        (line("PROXY UDP4 192.0.2.7 192.0.2.1 51234 443\r\n"), malformed),
        (line("PROXY \u{e9} 192.0.2.7 192.0.2.1 51234 443\r\n"), malformed),
        (line("PROXY \r\n"), malformed),
        (line("proxy TCP4 192.0.2.7 192.0.2.1 51234 443\r\n"), none),
        (line("GET / HTTP/1.1\r\n"), none),
        (line("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), none),
        (vec![0x16, 0x03, 0x01], none),
        (line("\r\n\r\nGET / HTTP/1.1\r\n"), none),
        (v2(0x21, 0x11, &V4), client("192.0.2.7")),
        (v2(0x21, 0x21, &v6("2001:db8::7")), client("2001:db8::7")),
        (v2(0x21, 0x21, &v6("::ffff:192.0.2.7")), client("192.0.2.7")),
        (v2(0x21, 0x31, &[b'x'; 216]), unnamed),
        (v2(0x21, 0x00, &[]), unnamed),
        (v2(0x21, 0x00, b"whatever"), unnamed),
        (v2(0x20, 0x00, &[]), unnamed),
        (v2(0x20, 0x11, &V4), unnamed),
        (v2(0x20, 0x77, b"whatever"), unnamed),
        (v2(0x20, 0x00, &[7; MAX_V2_REST]), unnamed),
        (v2(0x20, 0x00, &[7; MAX_V2_REST + 1]), Err(HeaderFault::TooLong)),
        (v2(0x22, 0x11, &V4), Err(HeaderFault::Command)),
        (v2(0x2F, 0x11, &V4), Err(HeaderFault::Command)),
        (v2(0x11, 0x11, &V4), Err(HeaderFault::Command)),
        (v2(0x31, 0x11, &V4), Err(HeaderFault::Command)),
        (v2(0x21, 0x12, &V4), Err(HeaderFault::Family)),
        (v2(0x21, 0x22, &v6("::1")), Err(HeaderFault::Family)),
        (v2(0x21, 0x32, &[0; 216]), Err(HeaderFault::Family)),
        (v2(0x21, 0x10, &V4), Err(HeaderFault::Family)),
        (v2(0x21, 0x41, &V4), Err(HeaderFault::Family)),
        (v2(0x21, 0x11, &V4[..11]), Err(HeaderFault::Addresses)),
        (v2(0x21, 0x11, &[]), Err(HeaderFault::Addresses)),
        (v2(0x21, 0x21, &V4), Err(HeaderFault::Addresses)),
        (v2(0x21, 0x31, &[0; 215]), Err(HeaderFault::Addresses)),
        (
            four(&[
                &extension(0x01, b"h2"),
                &extension(0x02, b"gw.example"),
                &extension(0x04, b""),
            ]),
            client("192.0.2.7"),
        ),
        (
            four(&[&extension(0x20, &[0; 300]), &extension(0xE0, b"x")]),
            client("192.0.2.7"),
        ),
        (four(&[&extension(0x01, b"h2")[..4]]), extensions),
        (four(&[&[0x01]]), extensions),
        (four(&[&[0x01, 0x00]]), extensions),
        (four(&[&extension(0x01, b"h2"), &[0x00]]), extensions),
        (four(&[&extension(0x04, b"").repeat(64)]), client("192.0.2.7")),
        (four(&[&extension(0x04, b"").repeat(65)]), extensions),
        (four(&[&extension(0x03, &right)]), client("192.0.2.7")),
        (four(&[&extension(0x03, &[0; 4])]), Err(HeaderFault::Checksum)),
        (
            four(&[&extension(0x03, &right), &extension(0x04, b"")]),
            Err(HeaderFault::Checksum),
        ),
        (four(&[&extension(0x03, &right[..3])]), extensions),
        (four(&[&extension(0x03, &right), &extension(0x03, &right)]), extensions),
    ]
}

/// Comes in pieces, with more behind it.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let count = this.piece.min(buffer.remaining()).min(this.bytes.len() - this.at);
        buffer.put_slice(&this.bytes[this.at..this.at + count]);
        this.at += count;
        Poll::Ready(Ok(()))
    }
}

/// What is read of these bytes in such pieces, and how much was taken. `Err(None)`: it broke off.
fn read(bytes: &[u8], piece: usize) -> (Result<Sender, Option<HeaderFault>>, usize) {
    let mut io = Pieces {
        bytes: bytes.to_vec(),
        at: 0,
        piece,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let read = runtime.block_on(sender(&mut io)).map_err(|fault| match fault {
        ProxyFault::Header(fault) => Some(fault),
        ProxyFault::Io(_) => None,
    });
    (read, io.at)
}

#[test]
fn a_header_says_whose_a_connection_is_or_is_none() {
    for (bytes, expected) in cases() {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        // What follows is not the header's, and not to be taken with it.
        let with_more = join(&[&bytes, b"\x16\x03\x01 and more, \r\n"]);
        for piece in [1, 2, 7, usize::MAX] {
            let (read, taken) = read(&with_more, piece);
            assert_eq!(read, expected.map_err(Some), "{shown:?} in pieces of {piece}");
            if expected.is_ok() {
                assert_eq!(taken, bytes.len(), "{shown:?} in pieces of {piece}");
            }
        }
        if expected.is_ok() {
            for cut in 0..bytes.len() {
                let Ok(Parsed::More(more)) = parse(&bytes[..cut]) else {
                    panic!("{shown:?} cut at {cut}");
                };
                assert!(
                    (1..=bytes.len() - cut).contains(&more),
                    "{shown:?} cut at {cut}: {more}"
                );
                assert_eq!(read(&bytes[..cut], usize::MAX).0, Err(None), "{shown:?} cut at {cut}");
            }
        }
    }
}

proptest! {
    /// Any bytes at all: an answer, never more than a header's worth taken, and the same in whatever pieces.
    #[test]
    fn any_bytes_are_answered(start in 0..4_usize, bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1..50_usize) {
        let starts: [&[u8]; 4] = [b"", b"PROXY ", b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n\x21"];
        let bytes = join(&[starts[start], &bytes]);
        let (whole, taken) = read(&bytes, usize::MAX);
        prop_assert!(taken <= MAX_HEADER);
        prop_assert_eq!(read(&bytes, piece).0, whole);
    }

    /// Whatever addresses: both versions say them.
    #[test]
    fn addresses_come_through(four in any::<[u8; 4]>(), six in any::<[u8; 16]>(), port in any::<u16>()) {
        let (four, six) = (std::net::Ipv4Addr::from(four), std::net::Ipv6Addr::from(six));
        let line = format!("PROXY TCP4 {four} {four} {port} {port}\r\n");
        prop_assert_eq!(read(line.as_bytes(), 64).0, Ok(Sender::Client(four.into())));
        let line = format!("PROXY TCP6 {six} {six} {port} {port}\r\n");
        prop_assert_eq!(read(line.as_bytes(), 64).0, Ok(Sender::Client(IpAddr::V6(six).to_canonical())));
        prop_assert_eq!(read(&v2(0x21, 0x21, &v6(&six.to_string())), 64).0, Ok(Sender::Client(IpAddr::V6(six).to_canonical())));
    }
}
