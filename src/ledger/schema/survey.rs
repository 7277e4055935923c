//! A schema is looked over before it is believed: what a validator passes over in silence is a problem here.
//!
//! A misspelled keyword would allow everything, a reference that goes in a circle would never end, and a draft that
//! ignores what stands beside `$ref` would check less than its author sees.

use jsonschema::Draft;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

use super::SchemaFault;

/// What a keyword holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Nothing that is a schema.
    Plain,
    /// A comparison of numbers.
    Number,
    /// A schema for parts of the value.
    Inner,
    /// A schema, or a list of them, for parts of the value.
    Inners,
    /// A schema for the value itself.
    Same,
    /// A list of schemas for the value itself.
    Sames,
    /// Schemas by name, for parts of the value.
    Named,
    /// Schemas by name, for the value itself.
    NamedSame,
    /// Schemas by name that are only referred to.
    Stored,
}

use Holds::{Inner, Inners, Named, NamedSame, Number, Plain, Same, Sames, Stored};

/// Keywords of every draft that is read.
const KEYWORDS: &[(&str, Holds)] = &[
    ("type", Plain),
    ("enum", Plain),
    ("const", Plain),
    ("required", Plain),
    ("pattern", Plain),
    ("format", Plain),
    ("minLength", Plain),
    ("maxLength", Plain),
    ("minItems", Plain),
    ("maxItems", Plain),
    ("uniqueItems", Plain),
    ("minProperties", Plain),
    ("maxProperties", Plain),
    ("title", Plain),
    ("description", Plain),
    ("default", Plain),
    ("examples", Plain),
    ("readOnly", Plain),
    ("$comment", Plain),
    ("$ref", Plain),
    ("minimum", Number),
    ("maximum", Number),
    ("exclusiveMinimum", Number),
    ("exclusiveMaximum", Number),
    ("multipleOf", Number),
    ("additionalProperties", Inner),
    ("contains", Inner),
    ("propertyNames", Inner),
    ("items", Inners),
    ("not", Same),
    ("if", Same),
    ("then", Same),
    ("else", Same),
    ("allOf", Sames),
    ("anyOf", Sames),
    ("oneOf", Sames),
    ("properties", Named),
    ("patternProperties", Named),
    ("definitions", Stored),
    ("$defs", Stored),
];

/// Keywords of draft 7 alone: later ones pass over them.
const UNTIL_7: &[(&str, Holds)] = &[("additionalItems", Inner)];

/// Keywords since 2019-09: draft 7 passes over them.
const SINCE_2019: &[(&str, Holds)] = &[
    ("deprecated", Plain),
    ("minContains", Plain),
    ("maxContains", Plain),
    ("dependentRequired", Plain),
    ("dependentSchemas", NamedSame),
    ("unevaluatedProperties", Inner),
    ("unevaluatedItems", Inner),
];

/// Keywords since 2020-12.
const SINCE_2020: &[(&str, Holds)] = &[("prefixItems", Sames)];

/// What a look at a schema says of it.
pub(super) struct Survey {
    pub(super) draft: Draft,
    pub(super) compares_numbers: bool,
}

impl Survey {
    /// Looks a schema over.
    pub(super) fn of(source: &Value) -> Result<Self, Vec<SchemaFault>> {
        let draft = draft(source).map_err(|fault| vec![fault])?;
        let mut walk = Walk {
            draft,
            compares_numbers: false,
            places: HashSet::new(),
            same: Vec::new(),
            references: Vec::new(),
            faults: Vec::new(),
        };
        walk.schema(source, String::new());
        walk.resolve();
        if !walk.faults.is_empty() {
            return Err(walk.faults);
        }
        Ok(Self {
            draft,
            compares_numbers: walk.compares_numbers,
        })
    }
}

fn draft(source: &Value) -> Result<Draft, SchemaFault> {
    let Some(said) = source.get("$schema") else {
        return Ok(Draft::Draft202012);
    };
    match said.as_str().map(|text| text.trim_end_matches('#')) {
        Some("https://json-schema.org/draft/2020-12/schema") => Ok(Draft::Draft202012),
        Some("https://json-schema.org/draft/2019-09/schema") => Ok(Draft::Draft201909),
        Some("http://json-schema.org/draft-07/schema") => Ok(Draft::Draft7),
        _ => Err(fault("/$schema", "is none of draft 7, 2019-09 and 2020-12")),
    }
}

fn fault(pointer: &str, detail: impl Into<String>) -> SchemaFault {
    SchemaFault {
        pointer: pointer.to_owned(),
        detail: detail.into(),
    }
}

/// Goes through every schema within a schema. No deeper than the JSON that was read.
struct Walk {
    draft: Draft,
    compares_numbers: bool,
    /// Where schemas stand.
    places: HashSet<String>,
    /// From a schema to another for the same value: an end is only reached if these make no circle.
    same: Vec<(String, String)>,
    /// Where `$ref` stands, and where it points.
    references: Vec<(String, String)>,
    faults: Vec<SchemaFault>,
}

impl Walk {
    fn schema(&mut self, value: &Value, at: String) {
        match value {
            Value::Bool(_) => {}
            Value::Object(members) => self.members(members, &at),
            _ => self
                .faults
                .push(fault(&at, "is no schema: neither an object nor true or false")),
        }
        self.places.insert(at);
    }

    fn members(&mut self, members: &Map<String, Value>, at: &str) {
        for (keyword, value) in members {
            let here = format!("{at}/{}", escape(keyword));
            if at.is_empty() && matches!(keyword.as_str(), "$schema" | "$id") {
                continue;
            }
            let Some(holds) = self.holds(keyword) else {
                self.faults.push(fault(&here, "is no keyword that is checked"));
                continue;
            };
            match holds {
                Plain => self.plain(keyword, value, at, &here),
                Number => self.compares_numbers = true,
                Inner => self.schema(value, here),
                Inners if value.is_array() => self.list(value, None, &here),
                Inners => self.schema(value, here),
                Same => {
                    self.same.push((at.to_owned(), here.clone()));
                    self.schema(value, here);
                }
                Sames => self.list(value, (keyword != "prefixItems").then_some(at), &here),
                Named | Stored => self.named(value, None, &here),
                NamedSame => self.named(value, Some(at), &here),
            }
        }
        if self.draft == Draft::Draft7 && members.contains_key("$ref") && members.len() > 1 {
            self.faults
                .push(fault(at, "has keywords beside `$ref`, which draft 7 passes over"));
        }
    }

    fn holds(&self, keyword: &str) -> Option<Holds> {
        let more: &[&[(&str, Holds)]] = match self.draft {
            Draft::Draft7 => &[KEYWORDS, UNTIL_7],
            Draft::Draft201909 => &[KEYWORDS, UNTIL_7, SINCE_2019],
            _ => &[KEYWORDS, SINCE_2019, SINCE_2020],
        };
        let mut all = more.iter().copied().flatten();
        all.find(|(known, _)| *known == keyword).map(|(_, holds)| *holds)
    }

    fn plain(&mut self, keyword: &str, value: &Value, at: &str, here: &str) {
        match keyword {
            "$ref" => match value.as_str().and_then(local) {
                Some(target) => {
                    self.references.push((here.to_owned(), target.to_owned()));
                    self.same.push((at.to_owned(), target.to_owned()));
                }
                None => self.faults.push(fault(
                    here,
                    "refers to something outside this file: only `#` and `#/…` are followed",
                )),
            },
            "type" => self.compares_numbers |= value.to_string().contains("\"integer\""),
            "enum" | "const" => self.compares_numbers |= has_number(value),
            _ => {}
        }
    }

    fn list(&mut self, value: &Value, same_as: Option<&str>, here: &str) {
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.part(item, same_as, format!("{here}/{index}"));
        }
    }

    fn named(&mut self, value: &Value, same_as: Option<&str>, here: &str) {
        for (name, item) in value.as_object().into_iter().flatten() {
            self.part(item, same_as, format!("{here}/{}", escape(name)));
        }
    }

    fn part(&mut self, value: &Value, same_as: Option<&str>, at: String) {
        if let Some(outer) = same_as {
            self.same.push((outer.to_owned(), at.clone()));
        }
        self.schema(value, at);
    }

    /// Every reference points to a schema, and none leads back to itself before the value grows smaller.
    fn resolve(&mut self) {
        for (here, target) in &self.references {
            if !self.places.contains(target) {
                self.faults.push(fault(here, "refers to something that is no schema"));
            }
        }
        let mut leads: HashMap<&str, usize> = HashMap::new();
        let mut from: HashMap<&str, Vec<&str>> = HashMap::new();
        for (outer, inner) in &self.same {
            *leads.entry(inner).or_default() += 1;
            leads.entry(outer).or_default();
            from.entry(outer).or_default().push(inner);
        }
        // Taken away from the outside in, what stays goes in a circle.
        let mut free: Vec<&str> = leads
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(at, _)| *at)
            .collect();
        while let Some(at) = free.pop() {
            leads.remove(at);
            for inner in from.get(at).into_iter().flatten() {
                if let Some(count) = leads.get_mut(inner) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(inner);
                    }
                }
            }
        }
        if let Some(circle) = leads.keys().min() {
            self.faults.push(fault(circle, "refers to itself without end"));
        }
    }
}

/// The pointer of a reference into the same file, unescaped from its URI.
fn local(reference: &str) -> Option<&str> {
    let pointer = reference.strip_prefix('#')?;
    ((pointer.is_empty() || pointer.starts_with('/')) && !pointer.contains('%')).then_some(pointer)
}

fn has_number(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::Array(items) => items.iter().any(has_number),
        Value::Object(members) => members.values().any(has_number),
        _ => false,
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
