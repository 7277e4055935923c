//! `tollgate schema`: what editors use for completion and hover text.

use clap::{Args, ValueEnum};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Which file's schema.
    which: Which,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// tollgate.yaml.
    Gateway,
    /// The policy.
    Policy,
}

impl Schema {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let text = match self.which {
            Which::Gateway => crate::config::gateway_schema(),
            Which::Policy => crate::config::policy_schema(),
        };
        anstream::println!("{}", text.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}
