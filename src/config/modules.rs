//! `modules`: parts of the backends' URL space, each with one owner.

use http::HeaderName;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::body_keys::CSV;
use super::fields::{Fields, Text};
use super::keys::Inputs;
use super::names::Names;
use super::policy_keys::{JURISDICTION, MODULE};
use super::problem::{Problems, Span, quote};
use super::roles::Grants;
use super::routes;
use super::store_keys::Stated;
use super::values;
use super::yaml::{Key, Node, Value};
use crate::masking::coding::Coding;
use crate::masking::{Charset, Delimiter, Dialect};
use crate::policy::PathPattern;
use crate::policy::parts::{CallerFact, Jurisdiction, Mode, Module, Origin, Unmaskable, UpstreamId};
use crate::policy::pattern::Segment;

/// What modules refer to.
pub(super) struct Known<'k> {
    pub(super) upstreams: &'k Names<'k>,
    pub(super) upstream_names: &'k [Arc<str>],
    pub(super) roles: &'k Names<'k>,
    pub(super) grants: &'k Grants<'k>,
    pub(super) forward_as: &'k [(HeaderName, CallerFact)],
    pub(super) store_keys: &'k Stated,
}

/// Reads every module; one that cannot be read keeps its index.
pub(super) fn read(
    entries: &[(Key, Node)],
    known: &Known<'_>,
    inputs: &mut Inputs,
    problems: &mut Problems,
) -> Vec<Module> {
    let mut prefixes = Ties::default();
    entries
        .iter()
        .map(|(key, node)| module(key, node, known, &mut prefixes, inputs, problems))
        .collect()
}

fn module<'a>(
    key: &'a Key,
    node: &'a Node,
    known: &Known<'_>,
    prefixes: &mut Ties<'a>,
    inputs: &mut Inputs,
    problems: &mut Problems,
) -> Module {
    let own = Fields::new(node, key.at, &MODULE);
    let mut patterns: Vec<PathPattern> = Vec::new();
    let mut seen = HashSet::new();
    for text in own.texts("prefix") {
        let Ok(pattern) = values::prefix(text.text) else {
            continue;
        };
        if seen.insert(nameless(&pattern)) {
            let of = format!(" of module {}", quote(&key.text));
            prefixes.add(&pattern, text, &of, problems);
            patterns.push(pattern);
        }
    }
    let upstream = own
        .text("upstream")
        .and_then(|text| known.upstreams.find(text, problems));
    let jurisdiction = jurisdiction(&own, known, problems);
    let mode = mode(&own, &format!("module {}", quote(&key.text)), problems).unwrap_or_default();
    let routes = routes::read(own.list("routes"), jurisdiction.as_ref(), known, inputs, problems);
    Module {
        name: key.text.as_str().into(),
        prefixes: patterns,
        upstream: UpstreamId(upstream.unwrap_or_default()),
        upstream_name: upstream
            .and_then(|at| known.upstream_names.get(usize::from(at)))
            .map(Arc::clone)
            .unwrap_or_default(),
        jurisdiction,
        path_parameters: own.text("path_parameters").is_some_and(|text| text.text == "allow"),
        forward_token: own.flag("forward_token").unwrap_or(false),
        unmaskable: unmaskable(&own),
        compress: compress(&own),
        tolerant_json: own.text("json").is_some_and(|text| text.text == "tolerant"),
        dialect: dialect(&own),
        mode,
        routes,
        origin: Origin {
            file: problems.name(key.at),
            line: key.at.line,
        },
    }
}

/// Reads `mode` of a module or a route. What is only on trial is said at each load, so that nobody takes it for a lock.
pub(super) fn mode(own: &Fields<'_>, of: &str, problems: &mut Problems) -> Option<Mode> {
    let text = own.text("mode")?;
    match text.text {
        "shadow" => {
            problems
                .warn(
                    text.at,
                    format!("{of} is in shadow mode: what its rules deny is let through and recorded"),
                )
                .hint("look at `would_deny` in the audit log, then say `mode: enforce`");
            Some(Mode::Shadow)
        }
        "enforce" => Some(Mode::Enforce),
        _ => None,
    }
}

/// Codings in the order in which they are preferred. One that is listed twice is warned of where lists are read.
fn compress(own: &Fields<'_>) -> Vec<Coding> {
    let mut codings = Vec::new();
    for text in own.texts("compress") {
        if let Some(coding) = Coding::named(text.text.as_bytes())
            && !codings.contains(&coding)
        {
            codings.push(coding);
        }
    }
    codings
}

/// One word for every media type, or a list of them.
fn unmaskable(own: &Fields<'_>) -> Unmaskable {
    let listed = matches!(own.get("unmaskable").map(|node| &node.value), Some(Value::List(_)));
    let texts = own.texts("unmaskable");
    Unmaskable {
        pass_all: !listed && texts.iter().any(|text| text.text == "pass"),
        pass: texts
            .iter()
            .filter(|_| listed)
            .filter_map(|text| values::media_type(text.text).ok())
            .collect(),
    }
}

/// How the module's text answers are written.
fn dialect(own: &Fields<'_>) -> Dialect {
    let delimiter = own.section("csv", &CSV).and_then(|csv| csv.text("delimiter"));
    let charset = own.text("charset");
    Dialect {
        delimiter: delimiter
            .and_then(|text| Delimiter::named(text.text))
            .unwrap_or_default(),
        charset: charset.and_then(|text| Charset::named(text.text)).unwrap_or_default(),
    }
}

/// Reads `jurisdiction` of a module or a route.
pub(super) fn jurisdiction(fields: &Fields<'_>, known: &Known<'_>, problems: &mut Problems) -> Option<Jurisdiction> {
    let own = fields.section("jurisdiction", &JURISDICTION)?;
    let (from, fixed) = (own.key("from"), own.key("fixed"));
    let (source, list) = (own.text("from"), own.texts("fixed"));
    match (from, fixed) {
        (None, None) => {
            problems
                .error(own.at, "`jurisdiction` says neither `from` nor `fixed`")
                .hint("such as `{ from: \"body:/county\" }` or `{ fixed: [County_A] }`");
            None
        }
        (Some(_), Some(at)) => {
            problems
                .error(at, "`fixed` stands beside `from`")
                .hint("a jurisdiction has one of them");
            None
        }
        (Some(_), None) => {
            let source = source?;
            let jurisdiction = values::jurisdiction(source.text).ok()?;
            if let Jurisdiction::Header(name) = &jurisdiction
                && known.forward_as.iter().any(|(own, _)| own == name)
            {
                problems
                    .error(
                        source.at,
                        format!("{} is a header that Tollgate sets itself", source.quoted()),
                    )
                    .hint("a client's own copy is removed before anything is read from it");
            }
            Some(jurisdiction)
        }
        (None, Some(_)) => Some(Jurisdiction::Fixed(
            list.into_iter().map(|text| text.text.to_owned()).collect(),
        )),
    }
}

/// Paths that may not be given twice, by what they match.
#[derive(Default)]
pub(super) struct Ties<'a> {
    exact: HashMap<String, (Span, &'a str)>,
    folded: HashMap<String, (Span, &'a str)>,
}

/// A path with the names of its parameters left out: they do not tell one path from another.
pub(super) fn nameless(pattern: &PathPattern) -> String {
    let mut out = String::new();
    for segment in pattern.segments() {
        out.push('/');
        match segment {
            Segment::Literal(text) => out.push_str(text),
            // No literal has a brace.
            Segment::Parameter(_) => out.push_str("{}"),
        }
    }
    out
}

impl<'a> Ties<'a> {
    /// Notes a problem if the path stands somewhere already, also if letters of another case are all that tells them
    /// apart: backends differ in whether they tell, so that requests to either are refused.
    pub(super) fn add(&mut self, pattern: &PathPattern, text: Text<'a>, of: &str, problems: &mut Problems) {
        let key = nameless(pattern);
        let folded = key.to_lowercase();
        if let Some((first, _)) = self.exact.get(&key) {
            let place = problems.place(*first);
            problems
                .error(text.at, format!("prefix {}{of} is another module's", text.quoted()))
                .hint(format!("it stands at {place} already"));
        } else if let Some((first, other)) = self.folded.get(&folded) {
            let place = problems.place(*first);
            problems
                .error(
                    text.at,
                    format!(
                        "prefix {}{of} differs from {} only in case",
                        text.quoted(),
                        quote(other)
                    ),
                )
                .hint(format!("that stands at {place}; requests to either would be refused"));
        }
        self.exact.entry(key).or_insert((text.at, text.text));
        self.folded.entry(folded).or_insert((text.at, text.text));
    }
}
