//! `routes` of a module: a path, its methods, and what they ask of the caller.

use http::Method;
use std::collections::HashMap;

use super::concurrency;
use super::conditions;
use super::dry_runs;
use super::fields::{Fields, Text};
use super::keys::Inputs;
use super::modules::{self, Known, nameless};
use super::policy_keys::{DEFAULT_KEEP, IDEMPOTENCY, ROUTE};
use super::problem::{Problems, Span, quote};
use super::roles::Grants;
use super::values;
use super::yaml::Node;
use crate::policy::PathPattern;
use crate::policy::parts::{Idempotency, Jurisdiction, Origin, Route};

/// Reads the routes of a module whose own jurisdiction is `outer`.
pub(super) fn read(
    items: &[Node],
    outer: Option<&Jurisdiction>,
    known: &Known<'_>,
    inputs: &mut Inputs,
    problems: &mut Problems,
) -> Vec<Route> {
    let mut ties = Ties::default();
    items
        .iter()
        .map(|node| {
            let own = Fields::new(node, node.at, &ROUTE);
            let route = route(&own, outer, known, inputs, problems);
            ties.add(&own, &route, problems);
            route
        })
        .collect()
}

fn route(
    own: &Fields<'_>,
    outer: Option<&Jurisdiction>,
    known: &Known<'_>,
    inputs: &mut Inputs,
    problems: &mut Problems,
) -> Route {
    let path = own.text("path");
    let pattern = path
        .and_then(|text| PathPattern::parse(text.text).ok())
        .unwrap_or_default();
    let methods: Vec<Method> = own
        .texts("methods")
        .iter()
        .filter_map(|text| Method::from_bytes(text.text.as_bytes()).ok())
        .collect();
    let public = own.flag("public").unwrap_or(false);
    let scope = own.text("scope");
    access(own, scope, public, known.grants, problems);
    let jurisdiction = modules::jurisdiction(own, known, problems);
    let idempotency = idempotency(own, known, problems);
    if public {
        public_route(own, outer, problems);
    }
    let reads_body = own.flag("reads_body").unwrap_or(false);
    // A path that cannot be read has parameters that nobody knows: that has been said.
    let (when, rows) = match path {
        Some(text) if PathPattern::parse(text.text).is_err() => (None, None),
        _ => {
            let place = conditions::Place {
                pattern: &pattern,
                methods: &methods,
                public,
                reads_body,
            };
            let when = conditions::read(own, &place, known, problems);
            (when, conditions::read_rows(own, &place, known, problems))
        }
    };
    let route = Route {
        pattern,
        methods,
        scope: scope.filter(|_| !public).map(|text| text.text.into()),
        public,
        jurisdiction,
        when,
        reads_body,
        idempotency,
        concurrency: concurrency::read(own, known.store_keys, problems),
        dry_run: dry_runs::read(own, inputs, problems),
        mode: modules::mode(own, "the route", problems),
        rows,
        origin: Origin {
            file: problems.name(own.at),
            line: own.at.line,
        },
    };
    let path_at = path.map_or(own.at, |text| text.at);
    reachable(own, &route, outer, path_at, problems);
    route
}

/// A route asks for a scope or is public, one of them in so many words.
fn access(own: &Fields<'_>, scope: Option<Text<'_>>, public: bool, grants: &Grants<'_>, problems: &mut Problems) {
    match own.key("scope") {
        None if !public => problems
            .error(own.at, "the route has neither `scope` nor `public: true`")
            .hint("a route that anybody may use without a token says `public: true`"),
        Some(at) if public => problems
            .error(at, "a public route asks for no `scope`")
            .hint("remove `scope`, or `public: true`"),
        _ => {
            if let Some(text) = scope
                && values::scope(text.text).is_ok()
            {
                grants.need(text, problems);
            }
        }
    }
}

/// A public route has no caller, so that nothing can depend on one.
fn public_route(own: &Fields<'_>, outer: Option<&Jurisdiction>, problems: &mut Problems) {
    for key in ["jurisdiction", "idempotency"] {
        if let Some(at) = own.key(key) {
            problems.error(at, format!("a public route has no caller for `{key}`"));
        }
    }
    if let Some(at) = own.key("mode")
        && own.key("when").is_none()
    {
        problems.warn(
            at,
            "`mode` has no meaning on a public route without `when`: no rule of it denies anything",
        );
    }
    if outer.is_some() && own.key("jurisdiction").is_none() {
        problems.warn(own.at, "the module's `jurisdiction` does not hold on a public route");
    }
}

fn idempotency(own: &Fields<'_>, known: &Known<'_>, problems: &mut Problems) -> Option<Idempotency> {
    let own = own.section("idempotency", &IDEMPOTENCY)?;
    let replay = own.text("on_duplicate").filter(|text| text.text == "replay");
    Some(Idempotency {
        required: own.flag("required").unwrap_or(true),
        transaction_id: own
            .text("transaction_id")
            .and_then(|text| values::transaction_id(text.text).ok()),
        keep: own.duration("keep").unwrap_or(DEFAULT_KEEP),
        wait: own.duration("wait"),
        replay: replay.and_then(|text| known.store_keys.needed(text.at, "`replay`", problems)),
    })
}

/// Finds what no request could satisfy.
fn reachable(own: &Fields<'_>, route: &Route, outer: Option<&Jurisdiction>, path_at: Span, problems: &mut Problems) {
    let only =
        |methods: &[Method]| !route.methods.is_empty() && route.methods.iter().all(|method| methods.contains(method));
    let said = own.key("jurisdiction");
    match route.jurisdiction.as_ref().or(outer.filter(|_| said.is_none())) {
        Some(Jurisdiction::Path(name)) if route.pattern.parameter(name).is_none() => {
            let whose = if said.is_some() { "its" } else { "its module's" };
            problems
                .error(
                    said.unwrap_or(path_at),
                    format!("the route's path has no `{{{name}}}`, which {whose} `jurisdiction` reads"),
                )
                .hint_if(super::problem::nearest(name, parameters(&route.pattern).into_iter()));
        }
        Some(Jurisdiction::Body(_))
            if !route.public && only(&[Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS]) =>
        {
            let listed: Vec<String> = route.methods.iter().map(|method| quote(method.as_str())).collect();
            problems
                .warn(
                    said.unwrap_or(own.at),
                    format!("the jurisdiction is read from the body, which {} requests have not", listed.join(" and ")),
                )
                .hint("they are refused; give the route a `jurisdiction` of its own, such as `{ from: \"query:county\" }`");
        }
        _ => {}
    }
    if let Some(at) = own.key("idempotency")
        && only(&[Method::GET, Method::HEAD, Method::OPTIONS])
    {
        problems.warn(at, "`idempotency` has no meaning on a route that changes nothing");
    }
    for key in ["dry_run", "concurrency"] {
        if let Some(at) = own.key(key)
            && only(&[Method::GET, Method::HEAD, Method::OPTIONS])
        {
            problems.error(at, format!("`{key}` has no meaning on a route that changes nothing"));
        }
    }
}

fn parameters(pattern: &PathPattern) -> Vec<&str> {
    pattern
        .segments()
        .iter()
        .filter_map(|segment| match segment {
            crate::policy::pattern::Segment::Parameter(name) => Some(&**name),
            crate::policy::pattern::Segment::Literal(_) => None,
        })
        .collect()
}

/// Routes of one module, by what their paths match.
#[derive(Default)]
struct Ties {
    exact: HashMap<String, HashMap<Method, Span>>,
    folded: HashMap<String, (String, Span)>,
}

impl Ties {
    /// Notes a problem if a request could be taken by this route and by one before it.
    fn add(&mut self, own: &Fields<'_>, route: &Route, problems: &mut Problems) {
        if own.key("path").is_some()
            && own
                .text("path")
                .is_none_or(|text| PathPattern::parse(text.text).is_err())
        {
            return;
        }
        let key = nameless(&route.pattern);
        let at = own.text("path").map_or(own.at, |text| text.at);
        let shown = quote(&route.pattern.to_string());
        let methods = self.exact.entry(key.clone()).or_default();
        let mut tie = None;
        // Else the order of lines would say which of the two answers a `HEAD`.
        let head =
            (route.methods.contains(&Method::GET) && !route.methods.contains(&Method::HEAD)).then_some(&Method::HEAD);
        for method in route.methods.iter().chain(head) {
            match methods.get(method) {
                Some(first) => {
                    tie.get_or_insert((method.clone(), *first));
                }
                None => {
                    methods.insert(method.clone(), own.at);
                }
            }
        }
        if let Some((method, first)) = tie
            && first != own.at
        {
            let place = problems.place(first);
            problems
                .error(at, format!("two routes take {} {shown}", quote(method.as_str())))
                .hint(format!("the other one stands at {place}"));
        }
        match self.folded.get(&key.to_lowercase()) {
            Some((other, first)) if *other != key => {
                let place = problems.place(*first);
                problems
                    .error(
                        at,
                        format!("the path {shown} differs from another route's only in case"),
                    )
                    .hint(format!("that stands at {place}; requests to either would be refused"));
            }
            Some(_) => {}
            None => {
                self.folded.insert(key.to_lowercase(), (key, at));
            }
        }
    }
}
