//! What holds for any text.

use super::*;
use proptest::prelude::*;

/// Pieces of which conditions are made, in any order.
fn piece() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "caller",
        ".user",
        ".roles",
        ".claims",
        ".tenant",
        "path",
        ".account_id",
        "query",
        ".n",
        "[\"n\"]",
        "headers",
        "[\"x-batch\"]",
        "body",
        ".county",
        ".entries",
        "now",
        "source.ip",
        "request.method",
        " == ",
        " != ",
        " < ",
        " + ",
        " - ",
        "*",
        "/",
        "%",
        " && ",
        " || ",
        "!",
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "?",
        ":",
        " in ",
        "1",
        "0",
        "9223372036854775807",
        "0.5",
        "\"a\"",
        "'b'",
        "\"",
        "'",
        "r\"\\d\"",
        "\\",
        "true",
        "false",
        "null",
        "has(",
        "size(",
        "int(",
        ".exists(x, ",
        ".all(x, ",
        "x",
        ".startsWith(",
        ".matches(",
        ".inCidr(\"10.0.0.0/8\")",
        "timestamp(",
        "duration(\"1h\")",
        "{",
        "}",
        "//",
        "\n",
        " ",
        "é",
        "as",
        "`",
        "$",
        "1u",
        "0x1f",
        "b\"\"",
        "1e9",
        "-",
        "=",
        ";",
        "\u{0}",
        "@",
        ".?",
    ])
}

/// Whole operands, so that what is joined often makes sense.
fn operand() -> impl Strategy<Value = String> {
    let atoms = proptest::sample::select(vec![
        "true",
        "false",
        "caller.user == \"u1\"",
        "path.account_id == \"A-17\"",
        "query.n == \"12\"",
        "query.nothing == \"1\"",
        "query.twice == \"1\"",
        "int(query.n) > 5",
        "\"County_A\" in caller.jurisdictions",
        "body.count == 2",
        "body.count == \"2\"",
        "has(body.nothing)",
        "has(query.tier)",
        "caller.claims.level / 0 == 1",
        "caller.roles.exists(r, r == \"auditor\")",
        "now > timestamp(query.n)",
        "source.ip.inCidr(\"10.0.0.0/8\")",
        "headers[\"x-twice\"] == \"1\"",
    ])
    .prop_map(str::to_owned);
    atoms.prop_recursive(3, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} ? {b} : false)")),
        ]
    })
}

fn outcome(source: &str) -> Option<Result<bool, EvaluationFault>> {
    let world = World::new();
    let condition = Condition::compile(source, &names()).ok()?;
    let facts = world.facts();
    let outcome = condition.holds(&facts);
    assert_eq!(condition.why_not(&facts).is_empty(), outcome == Ok(true), "{source}");
    Some(outcome)
}

/// Every place that a fault names is a place of the text.
fn places(source: &str) {
    if let Err(faults) = Condition::compile(source, &names()) {
        assert!(!faults.is_empty());
        for fault in faults {
            assert!(
                source.get(fault.at.start..fault.at.end).is_some(),
                "{source}: {fault:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_answered(source in "\\PC{0,80}") {
        places(&source);
        let _ = outcome(&source);
    }

    #[test]
    fn any_bytes_are_answered(source in any::<String>()) {
        places(&source);
    }

    #[test]
    fn any_pieces_are_answered(pieces in proptest::collection::vec(piece(), 0..24)) {
        let source = pieces.concat();
        places(&source);
        let _ = outcome(&source);
    }

    #[test]
    fn another_condition_never_allows_more(one in operand(), other in operand()) {
        let (alone, both) = (outcome(&one), outcome(&format!("{one} && {other}")));
        if let (Some(alone), Some(both)) = (alone, both) {
            prop_assert!(both != Ok(true) || alone == Ok(true), "{} && {}", one, other);
        }
    }

    #[test]
    fn an_error_is_never_absorbed(one in operand(), other in operand()) {
        if let Some(Err(fault)) = outcome(&one) {
            for source in [format!("{one} || {other}"), format!("{one} && {other}"), format!("!({one})")] {
                if let Some(whole) = outcome(&source) {
                    prop_assert_eq!(whole.map_err(|fault| fault.what), Err(fault.what));
                }
            }
        }
    }
}
