//! JSON Schemas (draft 2020-12) of the files that authors write, printed from the tables that the files are checked by.
//!
//! A schema admits everything that loads. It refuses what a table can tell, and no more: that a role exists, or that two
//! prefixes tie, shows at load.

use serde_json::{Map, Value, json};

use super::gateway_keys::GATEWAY;
use super::policy_keys::POLICY;
use super::shape::{Section, Shape, Words};

/// `${NAME}` somewhere in a text.
const VARIABLE: &str = "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}";

/// The schema of the gateway file.
#[must_use]
pub fn gateway_schema() -> String {
    print(&GATEWAY, "Tollgate: gateway file", true)
}

/// The schema of a policy file.
#[must_use]
pub fn policy_schema() -> String {
    print(&POLICY, "Tollgate: policy file", false)
}

fn print(root: &'static Section, title: &str, variables: bool) -> String {
    let mut printer = Printer {
        variables,
        definitions: Map::new(),
    };
    let mut schema = Map::new();
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!(title));
    let body = printer.section(root);
    if let Value::Object(members) = body {
        schema.extend(members);
    }
    schema.insert("$defs".into(), Value::Object(printer.definitions));
    serde_json::to_string_pretty(&schema).unwrap_or_default()
}

struct Printer {
    /// Scalars may have `${NAME}` in them.
    variables: bool,
    definitions: Map<String, Value>,
}

impl Printer {
    fn section(&mut self, section: &'static Section) -> Value {
        let mut properties = Map::new();
        for key in section.keys {
            let mut value = self.shape(&key.shape);
            if let Value::Object(members) = &mut value {
                members.insert("description".into(), json!(key.about));
            }
            properties.insert(key.name.into(), value);
        }
        let required: Vec<&str> = section
            .keys
            .iter()
            .filter(|key| key.required)
            .map(|key| key.name)
            .collect();
        let mut object = json!({
            "type": "object",
            "description": section.about,
            "additionalProperties": false,
            "properties": properties,
        });
        if !required.is_empty()
            && let Value::Object(members) = &mut object
        {
            members.insert("required".into(), json!(required));
        }
        object
    }

    fn shape(&mut self, shape: &Shape) -> Value {
        match *shape {
            Shape::Text(kind) => self.text(kind.pattern, Some(kind.example)),
            Shape::Word(words) => self.word(words),
            Shape::Flag => self.or_variable(json!({ "type": "boolean" })),
            Shape::Count { least, most } => {
                self.or_variable(json!({ "type": "integer", "minimum": least, "maximum": most }))
            }
            Shape::Duration { .. } => self.text("^[0-9]+(ms|s|m|h|d)$", Some("30s")),
            Shape::Size { .. } => self.text("^[0-9]+(B|KiB|MiB|GiB)$", Some("64KiB")),
            Shape::List(of) => json!({ "type": "array", "items": self.shape(of) }),
            Shape::Some(of) => json!({ "type": "array", "minItems": 1, "items": self.shape(of) }),
            Shape::OneOrMany(of) => {
                let one = self.shape(of);
                json!({ "anyOf": [one.clone(), { "type": "array", "minItems": 1, "items": one }] })
            }
            Shape::WordOrMany(words, of) => {
                json!({ "anyOf": [self.word(words), { "type": "array", "minItems": 1, "items": self.shape(of) }] })
            }
            Shape::Named(kind, of) => json!({
                "type": "object",
                "minProperties": 1,
                "propertyNames": { "pattern": kind.pattern },
                "additionalProperties": self.shape(of),
            }),
            Shape::Json => json!({}),
            Shape::JsonMap => json!({ "type": "object" }),
            Shape::Section(section) => {
                if !self.definitions.contains_key(section.name) {
                    let body = self.section(section);
                    self.definitions.insert(section.name.into(), body);
                }
                json!({ "$ref": format!("#/$defs/{}", section.name) })
            }
        }
    }

    fn text(&self, pattern: &str, example: Option<&str>) -> Value {
        let pattern = if self.variables && pattern != ".+" {
            format!("({pattern})|({VARIABLE})")
        } else {
            pattern.to_owned()
        };
        let mut value = json!({ "type": "string", "pattern": pattern });
        if let (Some(example), Value::Object(members)) = (example, &mut value) {
            members.insert("examples".into(), json!([example]));
        }
        value
    }

    fn word(&self, words: &Words) -> Value {
        let mut known: Vec<Value> = words.known.iter().map(|word| json!(word)).collect();
        if words.null {
            known.push(Value::Null);
        }
        self.or_variable(json!({ "enum": known }))
    }

    /// Where no text is wanted, one with `${NAME}` in it will do.
    fn or_variable(&self, value: Value) -> Value {
        if self.variables {
            json!({ "anyOf": [value, { "type": "string", "pattern": VARIABLE }] })
        } else {
            value
        }
    }
}
