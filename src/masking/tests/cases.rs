//! What masking does to a body that is as it should be.

use super::{Masked, mask, run_all_ways};
use crate::masking::Format;

fn check(format: Format, cases: &[(&str, &str, &str)]) {
    for &(rules, input, expected) in cases {
        let Masked { out, end, .. } = run_all_ways(&mask(rules), format, input.as_bytes());
        assert_eq!(end, Ok(()), "{rules}: {input}");
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{rules}: {input}");
    }
}

#[test]
fn a_removed_member_takes_its_comma_along() {
    check(
        Format::Json,
        &[
            ("r ssn", r#"{ "a":1, "ssn":2, "b":3 }"#, r#"{ "a":1, "b":3 }"#),
            ("r ssn", r#"{ "a":1, "ssn":2 }"#, r#"{ "a":1 }"#),
            ("r ssn", r#"{ "ssn":2, "b":3 }"#, r#"{ "b":3 }"#),
            ("r ssn", r#"{ "ssn":2 }"#, r"{ }"),
            ("r ssn", r#"{"ssn":2}"#, r"{}"),
            ("r ssn", r#"{"ssn":2,"ssn":3,"b":4}"#, r#"{"b":4}"#),
            ("r ssn", r#"{"ssn":2,"ssn":3,"b":4,"ssn":5}"#, r#"{"b":4}"#),
            ("r ssn", r#"{"a":1,"ssn":2,"ssn":3}"#, r#"{"a":1}"#),
            (
                "r ssn",
                r#"{"ssn":1,"a":2,"ssn":3,"b":4,"ssn":5,"c":6}"#,
                r#"{"a":2,"b":4,"c":6}"#,
            ),
            ("r ssn", r#"{"ssn":1,"ssn":2}"#, r"{}"),
            (
                "r ssn",
                "{\n  \"a\": 1,\n  \"ssn\": 2,\n  \"b\": 3\n}\n",
                "{\n  \"a\": 1,\n  \"b\": 3\n}\n",
            ),
            ("r ssn", "{\n  \"ssn\": 2,\n  \"b\": 3\n}\n", "{\n  \"b\": 3\n}\n"),
            ("r ssn", "{\n  \"a\": 1,\n  \"ssn\": 2\n}", "{\n  \"a\": 1\n}"),
            ("r ssn", "{\n  \"ssn\": 2\n}", "{\n}"),
            (
                "r ssn",
                r#"{ "a" : 1 , "ssn" : 2 , "b" : 3 }"#,
                r#"{ "a" : 1  , "b" : 3 }"#,
            ),
            ("r ssn", r#"{"ssn" : 2 , "b":3}"#, r#"{  "b":3}"#),
            ("r ssn", r#"{ }"#, r#"{ }"#),
        ],
    );
}

#[test]
fn a_value_goes_whole_whatever_it_is() {
    for value in [
        "1",
        "-0.0",
        "1E5",
        "true",
        "false",
        "null",
        r#""""#,
        r#""\"}],{\\""#,
        r#""é😀\ud83d""#,
        "[]",
        "{}",
        r#"[1,[2,{"a":[]}],"]"]"#,
        r#"{"ssn":{"ssn":1},"b":"}"}"#,
    ] {
        for (rules, expected) in [
            ("r ssn", r#"{"a":[0],"z":1.10}"#),
            ("n ssn", r#"{"a":[0],"ssn" :  null,"z":1.10}"#),
            ("x ssn", r#"{"a":[0],"ssn" :  "[REDACTED]","z":1.10}"#),
        ] {
            let input = format!(r#"{{"a":[0],"ssn" :  {value},"z":1.10}}"#);
            check(Format::Json, &[(rules, &input, expected)]);
            let Masked { tally, .. } = run_all_ways(&mask(rules), Format::Json, input.as_bytes());
            assert_eq!(tally, [1], "{input}");
        }
    }
}

#[test]
fn what_stays_is_the_backends_own() {
    let kept = r#"{"m":[1.10,1E5,-0.0,1e-07,123456789012345678901234567890,0.1e+10],"s":"\/ \u00e9 é \u00E9","d":1,"d":2,"":0,"_":{}}"#;
    let pretty = "\r\n\t{ \"a\" :\t[ ] , \"b\": [ { } , [ 1 , 2 ] ] }\r\n ";
    let lone = r#"["\ud800","\udc00x","\ud83d\ud83d",{"\ud800":1,"ssn":2}]"#;
    check(
        Format::Json,
        &[
            ("r ssn", kept, kept),
            ("", kept, kept),
            ("v m", kept, kept),
            ("r ssn", pretty, pretty),
            ("r /x/y", pretty, pretty),
            ("r ssn", lone, r#"["\ud800","\udc00x","\ud83d\ud83d",{"\ud800":1}]"#),
            ("r ssn", " 1 ", " 1 "),
            ("r ssn", "0", "0"),
            ("r ssn", "-1.5e3", "-1.5e3"),
            ("r ssn", "\"ssn\"", "\"ssn\""),
            ("r ssn", "null", "null"),
            ("r ssn", "[\"ssn\",[\"ssn\"]]", "[\"ssn\",[\"ssn\"]]"),
            (
                "r ssn",
                r#"{"a":"ssn","b":{"ssnx":1,"xssn":2}}"#,
                r#"{"a":"ssn","b":{"ssnx":1,"xssn":2}}"#,
            ),
        ],
    );
}

#[test]
fn a_name_is_found_in_every_spelling() {
    for name in [
        "ssn",
        "SSN",
        "s_s-n",
        "__SSN",
        r"\u0073sn",
        r"ss\u006E",
        r"\u0053\u0053\u004e",
        r"s\u005fsn",
        r"s\u002dSn",
    ] {
        let input = format!(r#"[{{"a":1,"{name}":"canary"}}]"#);
        check(Format::Json, &[("r ssn", &input, r#"[{"a":1}]"#)]);
        check(Format::Json, &[("r S_S_N", &input, r#"[{"a":1}]"#)]);
    }
    check(
        Format::Json,
        &[
            (
                "r assistance_eligibility",
                r#"{"assistanceEligibility":1,"ASSISTANCE-ELIGIBILITY":2}"#,
                "{}",
            ),
            (
                "R ssn",
                r#"{"ssn":1,"SSN":2,"s_sn":3,"s\u0073n":4}"#,
                r#"{"SSN":2,"s_sn":3}"#,
            ),
            ("R S_n", r#"{"sn":1,"S_n":2,"S_N":3}"#, r#"{"sn":1,"S_N":3}"#),
            (
                "r größe",
                r#"{"GRÖSSE":1,"GRÖßE":2,"gr\u00f6\u00dfe":3}"#,
                r#"{"GRÖSSE":1}"#,
            ),
            ("R 😀", r#"{"😀":1,"\ud83d\ude00":2,"\ud83d":3}"#, r#"{"\ud83d":3}"#),
            (
                "r ssn",
                r#"{"ssn\u0000":1,"s\/sn":2,"ssn\"":3}"#,
                r#"{"ssn\u0000":1,"s\/sn":2,"ssn\"":3}"#,
            ),
        ],
    );
}

#[test]
fn a_path_selects_members_and_elements() {
    check(
        Format::Json,
        &[
            (
                "r /a/b",
                r#"{"a":{"b":1,"c":{"b":2}},"b":3}"#,
                r#"{"a":{"c":{"b":2}},"b":3}"#,
            ),
            ("r /A_/B", r#"{"a":{"\u0062":1}}"#, r#"{"a":{}}"#),
            (
                "R /A/b",
                r#"{"a":{"b":1},"A":{"b":2,"B":3}}"#,
                r#"{"a":{"b":1},"A":{"B":3}}"#,
            ),
            ("r /a~1b/~0", r#"{"a/b":{"~":1,"c":2}}"#, r#"{"a/b":{"c":2}}"#),
            (
                "r /rows/*",
                r#"{"rows":[1, {"a":2} ,[3]],"x":[1]}"#,
                r#"{"rows":[ ],"x":[1]}"#,
            ),
            ("r /rows/0", r#"{"rows":[1, 2, 3]}"#, r#"{"rows":[ 2, 3]}"#),
            ("r /rows/1", r#"{"rows":[1, 2, 3]}"#, r#"{"rows":[1, 3]}"#),
            ("r /rows/2", r#"{"rows":[1, 2, 3]}"#, r#"{"rows":[1, 2]}"#),
            ("r /rows/01", r#"{"rows":[1, 2, 3]}"#, r#"{"rows":[1, 2, 3]}"#),
            (
                "r /rows/10",
                r#"{"rows":[0,1,2,3,4,5,6,7,8,9,10,11],"x":{"10":1}}"#,
                r#"{"rows":[0,1,2,3,4,5,6,7,8,9,11],"x":{"10":1}}"#,
            ),
            ("r /rows/0", r#"{"rows":{"0":1,"1":2}}"#, r#"{"rows":{"1":2}}"#),
            (
                "n /rows/*",
                r#"{"rows":[1, {"a":2},[3] ]}"#,
                r#"{"rows":[null, null,null ]}"#,
            ),
            ("x /0", r"[1,2]", r#"["[REDACTED]",2]"#),
            ("r /*", r#"{"a":1,"b":{}}"#, "{}"),
            ("r /*", "[1,[2]]", "[]"),
            ("r /*", "1", "1"),
            (
                "r /*/ssn",
                r#"[{"ssn":1,"a":{"ssn":2}},{"b":1,"ssn":3}]"#,
                r#"[{"a":{"ssn":2}},{"b":1}]"#,
            ),
            (
                "r /a/**/ssn",
                r#"{"a":{"ssn":1,"b":[{"ssn":2,"c":3}]},"ssn":4}"#,
                r#"{"a":{"b":[{"c":3}]},"ssn":4}"#,
            ),
            ("r /a/**", r#"{"a":{"b":1},"b":2}"#, r#"{"b":2}"#),
            ("r /**/*", r#"{"a":{"b":1},"b":2}"#, "{}"),
            (
                "n /**/*/x",
                r#"{"x":1,"a":{"x":{"x":2}},"b":[{"x":3}]}"#,
                r#"{"x":1,"a":{"x":null},"b":[{"x":null}]}"#,
            ),
            (
                "r /accounts/*/customer/address",
                r#"{"accounts":[{"customer":{"address":{"a":1},"name":"n"}}]}"#,
                r#"{"accounts":[{"customer":{"name":"n"}}]}"#,
            ),
            (
                "r /a/b",
                r#"{"a":{"b":1},"a":{"c":1,"b":2},"a":[{"b":3}]}"#,
                r#"{"a":{},"a":{"c":1},"a":[{"b":3}]}"#,
            ),
            (
                "r /a/b; r c",
                r#"{"a":{"b":1,"c":2,"d":[{"c":3,"e":4}]}}"#,
                r#"{"a":{"d":[{"e":4}]}}"#,
            ),
            (
                "r /a/b",
                r#"{"a":[],"x":[[],[[1]]],"a":{}}"#,
                r#"{"a":[],"x":[[],[[1]]],"a":{}}"#,
            ),
            ("r /*/*", r#"[[],{},[1],{"a":1}]"#, r"[[],{},[],{}]"),
            ("R /a/", r#"{"a":{"":1,"b":2}}"#, r#"{"a":{"b":2}}"#),
        ],
    );
}

#[test]
fn the_strictest_of_the_hidden_classes_wins_and_each_counts() {
    let input = r#"{"a":1,"b":{"a":2},"c":[3]}"#;
    for (rules, out, tally) in [
        ("n a; r a", r#"{"b":{},"c":[3]}"#, vec![2, 2]),
        ("r a; x a", r#"{"b":{},"c":[3]}"#, vec![2, 2]),
        ("x a; n a", r#"{"a":null,"b":{"a":null},"c":[3]}"#, vec![2, 2]),
        (
            "v a; x a",
            r#"{"a":"[REDACTED]","b":{"a":"[REDACTED]"},"c":[3]}"#,
            vec![0, 2],
        ),
        ("v a; v b", input, vec![0, 0]),
        ("r b; r a", r#"{"c":[3]}"#, vec![1, 1]),
        ("n b; r a", r#"{"b":null,"c":[3]}"#, vec![1, 1]),
        ("r a A a", r#"{"b":{},"c":[3]}"#, vec![2]),
        (
            "x a; n /b/a",
            r#"{"a":"[REDACTED]","b":{"a":null},"c":[3]}"#,
            vec![2, 1],
        ),
        ("x a; R a", r#"{"b":{},"c":[3]}"#, vec![2, 2]),
        ("r /c/0 /c/*; n c", r#"{"a":1,"b":{"a":2},"c":null}"#, vec![0, 1]),
    ] {
        let masked = run_all_ways(&mask(rules), Format::Json, input.as_bytes());
        assert_eq!(String::from_utf8(masked.out).unwrap(), out, "{rules}");
        assert_eq!((masked.tally, masked.end), (tally, Ok(())), "{rules}");
    }
    let mut unlisted = mask("r a");
    unlisted.actions = [].into();
    assert_eq!(
        run_all_ways(&unlisted, Format::Json, input.as_bytes()).out,
        br#"{"b":{},"c":[3]}"#
    );
}

#[test]
fn each_line_is_a_text() {
    check(
        Format::JsonLines,
        &[
            ("r ssn", "{\"ssn\":1}\n{\"a\":1,\"ssn\":2}\n", "{}\n{\"a\":1}\n"),
            ("r ssn", "{\"ssn\":1}\r\n\r\n 7 \n[{\"ssn\":1}]", "{}\r\n\r\n 7 \n[{}]"),
            ("r /0", "[1]\n[1,2]\n{\"0\":1}", "[]\n[2]\n{}"),
            ("r ssn", "", ""),
            ("r ssn", "\n \n", "\n \n"),
            (
                "r ssn",
                "1\n-2\n3.5\ntrue\n\"x\"\nnull",
                "1\n-2\n3.5\ntrue\n\"x\"\nnull",
            ),
        ],
    );
}
