//! What masking does to XML: cases, faults, limits. Each runs whole, cut at every byte, byte by byte.

use super::{Masked, mask, run, run_all_ways};
use crate::masking::xml::XmlFault;
use crate::masking::{
    Action, Charset, Format, MAX_ATTRIBUTES, MAX_DEPTH, MAX_NAME, MAX_TAG, Mask, Masker, RowJudge, RowPath, Rows,
    Unmaskable,
};

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
        ("<a></ a>", Mismatch),
        ("<a></a b='1'>", Tag),
        ("<a></a/>", Tag),
        ("<a><b/></a\n<b/>", Tag),
        ("<a/b>", Tag),
        ("<a / >", Tag),
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
