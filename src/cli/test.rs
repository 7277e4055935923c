//! `tollgate test`: cases that say what a policy decides (interface, section 9).

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::explain::print_steps;
use super::{ERROR, FAINT, Format, GOOD, load, print_problems};
use crate::config::{PolicyTest, Response, load_policy_tests};
use crate::gateway::offline::{self, Explanation, Request};
use crate::masking::seal::key_of;
use crate::server::prepare::Ruling;

#[derive(Debug, Args)]
pub(super) struct Test {
    /// The gateway file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How to print what came of it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Files of cases.
    #[arg(required = true, value_name = "CASES.yaml")]
    files: Vec<PathBuf>,
}

/// What came of a case.
struct Run<'t> {
    test: &'t PolicyTest,
    explanation: Explanation,
    misses: Vec<Miss>,
}

/// Something that is not as expected.
#[derive(Debug, Serialize)]
struct Miss {
    what: &'static str,
    expected: Value,
    got: Value,
}

impl Test {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let Some((_, ruling)) = load(&self.config) else {
            return Ok(ExitCode::FAILURE);
        };
        let classes: Vec<String> = ruling.policy.class_names().map(ToString::to_string).collect();
        let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
        let tests = match load_policy_tests(&self.files, &classes) {
            Ok(tests) => tests,
            Err(problems) => {
                print_problems(&problems);
                return Ok(ExitCode::FAILURE);
            }
        };
        let runs = run_all(ruling, &tests);
        match self.format {
            Format::Text => print(&runs),
            Format::Json => anstream::println!("{}", serde_json::to_string_pretty(&told(&runs))?),
        }
        let good = runs.iter().all(|run| run.misses.is_empty());
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn run_all(ruling: Ruling, tests: &[PolicyTest]) -> Vec<Run<'_>> {
    let Ruling { policy, issuers, .. } = ruling;
    let policy = Arc::new(policy);
    tests
        .iter()
        .map(|test| {
            let request = Request {
                claims: test.claims.clone(),
                method: test.method.clone(),
                url: test.url.clone(),
                headers: test.headers.clone(),
                body: test.body.clone(),
                source: test.source,
                certificate: test.certificate.clone(),
            };
            let explanation = offline::explain(&policy, issuers.iter().map(|(rules, _)| rules), &request);
            let misses = compare(test, &explanation);
            Run {
                test,
                explanation,
                misses,
            }
        })
        .collect()
}

/// Compares what came with what was expected. An answer that cannot be masked is an answer of its own.
fn compare(test: &PolicyTest, explanation: &Explanation) -> Vec<Miss> {
    let masked = test.response.as_ref().and_then(|response| match response {
        Response::Json(body) => explanation.mask("application/json", &body.to_string()),
        Response::Text { content_type, body } => explanation.mask(content_type, body),
    });
    let outcome = explanation.outcome;
    let (mut decision, mut status, mut error) = (
        json!(outcome.decision()),
        json!(explanation.status()),
        json!(outcome.error()),
    );
    if let Some(Err((reason, code))) = &masked {
        (decision, status, error) = (json!(reason.decision()), json!(code), json!(reason.code()));
    }
    let answer = masked.as_ref().and_then(|masked| masked.as_ref().ok());
    let body = answer.map_or(Value::Null, |answer| match test.response {
        Some(Response::Text { .. }) => Value::String(answer.text.clone()),
        _ => serde_json::from_str(&answer.text).unwrap_or_default(),
    });
    let mut classes: Vec<String> = match answer {
        Some(answer) => answer.classes.iter().map(ToString::to_string).collect(),
        None => explanation.masked().map(str::to_owned).collect(),
    };
    classes.sort();
    let expect = &test.expect;
    let masked = expect.masked.clone().map(|mut names| {
        names.sort();
        json!(names)
    });
    [
        ("decision", expect.decision.as_ref().map(|word| json!(word)), decision),
        ("status", expect.status.map(|status| json!(status)), status),
        ("error", expect.error.as_ref().map(|code| json!(code)), error),
        ("body", expect.body.clone(), body),
        ("masked", masked, json!(classes)),
    ]
    .into_iter()
    .filter_map(|(what, expected, got)| {
        let expected = expected.filter(|expected| !is_as_expected(expected, &got))?;
        Some(Miss { what, expected, got })
    })
    .collect()
}

/// Whether a value is another. What is encrypted is another text each time: `enc:KEY:*` stands for any with that key, also
/// within a text.
fn is_as_expected(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            let fits = |(name, value)| got.get(name).is_some_and(|got| is_as_expected(value, got));
            expected.len() == got.len() && expected.iter().all(fits)
        }
        (Value::Array(expected), Value::Array(got)) => {
            let mut pairs = expected.iter().zip(got);
            expected.len() == got.len() && pairs.all(|(expected, got)| is_as_expected(expected, got))
        }
        (Value::String(expected), Value::String(text)) => is_text_as_expected(expected, text),
        (expected, got) => expected == got,
    }
}

fn is_text_as_expected(expected: &str, got: &str) -> bool {
    if expected == got {
        return true;
    }
    let same = expected
        .bytes()
        .zip(got.bytes())
        .take_while(|(one, other)| one == other);
    // As far as they are the same, they are so in whole characters, or else not at all.
    let same = same.count();
    let Some((start, _)) = got.get(..same).and_then(|same| same.rsplit_once("enc:")) else {
        return false;
    };
    let (Some(expected), Some(got)) = (expected.get(start.len()..), got.get(start.len()..)) else {
        return false;
    };
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
    let (envelope, got) = got.split_at(got.find(|c| !letter(c)).unwrap_or(got.len()));
    let any = key_of(envelope).map(|key| format!("enc:{key}:*"));
    let rest = any.and_then(|any| expected.strip_prefix(&any));
    rest.is_some_and(|expected| is_text_as_expected(expected, got))
}

fn print(runs: &[Run<'_>]) {
    let failed: Vec<&Run<'_>> = runs.iter().filter(|run| !run.misses.is_empty()).collect();
    for run in &failed {
        let PolicyTest { name, file, line, .. } = run.test;
        anstream::println!(
            "{}FAIL{}  {name}  {}{file}:{line}{}",
            ERROR.render(),
            ERROR.render_reset(),
            FAINT.render(),
            FAINT.render_reset()
        );
        for Miss { what, expected, got } in &run.misses {
            anstream::println!("  {what}: expected {expected}, got {got}");
        }
        print_steps(&run.explanation, "    ");
        if let Some(hint) = &run.explanation.hint {
            anstream::println!("    {}would take:{} {hint}", FAINT.render(), FAINT.render_reset());
        }
    }
    let (style, word) = if failed.is_empty() {
        (GOOD, "ok")
    } else {
        (ERROR, "failed")
    };
    anstream::println!(
        "{}{word}{}: {} cases, {} passed, {} failed",
        style.render(),
        style.render_reset(),
        runs.len(),
        runs.len() - failed.len(),
        failed.len()
    );
}

fn told(runs: &[Run<'_>]) -> Value {
    let cases = runs.iter().map(|run| {
        json!({
            "name": run.test.name,
            "file": &*run.test.file,
            "line": run.test.line,
            "passed": run.misses.is_empty(),
            "misses": run.misses,
            "explanation": run.explanation.told(),
        })
    });
    let failed = runs.iter().filter(|run| !run.misses.is_empty()).count();
    json!({
        "passed": runs.len() - failed,
        "failed": failed,
        "cases": cases.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_encrypted_text_of_a_key_is_as_expected() {
        for (expected, got, fits) in [
            (json!({"a": ["enc:k1:*"]}), json!({"a": ["enc:k1:AAAA"]}), true),
            (json!("enc:k1:*"), json!("enc:k2:AAAA"), false),
            (json!("enc:k1:*"), json!("enc:k1"), false),
            (json!("enc:*"), json!("enc:k1:AAAA"), false),
            (json!("hmac:k1:*"), json!("hmac:k1:AAAA"), false),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), false),
            (json!({"a": 1}), json!({"b": 1}), false),
            (json!([1]), json!([1, 2]), false),
            (json!([1, "x"]), json!([1, "x"]), true),
        ] {
            assert_eq!(is_as_expected(&expected, &got), fits, "{expected}, {got}");
        }
    }
}
