//! Who may ask for what: at each path, for each method, the rule of one policy against the rule of the other.

use http::Method;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::probes::{MAX_PROBES, probes};
use super::{Change, Effect, Kind, difference, list, role, role_names};
use crate::call::Call;
use crate::masking::Dialect;
use crate::policy::evaluate::{route, takes};
use crate::policy::matrix::{Access, Sight, access, conditions, jurisdiction, sight, source_of};
use crate::policy::parts::{Concurrency, DryRun, Idempotency, Jurisdiction, Module, Route, Unmaskable};
use crate::policy::{CompiledModule, CompiledRole, Need, Policy, RouteFacts};

/// The rule that one policy has for a path and a method.
struct Rule<'p> {
    policy: &'p Policy,
    at: usize,
    module: &'p CompiledModule,
    route: &'p Route,
    facts: &'p RouteFacts,
    /// Segments of the module's prefix.
    depth: usize,
}

pub(super) fn compare(old: &Policy, new: &Policy, changes: &mut Vec<Change>) {
    modules(old, new, changes);
    let (probes, whole) = probes(old, new);
    if !whole {
        let text = format!("the paths overlap in more than {MAX_PROBES} ways, which are not all compared");
        changes.push(Change::new(Effect::Widens, Kind::Access, text));
    }
    let roles = role_names(old, new);
    let methods = methods(old, new);
    for probe in probes {
        let here = at(old, new, &probe.call, &roles, &methods);
        let below = at(old, new, &probe.below, &roles, &methods);
        let place = |route: String| {
            move |mut change: Change| {
                change.route = Some(route.clone());
                change
            }
        };
        if below != here {
            changes.extend(
                below
                    .into_iter()
                    .map(place(format!("{}/*", probe.text.trim_end_matches('/')))),
            );
        }
        changes.extend(here.into_iter().map(place(probe.text)));
    }
}

/// Every method that a route names; `HEAD` comes with `GET`.
fn methods(old: &Policy, new: &Policy) -> Vec<Method> {
    let routes = [old, new]
        .into_iter()
        .flat_map(|policy| policy.modules.iter().flat_map(|module| &module.module.routes));
    let mut methods: Vec<Method> = routes.flat_map(|route| route.methods.iter().cloned()).collect();
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    methods
}

fn rules<'p>(policy: &'p Policy, call: &Call, method: &Method) -> Option<Rule<'p>> {
    let (place, candidates) = route(policy, call).ok()?;
    let module = policy.module(place)?;
    candidates.iter().find_map(|&at| {
        let route = module.module.routes.get(usize::from(at))?;
        takes(route, method).then_some(())?;
        Some(Rule {
            policy,
            at: usize::from(place.module),
            module,
            route,
            facts: module.route_facts.get(usize::from(at))?,
            depth: policy.prefix_depth(call),
        })
    })
}

/// What differs at one path, the methods of equal differences together.
fn at(old: &Policy, new: &Policy, call: &Call, roles: &[&Arc<str>], methods: &[Method]) -> Vec<Change> {
    let mut found: BTreeMap<Change, Vec<String>> = BTreeMap::new();
    for method in methods {
        let (before, after) = (rules(old, call, method), rules(new, call, method));
        let mut changes = Vec::new();
        who((old, before.as_ref()), (new, after.as_ref()), roles, &mut changes);
        if let (Some(before), Some(after)) = (&before, &after) {
            what_else(before, after, roles, &mut changes);
        }
        let Some(shown) = after.as_ref().or(before.as_ref()) else {
            continue;
        };
        for change in changes {
            let change = change.module(&shown.module.module.name).at(&shown.route.origin);
            found.entry(change).or_default().push(method.to_string());
        }
    }
    found
        .into_iter()
        .map(|(change, methods)| Change { methods, ..change })
        .collect()
}

fn is_public(rule: Option<&Rule<'_>>) -> bool {
    rule.is_some_and(|rule| rule.route.public)
}

fn may(rule: Option<&Rule<'_>>, role: Option<&CompiledRole>) -> Option<Access> {
    let rule = rule?;
    if rule.route.public {
        return Some(Access::Public);
    }
    Some(access(role?, rule.at, false, rule.facts.scope))
}

fn is_open(access: Option<Access>) -> bool {
    access.is_some_and(Access::is_open)
}

/// Who may ask.
fn who(
    (old, before): (&Policy, Option<&Rule<'_>>),
    (new, after): (&Policy, Option<&Rule<'_>>),
    roles: &[&Arc<str>],
    changes: &mut Vec<Change>,
) {
    match (is_public(before), is_public(after)) {
        (false, true) => changes.push(Change::new(
            Effect::Widens,
            Kind::Access,
            "anybody may ask, without a token",
        )),
        (true, false) => changes.push(Change::new(Effect::Narrows, Kind::Access, "a token is needed")),
        _ => {}
    }
    if is_public(after) {
        return;
    }
    for name in roles {
        let (was, is) = (may(before, role(old, name)), may(after, role(new, name)));
        let change = match (is_open(was), is_open(is)) {
            (false, true) => Change::new(Effect::Widens, Kind::Access, "may now ask"),
            (true, false) => {
                let why = match is {
                    Some(Access::Restricted) => "the module is closed to it",
                    Some(_) => "it has not the scope",
                    None if after.is_some() => "the role is gone",
                    None => "no route takes it",
                };
                Change::new(Effect::Narrows, Kind::Access, format!("may no longer ask: {why}"))
            }
            _ => continue,
        };
        changes.push(change.role(name));
    }
}

/// What differs where there is a rule before and after.
fn what_else(before: &Rule<'_>, after: &Rule<'_>, roles: &[&Arc<str>], changes: &mut Vec<Change>) {
    let Route {
        pattern: _,
        methods: _,
        scope,
        public,
        jurisdiction: _,
        idempotency,
        concurrency,
        dry_run,
        // As `conditions` has them; a body is read for them alone.
        when: _,
        reads_body: _,
        rows: _,
        mode: _,
        origin: _,
    } = after.route;
    let asks = |effect, text: String| Change::new(effect, Kind::Condition, text);
    let moved = before.module.module.name != after.module.module.name;
    if !public && !before.route.public && before.route.scope != *scope {
        let both = roles.iter().any(|name| {
            is_open(may(Some(before), role(before.policy, name))) && is_open(may(Some(after), role(after.policy, name)))
        });
        let effect = if both { Effect::Widens } else { Effect::Neutral };
        let name = |scope: &Option<Arc<str>>| scope.as_deref().unwrap_or_default().to_owned();
        let text = format!(
            "asks for `{}` in place of `{}`, which a token may name alone",
            name(scope),
            name(&before.route.scope)
        );
        changes.push(asks(effect, text));
    }
    changes.extend(jurisdictions(before, after).map(|(effect, text)| asks(effect, text)));
    match (before.facts.shadow, after.facts.shadow) {
        (false, true) => changes.push(asks(
            Effect::Widens,
            "is in shadow mode: its rules keep nobody out who has a good token".into(),
        )),
        (true, false) => changes.push(asks(Effect::Narrows, "is enforced".into())),
        _ => {}
    }
    if conditions(before.route) != conditions(after.route) {
        let effect = if conditions(before.route).is_empty() {
            Effect::Narrows
        } else {
            Effect::Widens
        };
        changes.push(asks(effect, "its condition is another".into()));
    }
    for (effect, text) in versions(before.route.concurrency.as_ref(), concurrency.as_ref()) {
        changes.push(asks(effect, text));
    }
    for (effect, text) in keys(before.route.idempotency.as_ref(), idempotency.as_ref()) {
        changes.push(asks(effect, text));
    }
    for (effect, text) in bodies(before.route.dry_run.as_deref(), dry_run.as_deref()) {
        changes.push(asks(effect, text));
    }
    if moved {
        let text = format!(
            "is in module `{}` in place of `{}`",
            after.module.module.name, before.module.module.name
        );
        changes.push(asks(Effect::Neutral, text));
        changes.extend(settings(&before.module.module, &after.module.module).map(|(effect, text)| asks(effect, text)));
        restrictions(before, after, roles, changes);
    }
    if moved || (before.route.public && !public) {
        sights(before, after, roles, changes);
    }
}

/// A module under another name: what kept a role out of the one may not keep it out of the other.
fn restrictions(before: &Rule<'_>, after: &Rule<'_>, roles: &[&Arc<str>], changes: &mut Vec<Change>) {
    for name in roles {
        let kept = |rule: &Rule<'_>| role(rule.policy, name).is_some_and(|role| role.restricted.contains(rule.at));
        if kept(before) && !kept(after) {
            let text = "no longer keeps a caller out who has other roles too";
            changes.push(Change::new(Effect::Widens, Kind::Role, text).role(name));
        }
    }
}

/// A route that was public masked everything; one that moves to another module has that module's classes.
fn sights(before: &Rule<'_>, after: &Rule<'_>, roles: &[&Arc<str>], changes: &mut Vec<Change>) {
    for name in roles {
        let now = hidden(after, role(after.policy, name));
        for class in hidden(before, role(before.policy, name)) {
            if !now.contains(&class) {
                let change = Change::new(Effect::Widens, Kind::Field, "sees it here, where it was masked");
                changes.push(change.role(name).class(class));
            }
        }
    }
}

/// The classes that are masked for a role under a rule.
fn hidden<'p>(rule: &Rule<'p>, role: Option<&CompiledRole>) -> Vec<&'p Arc<str>> {
    let classes = rule.module.classes.iter();
    let classes = classes.filter_map(|&at| rule.policy.classes.get(usize::from(at)));
    classes
        .filter(|class| rule.route.public || role.is_none_or(|role| sight(role, class) != Sight::Visible))
        .map(|class| &class.class.name)
        .collect()
}

/// A parameter of the path is the same wherever its name changes and its place does not.
fn jurisdictions(before: &Rule<'_>, after: &Rule<'_>) -> Option<(Effect, String)> {
    if before.route.public || after.route.public {
        return None;
    }
    let place = |rule: &Rule<'_>| match &rule.facts.jurisdiction {
        Some(Need::Segment(at)) => Some(rule.depth + at),
        _ => None,
    };
    let written = |rule: &Rule<'_>| {
        let asked = jurisdiction(&rule.module.module, rule.route);
        asked.map(source_of).unwrap_or_default()
    };
    match (&before.facts.jurisdiction, &after.facts.jurisdiction) {
        (None, None) => None,
        (None, Some(_)) => Some((
            Effect::Narrows,
            format!("asks for a jurisdiction, `{}`", written(after)),
        )),
        (Some(_), None) => Some((Effect::Widens, "asks for no jurisdiction any more".into())),
        (Some(Need::Segment(_)), Some(Need::Segment(_))) if place(before) == place(after) => None,
        (Some(Need::Elsewhere(Jurisdiction::Fixed(old))), Some(Need::Elsewhere(Jurisdiction::Fixed(new)))) => {
            let (added, removed) = difference(old, new);
            match (added.as_slice(), removed.as_slice()) {
                ([], []) => None,
                ([], removed) => Some((
                    Effect::Narrows,
                    format!("jurisdiction {} will not do any more", list(removed)),
                )),
                (added, _) => Some((Effect::Widens, format!("jurisdiction {} will do", list(added)))),
            }
        }
        (Some(Need::Elsewhere(old)), Some(Need::Elsewhere(new))) if old == new => None,
        _ => Some((
            Effect::Widens,
            format!(
                "reads the jurisdiction from `{}` in place of `{}`",
                written(after),
                written(before)
            ),
        )),
    }
}

/// What the bodies of writes are held against. Nobody can say of two schemas which of them allows more.
fn bodies(before: Option<&DryRun>, after: Option<&DryRun>) -> Vec<(Effect, String)> {
    let mut found = Vec::new();
    let (before, after) = match (before, after) {
        (None, None) => return found,
        (None, Some(_)) => return vec![(Effect::Narrows, "holds bodies against a schema".into())],
        (Some(_), None) => return vec![(Effect::Widens, "holds bodies against no schema any more".into())],
        (Some(before), Some(after)) => (before, after),
    };
    let DryRun {
        schema,
        schema_file: _,
        entries,
        balances,
    } = after;
    if before.schema != *schema {
        found.push((Effect::Widens, "holds bodies against another schema".into()));
    }
    if before.entries != *entries {
        found.push((Effect::Widens, "asks something else of the entries of a body".into()));
    }
    if before.balances != *balances {
        // It tells what the caller may read anyway.
        found.push((Effect::Neutral, "tells other balances in a dry run".into()));
    }
    found
}

/// How writes are kept from undoing each other.
fn versions(before: Option<&Concurrency>, after: Option<&Concurrency>) -> Vec<(Effect, String)> {
    let (before, after) = match (before, after) {
        (None, None) => return Vec::new(),
        (None, Some(_)) => return vec![(Effect::Narrows, "needs an If-Match".into())],
        (Some(_), None) => return vec![(Effect::Widens, "needs no If-Match any more".into())],
        (Some(before), Some(after)) => (before, after),
    };
    let Concurrency { version, wait } = after;
    let mut found = Vec::new();
    match (&before.version, version) {
        (None, Some(_)) => found.push((Effect::Narrows, "compares versions itself".into())),
        (Some(_), None) => found.push((Effect::Widens, "leaves it to the backend to compare versions".into())),
        (Some(before), Some(after)) if before != after => {
            found.push((Effect::Widens, "takes another version of the resource".into()));
        }
        _ => {}
    }
    if before.wait != *wait {
        found.push((
            Effect::Neutral,
            "waits otherwise for writes to the same resource".into(),
        ));
    }
    found
}

/// How writes are kept from happening twice.
fn keys(before: Option<&Idempotency>, after: Option<&Idempotency>) -> Vec<(Effect, String)> {
    let mut found = Vec::new();
    let (before, after) = match (before, after) {
        (None, None) => return found,
        (None, Some(_)) => return vec![(Effect::Narrows, "does a keyed write once".into())],
        (Some(_), None) => return vec![(Effect::Widens, "does a write as often as it comes".into())],
        (Some(before), Some(after)) => (before, after),
    };
    let Idempotency {
        required,
        transaction_id,
        keep,
        wait,
        replay,
    } = after;
    match (before.required, required) {
        (false, true) => found.push((Effect::Narrows, "needs an idempotency key".into())),
        (true, false) => found.push((Effect::Widens, "needs no idempotency key any more".into())),
        _ => {}
    }
    match keep.cmp(&before.keep) {
        std::cmp::Ordering::Less => found.push((Effect::Widens, "forgets idempotency keys sooner".into())),
        std::cmp::Ordering::Greater => found.push((Effect::Narrows, "remembers idempotency keys longer".into())),
        std::cmp::Ordering::Equal => {}
    }
    if before.wait != *wait {
        // Who waits learns the same a little later.
        found.push((
            Effect::Neutral,
            "waits otherwise for a first request that still runs".into(),
        ));
    }
    match (&before.replay, replay) {
        // Whoever gets the answer again is the one who got it first, and sees of it what they may see now.
        (None, Some(_)) => found.push((Effect::Neutral, "gives a repeated write its first answer again".into())),
        (Some(_), None) => found.push((Effect::Neutral, "gives no first answer again".into())),
        (Some(before), Some(after)) if before != after => {
            found.push((Effect::Neutral, "seals kept answers with other keys".into()));
        }
        _ => {}
    }
    if before.transaction_id != *transaction_id {
        found.push((
            Effect::Widens,
            "takes the transaction id from another place of the answer".into(),
        ));
    }
    found
}

/// What modules of one name say for all their routes.
fn modules(old: &Policy, new: &Policy, changes: &mut Vec<Change>) {
    for after in &new.modules {
        let after = &after.module;
        let Some(before) = old.modules.iter().find(|before| before.module.name == after.name) else {
            continue;
        };
        for (effect, text) in settings(&before.module, after) {
            let change = Change::new(effect, Kind::Condition, text);
            changes.push(change.module(&after.name).at(&after.origin));
        }
    }
}

fn settings(before: &Module, after: &Module) -> impl Iterator<Item = (Effect, String)> + use<> {
    let Module {
        name: _,
        prefixes: _,
        upstream,
        upstream_name,
        jurisdiction: _,
        path_parameters,
        forward_token,
        unmaskable: Unmaskable { pass_all, pass },
        compress,
        tolerant_json,
        dialect: Dialect { delimiter, charset },
        routes: _,
        // Compared at each route.
        mode: _,
        origin: _,
    } = after;
    let mut found = Vec::new();
    if before.upstream != *upstream {
        let text = format!("goes to `{upstream_name}` in place of `{}`", before.upstream_name);
        found.push((Effect::Widens, text));
    }
    for (was, is, what) in [
        (before.path_parameters, *path_parameters, "`;` parameters in paths pass"),
        (
            before.forward_token,
            *forward_token,
            "the backend gets the caller's token",
        ),
        (
            before.unmaskable.pass_all,
            *pass_all,
            "whatever cannot be masked passes",
        ),
    ] {
        match (was, is) {
            (false, true) => found.push((Effect::Widens, what.to_owned())),
            (true, false) => found.push((Effect::Narrows, format!("no longer: {what}"))),
            _ => {}
        }
    }
    // Who sees what is the same; more answers can be masked, or fewer.
    match (before.tolerant_json, *tolerant_json) {
        (false, true) => found.push((Effect::Neutral, "masks JSON that is not quite JSON, too".to_owned())),
        (true, false) => found.push((
            Effect::Neutral,
            "no longer masks JSON that is not quite JSON".to_owned(),
        )),
        _ => {}
    }
    // What was refused may be read now, and names be found or not.
    let was = before.dialect;
    for (what, was, is) in [
        ("the delimiter of CSV", was.delimiter.word(), delimiter.word()),
        ("the charset of text", was.charset.name(), charset.name()),
    ] {
        if was != is {
            found.push((Effect::Widens, format!("{what} is `{is}` in place of `{was}`")));
        }
    }
    let (added, removed) = difference(&before.unmaskable.pass, pass);
    if !added.is_empty() {
        found.push((Effect::Widens, format!("{} passes unmasked", list(&added))));
    }
    if !removed.is_empty() {
        found.push((Effect::Narrows, format!("{} no longer passes unmasked", list(&removed))));
    }
    if before.compress != *compress {
        // How long a compressed answer is tells of what is in it.
        let widens = compress.iter().any(|coding| !before.compress.contains(coding));
        let effect = if widens { Effect::Widens } else { Effect::Narrows };
        let names: Vec<&str> = compress.iter().map(|coding| coding.name()).collect();
        found.push(match names.as_slice() {
            [] => (Effect::Narrows, "answers are no longer compressed".to_owned()),
            _ if compress.len() == before.compress.len() && !widens => (
                Effect::Neutral,
                format!("answers are compressed with {}, in this order", names.join(", ")),
            ),
            _ => (effect, format!("answers are compressed with {}", names.join(", "))),
        });
    }
    found.into_iter()
}
