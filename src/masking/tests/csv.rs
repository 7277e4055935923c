//! What masking does to CSV: cases, faults, limits. Each runs whole, cut at every byte, byte by byte.

use super::{Masked, mask, run, run_all_ways};
use crate::masking::csv::CsvFault;
use crate::masking::{
    Charset, Delimiter, Dialect, Format, MAX_COLUMNS, MAX_NAME, MAX_ROW, Masker, RowJudge, RowPath, Rows, Unmaskable,
};
use std::sync::Arc;

pub(super) const CSV: Format = Format::Csv(Dialect {
    delimiter: Delimiter::Comma,
    charset: Charset::Utf8,
});
const TSV: Format = Format::Tsv(Charset::Utf8);

fn with(delimiter: Delimiter, charset: &str) -> Format {
    Format::Csv(Dialect {
        delimiter,
        charset: Charset::named(charset).unwrap(),
    })
}

fn check(format: Format, cases: &[(&str, &str, &str)]) {
    for &(rules, input, expected) in cases {
        let Masked { out, end, .. } = run_all_ways(&mask(rules), format, input.as_bytes());
        assert_eq!(end, Ok(()), "{rules}: {input:?}");
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{rules}: {input:?}");
    }
}

#[test]
fn a_removed_column_takes_one_delimiter_along() {
    check(
        CSV,
        &[
            ("r ssn", "a,ssn,b\n1,2,3\n4,5,6\n", "a,b\n1,3\n4,6\n"),
            ("r ssn", "ssn,a,b\r\n1,2,3\r\n", "a,b\r\n2,3\r\n"),
            ("r ssn", "a,b,ssn\r\n1,2,3", "a,b\r\n1,2"),
            ("r ssn", "ssn,ssn,a,ssn\n1,2,3,4\n", "a\n3\n"),
            ("r ssn", "a,ssn,SSN,b\n1,2,3,4\n", "a,b\n1,4\n"),
            ("r ssn", "ssn,a,ssn,b,ssn,c\n1,2,3,4,5,6\n", "a,b,c\n2,4,6\n"),
            ("r ssn", "a,ssn\n,\n1,\n,2\n", "a\n\n1\n\n"),
            ("r ssn", "a,ssn,b\n\"x\",\"1,\n\"\"2\",\"y\"\n", "a,b\n\"x\",\"y\"\n"),
            ("r ssn", "a,ssn\r\n1,2\n3,4\r\n", "a\r\n1\n3\r\n"),
        ],
    );
}

#[test]
fn where_every_column_goes_the_line_ends_stay() {
    check(
        CSV,
        &[
            ("r ssn phone", "ssn,phone\r\n1,2\n\"3\n\",4", "\r\n\n"),
            ("r ssn", "ssn\n1\n\n2\n", "\n\n\n\n"),
            ("r ssn", "ssn", ""),
        ],
    );
}

#[test]
fn a_field_is_replaced_and_its_column_keeps_its_name() {
    check(
        CSV,
        &[
            (
                "x ssn",
                "a,ssn,b\n1,2,3\n4,,6\n",
                "a,ssn,b\n1,[REDACTED],3\n4,[REDACTED],6\n",
            ),
            ("x ssn", "\"ssn\",b\n\"1\n2\",3", "\"ssn\",b\n[REDACTED],3"),
            ("x ssn", "a,ssn\r\n1,2\r\n3,4", "a,ssn\r\n1,[REDACTED]\r\n3,[REDACTED]"),
            ("n ssn", "a,ssn,b\n1,2,3\n4,\"\",6\n", "a,ssn,b\n1,,3\n4,,6\n"),
            ("n ssn", "ssn\n1\n\n\"\"", "ssn\n\"\"\n\"\"\n\"\""),
            ("n ssn; r a", "a,ssn\n1,2\n", "ssn\n\"\"\n"),
            ("x ssn; r a", "a,ssn\n1,2\n", "ssn\n[REDACTED]\n"),
            (
                "x ssn; r phone",
                "a,phone,ssn,b\n1,2,3,4\n",
                "a,ssn,b\n1,[REDACTED],4\n",
            ),
            (
                "r ssn; x phone",
                "ssn,phone,phone,b\n1,2,3,4\n",
                "phone,phone,b\n[REDACTED],[REDACTED],4\n",
            ),
            ("x ssn; n ssn", "a,ssn\n1,2\n", "a,ssn\n1,\n"),
            ("n ssn; r ssn", "a,ssn\n1,2\n", "a\n1\n"),
            ("v ssn", "a,ssn\n1,2\n", "a,ssn\n1,2\n"),
            ("v ssn; x ssn", "a,ssn\n1,2\n", "a,ssn\n1,[REDACTED]\n"),
        ],
    );
}

#[test]
fn what_stays_is_the_backends_own() {
    let kept = "\u{feff}id, name ,\"a \"\"b\"\"\",\r\n1,  x\t,\"\"\"\",=1+1\n\u{e9},\"a,\r\nb\r\",'x',\\n\r\n,,,\n 1 , 2 , 3 , 4 ";
    check(
        CSV,
        &[
            ("r ssn", kept, kept),
            ("", kept, kept),
            ("v id", kept, kept),
            ("r ssn", "a\n", "a\n"),
            ("r ssn", "a", "a"),
        ],
    );
    let one = "a\n\nx\r\n\r\n\"\"\n";
    check(CSV, &[("r ssn", one, one)]);
    for (delimiter, byte) in [
        (Delimiter::Semicolon, ";"),
        (Delimiter::Pipe, "|"),
        (Delimiter::Tab, "\t"),
    ] {
        let swap = |text: &str| text.replace(',', byte);
        let input = swap("a,ssn,b\n1,\"x,\n\",2.5\n");
        check(with(delimiter, "utf-8"), &[("r ssn", &input, &swap("a,b\n1,2.5\n"))]);
    }
    check(
        with(Delimiter::Semicolon, "utf-8"),
        &[("r ssn", "a;ssn\n1,5;2\n", "a\n1,5\n")],
    );
    check(TSV, &[("r ssn", "a\tssn\tb\n1\t\"x,;\"\"\"\t3\r\n", "a\tb\n1\t3\r\n")]);
}

#[test]
fn a_column_is_found_in_every_spelling() {
    for name in [
        "ssn",
        "SSN",
        "s_s-n",
        " ssn",
        "ssn\t ",
        "\"ssn\"",
        "\" S-S-N \"",
        "\u{feff}ssn",
        "\u{feff}\"ssn\"",
        "\"\tssn\"",
        "\"ssn\r\n\"",
        "\u{a0}ssn\u{200b}",
    ] {
        let bom = if name.starts_with('\u{feff}') { "\u{feff}" } else { "" };
        check(
            CSV,
            &[("r ssn", &format!("{name},a\nCANARY,1\n"), &format!("{bom}a\n1\n"))],
        );
        check(
            CSV,
            &[("r |ssn", &format!("{name},a\nCANARY,1\n"), &format!("{bom}a\n1\n"))],
        );
    }
    check(
        CSV,
        &[
            ("R |Ssn", "ssn,Ssn, Ssn ,S_sn\n1,2,3,4\n", "ssn,S_sn\n1,4\n"),
            ("r |a\"b", "\"A\"\"B\",c\n1,2\n", "c\n2\n"),
            ("r |stra\u{df}e\\n", "STRA\u{df}E\\N,c\n1,2\n", "c\n2\n"),
            ("r ssn", "ssnx,xssn,s sn\n1,2,3\n", "ssnx,xssn,s sn\n1,2,3\n"),
            ("r ssn /ssn/x", "ssn,a\n1,2\n", "a\n2\n"),
        ],
    );
}

#[test]
fn columns_are_nothing_to_json_and_names_are_for_both() {
    let input = r#"{"ssn":1,"a":{"ssn":2}}"#;
    let Masked { out, end, .. } = run_all_ways(&mask("r |ssn"), Format::Json, input.as_bytes());
    assert_eq!((end, out.as_slice()), (Ok(()), input.as_bytes()));
    let Masked { out, .. } = run_all_ways(&mask("r |x ssn /x"), Format::Json, br#"{"x":1,"ssn":2,"y":{"x":3}}"#);
    assert_eq!(out, br#"{"y":{"x":3}}"#);
    assert!(!mask("r |ssn").selectors.is_empty());
}

#[test]
fn each_field_of_each_record_counts() {
    for (rules, input, tally) in [
        (
            "r ssn; x ssn phone; v a",
            "ssn,a,phone,SSN\n1,2,3,4\n5,,,\n,,,",
            vec![6, 9, 0],
        ),
        ("r ssn", "ssn\n", vec![0]),
        ("r ssn", "a\n1\n2\n", vec![0]),
        ("n ssn", "ssn\n\n\n", vec![2]),
    ] {
        let Masked { tally: got, end, .. } = run_all_ways(&mask(rules), CSV, input.as_bytes());
        assert_eq!((end, got), (Ok(()), tally), "{rules}: {input:?}");
    }
    let Masked { tally, out, .. } = run_all_ways(&mask("r ssn"), CSV, b"ssn,a\n1,2\n3,4\n5\n7,8\n");
    assert_eq!(
        (tally, out.as_slice()),
        (vec![2], &b"a\n2\n4\n"[..]),
        "a record that is not whole is not written"
    );
}

#[test]
fn a_fault_says_what_and_where_and_nothing_of_its_record_is_written() {
    use CsvFault::{AfterQuote, Control, Delimiter as Other, Mark, NoHeader, Open, Quote, QuotedBreak, Ragged, Return};
    let csv = |at, fault| Unmaskable::Csv { at, fault };
    for (format, input, out, fault) in [
        (CSV, &b""[..], "", Unmaskable::Empty { at: 0 }),
        (CSV, b"\xef\xbb\xbf", "", Unmaskable::Empty { at: 3 }),
        (CSV, b"\n", "", csv(0, NoHeader)),
        (CSV, b"\r\nssn\n1\n", "", csv(0, NoHeader)),
        (CSV, b"\xef\xbb\xbf\nssn\n1\n", "", csv(3, NoHeader)),
        (CSV, b"\nssn,a\n1,2\n", "", csv(0, NoHeader)),
        (CSV, b"\xef\xbb\xbf\xef\xbb\xbfssn,a\n1,2\n", "", csv(3, Mark)),
        (CSV, b"a,\xef\xbb\xbfssn\n1,2\n", "", csv(2, Mark)),
        (CSV, b"a;ssn\n1;2\n", "", csv(0, Other)),
        (CSV, b"x,a|ssn\n1,2\n", "", csv(2, Other)),
        (CSV, b"a\tssn\n1\t2\n", "", csv(0, Other)),
        (CSV, b"a^ssn\n1^2\n", "", csv(0, Other)),
        (CSV, b"a~ssn\n1~2\n", "", csv(0, Other)),
        (TSV, b"a,ssn\n1,2\n", "", csv(0, Other)),
        (CSV, b"SEP=,\na,ssn\n1,2\n", "", csv(0, Other)),
        (
            with(Delimiter::Semicolon, "utf-8"),
            b"sep=;\na;ssn\n1;2\n",
            "",
            csv(0, Other),
        ),
        (with(Delimiter::Semicolon, "utf-8"), b"a,ssn\n1,2\n", "", csv(0, Other)),
        (CSV, b"a,ssn,b\n1,2\n", "a,b\n", csv(11, Ragged)),
        (CSV, b"a,ssn,b\n1,2,3\nDoe, J,4,5\n", "a,b\n1,3\n", csv(22, Ragged)),
        (CSV, b"a,ssn,b\nCANARY,3", "a,b\n", csv(16, Ragged)),
        (CSV, b"a,ssn\n1,2\n\n", "a\n1\n", csv(10, Ragged)),
        (CSV, b"a,ssn\n1,2\n\r\n", "a\n1\n", csv(10, Ragged)),
        (CSV, b"a,ssn\n\n1,2\n", "a\n", csv(6, Ragged)),
        (CSV, b"a\n1\n\"x", "a\n1\n", csv(6, Open)),
        (CSV, b"a\n1\n\"x\"\"", "a\n1\n", csv(8, Open)),
        (CSV, b"a\nx\xe2\x82", "a\n", csv(3, Open)),
        (CSV, b"a\nx\xe2(\n", "a\n", Unmaskable::NotUtf8 { at: 3 }),
        (CSV, b"a\n1\nx\xff\n", "a\n1\n", Unmaskable::NotUtf8 { at: 5 }),
        (CSV, b"a\n\"\xff\"\n", "a\n", Unmaskable::NotUtf8 { at: 3 }),
        (CSV, b"a\n1\"2\n", "a\n", csv(3, Quote)),
        (CSV, b"a\n \"2\"\n", "a\n", csv(3, Quote)),
        (CSV, b"a,\"b\"c\n1,2\n", "", csv(5, AfterQuote)),
        (CSV, b"a,b\n\"x\" ,2\n", "a,b\n", csv(7, AfterQuote)),
        (CSV, b"a,b\n\"x\"\0,2\n", "a,b\n", csv(7, AfterQuote)),
        (CSV, b"a\n1\r2\n", "a\n", csv(4, Return)),
        (CSV, b"a\n1\r\r\n", "a\n", csv(4, Return)),
        (CSV, b"a\n1\r", "a\n", csv(4, Return)),
        (CSV, b"a\r1\r", "", csv(2, Return)),
        (CSV, b"a\n\0\n", "a\n", csv(2, Control)),
        (CSV, b"a\nx\x0b\n", "a\n", csv(3, Control)),
        (CSV, b"a\nx\x1a", "a\n", csv(3, Control)),
        (CSV, b"a\n\x7f\n", "a\n", csv(2, Control)),
        (CSV, b"a\x1fssn\n1\x1f2\n", "", csv(1, Control)),
        (CSV, b"a\n\"x\0\"\n", "a\n", csv(4, Control)),
        (TSV, b"a\tssn\n\"x\ty\"\t2\n", "a\n", csv(8, QuotedBreak)),
        (TSV, b"a\tssn\n\"x\ny\"\t2\n", "a\n", csv(8, QuotedBreak)),
    ] {
        let masked = run_all_ways(&mask("r ssn"), format, input);
        assert_eq!(masked.end, Err(fault), "{}", input.escape_ascii());
        assert_eq!(String::from_utf8(masked.out).unwrap(), out, "{}", input.escape_ascii());
        assert!(fault.to_string().starts_with(&format!("byte {}: ", fault.offset())));
        // Within what is cut nothing is read more loosely.
        let hidden = run_all_ways(&mask("r a ssn x b"), format, input);
        assert_eq!(hidden.end, Err(fault), "{}", input.escape_ascii());
    }
}

#[test]
fn a_class_that_no_column_can_be_told_by_closes_the_table() {
    for (rules, fits) in [
        ("r /a/b", false),
        ("v /a/b", true),
        ("r ssn; x /a", false),
        ("r ssn; v /a", true),
        ("r ssn /a", true),
        ("r |ssn /a", true),
        ("r ssn", true),
    ] {
        let masked = run_all_ways(&mask(rules), CSV, b"a,b\n1,2\n");
        let fault = Unmaskable::Csv {
            at: 0,
            fault: CsvFault::Columnless,
        };
        assert_eq!(masked.end, if fits { Ok(()) } else { Err(fault) }, "{rules}");
        assert_eq!(masked.out.is_empty(), !fits, "{rules}");
    }
}

#[derive(Debug)]
struct All;

impl RowJudge for All {
    fn stays(&self, _: &[u8]) -> bool {
        true
    }
}

#[test]
fn rows_are_no_records() {
    let mut mask = mask("r ssn");
    mask.rows = Some(Rows {
        at: Arc::new(RowPath::parse("/a").unwrap()),
        judge: Arc::new(All),
    });
    let masked = run_all_ways(&mask, CSV, b"a,b\n1,2\n");
    let fault = CsvFault::Rows;
    assert_eq!(
        (masked.end, masked.out),
        (Err(Unmaskable::Csv { at: 0, fault }), Vec::new())
    );
}

#[test]
fn a_declared_charset_is_read_and_its_bytes_stay() {
    let latin = with(Delimiter::Semicolon, "iso-8859-1");
    let masked = run_all_ways(
        &mask("r |stra\u{df}e; x |\u{dc}BER"),
        latin,
        b"id;STRA\xdfE;\xfcber;na\xefve\n\xe9;\x81;2;\xff\x80\n",
    );
    assert_eq!(masked.end, Ok(()));
    assert_eq!(masked.out, b"id;\xfcber;na\xefve\n\xe9;[REDACTED];\xff\x80\n");
    for (charset, rules, input, out) in [
        (
            "windows-1251",
            "r |снилс",
            &b"\xd1\xcd\xc8\xcb\xd1,a\n1,2\n"[..],
            &b"a\n2\n"[..],
        ),
        (
            "windows-1250",
            "r |\u{159}idi\u{10d}",
            b"\xf8idi\xe8,a\n1,\xf8\n",
            b"a\n\xf8\n",
        ),
        ("iso-8859-15", "r |\u{160}ifra", b"\xa6ifra,\xa4\n1,2\n", b"\xa4\n2\n"),
        ("iso-8859-1", "r |\u{160}ifra", b"\x8aifra,a\n1,2\n", b"a\n2\n"),
        ("us-ascii", "r ssn", b"ssn,a\n1,2\n", b"a\n2\n"),
    ] {
        let masked = run_all_ways(&mask(rules), with(Delimiter::Comma, charset), input);
        assert_eq!((masked.end, masked.out.as_slice()), (Ok(()), out), "{charset}");
    }
    for (charset, input, at, fault) in [
        ("us-ascii", &b"ssn,a\n1,\xe9\n"[..], 8, CsvFault::Charset),
        ("windows-1252", b"\xef\xbb\xbfssn,a\n1,2\n", 0, CsvFault::Mark),
        ("windows-1252", b"ssn,stra\xc3\x9fe\n1,2\n", 4, CsvFault::Charset),
        ("iso-8859-1", b"s\0s\0n\0,\0", 1, CsvFault::Control),
    ] {
        let masked = run_all_ways(&mask("r ssn"), with(Delimiter::Comma, charset), input);
        assert_eq!(masked.end, Err(Unmaskable::Csv { at, fault }), "{charset}");
    }
}

/// Whole, in odd pieces and byte by byte.
fn run_some_ways(rules: &str, input: &[u8]) -> Masked {
    let mask = mask(rules);
    let whole = run(&mask, CSV, [input]);
    assert_eq!(run(&mask, CSV, input.chunks(1)), whole);
    assert_eq!(run(&mask, CSV, input.chunks(1021)), whole);
    whole
}

fn fault_of(masked: &Masked) -> CsvFault {
    match masked.end {
        Err(Unmaskable::Csv { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_and_columns_have_a_limit() {
    for quote in ["", "\""] {
        for (length, fits) in [(MAX_NAME, true), (MAX_NAME + 1, false), (MAX_NAME * 3, false)] {
            let input = format!("a,{quote}{}{quote}\n1,2\n", "x".repeat(length));
            let masked = run_some_ways("r ssn", input.as_bytes());
            if fits {
                assert_eq!((masked.end, masked.out), (Ok(()), input.into_bytes()));
            } else {
                assert_eq!(fault_of(&masked), CsvFault::LongName);
            }
        }
    }
    let open = format!("\"{}", "x\n".repeat(MAX_NAME));
    assert_eq!(fault_of(&run_some_ways("", open.as_bytes())), CsvFault::LongName);
    for (columns, fits) in [(MAX_COLUMNS, true), (MAX_COLUMNS + 1, false)] {
        let input = format!("{}ssn\n{}1\n", "a,".repeat(columns - 1), "1,".repeat(columns - 1));
        let masked = run_some_ways("r ssn", input.as_bytes());
        if fits {
            assert_eq!((masked.end, masked.tally), (Ok(()), vec![1]));
        } else {
            assert_eq!(fault_of(&masked), CsvFault::TooManyColumns);
            assert_eq!(masked.out, b"");
        }
    }
}

#[test]
fn what_stays_of_a_record_has_a_limit_and_what_goes_has_none() {
    for (length, fits) in [(MAX_ROW - 3, true), (MAX_ROW - 2, false), (8 * MAX_ROW, false)] {
        for quote in ["", "\""] {
            let long = "x".repeat(length - 2 * quote.len());
            let record = format!("{quote}{long}{quote},y\n");
            let input = format!("a,b\n1,2\n{record}3,4\n");
            let masked = run_some_ways("r ssn", input.as_bytes());
            if fits {
                assert_eq!((masked.end, masked.out), (Ok(()), input.into_bytes()));
            } else {
                let fault = CsvFault::LongRecord;
                assert_eq!(masked.end, Err(Unmaskable::Csv { at: 8, fault }));
                assert_eq!(masked.out, b"a,b\n1,2\n");
            }
        }
    }
    let quotes = "\"\"".repeat(100_000);
    let big = "é\n".repeat(8 * MAX_ROW / 3);
    for field in [&quotes, &big] {
        let input = format!("ssn,a\n\"{field}\",1\n\"{field}\",2\n");
        let masked = run(&mask("r ssn"), CSV, input.as_bytes().chunks(4093));
        assert_eq!((masked.end, masked.out.as_slice()), (Ok(()), &b"a\n1\n2\n"[..]));
        assert_eq!(run(&mask("r ssn"), CSV, [input.as_bytes()]).tally, [2]);
    }
}

#[test]
fn memory_does_not_grow_with_the_input() {
    let mut masker = Masker::new(mask("r ssn; x b"), CSV);
    let mut out = Vec::new();
    let mut most = 0;
    let record = format!("\"{}\",1,{}\n", "secret\n\"\"".repeat(100_000), "y".repeat(5000));
    masker.feed(b"ssn,b,c\n", &mut out).unwrap();
    for _ in 0..8 {
        for chunk in record.as_bytes().chunks(1009) {
            masker.feed(chunk, &mut out).unwrap();
            out.clear();
            most = most.max(masker.held());
        }
    }
    masker.finish(&mut out).unwrap();
    assert!(most <= 32 * 1024, "{most}");
    assert_eq!(masker.tally(), [8, 8]);
}
