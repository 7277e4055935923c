//! `tollgate idempotency backup`: a copy of the store and of the list of what is revoked, while a gateway uses them or none
//! does. Two files: each takes the place of its original.

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
use crate::edge::{revoked, store};
use crate::server::operators::BACKUP_PATH;

/// How often the gateway is asked how far it is.
const EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(in crate::cli) struct Backup {
    /// Where the copy goes, and beside it, under this name with `.revoked.json` behind it, the list of what is revoked; what
    /// is there already is not overwritten.
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Backup {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let list = beside(&self.file);
        for file in [&self.file, &list] {
            if file.try_exists()? {
                bail!("`{}` is there already; it is not overwritten", file.display());
            }
        }
        let Some((source, settings)) = open(&self.common.config, false)? else {
            return Ok(ExitCode::FAILURE);
        };
        let State::Folder(folder) = &settings.state else {
            bail!(
                "copies of a shared store are made with its server's own tools, such as `pg_dump`; the list of what is \
                 revoked is a file, `{}`, that can be copied at any time",
                settings.state.folder().join(revoked::FILE).display()
            );
        };
        let mut told = source.ask(&Method::POST, BACKUP_PATH, &Value::Null)?;
        while told.status.is_success() && told.body.get("state").is_some_and(|state| state == "running") {
            source.pause(EVERY);
            told = source.ask(&Method::GET, BACKUP_PATH, &Value::Null)?;
        }
        if !told.status.is_success() || told.body.get("state").is_none_or(|state| state != "done") {
            return refused(&told, self.common.format);
        }
        take(&folder.join(store::BACKUP), &self.file)?;
        take(&folder.join(revoked::BACKUP), &list).inspect_err(|_| {
            // Half of what was asked for would be taken for all of it.
            let _ = std::fs::remove_file(&self.file);
        })?;
        match self.common.format {
            Format::Json => print_json(&told.body)?,
            Format::Text => {
                let count = |name: &str| told.body.get(name).and_then(Value::as_u64).unwrap_or(0);
                let (good, plain) = (GOOD.render(), GOOD.render_reset());
                let (keys, revoked) = (count("keys"), count("revoked"));
                anstream::println!("{good}copied{plain}: {keys} keys to `{}`", self.file.display());
                anstream::println!("{good}copied{plain}: {revoked} revocations to `{}`", list.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Where the list goes that belongs to a copy of the store.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(revoked::FILE);
    name.into()
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
