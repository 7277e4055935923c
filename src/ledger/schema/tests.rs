//! Cases as data: schemas that may not be, and bodies that do not meet one.

use super::*;

fn compile(text: &str) -> Result<Schema, Vec<SchemaFault>> {
    Schema::compile(serde_json::from_str(text).unwrap())
}

#[test]
fn a_schema_is_closed() {
    for text in [
        "{}",
        "true",
        r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}},"$defs":{"b":{"type":"string","format":"date"}}}"##,
        r##"{"properties":{"children":{"items":{"$ref":"#"}}}}"##,
        r##"{"$schema":"http://json-schema.org/draft-07/schema#","$id":"urn:x","definitions":{"a":{}},"items":[{"$ref":"#/definitions/a"}]}"##,
        r##"{"$schema":"https://json-schema.org/draft/2019-09/schema","dependentRequired":{"a":["b"]}}"##,
        r##"{"properties":{"a/b":{"pattern":"^[a-z]{1,3}$"},"x":{"$ref":"#/properties/a~1b"}}}"##,
        r##"{"not":{"type":"string"},"allOf":[{"minimum":1},{"if":{"maximum":5},"then":false}]}"##,
        r##"{"properties":{"$ref":{"type":"string"},"minimum":{}}}"##,
    ] {
        assert!(compile(text).is_ok(), "{text}: {:?}", compile(text).err());
    }
    for (text, pointer) in [
        ("[]", ""),
        (r##"{"requierd":["a"]}"##, "/requierd"),
        (r##"{"properties":{"a":{"typ":"string"}}}"##, "/properties/a/typ"),
        (r##"{"$ref":"https://example.com/s.json"}"##, "/$ref"),
        (r##"{"$ref":"file:///etc/passwd"}"##, "/$ref"),
        (r##"{"$ref":"other.json"}"##, "/$ref"),
        (r##"{"$ref":"#anchor"}"##, "/$ref"),
        (r##"{"$ref":"#/%24defs/a","$defs":{"a":{}}}"##, "/$ref"),
        (r##"{"$ref":"#/$defs/none"}"##, "/$ref"),
        (
            r##"{"properties":{"a":{"enum":[{"type":"string"}]},"b":{"$ref":"#/properties/a/enum/0"}}}"##,
            "/properties/b/$ref",
        ),
        (r##"{"$ref":"#"}"##, ""),
        (
            r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"not":{"$ref":"#/$defs/a"}}}}"##,
            "/$defs/a",
        ),
        (r##"{"$dynamicRef":"#a"}"##, "/$dynamicRef"),
        (r##"{"$defs":{"a":{"$id":"https://x/"}}}"##, "/$defs/a/$id"),
        (
            r##"{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"a":{"$ref":"#","type":"string"}}}"##,
            "/properties/a",
        ),
        (
            r##"{"$schema":"http://json-schema.org/draft-07/schema#","prefixItems":[{}]}"##,
            "/prefixItems",
        ),
        (r##"{"additionalItems":false}"##, "/additionalItems"),
        (r##"{"$schema":"https://example.com/mine"}"##, "/$schema"),
        (r##"{"contentEncoding":"base64"}"##, "/contentEncoding"),
        (r##"{"type":"strnig"}"##, "/type"),
        (r##"{"minLength":-1}"##, "/minLength"),
        (r##"{"pattern":"("}"##, "/pattern"),
        (r##"{"pattern":"(a)\\1"}"##, "/pattern"),
        (r##"{"pattern":"(?=a)b"}"##, "/pattern"),
        (r##"{"format":"unheard-of"}"##, "/format"),
    ] {
        let faults = compile(text).expect_err(text);
        assert_eq!(
            faults.first().map(|fault| fault.pointer.as_str()),
            Some(pointer),
            "{text}: {faults:?}"
        );
    }
}

const LEDGER: &str = r#"{
  "type": "object", "required": ["county", "entries"], "additionalProperties": false,
  "properties": {
    "county": { "enum": ["County_A", "County_B"] },
    "day": { "type": "string", "format": "date" },
    "note": { "type": ["string", "null"], "maxLength": 5, "pattern": "^[a-z]*$" },
    "entries": { "type": "array", "minItems": 1, "maxItems": 3, "uniqueItems": true, "items": {
      "type": "object", "required": ["amount"], "properties": { "amount": { "type": "number", "exclusiveMinimum": 0, "maximum": 100 } } } }
  } }"#;

#[test]
fn faults_are_told_in_the_schemas_words_and_by_place() {
    let schema = compile(LEDGER).unwrap();
    for (body, faults) in [
        (r##"{"county":"County_A","entries":[{"amount":1}]}"##, &[][..]),
        (
            r##"{"county":"County_A","entries":[{"amount":100}],"day":"2026-02-28","note":null}"##,
            &[],
        ),
        (r##"{"entries":[{"amount":1}]}"##, &["|\"county\" is missing"]),
        (
            r##"{"county":"SECRET","entries":[{"amount":1}]}"##,
            &["/county|is none of the values that are allowed"],
        ),
        (
            r##"{"county":"County_A","entries":[]}"##,
            &["/entries|has fewer than 1 items"],
        ),
        (
            r##"{"county":"County_A","entries":"SECRET"}"##,
            &["/entries|is not of type array"],
        ),
        (
            r##"{"county":"County_A","entries":[{"amount":1},{"amount":0}]}"##,
            &["/entries/1/amount|is not more than 0"],
        ),
        (
            r##"{"county":"County_A","entries":[{"amount":101}]}"##,
            &["/entries/0/amount|is more than 100"],
        ),
        (
            r##"{"county":"County_A","entries":[{"amount":1},{"amount":1}]}"##,
            &["/entries|has an item twice"],
        ),
        (
            r##"{"county":"County_A","entries":[{"amount":1}],"a/b":"SECRET"}"##,
            &["/a~1b|is not allowed here"],
        ),
        (
            r##"{"county":"County_A","entries":[{"amount":1}],"day":"2026-02-30"}"##,
            &["/day|is no date"],
        ),
        (
            r##"{"county":"County_A","entries":[{"amount":1}],"note":"SECRET"}"##,
            &["/note|is longer than 5 characters", "/note|does not match ^[a-z]*$"],
        ),
        (
            r##"{"county":"County_A","entries":[{"amount":1}],"note":7}"##,
            &["/note|is of none of the types null, string"],
        ),
        (
            r##"{"county":"County_A","entries":[{"amount":100.00000000000000001}]}"##,
            &["|has a number of more than 15 digits, which the schema cannot compare exactly"],
        ),
        (
            r##"{"county":"County_A","entries":[{"amount":1e-400}]}"##,
            &["|has a number of more than 15 digits, which the schema cannot compare exactly"],
        ),
        (
            r##"{"county":"County_A","county":"County_B","entries":[{"amount":1}]}"##,
            &[UNREADABLE],
        ),
        ("", &[UNREADABLE]),
        ("{", &[UNREADABLE]),
        (r##"{"county":"County_A","entries":[{"amount":1e999}]}"##, &[UNREADABLE]),
    ] {
        let told: Vec<String> = schema
            .check(body.as_bytes())
            .iter()
            .map(|fault| format!("{}|{}", fault.pointer, fault.detail))
            .collect();
        assert_eq!(told, faults, "{body}");
        assert!(!told.concat().contains("SECRET"));
    }
}

const UNREADABLE: &str =
    "|is no JSON that can be read in one way: malformed, a member given twice, too deep, or too many values";

#[test]
fn faults_are_bounded() {
    let schema =
        compile(r##"{"items":{"type":"string"},"properties":{"a":{}},"additionalProperties":false}"##).unwrap();
    let many = format!("[{}]", vec!["1"; 5000].join(","));
    assert_eq!(schema.check(many.as_bytes()).len(), MAX_FAULTS);
    let names: Vec<String> = (0..5000).map(|n| format!("\"{n}\":1")).collect();
    assert_eq!(
        schema.check(format!("{{{}}}", names.join(",")).as_bytes()).len(),
        MAX_FAULTS
    );
    let long = format!("{{\"{}\":1}}", "\u{e9}".repeat(100_000));
    let faults = schema.check(long.as_bytes());
    assert!(faults[0].pointer.len() <= MAX_POINTER);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(schema.check(deep.as_bytes()).len(), 1);
    let bomb = format!("[{}]", vec!["{}"; MAX_VALUES / 16].join(","));
    assert_eq!(schema.check(bomb.as_bytes()).len(), 1);
}

#[test]
fn numbers_are_found_outside_of_strings() {
    let body = br##"{"a1":"2.5","b\"3":[-4e1,{"c":5},true,6],"d":"\\"}"##;
    assert_eq!(numbers(body).collect::<Vec<_>>(), ["-4e1", "5", "6"]);
    for (number, good) in [
        ("0", true),
        ("18446744073709551615", true),
        ("-9223372036854775808", true),
        ("18446744073709551616", false),
        ("0.000000000000001", true),
        ("123456789012345.6", false),
        ("999999999999999", true),
        ("1e64", true),
        ("1e65", false),
        ("12.30", true),
    ] {
        assert_eq!(is_told_apart(number), good, "{number}");
    }
}

#[test]
fn patterns_are_linear_wherever_they_stand() {
    for text in [
        r##"{"pattern":"(?<!a)b"}"##,
        r##"{"patternProperties":{"(?=a)b":{}}}"##,
        r##"{"patternProperties":{"(a)\\1":false}}"##,
        r##"{"propertyNames":{"pattern":"(?=a)"}}"##,
        r##"{"additionalProperties":false,"patternProperties":{"^(?!x)":{}}}"##,
    ] {
        assert!(compile(text).is_err(), "{text}");
    }
    // What takes a backtracking engine longer than there is time.
    let schema = compile(r##"{"items":{"pattern":"^(a+)+$"},"patternProperties":{"^(a|a)*$":{}}}"##).unwrap();
    let hostile = format!("{}!", "a".repeat(100_000));
    assert_eq!(schema.check(format!("[\"{hostile}\"]").as_bytes()).len(), 1);
    assert!(schema.check(format!("{{\"{hostile}\":1}}").as_bytes()).is_empty());
}

#[test]
fn many_items_that_must_differ_cost_no_square() {
    let schema = compile(r##"{"uniqueItems":true}"##).unwrap();
    let items: Vec<String> = (0..20_000).map(|n| format!("{{\"a\":[{n},\"x\"]}}")).collect();
    assert!(schema.check(format!("[{}]", items.join(",")).as_bytes()).is_empty());
}
