//! Limits of XML, each at the limit and one past it, and documents made to be slow or to fill memory.

use std::time::{Duration, Instant};

use super::xml::XML;
use super::{Masked, mask, run};
use crate::masking::xml::XmlFault;
use crate::masking::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_NAME, MAX_REFERENCE, MAX_TAG, Masker, Unmaskable};

/// Whole, in odd pieces and byte by byte; cutting at every offset is for smaller inputs.
fn run_some_ways(rules: &str, input: &str) -> Masked {
    let (mask, input) = (mask(rules), input.as_bytes());
    let whole = run(&mask, XML, [input]);
    assert_eq!(run(&mask, XML, input.chunks(1)), whole);
    assert_eq!(run(&mask, XML, input.chunks(1021)), whole);
    whole
}

/// Passes, or has this fault at this place with nothing else than what is before it written.
fn check(rules: &str, input: &str, wanted: Option<(usize, XmlFault)>) {
    let Masked { out, end, .. } = run_some_ways(rules, input);
    match wanted {
        None => assert_eq!((end, out.as_slice()), (Ok(()), input.as_bytes())),
        Some((at, fault)) => {
            let at = at as u64;
            assert_eq!(end, Err(Unmaskable::Xml { at, fault }));
            assert!(input.as_bytes().starts_with(&out) && out.len() as u64 <= at);
        }
    }
}

#[test]
fn depth_has_a_limit() {
    for rules in ["", "r /**/x", "r x"] {
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        check(rules, &nested(MAX_DEPTH), None);
        check(rules, &nested(MAX_DEPTH + 1), Some((MAX_DEPTH * 3, XmlFault::TooDeep)));
        let leaf = |depth: usize| "<a>".repeat(depth) + "<b/>" + &"</a>".repeat(depth);
        check(rules, &leaf(MAX_DEPTH - 1), None);
        check(rules, &leaf(MAX_DEPTH), Some((MAX_DEPTH * 3, XmlFault::TooDeep)));
    }
    let cut = format!("<a><x>{}", "<b>".repeat(100_000));
    let Masked { out, end, .. } = run(&mask("r x"), XML, [cut.as_bytes()]);
    let at = (6 + 3 * (MAX_DEPTH - 2)) as u64;
    let fault = XmlFault::TooDeep;
    assert_eq!((out.as_slice(), end), (&b"<a>"[..], Err(Unmaskable::Xml { at, fault })));
}

#[test]
fn a_name_has_a_limit() {
    for (length, fits) in [(MAX_NAME, true), (MAX_NAME + 2, false), (MAX_NAME * 3, false)] {
        for name in ["x".repeat(length), "é".repeat(length / 2)] {
            let fault = |at| (!fits).then_some((at, XmlFault::LongName));
            check("r ssn", &format!("<a><{name}></{name}></a>"), fault(4));
            check("r ssn", &format!("<a {name}='1'/>"), fault(3));
            check("r ssn", &format!("<?{name} 1?><a/>"), fault(0));
        }
    }
}

#[test]
fn a_tag_has_a_limit() {
    for (room, fits) in [(MAX_TAG, true), (MAX_TAG + 1, false), (MAX_TAG * 3, false)] {
        let fault = |at| (!fits).then_some((at, XmlFault::LongTag));
        let value = "x".repeat(room - "<b c=''/>".len());
        check("r ssn", &format!("<a><b c='{value}'/></a>"), fault(3));
        let space = " ".repeat(room - "<b>".len());
        check("r ssn", &format!("<a><b{space}></b></a>"), fault(3));
        let space = " ".repeat(room - "</a>".len());
        check("r ssn", &format!("<a></a{space}>"), fault(3));
        let space = "\n".repeat(room - "<?xml version='1.0'?>".len());
        check("r ssn", &format!("<?xml version='1.0'{space}?><a/>"), fault(0));
    }
    check(
        "r ssn",
        &format!("<?{}", "p".repeat(MAX_TAG * 2)),
        Some((0, XmlFault::LongTag)),
    );
    check(
        "r ssn",
        &format!("<a b='{}", "<".repeat(MAX_TAG * 2)),
        Some((0, XmlFault::LongTag)),
    );
}

#[test]
fn attributes_have_a_limit() {
    for (count, fault) in [
        (MAX_ATTRIBUTES, None),
        (MAX_ATTRIBUTES + 1, Some(XmlFault::TooManyAttributes)),
    ] {
        let attributes: String = (0..count).map(|at| format!(" a{at:04}=''")).collect();
        check(
            "r ssn",
            &format!("<a{attributes}/>"),
            fault.map(|fault| (3 + MAX_ATTRIBUTES * 9, fault)),
        );
        let twice = attributes.replacen("a0003", "a0001", 1);
        let end = run_some_ways("r ssn", &format!("<a{twice}/>")).end;
        assert!(end.is_err());
    }
}

#[test]
fn a_reference_has_a_limit() {
    for (length, fits) in [
        (MAX_REFERENCE, true),
        (MAX_REFERENCE + 1, false),
        (MAX_REFERENCE * 9, false),
    ] {
        let reference = format!("&#{}65;", "0".repeat(length - "&#65;".len()));
        let fault = |at| (!fits).then_some((at, XmlFault::Reference));
        check("r ssn", &format!("<a>{reference}</a>"), fault(3));
        check("r ssn", &format!("<a b='{reference}'/>"), fault(6));
    }
}

#[test]
fn what_is_long_streams_in_little_memory() {
    let long = "x ] - ? & ".repeat(100_000);
    let text = long.replace('&', "&amp;");
    let input = format!("<a>{text}<!--{long}--><?p {long}?><![CDATA[{long}]]><ssn>{text}</ssn></a>");
    let expected = input.replace(&format!("<ssn>{text}</ssn>"), "");
    for size in [1, 7, 4096] {
        let mut masker = Masker::new(mask("r ssn"), XML);
        let (mut out, mut most) = (Vec::new(), 0);
        for chunk in input.as_bytes().chunks(size) {
            masker.feed(chunk, &mut out).unwrap();
            most = most.max(masker.held());
        }
        masker.finish(&mut out).unwrap();
        assert!(out == expected.as_bytes(), "in pieces of {size}");
        assert!(most < 4096, "{most} bytes held back");
    }
}

#[test]
fn whatever_is_open_memory_is_bounded() {
    let name = "n".repeat(MAX_NAME);
    let deep = format!("<{name}>").repeat(MAX_DEPTH) + "<a b='" + &"x".repeat(MAX_TAG * 4);
    let mut masker = Masker::new(mask("r ssn"), XML);
    let mut most = 0;
    for chunk in deep.as_bytes().chunks(100) {
        let end = masker.feed(chunk, &mut Vec::new());
        most = most.max(masker.held());
        if end.is_err() {
            break;
        }
    }
    // Vectors grow to twice what they hold.
    assert!(most <= 2 * (MAX_DEPTH * (MAX_NAME + 16) + MAX_TAG + 100), "{most}");
}

#[test]
fn time_is_linear_in_what_comes() {
    // Each is refused or passes; quadratic work on the larger would take minutes.
    for (start, unit) in [
        ("<a>", "]"),
        ("<a>", ">"),
        ("<a>", "<b/>"),
        ("<a>", "&lt;"),
        ("<a>", "<!---->"),
        ("<a><!--", "- "),
        ("<a><?p ", "? >"),
        ("<a><![CDATA[", "]] >"),
        ("<a>", "<b c='' d=''></b>"),
        ("<a><ssn>", "<b>1</b>"),
        ("<a b='", "&"),
        ("<a", " b"),
        ("<a><", "<"),
    ] {
        let input = start.to_owned() + &unit.repeat(500_000 / unit.len());
        let began = Instant::now();
        for size in [1, input.len()] {
            run(&mask("r ssn /**/x/**/y"), XML, input.as_bytes().chunks(size));
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{start}{unit}");
    }
}
