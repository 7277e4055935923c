//! The paths that two policies tell apart.
//!
//! Every pattern of either policy is one; so is what several of them match together (`/a/{x}/c` and `/a/b/{y}` meet at
//! `/a/b/c`), and what lies below each, because a pattern is a prefix. A path that is none of these is decided as the
//! longest of them that matches it. The path is then looked up by the gateway's own matcher.

use http::{HeaderMap, Method};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use super::super::Policy;
use super::super::pattern::Segment;
use crate::call::{Call, Path, Query};

/// Most paths that are compared; policies whose patterns meet more often are not compared to the end.
pub const MAX_PROBES: usize = 20_000;

/// A path to be asked for.
pub(super) struct Probe {
    /// As an author would write it.
    pub(super) text: String,
    /// The call for it, whose method does not matter.
    pub(super) call: Call,
    /// The call for something below it.
    pub(super) below: Call,
}

/// A pattern without the names of its parameters.
type Shape = Vec<Option<Box<str>>>;

/// All of them, and whether that is really all.
pub(super) fn probes(old: &Policy, new: &Policy) -> (Vec<Probe>, bool) {
    let mut shapes: BTreeMap<Shape, Vec<Segment>> = BTreeMap::new();
    // The new policy's names are the ones that are shown.
    for segments in patterns(new).chain(patterns(old)) {
        shapes.entry(shape(&segments)).or_insert(segments);
    }
    let whole = meet(&mut shapes);
    let other = unused(&shapes);
    let probes = shapes.values().filter_map(|segments| probe(segments, &other)).collect();
    (probes, whole)
}

/// Prefixes, and routes below each.
fn patterns(policy: &Policy) -> impl Iterator<Item = Vec<Segment>> + '_ {
    policy.modules.iter().flat_map(|module| {
        module.module.prefixes.iter().flat_map(move |prefix| {
            let routes = module.module.routes.iter().map(|route| route.pattern.segments());
            routes.chain([&[][..]]).map(move |rest| {
                let mut segments = prefix.segments().to_vec();
                segments.extend_from_slice(rest);
                segments
            })
        })
    })
}

fn shape(segments: &[Segment]) -> Shape {
    segments
        .iter()
        .map(|segment| match segment {
            Segment::Literal(text) => Some(text.clone()),
            Segment::Parameter(_) => None,
        })
        .collect()
}

/// Adds what two of them match together, until there is nothing more. Tells whether the end was reached.
fn meet(shapes: &mut BTreeMap<Shape, Vec<Segment>>) -> bool {
    let mut fresh: Vec<Vec<Segment>> = shapes.values().cloned().collect();
    while !fresh.is_empty() {
        let mut found = Vec::new();
        for a in &fresh {
            let both = shapes.values().filter_map(|b| together(a, b));
            found.extend(both.map(|segments| (shape(&segments), segments)));
        }
        found.retain(|(shape, _)| !shapes.contains_key(shape));
        found.sort();
        found.dedup_by(|a, b| a.0 == b.0);
        if shapes.len() + found.len() > MAX_PROBES {
            return false;
        }
        fresh = found.iter().map(|(_, segments)| segments.clone()).collect();
        shapes.extend(found);
    }
    true
}

/// The pattern of the paths that are at or below both; none if there is no such path.
fn together(a: &[Segment], b: &[Segment]) -> Option<Vec<Segment>> {
    (0..a.len().max(b.len()))
        .map(|at| match (a.get(at), b.get(at)) {
            (Some(Segment::Literal(one)), Some(Segment::Literal(other))) => {
                (one == other).then(|| a.get(at).cloned())?
            }
            (Some(Segment::Parameter(_)), Some(other)) => Some(other.clone()),
            (Some(one), _) => Some(one.clone()),
            (None, other) => other.cloned(),
        })
        .collect()
}

/// A segment that no literal is, however letters are folded.
fn unused(shapes: &BTreeMap<Shape, Vec<Segment>>) -> String {
    let mut text = String::from("x");
    while shapes
        .keys()
        .flatten()
        .flatten()
        .any(|literal| literal.to_lowercase() == text)
    {
        text.push('x');
    }
    text
}

/// None for a pattern that no request could have.
fn probe(segments: &[Segment], other: &str) -> Option<Probe> {
    let mut text = String::new();
    let mut raw = String::new();
    for segment in segments {
        text.push('/');
        raw.push('/');
        match segment {
            Segment::Literal(literal) => {
                text.push_str(literal);
                encode(literal, &mut raw);
            }
            Segment::Parameter(name) => {
                // Writing into a string cannot fail.
                let _ = write!(text, "{{{name}}}");
                raw.push_str(other);
            }
        }
    }
    if text.is_empty() {
        text.push('/');
    }
    let below = call(&format!("{raw}/{other}"))?;
    let at = call(if raw.is_empty() { "/" } else { &raw })?;
    Some(Probe { text, call: at, below })
}

fn call(raw: &str) -> Option<Call> {
    Some(Call {
        method: Method::GET,
        path: Path::parse(raw).ok()?,
        query: Query::default(),
        host: "".into(),
        headers: HeaderMap::new(),
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        certificate: None,
    })
}

fn encode(literal: &str, raw: &mut String) {
    for byte in literal.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte) {
            raw.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(raw, "%{byte:02X}");
        }
    }
}
