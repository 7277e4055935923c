//! What masking does to XML: cases, faults, limits. Each runs whole, cut at every byte, byte by byte.

use std::sync::Arc;

use super::{Masked, mask, run_all_ways};
use crate::masking::xml::XmlFault;
use crate::masking::{Action, Charset, Format, Mask, RowJudge, RowPath, Rows, Unmaskable};

pub(super) const XML: Format = Format::Xml(Charset::Utf8);

fn check(cases: &[(&str, &str, &str)]) {
    for &(rules, input, expected) in cases {
        let Masked { out, end, .. } = run_all_ways(&mask(rules), XML, input.as_bytes());
        assert_eq!(end, Ok(()), "{rules}: {input:?}");
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{rules}: {input:?}");
    }
}

#[test]
fn a_removed_element_goes_from_its_first_byte_to_its_last() {
    check(&[
        ("r ssn", "<a><ssn>1</ssn></a>", "<a></a>"),
        ("r ssn", "<a> <ssn>1</ssn> <b/> </a>", "<a>  <b/> </a>"),
        ("r ssn", "<a>x<ssn/>y<ssn />z<ssn\n></ssn\t></a>", "<a>xyz</a>"),
        (
            "r ssn",
            "<a><ssn><ssn>1</ssn><b>2</b></ssn><b>3</b></a>",
            "<a><b>3</b></a>",
        ),
        ("r ssn", "<a><p:SSN xmlns:p='u' b='>'>1</p:SSN></a>", "<a></a>"),
        ("r ssn", "<a><S_s-n>1</S_s-n></a>", "<a></a>"),
        (
            "r ssn",
            "<a><ssn><!-- </ssn> --><![CDATA[</ssn>]]><?p </ssn>?></ssn>b</a>",
            "<a>b</a>",
        ),
        (
            "R Ssn",
            "<a><ssn>1</ssn><Ssn>2</Ssn><p:Ssn>3</p:Ssn></a>",
            "<a><ssn>1</ssn></a>",
        ),
        ("r straße", "<a><p:STRAßE>1</p:STRAßE>b</a>", "<a>b</a>"),
        (
            "r ssn",
            "<ssn:a><ssn:b>1</ssn:b></ssn:a>",
            "<ssn:a><ssn:b>1</ssn:b></ssn:a>",
        ),
        ("r |ssn", "<a><ssn>1</ssn></a>", "<a><ssn>1</ssn></a>"),
        ("v ssn", "<a><ssn>1</ssn></a>", "<a><ssn>1</ssn></a>"),
    ]);
}

#[test]
fn a_removed_attribute_goes_with_the_white_space_before_it() {
    check(&[
        ("r ssn", "<a ssn='1'/>", "<a/>"),
        ("r ssn", "<a ssn=\"1\">b</a>", "<a>b</a>"),
        ("r ssn", "<a b='1'  ssn = '2'\n c='3' ></a>", "<a b='1'\n c='3' ></a>"),
        (
            "r ssn",
            "<a ssn='1' SSN='2' p:ssn='3' b='4' s-s-n='5' />",
            "<a b='4' />",
        ),
        (
            "r ssn",
            "<x><a ssn='&lt;&#62;'>1</a><a ssn='2'>3</a></x>",
            "<x><a>1</a><a>3</a></x>",
        ),
        (
            "r ssn xmlns",
            "<a xmlns='u' xmlns:ssn='v' ssn='1'/>",
            "<a xmlns='u' xmlns:ssn='v'/>",
        ),
        ("r ssn", "<a b='ssn=\"1\"' ssn='b=\"2\"'/>", "<a b='ssn=\"1\"'/>"),
        ("r ssn", "<a ssn='>'>b</a>", "<a>b</a>"),
    ]);
}

#[test]
fn what_is_redacted_or_nulled_keeps_its_tags_and_loses_its_attributes() {
    check(&[
        ("x ssn", "<a><ssn>1</ssn></a>", "<a><ssn>[REDACTED]</ssn></a>"),
        ("x ssn", "<a><ssn/></a>", "<a><ssn>[REDACTED]</ssn></a>"),
        ("x ssn", "<a><p:ssn v='1' /></a>", "<a><p:ssn >[REDACTED]</p:ssn></a>"),
        (
            "x ssn",
            "<a><ssn v='1'\n><b>2</b>3</ssn\n></a>",
            "<a><ssn\n>[REDACTED]</ssn\n></a>",
        ),
        ("x ssn", "<a><ssn ssn='1'>2</ssn></a>", "<a><ssn>[REDACTED]</ssn></a>"),
        (
            "x ssn",
            "<a><q:ssn v='1'  xmlns:q='u' w='2' xmlns='w'>3</q:ssn></a>",
            "<a><q:ssn  xmlns:q='u' xmlns='w'>[REDACTED]</q:ssn></a>",
        ),
        ("x a", "<a><b/></a>", "<a>[REDACTED]</a>"),
        ("x a", "<a/>", "<a>[REDACTED]</a>"),
        (
            "n ssn",
            "<a><ssn>1</ssn><ssn v='1' /><ssn/></a>",
            "<a><ssn></ssn><ssn /><ssn/></a>",
        ),
        ("n ssn", "<a ssn='1' b='2'/>", "<a ssn='' b='2'/>"),
        (
            "x ssn",
            "<a ssn = \"1\" b='2' SSN=''/>",
            "<a ssn = \"[REDACTED]\" b='2' SSN='[REDACTED]'/>",
        ),
        (
            "x ssn; r b",
            "<a ssn='1' b='2'><ssn>3</ssn><b/></a>",
            "<a ssn='[REDACTED]'><ssn>[REDACTED]</ssn></a>",
        ),
        ("x ssn; n ssn", "<a><ssn>1</ssn></a>", "<a><ssn></ssn></a>"),
        ("x ssn; n ssn; r ssn", "<a><ssn>1</ssn></a>", "<a></a>"),
        ("v ssn; x ssn", "<a ssn='1'/>", "<a ssn='[REDACTED]'/>"),
        (
            "x b; r ssn",
            "<a><b ssn='1'><ssn>1</ssn></b></a>",
            "<a><b>[REDACTED]</b></a>",
        ),
    ]);
}

#[test]
fn a_path_starts_with_the_root_and_ends_at_an_element_or_an_attribute() {
    let input = "<accounts><acc id='1'><customer><address>A</address></customer></acc><address id='2'/></accounts>";
    let without = |part: &str| input.replace(part, "");
    for (rules, expected) in [
        ("r /accounts/*/customer/address", without("<address>A</address>")),
        ("r /Accounts/acc/cust-omer/ADDRESS", without("<address>A</address>")),
        ("R /Accounts/*/customer/address", input.to_owned()),
        ("r /accounts/*/id", without(" id='1'").replace(" id='2'", "")),
        ("r /accounts/acc/id", without(" id='1'")),
        ("r /**/id", without(" id='1'").replace(" id='2'", "")),
        (
            "r /**/address",
            without("<address>A</address>").replace("<address id='2'/>", ""),
        ),
        ("r /accounts/address", without("<address id='2'/>")),
        (
            "x /accounts/acc",
            "<accounts><acc>[REDACTED]</acc><address id='2'/></accounts>".into(),
        ),
        ("r /acc", input.to_owned()),
        ("r /0 /accounts/0 /accounts/acc/0", input.to_owned()),
        ("r /accounts/*/*/*", without("<address>A</address>")),
        ("r /*/*/*/address/address", input.to_owned()),
    ] {
        check(&[(rules, input, &expected)]);
    }
    check(&[
        (
            "r /a/b/c",
            "<p:a><q:b r:c='1' c='2'><c/><d><c/></d></q:b><b/></p:a>",
            "<p:a><q:b><d><c/></d></q:b><b/></p:a>",
        ),
        (
            "r /a/b/c",
            "<a><x><b><c/></b></x><b/><b c='1'/><c/></a>",
            "<a><x><b><c/></b></x><b/><b/><c/></a>",
        ),
        ("r /a/0", "<a><b/><_0/><c/></a>", "<a><b/><c/></a>"),
        ("x /a", "<a b='1'>2</a>", "<a>[REDACTED]</a>"),
    ]);
}

#[test]
fn what_stays_is_the_backends_own() {
    for kept in [
        "\u{feff}<?xml version='1.0' encoding=\"UTF-8\" standalone = 'yes' ?>\r\n<!-- > -->\n<?p <a>?><a/>\n<?q?><!---->\n",
        "<?xml version = \"1.0\"?><a/>",
        "<?xml\tversion='1.0'\nstandalone='no'?><a/>",
        " \n<a>\t</a>\r\n ",
        "<a>&amp;&lt;&gt;&quot;&apos;&#65;&#x1F600;&#x000000041;&#9;</a>",
        "<a b='&amp;&lt;&gt;&quot;&apos;&#65;\n\t' c=\">\" d='\"'/>",
        "<a><![CDATA[<b>&c;]] ]>]]]]><![CDATA[]]>]]</a>",
        "<a>]]<!-- ]]> - -a -->></a>",
        "<a>]]&gt;]>] ]> > -- ]]<b/>></a>",
        "<a><?xml-stylesheet href='x'?><?p ? ?? > ??><?x?></a>",
        "<a:b c:d='' xmlns:a='u' _e=\"\" f.g-h1='é'>ж😀\u{7f}\u{85}\u{fffd}</a:b>",
        "<é><ж·é/></é>",
        "<a xml:lang='en' b='1'  c='2'\n\td='3'\t/>",
    ] {
        check(&[
            ("r ssn", kept, kept),
            ("", kept, kept),
            ("v a b", kept, kept),
            ("n zz", kept, kept),
        ]);
    }
}

/// Whatever is wrong, and what is said of it.
const MALFORMED: &[(&str, XmlFault)] = {
    use XmlFault::{
        Brackets, Character, Comment, Declaration, Doctype, Duplicate, Encoding, Instruction, Markup, Mismatch, Name,
        NoRoot, Open, Outside, Reference, SecondRoot, Tag, Value,
    };
    &[
        ("", NoRoot),
        (" \n", NoRoot),
        ("<!-- a --><?p?>", NoRoot),
        ("\u{feff}", NoRoot),
        ("{\"ssn\":1}", Outside),
        ("a<a/>", Outside),
        ("<a/>b", Outside),
        ("<a/>&amp;", Outside),
        ("&#32;<a/>", Outside),
        ("<![CDATA[]]><a/>", Outside),
        ("<a/><![CDATA[ ]]>", Outside),
        ("\u{feff}\u{feff}<a/>", Outside),
        ("<a/><b/>", SecondRoot),
        ("<a></a><a></a>", SecondRoot),
        ("<a>", Open),
        ("<a", Open),
        ("<a b='", Open),
        ("<", Open),
        ("<a><b></b>", Open),
        ("<a>&am", Open),
        ("<a/><!-- ", Open),
        ("<a/><?p ?", Open),
        ("<a><![CDATA[ ]]</a>", Open),
        ("<a></a", Open),
        ("<?xml version='1.0'?", Open),
        ("</a>", Mismatch),
        ("<a/></a>", Mismatch),
        ("<a></b>", Mismatch),
        ("<a></A>", Mismatch),
        ("<a><b></a></b>", Mismatch),
        ("<p:a></a>", Mismatch),
        ("<ab></a>", Mismatch),
        ("<a></ab>", Mismatch),
        ("<a></>", Mismatch),
        ("<a></ a>", Tag),
        ("<a></a b='1'>", Tag),
        ("<a></a/>", Tag),
        ("<a><b/></a\n<b/>", Tag),
        ("<a/b>", Tag),
        ("<a / >", Name),
        ("<a b='1'c='2'/>", Tag),
        ("<a\"b\"/>", Tag),
        ("<a b>", Value),
        ("<a b=1>", Value),
        ("<a b=>", Value),
        ("<a b='<'/>", Value),
        ("<a b 'c'/>", Value),
        ("<a <b/>", Name),
        ("<a ='1'/>", Name),
        ("<a 1='1'/>", Name),
        ("< a/>", Name),
        ("<>", Name),
        ("<1/>", Name),
        ("<-a/>", Name),
        ("<:a/>", Name),
        ("<a:/>", Name),
        ("<a:b:c/>", Name),
        ("<a:1/>", Name),
        ("<a b:='1'/>", Name),
        ("<·a/>", Name),
        ("<a×/>", Name),
        ("<a\u{a0}b='1'/>", Name),
        ("<a b='1' b='2'/>", Duplicate),
        ("<a b='1' c='2' d='' b=''/>", Duplicate),
        ("<!DOCTYPE a><a/>", Doctype),
        ("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", Doctype),
        ("<a/><!doctype a>", Doctype),
        ("<!a>", Markup),
        ("<!-a-><a/>", Markup),
        ("<a><![cdata[]]></a>", Markup),
        ("<a><![CDATA []]></a>", Markup),
        ("<a><! [CDATA[]]></a>", Markup),
        ("<!><a/>", Markup),
        ("<a>&b;</a>", Reference),
        ("<a>&</a>", Reference),
        ("<a>& amp;</a>", Reference),
        ("<a>&amp</a>", Reference),
        ("<a>&;</a>", Reference),
        ("<a>&AMP;</a>", Reference),
        ("<a>&nbsp;</a>", Reference),
        ("<a>&#;</a>", Reference),
        ("<a>&#x;</a>", Reference),
        ("<a>&#X41;</a>", Reference),
        ("<a>&#a;</a>", Reference),
        ("<a>&#-1;</a>", Reference),
        ("<a>&#0;</a>", Reference),
        ("<a>&#8;</a>", Reference),
        ("<a>&#xD800;</a>", Reference),
        ("<a>&#xFFFE;</a>", Reference),
        ("<a>&#x110000;</a>", Reference),
        ("<a>&#4294967361;</a>", Reference),
        ("<a b='&c;'/>", Reference),
        ("<a b='&amp'/>", Reference),
        ("<a b='&#x1;'/>", Reference),
        ("<a>]]></a>", Brackets),
        ("<a>b]]]></a>", Brackets),
        ("<a><!-- -- --></a>", Comment),
        ("<a><!-- ---></a>", Comment),
        ("<a><!--> --></a>", Comment),
        ("<a><!---> --></a>", Comment),
        ("<a><?xml version='1.0'?></a>", Declaration),
        (" <?xml version='1.0'?><a/>", Declaration),
        ("<!----><?xml version='1.0'?><a/>", Declaration),
        ("<?XML version='1.0'?><a/>", Declaration),
        ("<a><?xMl?></a>", Declaration),
        ("<?xml?><a/>", Declaration),
        ("<?xml ?><a/>", Declaration),
        ("<?xml version='1.1'?><a/>", Declaration),
        ("<?xml version=1.0?><a/>", Declaration),
        ("<?xml encoding='utf-8'?><a/>", Declaration),
        (
            "<?xml version='1.0' standalone='yes' encoding='utf-8'?><a/>",
            Declaration,
        ),
        ("<?xml version='1.0' standalone='maybe'?><a/>", Declaration),
        ("<?xml version='1.0'encoding='utf-8'?><a/>", Declaration),
        ("<?xml version='1.0' version='1.0'?><a/>", Declaration),
        ("<?xml version='1.0'><a/>", Declaration),
        ("<?xml version='1.0' ssn='1'?><a/>", Declaration),
        ("<?xml version='1.0' encoding='utf-16'?><a/>", Encoding),
        ("<?xml version='1.0' encoding='iso-8859-1'?><a/>", Encoding),
        ("<?xml version='1.0' encoding='utf8'?><a/>", Encoding),
        ("<?xml version='1.0' encoding=''?><a/>", Encoding),
        ("<??><a/>", Name),
        ("<? p?><a/>", Name),
        ("<?1?><a/>", Name),
        ("<?p:?><a/>", Name),
        ("<?p?q?><a/>", Instruction),
        ("<a>\u{0}</a>", Character),
        ("<a>\u{1}</a>", Character),
        ("<a b='\u{1f}'/>", Character),
        ("<a>\u{fffe}</a>", Character),
        ("<a><!-- \u{ffff} --></a>", Character),
        ("<a\u{c}b='1'/>", Character),
    ]
};

#[test]
fn what_is_not_well_formed_is_refused_in_every_chunking() {
    assert!(MALFORMED.len() >= 60);
    for &(input, wanted) in MALFORMED {
        for rules in ["r ssn", "n b c", "v a"] {
            let Masked { out, end, .. } = run_all_ways(&mask(rules), XML, input.as_bytes());
            assert!(
                matches!(end, Err(Unmaskable::Xml { fault, .. }) if fault == wanted),
                "{input:?}: {end:?} instead of {wanted:?}"
            );
            if rules != "n b c" {
                assert!(
                    input.as_bytes().starts_with(&out),
                    "{input:?}: {:?}",
                    out.escape_ascii()
                );
            }
        }
    }
}

#[test]
fn what_is_not_well_formed_is_refused_inside_what_is_cut_too() {
    for &(input, wanted) in MALFORMED {
        use XmlFault::{Declaration, Encoding, NoRoot, Outside, SecondRoot};
        if matches!(wanted, NoRoot | Outside | SecondRoot | Declaration | Encoding) || input.starts_with("<!D") {
            continue;
        }
        let input = format!("<z>kept<ssn>{input}</ssn></z>");
        let Masked { out, end, .. } = run_all_ways(&mask("r ssn"), XML, input.as_bytes());
        assert!(matches!(end, Err(Unmaskable::Xml { .. })), "{input:?}: {end:?}");
        assert_eq!(out, b"<z>kept", "{input:?}");
    }
}

fn fault(mask: &Mask, format: Format, input: &[u8]) -> (Vec<u8>, u64, XmlFault) {
    let Masked { out, end, .. } = run_all_ways(mask, format, input);
    match end {
        Err(Unmaskable::Xml { at, fault }) => (out, at, fault),
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

#[test]
fn a_fault_says_where_and_nothing_of_its_markup_is_written() {
    for (input, at, out) in [
        ("<a><ssn>1</ssn>b<c d='1' d='2'>", 25, "<a>b"),
        ("<a>b&amp;&c;", 9, "<a>b&amp;"),
        ("<a>b</c>", 4, "<a>b"),
        ("<a>b\u{1}", 4, "<a>b"),
        ("<a>b]]>", 6, "<a>b]]"),
        ("<a><!-- b--c", 11, "<a><!-- b--"),
        ("<a>b<!DOCTYPE", 4, "<a>b"),
        ("\u{feff}<?xml version='1.0' encoding='x'?>", 23, "\u{feff}"),
    ] {
        let (written, place, _) = fault(&mask("r ssn"), XML, input.as_bytes());
        assert_eq!((place, written.as_slice()), (at, out.as_bytes()), "{input:?}");
    }
}

#[test]
fn without_its_root_element_there_is_no_xml() {
    for input in ["<?p?><a>1</a>", "<?p?><a/>", "<?p?><x:A b='1'>"] {
        let (out, at, fault) = fault(&mask("r a"), XML, input.as_bytes());
        assert_eq!(
            (out.as_slice(), at, fault),
            (&b"<?p?>"[..], 5, XmlFault::Root),
            "{input}"
        );
    }
    let (_, _, fault) = fault(&mask("r /**/a"), XML, b"<a/>");
    assert_eq!(fault, XmlFault::Root);
}

#[test]
fn rows_are_not_those_of_xml() {
    #[derive(Debug)]
    struct All;
    impl RowJudge for All {
        fn stays(&self, _: &[u8]) -> bool {
            true
        }
    }
    let mut mask = mask("r ssn");
    mask.rows = Some(Rows {
        at: Arc::new(RowPath::parse("/a").unwrap()),
        judge: Arc::new(All),
    });
    assert_eq!(fault(&mask, XML, b"<a/>"), (Vec::new(), 0, XmlFault::Rows));
}

#[test]
fn what_is_masked_is_counted_by_class() {
    for (rules, input, tally) in [
        ("r ssn", "<a ssn='1'><ssn/><ssn ssn='2'><ssn/></ssn></a>", &[3][..]),
        ("x ssn; n ssn b; v c", "<a c='1'><ssn ssn='1'/><b/><c/></a>", &[1, 2, 0]),
        ("r /a/b; r b", "<a b='1'><b/><c><b/></c></a>", &[2, 3]),
        ("r ssn", "<a xmlns:ssn='u'/>", &[0]),
    ] {
        let Masked {
            tally: counted, end, ..
        } = run_all_ways(&mask(rules), XML, input.as_bytes());
        assert_eq!((counted.as_slice(), end), (tally, Ok(())), "{rules}: {input}");
    }
}

#[test]
fn a_class_that_is_not_listed_is_removed() {
    let mut mask = mask("v ssn");
    mask.actions = Vec::new().into();
    let out = run_all_ways(&mask, XML, b"<a ssn='1'>2<ssn>3</ssn></a>").out;
    assert_eq!(out, b"<a>2</a>");
}

#[test]
fn a_text_is_put_as_xml() {
    let mut mask = mask("x ssn");
    mask.actions = vec![Some(Action::Redact("\"<\\\"&'\\u00e9\\u0416\\u0000>\"".into()))].into();
    for (charset, text) in [
        ("utf-8", "&#60;&#34;&#38;&#39;\u{e9}\u{416}&#62;".as_bytes()),
        ("us-ascii", b"&#60;&#34;&#38;&#39;&#233;&#1046;&#62;"),
        ("iso-8859-1", b"&#60;&#34;&#38;&#39;\xe9&#1046;&#62;"),
    ] {
        let format = Format::Xml(Charset::named(charset).unwrap());
        let out = run_all_ways(&mask, format, b"<a ssn='1'><ssn/></a>").out;
        let wanted = [b"<a ssn='", text, b"'><ssn>", text, b"</ssn></a>"].concat();
        assert_eq!(out, wanted, "{charset}: {}", out.escape_ascii());
    }
    mask.actions = vec![Some(Action::Redact("0".into()))].into();
    let out = run_all_ways(&mask, XML, b"<a><ssn>1</ssn></a>").out;
    assert_eq!(out, b"<a><ssn>0</ssn></a>");
}

#[test]
fn a_body_is_read_in_the_charset_of_its_module() {
    let latin = Format::Xml(Charset::named("iso-8859-1").unwrap());
    let ascii = Format::Xml(Charset::UsAscii);
    let cyrillic = Format::Xml(Charset::named("windows-1251").unwrap());
    for (rules, format, input, expected) in [
        (
            "r straße",
            latin,
            &b"<a><stra\xdfe/>\xe9\x81</a>"[..],
            &b"<a>\xe9\x81</a>"[..],
        ),
        (
            "r straße",
            latin,
            b"<?xml version='1.0' encoding='Latin1'?><a stra\xdfe='\xff'/>",
            b"<?xml version='1.0' encoding='Latin1'?><a/>",
        ),
        (
            "r жук",
            cyrillic,
            b"<a><p:\xc6\xf3\xea>1</p:\xc6\xf3\xea></a>",
            b"<a></a>",
        ),
        (
            "r ssn",
            ascii,
            b"<?xml version='1.0' encoding='US-ASCII'?><a><ssn/></a>",
            b"<?xml version='1.0' encoding='US-ASCII'?><a></a>",
        ),
        ("r ssn", latin, b"<a>\xef\xbf\xbe</a>", b"<a>\xef\xbf\xbe</a>"),
    ] {
        let Masked { out, end, .. } = run_all_ways(&mask(rules), format, input);
        assert_eq!(
            (out.as_slice(), end),
            (expected, Ok(())),
            "{rules}: {}",
            input.escape_ascii()
        );
    }
    for (format, input, wanted) in [
        (ascii, &b"<a>\xe9</a>"[..], XmlFault::Charset),
        (ascii, b"\xef\xbb\xbf<a/>", XmlFault::Charset),
        (latin, b"\xef\xbb\xbf<a/>", XmlFault::Outside),
        (latin, b"<a><stra\xc3\x9fe/></a>", XmlFault::Charset),
        (latin, b"<a><\xa0/></a>", XmlFault::Name),
        (latin, b"<?xml version='1.0' encoding='utf-8'?><a/>", XmlFault::Encoding),
        (
            latin,
            b"<?xml version='1.0' encoding='windows-1252'?><a/>",
            XmlFault::Encoding,
        ),
        (latin, b"\xff\xfe<\0a\0/\0>\0", XmlFault::Outside),
        (XML, b"\0<\0a\0/\0>", XmlFault::Character),
        (XML, b"<\0a\0/\0>\0", XmlFault::Character),
    ] {
        let (_, _, got) = fault(&mask("r ssn"), format, input);
        assert_eq!(got, wanted, "{}", input.escape_ascii());
    }
    for input in [
        &b"\xff\xfe<\0a\0/\0>\0"[..],
        b"\xfe\xff\0<",
        b"<a>\xe9</a>",
        b"<a>\xc0\xbc/a>",
        b"<a>\xed\xa0\x80",
    ] {
        let end = run_all_ways(&mask("r ssn"), XML, input).end;
        assert!(matches!(end, Err(Unmaskable::NotUtf8 { .. })), "{end:?}");
    }
    // The body ends within a character.
    let (out, at, wanted) = fault(&mask("r ssn"), XML, b"<a/>\xc3");
    assert_eq!((out.as_slice(), at, wanted), (&b"<a/>"[..], 4, XmlFault::Open));
}
