//! Values that are hashed and encrypted, in every chunking: what is encrypted is another text each time, so that chunkings
//! agree on everything but that, and what comes out is opened again.

use proptest::prelude::*;

use super::csv::CSV;
use super::properties::{chunked, tree};
use super::rows::with_rows;
use super::rules::{home, key};
use super::{Masked, feed, mask, run};
use crate::masking::names::unescape;
use crate::masking::seal::{Home, MAX_POINTER, MAX_SEALED, Unsealed};
use crate::masking::{CsvFault, Format, MAX_ROW, Mask, Masker, Unmaskable};

/// The hash as cases write it.
fn h(text: &str) -> String {
    key().hash(text.as_bytes())
}

/// Opens every envelope of a sound document at its place, and leaves every other byte.
fn open_document(document: &[u8], home: &Home) -> Result<Vec<u8>, Unsealed> {
    let (mut out, mut pointer) = (Vec::new(), String::new());
    // Of each open container: whether the next string is a name, whether it is an array, how long the pointer to it is.
    let mut open: Vec<(bool, bool, usize)> = Vec::new();
    let mut at = 0;
    while at < document.len() {
        let mut end = at + 1;
        match document[at] {
            byte @ (b'{' | b'[') => {
                open.push((byte == b'{', byte == b'[', pointer.len()));
                pointer.push_str(if byte == b'[' { "/*" } else { "" });
            }
            b'}' | b']' => pointer.truncate(open.pop().unwrap().2),
            b',' => open.last_mut().into_iter().for_each(|open| open.0 = !open.1),
            b'"' => {
                while document[end] != b'"' {
                    end += if document[end] == b'\\' { 2 } else { 1 };
                }
                let raw = &document[at + 1..end];
                end += 1;
                if let Some(open) = open.last_mut().filter(|open| open.0) {
                    open.0 = false;
                    pointer.truncate(open.2);
                    let mut name = String::new();
                    unescape(raw, &mut name);
                    pointer += &format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                } else if raw.starts_with(b"enc:k1:") {
                    out.extend(key().open(std::str::from_utf8(raw).unwrap(), home, &pointer)?);
                    at = end;
                    continue;
                }
            }
            _ => {}
        }
        out.extend_from_slice(&document[at..end]);
        at = end;
    }
    Ok(out)
}

/// What came out, with the letters of what is sealed replaced.
fn even(mut masked: Masked) -> Masked {
    let text = String::from_utf8_lossy(&masked.out).into_owned();
    let mut parts = text.split("enc:k1:");
    let mut even = parts.next().unwrap().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-_".contains(c));
        even += &format!("enc:k1:<{}>{rest}", part.len() - rest.len());
    }
    masked.out = even.into_bytes();
    masked
}

/// Feeds a body in every chunking, and gives what came out of one.
fn all_ways(masker: impl Fn() -> Masker, input: &[u8]) -> Masked {
    let whole = feed(masker(), [input]);
    let expected = even(whole.clone());
    for place in 0..=input.len() {
        let (a, b) = input.split_at(place);
        assert_eq!(
            even(feed(masker(), [a, b])),
            expected,
            "cut at {place}: {}",
            input.escape_ascii()
        );
    }
    for size in [1, 3] {
        let chunked = even(feed(masker(), input.chunks(size)));
        assert_eq!(chunked, expected, "by {size}: {}", input.escape_ascii());
    }
    whole
}

fn masked(mask: &Mask, format: Format, input: &str) -> String {
    let Masked { out, end, .. } = all_ways(|| Masker::new(mask.clone(), format), input.as_bytes());
    assert_eq!(end, Ok(()), "{input}");
    String::from_utf8(out).unwrap()
}

/// In what is expected, `%text%` is a hash.
fn hashes(expected: &str) -> String {
    let parts = expected.split('%').enumerate();
    parts
        .map(|(at, part)| if at % 2 == 1 { h(part) } else { part.to_owned() })
        .collect()
}

#[test]
fn a_hashed_value_is_the_hash_of_what_it_says() {
    for (rules, input, expected) in [
        (
            "h ssn",
            r#"{ "a":1, "ssn": "123" , "b":2 }"#,
            r#"{ "a":1, "ssn": "%123%" , "b":2 }"#,
        ),
        ("h ssn", r#"{"ssn":123}"#, r#"{"ssn":"%123%"}"#),
        ("h ssn", r#"{"ssn":-1.5e3,"x":[]}"#, r#"{"ssn":"%-1.5e3%","x":[]}"#),
        (
            "h ssn",
            r#"{"ssn":null,"SSN":true}"#,
            r#"{"ssn":"%null%","SSN":"%true%"}"#,
        ),
        (
            "h ssn",
            r#"{"ssn":"J\u006f\"\u00e9\ud83d\ude00"}"#,
            "{\"ssn\":\"%Jo\"é😀%\"}",
        ),
        ("h ssn", r#"{"ssn":""}"#, r#"{"ssn":"%%"}"#),
        (
            "h ssn",
            r#"{"ssn":{"ssn" : [1, "x\n"]} ,"b":1}"#,
            r#"{"ssn":"%{"ssn" : [1, "x\n"]}%" ,"b":1}"#,
        ),
        ("h /a/*", r#"{"a":[1, "2",[3 ] ]}"#, r#"{"a":["%1%", "%2%","%[3 ]%" ]}"#),
        ("h /0", "[1]", r#"["%1%"]"#),
        ("h a;v b", r#"{"a":1,"b":2}"#, r#"{"a":"%1%","b":2}"#),
    ] {
        assert_eq!(
            masked(&mask(rules), Format::Json, input),
            hashes(expected),
            "{rules}: {input}"
        );
    }
    assert_eq!(
        masked(&mask("h id"), Format::JsonLines, "{\"id\":7}\n\n{\"id\":\"7\"}"),
        hashes("{\"id\":\"%7%\"}\n\n{\"id\":\"%7%\"}")
    );
}

#[test]
fn what_is_encrypted_is_given_back_byte_by_byte() {
    for (rules, input, sealed) in [
        ("e ssn", r#"{ "a":1, "ssn": "12\u0033\n" , "b":2 }"#, 1),
        ("e ssn", r#"{"ssn":-1.5e3}"#, 1),
        ("e ssn", r#"{"ssn":{"ssn" : [1, "x\n"]} ,"b":1}"#, 1),
        (
            "e ssn",
            r#"[{"ssn":1},{"x":{"y":[[],{"ssn":2}]},"ssn":3},[{"ssn":null}]]"#,
            4,
        ),
        ("e /a/*", r#"{"z":{"q":1},"a":[1, "2",[3 ] ],"b":[1]}"#, 3),
        ("e /a~1b/m~0n", r#"{"a/b":{"x":0,"m~n":1}}"#, 1),
        ("e ssn", r#"{"\u0061\/\"":{"é":{"ssn":"\ud800"}}}"#, 1),
        ("e ssn", r#"{"":{"":[{"ssn":"x"}]}}"#, 1),
    ] {
        let out = masked(&mask(rules), Format::Json, input);
        assert_eq!(out.matches("enc:k1:").count(), sealed, "{out}");
        let opened = open_document(out.as_bytes(), &home()).unwrap();
        assert_eq!(String::from_utf8(opened).unwrap(), input, "{rules}");
        let other = Home {
            module: "other".into(),
            ..home()
        };
        assert_eq!(open_document(out.as_bytes(), &other), Err(Unsealed));
    }
    let lines = "{\"ssn\":1}\n\n{\"a\":{\"ssn\":[2]}}\n";
    let out = masked(&mask("e ssn"), Format::JsonLines, lines);
    assert_eq!(open_document(out.as_bytes(), &home()).unwrap(), lines.as_bytes());
}

#[test]
fn of_several_masks_the_one_that_says_less_holds() {
    let input = r#"{"a":"1","b":2}"#;
    for (rules, starts) in [
        ("h a;e /a", r#"{"a":"enc:k1:"#),
        ("e a;h /a", r#"{"a":"enc:k1:"#),
        ("x a;e /a;h /a", r#"{"a":"[REDACTED]","#),
        ("h a;n /a", r#"{"a":null,"#),
        ("e a;r /a", r#"{"b":2}"#),
        ("h a;v /a", r#"{"a":"hmac:k1:"#),
    ] {
        let out = masked(&mask(rules), Format::Json, input);
        assert!(out.starts_with(starts), "{rules}: {out}");
    }
    let whole = run(&mask("h a;e /a"), Format::Json, [input.as_bytes()]);
    assert_eq!(whole.tally, [1, 1]);
}

#[test]
fn rows_are_judged_before_they_are_sealed() {
    let input = r#"{"rows": [{"id":1,"d":1,"ssn":"x"}, {"id":2,"d":2,"ssn":"y"},{"d":1,"id":[3]}]}"#;
    for rules in ["e ssn;h id", "h id", "e /rows/*"] {
        let mask = with_rows(rules, "/rows");
        let Masked {
            out,
            end,
            dropped,
            tally,
            ..
        } = all_ways(|| Masker::new(mask.clone(), Format::Json), input.as_bytes());
        assert_eq!((end, dropped), (Ok(()), 1), "{rules}");
        let out = open_document(&out, &home()).unwrap();
        let expected = match rules {
            "h id" => r#"{"rows": [{"id":"%1%","d":1,"ssn":"x"},{"d":1,"id":"%[3]%"}]}"#,
            "e /rows/*" => r#"{"rows": [{"id":1,"d":1,"ssn":"x"},{"d":1,"id":[3]}]}"#,
            _ => r#"{"rows": [{"id":"%1%","d":1,"ssn":"x"},{"d":1,"id":"%[3]%"}]}"#,
        };
        assert_eq!(String::from_utf8(out).unwrap(), hashes(expected), "{rules}");
        assert_eq!(tally.last(), Some(&2), "{rules}");
    }
}

/// Each fault with what is written before it.
#[test]
fn what_cannot_be_hashed_or_sealed_is_unmaskable() {
    for (rules, input, out, fault) in [
        (
            "h ssn",
            r#"{"a":1,"ssn":"\ud800x"}"#,
            r#"{"a":1,"ssn":"#,
            Unmaskable::LoneSurrogate { at: 20 },
        ),
        (
            "h ssn",
            r#"{"ssn":"\udc00" oops"#,
            r#"{"ssn":"#,
            Unmaskable::LoneSurrogate { at: 13 },
        ),
        (
            "e ssn",
            r#"{"\ud800":{"ssn":1}}"#,
            r#"{"\ud800":{"ssn":"#,
            Unmaskable::LoneSurrogate { at: 17 },
        ),
        (
            "h ssn",
            r#"{"ssn":"abc"#,
            r#"{"ssn":"#,
            Unmaskable::Incomplete { at: 11 },
        ),
        (
            "e ssn",
            r#"{"ssn":[1,"#,
            r#"{"ssn":"#,
            Unmaskable::Incomplete { at: 10 },
        ),
        (
            "e ssn",
            "{\"ssn\":\"a\u{1}",
            r#"{"ssn":"#,
            Unmaskable::Control { at: 9 },
        ),
    ] {
        let masked = all_ways(|| Masker::new(mask(rules), Format::Json), input.as_bytes());
        assert_eq!(masked.end, Err(fault), "{input}");
        assert_eq!(String::from_utf8(masked.out).unwrap(), out, "{input}");
    }
    let latin = b"{\"ssn\":\"M\xfcller\",\"b\":\"\xfc\"}";
    let tolerant = all_ways(|| Masker::tolerant(mask("h ssn"), Format::Json), latin);
    assert_eq!(
        (tolerant.end, tolerant.out),
        (Err(Unmaskable::Charset { at: 9 }), b"{\"ssn\":".to_vec())
    );
    let sealed = all_ways(|| Masker::tolerant(mask("e ssn"), Format::Json), latin);
    assert_eq!(sealed.end, Ok(()));
    let text = String::from_utf8_lossy(&sealed.out).into_owned();
    let envelope = text.split('"').nth(3).unwrap();
    assert_eq!(key().open(envelope, &home(), "/ssn").unwrap(), b"\"M\xfcller\"");
}

#[test]
fn a_sealed_value_is_bound_to_its_pointer() {
    let body = "{\"a/b\":[[{\"m~n\":{\"\\u00e9\\\"\":1}}]],\"c\":{\"d\":2},\"\":3}";
    for (rules, pointer, value) in [
        ("e /a~1b/*/*/m~0n/é\"", "/a~1b/*/*/m~0n/é\"", "1"),
        ("e /a~1b/0/0/m~0n", "/a~1b/*/*/m~0n", "{\"\\u00e9\\\"\":1}"),
        ("e c", "/c", "{\"d\":2}"),
        ("e d;r m~n", "/c/d", "2"),
        ("E /", "/", "3"),
    ] {
        let out = masked(&mask(rules), Format::Json, body);
        let envelope = out.split('"').find(|part| part.starts_with("enc:k1:")).unwrap();
        assert_eq!(
            key().open(envelope, &home(), pointer).unwrap(),
            value.as_bytes(),
            "{rules}"
        );
        assert!(key().open(envelope, &home(), "/c/x").is_err());
    }
}

#[test]
fn a_list_may_be_sorted_and_still_opens() {
    let out = masked(&mask("e ssn"), Format::Json, r#"[{"ssn":1},{"ssn":2}]"#);
    let parts: Vec<&str> = out.trim_matches(['[', ']']).split(',').collect();
    let turned = format!("[{}, {}]", parts[1], parts[0]);
    assert_eq!(
        open_document(turned.as_bytes(), &home()).unwrap(),
        br#"[{"ssn":2}, {"ssn":1}]"#
    );
    let moved = turned.replace("ssn", "name");
    assert_eq!(open_document(moved.as_bytes(), &home()), Err(Unsealed));
}

#[test]
fn what_is_sealed_has_a_longest() {
    for (more, fault) in [
        (0, None),
        (
            1,
            Some(Unmaskable::LongValue {
                at: 7 + MAX_SEALED as u64,
            }),
        ),
    ] {
        let body = format!("{{\"ssn\":\"{}\",\"a\":[1", "x".repeat(MAX_SEALED - 2 + more));
        for size in [body.len(), 1000, 1] {
            let masked = run(&mask("e ssn"), Format::Json, body.as_bytes().chunks(size));
            let end = fault.unwrap_or(Unmaskable::Incomplete { at: body.len() as u64 });
            assert_eq!(masked.end, Err(end), "{more} by {size}");
            assert_eq!(masked.out.len() > 100, more == 0);
        }
    }
    let name = "n".repeat(1000);
    let deep = |levels: usize| format!("{{\"{name}\":").repeat(levels) + "{\"s\":1}" + &"}".repeat(levels);
    for (levels, sound) in [(65, true), (66, false)] {
        let body = deep(levels);
        assert_eq!(levels * 1001 + 2 <= MAX_POINTER, sound);
        for size in [body.len(), 999, 1] {
            let masked = run(&mask("e s"), Format::Json, body.as_bytes().chunks(size));
            let at = (levels * 1004 + 5) as u64;
            let end = if sound {
                Ok(())
            } else {
                Err(Unmaskable::LongPath { at })
            };
            assert_eq!(masked.end, end, "{levels} by {size}");
        }
    }
}

/// Whichever limit comes first is the one that is reached, however the body is cut.
#[test]
fn a_row_that_is_too_long_and_a_value_too_long_to_seal() {
    let mask = with_rows("e ssn", "");
    for before in [MAX_ROW - MAX_SEALED - 100, MAX_ROW - MAX_SEALED + 100] {
        let body = format!(
            "[{{\"a\":\"{}\",\"ssn\":\"{}\"}}]",
            "x".repeat(before),
            "y".repeat(MAX_SEALED + 1000)
        );
        let whole = run(&mask, Format::Json, [body.as_bytes()]);
        for size in [1 << 16, 1001, 1] {
            assert_eq!(
                run(&mask, Format::Json, body.as_bytes().chunks(size)),
                whole,
                "by {size}"
            );
        }
        let row = matches!(whole.end, Err(Unmaskable::LongRow { .. }));
        assert_eq!(row, before > MAX_ROW - MAX_SEALED, "{:?}", whole.end);
        assert_eq!(whole.out, b"[");
    }
}

#[test]
fn memory_does_not_depend_on_what_is_hashed() {
    let mut masker = Masker::new(mask("h ssn;e x"), Format::Json);
    let mut out = Vec::new();
    masker.feed(b"{\"a\":{\"ssn\":[\"", &mut out).unwrap();
    for _ in 0..256 {
        masker.feed(&[b'x'; 16 * 1024], &mut out).unwrap();
        assert!(masker.held() < 4096, "{}", masker.held());
    }
    masker.feed(b"\"]}", &mut out).unwrap();
    let held = masker.held();
    for _ in 0..100 {
        masker.feed(b",\"o\":{\"x\":\"", &mut out).unwrap();
        masker.feed(&[b'x'; 60 * 1024], &mut out).unwrap();
        assert!(masker.held() < 2 * MAX_SEALED + 4096, "{}", masker.held());
        masker.feed(b"\"}", &mut out).unwrap();
        assert!(masker.held() <= held + 64, "{}", masker.held());
    }
}

#[test]
fn fields_of_csv_are_hashed_and_sealed() {
    let input = "id,ssn,a\r\n7,\"1,\"\"2\",x\r\n\"7\",,\"y\"\r\n";
    assert_eq!(
        masked(&mask("h id;h ssn"), CSV, input),
        hashes("id,ssn,a\r\n%7%,%1,\"2%,x\r\n%7%,%%,\"y\"\r\n"),
    );
    let out = masked(&mask("r id;e ssn;h a"), CSV, input);
    let lines: Vec<&str> = out.lines().collect();
    let fields: Vec<&str> = lines[1].split(',').collect();
    assert_eq!((lines[0], fields.len(), fields[1]), ("ssn,a", 2, &*h("x")));
    assert_eq!(key().open(fields[0], &home(), "/ssn").unwrap(), b"\"1,\"\"2\"");
    for (rules, input, expected) in [
        ("h b", "a,b,c\n1,2,3\n", "a,b,c\n1,%2%,3\n"),
        ("h a;r b", "a,b,c\n1,2,3\n", "a,c\n%1%,3\n"),
        ("h a;h b;x c", "a,b,c\n1,2,3\n", "a,b,c\n%1%,%2%,[REDACTED]\n"),
        ("r a;h b", "a,b\n1,2\n3,4", "b\n%2%\n%4%"),
        ("x a;h b", "a,b\n1,\"é\"", "a,b\n[REDACTED],%é%"),
        ("h a", "a\n\"\"\n", "a\n%%\n"),
    ] {
        assert_eq!(masked(&mask(rules), CSV, input), hashes(expected), "{rules}");
    }
}

#[test]
fn without_a_home_nothing_is_sealed() {
    let mask = Mask {
        home: None,
        ..mask("e ssn")
    };
    let json = all_ways(|| Masker::new(mask.clone(), Format::Json), br#"{"a":1,"ssn":"x"}"#);
    assert_eq!(
        (json.end, json.out),
        (Err(Unmaskable::NotSealed { at: 13 }), br#"{"a":1,"ssn":"#.to_vec())
    );
    let csv = all_ways(|| Masker::new(mask.clone(), CSV), b"a,ssn\n1,x\n");
    assert_eq!(
        (csv.end, csv.out),
        (
            Err(Unmaskable::Csv {
                at: 6,
                fault: CsvFault::NotSealed
            }),
            b"a,ssn\n".to_vec()
        )
    );
}

proptest! {
    /// What is hashed or sealed is not in what comes out, nor any character of it.
    #[test]
    fn nothing_of_a_value_is_in_what_comes_out(secret in "[!&<>]{4,40}", cut in 0..60_usize, action in "[he]") {
        for value in [format!("\"{secret}\""), format!("[{{\"a\":\"{secret}\"}}]"), format!("{{\"{secret}\":1}}")] {
            let body = format!("{{\"x\":1, \"ssn\":{value},\"y\":[]}}");
            let (head, tail) = body.split_at(cut.min(body.len()));
            for chunks in [&[head, tail][..], &[head]] {
                let whole = run(&mask(&format!("{action} ssn")), Format::Json, chunks.iter().map(|chunk| chunk.as_bytes()));
                prop_assert!(!String::from_utf8(whole.out).unwrap().contains(['!', '&', '<', '>']));
            }
        }
    }

    /// Whatever the document, all that is sealed comes back, and how it is cut does not show.
    #[test]
    fn a_document_is_sealed_and_opened(tree in tree(), sizes in prop::collection::vec(1..40_usize, 1..4)) {
        let text = tree.text();
        let sealing = mask("e a;e /b/*;e /*/c");
        let whole = run(&sealing, Format::Json, [text.as_bytes()]);
        prop_assert_eq!(
            even(run(&sealing, Format::Json, chunked(text.as_bytes(), &sizes))),
            even(whole.clone())
        );
        if whole.end.is_ok() {
            let opened = open_document(&whole.out, &home()).unwrap();
            prop_assert_eq!(&String::from_utf8(opened).unwrap(), &text);
        }
        let hashing = mask("h a;h /b/*;h /*/c");
        let whole = run(&hashing, Format::Json, [text.as_bytes()]);
        prop_assert_eq!(&run(&hashing, Format::Json, chunked(text.as_bytes(), &sizes)), &whole);
        prop_assert_eq!(&whole.tally, &run(&sealing, Format::Json, [text.as_bytes()]).tally);
    }

    /// What is removed where hashing would put a hash leaves the same document: nothing beside the hashes differs.
    #[test]
    fn a_hash_stands_where_null_would(tree in tree()) {
        let text = tree.text();
        let hashed = run(&mask("h a;h /b/*"), Format::Json, [text.as_bytes()]);
        let nulls = run(&mask("n a;n /b/*"), Format::Json, [text.as_bytes()]);
        if hashed.end.is_ok() {
            let mut out = String::from_utf8(hashed.out).unwrap();
            while let Some(start) = out.find("\"hmac:k1:") {
                out.replace_range(start..start + 9 + 43 + 1, "null");
            }
            prop_assert_eq!(out, String::from_utf8(nulls.out).unwrap());
        }
    }
}
