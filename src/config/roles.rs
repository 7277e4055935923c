//! `roles` and `exclusive_roles`: what a role grants, what it is kept out of, and which roles keep apart.

use std::collections::{HashMap, HashSet};

use super::fields::{Fields, Text, text};
use super::names::Names;
use super::policy_keys::ROLE_KEYS;
use super::problem::{Problems, Span, nearest, quote};
use super::yaml::{Key, Node, Value};
use crate::policy::ScopePattern;
use crate::policy::parts::{ModuleId, Origin, Role, RoleId};

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
        origin: Origin {
            file: problems.name(key.at),
            line: key.at.line,
        },
    }
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
    if sets.is_empty() {
        return;
    }
    for (at, (role, (key, node))) in (0_u16..).zip(roles.iter().zip(entries)) {
        if role.inherits.is_empty() {
            continue;
        }
        let mut held = HashSet::new();
        let mut waiting = vec![RoleId(at)];
        while let Some(id) = waiting.pop() {
            if held.insert(id) {
                waiting.extend(roles.get(usize::from(id.0)).into_iter().flat_map(|role| &role.inherits));
            }
        }
        for (span, set) in sets {
            let both: Vec<String> = set
                .iter()
                .filter(|id| held.contains(id))
                .filter_map(|id| roles.get(usize::from(id.0)))
                .map(|role| quote(&role.name))
                .collect();
            if both.len() > 1 {
                let message = format!(
                    "nobody can use role {}: it includes {}",
                    quote(&role.name),
                    both.join(" and ")
                );
                let place = problems.place(*span);
                let inherits = Fields::new(node, key.at, &ROLE_KEYS).key("inherits");
                problems
                    .error(inherits.unwrap_or(key.at), message)
                    .hint(format!("{place} says that no token may hold them together"));
            }
        }
    }
}

/// What all roles together grant.
pub(super) struct Grants<'r> {
    by_name: HashSet<&'r str>,
    patterns: HashMap<&'r str, (&'r ScopePattern, &'r str)>,
}

impl<'r> Grants<'r> {
    pub(super) fn new(roles: &'r [Role]) -> Self {
        let mut grants = Self {
            by_name: HashSet::new(),
            patterns: HashMap::new(),
        };
        for role in roles {
            for scope in &role.scopes {
                if scope.is_wildcard() {
                    grants.patterns.entry(scope.as_str()).or_insert((scope, &role.name));
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
                    quote(pattern.as_str()),
                    quote(role)
                )),
        }
    }

    fn pattern(&self, scope: &str) -> Option<&(&'r ScopePattern, &'r str)> {
        self.patterns
            .values()
            .filter(|(pattern, _)| pattern.covers(scope))
            .min_by_key(|(pattern, _)| pattern.as_str())
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
