//! The keys of policy files that say what happens to classified fields.

use super::policy_keys::{FILE, HEADER, LINE, MATCH, NAME, POINTER, ROLE, SCOPE};
use super::shape::{Section, Shape, TextKind, Words, optional, required};
use super::values;

static MASK: Words = Words {
    what: "mask",
    known: &["remove", "redact", "null", "hash", "encrypt"],
    later: &[],
    null: true,
};

pub(super) static KEY_NAME: TextKind = TextKind {
    pattern: "^[A-Za-z0-9_-]{1,32}$",
    example: "k2026",
    check: values::key_name,
};

static TEXT: TextKind = TextKind {
    pattern: "^.{0,256}$",
    example: "withheld",
    check: values::redacted,
};

/// One entry of `field_keys`.
pub(super) static FIELD_KEY: Section = Section {
    name: "field_key",
    about: "A secret, by the name that stands in every hash and envelope.",
    keys: &[required(
        "file",
        Shape::Text(&FILE),
        "32 bytes, as they are or in hexadecimal or base64.",
    )],
};

/// One entry of `fields`.
pub(super) static CLASS: Section = Section {
    name: "field_class",
    about: "A class of response fields, and who may see it. At least one of names, columns, paths and headers.",
    keys: &[
        optional(
            "names",
            Shape::Some(&Shape::Text(&LINE)),
            "Names of members, XML elements and attributes, at any depth, and of CSV columns; case, _ and - do not matter.",
        ),
        optional(
            "columns",
            Shape::Some(&Shape::Text(&LINE)),
            "Names of CSV columns only; spaces around them do not matter either.",
        ),
        optional(
            "paths",
            Shape::Some(&Shape::Text(&POINTER)),
            "JSON pointers; * is one step, ** any number.",
        ),
        optional("headers", Shape::Some(&Shape::Text(&HEADER)), "Response headers."),
        optional(
            "match",
            Shape::Word(&MATCH),
            "exact: names are compared as they are written.",
        ),
        optional(
            "visible_to",
            Shape::List(&Shape::Text(&SCOPE)),
            "Scopes any of which, granted by its own name, shows the class.",
        ),
        optional(
            "never_to",
            Shape::List(&Shape::Text(&ROLE)),
            "Roles that never see it, whatever else they hold.",
        ),
        optional(
            "mask",
            Shape::Word(&MASK),
            "What happens to the field. Default: remove.",
        ),
        optional(
            "redact_as",
            Shape::Text(&TEXT),
            "The text in place of a redacted value. Default: [REDACTED].",
        ),
        optional(
            "key",
            Shape::Text(&KEY_NAME),
            "The entry of field_keys that hashes or encrypts.",
        ),
        optional(
            "modules",
            Shape::Some(&Shape::Text(&NAME)),
            "Modules in whose answers it is looked for. Absent: everywhere.",
        ),
    ],
};
