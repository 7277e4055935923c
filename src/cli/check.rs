//! `tollgate check`: loads what `serve` would load, and prints every problem at once.

use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Format, GOOD, environment, print_problems};
use crate::config::{self, Problem, Severity};
use crate::server::prepare;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The gateway file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How to print the problems.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Check {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let problems = self.problems();
        let bad = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count();
        match self.format {
            Format::Json => anstream::println!("{}", serde_json::to_string_pretty(&problems)?),
            Format::Text => {
                print_problems(&problems);
                let warnings = problems.len() - bad;
                if bad == 0 {
                    anstream::println!(
                        "{}ok{}: the gateway would start (warnings: {warnings})",
                        GOOD.render(),
                        GOOD.render_reset()
                    );
                } else {
                    anstream::eprintln!("problems: {bad}, warnings: {warnings}");
                }
            }
        }
        Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Both files' problems, also the policy's when the gateway file has some of its own.
    fn problems(&self) -> Vec<Problem> {
        let (gateway, mut problems) = match config::load_gateway(&self.config, &environment) {
            Ok(loaded) => loaded,
            Err(problems) => return problems,
        };
        match prepare::policy(&gateway, None) {
            Ok(loaded) => problems.extend(loaded.warnings),
            Err(more) => problems.extend(more),
        }
        problems.extend(prepare::tls(&gateway).err().unwrap_or_default());
        problems.extend(prepare::upstream_tls(&gateway).err().unwrap_or_default());
        problems
    }
}
