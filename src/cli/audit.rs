//! `tollgate audit verify`: is the log what was written?

use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

use super::{ERROR, Format, GOOD};
use crate::audit::verify::{Verdict, verify};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check the chain of hashes and name the first bad record.
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The log's files, oldest first.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to print the verdict.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Audit {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let Self::Verify(Verify { paths, format }) = self;
        let verdict = verify(paths)?;
        match format {
            Format::Text => print(&verdict),
            Format::Json => anstream::println!("{}", serde_json::to_string_pretty(&verdict)?),
        }
        Ok(if verdict.is_whole() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn print(verdict: &Verdict) {
    if verdict.is_whole() {
        anstream::println!("{}ok{}: {verdict}", GOOD.render(), GOOD.render_reset());
    } else {
        anstream::println!("{}broken{}: {verdict}", ERROR.render(), ERROR.render_reset());
    }
}
