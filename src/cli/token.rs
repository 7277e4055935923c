//! `tollgate token`: mints a token, for demos and tests.

use anyhow::Context as _;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::config::parse_duration;
use crate::gateway::unix_now;
use crate::identity::mint;

#[derive(Debug, Args)]
pub(super) struct Token {
    /// Private key in PEM (RSA, P-256, P-384 or Ed25519).
    #[arg(long, value_name = "PRIVATE.pem", required_unless_present = "secret_file")]
    key: Option<PathBuf>,
    /// A shared secret instead of a key (HS256).
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    secret_file: Option<PathBuf>,
    /// The claims, as a JSON object.
    #[arg(long, value_name = "JSON")]
    claims: String,
    /// How long the token lives, unless the claims say so.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    ttl: Duration,
    /// The key's id, for the token's header.
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
}

impl Token {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let claims = serde_json::from_str(&self.claims).context("the claims are no JSON object")?;
        let (path, secret) = match (&self.key, &self.secret_file) {
            (Some(path), _) => (path, false),
            (None, Some(path)) => (path, true),
            (None, None) => anyhow::bail!("a key or a secret file is needed"),
        };
        let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let (kid, ttl, now) = (self.kid.as_deref(), Some(self.ttl), unix_now());
        let token = if secret {
            mint::with_secret(&bytes, &claims, kid, ttl, now)
        } else {
            mint::with_key(&bytes, &claims, kid, ttl, now)
        }
        .with_context(|| format!("cannot sign with `{}`", path.display()))?;
        anstream::println!("{token}");
        Ok(ExitCode::SUCCESS)
    }
}
