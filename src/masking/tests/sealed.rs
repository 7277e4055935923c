//! Values that go out hashed or encrypted.

use proptest::prelude::*;

use super::properties::{chunked, tree};
use super::rules::{home, key};
use super::{mask, run, run_all_ways};
use crate::masking::seal::{MAX_SEALED, key_of};
use crate::masking::{Dialect, Format, Unmaskable};

/// What stands in place of a value with this text.
fn hashed(text: &str) -> String {
    format!("\"{}\"", key().hash(text.as_bytes()))
}

#[test]
fn a_hash_is_of_the_text_however_it_is_written() {
    for (value, text) in [
        (r#""C-17""#, "C-17"),
        (r#""\u0043-1\u0037""#, "C-17"),
        (r#""a\/b\n\ud83d\ude00""#, "a/b\n\u{1f600}"),
        ("123", "123"),
        (r#""123""#, "123"),
        ("1.50", "1.50"),
        ("-0.5E+3", "-0.5E+3"),
        (r#""""#, ""),
        ("null", "null"),
        ("true", "true"),
        (r#"{ "a":[1, 2] }"#, r#"{ "a":[1, 2] }"#),
        ("[]", "[]"),
    ] {
        for (before, after) in [
            ("{\"a\":1, \"ssn\" : ", " ,\"b\":2}"),
            ("[{\"ssn\":", "}]"),
            ("{\"ssn\":", "\n}"),
        ] {
            let masked = run_all_ways(
                &mask("h ssn"),
                Format::Json,
                format!("{before}{value}{after}").as_bytes(),
            );
            assert_eq!(masked.end, Ok(()), "{value}");
            let expected = format!("{before}{}{after}", hashed(text));
            assert_eq!(String::from_utf8(masked.out).unwrap(), expected, "{value}");
            assert_eq!(masked.tally, [1]);
        }
    }
    let lines = run_all_ways(&mask("h id"), Format::JsonLines, b"{\"id\":7}\n{\"id\":\"7\"}\n");
    let seven = hashed("7");
    assert_eq!(
        String::from_utf8(lines.out).unwrap(),
        format!("{{\"id\":{seven}}}\n{{\"id\":{seven}}}\n")
    );
}

#[test]
fn the_strictest_class_of_a_value_counts() {
    for (rules, starts) in [
        ("h ssn;e /ssn", "{\"ssn\":\"enc:k1:"),
        ("e ssn;x /ssn", "{\"ssn\":\"[REDACTED]\""),
        ("h ssn;n /ssn", "{\"ssn\":null"),
        ("r ssn;h /ssn", "{}"),
    ] {
        let masked = run(&mask(rules), Format::Json, [&br#"{"ssn":"1"}"#[..]]);
        assert!(
            masked.out.starts_with(starts.as_bytes()),
            "{rules}: {}",
            masked.out.escape_ascii()
        );
    }
}

/// Opens every envelope of a body at its place; what is not an envelope stays.
fn opened(out: &[u8], places: &[&str]) -> String {
    let mut text = String::from_utf8(out.to_vec()).unwrap();
    for place in places {
        let (before, rest) = text.split_once("\"enc:").expect("an envelope");
        let (envelope, after) = rest.split_once('"').unwrap();
        let envelope = format!("enc:{envelope}");
        assert_eq!(key_of(&envelope), Some("k1"));
        let value = key()
            .open(&envelope, &home(), place)
            .unwrap_or_else(|fault| panic!("{place}: {fault}"));
        text = format!("{before}{}{after}", String::from_utf8(value).unwrap());
    }
    assert!(!text.contains("enc:"), "{text}");
    text
}

#[test]
fn an_envelope_opens_to_the_values_own_bytes_at_its_place() {
    for (rules, input, places) in [
        ("e ssn", r#"{"ssn":"1\u00e9 "}"#, &["/ssn"][..]),
        (
            "e ssn",
            r#"{"a":{"x":1},"b":[{"ssn": 1.50 }, {"s\u0073n":[1, {"ssn":2}]}]}"#,
            &["/b/*/ssn", "/b/*/ssn"],
        ),
        ("e /a~1b/**/c", r#"{"a/b":{"~":{"c":true}},"c":1}"#, &["/a~1b/~0/c"]),
        ("e /*/0", r#"[[1,2],[{"é":3}]]"#, &["/*/*", "/*/*"]),
        (
            "e ssn;r phone",
            r#"{"phone":{"ssn":1},"x":{"phone":1,"ssn":{"phone":2}}}"#,
            &["/x/ssn"],
        ),
        ("e id", "{\"id\":null}", &["/id"]),
    ] {
        let kept = if rules.contains("phone") {
            r#"{"x":{"ssn":{"phone":2}}}"#
        } else {
            input
        };
        for place in 0..=input.len() {
            let (a, b) = input.as_bytes().split_at(place);
            let masked = run(&mask(rules), Format::Json, [a, b]);
            assert_eq!(
                (masked.end, opened(&masked.out, places).as_str()),
                (Ok(()), kept),
                "cut at {place}"
            );
        }
        let masked = run(&mask(rules), Format::Json, input.as_bytes().chunks(1));
        assert_eq!(opened(&masked.out, places), kept, "byte by byte");
    }
}

#[test]
fn a_value_to_be_sealed_has_a_limit() {
    for rules in ["e ssn"] {
        for (length, end) in [
            (MAX_SEALED - 2, Ok(())),
            (
                MAX_SEALED - 1,
                Err(Unmaskable::LongValue {
                    at: 7 + MAX_SEALED as u64,
                }),
            ),
        ] {
            let body = format!("{{\"ssn\":\"{}\"}}", "!".repeat(length));
            for size in [body.len(), 4093] {
                let masked = run(&mask(rules), Format::Json, body.as_bytes().chunks(size));
                assert_eq!(masked.end, end, "{rules} {length}");
                assert!(!masked.out.windows(3).any(|window| window == b"!!!"));
            }
        }
    }
}

#[test]
fn a_column_is_hashed_as_the_member_is() {
    let csv = Format::Csv(Dialect::default());
    let hash = |text: &str| key().hash(text.as_bytes());
    for (rules, input, expected) in [
        (
            "h ssn",
            "id,ssn,n\r\n1,C-17,x\r\n2,\"C-17\",y\r\n",
            format!("id,ssn,n\r\n1,{0},x\r\n2,{0},y\r\n", hash("C-17")),
        ),
        (
            "h ssn",
            "ssn\n\"O\"\"N, é\"\n\"\"",
            format!("ssn\n{}\n{}", hash("O\"N, é"), hash("")),
        ),
        (
            "h ssn",
            "ssn,SSN,id\n1,,3\n",
            format!("ssn,SSN,id\n{},{},3\n", hash("1"), hash("")),
        ),
        ("h ssn;r id", "id,ssn,n\n1,2,3\n", format!("ssn,n\n{},3\n", hash("2"))),
        (
            "h ssn;r id;n n",
            "ssn,id,n\n1,2,3\n",
            format!("ssn,n\n{},\n", hash("1")),
        ),
        ("h ssn;n id", "id,ssn\n1,2\n", format!("id,ssn\n,{}\n", hash("2"))),
        ("h ssn;r |ssn", "id,ssn\n1,2\n", "id\n1\n".to_owned()),
    ] {
        let masked = run_all_ways(&mask(rules), csv, input.as_bytes());
        assert_eq!(masked.end, Ok(()), "{rules}: {input}");
        assert_eq!(String::from_utf8(masked.out).unwrap(), expected, "{rules}: {input}");
    }
    for (length, fits) in [(MAX_SEALED, true), (MAX_SEALED + 1, false)] {
        let body = format!("id,ssn\n1,{}\n", "!".repeat(length));
        for size in [body.len(), 4093] {
            let masked = run(&mask("h ssn"), csv, body.as_bytes().chunks(size));
            assert_eq!(masked.end.is_ok(), fits, "{length}");
            assert!(!masked.out.windows(3).any(|window| window == b"!!!"));
        }
    }
}

#[test]
fn an_envelope_of_a_column_opens_there() {
    let csv = Format::Csv(Dialect::default());
    let input = "id, S/N ,x\n1,\"a\"\"b\",2\n3,,4\n";
    for size in 1..input.len() {
        let masked = run(&mask("e |s/n"), csv, input.as_bytes().chunks(size));
        assert_eq!(masked.end, Ok(()));
        let text = String::from_utf8(masked.out).unwrap();
        let fields: Vec<&str> = text
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(1).unwrap())
            .collect();
        let opened = |field, path| key().open(field, &home(), path);
        assert_eq!(opened(fields[0], "/S~1N").unwrap(), b"\"a\"\"b\"");
        assert_eq!(opened(fields[1], "/S~1N").unwrap(), b"");
        assert!(opened(fields[0], "/id").is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_of_a_sealed_value_leaves_in_any_chunks(tree in tree(), sizes in prop::collection::vec(1..9_usize, 1..4)) {
        let inner = tree.text();
        let body = format!(r#"[{{"k":{inner},"s\u0073n":["CANARY",{inner},"CANARY"],"SSN":"CANARY"}},{inner}]"#);
        for rules in ["h ssn", "e ssn", "e ssn;h k"] {
            let masked = run(&mask(rules), Format::Json, chunked(body.as_bytes(), &sizes));
            prop_assert_eq!(&masked.end, &Ok(()));
            prop_assert!(!masked.out.windows(6).any(|window| window == b"CANARY"));
            prop_assert!(serde_json::from_slice::<Box<serde_json::value::RawValue>>(&masked.out).is_ok());
            if rules == "h ssn" {
                prop_assert_eq!(run(&mask(rules), Format::Json, [body.as_bytes()]), masked);
            }
        }
    }
}
