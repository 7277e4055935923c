//! The keys of policy files that say how a module's answers are written.

use super::policy_keys::words;
use super::shape::{Section, Shape, Words, required};
use crate::masking::{Charset, Delimiter};

static DELIMITER: Words = words("delimiter", Delimiter::WORDS, &[]);
pub(super) static JSON: Words = words("setting", &["strict", "tolerant"], &[]);
pub(super) static CHARSET: Words = words("charset", Charset::NAMES, &[]);

/// `csv` of a module.
pub(super) static CSV: Section = Section {
    name: "csv",
    about: "How a module's CSV answers are written.",
    keys: &[required(
        "delimiter",
        Shape::Word(&DELIMITER),
        "What stands between fields. Without csv it is a comma.",
    )],
};
