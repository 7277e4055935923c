//! `tollgate idempotency backup`: a copy of the store as of one moment, while a gateway uses it or none does.

use anyhow::{Context as _, bail};
use clap::Args;
use http::Method;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::{Common, GOOD, open, print_json, refused};
use crate::cli::Format;
use crate::config::State;
use crate::edge::store::BACKUP;
use crate::server::operators::BACKUP_PATH;

/// How often the gateway is asked how far it is.
const EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(in crate::cli) struct Backup {
    /// Where the copy goes; what is there already is not overwritten.
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Backup {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        if self.file.try_exists()? {
            bail!("`{}` is there already; it is not overwritten", self.file.display());
        }
        let Some((source, settings)) = open(&self.common.config, false)? else {
            return Ok(ExitCode::FAILURE);
        };
        let State::Folder(folder) = &settings.state else {
            bail!("copies of a shared store are made with its server's own tools, such as `pg_dump`");
        };
        let mut told = source.ask(&Method::POST, BACKUP_PATH, &Value::Null)?;
        while told.status.is_success() && told.body.get("state").is_some_and(|state| state == "running") {
            source.pause(EVERY);
            told = source.ask(&Method::GET, BACKUP_PATH, &Value::Null)?;
        }
        if !told.status.is_success() || told.body.get("state").is_none_or(|state| state != "done") {
            return refused(&told, self.common.format);
        }
        take(&folder.join(BACKUP), &self.file)?;
        match self.common.format {
            Format::Json => print_json(&told.body)?,
            Format::Text => {
                let keys = told.body.get("keys").and_then(Value::as_u64).unwrap_or(0);
                let (good, plain) = (GOOD.render(), GOOD.render_reset());
                anstream::println!("{good}copied{plain}: {keys} keys to `{}`", self.file.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Moves the copy to where it was asked for, possibly on another disk.
fn take(made: &Path, file: &Path) -> anyhow::Result<()> {
    let mut from = File::open(made)
        .with_context(|| format!("cannot read `{}`; run this as the gateway's user", made.display()))?;
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("cannot make `{}`", file.display()))?;
    let copied = io::copy(&mut from, &mut to).and_then(|_| to.sync_all());
    if copied.is_err() {
        let _ = std::fs::remove_file(file);
    }
    copied.with_context(|| format!("cannot write `{}`", file.display()))?;
    std::fs::remove_file(made).with_context(|| format!("cannot remove `{}`", made.display()))
}
