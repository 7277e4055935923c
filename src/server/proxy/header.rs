//! The PROXY protocol's headers, read from bytes (HAProxy's "The PROXY protocol", versions 1 and 2).
//!
//! Strict: what is not exactly a header is none. Of every beginning of one it is known how many bytes must follow at
//! least, so that a reader never takes a byte of what comes after it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How a header of version 1 begins.
const V1: &[u8] = b"PROXY ";

/// Longest header of version 1 with its line end, in bytes (section 2.1).
pub(super) const MAX_V1: usize = 107;

/// The shortest: `PROXY UNKNOWN\r\n`.
const MIN_V1: usize = 15;

/// The shortest with addresses: `PROXY TCP6 :: :: 0 0\r\n`.
const MIN_V1_ADDRESSED: usize = 22;

/// How a header of version 2 begins (section 2.2).
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, command, family and length.
const V2_FIXED: usize = 16;

/// Most bytes of addresses and extensions in a header of version 2.
pub(super) const MAX_V2_REST: usize = 4096;

/// Most extensions in a header of version 2.
const MAX_EXTENSIONS: usize = 64;

/// The extension that holds a checksum of the header (section 2.2.3).
const CRC32C: u8 = 0x03;

/// What bytes are so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The beginning of a header, which has at least so many bytes more; never none.
    More(usize),
    /// A whole header and nothing else.
    Whole(Sender),
}

/// Who sent what follows the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Sender {
    /// The proxy's client.
    Client(IpAddr),
    /// The proxy itself, or somebody whose address it does not know or that is none of IP (`LOCAL`, `UNKNOWN`, Unix
    /// sockets): the connection's own address is all that is known.
    Unnamed,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum HeaderFault {
    /// They begin otherwise.
    #[error("there is no PROXY header")]
    None,
    /// Longer than a header may be.
    #[error("the PROXY header is too long")]
    TooLong,
    /// A header of version 1 that is not written as it must be.
    #[error("the PROXY header's line is malformed")]
    Line,
    /// A version or a command that nobody knows.
    #[error("the PROXY header has an unknown version or command")]
    Command,
    /// A family or a transport that no TCP connection has.
    #[error("the PROXY header has an unknown address family")]
    Family,
    /// Fewer bytes than the addresses of its family have.
    #[error("the PROXY header is too short for its addresses")]
    Addresses,
    /// Extensions that do not end where the header does, or too many.
    #[error("the PROXY header's extensions are malformed")]
    Extensions,
    /// A checksum that is not the header's.
    #[error("the PROXY header's checksum is wrong")]
    Checksum,
}

/// Reads what has come so far.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, HeaderFault> {
    if bytes.is_empty() {
        Ok(Parsed::More(MIN_V1))
    } else if begins(bytes, V2) {
        version_2(bytes)
    } else if begins(bytes, V1) {
        version_1(bytes)
    } else {
        Err(HeaderFault::None)
    }
}

/// Whether `bytes` begin with `start`, as far as both go.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(a, b)| a == b)
}

fn version_1(bytes: &[u8]) -> Result<Parsed, HeaderFault> {
    let line_end = memchr::memchr(b'\n', bytes);
    if bytes.len() > MAX_V1 || (line_end.is_none() && bytes.len() == MAX_V1) {
        return Err(HeaderFault::TooLong);
    }
    let Some(end) = line_end else {
        let least = if bytes.get(V1.len()) == Some(&b'T') {
            MIN_V1_ADDRESSED
        } else {
            MIN_V1
        };
        let end = if bytes.last() == Some(&b'\r') { 1 } else { 2 };
        // A beginning that can only become too long is taken to its limit and refused there.
        return Ok(Parsed::More(
            least.saturating_sub(bytes.len()).max(end).min(MAX_V1 - bytes.len()),
        ));
    };
    let line = bytes.strip_suffix(b"\r\n").filter(|line| line.len() + 1 == end);
    let text = line
        .and_then(|line| line.strip_prefix(V1))
        .and_then(|rest| std::str::from_utf8(rest).ok())
        .ok_or(HeaderFault::Line)?;
    // Whatever follows is to be passed over (section 2.1).
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Ok(Parsed::Whole(Sender::Unnamed));
    }
    client(text)
        .map(|address| Parsed::Whole(Sender::Client(address)))
        .ok_or(HeaderFault::Line)
}

/// `TCP4 192.0.2.1 192.0.2.2 51234 443`: the first address. All of it must be as it has to be.
fn client(text: &str) -> Option<IpAddr> {
    let mut parts = text.split(' ');
    let family = parts.next()?;
    let (from, to) = (parts.next()?, parts.next()?);
    let ports = [parts.next()?, parts.next()?];
    let port = |text: &str| {
        let number = text.parse::<u16>().ok();
        number.is_some_and(|number| number.to_string() == text)
    };
    if parts.next().is_some() || !ports.into_iter().all(port) {
        return None;
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    let (from, _) = (address(from)?, address(to)?);
    Some(from.to_canonical())
}

fn version_2(bytes: &[u8]) -> Result<Parsed, HeaderFault> {
    let Some((fixed, rest)) = bytes.split_at_checked(V2_FIXED) else {
        return Ok(Parsed::More(V2_FIXED - bytes.len()));
    };
    let [command, family, high, low] = fixed.last_chunk::<4>().copied().unwrap_or_default();
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_V2_REST {
        return Err(HeaderFault::TooLong);
    }
    let named = match command {
        0x20 => false,
        0x21 => true,
        _ => return Err(HeaderFault::Command),
    };
    if rest.len() > length {
        return Err(HeaderFault::TooLong);
    }
    if rest.len() < length {
        return Ok(Parsed::More(length - rest.len()));
    }
    if !named {
        // The proxy's own: whatever follows is to be passed over (section 2.2).
        return Ok(Parsed::Whole(Sender::Unnamed));
    }
    let addresses = match family {
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(HeaderFault::Family),
    };
    let (addresses, extensions) = rest.split_at_checked(addresses).ok_or(HeaderFault::Addresses)?;
    // Of an unknown family it is not known either where extensions begin.
    if family != 0x00 {
        check_extensions(bytes, extensions)?;
    }
    let client = match family {
        0x11 => addresses.first_chunk::<4>().map(|from| IpAddr::from(*from)),
        0x21 => addresses.first_chunk::<16>().map(|from| IpAddr::from(*from)),
        _ => None,
    };
    let sender = client.map_or(Sender::Unnamed, |client| Sender::Client(client.to_canonical()));
    Ok(Parsed::Whole(sender))
}

/// Extensions are passed over, save the checksum: if there is one, it must be right.
fn check_extensions(header: &[u8], mut rest: &[u8]) -> Result<(), HeaderFault> {
    let mut sum = None;
    for _ in 0..MAX_EXTENSIONS {
        let Some((&[kind, high, low], after)) = rest.split_first_chunk::<3>() else {
            break;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, after) = after.split_at_checked(length).ok_or(HeaderFault::Extensions)?;
        if kind == CRC32C {
            let told: [u8; 4] = value.try_into().map_err(|_| HeaderFault::Extensions)?;
            let at = header.len() - after.len() - length;
            if sum.replace((at, u32::from_be_bytes(told))).is_some() {
                return Err(HeaderFault::Extensions);
            }
        }
        rest = after;
    }
    if !rest.is_empty() {
        return Err(HeaderFault::Extensions);
    }
    match sum {
        Some((at, told)) if crc32c(header, at..at + 4) != told => Err(HeaderFault::Checksum),
        _ => Ok(()),
    }
}

/// CRC-32C (RFC 3309, appendix A), with the bytes in `zero` taken for zeros. A header is short, and there is one for each
/// connection: a bit at a time is fast enough.
fn crc32c(bytes: &[u8], zero: std::ops::Range<usize>) -> u32 {
    let sum = bytes.iter().enumerate().fold(u32::MAX, |sum, (at, &byte)| {
        let byte = if zero.contains(&at) { 0 } else { byte };
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            let carry = sum & 1 == 1;
            (sum >> 1) ^ if carry { 0x82F6_3B78 } else { 0 }
        })
    });
    !sum
}
