//! What is classified, how it is masked, and who sees it: class by class of the same name.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Change, Effect, Kind, difference, list, role, role_names};
use crate::masking::{fold, trim};
use crate::policy::matrix::{Sight, sight};
use crate::policy::parts::{FieldClass, MaskAction};
use crate::policy::{CompiledClass, CompiledRole, Policy};

/// A class of one policy, and where it applies.
struct Applied<'p> {
    policy: &'p Policy,
    at: u16,
    class: &'p CompiledClass,
}

pub(super) fn compare(old: &Policy, new: &Policy, changes: &mut Vec<Change>) {
    for gone in all(old).filter(|gone| find(new, &gone.class.class.name).is_none()) {
        let change = Change::new(Effect::Widens, Kind::Class, "is gone: what only it masked is shown");
        changes.push(change.class(&gone.class.class.name).at(&gone.class.class.origin));
    }
    for after in all(new) {
        let own = &after.class.class;
        let mut found = Vec::new();
        match find(old, &own.name) {
            None => found.push(Change::new(
                Effect::Narrows,
                Kind::Class,
                "is new: its fields are masked",
            )),
            Some(before) => {
                definition(&before, &after, &mut found);
                never(&before, &after, &mut found);
                seen(&before, &after, &mut found);
            }
        }
        changes.extend(found.into_iter().map(|change| change.class(&own.name).at(&own.origin)));
    }
}

fn all(policy: &Policy) -> impl Iterator<Item = Applied<'_>> {
    (0_u16..)
        .zip(&policy.classes)
        .map(move |(at, class)| Applied { policy, at, class })
}

fn find<'p>(policy: &'p Policy, name: &str) -> Option<Applied<'p>> {
    all(policy).find(|applied| *applied.class.class.name == *name)
}

/// What is in the class, and what happens to it.
fn definition(before: &Applied<'_>, after: &Applied<'_>, found: &mut Vec<Change>) {
    let FieldClass {
        name: _,
        names,
        columns,
        paths,
        exact,
        headers,
        visible_to,
        never_to: _,
        mask,
        redact_as,
        key,
        modules: _,
        origin: _,
    } = &after.class.class;
    let old = &before.class.class;
    let mut say = |effect, text: String| found.push(Change::new(effect, Kind::Class, text));
    match (old.exact, exact) {
        (false, true) => say(Effect::Widens, "a name in another spelling is no longer masked".into()),
        (true, false) => say(Effect::Narrows, "a name in any spelling is masked".into()),
        _ => {}
    }
    let folded = |names: &[String]| -> Vec<String> { names.iter().map(|name| fold(name)).collect() };
    let (old_names, new_names) = if old.exact || *exact {
        (old.names.clone(), names.clone())
    } else {
        (folded(&old.names), folded(names))
    };
    let trimmed = |names: &[String]| -> Vec<String> { names.iter().map(|name| trim(name).to_owned()).collect() };
    let (old_columns, new_columns) = (trimmed(&old.columns), trimmed(columns));
    let (old_columns, new_columns) = if old.exact || *exact {
        (old_columns, new_columns)
    } else {
        (folded(&old_columns), folded(&new_columns))
    };
    let (old_headers, new_headers) = (folded(&old.headers), folded(headers));
    for (what, before, after) in [
        ("field", &old_names, &new_names),
        ("column", &old_columns, &new_columns),
        ("path", &old.paths, paths),
        ("header", &old_headers, &new_headers),
    ] {
        let (added, removed) = difference(before, after);
        if !added.is_empty() {
            say(Effect::Narrows, format!("{what} {} is in it", list(&added)));
        }
        if !removed.is_empty() {
            say(Effect::Widens, format!("{what} {} is no longer in it", list(&removed)));
        }
    }
    match (old.is_columnless(), after.class.class.is_columnless()) {
        (true, false) => say(
            Effect::Widens,
            "no longer keeps CSV from those who may not see it".into(),
        ),
        (false, true) => say(
            Effect::Narrows,
            "keeps CSV from those who may not see it: no column is in it".into(),
        ),
        _ => {}
    }
    let texts = |scopes: &[Arc<str>]| -> Vec<String> { scopes.iter().map(ToString::to_string).collect() };
    let (old_scopes, new_scopes) = (texts(&old.visible_to), texts(visible_to));
    let (added, removed) = difference(&old_scopes, &new_scopes);
    if !added.is_empty() {
        say(Effect::Widens, format!("is visible to {}", list(&added)));
    }
    if !removed.is_empty() {
        say(Effect::Narrows, format!("is no longer visible to {}", list(&removed)));
    }
    if let Some(effect) = remasked(old.mask, *mask) {
        say(effect, format!("`{}` in place of `{}`", mask.word(), old.mask.word()));
    }
    if *redact_as != old.redact_as {
        say(
            Effect::Neutral,
            "another text stands in place of a redacted value".into(),
        );
    }
    if key.is_some() && old.key.is_some() && *key != old.key {
        say(Effect::Widens, "another key hashes or encrypts it".into());
    }
    let (was, is) = (before.modules(), after.modules());
    let both = common_modules(before.policy, after.policy);
    let of = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| -> Vec<String> {
        a.difference(b)
            .filter(|name| both.contains(*name))
            .map(|name| (*name).to_owned())
            .collect()
    };
    for (effect, text, names) in [
        (Effect::Widens, "no longer applies in", of(&was, &is)),
        (Effect::Narrows, "applies in", of(&is, &was)),
    ] {
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            say(effect, format!("{text} {}", list(&names)));
        }
    }
}

/// What another mask does. Who has the key reads what is encrypted, and can try out what is hashed; who has not sees of a hash
/// what is equal. So nothing can be said of the one in place of the other.
fn remasked(old: MaskAction, new: MaskAction) -> Option<Effect> {
    let keyed = |mask| matches!(mask, MaskAction::Hash | MaskAction::Encrypt);
    match new.cmp(&old) {
        Ordering::Equal => None,
        Ordering::Greater if keyed(old) && keyed(new) => Some(Effect::Widens),
        Ordering::Greater => Some(Effect::Narrows),
        Ordering::Less => Some(Effect::Widens),
    }
}

/// Roles that never see it, whatever else they hold: the one who loses this may see it with another role's scope.
fn never(before: &Applied<'_>, after: &Applied<'_>, found: &mut Vec<Change>) {
    for name in role_names(before.policy, after.policy) {
        let hit = |applied: &Applied<'_>| {
            let role = role(applied.policy, name);
            role.is_some_and(|role| applied.class.never_to.common(&role.includes) > 0)
        };
        let change = match (hit(before), hit(after)) {
            (true, false) => Change::new(
                Effect::Widens,
                Kind::Field,
                "no longer keeps it from a caller who has other roles too",
            ),
            (false, true) => Change::new(
                Effect::Narrows,
                Kind::Field,
                "keeps it from a caller, whatever other roles it has",
            ),
            _ => continue,
        };
        found.push(change.role(name));
    }
}

/// Roles that see it by themselves, in the modules that both policies have.
fn seen(before: &Applied<'_>, after: &Applied<'_>, found: &mut Vec<Change>) {
    let applies: BTreeSet<&str> = before.modules().intersection(&after.modules()).copied().collect();
    for name in role_names(before.policy, after.policy) {
        let (was, is) = (before.seen_by(name, &applies), after.seen_by(name, &applies));
        let of = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| -> Vec<String> {
            a.difference(b).map(|name| (*name).to_owned()).collect()
        };
        for (effect, text, modules) in [
            (Effect::Widens, "sees it", of(&is, &was)),
            (Effect::Narrows, "no longer sees it", of(&was, &is)),
        ] {
            if modules.is_empty() {
                continue;
            }
            let names: Vec<&str> = modules.iter().map(String::as_str).collect();
            let place = if names.len() == applies.len() {
                String::new()
            } else {
                format!(" in {}", list(&names))
            };
            found.push(Change::new(effect, Kind::Field, format!("{text}{place}")).role(name));
        }
    }
}

fn common_modules<'p>(old: &'p Policy, new: &'p Policy) -> BTreeSet<&'p str> {
    let names = |policy: &'p Policy| -> BTreeSet<&'p str> {
        policy.modules.iter().map(|module| &*module.module.name).collect()
    };
    names(old).intersection(&names(new)).copied().collect()
}

impl<'p> Applied<'p> {
    /// Where it applies.
    fn modules(&self) -> BTreeSet<&'p str> {
        let modules = self.policy.modules.iter();
        modules
            .filter(|module| module.classes.contains(&self.at))
            .map(|module| &*module.module.name)
            .collect()
    }

    /// Of some modules those in which a role, alone, sees it.
    fn seen_by(&self, name: &str, among: &BTreeSet<&'p str>) -> BTreeSet<&'p str> {
        let Some(role) = role(self.policy, name).filter(|role| sight(role, self.class) == Sight::Visible) else {
            return BTreeSet::new();
        };
        let open = |role: &CompiledRole, at: usize| !role.restricted.contains(at);
        let modules = self.policy.modules.iter().enumerate();
        modules
            .filter(|(at, module)| open(role, *at) && among.contains(&*module.module.name))
            .map(|(_, module)| &*module.module.name)
            .collect()
    }
}
