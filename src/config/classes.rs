//! `fields`: classes of response fields, and who may see them (S1.7, S2.5).

use super::fields::Fields;
use super::names::Names;
use super::policy_keys::{CLASS, MODULE};
use super::problem::{Problems, quote};
use super::roles::Grants;
use super::values;
use super::yaml::{Key, Node};
use crate::masking;
use crate::policy::parts::{FieldClass, MaskAction, ModuleId, Origin, RoleId};

/// Reads every class.
pub(super) fn read(
    entries: &[(Key, Node)],
    roles: &Names<'_>,
    modules: &Names<'_>,
    grants: &Grants<'_>,
    problems: &mut Problems,
) -> Vec<FieldClass> {
    entries
        .iter()
        .map(|(key, node)| class(key, node, roles, modules, grants, problems))
        .collect()
}

fn class(
    key: &Key,
    node: &Node,
    roles: &Names<'_>,
    modules: &Names<'_>,
    grants: &Grants<'_>,
    problems: &mut Problems,
) -> FieldClass {
    let own = Fields::new(node, key.at, &CLASS);
    let exact = own.text("match").is_some();
    let owned = |name: &str| -> Vec<String> { own.texts(name).iter().map(|text| text.text.to_owned()).collect() };
    if ["names", "columns", "paths", "headers"]
        .iter()
        .all(|name| own.key(name).is_none())
    {
        problems
            .error(key.at, format!("class {} names no field", quote(&key.text)))
            .hint("give it `names`, `columns`, `paths` or `headers`");
    }
    for text in own.texts("names").into_iter().chain(own.texts("columns")) {
        if !exact && !text.text.is_empty() && masking::fold(masking::trim(text.text)).is_empty() {
            problems
                .error(
                    text.at,
                    format!(
                        "{} has nothing but `_` and `-`, which do not count in names",
                        text.quoted()
                    ),
                )
                .hint("say `match: exact` if it is meant as it is written");
        }
    }
    for text in own.texts("visible_to") {
        if values::scope(text.text).is_ok() {
            grants.need_by_name(text, problems);
        }
    }
    let never_to = own
        .texts("never_to")
        .into_iter()
        .filter_map(|text| roles.find(text, problems).map(RoleId))
        .collect();
    let applies_in = own.texts("modules");
    let applies_in = own.key("modules").map(|_| {
        applies_in
            .into_iter()
            .filter_map(|text| modules.find(text, problems).map(ModuleId))
            .collect()
    });
    FieldClass {
        name: key.text.as_str().into(),
        names: owned("names"),
        columns: owned("columns"),
        paths: owned("paths"),
        exact,
        headers: owned("headers"),
        visible_to: own.texts("visible_to").iter().map(|text| text.text.into()).collect(),
        never_to,
        mask: match own.text("mask").map(|text| text.text) {
            Some("redact") => MaskAction::Redact,
            Some("null") => MaskAction::Null,
            _ => MaskAction::Remove,
        },
        modules: applies_in,
        origin: Origin {
            file: problems.name(key.at),
            line: key.at.line,
        },
    }
}

/// Says of modules that have CSV which classes close it. Without `csv` nobody knows whether there is any.
pub(super) fn columnless(modules: &[(Key, Node)], classes: &[FieldClass], problems: &mut Problems) {
    for (at, (key, node)) in (0..).zip(modules) {
        let Some(csv) = Fields::new(node, key.at, &MODULE).key("csv") else {
            continue;
        };
        let applies = |class: &&FieldClass| class.modules.as_ref().is_none_or(|list| list.contains(&ModuleId(at)));
        for class in classes.iter().filter(applies).filter(|class| class.is_columnless()) {
            problems
                .warn(
                    csv,
                    format!(
                        "class {} has `paths` alone: CSV is refused to those who may not see it",
                        quote(&class.name)
                    ),
                )
                .hint("say in its `columns` which columns it has");
        }
    }
}
