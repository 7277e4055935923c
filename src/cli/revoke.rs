//! `tollgate revoke`: tokens and users that are refused from now on, whatever their tokens say.
//!
//! While a gateway runs, its admin port is asked, and the word is in force at once; while none does, the list in the
//! state folder is changed here.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

use super::idempotency::{open, operator, print_json, refused};
use super::{Format, GOOD, plain};
use crate::server::operators::REVOKED_PATH;

#[derive(Debug, Subcommand)]
pub(super) enum Revoke {
    /// List what is revoked.
    List(Common),
    /// Refuse one token.
    Token(Token),
    /// Refuse a user's tokens.
    User(User),
}

#[derive(Debug, Args)]
pub(super) struct Common {
    /// The gateway file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Token {
    /// The token's `jti`.
    id: String,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Debug, Args)]
pub(super) struct User {
    /// The user, as audit lines have it in `user_id`.
    name: String,
    /// Only tokens that were issued before this time, and those that do not say when.
    #[arg(long, value_name = "TIME", conflicts_with = "lift")]
    issued_before: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Debug, Args)]
struct Terms {
    #[command(flatten)]
    common: Common,
    /// Only tokens of this issuer. Without it: of any.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// When the entry ends by itself, such as `2026-11-20T10:00:00Z`.
    #[arg(long, value_name = "TIME", conflicts_with = "lift")]
    until: Option<String>,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Take the entry off the list again.
    #[arg(long)]
    lift: bool,
}

impl Revoke {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(common) => common.list(),
            Self::Token(Token { id, terms }) => terms.change(&[("token", Some(id))]),
            Self::User(user) => user.terms.change(&[
                ("user", Some(&user.name)),
                ("issued_before", user.issued_before.as_ref()),
            ]),
        }
    }
}

impl Common {
    fn list(&self) -> anyhow::Result<ExitCode> {
        let Some((source, _)) = open(&self.config, false)? else {
            return Ok(ExitCode::FAILURE);
        };
        let told = source.ask(&Method::GET, REVOKED_PATH, &Value::Null)?;
        if !told.status.is_success() {
            return refused(&told, self.format);
        }
        match self.format {
            Format::Json => print_json(&told.body)?,
            Format::Text => {
                let entries = told.body.get("revoked").and_then(Value::as_array);
                if entries.is_none_or(Vec::is_empty) {
                    anstream::println!("{}none{}", GOOD.render(), GOOD.render_reset());
                }
                for entry in entries.into_iter().flatten() {
                    anstream::println!("{}", line(entry));
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Terms {
    fn change(&self, named: &[(&str, Option<&String>)]) -> anyhow::Result<ExitCode> {
        let Some((source, _)) = open(&self.common.config, true)? else {
            return Ok(ExitCode::FAILURE);
        };
        let operator = operator();
        let said = [
            ("issuer", self.issuer.as_ref()),
            ("until", self.until.as_ref()),
            ("reason", self.reason.as_ref()),
            ("operator", Some(&operator)),
        ];
        let mut word = json!({});
        if let Some(word) = word.as_object_mut() {
            let given = named.iter().copied().chain(said);
            word.extend(given.filter_map(|(name, value)| Some((name.to_owned(), value?.as_str().into()))));
        }
        let method = if self.lift { Method::DELETE } else { Method::POST };
        let told = source.ask(&method, REVOKED_PATH, &word)?;
        if !told.status.is_success() {
            return refused(&told, self.common.format);
        }
        match self.common.format {
            Format::Json => print_json(&told.body)?,
            Format::Text => {
                let done = if self.lift { "lifted" } else { "revoked" };
                let shown = told.body.get(done).map(line).unwrap_or_default();
                anstream::println!("{}{done}{}: {shown}", GOOD.render(), GOOD.render_reset());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An entry in one line: `user mallory, issuer …, until …`.
fn line(entry: &Value) -> String {
    [
        "token",
        "user",
        "issuer",
        "issued_before",
        "until",
        "at",
        "operator",
        "reason",
    ]
    .into_iter()
    .filter_map(|name| {
        Some(format!(
            "{} {}",
            name.replace('_', " "),
            plain(entry.get(name)?.as_str()?)
        ))
    })
    .collect::<Vec<_>>()
    .join(", ")
}
