//! `roles` and `exclusive_roles`: what a role grants, what it is kept out of, and which roles keep apart.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::fields::{Fields, Text, text};
use super::names::Names;
use super::policy_keys::{RATE_LIMIT, ROLE_KEYS};
use super::problem::{Problems, Span, nearest, quote};
use super::yaml::{Key, Node, Value};
use crate::policy::bits::Bits;
use crate::policy::parts::{ModuleId, Origin, Role, RoleId};
use crate::policy::{RateLimit, ScopePattern, ScopeTree};

/// Reads every role; one that cannot be read keeps its index.
pub(super) fn read(
    entries: &[(Key, Node)],
    roles: &Names<'_>,
    modules: &Names<'_>,
    problems: &mut Problems,
) -> Vec<Role> {
    let list: Vec<Role> = entries
        .iter()
        .map(|(key, node)| role(key, node, roles, modules, problems))
        .collect();
    let inherits = inheritance(entries, roles);
    if !refuse_cycles(&inherits, roles, problems) {
        warn_empty(&list, entries, problems);
    }
    list
}

fn role(key: &Key, node: &Node, roles: &Names<'_>, modules: &Names<'_>, problems: &mut Problems) -> Role {
    let own = Fields::new(node, key.at, &ROLE_KEYS);
    let scopes = own.texts("scopes");
    let allow_from = own
        .key("allow_from")
        .map(|_| super::ranges(own.list("allow_from"), problems));
    Role {
        name: key.text.as_str().into(),
        scopes: scopes
            .iter()
            .filter_map(|text| ScopePattern::parse(text.text).ok())
            .collect(),
        inherits: own
            .texts("inherits")
            .into_iter()
            .filter_map(|text| roles.find(text, problems).map(RoleId))
            .collect(),
        restricted_modules: own
            .texts("restricted_modules")
            .into_iter()
            .filter_map(|text| modules.find(text, problems).map(ModuleId))
            .collect(),
        allow_from,
        rate_limit: rate_limit(&own),
        origin: Origin {
            file: problems.name(key.at),
            line: key.at.line,
        },
    }
}

fn rate_limit(own: &Fields<'_>) -> Option<RateLimit> {
    let own = own.section("rate_limit", &RATE_LIMIT)?;
    let count = |name| own.count(name).and_then(|count| u32::try_from(count).ok());
    let requests = count("requests")?;
    Some(RateLimit {
        requests,
        per: own.duration("per")?,
        burst: count("burst").unwrap_or(requests),
    })
}

/// For each role what it inherits, with the place where it says so.
fn inheritance(entries: &[(Key, Node)], roles: &Names<'_>) -> Vec<Vec<(usize, Span)>> {
    let mut unheard = Problems::default();
    entries
        .iter()
        .map(|(key, node)| {
            let own = Fields::new(node, key.at, &ROLE_KEYS);
            let inherits = own.texts("inherits").into_iter();
            inherits
                .filter_map(|text: Text<'_>| Some((usize::from(roles.find(text, &mut unheard)?), text.at)))
                .collect()
        })
        .collect()
}

/// Notes each place at which following `inherits` comes back to a role that it came from. Walks with a stack of its own:
/// a chain may be as long as the policy.
fn refuse_cycles(inherits: &[Vec<(usize, Span)>], roles: &Names<'_>, problems: &mut Problems) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        Unseen,
        Open,
        Done,
    }
    let name = |role: usize| u16::try_from(role).map_or("", |role| roles.at(role));
    let mut marks = vec![Mark::Unseen; inherits.len()];
    let mut found = false;
    for first in 0..inherits.len() {
        if marks.get(first) != Some(&Mark::Unseen) {
            continue;
        }
        let mut way: Vec<(usize, usize)> = vec![(first, 0)];
        while let Some((role, next)) = way.last_mut() {
            let role = *role;
            if let Some(mark) = marks.get_mut(role) {
                *mark = Mark::Open;
            }
            let Some(&(child, at)) = inherits.get(role).and_then(|list| list.get(*next)) else {
                if let Some(mark) = marks.get_mut(role) {
                    *mark = Mark::Done;
                }
                way.pop();
                continue;
            };
            *next += 1;
            match marks.get(child) {
                Some(Mark::Unseen) => way.push((child, 0)),
                Some(Mark::Open) => {
                    found = true;
                    let circle: Vec<String> = way
                        .iter()
                        .map(|(role, _)| *role)
                        .skip_while(|&role| role != child)
                        .chain([child])
                        .map(|role| quote(name(role)))
                        .collect();
                    problems
                        .error(at, format!("role {} inherits from itself", quote(name(child))))
                        .hint(circle.join(" inherits "));
                }
                _ => {}
            }
        }
    }
    found
}

/// A role that grants nothing, neither itself nor by what it inherits, is a misspelling or a remainder.
fn warn_empty(roles: &[Role], entries: &[(Key, Node)], problems: &mut Problems) {
    for (role, (key, _)) in roles.iter().zip(entries) {
        let mut waiting = vec![role];
        let mut seen = HashSet::new();
        let mut grants = false;
        while let Some(held) = waiting.pop() {
            if !held.scopes.is_empty() {
                grants = true;
                break;
            }
            if seen.insert(&held.name) {
                waiting.extend(held.inherits.iter().filter_map(|id| roles.get(usize::from(id.0))));
            }
        }
        if !grants {
            problems.warn(key.at, format!("role {} grants nothing", quote(&key.text)));
        }
    }
}

/// Reads the sets of roles that keep apart (S2.1).
pub(super) fn exclusive(
    items: &[Node],
    entries: &[(Key, Node)],
    list: &[Role],
    roles: &Names<'_>,
    problems: &mut Problems,
) -> Vec<Vec<RoleId>> {
    let mut sets = Vec::new();
    for node in items {
        let Value::List(members) = &node.value else { continue };
        let mut set: Vec<RoleId> = members
            .iter()
            .filter_map(text)
            .filter_map(|text| roles.find(text, problems).map(RoleId))
            .collect();
        set.sort();
        set.dedup();
        if members.len() < 2 {
            problems.error(node.at, "a set of exclusive roles has at least two");
        }
        sets.push((node.at, set));
    }
    refuse_unusable(entries, list, &sets, problems);
    sets.into_iter().map(|(_, set)| set).collect()
}

/// Whoever holds a role that includes two exclusive ones is refused: nobody can use it. So it is with a role that inherits
/// from one that it is kept apart from.
fn refuse_unusable(entries: &[(Key, Node)], roles: &[Role], sets: &[(Span, Vec<RoleId>)], problems: &mut Problems) {
    let mut sets_of: HashMap<RoleId, Vec<usize>> = HashMap::new();
    for (number, (_, set)) in sets.iter().enumerate() {
        for id in set {
            sets_of.entry(*id).or_default().push(number);
        }
    }
    if sets_of.is_empty() {
        return;
    }
    for (at, (role, (key, node))) in (0_u16..).zip(roles.iter().zip(entries)) {
        // A role that includes nothing but itself is in no set twice.
        if role.inherits.is_empty() {
            continue;
        }
        let mut met: BTreeMap<usize, Vec<RoleId>> = BTreeMap::new();
        for id in included(roles, RoleId(at)) {
            for &set in sets_of.get(&id).into_iter().flatten() {
                met.entry(set).or_default().push(id);
            }
        }
        for (set, mut both) in met.into_iter().filter(|(_, both)| both.len() > 1) {
            both.sort_unstable();
            let names = both.iter().filter_map(|id| roles.get(usize::from(id.0)));
            let names: Vec<String> = names.map(|role| quote(&role.name)).collect();
            let message = format!(
                "nobody can use role {}: it includes {}",
                quote(&role.name),
                names.join(" and ")
            );
            let place = problems.place(sets.get(set).map(|(at, _)| *at).unwrap_or_default());
            let inherits = Fields::new(node, key.at, &ROLE_KEYS).key("inherits");
            problems
                .error(inherits.unwrap_or(key.at), message)
                .hint(format!("{place} says that no token may hold them together"));
        }
    }
}

/// A role and everything that it inherits.
fn included(roles: &[Role], start: RoleId) -> Vec<RoleId> {
    let mut seen = Bits::new(roles.len());
    let mut list = Vec::new();
    let mut waiting = vec![start];
    while let Some(id) = waiting.pop() {
        if !seen.contains(usize::from(id.0)) {
            seen.insert(usize::from(id.0));
            list.push(id);
            waiting.extend(roles.get(usize::from(id.0)).into_iter().flat_map(|role| &role.inherits));
        }
    }
    list
}

/// What all roles together grant.
pub(super) struct Grants<'r> {
    by_name: HashSet<&'r str>,
    /// Each pattern with a role that grants it.
    patterns: Vec<(&'r str, &'r str)>,
    tree: ScopeTree<'r>,
}

impl<'r> Grants<'r> {
    pub(super) fn new(roles: &'r [Role]) -> Self {
        let mut grants = Self {
            by_name: HashSet::new(),
            patterns: Vec::new(),
            tree: ScopeTree::default(),
        };
        for role in roles {
            for scope in &role.scopes {
                if scope.is_wildcard() {
                    grants.tree.insert(scope.as_str(), grants.patterns.len());
                    grants.patterns.push((scope.as_str(), &role.name));
                } else {
                    grants.by_name.insert(scope.as_str());
                }
            }
        }
        grants
    }

    /// Notes a problem unless some role grants the scope, by its name or by a pattern.
    pub(super) fn need(&self, scope: Text<'_>, problems: &mut Problems) {
        self.need_at(scope.text, scope.at, problems);
    }

    /// As [`Grants::need`], for a scope within a longer text.
    pub(super) fn need_at(&self, scope: &str, at: Span, problems: &mut Problems) {
        if !self.by_name.contains(scope) && self.pattern(scope).is_none() {
            self.nobody(scope, at, problems);
        }
    }

    /// Notes a problem unless some role grants the scope by its own name: a pattern does not show classified fields.
    pub(super) fn need_by_name(&self, scope: Text<'_>, problems: &mut Problems) {
        if self.by_name.contains(scope.text) {
            return;
        }
        match self.pattern(scope.text) {
            None => self.nobody(scope.text, scope.at, problems),
            Some((pattern, role)) => problems
                .error(scope.at, format!("no role grants {} by its own name", scope.quoted()))
                .hint(format!(
                    "{} of role {} opens routes, not classified fields",
                    quote(pattern),
                    quote(role)
                )),
        }
    }

    /// A pattern that covers a scope, and a role that grants it.
    fn pattern(&self, scope: &str) -> Option<(&'r str, &'r str)> {
        let covering = self.tree.covering(scope);
        let found = covering.iter().filter_map(|&number| self.patterns.get(number));
        found.copied().min()
    }

    fn nobody(&self, scope: &str, at: Span, problems: &mut Problems) {
        problems
            .error(at, format!("no role grants {}", quote(scope)))
            .hint_with(|| {
                let mut known: Vec<&str> = self.by_name.iter().copied().collect();
                known.sort_unstable();
                nearest(scope, known.into_iter())
            });
    }
}
