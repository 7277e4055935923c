//! What is JSON and what is not: RFC 8259 to the letter, in the manner of the public parser suites.

use super::{Masked, mask, run_all_ways};
use crate::masking::{Format, Unmaskable};

#[test]
fn json_is_accepted() {
    let cases: &[&[u8]] = &[
        b"[]",
        b"{}",
        b"0",
        b"-0",
        b"1",
        b"-12",
        b"10",
        b"0.0",
        b"-0.10",
        b"1e1",
        b"1E+1",
        b"1e-01",
        b"0e0",
        b"0E+0",
        b"123.456e78",
        b"1e400",
        b"true",
        b"false",
        b"null",
        b"\"\"",
        b" [ 1 , 2 ] ",
        b"\t\r\n{ }\n",
        b"[[],[[]],{}]",
        br#""\"\\\/\b\f\n\r\t\u0000\uFFFF\uabCD""#,
        br#""\ud800""#,
        b"\"\x7f\"",
        "\"\u{e9}\u{20ac}\u{10ffff}\u{feff}\"".as_bytes(),
        br#"{"":0}"#,
        br#"{"a":0,"a":0}"#,
        b"\"\xed\x9f\xbf\xee\x80\x80\"",
        b"\"\xf4\x8f\xbf\xbf\"",
        "\"\u{2028}\"".as_bytes(),
        b"[true,false,null,-1.5E-2,\"x\",{},[]]",
    ];
    for &input in cases {
        for rules in ["", "r /*/x /**/y; r z"] {
            let Masked { out, end, .. } = run_all_ways(&mask(rules), Format::Json, input);
            assert_eq!((out.as_slice(), end), (input, Ok(())), "{}", input.escape_ascii());
        }
        // Inside a value that is cut, the same grammar holds.
        let inside = [b"{\"z\":", input.trim_ascii_end(), b"}"].concat();
        let Masked { out, end, .. } = run_all_ways(&mask("r z"), Format::Json, &inside);
        assert_eq!((out.as_slice(), end), (&b"{}"[..], Ok(())), "{}", inside.escape_ascii());
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let cases: &[&[u8]] = &[
        b"[",
        b"]",
        b"{",
        b"}",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[,]",
        b"[1,,2]",
        b"[1 2]",
        b"[1}",
        b"{]",
        b"[}",
        b"{,}",
        b"{\"a\"",
        b"{\"a\":",
        b"{\"a\":1",
        b"{\"a\":1,",
        b"{\"a\":1,}",
        b"{\"a\":1,,\"b\":2}",
        b"{\"a\":}",
        b"{\"a\"}",
        b"{\"a\",1}",
        b"{a:1}",
        b"{'a':1}",
        b"{1:1}",
        b"{null:1}",
        b"{\"a\"::1}",
        b"{\"a\":1 \"b\":2}",
        b"{\"a\":1:2}",
        b"[\"a\":1]",
        b"{\"a\":1]",
        b"01",
        b"-01",
        b"-",
        b"+1",
        b"1.",
        b".5",
        b"-.5",
        b"1.e1",
        b"1e",
        b"1e+",
        b"1e1.5",
        b"0x1",
        b"1_000",
        b"1,000",
        b"--1",
        b"Infinity",
        b"-Infinity",
        b"NaN",
        b"True",
        b"TRUE",
        b"tru",
        b"trues",
        b"nul",
        b"nulll",
        b"fals",
        b"undefined",
        b"\"",
        b"\"a",
        b"'a'",
        b"\"\\\"",
        b"\"\\",
        b"\"\\x41\"",
        b"\"\\'\"",
        b"\"\\u\"",
        b"\"\\u12\"",
        b"\"\\u123g\"",
        b"\"\\U0041\"",
        b"\"\\a\"",
        b"\"\\\n\"",
        b"\"\n\"",
        b"\"\t\"",
        b"\"\0\"",
        b"\"\x1f\"",
        b"{\"a\n\":1}",
        b"1 2",
        b"{}{}",
        b"[]]",
        b"{}}",
        b"[] x",
        b"\"a\"\"b\"",
        b"//x\n1",
        b"/**/1",
        b"1//x",
        b"#x\n1",
        b"\xef\xbb\xbf{}",
        b")]}',\n{}",
        b"cb({})",
        b"\x0b1",
        b"\x0c1",
        b"\xc2\xa01",
        "1\u{2028}".as_bytes(),
        b"\"\xff\"",
        b"\"\x80\"",
        b"\"\xc3\"",
        b"\"\xc3(\"",
        b"\"\xe2\x82\"",
        b"\"\xc0\xaf\"",
        b"\"\xc1\xb3sn\"",
        b"\"\xe0\x80\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf0\x80\x80\xaf\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\"\xf5\x80\x80\x80\"",
        b"\"\xf8\x88\x80\x80\x80\"",
        b"{\0}",
        b"\x00{\x00}\x00",
        b"\x1f\x8b\x08",
        b"{\x00\"\x00a\x00",
        b"<html>",
        b"a=1",
        b"\xff\xfe{\0}\0",
    ];
    for &input in cases {
        for rules in ["", "r /*/x /**/y; r z"] {
            let Masked { out, end, .. } = run_all_ways(&mask(rules), Format::Json, input);
            assert!(end.is_err(), "{}", input.escape_ascii());
            assert!(input.starts_with(&out), "{}", input.escape_ascii());
        }
        let inside = [b"[{\"z\":", input].concat();
        let Masked { out, end, .. } = run_all_ways(&mask("r z"), Format::Json, &inside);
        assert!(end.is_err(), "{}", inside.escape_ascii());
        assert!(
            [&b"[{"[..], b"[{ ", b"[{}"].contains(&out.as_slice()),
            "{}",
            inside.escape_ascii()
        );
    }
}

#[test]
fn a_line_is_a_whole_text() {
    for (input, out) in [
        ("{\"a\":\n1}", "{\"a\":"),
        ("{\"a\":1,\n\"b\":2}", "{\"a\":1"),
        ("[1\n]", "[1"),
        ("[\n]", "["),
        ("{\n}", "{"),
        ("1\n2 3\n4", "1\n2 "),
        ("{\"ssn\":1}{\"ssn\":1}", "{}"),
        ("\"a\nb\"", "\"a"),
        ("1\n{\"a\":1", "1\n{\"a\":1"),
        ("1\n{\"ssn\":\"x", "1\n{"),
        ("1\n-", "1\n-"),
        ("\u{feff}1", ""),
    ] {
        let masked = run_all_ways(&mask("r ssn"), Format::JsonLines, input.as_bytes());
        assert!(masked.end.is_err(), "{input:?}");
        assert_eq!(String::from_utf8(masked.out).unwrap(), out, "{input:?}");
    }
}

#[test]
fn a_fault_says_what_and_where_and_nothing_after_it_is_written() {
    use Unmaskable::{ByteOrderMark, Control, Empty, Escape, Incomplete, NotUtf8, Unexpected};
    for (input, out, fault) in [
        (&b""[..], "", Empty { at: 0 }),
        (b"  ", "  ", Empty { at: 2 }),
        (b"\xef\xbb\xbf1", "", ByteOrderMark { at: 0 }),
        (
            b" \xef\xbb\xbf1",
            " ",
            Unexpected {
                at: 1,
                expected: "a value",
            },
        ),
        (b"{\"a\":1", "{\"a\":1", Incomplete { at: 6 }),
        (b"{\"a\":1,\"b", "{\"a\":1", Incomplete { at: 9 }),
        (b"{\"a\":1,\"ssn\":\"canary", "{\"a\":1", Incomplete { at: 20 }),
        (b"{\"a\":1,\"ssn\":\"can\xff", "{\"a\":1", NotUtf8 { at: 17 }),
        (
            b"{\"a\":1,\"ssn\":[1,]}",
            "{\"a\":1",
            Unexpected {
                at: 16,
                expected: "a value",
            },
        ),
        (b"{\"a\":1,\"s\xff\":2}", "{\"a\":1", NotUtf8 { at: 9 }),
        (b"{\"a\":1,\"s\n\":2}", "{\"a\":1", Control { at: 9 }),
        (b"{\"a\":1,\"\\q\":2}", "{\"a\":1", Escape { at: 9 }),
        (b"{\"a\":\"x\xe2\x82\"}", "{\"a\":\"x", NotUtf8 { at: 7 }),
        (b"{\"a\":\"x\xe2\x82", "{\"a\":\"x", Incomplete { at: 7 }),
        (b"{\"a\":\"\\u12x\"}", "{\"a\":\"\\u12", Escape { at: 10 }),
        (
            b"{\"a\":01}",
            "{\"a\":0",
            Unexpected {
                at: 6,
                expected: "`,` or `}`",
            },
        ),
        (
            b"[1.x]",
            "[1.",
            Unexpected {
                at: 3,
                expected: "more of a number",
            },
        ),
        (
            b"[nulL]",
            "[nul",
            Unexpected {
                at: 4,
                expected: "`true`, `false` or `null`",
            },
        ),
        (
            b"{} x",
            "{} ",
            Unexpected {
                at: 3,
                expected: "the end of the body",
            },
        ),
        (b"{\"a\" 1}", "{\"a\" ", Unexpected { at: 5, expected: "`:`" }),
        (
            b"{x",
            "{",
            Unexpected {
                at: 1,
                expected: "a member name or `}`",
            },
        ),
        (
            b"{\"a\":1, x",
            "{\"a\":1",
            Unexpected {
                at: 8,
                expected: "a member name",
            },
        ),
        (
            b"[1}",
            "[1",
            Unexpected {
                at: 2,
                expected: "`,` or `]`",
            },
        ),
    ] {
        let masked = run_all_ways(&mask("r ssn"), Format::Json, input);
        assert_eq!(masked.end, Err(fault), "{}", input.escape_ascii());
        assert_eq!(String::from_utf8(masked.out).unwrap(), out, "{}", input.escape_ascii());
        assert!(fault.to_string().starts_with(&format!("byte {}: ", fault.offset())));
    }
}
