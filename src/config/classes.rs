//! `fields`: classes of response fields, and who may see them (S1.7, S2.5).

use super::class_keys::{CLASS, FIELD_KEY};
use super::fields::Fields;
use super::files;
use super::keys::Inputs;
use super::names::Names;
use super::policy_keys::MODULE;
use super::problem::{Problems, quote};
use super::roles::Grants;
use super::values;
use super::yaml::{Key, Node};
use crate::masking;
use crate::masking::seal::{FieldKey, SECRET_BYTES};
use crate::policy::parts::{FieldClass, FieldKeyRef, MaskAction, ModuleId, Origin, RoleId};
use std::sync::Arc;

/// What a class may refer to.
pub(super) struct Known<'a> {
    pub(super) roles: &'a Names<'a>,
    pub(super) modules: &'a Names<'a>,
    pub(super) grants: &'a Grants<'a>,
    pub(super) keys: &'a [Option<FieldKeyRef>],
    pub(super) key_names: &'a Names<'a>,
}

/// Reads `field_keys`, in the author's order; a key that cannot be read is none, and a problem.
pub(super) fn keys(entries: &[(Key, Node)], inputs: &mut Inputs, problems: &mut Problems) -> Vec<Option<FieldKeyRef>> {
    let mut key = |(name, node): &(Key, Node)| {
        let file = Fields::new(node, name.at, &FIELD_KEY).text("file")?;
        let (bytes, path) = inputs.named_file(file, problems)?;
        if files::is_open_to_others(&path) {
            problems
                .warn(
                    file.at,
                    format!("{} can be read by every user of this machine", file.quoted()),
                )
                .hint("`chmod o= FILE` keeps a key from them");
        }
        let read = FieldKey::secret(&bytes).and_then(|secret| FieldKey::new(&name.text, &secret));
        if read.is_none() {
            problems
                .error(
                    file.at,
                    format!(
                        "{} does not hold {SECRET_BYTES} random bytes, as they are or in hexadecimal or base64",
                        file.quoted()
                    ),
                )
                .hint("make one with `openssl rand -base64 32`");
        }
        Some(FieldKeyRef(Arc::new(read?)))
    };
    entries.iter().map(&mut key).collect()
}

/// Reads every class.
pub(super) fn read(entries: &[(Key, Node)], known: &Known<'_>, problems: &mut Problems) -> Vec<FieldClass> {
    entries
        .iter()
        .map(|(key, node)| class(key, node, known, problems))
        .collect()
}

fn class(key: &Key, node: &Node, known: &Known<'_>, problems: &mut Problems) -> FieldClass {
    let Known {
        roles, modules, grants, ..
    } = known;
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
    let mask = match own.text("mask").map(|text| text.text) {
        Some("redact") => MaskAction::Redact,
        Some("null") => MaskAction::Null,
        Some("hash") => MaskAction::Hash,
        Some("encrypt") => MaskAction::Encrypt,
        _ => MaskAction::Remove,
    };
    FieldClass {
        name: key.text.as_str().into(),
        names: owned("names"),
        columns: owned("columns"),
        paths: owned("paths"),
        exact,
        headers: owned("headers"),
        visible_to: own.texts("visible_to").iter().map(|text| text.text.into()).collect(),
        never_to,
        mask,
        redact_as: redact_as(&own, mask, problems),
        key: field_key(&own, mask, known, problems),
        modules: applies_in,
        origin: Origin {
            file: problems.name(key.at),
            line: key.at.line,
        },
    }
}

fn redact_as(own: &Fields<'_>, mask: MaskAction, problems: &mut Problems) -> Option<String> {
    let text = own.text("redact_as")?;
    if mask != MaskAction::Redact {
        problems
            .error(text.at, "`redact_as` has no meaning without `mask: redact`")
            .hint("leave it out, or say `mask: redact`");
    }
    Some(text.text.to_owned())
}

fn field_key(own: &Fields<'_>, mask: MaskAction, known: &Known<'_>, problems: &mut Problems) -> Option<FieldKeyRef> {
    let sealed = matches!(mask, MaskAction::Hash | MaskAction::Encrypt);
    match own.text("key") {
        None if sealed && own.key("key").is_none() => {
            problems
                .error(own.at, format!("`mask: {}` needs a `key`", mask.word()))
                .hint("name an entry of `field_keys`");
            None
        }
        None => None,
        Some(text) if !sealed => {
            problems
                .error(text.at, "`key` has no meaning without `mask: hash` or `mask: encrypt`")
                .hint("leave it out");
            None
        }
        Some(text) => known
            .keys
            .get(usize::from(known.key_names.find(text, problems)?))?
            .clone(),
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
