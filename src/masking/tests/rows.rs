//! Rows: which elements go, what goes with them, and that nothing of them is ever written.

use proptest::prelude::*;
use serde_json::Value;
use std::sync::Arc;

use super::{Masked, mask, properties, run, run_all_ways};
use crate::masking::{Format, MAX_HELD, MAX_NAME, MAX_PATH_STEPS, MAX_ROW, Mask, RowJudge, RowPath, Rows, Unmaskable};

/// Keeps objects whose `d` is 1, texts that start with `k` and even numbers. Everything else is none of its business,
/// and neither is what cannot be read in one way.
struct Simple;

impl Simple {
    fn keeps(row: &Value) -> bool {
        match row {
            Value::Object(members) => members.get("d") == Some(&Value::from(1)),
            Value::String(text) => text.starts_with('k'),
            Value::Number(number) => number.as_u64().is_some_and(|number| number % 2 == 0),
            _ => false,
        }
    }
}

impl RowJudge for Simple {
    fn stays(&self, row: &[u8]) -> bool {
        assert_eq!(row, row.trim_ascii(), "a row is its value, no more");
        crate::call::json::read(row, 64).is_some_and(|row| Self::keeps(&row))
    }
}

pub(super) fn with_rows(rules: &str, at: &str) -> Mask {
    Mask {
        rows: Some(Rows {
            at: Arc::new(RowPath::parse(at).unwrap()),
            judge: Arc::new(Simple),
        }),
        ..mask(rules)
    }
}

fn check(format: Format, cases: &[(&str, &str, &str)]) {
    for &(at, input, expected) in cases {
        check_masked(format, "", at, input, expected);
    }
}

fn check_masked(format: Format, rules: &str, at: &str, input: &str, expected: &str) -> Masked {
    let masked = run_all_ways(&with_rows(rules, at), format, input.as_bytes());
    assert_eq!(masked.end, Ok(()), "{rules} {at}: {input}");
    assert_eq!(
        std::str::from_utf8(&masked.out).unwrap(),
        expected,
        "{rules} {at}: {input}"
    );
    masked
}

#[test]
fn a_dropped_row_takes_its_comma_along() {
    check(
        Format::Json,
        &[
            ("/r", r#"{"r":[2, 4, 6]}"#, r#"{"r":[2, 4, 6]}"#),
            ("/r", r#"{"r":[1, 4, 6]}"#, r#"{"r":[ 4, 6]}"#),
            ("/r", r#"{"r":[2, 3, 6]}"#, r#"{"r":[2, 6]}"#),
            ("/r", r#"{"r":[2, 4, 5]}"#, r#"{"r":[2, 4]}"#),
            ("/r", r#"{"r":[1, 3, 5]}"#, r#"{"r":[]}"#),
            ("/r", r#"{"r":[ 1 , 3 , 5 ]}"#, r#"{"r":[   ]}"#),
            ("/r", r#"{"r":[ 1 , 4 , 5 , 6 ]}"#, r#"{"r":[  4  , 6 ]}"#),
            ("/r", r#"{"r":[1,1,2,1,1,4,1]}"#, r#"{"r":[2,4]}"#),
            ("/r", r#"{"r":[]}"#, r#"{"r":[]}"#),
            ("/r", "{\"r\":[ \n ]}", "{\"r\":[ \n ]}"),
            ("/r", r#"{"r":[1]}"#, r#"{"r":[]}"#),
            (
                "/r",
                "{\n  \"r\": [\n    {\"d\": 1},\n    {\"d\": 2},\n    {\"d\": 1, \"n\": 1.50}\n  ]\n}\n",
                "{\n  \"r\": [\n    {\"d\": 1},\n    {\"d\": 1, \"n\": 1.50}\n  ]\n}\n",
            ),
            (
                "/r",
                "{\n  \"r\": [\n    {\"d\": 2}\n  ]\n}\n",
                "{\n  \"r\": [\n  ]\n}\n",
            ),
            (
                "/r",
                r#"{"x":[1,3],"r":[1,2],"y":[1,{"r":[1]}]}"#,
                r#"{"x":[1,3],"r":[2],"y":[1,{"r":[1]}]}"#,
            ),
        ],
    );
}

#[test]
fn what_cannot_be_judged_is_dropped() {
    for row in [
        "null",
        "true",
        "[]",
        r#"[{"d":1}]"#,
        "{}",
        r#"{"d":null}"#,
        r#"{"d":"1"}"#,
        r#"{"d":[1]}"#,
        r#"{"d":1,"d":1}"#,
        r#"{"d":2,"d":1}"#,
        r#"{"d":1,"\u0064":2}"#,
        r#"{"x":{"d":1}}"#,
        r#"{"d":1,"x":"\ud800"}"#,
        r#"{"d":1,"x":1e999}"#,
        r#""\"k""#,
        r#""]k,[""#,
        "-2.5",
        "1E5",
    ] {
        let masked = check_masked(
            Format::Json,
            "",
            "/r",
            &format!(r#"{{"r":[2,{row},4]}}"#),
            r#"{"r":[2,4]}"#,
        );
        assert_eq!(masked.dropped, 1, "{row}");
        check_masked(Format::Json, "", "", &format!("[ {row} ]"), "[ ]");
    }
    let deep = format!("{{\"d\":1,\"x\":{}{}}}", "[".repeat(64), "]".repeat(64));
    check_masked(Format::Json, "", "", &format!("[{deep},2]"), "[2]");
}

#[test]
fn a_row_that_stays_is_the_backends_own() {
    for row in [
        "2",
        r#""k""#,
        r#""k\"]},{[\\\u00e9é😀""#,
        r#"{"d":1}"#,
        r#"{"\u0064":1}"#,
        "{ \"x\" : [ 1.10 , \"]\" , { } ] ,\t\"d\" :\r\n1 }",
        r#"{"d":1,"r":[1,3,{"r":[5]}],"s":"}\\"}"#,
    ] {
        check_masked(
            Format::Json,
            "",
            "/r",
            &format!(r#"{{"r":[1,{row} ,3, {row}]}}"#),
            &format!(r#"{{"r":[{row} , {row}]}}"#),
        );
        check_masked(
            Format::Json,
            "",
            "",
            &format!(" [{row},{row}] "),
            &format!(" [{row},{row}] "),
        );
    }
}

#[test]
fn a_path_leads_to_arrays() {
    check(
        Format::Json,
        &[
            ("", "[1,2,{\"d\":1},[2]]", "[2,{\"d\":1}]"),
            ("/a/r", r#"{"a":{"r":[1,2]},"r":[1]}"#, r#"{"a":{"r":[2]},"r":[1]}"#),
            ("/*", r#"{"a":[1,2],"b":[3]}"#, r#"{"a":[2],"b":[]}"#),
            ("/*", "[[1,2],[3],[]]", "[[2],[],[]]"),
            (
                "/*/r",
                r#"[{"r":[1,2]},{"r":[3]},{"x":[1]},7]"#,
                r#"[{"r":[2]},{"r":[]},{"x":[1]},7]"#,
            ),
            (
                "/r/*/s",
                r#"{"r":[{"s":[1]},{"s":[2,1]}]}"#,
                r#"{"r":[{"s":[]},{"s":[2]}]}"#,
            ),
            ("/1", "[[1],[1,2],[1]]", "[[1],[2],[1]]"),
            ("/1", r#"{"0":[1],"1":[1]}"#, r#"{"0":[1],"1":[]}"#),
            ("/0/1", "[[[1],[1],[1]],[[1],[1]]]", "[[[1],[],[1]],[[1],[1]]]"),
            ("/*/1", "[[[1],[1,2]],[[1],[3]]]", "[[[1],[2]],[[1],[]]]"),
            // Every spelling of a name, and each array of a name that is given more than once.
            (
                "/my_rows",
                r#"{"myRows":[1],"MY-ROWS":[2,1],"my\u005frows":[1]}"#,
                r#"{"myRows":[],"MY-ROWS":[2],"my\u005frows":[]}"#,
            ),
            (
                "/assignments",
                r#"{"\u0061ssignments":[1,2]}"#,
                r#"{"\u0061ssignments":[2]}"#,
            ),
            ("/assignments", r#"{"ASSIGNMENTS":[1,2]}"#, r#"{"ASSIGNMENTS":[2]}"#),
            ("/a~1b/~0", r#"{"a/b":{"~":[1]}}"#, r#"{"a/b":{"~":[]}}"#),
            (
                "/a/r",
                r#"{"a":{"r":[1]},"a":{"r":[2,3]},"A":{"R":[1]}}"#,
                r#"{"a":{"r":[]},"a":{"r":[2]},"A":{"R":[]}}"#,
            ),
            ("/r", r#"{"r":[1],"r":[2,1],"r":[]}"#, r#"{"r":[],"r":[2],"r":[]}"#),
            // Where there is nothing, there is nothing to drop.
            (
                "/r",
                r#"{"error":"no","x":{"r":[1]}}"#,
                r#"{"error":"no","x":{"r":[1]}}"#,
            ),
            ("/r", "{}", "{}"),
            ("/r", "\"r\"", "\"r\""),
            ("/a/r", r#"{"a":7}"#, r#"{"a":7}"#),
            ("/a/r", r#"{"a":null}"#, r#"{"a":null}"#),
            ("/a/r", r#"{"a":{},"b":[1]}"#, r#"{"a":{},"b":[1]}"#),
            ("/r", r#"{"r":null}"#, r#"{"r":null}"#),
            ("", "null", "null"),
        ],
    );
    check(
        Format::JsonLines,
        &[
            ("", "[1,2]\n[3]\nnull\n", "[2]\n[]\nnull\n"),
            ("/r", "{\"r\":[1,2]}\n{\"r\":[3]}\n{}", "{\"r\":[2]}\n{\"r\":[]}\n{}"),
            ("/1", "[[1],[1]]\n[[1],[1]]", "[[1],[]]\n[[1],[]]"),
        ],
    );
}

#[test]
fn rows_that_are_no_array_are_not_passed() {
    for (at, input, place, out) in [
        ("/r", r#"{"a":1,"r":{"d":2}}"#, 11, r#"{"a":1,"r":"#),
        ("/r", r#"{"r":"x"}"#, 5, r#"{"r":"#),
        ("/r", r#"{"r":7}"#, 5, r#"{"r":"#),
        ("/r", r#"{"r":-7}"#, 5, r#"{"r":"#),
        ("/r", r#"{"r": true}"#, 6, r#"{"r": "#),
        ("/r", r#"{"r":[2],"R":{}}"#, 13, r#"{"r":[2],"R":"#),
        ("/*", r#"{"a":[1],"b":1}"#, 13, r#"{"a":[],"b":"#),
        ("", r#"{"r":[]}"#, 0, ""),
        ("", " 7", 1, " "),
        ("", "\"x\"", 0, ""),
        // The way leads through an object of that name, which is an array here.
        ("/r", "[1]", 0, ""),
        ("/a/r", r#"{"a":[{"r":[1]}]}"#, 5, r#"{"a":"#),
    ] {
        let masked = run_all_ways(&with_rows("", at), Format::Json, input.as_bytes());
        assert_eq!(masked.end, Err(Unmaskable::NotRows { at: place }), "{at}: {input}");
        assert_eq!(String::from_utf8(masked.out).unwrap(), out, "{at}: {input}");
    }
    let masked = run_all_ways(&with_rows("", "/r"), Format::Json, br#"{"r":nil}"#);
    assert!(matches!(masked.end, Err(Unmaskable::Unexpected { .. })));
}

#[test]
fn rows_and_fields_work_together() {
    for (rules, at, input, expected, tally, dropped) in [
        // What decides may be what the caller may not see.
        (
            "r d",
            "/r",
            r#"{"r":[{"d":1,"a":1},{"d":2},{"a":3, "d":1}]}"#,
            r#"{"r":[{"a":1},{"a":3}]}"#,
            vec![2],
            1,
        ),
        (
            "n d",
            "/r",
            r#"{"d":0,"r":[{"d":2}, {"d":1}]}"#,
            r#"{"d":null,"r":[ {"d":null}]}"#,
            vec![2],
            1,
        ),
        (
            "x d x",
            "",
            r#"[{"d":2,"x":1} , {"x":[{"x":1}],"d":1}]"#,
            r#"[  {"x":"[REDACTED]","d":"[REDACTED]"}]"#,
            vec![2],
            1,
        ),
        (
            "r x",
            "",
            r#"[{"d":1,"x":1},{"d":1,"x":1}]"#,
            r#"[{"d":1},{"d":1}]"#,
            vec![2],
            0,
        ),
        // An element of a class is masked as one, if its row stays.
        ("n /r/*", "/r", r#"{"r":[1,2,3,4]}"#, r#"{"r":[null,null]}"#, vec![2], 2),
        (
            "x /r/1",
            "/r",
            r#"{"r":[1,2,4]}"#,
            r#"{"r":["[REDACTED]",4]}"#,
            vec![1],
            1,
        ),
        ("r /r/1", "/r", r#"{"r":[2,4,5,6]}"#, r#"{"r":[2,6]}"#, vec![1], 1),
        ("r /r/0", "/r", r#"{"r":[2,5,6]}"#, r#"{"r":[6]}"#, vec![1], 1),
        ("r /r/*", "/r", r#"{"r":[2, 5]}"#, r#"{"r":[]}"#, vec![2], 0),
        (
            "r /r/*/x",
            "/r",
            r#"{"r":[{"d":1,"x":5},{"x":5}]}"#,
            r#"{"r":[{"d":1}]}"#,
            vec![1],
            1,
        ),
        // An array of a class goes whole, rows and all.
        ("r r", "/r", r#"{"a":1,"r":[1,2]}"#, r#"{"a":1}"#, vec![1], 0),
        ("n r", "/r", r#"{"r":[1,2],"b":3}"#, r#"{"r":null,"b":3}"#, vec![1], 0),
        (
            "x a",
            "/a/r",
            r#"{"a":{"r":[1,2]}}"#,
            r#"{"a":"[REDACTED]"}"#,
            vec![1],
            0,
        ),
        ("n /*", "/*/r", r#"[{"r":[1]}]"#, "[null]", vec![1], 0),
        ("v r", "/r", r#"{"r":[1,2]}"#, r#"{"r":[2]}"#, vec![0], 1),
        ("n r", "/r", r#"{"r":{"d":1}}"#, r#"{"r":null}"#, vec![1], 0),
    ] {
        let masked = check_masked(Format::Json, rules, at, input, expected);
        assert_eq!(
            (masked.tally, masked.dropped),
            (tally, dropped),
            "{rules} {at}: {input}"
        );
    }
}

#[test]
fn a_row_that_is_not_whole_is_not_written() {
    let body = r#"{"a":1,"r":[{"d":1,"s":"CANARY"},{"s":"CANARY","d":1}]}"#;
    let ends = [body.find("},").unwrap() + 1, body.len() - 2];
    for end in 0..body.len() {
        let masked = run_all_ways(&with_rows("", "/r"), Format::Json, &body.as_bytes()[..end]);
        assert!(matches!(
            masked.end,
            Err(Unmaskable::Incomplete { .. } | Unmaskable::Empty { .. })
        ));
        let out = String::from_utf8(masked.out).unwrap();
        let whole = ends.iter().filter(|own| end >= **own).count();
        assert_eq!(out.matches("CANARY").count(), whole, "{end}: {out}");
    }
    // A fault within a row, and what was counted in it.
    for broken in [
        r#"{"x":1,"r":[{"x":1,"d":1},{"x":2,"d":1,}]}"#,
        "{\"x\":1,\"r\":[{\"x\":1,\"d\":1},{\"x\":2,\"d\":1,\"s\":\"\u{1}\"}]}",
    ] {
        let masked = run_all_ways(&with_rows("r x", "/r"), Format::Json, broken.as_bytes());
        assert!(masked.end.is_err());
        assert_eq!(masked.out, br#"{"r":[{"d":1}"#);
        assert_eq!(masked.tally, [2]);
    }
}

/// Whole, in odd pieces and byte by byte.
fn run_some_ways(mask: &Mask, input: &[u8]) -> Masked {
    let whole = run(mask, Format::Json, [input]);
    for size in [1, 1021, 65_537] {
        assert_eq!(run(mask, Format::Json, input.chunks(size)), whole);
    }
    whole
}

#[test]
fn a_row_has_a_limit() {
    let empty = r#"{"d":1,"s":""}"#.len();
    for (rules, fill) in [("", "x"), ("r s", "x"), ("x d", " "), ("", "é")] {
        for (length, fits) in [(MAX_ROW, true), (MAX_ROW + 1, false), (MAX_ROW + 70_000, false)] {
            let left = length - empty;
            let fill = fill.repeat(left / fill.len()) + &"y".repeat(left % fill.len());
            for broken in ["", "}"] {
                let row = format!(r#"{{"d":1,"s":"{fill}"}}"#);
                assert_eq!(row.len(), length);
                let masked = run_some_ways(&with_rows(rules, ""), format!(r#"[2,{row}{broken} , 3,4]"#).as_bytes());
                if !fits {
                    assert_eq!(masked.end, Err(Unmaskable::LongRow { at: 3 + MAX_ROW as u64 }));
                    assert_eq!((masked.out.as_slice(), masked.dropped), (&b"[2"[..], 0));
                    assert!(masked.tally.iter().all(|count| *count == 0));
                } else if broken.is_empty() {
                    assert_eq!(masked.end, Ok(()));
                    assert!(masked.out.ends_with(b"} ,4]"), "{rules}");
                }
            }
        }
    }
    // What is between rows does not count.
    let space = " ".repeat(MAX_HELD - 1);
    let input = format!("[2,{space}{}2 ,{space}4]", "2,".repeat(MAX_ROW));
    let masked = run(&with_rows("", ""), Format::Json, input.as_bytes().chunks(65_537));
    assert_eq!((masked.end, masked.out == input.as_bytes()), (Ok(()), true));
}

#[test]
fn no_more_than_one_row_is_held() {
    let mut masker = super::Masker::new(with_rows("r s", "/r"), Format::Json);
    let mut out = Vec::new();
    let row = format!(r#"{{"d":1,"s":"{0}","t":"{0}"}}"#, "x".repeat(10_000));
    let body = format!("{{\"r\":[{}2]}}", format!("{row},1,").repeat(200));
    let mut most = 0;
    for chunk in body.as_bytes().chunks(4093) {
        masker.feed(chunk, &mut out).unwrap();
        most = most.max(masker.held());
        out.clear();
    }
    masker.finish(&mut out).unwrap();
    assert!(most < 3 * row.len() + MAX_NAME, "{most}");
    assert_eq!(masker.dropped(), 200);
    assert_eq!(masker.tally(), [200]);
}

#[test]
fn a_path_that_leads_nowhere_sensible_is_a_fault() {
    for (text, fault) in [
        ("", None),
        ("/a", None),
        ("/*", None),
        ("/*/a/0", None),
        ("/a~0~1", None),
        ("a", Some("path `a` must start with `/`")),
        ("/**", Some("path `/**`: rows have no `**`; name each step")),
        ("/a/**/b", Some("path `/a/**/b`: rows have no `**`; name each step")),
        (
            "/a~",
            Some("path `/a~`: after `~` comes `0` (for `~`) or `1` (for `/`)"),
        ),
        (
            "/a/",
            Some("path `/a/` has a step with nothing to compare: `_`, `-` and case do not count"),
        ),
    ] {
        let got = RowPath::parse(text);
        assert_eq!(got.as_ref().err().map(String::as_str), fault, "{text}");
        assert!(got.is_err() || got.unwrap().to_string() == text);
    }
    assert!(RowPath::parse(&"/a".repeat(MAX_PATH_STEPS)).is_ok());
    assert!(RowPath::parse(&"/a".repeat(MAX_PATH_STEPS + 1)).is_err());
}

/// Drops rows from a tree, as the masker should from its text.
fn drop_rows(value: &mut Value, path: &[&str]) {
    match (path.split_first(), value) {
        (None, Value::Array(rows)) => rows.retain(Simple::keeps),
        (Some((step, rest)), Value::Object(members)) => {
            for (name, member) in members {
                if *step == "*" || step.eq_ignore_ascii_case(name) {
                    drop_rows(member, rest);
                }
            }
        }
        (Some((step, rest)), Value::Array(elements)) => {
            for (at, element) in elements.iter_mut().enumerate() {
                if *step == "*" || *step == at.to_string() {
                    drop_rows(element, rest);
                }
            }
        }
        _ => {}
    }
}

/// Whether something else stands where the rows should be, or an array where a member should.
fn misplaced(value: &Value, path: &[&str]) -> bool {
    let Some((step, rest)) = path.split_first() else {
        return !matches!(value, Value::Array(_) | Value::Null);
    };
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(name, member)| (*step == "*" || step.eq_ignore_ascii_case(name)) && misplaced(member, rest)),
        Value::Array(_) if "abd".contains(step) => true,
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .any(|(at, element)| (*step == "*" || *step == at.to_string()) && misplaced(element, rest)),
        _ => false,
    }
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..5_u32).prop_map(Value::from),
        "[k\\]\"{,\\\\é]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            3 => prop::collection::hash_map("[abdD]", inner, 0..5).prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_dropped_as_the_reference_does(
        document in document(), pretty in any::<bool>(), at in "(/([abd]|\\*|[0-2])){0,3}",
        sizes in prop::collection::vec(1..9_usize, 1..5),
    ) {
        let input = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        let path: Vec<_> = at.split('/').skip(1).collect();
        let mask = with_rows("", &at);
        let whole = run(&mask, Format::Json, [input.as_bytes()]);
        prop_assert_eq!(&run(&mask, Format::Json, properties::chunked(input.as_bytes(), &sizes)), &whole);
        match whole.end {
            Ok(()) => {
                prop_assert!(!misplaced(&document, &path), "{} {}", at, input);
                let mut expected = document;
                drop_rows(&mut expected, &path);
                prop_assert_eq!(serde_json::from_slice::<Value>(&whole.out).unwrap(), expected, "{} {}", at, input);
            }
            Err(fault) => {
                let not_rows = matches!(fault, Unmaskable::NotRows { .. });
                prop_assert!(not_rows && misplaced(&document, &path), "{} {}: {}", at, input, fault);
            }
        }
    }

    #[test]
    fn fields_and_rows_at_once_are_rows_and_then_fields(
        tree in properties::tree(), at in "(/([a-d]|\\*|[0-2])){0,3}", action in "[rnx]", name in "[a-d]",
        sizes in prop::collection::vec(1..9_usize, 1..5),
    ) {
        let input = tree.text();
        let fields = format!("{action} {name}");
        let both = with_rows(&fields, &at);
        let at_once = run(&both, Format::Json, [input.as_bytes()]);
        prop_assert_eq!(&run(&both, Format::Json, properties::chunked(input.as_bytes(), &sizes)), &at_once);
        let rows = run(&with_rows("", &at), Format::Json, [input.as_bytes()]);
        // What is not where it should be may stand within what is masked.
        if rows.end.is_ok() {
            let then_fields = run(&mask(&fields), Format::Json, [rows.out.as_slice()]);
            prop_assert_eq!(String::from_utf8(at_once.out).unwrap(), String::from_utf8(then_fields.out).unwrap());
            prop_assert_eq!((at_once.tally, at_once.end), (then_fields.tally, Ok(())));
            prop_assert!(at_once.dropped <= rows.dropped);
        }
    }

    #[test]
    fn any_bytes_end_the_same_with_rows(
        input in "[\\[\\]{},:\"ad024 kn\\\\]{0,40}", at in prop_oneof![Just(""), Just("/a"), Just("/*"), Just("/0/a")],
        sizes in prop::collection::vec(1..5_usize, 1..4),
    ) {
        let mask = with_rows("r d; n /0/1", at);
        let whole = run(&mask, Format::Json, [input.as_bytes()]);
        prop_assert_eq!(&run(&mask, Format::Json, properties::chunked(input.as_bytes(), &sizes)), &whole);
        if whole.end.is_ok() {
            prop_assert!(serde_json::from_slice::<Box<serde_json::value::RawValue>>(&whole.out).is_ok());
        }
    }
}
