//! Where a request comes from: its peer, or what trusted proxies say of it.
//!
//! `X-Forwarded-For` is read from its right end, where the nearest proxy wrote, and only as far as each writer is trusted;
//! what stands further left may be anybody's. `Forwarded` (RFC 7239) and `X-Real-IP` are never believed: one list, one
//! reading. Whom a trusted proxy names in a way that cannot be read is nobody, and the request is refused.

use http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::refusal::Refusal;
use crate::policy::within;
use crate::reason::Reason;

/// Most trusted proxies that a request may have come through.
const MAX_HOPS: usize = 32;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address.
pub(super) fn source(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> Result<IpAddr, Refusal> {
    let mut source = peer.to_canonical();
    if trusted.is_empty() || !within(trusted, source) {
        return Ok(source);
    }
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    let entries = values.flat_map(|value| value.as_bytes().rsplit(|&byte| byte == b','));
    for (hop, entry) in entries.enumerate() {
        let unread = |why| Refusal::because(Reason::AmbiguousRequest, why);
        if hop == MAX_HOPS {
            return Err(unread("`X-Forwarded-For` names too many trusted proxies"));
        }
        source = address(entry).ok_or_else(|| unread("`X-Forwarded-For` of a trusted proxy names no address"))?;
        if !within(trusted, source) {
            break;
        }
    }
    Ok(source)
}

/// An address, with a port perhaps: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`. An
/// address with a zone means something on one machine only, and is none.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bare = || text.parse::<IpAddr>().ok();
    let bracketed = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    let with_port = || {
        let socket = text.parse::<SocketAddr>().ok()?;
        let zoned = matches!(socket, SocketAddr::V6(six) if six.scope_id() != 0 || text.contains('%'));
        (!zoned).then_some(socket.ip())
    };
    bare()
        .or_else(bracketed)
        .or_else(with_port)
        .map(|address| address.to_canonical())
}

/// What counts as one client: an IPv4 address, or the /64 that one IPv6 customer has at least (RFC 6177).
#[must_use]
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn ask(peer: &str, forwarded: &[&str]) -> Option<String> {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].map(|range| range.parse().unwrap()).into();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let source = source(&headers, peer.parse().unwrap(), &trusted);
        source.ok().map(|source| source.to_string())
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_as_far_as_they_can_be_read() {
        let cases: &[(&str, &[&str], Option<&str>)] = &[
            // A stranger says what it likes.
            ("192.0.2.1", &["127.0.0.1"], Some("192.0.2.1")),
            ("192.0.2.1", &["rubbish"], Some("192.0.2.1")),
            ("::ffff:192.0.2.1", &["10.0.0.1"], Some("192.0.2.1")),
            ("2001:db8::1", &["127.0.0.1"], Some("2001:db8::1")),
            // A trusted proxy is asked.
            ("10.0.0.1", &[], Some("10.0.0.1")),
            ("10.0.0.1", &["192.0.2.7"], Some("192.0.2.7")),
            ("::ffff:10.0.0.1", &["192.0.2.7"], Some("192.0.2.7")),
            ("fd00::1", &["2001:db8::7"], Some("2001:db8::7")),
            ("10.0.0.1", &["::ffff:192.0.2.7"], Some("192.0.2.7")),
            // From the right, and no further than its writer is trusted.
            ("10.0.0.1", &["127.0.0.1, 192.0.2.7"], Some("192.0.2.7")),
            ("10.0.0.1", &["127.0.0.1", "192.0.2.7"], Some("192.0.2.7")),
            ("10.0.0.1", &["192.0.2.7, 10.0.0.2"], Some("192.0.2.7")),
            ("10.0.0.1", &["192.0.2.7", "10.0.0.2"], Some("192.0.2.7")),
            (
                "10.0.0.1",
                &["192.0.2.8, 192.0.2.7, 10.0.0.3, fd00::2"],
                Some("192.0.2.7"),
            ),
            ("10.0.0.1", &["192.0.2.7, ::ffff:10.0.0.2"], Some("192.0.2.7")),
            ("10.0.0.1", &["10.0.0.3,10.0.0.2"], Some("10.0.0.3")),
            ("10.0.0.1", &["rubbish, 192.0.2.7"], Some("192.0.2.7")),
            ("10.0.0.1", &["rubbish", "192.0.2.7, 10.0.0.9"], Some("192.0.2.7")),
            ("10.0.0.1", &["\u{e9}, 192.0.2.7"], Some("192.0.2.7")),
            // Ports and brackets.
            ("10.0.0.1", &["192.0.2.7:51234"], Some("192.0.2.7")),
            ("10.0.0.1", &["[2001:db8::7]"], Some("2001:db8::7")),
            ("10.0.0.1", &["[2001:db8::7]:443"], Some("2001:db8::7")),
            ("10.0.0.1", &["192.0.2.7:1, 10.0.0.2:2"], Some("192.0.2.7")),
            ("10.0.0.1", &["\t192.0.2.7 \t"], Some("192.0.2.7")),
            // Nobody.
            ("10.0.0.1", &["rubbish, 10.0.0.3"], None),
            ("10.0.0.1", &["rubbish"], None),
            ("10.0.0.1", &["unknown"], None),
            ("10.0.0.1", &["_hidden"], None),
            ("10.0.0.1", &[""], None),
            ("10.0.0.1", &["192.0.2.7,"], None),
            ("10.0.0.1", &["192.0.2.7", ""], None),
            ("10.0.0.1", &["192.0.2.7,,10.0.0.2"], None),
            ("10.0.0.1", &["192.0.2.7 10.0.0.2"], None),
            ("10.0.0.1", &["192.0.2.07"], None),
            ("10.0.0.1", &["192.0.2"], None),
            ("10.0.0.1", &["3221225991"], None),
            ("10.0.0.1", &["192.0.2.7:"], None),
            ("10.0.0.1", &["192.0.2.7:99999"], None),
            ("10.0.0.1", &["192.0.2.7/32"], None),
            ("10.0.0.1", &["[192.0.2.7]"], None),
            ("10.0.0.1", &["[2001:db8::7"], None),
            ("10.0.0.1", &["2001:db8::7]"], None),
            ("10.0.0.1", &["fe80::1%eth0"], None),
            ("10.0.0.1", &["fe80::1%1"], None),
            ("10.0.0.1", &["[fe80::1%1]:80"], None),
            ("10.0.0.1", &["[fe80::1%0]:80"], None),
            ("10.0.0.1", &["for=192.0.2.7"], None),
            ("10.0.0.1", &["\"192.0.2.7\""], None),
            ("10.0.0.1", &["localhost"], None),
            ("10.0.0.1", &["\u{e9}"], None),
            ("10.0.0.1", &["\u{a0}192.0.2.7"], None),
        ];
        for (peer, forwarded, expected) in cases {
            assert_eq!(ask(peer, forwarded).as_deref(), *expected, "{peer} {forwarded:?}");
        }
        let hops = |count: usize| vec!["10.0.0.2"; count].join(",");
        assert_eq!(ask("10.0.0.1", &[&hops(MAX_HOPS)]).as_deref(), Some("10.0.0.2"));
        assert_eq!(ask("10.0.0.1", &[&hops(MAX_HOPS + 1)]), None);
    }

    #[test]
    fn nobody_is_trusted_unless_named() {
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_FOR, HeaderValue::from_static("127.0.0.1"));
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(source(&headers, peer, &[]).unwrap(), peer);
    }

    proptest! {
        /// Whatever a client writes before what a proxy wrote: the proxy's word counts.
        #[test]
        fn what_stands_further_left_does_not_matter(left in "[ -~]{0,60}") {
            let line = format!("{left},192.0.2.7");
            prop_assert_eq!(ask("10.0.0.1", &[&line]), Some("192.0.2.7".to_owned()));
            prop_assert_eq!(ask("10.0.0.1", &[&left, "192.0.2.7, 10.0.0.2"]), Some("192.0.2.7".to_owned()));
        }
    }
}
