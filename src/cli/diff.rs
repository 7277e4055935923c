//! `tollgate diff`: what a change of the policy would change, and which past requests would be decided otherwise.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::{ERROR, FAINT, Format, GOOD, WARNING, environment, plain, print_problems, progress};
use crate::audit::replay::{Group, MAX_EXAMPLES, Now, Replay, Report};
use crate::config::{self, IssuerSource, LoadedPolicy, Problem};
use crate::policy::compare::{Change, Effect, Issuer, compare, issuers, sort};

/// What a policy exits with that lets somebody do or see more (interface, section 1).
const WIDENS: u8 = 4;

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The gateway file; its policy is the one that is.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The policy that would be: a file, or a folder.
    #[arg(long, value_name = "OTHER_POLICY")]
    to: PathBuf,
    /// Decide the requests of audit logs again, under both.
    #[arg(long, value_name = "AUDIT.jsonl", num_args = 1..)]
    replay: Vec<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Diff {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let (old, new) = match self.load() {
            Ok(both) => both,
            Err(problems) => {
                print_problems(&problems);
                return Ok(ExitCode::FAILURE);
            }
        };
        let mut changes = compare(&old.policy, &new.policy);
        changes.extend(issuers(&named(&old.issuers), &named(&new.issuers)));
        sort(&mut changes);
        let report = if self.replay.is_empty() {
            None
        } else {
            Some(replay(&self.replay, old, new)?)
        };
        let widens = changes.iter().any(|change| change.effect == Effect::Widens)
            || report.as_ref().is_some_and(|report| report.newly_allowed > 0);
        match self.format {
            Format::Json => {
                let told = json!({ "widens": widens, "changes": changes, "replay": report });
                anstream::println!("{}", serde_json::to_string_pretty(&told)?);
            }
            Format::Text => {
                print(&changes);
                report.iter().for_each(print_report);
            }
        }
        Ok(if widens {
            ExitCode::from(WIDENS)
        } else {
            ExitCode::SUCCESS
        })
    }

    fn load(&self) -> Result<(LoadedPolicy, LoadedPolicy), Vec<Problem>> {
        let (gateway, _) = config::load_gateway(&self.config, &environment)?;
        let upstreams = gateway.upstream_names();
        let old = config::load_policy(&gateway.policy, &upstreams);
        let new = config::load_policy(&self.to, &upstreams);
        match (old, new) {
            (Ok(old), Ok(new)) => Ok((old, new)),
            (old, new) => Err([old.err(), new.err()].into_iter().flatten().flatten().collect()),
        }
    }
}

fn named(sources: &[IssuerSource]) -> Vec<Issuer<'_>> {
    sources
        .iter()
        .map(|source| Issuer {
            rules: &source.rules,
            keys: source.keys.fingerprint(),
        })
        .collect()
}

fn replay(paths: &[PathBuf], old: LoadedPolicy, new: LoadedPolicy) -> anyhow::Result<Report> {
    let mut replay = Replay::new(Arc::new(old.policy), Arc::new(new.policy));
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut progress = progress::Progress::new(paths.iter().map(size).sum());
    for path in paths {
        lines(path, &mut replay, &mut progress).with_context(|| format!("cannot read `{}`", path.display()))?;
    }
    progress.done();
    Ok(replay.finish())
}

fn lines(path: &Path, replay: &mut Replay, progress: &mut progress::Progress) -> std::io::Result<()> {
    use crate::audit::verify::MAX_LINE;
    use std::io::{BufRead as _, BufReader, Read as _};
    let mut reader = BufReader::with_capacity(1 << 20, std::fs::File::open(path)?);
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    loop {
        line.clear();
        let read = reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        progress.add(read);
        replay.line(line.strip_suffix(b"\n").unwrap_or(&line));
    }
}

fn print(changes: &[Change]) {
    for change in changes {
        let style = match change.effect {
            Effect::Widens => ERROR,
            Effect::Narrows => GOOD,
            Effect::Neutral => FAINT,
        };
        let place = match (&change.file, change.line) {
            (Some(file), Some(line)) => format!("  {}{file}:{line}{}", FAINT.render(), FAINT.render_reset()),
            _ => String::new(),
        };
        let effect = change.effect.to_string();
        anstream::println!("{}{effect:<7}{}  {change}{place}", style.render(), style.render_reset());
    }
    let count = |effect| changes.iter().filter(|change| change.effect == effect).count();
    let (widens, narrows) = (count(Effect::Widens), count(Effect::Narrows));
    let (style, word) = match (widens, narrows) {
        (0, 0) => (GOOD, "same"),
        (0, _) => (GOOD, "narrower"),
        _ => (ERROR, "wider"),
    };
    anstream::println!(
        "{}{word}{}: {widens} widen, {narrows} narrow, {} more",
        style.render(),
        style.render_reset(),
        changes.len() - widens - narrows
    );
}

fn print_report(report: &Report) {
    anstream::println!(
        "\nreplayed {} past requests: {} would be allowed that were denied, {} denied that were allowed",
        report.replayed,
        report.newly_allowed,
        report.newly_denied
    );
    for (group, count) in &report.groups {
        let Group {
            now,
            roles,
            method,
            route,
            decision,
        } = group;
        let style = if *now == Now::Allowed { ERROR } else { WARNING };
        anstream::println!(
            "{}{count:>9}{}  {}: {method} {route}  now {decision}",
            style.render(),
            style.render_reset(),
            plain(roles)
        );
    }
    if !report.examples.is_empty() {
        anstream::println!("the first of them (at most {MAX_EXAMPLES}):");
    }
    for one in &report.examples {
        anstream::println!(
            "  {}  {}  {}  {} {}  {} -> {}",
            one.seq,
            plain(&one.timestamp),
            plain(&one.user),
            one.method,
            plain(&one.endpoint),
            plain(&one.was),
            one.now
        );
    }
    let not: u64 = report.not_replayed.values().sum();
    if not > 0 {
        anstream::println!("not replayed: {not}");
    }
    for (why, count) in &report.not_replayed {
        anstream::println!("{count:>9}  {why}");
    }
}
