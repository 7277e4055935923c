//! The JSON Schema that a write's body must meet (S1.10; interface, section 7).
//!
//! The schemas are the operator's, the bodies the world's. A schema is closed when it is loaded: it refers to nothing
//! outside itself, and its patterns are matched in linear time. What it says of a body is told in the schema's own words
//! and never in the body's, so that no value is told on in an answer or a log.

mod survey;
#[cfg(test)]
mod tests;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;
use std::fmt;

use crate::call::json;
use survey::Survey;

/// Most faults of one body that are told.
pub const MAX_FAULTS: usize = 20;

/// Longest pointer in a fault, in bytes: a body's names may be as long as the body.
pub const MAX_POINTER: usize = 256;

/// How deep a body may be nested.
pub const MAX_DEPTH: usize = 64;

/// Most values in a body (as [`json::read_within`] counts): some 40 MB of memory while it is looked at.
pub const MAX_VALUES: usize = 1_000_000;

/// Most digits of a JSON number that a binary float tells apart from every other (`DBL_DIG`).
const FLOAT_DIGITS: usize = 15;

/// A schema that bodies are held against.
#[derive(Clone)]
pub struct Schema {
    validator: Validator,
    source: Value,
    /// It compares numbers, which only works for those that a float holds.
    compares_numbers: bool,
}

/// What is wrong with a body, and where.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// JSON pointer into the body (RFC 6901), cut at [`MAX_POINTER`].
    pub pointer: String,
    /// In the words of the schema.
    pub detail: String,
}

/// What is wrong with a schema, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at `{pointer}`: {detail}")]
pub struct SchemaFault {
    /// JSON pointer into the schema.
    pub pointer: String,
    /// What it is.
    pub detail: String,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.source).finish()
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Fault {
    /// A fault at a pointer.
    #[must_use]
    pub fn new(pointer: &str, detail: impl Into<String>) -> Self {
        let end = (0..=MAX_POINTER.min(pointer.len()))
            .rev()
            .find(|&end| pointer.is_char_boundary(end))
            .unwrap_or(0);
        Self {
            pointer: pointer.get(..end).unwrap_or_default().to_owned(),
            detail: detail.into(),
        }
    }
}

impl Schema {
    /// Makes a schema of its text, a JSON document of draft 7, 2019-09 or 2020-12.
    ///
    /// # Errors
    /// What is wrong with it, the first thing found in each part.
    pub fn compile(source: Value) -> Result<Self, Vec<SchemaFault>> {
        let survey = Survey::of(&source)?;
        // Linear in the text, with a bound on what a pattern may grow to (`regex`'s own: 10 MiB).
        let validator = jsonschema::options()
            .with_draft(survey.draft)
            .offline()
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false)
            .build(&source)
            .map_err(|fault| {
                vec![SchemaFault {
                    pointer: fault.instance_path().to_string(),
                    detail: fault.to_string(),
                }]
            })?;
        Ok(Self {
            validator,
            compares_numbers: survey.compares_numbers,
            source,
        })
    }

    /// Holds a body against the schema: at most [`MAX_FAULTS`] faults, none if it is good.
    #[must_use]
    pub fn check(&self, body: &[u8]) -> Vec<Fault> {
        let Some(value) = json::read_within(body, MAX_DEPTH, MAX_VALUES) else {
            return vec![Fault::new(
                "",
                "is no JSON that can be read in one way: malformed, a member given twice, too deep, or too many values",
            )];
        };
        if self.compares_numbers && numbers(body).any(|number| !is_told_apart(number)) {
            let detail =
                format!("has a number of more than {FLOAT_DIGITS} digits, which the schema cannot compare exactly");
            return vec![Fault::new("", detail)];
        }
        let faults = self.validator.iter_errors(&value).flat_map(|error| faults(&error));
        faults.take(MAX_FAULTS).collect()
    }
}

/// The numbers of a JSON text, as they are written.
fn numbers(body: &[u8]) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    body.split(move |&byte| {
        // Only what stands outside of strings can be part of a number: everything else separates.
        let inside = quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        inside || !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
    })
    .filter_map(|part| std::str::from_utf8(part).ok())
    .filter(|part| part.starts_with(|c: char| c == '-' || c.is_ascii_digit()))
}

/// Whether a comparison of this number as an integer of 64 bits, or as a binary float, is one of the number itself.
fn is_told_apart(number: &str) -> bool {
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.trim_start_matches(['-', '0', '.']).bytes();
    let digits = digits.filter(u8::is_ascii_digit).count();
    // Beyond these exponents a float may be zero, or nothing at all.
    digits <= FLOAT_DIGITS && super::Decimal::parse(number).is_ok()
}

/// One error of the validator in our words: nothing of the body but where it is.
fn faults(error: &ValidationError<'_>) -> Vec<Fault> {
    let pointer = error.instance_path().as_str();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => unexpected
            .iter()
            .take(MAX_FAULTS)
            .map(|name| {
                let name = name.replace('~', "~0").replace('/', "~1");
                Fault::new(&format!("{pointer}/{name}"), "is not allowed here")
            })
            .collect(),
        kind => vec![Fault::new(pointer, words(kind))],
    }
}

fn words(kind: &Kind) -> String {
    match kind {
        Kind::Required { property } => format!("{property} is missing"),
        Kind::Type {
            kind: TypeKind::Single(one),
        } => format!("is not of type {one}"),
        Kind::Type {
            kind: TypeKind::Multiple(several),
        } => {
            let names: Vec<String> = several.into_iter().map(|one| one.to_string()).collect();
            format!("is of none of the types {}", names.join(", "))
        }
        Kind::Pattern { pattern } => format!("does not match {pattern}"),
        Kind::Format { format } => format!("is no {format}"),
        Kind::Constant { .. } => "is not the value that is wanted".into(),
        Kind::Enum { .. } => "is none of the values that are allowed".into(),
        Kind::Minimum { limit } => format!("is less than {limit}"),
        Kind::Maximum { limit } => format!("is more than {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("is not more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("is not less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("is no multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("is shorter than {limit} characters"),
        Kind::MaxLength { limit } => format!("is longer than {limit} characters"),
        Kind::MinItems { limit } => format!("has fewer than {limit} items"),
        Kind::MaxItems { limit } => format!("has more than {limit} items"),
        Kind::MinProperties { limit } => format!("has fewer than {limit} members"),
        Kind::MaxProperties { limit } => format!("has more than {limit} members"),
        Kind::UniqueItems => "has an item twice".into(),
        Kind::PropertyNames { .. } => "has a member whose name is not allowed".into(),
        Kind::FalseSchema => "is not allowed here".into(),
        other => format!("does not meet {}", other.keyword()),
    }
}
