//! `dry_run` of a route: the schema that a write's body must meet, and where its entries are (interface, section 7).

use serde::de::IgnoredAny;
use std::path::Path;
use std::sync::Arc;

use super::fields::{Fields, Text};
use super::keys::Inputs;
use super::problem::{Problems, Span, quote};
use super::shape::{Section, Shape, TextKind, Words, optional, required};
use super::values;
use crate::call::{Path as CallPath, json};
use crate::ledger::schema::{MAX_DEPTH, Schema};
use crate::ledger::{EntryRules, MAX_ENTRIES};
use crate::policy::parts::{Balances, DryRun};

static SCHEMA_FILE: TextKind = TextKind {
    pattern: ".+",
    example: "schemas/ledger-sync.json",
    check: values::line,
};

static ENTRIES: TextKind = TextKind {
    pattern: "^(/.*)?$",
    example: "/entries",
    check: values::pointer_or_root,
};

static WITHIN_ENTRY: TextKind = TextKind {
    pattern: "^/.*$",
    example: "/account_id",
    check: values::pointer,
};

static CURRENCY: TextKind = TextKind {
    pattern: ".+",
    example: "USD",
    check: values::line,
};

/// A path that Tollgate asks for of its own accord.
pub(super) static OWN_PATH: TextKind = TextKind {
    pattern: "^/[^?#]*$",
    example: "/api/ledger/balances",
    check: |text| {
        if text.contains(['?', '#']) {
            return Err(values::Fault::new("has a query; a path alone is asked for"));
        }
        let one_way = CallPath::parse(text).map(drop);
        one_way.map_err(|fault| values::Fault::new(format!("is a path that every request is refused for: {fault}")))
    },
};

/// `balances` of a dry run.
pub(super) static BALANCES: Section = Section {
    name: "balances",
    about: "What accounts have now, as the caller could read it, so that a dry run tells what they would have.",
    keys: &[
        required(
            "get",
            Shape::Text(&OWN_PATH),
            "The path of a route of this policy. Who may not GET it has no dry run here.",
        ),
        required(
            "pointer",
            Shape::Text(&ENTRIES),
            "A JSON pointer to the object in its answer that has balances by account; empty: the answer is the object.",
        ),
    ],
};

static TOTAL: Words = Words {
    what: "total",
    known: &["0"],
    later: &[],
    null: false,
};

static SIGN: Words = Words {
    what: "sign",
    known: &["any", "positive"],
    later: &[],
    null: false,
};

/// `dry_run` of a route.
pub(super) static DRY_RUN: Section = Section {
    name: "dry_run",
    about: "Answers ?dry_run=true without the backend, and holds every write against a schema.",
    keys: &[
        required(
            "schema",
            Shape::Text(&SCHEMA_FILE),
            "A JSON Schema file (draft 7, 2019-09, 2020-12) that bodies must meet, those of real writes too. Reloaded when it changes.",
        ),
        required(
            "entries",
            Shape::Text(&ENTRIES),
            "A JSON pointer to the list of entries; empty: the body is the list.",
        ),
        required(
            "account",
            Shape::Text(&WITHIN_ENTRY),
            "A JSON pointer from an entry to its account, a string.",
        ),
        required(
            "amount",
            Shape::Text(&WITHIN_ENTRY),
            "A JSON pointer from an entry to its amount, a number or a number in a string.",
        ),
        optional(
            "currency",
            Shape::Text(&WITHIN_ENTRY),
            "A JSON pointer from an entry to its currency, a string. A request has one currency.",
        ),
        optional(
            "currencies",
            Shape::Some(&Shape::Text(&CURRENCY)),
            "The currencies that may be used. Absent: any.",
        ),
        optional(
            "balances",
            Shape::Section(&BALANCES),
            "Where balances are read, so that a dry run tells expected ones.",
        ),
        optional(
            "total",
            Shape::Word(&TOTAL),
            "\"0\": the amounts must come to nothing (double entry). Absent: to anything.",
        ),
        optional(
            "sign",
            Shape::Word(&SIGN),
            "positive: every amount must be above zero. Default: any.",
        ),
        optional(
            "max_entries",
            Shape::Count {
                least: 1,
                most: MAX_ENTRIES as u64,
            },
            "Most entries in a request. Default: 10000.",
        ),
    ],
};

/// Reads `dry_run`; none if something of it is wrong, which has been said then.
pub(super) fn read(own: &Fields<'_>, inputs: &mut Inputs, problems: &mut Problems) -> Option<Arc<DryRun>> {
    let own = own.section("dry_run", &DRY_RUN)?;
    if let Some(at) = own.key("currencies")
        && own.key("currency").is_none()
    {
        problems
            .error(at, "`currencies` stands without `currency`")
            .hint("`currency` says where an entry has its currency");
    }
    let balanced = own.text("total").is_some_and(|text| text.text == "0");
    let positive = own.text("sign").is_some_and(|text| text.text == "positive");
    if let Some(at) = own.key("sign")
        && balanced
        && positive
    {
        problems
            .error(at, "amounts that are all above zero never come to a `total` of 0")
            .hint("remove `sign`, or `total`");
    }
    let pointer = |name| own.text(name).map(|text| text.text.to_owned());
    let rules = EntryRules {
        entries: pointer("entries").unwrap_or_default(),
        account: pointer("account").unwrap_or_default(),
        amount: pointer("amount").unwrap_or_default(),
        currency: pointer("currency"),
        currencies: own
            .texts("currencies")
            .iter()
            .map(|text| text.text.to_owned())
            .collect(),
        balanced,
        positive,
        max_entries: own.count("max_entries").and_then(|count| u32::try_from(count).ok()),
    };
    let file = own.text("schema")?;
    let schema = schema(file, inputs, problems)?;
    Some(Arc::new(DryRun {
        schema,
        schema_file: file.text.into(),
        entries: rules,
        balances: own.section("balances", &BALANCES).and_then(|own| {
            Some(Balances {
                get: own.text("get")?.text.into(),
                pointer: own.text("pointer")?.text.to_owned(),
            })
        }),
    }))
}

/// Reads the schema file: its problems stand at their places in it.
fn schema(text: Text<'_>, inputs: &mut Inputs, problems: &mut Problems) -> Option<Schema> {
    let (bytes, path) = inputs.named_file(text, problems)?;
    let referrer = problems.place(text.at);
    let wrong = |at: Option<(usize, usize)>, message: String, problems: &mut Problems| {
        let at = place(&path, at, problems);
        problems
            .error(at, message)
            .hint(format!("it is the schema that is named at {referrer}"));
    };
    if let Err(fault) = serde_json::from_slice::<IgnoredAny>(&bytes) {
        wrong(Some((fault.line(), fault.column())), "is no JSON here".into(), problems);
        return None;
    }
    let Some(source) = json::read(&bytes, MAX_DEPTH) else {
        let message =
            format!("gives a member twice, is nested deeper than {MAX_DEPTH}, or has a number that is too large");
        wrong(None, message, problems);
        return None;
    };
    match Schema::compile(source) {
        Ok(schema) => Some(schema),
        Err(faults) => {
            for fault in faults {
                let message = format!("{} {}", quote(&fault.pointer), fault.detail);
                wrong(None, message, problems);
            }
            None
        }
    }
}

fn place(path: &Path, at: Option<(usize, usize)>, problems: &mut Problems) -> Span {
    let file = problems.file(path.display().to_string());
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    match at {
        Some((line, col)) => Span {
            file,
            line: narrow(line),
            col: narrow(col),
            len: 0,
        },
        None => super::whole(file),
    }
}
