//! Elements and attributes that go out hashed or encrypted.

use super::rules::{home, key};
use super::xml::XML;
use super::{Masked, mask, run, run_all_ways};
use crate::masking::seal::MAX_SEALED;
use crate::masking::xml::XmlFault;
use crate::masking::{Charset, Format, MAX_TAG, Unmaskable};

fn hashed(text: &str) -> String {
    key().hash(text.as_bytes())
}

#[test]
fn an_element_is_hashed_as_the_member_is() {
    for (content, text) in [
        ("C-17", "C-17"),
        ("", ""),
        (" C-17\n", " C-17\n"),
        ("&#67;-&#x31;7", "C-17"),
        ("&lt;a&gt; &amp;&quot;&apos;>", "<a> &\"'>"),
        ("<![CDATA[C]]>-<![CDATA[17]]>", "C-17"),
        ("<![CDATA[<b>&amp;]]]]><![CDATA[>]]>", "<b>&amp;]]>"),
        ("C<!-- <b> & -->-<?p <b> & ?>17", "C-17"),
        ("<!---->", ""),
        ("é😀&#233;", "é😀é"),
        // XML 1.0, 2.11: a line ends with a line feed, however it is written; a reference is what it says.
        ("a\r\nb\rc\n\rd", "a\nb\nc\n\nd"),
        ("a\r&#10;b&#13;\n&#13;", "a\n\nb\r\n\r"),
        ("<![CDATA[a\r\nb\r]]>\n", "a\nb\n\n"),
        // With elements in it, it is its own bytes: as an object of JSON is.
        ("<b>&#67;</b>", "<b>&#67;</b>"),
        (" <b/>\r\n", " <b/>\r\n"),
        ("<!-- --><x:b c='1'>2</x:b >3", "<!-- --><x:b c='1'>2</x:b >3"),
        ("<ssn><ssn a='>'/></ssn>", "<ssn><ssn a='>'/></ssn>"),
    ] {
        for (before, after) in [
            ("<a>b<ssn>", "</ssn>c</a>"),
            ("<a><p:S_SN xmlns:p='u' >", "</p:S_SN\n><c/></a>"),
            ("<ssn>", "</ssn>\n"),
        ] {
            let input = format!("{before}{content}{after}");
            let Masked { out, tally, end, .. } = run_all_ways(&mask("h ssn"), XML, input.as_bytes());
            assert_eq!(end, Ok(()), "{input:?}");
            let expected = format!("{before}{}{after}", hashed(text));
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{input:?}");
            assert_eq!(tally, [1], "{input:?}");
        }
    }
}

#[test]
fn an_attribute_is_hashed_as_the_member_is() {
    for (value, text) in [
        ("C-17", "C-17"),
        ("", ""),
        ("&#67;-&#x31;7", "C-17"),
        ("&lt;&amp;&quot;&apos;>", "<&\"'>"),
        // XML 1.0, 3.3.3: white space is a space, and a reference is what it says.
        (" a\tb\r\nc\nd\re ", " a b c d e "),
        ("a&#9;b&#10;c&#13;\n", "a\tb\nc\r "),
        ("é&#x1F600;", "é😀"),
    ] {
        let input = format!("<a b='1' ssn = \"{value}\" p:SSN='{value}'/>");
        let hash = hashed(text);
        let expected = format!("<a b='1' ssn = \"{hash}\" p:SSN='{hash}'/>");
        let Masked { out, tally, end, .. } = run_all_ways(&mask("h ssn"), XML, input.as_bytes());
        assert_eq!((end, String::from_utf8(out).unwrap()), (Ok(()), expected), "{input:?}");
        assert_eq!(tally, [2]);
    }
}

#[test]
fn a_sealed_element_keeps_its_tags_and_loses_its_attributes() {
    let (empty, two) = (hashed(""), hashed("2"));
    for (rules, input, expected) in [
        ("h ssn", "<a><ssn/></a>", format!("<a><ssn>{empty}</ssn></a>")),
        (
            "h ssn",
            "<a><p:ssn v='1' xmlns:p='u' ssn='3' /></a>",
            format!("<a><p:ssn xmlns:p='u' >{empty}</p:ssn></a>"),
        ),
        (
            "h ssn",
            "<a ssn='2'><ssn ssn='1'\n>2</ssn ></a>",
            format!("<a ssn='{two}'><ssn\n>{two}</ssn ></a>"),
        ),
        ("h /a", "<a b='1'>2</a>", format!("<a>{two}</a>")),
        (
            "h /**/c",
            "<a c='2'><b><c>2</c></b></a>",
            format!("<a c='{two}'><b><c>{two}</c></b></a>"),
        ),
        ("h ssn; v ssn", "<a ssn='2'/>", format!("<a ssn='{two}'/>")),
        ("h ssn; x ssn", "<a ssn='2'/>", "<a ssn='[REDACTED]'/>".to_owned()),
        ("n ssn; h ssn", "<a><ssn>2</ssn></a>", "<a><ssn></ssn></a>".to_owned()),
        ("h ssn; r ssn", "<a><ssn>2</ssn></a>", "<a></a>".to_owned()),
        (
            "h ssn; r b",
            "<a><ssn>2</ssn><b/><ssn>2</ssn></a>",
            format!("<a><ssn>{two}</ssn><ssn>{two}</ssn></a>"),
        ),
    ] {
        let Masked { out, end, .. } = run_all_ways(&mask(rules), XML, input.as_bytes());
        assert_eq!(
            (end, String::from_utf8(out).unwrap()),
            (Ok(()), expected),
            "{rules}: {input:?}"
        );
    }
}

#[test]
fn a_hash_is_of_what_the_charset_says() {
    let format = |name| Format::Xml(Charset::named(name).unwrap());
    for (format, input, text) in [
        (format("iso-8859-1"), &b"\xe9&#1078;"[..], "éж"),
        (format("windows-1251"), b"\xd1\xcd", "СН"),
        (format("us-ascii"), b"&#233;", "é"),
    ] {
        let body = [b"<a b='", input, b"'><b>", input, b"</b></a>"].concat();
        let Masked { out, end, .. } = run_all_ways(&mask("h b"), format, &body);
        let hash = hashed(text);
        let expected = format!("<a b='{hash}'><b>{hash}</b></a>");
        assert_eq!((end, String::from_utf8(out).unwrap()), (Ok(()), expected), "{text}");
    }
}

/// Opens every envelope of a body at its place.
fn opened(out: &[u8], places: &[&str]) -> String {
    let mut text = String::from_utf8(out.to_vec()).unwrap();
    for place in places {
        let (before, rest) = text.split_once("enc:").expect("an envelope");
        let length = rest.find(['<', '"', '\'']).unwrap();
        let (envelope, after) = rest.split_at(length);
        let value = key().open(&format!("enc:{envelope}"), &home(), place);
        let value = value.unwrap_or_else(|fault| panic!("{place}: {fault}"));
        text = format!("{before}{}{after}", String::from_utf8(value).unwrap());
    }
    assert!(!text.contains("enc:"), "{text}");
    text
}

#[test]
fn an_envelope_opens_to_the_contents_own_bytes_at_its_place() {
    for (rules, input, places) in [
        (
            "e ssn",
            "<a><ssn>1&amp;\r\n<![CDATA[<]]><!-- --></ssn>b</a>",
            &["/a/ssn"][..],
        ),
        (
            "e ssn",
            "<a><b c='1'><p:S_sn><ssn d='2'>3</ssn>4<e/></p:S_sn ></b><ssn></ssn></a>",
            &["/a/b/S_sn", "/a/ssn"],
        ),
        (
            "e id",
            "<l:list><i id='1&#9;'/><i x='2' ID=\"\"><id>3</id></i></l:list>",
            &["/list/i/id", "/list/i/ID", "/list/i/id"],
        ),
        ("e /list/é", "<list><é>ж</é></list>", &["/list/é"]),
        ("e a", "<a>1</a>", &["/a"]),
    ] {
        let chunkings = (1..=input.len()).chain([input.len() * 2]);
        for size in chunkings {
            let Masked { out, end, .. } = run(&mask(rules), XML, input.as_bytes().chunks(size));
            assert_eq!(end, Ok(()), "{input}");
            assert_eq!(opened(&out, places), input, "by {size}");
        }
        for cut in 0..input.len() {
            let (one, two) = input.as_bytes().split_at(cut);
            let Masked { out, end, .. } = run(&mask(rules), XML, [one, two]);
            assert_eq!(end, Ok(()), "{input}");
            assert_eq!(opened(&out, places), input, "cut at {cut}");
        }
    }
}

#[test]
fn a_value_to_be_sealed_has_a_limit() {
    for rules in ["h ssn", "e ssn"] {
        for (before, after) in [("", ""), ("<b>", "</b>"), ("<![CDATA[", "]]>"), ("", "<b c='!'/>")] {
            for (more, end) in [
                (0, Ok(())),
                (
                    1,
                    Err(Unmaskable::LongValue {
                        at: 8 + MAX_SEALED as u64,
                    }),
                ),
            ] {
                let fill = "!".repeat(MAX_SEALED - before.len() - after.len() + more);
                // What is wrong after it is not seen any more.
                let rest = if more == 0 { "</ssn></a>" } else { "</wrong>" };
                let body = format!("<a><ssn>{before}{fill}{after}{rest}");
                for size in [body.len(), 4093, 1] {
                    let masked = run(&mask(rules), XML, body.as_bytes().chunks(size));
                    assert_eq!(masked.end, end, "{rules} {before} {more} by {size}");
                    assert!(!masked.out.contains(&b'!'));
                }
            }
        }
    }
    let value = "!".repeat(MAX_TAG - "<a ssn=''/>".len());
    let masked = run(&mask("e ssn"), XML, [format!("<a ssn='{value}'/>").as_bytes()]);
    assert_eq!(opened(&masked.out, &["/a/ssn"]), format!("<a ssn='{value}'/>"));
}

#[test]
fn what_is_wrong_in_a_sealed_element_is_found_and_nothing_of_it_leaves() {
    for (content, wanted) in [
        ("x</b>", XmlFault::Mismatch),
        ("x&nbsp;", XmlFault::Reference),
        ("x]]>", XmlFault::Brackets),
        ("x<b></ssn>", XmlFault::Mismatch),
        ("x<!DOCTYPE", XmlFault::Doctype),
        ("x<b c='1' c='2'>", XmlFault::Duplicate),
        ("x", XmlFault::Open),
        ("x<b", XmlFault::Open),
    ] {
        for rules in ["h ssn", "e ssn"] {
            let input = format!("<a><ssn>{content}");
            let Masked { out, end, .. } = run_all_ways(&mask(rules), XML, input.as_bytes());
            assert!(
                matches!(end, Err(Unmaskable::Xml { fault, .. }) if fault == wanted),
                "{input}: {end:?}"
            );
            assert_eq!(out, b"<a><ssn>", "{input}");
        }
    }
    let mut without_home = mask("e ssn");
    without_home.home = None;
    for (input, at, kept) in [
        ("<a><ssn>1</ssn>", 8, "<a><ssn>"),
        ("<a><ssn/>", 3, "<a>"),
        ("<a ssn='1'>", 8, ""),
    ] {
        let Masked { out, end, .. } = run_all_ways(&without_home, XML, input.as_bytes());
        assert_eq!(
            (end, &*out),
            (Err(Unmaskable::NotSealed { at }), kept.as_bytes()),
            "{input}"
        );
    }
}
