//! What authors write, and what the program runs on: two things with one door between them.
//!
//! A file is read once ([`files`]), becomes a tree in which everything knows its place ([`yaml`]), is checked along a
//! table of keys ([`shape`]; [`gateway_keys`], [`policy_keys`]), and is then read by section into typed values, with the
//! references between sections resolved ([`gateway`], [`policy`]). Every [`Problem`] of a load is given at once, as
//! `file:line:col`. The same tables print the JSON Schemas that editors use ([`schema`]).
//!
//! No sockets, no clock, no environment but what is handed in. Nothing here knows HTTP requests or tokens.

mod addresses;
mod analysis;
mod body_keys;
mod class_keys;
mod classes;
mod concurrency;
mod conditions;
mod cors;
mod dry_runs;
mod environment;
mod fields;
pub mod files;
pub mod gateway;
mod gateway_keys;
mod identity;
mod identity_keys;
mod keys;
mod modules;
mod names;
pub mod policy;
mod policy_keys;
pub mod policy_tests;
pub mod problem;
mod revoked;
mod roles;
mod routes;
pub mod schema;
mod shape;
mod state;
mod store_keys;
mod syntax;
#[cfg(test)]
mod tests;
mod values;
pub mod yaml;

use ipnet::IpNet;
use std::path::Path;
use std::time::Duration;

use problem::{Problems, Span};
use yaml::Node;

pub use addresses::{Address, Endpoint};
pub use gateway::{Audit, AuditSync, AuditTarget, Gateway, Limits, Listener, Tls, Upstream, load_gateway};
pub use keys::{IssuerSource, KeySource};
pub use policy::{LoadedPolicy, load_policy};
pub use policy_tests::{Expect, PolicyTest, Response, load_policy_tests};
pub use problem::{Problem, Severity, render, render_json};
pub use schema::{gateway_schema, policy_schema};
pub use state::{Host, Secret, ServerKind, SharedStore, State};

/// Reads a duration as the files have it: `250ms 30s 5m 24h 7d`.
///
/// # Errors
/// What is wrong with the text, worded to follow it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    values::duration(text).map_err(|fault| fault.message)
}

/// Reads and parses one file, with the bytes that it was parsed from.
fn parse_file(path: &Path, problems: &mut Problems) -> Option<(Node, Vec<u8>)> {
    let file = problems.file(path.display().to_string());
    let bytes = match files::read(path) {
        Ok(bytes) => bytes,
        Err(fault) => {
            problems.error(whole(file), fault);
            return None;
        }
    };
    let text = match files::text(&bytes) {
        Ok(text) => text,
        Err((line, col)) => {
            let at = Span {
                file,
                line,
                col,
                len: 0,
            };
            problems
                .error(at, "the file is not UTF-8")
                .hint("save it as UTF-8 in your editor");
            return None;
        }
    };
    let root = yaml::parse(text, file, problems)?;
    Some((root, bytes))
}

/// A file as a whole.
fn whole(file: u16) -> Span {
    Span {
        file,
        ..Span::default()
    }
}

/// Where the keys of a file stand that are missing from its top.
fn start(root: &Node) -> Span {
    Span {
        file: root.at.file,
        line: 1,
        col: 1,
        len: 0,
    }
}

/// Address ranges, from a list that has been checked.
fn ranges(items: &[Node], problems: &mut Problems) -> Vec<IpNet> {
    let mut ranges = Vec::new();
    for text in items.iter().filter_map(fields::text) {
        let Ok(range) = addresses::range(text.text) else {
            continue;
        };
        if range != range.trunc() {
            problems
                .warn(text.at, format!("{} has bits past its prefix", text.quoted()))
                .hint(format!("it means `{}`", range.trunc()));
        }
        if range.prefix_len() == 0 {
            problems.warn(text.at, format!("{} is every address", text.quoted()));
        }
        ranges.push(range.trunc());
    }
    ranges
}
