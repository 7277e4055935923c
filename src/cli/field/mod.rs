//! `tollgate field`: for those who hold a field key, to open envelopes and to look hashes up.

mod envelopes;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::masking::seal::{FieldKey, Home, SECRET_BYTES};

/// Largest document that is read from standard input, in bytes.
const MAX_DOCUMENT: u64 = 1 << 30;

/// What is read of a key file, in bytes: more than any has.
const MAX_KEY_FILE: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(super) enum Field {
    /// Open an envelope, or every envelope of a JSON document on standard input.
    Decrypt(Decrypt),
    /// Print the hash of a value, as reports have it.
    Hash(Hash),
}

#[derive(Debug, Args)]
pub(super) struct Decrypt {
    /// A key of `field_keys`, and the file that has it; may be given again.
    #[arg(long, value_name = "ID=FILE", required = true, value_parser = key)]
    key: Vec<std::sync::Arc<FieldKey>>,
    /// The module that the answer came from, by its name in the policy and the audit log.
    #[arg(long)]
    module: String,
    /// The route that the answer came from, as the audit log names it, such as /api/accounts/{id}.
    #[arg(long)]
    route: String,
    /// Where the value stood, a JSON pointer in which an element is `*`, such as /accounts/*/ssn.
    #[arg(long, value_name = "POINTER", requires = "value")]
    path: Option<String>,
    /// The envelope. Absent: a document is read from standard input.
    #[arg(requires = "path")]
    value: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Hash {
    /// A key of `field_keys`, and the file that has it.
    #[arg(long, value_name = "ID=FILE", value_parser = key)]
    key: std::sync::Arc<FieldKey>,
    /// The value's text, without quotes.
    value: String,
}

/// `ID=FILE`
fn key(text: &str) -> Result<std::sync::Arc<FieldKey>, String> {
    let (id, file) = text.split_once('=').ok_or("write `ID=FILE`")?;
    let bytes = read(Path::new(file)).map_err(|fault| format!("cannot read `{file}`: {fault}"))?;
    FieldKey::secret(&bytes)
        .and_then(|secret| FieldKey::new(id, &secret))
        .map(Into::into)
        .ok_or_else(|| {
            format!("`{file}` does not hold {SECRET_BYTES} random bytes, as they are or in hexadecimal or base64")
        })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_KEY_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Field {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Decrypt(decrypt) => decrypt.run(),
            Self::Hash(Hash { key, value }) => {
                anstream::println!("{}", key.hash(value.as_bytes()));
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Decrypt {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let home = Home {
            module: self.module.as_str().into(),
            route: self.route.as_str().into(),
        };
        let opened = match (&self.value, &self.path) {
            (Some(envelope), Some(path)) => {
                let mut value = envelopes::open(envelope, &self.key, &home, path)?;
                value.push(b'\n');
                value
            }
            _ => {
                let mut document = String::new();
                std::io::stdin()
                    .take(MAX_DOCUMENT + 1)
                    .read_to_string(&mut document)
                    .context("cannot read standard input")?;
                // Of a longer one no part is printed, not even whole lines.
                if document.len() as u64 > MAX_DOCUMENT {
                    bail!("standard input is larger than {} MiB", MAX_DOCUMENT >> 20);
                }
                envelopes::open_all(&document, &self.key, &home)?
            }
        };
        std::io::stdout().write_all(&opened).context("cannot write")?;
        Ok(ExitCode::SUCCESS)
    }
}
