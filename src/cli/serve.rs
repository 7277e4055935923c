//! `tollgate serve`: runs the gateway in the foreground.

use std::path::Path;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

use super::{environment, print_problems};
use crate::config;
use crate::server;

pub(super) fn run(config: &Path) -> anyhow::Result<ExitCode> {
    let (gateway, warnings) = match config::load_gateway(config, &environment) {
        Ok(loaded) => loaded,
        Err(problems) => {
            print_problems(&problems);
            return Ok(ExitCode::FAILURE);
        }
    };
    print_problems(&warnings);
    // Operators' log: JSON lines on standard error, `RUST_LOG` says how much of it.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match server::run(gateway) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(server::StartFault::Policy(problems)) => {
            print_problems(&problems);
            Ok(ExitCode::FAILURE)
        }
        Err(fault) => Err(fault.into()),
    }
}
