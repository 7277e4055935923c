//! Whatever is written, something is said, and nothing panics.

use super::good::{GATEWAY_EXAMPLE, POLICY_EXAMPLE};
use super::*;
use crate::config::problem::Problems;
use crate::config::yaml;
use proptest::prelude::*;

/// Takes a good file and does to it what editors and tired people do.
fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        Just(""),
        Just(" "),
        Just("\n"),
        Just(":"),
        Just("- "),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just("*"),
        Just("&a "),
        Just("\""),
        Just("'"),
        Just("#"),
        Just("|"),
        Just(">"),
        Just("\t"),
        Just("null"),
        Just("~"),
        Just("---\n"),
        Just("!t "),
        Just("<<: "),
        Just("é"),
        Just("\0"),
        Just("/"),
        Just("${X}"),
        Just("0x1"),
        Just("%"),
    ];
    (any::<prop::sample::Index>(), 0_usize..12, scrap).prop_map(move |(at, cut, scrap)| {
        let chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        let end = (at + cut).min(chars.len());
        chars[..at]
            .iter()
            .copied()
            .chain(scrap.chars())
            .chain(chars[end..].iter().copied())
            .collect()
    })
}

/// Places are within the file.
fn check_places(text: &str, problems: &[Problem]) -> Result<(), TestCaseError> {
    let lines = text.split(['\n', '\r']).count();
    for problem in problems.iter().filter(|problem| problem.line > 0) {
        prop_assert!(usize::try_from(problem.line).unwrap() <= lines + 1, "{problem}");
        prop_assert!(problem.col > 0, "{problem}");
        let _ = problem.snippet(text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "(?s).{0,200}") {
        let mut problems = Problems::default();
        let file = problems.file("p.yaml");
        let _ = yaml::parse(&text, file, &mut problems);
        if let Err(list) = problems.finish() {
            check_places(&text, &list)?;
        }
    }

    #[test]
    fn any_marks_are_answered(parts in prop::collection::vec(
        prop_oneof![
            Just("a"), Just(": "), Just("\n"), Just("  "), Just("- "), Just("["), Just("]"), Just("{"), Just("}"), Just(", "),
            Just("&x "), Just("*x"), Just("!t "), Just("\""), Just("'"), Just("? "), Just("|\n"), Just("<<"), Just("---\n"), Just("...\n"), Just("#"),
        ], 0..40)) {
        let text = parts.concat();
        let mut problems = Problems::default();
        let file = problems.file("p.yaml");
        let parsed = yaml::parse(&text, file, &mut problems);
        prop_assert!(parsed.is_some() || problems.errors() > 0);
    }

    #[test]
    fn a_mutated_policy_is_answered(text in mutated(POLICY_EXAMPLE)) {
        match policy(&text) {
            Ok(loaded) => check_places(&text, &loaded.warnings)?,
            Err(problems) => {
                prop_assert!(problems.iter().any(|problem| problem.severity == super::super::Severity::Error));
                check_places(&text, &problems)?;
            }
        }
    }

    #[test]
    fn a_mutated_gateway_file_is_answered(text in mutated(GATEWAY_EXAMPLE)) {
        if let Err(problems) = gateway(&text) {
            prop_assert!(!problems.is_empty());
            check_places(&text, &problems)?;
        }
    }

    #[test]
    fn durations_and_sizes_round_trip(number in any::<u64>(), unit in 0_usize..5) {
        let duration = format!("{number}{}", ["ms", "s", "m", "h", "d"][unit]);
        if let Ok(value) = super::super::values::duration(&duration) {
            prop_assert_eq!(super::super::values::duration(&super::super::values::show_duration(value)), Ok(value));
        }
        let size = format!("{number}{}", ["B", "KiB", "MiB", "GiB", "KB"][unit]);
        if let Ok(value) = super::super::values::size(&size) {
            prop_assert_eq!(super::super::values::size(&super::super::values::show_size(value)), Ok(value));
        }
    }

    #[test]
    fn any_text_may_stand_for_anything(text in "(?s).{0,60}") {
        use super::super::{addresses as a, values as v};
        let _ = (a::address(&text), a::upstream(&text), a::jwks(&text), a::range(&text), v::jurisdiction(&text));
        let _ = (v::transaction_id(&text), v::media_type(&text), v::forwarded_header(&text), v::role(&text), v::name(&text));
    }
}
