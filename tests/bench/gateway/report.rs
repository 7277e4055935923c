//! From measurements to a table: medians of the rounds, and ratios to HAProxy in the same run.

use std::fmt::Write as _;
use std::time::Duration;

/// One subject in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// Requests in a second.
    pub(crate) rate: f64,
    /// CPU time of the proxy for a request.
    pub(crate) cpu: Duration,
    /// Part of the time in which the proxy was on its core.
    pub(crate) busy: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// One subject, all rounds.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Round>,
    /// Memory in KiB before and after.
    pub(crate) rest: u64,
    pub(crate) after: u64,
}

/// The large answer through one subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) name: &'static str,
    /// Bytes of the backend's answer, and of what came through.
    pub(crate) bytes: u64,
    pub(crate) received: u64,
    pub(crate) took: Duration,
    pub(crate) cpu: Duration,
    /// Most memory in KiB.
    pub(crate) peak: u64,
}

/// The small answers, as a Markdown table. The first row is what the others are compared with.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| proxy | requests/s | CPU per request | of HAProxy's | core busy | p50 | p99 | memory at rest | after load |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let first = rows
        .first()
        .map_or(f64::NAN, |row| median(row, |round| round.cpu.as_secs_f64()));
    for row in rows {
        let cpu = median(row, |round| round.cpu.as_secs_f64());
        let _ = writeln!(
            out,
            "| {} | {:.0} | {:.1} µs | {:.2} | {:.0} % | {} | {} | {} | {} |",
            row.name,
            median(row, |round| round.rate),
            cpu * 1e6,
            cpu / first,
            median(row, |round| round.busy) * 100.0,
            milliseconds(median(row, |round| round.p50.as_secs_f64())),
            milliseconds(median(row, |round| round.p99.as_secs_f64())),
            mebibytes(row.rest),
            mebibytes(row.after),
        );
    }
    out
}

/// The large answer, as a Markdown table.
pub(crate) fn streams(streams: &[Stream]) -> String {
    let mut out = String::from(
        "| proxy | backend's answer | received | time | MB/s | CPU | most memory |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for stream in streams {
        let _ = writeln!(
            out,
            "| {} | {:.1} MB | {:.1} MB | {:.2} s | {:.0} | {:.2} s | {} |",
            stream.name,
            stream.bytes as f64 / 1e6,
            stream.received as f64 / 1e6,
            stream.took.as_secs_f64(),
            stream.bytes as f64 / 1e6 / stream.took.as_secs_f64(),
            stream.cpu.as_secs_f64(),
            mebibytes(stream.peak),
        );
    }
    out
}

fn median(row: &Row, of: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = row.rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|place| values.get(place)).copied();
    lower.map_or(upper, |lower| f64::midpoint(lower, upper))
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1e3)
}

fn mebibytes(kibibytes: u64) -> String {
    format!("{:.1} MiB", kibibytes as f64 / 1024.0)
}
