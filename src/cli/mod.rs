//! The command line: one file per command (interface, section 1).
//!
//! Exit codes: 0 done, 1 problems found, 2 wrong usage, 3 denied, 4 access widens.

mod audit;
mod check;
mod diff;
mod explain;
mod field;
mod idempotency;
mod matrix;
mod progress;
mod revoke;
mod schema;
mod serve;
mod table;
mod test;
mod token;

use clap::{Parser, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::{self, Gateway, Problem, Severity};
use crate::server::prepare::{self, Ruling};

/// Authorization gateway for billing backends that cannot be changed.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway in the foreground.
    Serve {
        /// The gateway file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Load configuration, policy and keys as `serve` would, and print every problem.
    Check(check::Check),
    /// Decide a request offline and show each step.
    Explain(explain::Explain),
    /// Run cases that say what the policy decides.
    Test(test::Test),
    /// Print who may do what, and which fields each role sees.
    Matrix(matrix::Matrix),
    /// Print what another policy would change, and which past requests it would decide otherwise.
    Diff(diff::Diff),
    /// Work with the audit log.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// List idempotency keys, and settle those whose outcome is unknown.
    #[command(subcommand)]
    Idempotency(idempotency::Idempotency),
    /// Refuse tokens and users from now on, and list them.
    #[command(subcommand)]
    Revoke(revoke::Revoke),
    /// Open encrypted fields, and look hashes up.
    #[command(subcommand)]
    Field(field::Field),
    /// Mint a token, for demos and tests.
    Token(token::Token),
    /// Print the JSON Schema that editors use.
    Schema(schema::Schema),
}

/// Whether a person or a program reads the answer.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    // A wrong usage ends here, with code 2.
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Serve { config } => serve::run(&config),
        Command::Check(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Test(test) => test.run(),
        Command::Matrix(matrix) => matrix.run(),
        Command::Diff(diff) => diff.run(),
        Command::Audit(audit) => audit.run(),
        Command::Idempotency(idempotency) => idempotency.run(),
        Command::Revoke(revoke) => revoke.run(),
        Command::Field(field) => field.run(),
        Command::Token(token) => token.run(),
        Command::Schema(schema) => schema.run(),
    };
    done.unwrap_or_else(|fault| {
        anstream::eprintln!("{}error{}: {fault:#}", ERROR.render(), ERROR.render_reset());
        ExitCode::FAILURE
    })
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
const WARNING: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().bold();
const GOOD: anstyle::Style = anstyle::AnsiColor::Green.on_default().bold();
const FAINT: anstyle::Style = anstyle::Style::new().dimmed();

/// Environment variables, for `${NAME}` in the gateway file.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The gateway file and the policy that it names; if they do not load, their problems are printed.
fn load(config: &Path) -> Option<(Gateway, Ruling)> {
    config::load_gateway(config, &environment)
        .and_then(|(gateway, _)| prepare::policy(&gateway, None).map(|ruling| (gateway, ruling)))
        .map_err(|problems| print_problems(&problems))
        .ok()
}

/// Prints problems for a person, each with the line that it is about.
fn print_problems(problems: &[Problem]) {
    for problem in problems {
        let style = match problem.severity {
            Severity::Error => ERROR,
            Severity::Warning => WARNING,
        };
        let text = problem.to_string();
        let (head, hint) = text.split_once('\n').unwrap_or((&text, ""));
        anstream::eprintln!("{}{head}{}", style.render(), style.render_reset());
        let source = std::fs::read_to_string(&*problem.file).ok();
        if let Some(snippet) = source.and_then(|source| problem.snippet(&source)) {
            for line in snippet.lines() {
                anstream::eprintln!("  {}{line}{}", FAINT.render(), FAINT.render_reset());
            }
        }
        if !hint.is_empty() {
            anstream::eprintln!("{hint}");
        }
    }
}

/// A text of somebody else's, in which nothing moves a terminal's cursor or turns its lines around.
fn plain(text: &str) -> String {
    let odd = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
    };
    let mut out = String::new();
    for c in text.chars() {
        if odd(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
