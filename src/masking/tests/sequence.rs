//! JSON text sequences (RFC 7464): every text between its RS and its LF, masked like any other.

use super::{mask, run_all_ways};
use crate::masking::{Format, Unmaskable};

#[test]
fn every_text_of_a_sequence_is_masked_and_keeps_its_frame() {
    for (input, out, masked) in [
        ("", "", 0),
        (" \n", " \n", 0),
        ("\u{1e}{\"ssn\":1}\n", "\u{1e}{}\n", 1),
        (
            "\u{1e}{\"ssn\":1}\n\u{1e}{\"a\":2,\"ssn\":3}\n",
            "\u{1e}{}\n\u{1e}{\"a\":2}\n",
            2,
        ),
        (
            "\u{1e}1\n\u{1e}-0\n\u{1e}true\n\u{1e}null\n\u{1e}\"x\"\n",
            "\u{1e}1\n\u{1e}-0\n\u{1e}true\n\u{1e}null\n\u{1e}\"x\"\n",
            0,
        ),
        (
            "\u{1e} \r\n{ \n\"a\" : 1.50 ,\n \"ssn\" : [ \n ] } \t\r\n",
            "\u{1e} \r\n{ \n\"a\" : 1.50  } \t\r\n",
            1,
        ),
        (
            "\u{1e}[\n1,\n2\n]\n\n \n\u{1e}{}\r\n",
            "\u{1e}[\n1,\n2\n]\n\n \n\u{1e}{}\r\n",
            0,
        ),
        ("\u{1e}\"\\u001e\"\n", "\u{1e}\"\\u001e\"\n", 0),
    ] {
        let got = run_all_ways(&mask("r ssn"), Format::JsonSequence, input.as_bytes());
        assert_eq!(got.end, Ok(()), "{input:?}");
        assert_eq!(String::from_utf8(got.out).unwrap(), out, "{input:?}");
        assert_eq!(got.tally, [masked], "{input:?}");
    }
}

#[test]
fn paths_begin_at_each_text() {
    let input = "\u{1e}{\"a\":{\"b\":1}}\n\u{1e}[2]\n\u{1e}{\"a\":{\"b\":3}}\n";
    let got = run_all_ways(&mask("n /a/b"), Format::JsonSequence, input.as_bytes());
    let want = "\u{1e}{\"a\":{\"b\":null}}\n\u{1e}[2]\n\u{1e}{\"a\":{\"b\":null}}\n";
    assert_eq!((String::from_utf8(got.out).unwrap().as_str(), got.end), (want, Ok(())));
}

#[test]
fn what_is_no_sequence_is_refused() {
    for (input, out) in [
        ("1\n", ""),
        ("{\"ssn\":1}\n", ""),
        ("\u{feff}\u{1e}1\n", ""),
        ("\u{1e}", "\u{1e}"),
        ("\u{1e}\n", "\u{1e}\n"),
        ("\u{1e}\u{1e}1\n", "\u{1e}"),
        ("\u{1e}\n\u{1e}1\n", "\u{1e}\n"),
        ("\u{1e}1", "\u{1e}1"),
        ("\u{1e}true", "\u{1e}true"),
        ("\u{1e}{}", "\u{1e}{}"),
        ("\u{1e}1 ", "\u{1e}1 "),
        ("\u{1e}1\u{1e}2\n", "\u{1e}1"),
        ("\u{1e}{}\u{1e}{}\n", "\u{1e}{}"),
        ("\u{1e}1 \u{1e}2\n", "\u{1e}1 "),
        ("\u{1e}1 2\n", "\u{1e}1 "),
        ("\u{1e}{\"ssn\":1}{\"ssn\":2}\n", "\u{1e}{}"),
        ("\u{1e}{}\n{\"ssn\":2}\n", "\u{1e}{}\n"),
        ("\u{1e}[1,\u{1e}2]\n", "\u{1e}[1,"),
        ("\u{1e}\"a\u{1e}\"\n", "\u{1e}\"a"),
        ("\u{1e}{\"ssn\":\"x\n", "\u{1e}{"),
        ("\u{1e}{\"a\":1,\"ssn\n", "\u{1e}{\"a\":1"),
    ] {
        let got = run_all_ways(&mask("r ssn"), Format::JsonSequence, input.as_bytes());
        assert!(got.end.is_err(), "{input:?}");
        assert_eq!(String::from_utf8(got.out).unwrap(), out, "{input:?}");
    }
    let cut = run_all_ways(&mask(""), Format::JsonSequence, b"\x1e12");
    assert_eq!(cut.end, Err(Unmaskable::Incomplete { at: 3 }), "12 may have been 123");
}
