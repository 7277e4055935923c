//! JSON that is not quite JSON: what is taken and passed on as it came, and what is not.

use super::rows::with_rows;
use super::{Masked, feed, feed_all_ways, mask, run_all_ways};
use crate::masking::{Deviation, Format, Masker, Unmaskable};

/// What each letter of a case's count stands for, in the order of `Deviation::ALL`.
const LETTERS: &str = "z.+tb,";

pub(super) fn tolerant(rules: &str, format: Format, input: &[u8]) -> Masked {
    let mask = mask(rules);
    feed_all_ways(|| Masker::tolerant(mask.clone(), format), input)
}

/// `expected` is what comes out and `counted` a letter for each deviation; a strict masker refuses the same.
fn check(format: Format, cases: &[(&str, &[u8], &[u8], &str)]) {
    for &(rules, input, expected, counted) in cases {
        let Masked {
            out, end, tolerated, ..
        } = tolerant(rules, format, input);
        let case = format!("{rules}: {}", input.escape_ascii());
        assert_eq!(end, Ok(()), "{case}");
        assert_eq!(
            out.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{case}"
        );
        let letters: String = LETTERS
            .chars()
            .zip(tolerated)
            .flat_map(|(letter, count)| std::iter::repeat_n(letter, count as usize))
            .collect();
        assert_eq!(letters, counted, "{case}");
        let strict = run_all_ways(&mask(rules), format, input);
        assert_eq!(strict.end.is_ok(), counted.is_empty(), "{case}");
        assert_eq!(strict.tolerated, [0; 6]);
    }
}

#[test]
fn the_letters_stand_for_all_kinds() {
    let names: Vec<&str> = Deviation::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(
        names,
        [
            "leading_zeros",
            "no_leading_digit",
            "plus_sign",
            "raw_tab",
            "raw_byte",
            "trailing_comma"
        ]
    );
    assert_eq!(LETTERS.len(), names.len());
    for (at, kind) in Deviation::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, at);
    }
}

#[test]
fn numbers_as_cobol_edits_them() {
    for (number, counted) in [
        ("0001234.5000", "z"),
        ("-007", "z"),
        ("00", "z"),
        ("000", "z"),
        ("00.0", "z"),
        ("-00e1", "z"),
        (".50", "."),
        ("-.5", "."),
        (".5E-07", "."),
        ("+1", "+"),
        ("+0", "+"),
        ("+.5", ".+"),
        ("+007", "z+"),
        ("+00.5e+05", "z+"),
        ("0", ""),
        ("-0.0", ""),
        ("1e05", ""),
        ("10", ""),
        ("0.00", ""),
    ] {
        for (before, after) in [
            ("", ""),
            (" ", " \r\n "),
            ("[", "]"),
            ("[1, ", " , 2]"),
            ("{\"a\":", "}"),
            ("{\"a\": ", " ,\"b\":0}"),
        ] {
            let input = format!("{before}{number}{after}");
            check(Format::Json, &[("r ssn", input.as_bytes(), input.as_bytes(), counted)]);
            check(Format::Json, &[("r /9/x", input.as_bytes(), input.as_bytes(), counted)]);
        }
        for (rules, expected) in [
            ("r ssn", "{\"b\":1}"),
            ("n ssn", "{\"ssn\" : null ,\"b\":1}"),
            ("x ssn", "{\"ssn\" : \"[REDACTED]\" ,\"b\":1}"),
        ] {
            let input = format!("{{\"ssn\" : {number} ,\"b\":1}}");
            // The whitespace after a removed value stays.
            let expected = if rules == "r ssn" { "{ \"b\":1}" } else { expected };
            check(Format::Json, &[(rules, input.as_bytes(), expected.as_bytes(), counted)]);
        }
        let input = format!("{number}\n{number}\n");
        let twice: String = LETTERS
            .chars()
            .flat_map(|letter| counted.chars().chain(counted.chars()).filter(move |c| *c == letter))
            .collect();
        check(
            Format::JsonLines,
            &[("r ssn", input.as_bytes(), input.as_bytes(), &twice)],
        );
    }
}

#[test]
fn what_is_no_number_stays_none() {
    for number in [
        "5.",
        "-5.",
        "+5.",
        "00.",
        ".",
        "-.",
        "+.",
        "+",
        "-",
        "++1",
        "+-1",
        "-+1",
        "--1",
        "1+",
        "+e1",
        ".e1",
        "5.e1",
        "-.e1",
        "1e",
        "1e+",
        "0x10",
        "00x",
        "1_0",
        "1,5.0.0",
        "1.2.3",
        "..5",
        "+NaN",
        "NaN",
        "Infinity",
        "-Infinity",
        "+true",
        "1f",
        "0 1",
        "01 2",
        "+ 1",
        "- 1",
        ". 5",
        "1 .5",
        "\u{661}",
    ] {
        for (before, after) in [
            ("", ""),
            ("[", "]"),
            ("{\"a\":", "}"),
            ("{\"a\":[2,", "]}"),
            ("{\"ssn\":", "}"),
        ] {
            let input = format!("{before}{number}{after}");
            let end = tolerant("r ssn", Format::Json, input.as_bytes()).end;
            assert!(end.is_err() || input == "[1,5.0.0]", "{input}");
        }
    }
}

#[test]
fn one_comma_before_the_end() {
    check(
        Format::Json,
        &[
            ("r ssn", b"[1,]", b"[1,]", ","),
            ("r ssn", b"[ 1 , ]", b"[ 1 , ]", ","),
            ("r ssn", b"[[1,],\n]", b"[[1,],\n]", ",,"),
            ("r ssn", b"[{},]", b"[{},]", ","),
            ("r ssn", b"{\"a\":1,}", b"{\"a\":1,}", ","),
            ("r ssn", b"{\"a\":1 , }", b"{\"a\":1 , }", ","),
            ("r ssn", b"{\"a\":{\"b\":[],},}", b"{\"a\":{\"b\":[],},}", ",,"),
            // It stays after what stays.
            ("r ssn", b"{ \"a\":1, \"ssn\":2, }", b"{ \"a\":1, }", ","),
            ("r ssn", b"{ \"a\":1, \"ssn\":2, \"ssn\":3,}", b"{ \"a\":1,}", ","),
            (
                "r ssn",
                b"{ \"a\":1 , \"ssn\" : 2 , \"b\":3 , }",
                b"{ \"a\":1  , \"b\":3 , }",
                ",",
            ),
            ("r ssn", b"{ \"ssn\":2, \"a\":1, }", b"{ \"a\":1, }", ","),
            // And goes where nothing does.
            ("r ssn", b"{ \"ssn\":2, }", b"{ }", ","),
            ("r ssn", b"{\"ssn\":2,}", b"{}", ","),
            ("r ssn", b"{ \"ssn\":2 ,\n}", b"{ \n}", ","),
            ("r ssn", b"{\"ssn\":1,\"ssn\":2,}", b"{}", ","),
            (
                "r ssn",
                b"[{\"ssn\":1,},{\"ssn\":2,\"a\":3,},]",
                b"[{},{\"a\":3,},]",
                ",,,",
            ),
            ("n ssn", b"{ \"ssn\":2, }", b"{ \"ssn\":null, }", ","),
            ("x ssn", b"{ \"ssn\":[2,], }", b"{ \"ssn\":\"[REDACTED]\", }", ",,"),
            // In elements that are looked at one by one.
            ("r /0", b"[ 1, ]", b"[ ]", ","),
            ("r /0", b"[ 1, 2, ]", b"[ 2, ]", ","),
            ("r /1", b"[ 1, 2, ]", b"[ 1, ]", ","),
            ("r /*", b"[1,2,]", b"[]", ","),
            (
                "r /*/a",
                b"[{\"a\":1,},{\"a\":[1,],\"b\":2,},]",
                b"[{},{\"b\":2,},]",
                ",,,,",
            ),
            ("r /a/0", b"{\"a\":[1,],}", b"{\"a\":[],}", ",,"),
            // And in what goes as a whole.
            (
                "r ssn",
                b"{\"a\":1,\"ssn\":{\"x\":[1,{\"y\":2,},],},\"b\":3}",
                b"{\"a\":1,\"b\":3}",
                ",,,",
            ),
        ],
    );
    check(
        Format::JsonLines,
        &[("r ssn", b"{\"ssn\":1,}\n[1,]\n", b"{}\n[1,]\n", ",,")],
    );
}

#[test]
fn no_other_comma() {
    for input in [
        "[,]",
        "[,1]",
        "[1,,]",
        "[1,,2]",
        "[1, ,]",
        "{,}",
        "{,\"a\":1}",
        "{\"a\":1,,}",
        "{\"a\":1,,\"b\":2}",
        "{\"a\":,}",
        "{\"a\",}",
        "1,",
        ",",
        "{},",
        "[],",
        "{\"a\":1,]",
        "[1,}",
        "{\"a\":]}",
        "{\"a\":[}]",
        "]",
        "}",
        "[1]]",
        "[1,]]",
        "{\"a\":1,},",
        "[1;]",
        "{\"a\":[1,}}",
        "{\"a\":{\"b\":1,]}",
    ] {
        for rules in ["r ssn", "r a", "r /0", "n /a/0"] {
            assert!(
                tolerant(rules, Format::Json, input.as_bytes()).end.is_err(),
                "{rules}: {input}"
            );
            if input.len() > 1 && input.ends_with(',') {
                // Inside an object it would be its one comma.
                continue;
            }
            let hidden = format!("{{\"ssn\":{input}}}");
            assert!(
                tolerant("r ssn", Format::Json, hidden.as_bytes()).end.is_err(),
                "{hidden}"
            );
        }
    }
    assert!(tolerant("r ssn", Format::JsonLines, b"[1,\n]").end.is_err());
}

#[test]
fn tabs_and_foreign_bytes_in_values() {
    check(
        Format::Json,
        &[
            ("r ssn", b"\"\t\"", b"\"\t\"", "t"),
            ("r ssn", b"[\"a\tb\\tc\t\",\"\t\"]", b"[\"a\tb\\tc\t\",\"\t\"]", "ttt"),
            ("r ssn", b"\"Jos\xe9\"", b"\"Jos\xe9\"", "b"),
            ("r ssn", b"\"\xe9\xe8 \xc3\xa9\"", b"\"\xe9\xe8 \xc3\xa9\"", "bb"),
            ("r ssn", b"\"\xe2\x82\"", b"\"\xe2\x82\"", "bb"),
            (
                "r ssn",
                b"\"\xff\x80\xc0\x80\xed\xa0\x80\"",
                b"\"\xff\x80\xc0\x80\xed\xa0\x80\"",
                "bbbbbbb",
            ),
            (
                "r ssn",
                b"{\"a\":\"\xc3\",\"ssn\":\"\xc3\",\"b\":\"\xf0\t\"}",
                b"{\"a\":\"\xc3\",\"b\":\"\xf0\t\"}",
                "tbbb",
            ),
            (
                "x ssn",
                b"{\"ssn\":\"\xe9\t\",\"b\":\"\xe9\"}",
                b"{\"ssn\":\"[REDACTED]\",\"b\":\"\xe9\"}",
                "tbb",
            ),
            (
                "r ssn",
                b"{\"ssn\":[\"\xe9\t\\n\"],\"\\u00e9\":\"\xe9\"}",
                b"{\"\\u00e9\":\"\xe9\"}",
                "tbb",
            ),
            // UTF-8 is as good as ever, in names and before a backslash.
            (
                "r \u{e9}",
                "{\"\u{e9}\":1,\"\u{c9}\":\"\t\",\"a\":\"\u{e9}\\n\t\"}".as_bytes(),
                "{\"a\":\"\u{e9}\\n\t\"}".as_bytes(),
                "tt",
            ),
        ],
    );
    check(
        Format::JsonLines,
        &[("r ssn", b"\"\xe9\"\n{\"ssn\":\"\xe9\"}\n", b"\"\xe9\"\n{}\n", "bb")],
    );
}

#[test]
fn where_the_charset_would_matter_it_is_refused() {
    for (input, at) in [
        // Half a character, or an escape.
        (&b"[\"\xe9\\n\"]"[..], 3),
        (b"[\"\x95\\\", \", \"a\"]", 3),
        (b"[\"\xe9 \",\"\xc3\xa9\\n\"]", 9),
        (b"[\"\xc3\xa9\\n\",\"\xe9 \"]", 10),
        (b"[\"\xc3\xa9\\n\",\"\xe9\"]", 10),
        (b"[\"\xc3\xa9\\n\",\"\xff\"]", 9),
        (b"{\"ssn\":\"\xe9\\n\"}", 9),
        // Another name.
        (b"{\"\xe9\":1}", 3),
        (b"{\"\xff\":1}", 2),
        (b"{\"ss\xe9n\":1}", 5),
        (b"{\"\xc3\xa9\":\"\xff\"}", 7),
        (b"{\"a\":\"\xff\",\"\xc3\xa9\":1}", 10),
        (b"{\"ssn\":{\"a\":\"\xff\",\"\xc3\xa9\":1}}", 17),
    ] {
        for rules in ["r ssn", "r /0", "n a"] {
            let end = tolerant(rules, Format::Json, input).end;
            assert_eq!(
                end,
                Err(Unmaskable::Charset { at }),
                "{rules}: {}",
                input.escape_ascii()
            );
        }
    }
    // Also from one line to the next.
    let end = tolerant("r ssn", Format::JsonLines, b"\"\xff\"\n{\"\xc3\xa9\":1}\n").end;
    assert_eq!(end, Err(Unmaskable::Charset { at: 6 }));
}

#[test]
fn nothing_else_is_tolerated() {
    for input in [
        // Tabs in names; other control bytes anywhere.
        &b"{\"s\tsn\":1}"[..],
        b"{\"\t\":1}",
        b"{\"ssn\":{\"\t\":1}}",
        b"\"\x00\"",
        b"\"\n\"",
        b"\"\r\"",
        b"\"\x1b$B\"",
        b"\"\x0e\"",
        b"\"\\\t\"",
        b"\"\\u00\t\"",
        b"\"\\\xe9\"",
        b"\"\\u00\xe9\"",
        // Bytes outside strings.
        b"\xe9",
        b"[\xa0]",
        b"[1\xa0]",
        b"{\xe9:1}",
        b"{\"a\"\xa0:1}",
        b"[1]\x85",
        b"[1]\x00",
        b"[1]\x1a",
        b"\x0b[1]",
        b"\xef\xbb\xbf[1]",
        // What other lenient readers take.
        b"{a:1}",
        b"{'a':1}",
        b"['a']",
        b"[1]//",
        b"[1/**/]",
        b"#\n[1]",
        b"[True]",
        b"[nul]",
        b"[undefined]",
        b")]}',\n[1]",
        b"f([1])",
        b"[1] [2]",
        b"{\"a\"=1}",
        b"{\"a\":1;\"b\":2}",
        b"{\"a\" 1}",
        b"[1 2]",
        b"\"\\x41\"",
        b"\"\\'\"",
        b"\"\\0\"",
        b"\"a",
        b"\"a\\",
        b"[1,",
        b"{\"a\":1,",
        b"+",
        b"",
        b" ",
    ] {
        for format in [Format::Json, Format::JsonLines] {
            if format == Format::JsonLines && input.trim_ascii().is_empty() {
                continue;
            }
            let end = tolerant("r ssn", format, input).end;
            assert!(end.is_err(), "{}", input.escape_ascii());
        }
    }
}

#[test]
fn rows_are_judged_as_the_sound_json_that_they_are_or_dropped() {
    for (rules, input, expected, dropped, tally) in [
        // What is around them is tolerated.
        ("", "{\"r\":[1, 2, ],\"n\":+1,}", "{\"r\":[ 2, ],\"n\":+1,}", 1, &[][..]),
        ("", "{\"r\":[2, 1, ]}", "{\"r\":[2, ]}", 1, &[]),
        ("", "{\"r\":[1, 3, ]}", "{\"r\":[ ]}", 2, &[]),
        ("", "{\"r\":[1,],\"n\":[007,]}", "{\"r\":[],\"n\":[007,]}", 1, &[]),
        ("", "{\"r\":[],}", "{\"r\":[],}", 0, &[]),
        // What they are is not.
        ("", "{\"r\":[+2, 04, 6]}", "{\"r\":[ 6]}", 2, &[]),
        ("", "{\"r\":[\"k\tk\",\"k\"]}", "{\"r\":[\"k\"]}", 1, &[]),
        (
            "r s",
            "{\"r\":[{\"d\":1,\"s\":2},{\"d\":1,\"s\":.2},{\"d\":1,},]}",
            "{\"r\":[{\"d\":1},]}",
            2,
            &[1],
        ),
        (
            "n s",
            "{\"s\":.5,\"r\":[{\"d\":1,\"s\":2,}],\"s\":+5}",
            "{\"s\":null,\"r\":[],\"s\":null}",
            1,
            &[2],
        ),
        ("r /r/0", "{\"r\":[2,4,],}", "{\"r\":[4,],}", 0, &[1]),
        ("r /r/*", "{\"r\":[2,4,],}", "{\"r\":[],}", 0, &[2]),
    ] {
        let mask = with_rows(rules, "/r");
        let masked = feed_all_ways(|| Masker::tolerant(mask.clone(), Format::Json), input.as_bytes());
        assert_eq!(masked.end, Ok(()), "{input}");
        assert_eq!(String::from_utf8(masked.out).unwrap(), expected, "{input}");
        assert_eq!((masked.dropped, masked.tally.as_slice()), (dropped, tally), "{input}");
    }
}

#[test]
fn a_row_is_judged_by_nothing_that_the_charset_decides() {
    let mask = with_rows("r s", "/r");
    let run = |input: &[u8]| feed_all_ways(|| Masker::tolerant(mask.clone(), Format::Json), input);
    // UTF-8 as such, and rows that are not, which are dropped.
    let kept = run("{\"r\":[\"k\u{e9}\",\"x\"],\"n\":.5}".as_bytes());
    assert_eq!(
        (kept.end, kept.out.as_slice()),
        (Ok(()), "{\"r\":[\"k\u{e9}\"],\"n\":.5}".as_bytes())
    );
    let kept = run(b"{\"r\":[\"k\xe9\",\"k\\u00e9\",\"k\xc3 \"],\"n\":\"\xe9 \xc3\xa9\"}");
    assert_eq!(kept.end, Ok(()));
    assert_eq!(
        kept.out.escape_ascii().to_string(),
        b"{\"r\":[\"k\\u00e9\"],\"n\":\"\xe9 \xc3\xa9\"}"
            .escape_ascii()
            .to_string()
    );
    for (input, at) in [
        (&b"{\"r\":[\"k\xc3\xa9\"],\"n\":\"\xff\"}"[..], 18),
        (b"{\"n\":\"\xff\",\"r\":[\"k\xc3\xa9\"]}", 17),
        (b"{\"r\":[\"k\xff\",[\"\xc3\xa9\"]]}", 14),
        (b"{\"r\":[{\"s\":\"\xc3\xa9\"},\"\xff\"]}", 18),
    ] {
        assert_eq!(
            run(input).end,
            Err(Unmaskable::Charset { at }),
            "{}",
            input.escape_ascii()
        );
    }
}

/// Longer than what is looked through together, with what is beyond ASCII at every distance from the next.
#[test]
fn a_long_body_is_masked_as_its_parts_are() {
    let (mut input, mut expected) = (b"[".to_vec(), b"[".to_vec());
    for length in (0..1000).step_by(7) {
        let pad = "x".repeat(length);
        input.extend_from_slice(format!("{{\"{pad}a\":\"{pad}").as_bytes());
        input.extend_from_slice(b"\xe9\",\"ssn\":[\"\xff\t\",007,],},");
        expected.extend_from_slice(format!("{{\"{pad}a\":\"{pad}").as_bytes());
        expected.extend_from_slice(b"\xe9\",},");
    }
    input.push(b']');
    expected.push(b']');
    let mask = mask("r ssn");
    let whole = feed(Masker::tolerant(mask.clone(), Format::Json), [input.as_slice()]);
    assert_eq!(whole.end, Ok(()));
    assert!(whole.out == expected);
    let times = whole.tally[0];
    assert_eq!(whole.tolerated, [times, 0, 0, times, 2 * times, 2 * times + 1]);
    for size in [1, 7, 1023, 1024, 1025, 16_384] {
        let chunked = feed(Masker::tolerant(mask.clone(), Format::Json), input.chunks(size));
        assert!(chunked == whole, "{size}");
    }
}
