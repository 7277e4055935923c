//! Links as data: what leaves of them, and that nothing hidden does.

use proptest::prelude::*;

use super::{Cleaned, Field, Links};
use crate::masking::tests::mask;

fn clean(rules: &str, field: Field, value: &str) -> (Option<String>, Vec<u32>) {
    let mask = mask(rules);
    let mut links = Links::new(&mask).expect("something is hidden");
    let out = match links.clean(field, value.as_bytes()) {
        Cleaned::Same => Some(value.to_owned()),
        Cleaned::Changed(bytes) => Some(String::from_utf8(bytes).unwrap()),
        Cleaned::Unreadable => None,
    };
    (out, links.tally().to_vec())
}

fn check(rules: &str, field: Field, cases: &[(&str, &str)]) {
    for &(value, want) in cases {
        assert_eq!(clean(rules, field, value).0.as_deref(), Some(want), "{rules}: {value}");
    }
}

#[test]
fn a_hidden_parameter_is_removed_redacted_or_emptied() {
    let (remove, redact, null) = ("r ssn", "x ssn", "n ssn");
    check(
        remove,
        Field::Reference,
        &[
            ("/a?ssn=1", "/a"),
            ("/a?ssn=1&b=2", "/a?b=2"),
            ("/a?b=2&ssn=1", "/a?b=2"),
            ("/a?b=2&ssn=1&c=%41+%2b", "/a?b=2&c=%41+%2b"),
            ("/a?ssn=1&ssn=2", "/a"),
            ("https://h.example:8443/a/b?ssn=1#x", "https://h.example:8443/a/b#x"),
            ("?ssn=1", ""),
            ("#ssn=1", ""),
            ("/a#ssn=1&b=2", "/a#b=2"),
            ("/a?b=2#/route?ssn=1&c=3", "/a?b=2#/route?c=3"),
            ("/a#/route?c=3&ssn=1", "/a#/route?c=3"),
            ("/a#/route?ssn=1", "/a#/route"),
            ("/a;ssn=1/b", "/a/b"),
            ("/a;v=2;ssn=1/b;w", "/a;v=2/b;w"),
            ("/Customers(Id=1,Ssn='2')", "/"),
        ],
    );
    check(
        redact,
        Field::Reference,
        &[
            ("/a?ssn=1", "/a?ssn=%5BREDACTED%5D"),
            ("/a?S%53N=1&b=2", "/a?S%53N=%5BREDACTED%5D&b=2"),
            ("/a;ssn=1?b", "/a;ssn=%5BREDACTED%5D?b"),
            ("#ssn=1", "#ssn=%5BREDACTED%5D"),
            ("?next=%2Fb%3Fssn%3D1", "?next=%5BREDACTED%5D"),
        ],
    );
    check(
        null,
        Field::Reference,
        &[("/a?ssn=1&b=2", "/a?ssn=&b=2"), ("/a?ssn=", "/a?ssn=")],
    );
}

#[test]
fn a_name_is_found_in_every_spelling() {
    for name in [
        "ssn",
        "SSN",
        "s_s-n",
        "%73sn",
        "%53%53%4E",
        "%2573sn",
        "%252573sn",
        "+ssn",
        "ssn+",
        "%20ssn",
        "ssn%5B%5D",
        "ssn[]",
        "customer[ssn]",
        "customer.ssn",
        "customer%5Bssn%5D",
        "c[ssn][0]",
        "a%26ssn",
        "%E2%84%AA",
    ] {
        let rules = "r ssn k";
        let value = format!("/a?{name}=7777&b=2");
        assert_eq!(
            clean(rules, Field::Reference, &value).0.as_deref(),
            Some("/a?b=2"),
            "{name}"
        );
    }
    for value in [
        "/a?ssns=1",
        "/a?xssn=1",
        "/ssn/1",
        "/a?ssn",
        "/a?b=ssn",
        "/a?b=ssn%3A1",
        "/a?",
        "",
        "/",
        "?&&=&;",
        "/a?b=what?&c=1",
    ] {
        assert_eq!(clean("r ssn", Field::Reference, value).0.as_deref(), Some(value));
    }
    check(
        "R Ssn_1",
        Field::Reference,
        &[("?Ssn_1=1&ssn_1=2&Ssn1=3", "?ssn_1=2&Ssn1=3"), ("?%53sn_1=1&b", "?b")],
    );
}

#[test]
fn however_a_reader_splits_the_query_the_value_does_not_leave() {
    check(
        "r ssn",
        Field::Reference,
        &[
            ("?ssn=7777;8888&b=2", "?b=2"),
            ("?a=1;ssn=7777&b=2", "?a=1&b=2"),
            ("?a=1;ssn=7777;c=3&b=2", "?a=1&b=2"),
            ("?a=1?ssn=7777", "?a=1"),
            ("?a=ssn=7777&b", "?b"),
            ("?ssn%3D7777&b", "?b"),
            ("?next=/b%3Fa%3D1%26ssn%3D7777&b=2", "?b=2"),
            ("?next=%252Fb%253Fssn%253D7777&b=2", "?b=2"),
            ("?next=%2Fb%23ssn%3D7777", ""),
            ("?a=%3Bssn=7777", ""),
        ],
    );
}

#[test]
fn the_strictest_of_the_hidden_classes_wins_and_each_counts() {
    assert_eq!(
        clean(
            "x ssn; n ssn; v ssn; r tier",
            Field::Reference,
            "?ssn=1&tier=2&ssn=3&name=4"
        ),
        (Some("?ssn=&ssn=&name=4".into()), vec![2, 2, 0, 1])
    );
    assert!(Links::new(&mask("v ssn")).is_none() && Links::new(&mask("")).is_none());
}

#[test]
fn what_cannot_be_read_in_one_way_does_not_leave() {
    for value in [
        "/a?b=%",
        "/a?b=%4",
        "/a?b=%zz",
        "/a%",
        "/a?b c",
        "/a?b=\u{7f}",
        "/a?b=\t1",
        "/a\\b",
        "/a?b=\u{e9}",
        "/a#b#c",
        "/<b>",
        "//u:p@h/a",
        "https://ssn@h/a",
        "https://h%40x/",
        "https:/h/a",
        "http:h/a",
        "https:///h/a",
        "///a",
        "//",
        "/a?s%00n=1",
        "/a?%ff=1",
        "/a?%0assn=1",
    ] {
        assert_eq!(clean("r ssn", Field::Reference, value), (None, vec![0]), "{value:?}");
    }
    let mask = mask("r ssn");
    let mut links = Links::new(&mask).unwrap();
    assert_eq!(links.clean(Field::Reference, b"/a?b=\xe9"), Cleaned::Unreadable);
    assert_eq!(links.clean(Field::Link, b"</a?ssn=1>, </b"), Cleaned::Unreadable);
    assert_eq!(links.tally(), [0], "what is dropped whole counts for none");
}

#[test]
fn a_refresh_has_one_link() {
    check(
        "r ssn",
        Field::Refresh,
        &[
            ("5", "5"),
            ("5;url=/a?ssn=1&b=2", "5;url=/a?b=2"),
            ("0 ; URL = \"/a?ssn=1\"", "0 ; URL = \"/a\""),
            ("0, url='/a?b=1'", "0, url='/a?b=1'"),
            ("5; url=", "5; url="),
        ],
    );
    for value in [
        "",
        "x",
        "5.5;url=/a",
        "-1;url=/a",
        "5 /a",
        "5;/a?ssn=1",
        "5;url",
        "5;url='/a",
        "5;url=\"/a\"x",
        "5;url='/a'b'",
        "5;url=/a b",
        " 5",
    ] {
        assert_eq!(clean("r ssn", Field::Refresh, value).0, None, "{value}");
    }
}

#[test]
fn every_link_of_a_list_is_read() {
    check(
        "r ssn",
        Field::Link,
        &[
            ("</a?ssn=1>; rel=\"next\"", "</a>; rel=\"next\""),
            (
                " , </a?b=1,2&ssn=3> ;rel=next ; title=\"a, \\\"b\\\"; <c>\",</b>;x;;y=1, ",
                " , </a?b=1,2> ;rel=next ; title=\"a, \\\"b\\\"; <c>\",</b>;x;;y=1, ",
            ),
            ("</a>; anchor=\"/b?ssn=1&c=2\"", "</a>; anchor=\"/b?c=2\""),
            ("</a>; title*=UTF-8''x%20y", "</a>; title*=UTF-8''x%20y"),
            ("", ""),
        ],
    );
    for value in [
        "/a",
        "</a",
        "<a b>",
        "</a> </b>",
        "</a>; rel=\"x",
        "</a>; rel=",
        "</a>; =x",
        "</a>; anchor=/b",
        "</a>; anchor=\"/b\\\"\"",
        "</a>;rel=\"x\"y",
        "</a%>",
    ] {
        assert_eq!(clean("r ssn", Field::Link, value).0, None, "{value}");
    }
}

proptest! {
    #[test]
    fn nothing_is_changed_where_nothing_is_hidden(value in "[ -~]{0,60}") {
        for field in [Field::Reference, Field::Refresh, Field::Link] {
            let (out, tally) = clean("r notthere", field, &value);
            prop_assert!(out.is_none() || out.as_deref() == Some(&value));
            prop_assert_eq!(tally, [0]);
        }
    }

    #[test]
    fn a_hidden_value_never_leaves(
        before in "([a-z]{1,3}=[a-z0-9+;?=]{0,4}&){0,3}",
        name in prop::sample::select(vec!["ssn", "S_S_N", "%53sn", "x[ssn]", "%2573sn"]),
        after in "([&;][a-z0-9]{0,3}=?[a-z0-9%]{0,4}){0,3}",
        mark in prop::sample::select(vec!["?", "#", "?x=1#", "#/r?", ";"]),
        rules in prop::sample::select(vec!["r ssn", "x ssn", "n ssn"]),
    ) {
        let value = format!("/a{mark}{before}{name}=CANARY{after}");
        let (out, tally) = clean(rules, Field::Reference, &value);
        prop_assert!(out.as_ref().is_none_or(|out| !out.contains("CANARY")), "{:?}", out);
        prop_assert!(out.is_none() || tally[0] > 0);
        // What has been cleaned is clean.
        if let Some(out) = out.filter(|_| rules == "r ssn") {
            prop_assert_eq!(clean(rules, Field::Reference, &out).0, Some(out));
        }
    }

    #[test]
    fn no_bytes_break_a_reader(value in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mask = mask("r ssn");
        let mut links = Links::new(&mask).unwrap();
        for field in [Field::Reference, Field::Refresh, Field::Link] {
            links.clean(field, &value);
        }
    }
}
