//! Masks as the cases write them. The fuzz targets (`tests/fuzz`) take them from here, too: there `crate::masking` is
//! Tollgate's.

use std::sync::{Arc, LazyLock};

use crate::masking::seal::{FieldKey, Home};
use crate::masking::{Action, ClassId, FieldRule, Mask, Selectors};

static KEY: LazyLock<Arc<FieldKey>> =
    LazyLock::new(|| Arc::new(FieldKey::new("k1", b"0123456789abcdef0123456789abcdef").unwrap()));

/// The key that hashes and encrypts.
pub(crate) fn key() -> Arc<FieldKey> {
    Arc::clone(&KEY)
}

/// Where the envelopes open.
pub(crate) fn home() -> Home {
    Home {
        module: "accounts".into(),
        route: "/api/accounts".into(),
    }
}

/// One rule after each `;`: `CLASS names, |columns and /paths`. An upper-case class is compared exactly; `r`emove, `n`ull, redact
/// (`x`), `h`ash, `e`ncrypt and visible (`v`) say what happens to it.
pub(crate) fn mask(rules: &str) -> Mask {
    let mut actions = Vec::new();
    let mut compiled = Vec::new();
    for (at, line) in rules
        .split(';')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .enumerate()
    {
        let (class, words) = line.split_once(' ').unwrap();
        let (paths, names): (Vec<_>, Vec<_>) = words
            .split(' ')
            .map(str::to_owned)
            .partition(|word: &String| word.starts_with('/'));
        let (columns, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|word| word.starts_with('|'));
        actions.push(match class.to_ascii_lowercase().as_str() {
            "r" => Some(Action::Remove),
            "n" => Some(Action::Null),
            "x" => Some(Action::Redact("\"[REDACTED]\"".into())),
            "h" => Some(Action::Hash(key())),
            "e" => Some(Action::Encrypt(key())),
            "v" => None,
            other => panic!("{other}"),
        });
        let exact = class.chars().all(char::is_uppercase);
        compiled.push(FieldRule {
            class: ClassId(u16::try_from(at).unwrap()),
            names,
            columns: columns.iter().map(|column| column.replace('|', "")).collect(),
            exact,
            paths,
        });
    }
    let encrypts = actions.iter().any(|action| matches!(action, Some(Action::Encrypt(_))));
    Mask {
        selectors: Arc::new(Selectors::compile(&compiled).unwrap()),
        actions: actions.into(),
        rows: None,
        home: encrypts.then(home),
    }
}
