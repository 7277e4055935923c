//! Runs the cases of `*.txt`.

use super::*;

/// Warnings that nearly every short policy would earn.
const USUAL: [&str; 2] = ["the policy has no `identity`", "the policy has no `modules`"];

/// Splits a file of cases: `== name`, input, `--`, what is said, an empty line.
pub(super) fn cases(text: &str) -> (String, Vec<(String, String, String)>) {
    let mut parts = text.split("\n== ");
    let head = parts.next().unwrap().to_owned();
    let cases = parts
        .map(|part| {
            let (name, rest) = part.split_once('\n').unwrap();
            let (input, said) = match rest.strip_prefix("--\n") {
                Some(said) => ("", said),
                None => rest
                    .split_once("\n--\n")
                    .or_else(|| Some((rest.strip_suffix("\n--")?, "")))
                    .unwrap(),
            };
            let input = if input.is_empty() {
                String::new()
            } else {
                format!("{input}\n")
            };
            (name.to_owned(), input, said.trim_end().to_owned())
        })
        .collect();
    (head, cases)
}

fn run(file: &str, text: &str, says: impl Fn(&str) -> String) {
    let (head, cases) = cases(text);
    assert!(!cases.is_empty());
    let mut all = head;
    let mut wrong = Vec::new();
    for (name, input, expected) in cases {
        let said = says(&input).trim_end().to_owned();
        if said != expected {
            wrong.push(format!("== {name}\n{input}--\n{said}\n-- but expected\n{expected}\n"));
        }
        all.push_str(&format!("\n== {name}\n{input}--\n{said}"));
        all.push_str(if said.is_empty() { "" } else { "\n" });
    }
    if std::env::var_os("UPDATE_CASES").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/config/tests")
            .join(file);
        fs::write(path, all).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn policy_says(input: &str) -> String {
    let problems = match policy(input) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    let unusual: Vec<Problem> = problems
        .into_iter()
        .filter(|problem| !USUAL.iter().any(|usual| problem.message.starts_with(usual)))
        .collect();
    said(&unusual)
}

#[test]
fn yaml_cases() {
    run("yaml.txt", include_str!("yaml.txt"), policy_says);
}

#[test]
fn policy_cases() {
    run("policy.txt", include_str!("policy.txt"), policy_says);
}

#[test]
fn analysis_cases() {
    run("analysis.txt", include_str!("analysis.txt"), policy_says);
}

#[test]
fn gateway_cases() {
    run("gateway.txt", include_str!("gateway.txt"), |input| {
        match gateway(input) {
            Ok((_, warnings)) => said(&warnings),
            Err(problems) => said(&problems),
        }
    });
}
