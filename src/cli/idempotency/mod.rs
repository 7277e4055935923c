//! `tollgate idempotency`: which keyed writes have an unknown outcome, and an operator's word on them.
//!
//! While a gateway has the store, its admin port is asked; while none does, the store is opened here.

mod backup;
mod source;
mod table;

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{ERROR, FAINT, Format, GOOD, environment, plain, print_problems};
use crate::config::{self, Gateway};
use crate::ledger::{MAX_KEY, MAX_TRANSACTION_ID, RecordKey, is_transaction_id};
use crate::server::operators::{MAX_REASON, PATH, Told, encode};
use source::Source;

pub(super) use source::operator;

/// Most records that one listing prints; `--after` goes on.
const MAX_ROWS: usize = 10_000;

/// Wrong usage.
const USAGE: u8 = 2;

#[derive(Debug, Subcommand)]
pub(super) enum Idempotency {
    /// List the keys that run or whose outcome is unknown.
    List(List),
    /// Show what is known of a key.
    Show(Show),
    /// Say what became of a request whose outcome is unknown.
    Settle(Settle),
    /// Copy the store and the list of what is revoked, while a gateway uses them or none does.
    Backup(backup::Backup),
}

#[derive(Debug, Args)]
struct Common {
    /// The gateway file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    common: Common,
    /// Only those in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only those after this record, in the order of their names.
    #[arg(long, value_name = "RECORD")]
    after: Option<RecordKey>,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The key as the client sent it, or the record's name from `list`.
    #[arg(value_parser = key)]
    key: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Settle {
    /// The key as the client sent it, or the record's name from `list`.
    #[arg(value_parser = key)]
    key: String,
    #[command(flatten)]
    common: Common,
    /// What became of it.
    #[arg(long = "as", value_enum)]
    outcome: Outcome,
    /// What the backend calls the transaction; the client's next attempt is told. With `--as done`.
    #[arg(long, value_name = "ID", value_parser = transaction_id)]
    transaction_id: Option<String>,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Unknown,
    #[value(name = "in_progress")]
    InProgress,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Outcome {
    /// The backend did it: further attempts are told that it is done.
    Done,
    /// The backend did not: the next attempt is sent.
    Free,
}

fn key(text: &str) -> Result<String, String> {
    if (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(format!("a key is 1-{MAX_KEY} visible ASCII characters"))
    }
}

fn transaction_id(text: &str) -> Result<String, String> {
    if is_transaction_id(text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "a transaction id is 1-{MAX_TRANSACTION_ID} visible ASCII characters"
        ))
    }
}

fn reason(text: &str) -> Result<String, String> {
    if text.len() <= MAX_REASON {
        Ok(text.to_owned())
    } else {
        Err(format!("a reason is at most {MAX_REASON} bytes long"))
    }
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::InProgress => "in_progress",
            Self::Done => "done",
        }
    }
}

impl Idempotency {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Settle(settle) => settle.run(),
            Self::Backup(backup) => backup.run(),
        }
    }
}

impl List {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let Some((source, _)) = open(&self.common.config, false)? else {
            return Ok(ExitCode::FAILURE);
        };
        let (mut records, mut after) = (Vec::new(), self.after.map(|name| name.to_string()));
        loop {
            let told = source.ask(&Method::GET, &self.target(after.as_deref()), &Value::Null)?;
            if !told.status.is_success() {
                return refused(&told, self.common.format);
            }
            if let Some(page) = told.body.get("records").and_then(Value::as_array) {
                records.extend(page.iter().cloned());
            }
            after = told.body.get("next").and_then(Value::as_str).map(str::to_owned);
            if after.is_none() || records.len() >= MAX_ROWS {
                break;
            }
        }
        match self.common.format {
            Format::Json => print_json(&json!({ "records": records, "next": after }))?,
            Format::Text => {
                if records.is_empty() {
                    anstream::println!("{}none{}", GOOD.render(), GOOD.render_reset());
                } else {
                    anstream::print!("{}", table::rows(records));
                }
                if let Some(after) = after {
                    anstream::println!("there may be more: --after {after}");
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn target(&self, after: Option<&str>) -> String {
        let state = self.state.map(|state| format!("state={}", state.word()));
        let after = after.map(|name| format!("after={name}"));
        let query: Vec<String> = state.into_iter().chain(after).collect();
        format!("{PATH}?{}", query.join("&"))
    }
}

impl Show {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let Some((source, _)) = open(&self.common.config, false)? else {
            return Ok(ExitCode::FAILURE);
        };
        let told = source.ask(&Method::GET, &format!("{PATH}/{}", encode(&self.key)), &Value::Null)?;
        if !told.status.is_success() {
            return refused(&told, self.common.format);
        }
        match self.common.format {
            Format::Json => print_json(&told.body)?,
            Format::Text => anstream::print!("{}", table::facts(&told.body)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Settle {
    fn run(&self) -> anyhow::Result<ExitCode> {
        if self.outcome == Outcome::Free && self.transaction_id.is_some() {
            anstream::eprintln!(
                "{}error{}: `--transaction-id` goes with `--as done`: what is free was not done",
                ERROR.render(),
                ERROR.render_reset()
            );
            return Ok(ExitCode::from(USAGE));
        }
        let Some((source, _)) = open(&self.common.config, true)? else {
            return Ok(ExitCode::FAILURE);
        };
        let mut word = json!({ "as": if self.outcome == Outcome::Done { "done" } else { "free" } });
        let said = [
            ("transaction_id", self.transaction_id.clone()),
            ("reason", self.reason.clone()),
            ("operator", Some(operator())),
        ];
        if let Some(word) = word.as_object_mut() {
            let given = said
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
            word.extend(given);
        }
        let told = source.ask(&Method::POST, &format!("{PATH}/{}/settle", encode(&self.key)), &word)?;
        if !told.status.is_success() {
            return refused(&told, self.common.format);
        }
        match self.common.format {
            Format::Json => print_json(&told.body)?,
            Format::Text => {
                let what = match self.outcome {
                    Outcome::Done => "done: who tries again is told so",
                    Outcome::Free => "free: the next attempt is sent",
                };
                let name = told.body.get("name").and_then(Value::as_str).unwrap_or_default();
                anstream::println!("{}settled{}: {name} is {what}", GOOD.render(), GOOD.render_reset());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Where to ask, and the gateway file; if that does not load, its problems are printed.
pub(super) fn open(config: &Path, to_settle: bool) -> anyhow::Result<Option<(Source, Gateway)>> {
    let settings = match config::load_gateway(config, &environment) {
        Ok((settings, _)) => settings,
        Err(problems) => {
            print_problems(&problems);
            return Ok(None);
        }
    };
    let source = Source::open(&settings, to_settle)?;
    anstream::eprintln!("{}{source}{}", FAINT.render(), FAINT.render_reset());
    Ok(Some((source, settings)))
}

pub(super) fn refused(told: &Told, format: Format) -> anyhow::Result<ExitCode> {
    match format {
        Format::Json => print_json(&told.body)?,
        Format::Text => {
            let detail = told.body.get("detail").and_then(Value::as_str);
            let detail = plain(detail.unwrap_or("the gateway does not say why"));
            anstream::eprintln!("{}error{}: {detail}", ERROR.render(), ERROR.render_reset());
            if let Some(candidates) = told.body.get("candidates").and_then(Value::as_array) {
                anstream::eprint!("{}", table::rows(candidates.clone()));
            }
        }
    }
    Ok(ExitCode::FAILURE)
}

pub(super) fn print_json(value: &Value) -> anyhow::Result<()> {
    anstream::println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
