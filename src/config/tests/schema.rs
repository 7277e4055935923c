//! The printed schema of a policy, held against files by a validator of our own: as much of JSON Schema as the printer uses.

use regex::Regex;
use serde_json::{Map, Value};

use super::super::problem::Problems;
use super::super::yaml::{self, Kind, Node};
use super::good::{MORE_POLICY, POLICY_EXAMPLE};
use super::*;

struct Schema(Value);

impl Schema {
    fn policy() -> Self {
        Self(serde_json::from_str(&super::super::policy_schema()).unwrap())
    }

    /// What in a YAML text is not as the schema says, each with its pointer.
    fn faults(&self, text: &str) -> Vec<String> {
        // By the core schema, as editors read: `y` is a text.
        let root = yaml::parse(text, 0, &mut Problems::default()).unwrap_or_else(|| panic!("{text}"));
        let value = json(&root);
        let mut faults = Vec::new();
        self.check(&value, &self.0, "", &mut faults);
        faults
    }

    fn fits(&self, value: &Value, schema: &Value) -> bool {
        let mut faults = Vec::new();
        self.check(value, schema, "", &mut faults);
        faults.is_empty()
    }

    fn check(&self, value: &Value, schema: &Value, at: &str, faults: &mut Vec<String>) {
        for (keyword, wanted) in schema.as_object().unwrap() {
            let passed = match keyword.as_str() {
                "$ref" => {
                    let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                    self.check(value, self.0.pointer(pointer).unwrap(), at, faults);
                    true
                }
                "anyOf" => wanted.as_array().unwrap().iter().any(|one| self.fits(value, one)),
                "enum" => wanted.as_array().unwrap().contains(value),
                "type" => is(value, wanted.as_str().unwrap()),
                "pattern" => value.as_str().is_none_or(|text| matches(wanted, text)),
                "minimum" => value.as_u64().is_none_or(|number| number >= wanted.as_u64().unwrap()),
                "maximum" => value.as_u64().is_none_or(|number| number <= wanted.as_u64().unwrap()),
                "minItems" => value.as_array().is_none_or(|items| !items.is_empty()),
                "minProperties" => value.as_object().is_none_or(|members| !members.is_empty()),
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(item, wanted, &format!("{at}/{number}"), faults);
                    }
                    true
                }
                "required" => value.as_object().is_none_or(|members| {
                    let names = wanted.as_array().unwrap().iter();
                    names
                        .map(|name| name.as_str().unwrap())
                        .all(|name| members.contains_key(name))
                }),
                "properties" | "additionalProperties" | "propertyNames" => {
                    if let (Value::Object(members), true) = (value, keyword != "propertyNames") {
                        self.members(members, keyword, wanted, schema, at, faults);
                    } else if let Value::Object(members) = value {
                        let odd = members
                            .keys()
                            .find(|name| !self.fits(&Value::from(name.as_str()), wanted));
                        faults.extend(odd.map(|name| format!("{at}/{name}: propertyNames")));
                    }
                    true
                }
                "$schema" | "title" | "description" | "examples" | "$defs" => true,
                other => panic!("the validator does not know `{other}`"),
            };
            if !passed {
                faults.push(format!("{at}: {keyword}"));
            }
        }
    }

    fn members(
        &self,
        members: &Map<String, Value>,
        keyword: &str,
        wanted: &Value,
        schema: &Value,
        at: &str,
        faults: &mut Vec<String>,
    ) {
        for (name, member) in members {
            let at = format!("{at}/{name}");
            let known = schema.get("properties").and_then(|known| known.get(name));
            match (keyword, known, wanted) {
                ("properties", Some(known), _) => self.check(member, known, &at, faults),
                ("additionalProperties", None, Value::Bool(false)) => faults.push(format!("{at}: unknown")),
                ("additionalProperties", None, wanted) => self.check(member, wanted, &at, faults),
                _ => {}
            }
        }
    }
}

fn json(node: &Node) -> Value {
    match &node.value {
        yaml::Value::Map(entries) => entries
            .iter()
            .map(|(key, node)| (key.text.clone(), json(node)))
            .collect(),
        yaml::Value::List(items) => items.iter().map(json).collect(),
        yaml::Value::Broken => Value::Null,
        yaml::Value::Scalar(scalar) => match scalar.kind() {
            Kind::Null => Value::Null,
            Kind::Flag => Value::Bool(scalar.text.eq_ignore_ascii_case("true")),
            Kind::Number => serde_json::from_str(&scalar.text).unwrap_or_default(),
            Kind::Text => Value::from(scalar.text.as_str()),
        },
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        other => panic!("the validator does not know the type `{other}`"),
    }
}

fn matches(pattern: &Value, text: &str) -> bool {
    Regex::new(pattern.as_str().unwrap()).unwrap().is_match(text)
}

/// Calls `visit` with each schema within a schema, and its pointer.
fn walk(schema: &Value, at: &str, visit: &mut impl FnMut(&Value, &str)) {
    match schema {
        Value::Object(members) => {
            visit(schema, at);
            for (name, member) in members {
                walk(member, &format!("{at}/{name}"), visit);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                walk(item, &format!("{at}/{number}"), visit);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_has_a_description_and_every_text_an_example() {
    let Schema(schema) = Schema::policy();
    walk(&schema, "", &mut |one, at| {
        if let Some(Value::Object(properties)) = one.get("properties") {
            assert!(one["description"].as_str().is_some_and(|text| !text.is_empty()), "{at}");
            for (name, property) in properties {
                let text = property["description"].as_str().unwrap_or_default();
                assert!(text.len() > 8 && text.ends_with('.'), "{at}/{name}: {text}");
            }
        }
        if one["type"] == "string" {
            let example = one["examples"][0]
                .as_str()
                .unwrap_or_else(|| panic!("{at} has no example"));
            assert!(matches(&one["pattern"], example), "{at}: {example}");
        }
    });
}

#[test]
fn words_are_listed() {
    let Schema(schema) = Schema::policy();
    for (pointer, words) in [
        ("/$defs/route/properties/methods/items", vec!["GET", "DELETE"]),
        ("/$defs/issuer/properties/algorithms/items", vec!["RS256", "EdDSA"]),
        (
            "/$defs/field_class/properties/mask",
            vec!["remove", "redact", "null", "hash", "encrypt"],
        ),
    ] {
        let listed = schema.pointer(pointer).unwrap()["enum"].as_array().unwrap();
        assert!(
            words.iter().all(|word| listed.contains(&Value::from(*word))),
            "{pointer}"
        );
    }
}

#[test]
fn shipped_policies_are_what_the_schema_says() {
    let schema = Schema::policy();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for folder in ["policies/municipal", "policies/fleet", "deploy/systemd/policy"] {
        for file in fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|end| end == "yaml") {
                let faults = schema.faults(&fs::read_to_string(&path).unwrap());
                assert!(faults.is_empty(), "{}: {faults:?}", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 8, "{count}");
}

/// It admits everything that loads, and finds in an editor what loading would find in a table.
#[test]
fn the_schema_and_the_loader_agree() {
    let schema = Schema::policy();
    for text in [POLICY_EXAMPLE, MORE_POLICY] {
        assert_eq!(schema.faults(text), Vec::<String>::new());
    }
    let cases = [include_str!("policy.txt"), include_str!("analysis.txt")].map(|text| cases::cases(text).1);
    for (name, text, said) in cases.into_iter().flatten() {
        let faults = schema.faults(&text);
        if !said.contains(": error: ") {
            assert!(faults.is_empty(), "{name}: {faults:?}");
        }
        let of_shape = [
            "unknown key",
            "unknown method",
            "unknown mask",
            "the list is empty",
            "not supported yet",
        ];
        if of_shape.iter().any(|part| said.contains(part)) {
            assert!(!faults.is_empty(), "{name}: {said}");
        }
    }
}

#[test]
fn what_is_of_the_wrong_type_or_unknown_is_found_at_its_place() {
    let schema = Schema::policy();
    for (text, fault) in [
        ("version: 2", "/version: maximum"),
        ("version: \"1\"", "/version: type"),
        ("verson: 1", "/verson: unknown"),
        ("roles: [a]", "/roles: type"),
        ("roles: {}", "/roles: minProperties"),
        ("roles: { a: { scope: [x] } }", "/roles/a/scope: unknown"),
        ("roles: { a: { scopes: x } }", "/roles/a/scopes: type"),
        ("roles: { a: { scopes: [\"a b\"] } }", "/roles/a/scopes/0: pattern"),
        ("roles: { \"a,b\": {} }", "/roles/a,b: propertyNames"),
        ("exclusive_roles: [a]", "/exclusive_roles/0: type"),
        ("allow_from: [10]", "/allow_from/0: type"),
        (
            "identity: { issuers: [{ issuer: i }] }",
            "/identity/issuers/0: required",
        ),
        (
            "identity: { issuers: [{ issuer: i, audience: a, algorithms: [none] }] }",
            "/identity/issuers/0/algorithms/0: enum",
        ),
        (
            "identity: { issuers: [{ issuer: i, audience: a, max_lifetime: 30 }] }",
            "/identity/issuers/0/max_lifetime: type",
        ),
        (
            "modules: { m: { upstream: b, routes: [{ methods: [GET] }] } }",
            "/modules/m: required",
        ),
        (
            "modules: { m: { prefix: m, upstream: b, routes: [{ methods: [GET] }] } }",
            "/modules/m/prefix: anyOf",
        ),
        (
            "modules: { m: { prefix: /m, upstream: b, routes: [{ methods: [TRACE] }] } }",
            "/modules/m/routes/0/methods/0: enum",
        ),
        (
            "modules: { m: { prefix: /m, upstream: b, routes: [{ methods: [GET], public: \"yes\" }] } }",
            "/modules/m/routes/0/public: type",
        ),
        (
            "modules: { m: { prefix: /m, upstream: b, routes: [] } }",
            "/modules/m/routes: minItems",
        ),
        ("fields: { f: { names: [] } }", "/fields/f/names: minItems"),
        ("fields: { f: { paths: [a] } }", "/fields/f/paths/0: pattern"),
        ("fields: { f: { mask: delete } }", "/fields/f/mask: enum"),
    ] {
        assert_eq!(schema.faults(text), [fault], "{text}");
    }
}
