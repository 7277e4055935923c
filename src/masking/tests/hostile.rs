//! Limits, each at the limit and one past it, and inputs made to be slow.

use super::{Masked, mask, run};
use crate::masking::{Format, MAX_DEPTH, MAX_HELD, MAX_NAME, Masker, Unmaskable};

/// Whole, in odd pieces and byte by byte; cutting at every offset is for smaller inputs.
fn run_some_ways(rules: &str, input: &[u8]) -> Masked {
    let mask = mask(rules);
    let whole = run(&mask, Format::Json, [input]);
    assert_eq!(run(&mask, Format::Json, input.chunks(1)), whole);
    assert_eq!(run(&mask, Format::Json, input.chunks(1021)), whole);
    whole
}

#[test]
fn depth_has_a_limit() {
    for (open, close, levels) in [("[", "]", 1), ("{\"a\":", "}", 1), ("{\"a\":[", "]}", 2)] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth / levels), close.repeat(depth / levels));
        for rules in ["", "r /**/x", "r x"] {
            let fits = nested(MAX_DEPTH);
            let masked = run_some_ways(rules, fits.as_bytes());
            assert_eq!((masked.end, masked.out.as_slice()), (Ok(()), fits.as_bytes()));
            let deep = nested(MAX_DEPTH + levels);
            let fault = run_some_ways(rules, deep.as_bytes()).end.unwrap_err();
            assert!(matches!(fault, Unmaskable::TooDeep { .. }), "{fault}");
        }
    }
    let cut = format!("{{\"x\":{}", "[".repeat(100_000));
    let masked = run(&mask("r x"), Format::Json, [cut.as_bytes()]);
    assert_eq!(
        (masked.out.as_slice(), masked.end),
        (&b"{"[..], Err(Unmaskable::TooDeep { at: 5 + 511 }))
    );
}

#[test]
fn a_name_has_a_limit() {
    for (length, fits) in [(MAX_NAME, true), (MAX_NAME + 2, false), (MAX_NAME * 3, false)] {
        for name in ["x".repeat(length), "é".repeat(length / 2), "\\n".repeat(length / 2)] {
            let input = format!("{{\"a\":1, \"{name}\":2}}");
            let masked = run_some_ways("r ssn", input.as_bytes());
            if fits {
                assert_eq!((masked.end, masked.out), (Ok(()), input.into_bytes()));
            } else {
                assert_eq!(
                    masked.end,
                    Err(Unmaskable::LongName {
                        at: 9 + MAX_NAME as u64
                    })
                );
                assert_eq!(masked.out, b"{\"a\":1");
            }
        }
    }
    let input = format!("{{\"{}\":1}}", "x".repeat(MAX_NAME + 1));
    assert!(run_some_ways("r ssn", input.as_bytes()).end.is_err());
}

#[test]
fn whitespace_held_back_has_a_limit() {
    // The comma counts.
    for (length, fits) in [(MAX_HELD - 1, true), (MAX_HELD, false), (MAX_HELD * 4, false)] {
        for space in [" ", "\n"] {
            let space = space.repeat(length);
            for (input, rules, out) in [
                (format!("{{\"a\":1,{space}\"b\":2}}"), "r ssn", "{\"a\":1"),
                (format!("[1,{space}2]"), "r /7", "[1"),
            ] {
                let masked = run_some_ways(rules, input.as_bytes());
                if fits {
                    assert_eq!((masked.end, masked.out), (Ok(()), input.into_bytes()));
                } else {
                    assert_eq!(
                        masked.end,
                        Err(Unmaskable::LongSpace {
                            at: (out.len() + MAX_HELD) as u64
                        })
                    );
                    assert_eq!(masked.out, out.as_bytes());
                }
            }
        }
    }
    // Where nothing is undecided, it passes.
    let space = " ".repeat(MAX_HELD * 2);
    let input = format!("{space}[1,{space}{{\"a\"{space}:{space}1{space}}}{space}]{space}");
    let masked = run_some_ways("r ssn", input.as_bytes());
    assert_eq!((masked.end, masked.out), (Ok(()), input.into_bytes()));
}

#[test]
fn memory_does_not_grow_with_the_input() {
    let mut masker = Masker::new(mask("r ssn /a/**/b"), Format::Json);
    let mut out = Vec::new();
    let mut most = 0;
    let long = "x".repeat(300_000);
    let body = format!(
        "{{\"ssn\":\"{long}\",\"k\":[\"{long}\"],\"{}\":{{\"b\":[{}0]}}}}",
        "a_".repeat(400),
        "1,".repeat(100_000)
    );
    for chunk in body.as_bytes().chunks(4093) {
        masker.feed(chunk, &mut out).unwrap();
        out.clear();
        most = most.max(masker.held());
    }
    masker.finish(&mut out).unwrap();
    assert!(most <= 2 * MAX_NAME, "{most}");
    assert_eq!(masker.tally(), [1]);
}

#[test]
fn large_values_and_wide_objects_pass() {
    let wide: String = (0..20_000).map(|at| format!("\"m{at}\":{at},")).collect();
    let masked = run_some_ways("r ssn", format!("{{{wide}\"ssn\":1}}").as_bytes());
    assert_eq!(masked.out, format!("{{{}}}", wide.trim_end_matches(',')).into_bytes());
    let big = format!("{{\"ssn\":\"{0}\",\"b\":\"{0}\"}}", "é\\n".repeat(100_000));
    let masked = run(&mask("r ssn"), Format::Json, big.as_bytes().chunks(7));
    assert_eq!(
        masked.out,
        format!("{{\"b\":\"{}\"}}", "é\\n".repeat(100_000)).into_bytes()
    );
}
