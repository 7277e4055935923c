//! Envelopes in a document: each is opened at its own place, and every other byte stays.

use anyhow::{Context as _, bail};
use std::sync::Arc;

use crate::masking::seal::{FieldKey, Home, key_of};

/// Opens one envelope.
pub(super) fn open(envelope: &str, keys: &[Arc<FieldKey>], home: &Home, path: &str) -> anyhow::Result<Vec<u8>> {
    let id = key_of(envelope).with_context(|| format!("`{path}`: no envelope, which is `enc:KEY:…`"))?;
    let key = keys.iter().find(|key| key.id() == id);
    let key = key.with_context(|| format!("`{path}`: sealed with key `{id}`, which is not given by `--key`"))?;
    key.open(envelope, home, path).with_context(|| format!("`{path}`"))
}

/// Opens every envelope of a JSON text, or of several.
pub(super) fn open_all(document: &str, keys: &[Arc<FieldKey>], home: &Home) -> anyhow::Result<Vec<u8>> {
    for text in serde_json::Deserializer::from_str(document).into_iter::<serde::de::IgnoredAny>() {
        text.context("standard input is no JSON")?;
    }
    let mut place = Place::default();
    let mut out = Vec::with_capacity(document.len());
    let mut rest = document;
    // What follows is sound JSON: a quote starts a string, and every other byte of interest is a bracket, a brace or a comma.
    while let Some(at) = rest.find(['"', '{', '}', '[', ']', ',']) {
        let (before, from) = rest.split_at_checked(at).unwrap_or_default();
        out.extend_from_slice(before.as_bytes());
        let Some(first) = from.chars().next() else { break };
        let token = if first == '"' { string(from) } else { 1 };
        let (token, after) = from.split_at_checked(token).unwrap_or((from, ""));
        rest = after;
        match first {
            '"' if place.names_come() => {
                place.name(&serde_json::from_str::<String>(token).unwrap_or_default());
                out.extend_from_slice(token.as_bytes());
            }
            '"' => match token.trim_matches('"') {
                envelope if key_of(envelope).is_some() => {
                    out.extend_from_slice(&open(envelope, keys, home, &place.pointer())?);
                }
                _ => out.extend_from_slice(token.as_bytes()),
            },
            mark => {
                if !place.mark(mark) {
                    bail!("standard input is no JSON");
                }
                out.extend_from_slice(token.as_bytes());
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// The length of the string that `text` starts with, its quotes included.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Where in a document one is.
#[derive(Default)]
struct Place {
    levels: Vec<Level>,
}

struct Level {
    array: bool,
    /// A name comes next, not a value.
    names: bool,
    step: String,
}

impl Place {
    fn names_come(&self) -> bool {
        self.levels.last().is_some_and(|level| level.names)
    }

    fn name(&mut self, name: &str) {
        if let Some(level) = self.levels.last_mut() {
            level.names = false;
            level.step = name.replace('~', "~0").replace('/', "~1");
        }
    }

    /// Passes a brace, a bracket or a comma; `false` if nothing is open.
    fn mark(&mut self, mark: char) -> bool {
        match mark {
            '{' | '[' => {
                let array = mark == '[';
                self.levels.push(Level {
                    array,
                    names: !array,
                    step: "*".to_owned(),
                });
                true
            }
            ',' => match self.levels.last_mut() {
                Some(level) => {
                    level.names = !level.array;
                    true
                }
                None => false,
            },
            _ => self.levels.pop().is_some(),
        }
    }

    fn pointer(&self) -> String {
        self.levels.iter().flat_map(|level| ["/", &level.step]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_envelope_opens_at_its_place_and_every_other_byte_stays() {
        let keys = [Arc::new(FieldKey::new("k1", &[1; 32]).unwrap())];
        let home = |module: &str, route: &str| Home {
            module: module.into(),
            route: route.into(),
        };
        let here = home("m", "/r");
        let seal = |value: &str, path| keys[0].seal(value.as_bytes(), &here, path).unwrap();
        let (a, b, c) = (
            seal("\"x,}\"", "/a~1b"),
            seal("1.50", "/l/*/s"),
            seal("{\"n\":[]}", "/l/*/s"),
        );
        let sealed = format!(
            "{{ \"a/b\":\"{a}\", \"t\":\"enc\\\"{{\" ,\"l\":[{{\"s\":\"{b}\"}}, {{\"s\":\"{c}\",\"enc:k1:\":1}}]}}\n{{}}\n"
        );
        let plain =
            "{ \"a/b\":\"x,}\", \"t\":\"enc\\\"{\" ,\"l\":[{\"s\":1.50}, {\"s\":{\"n\":[]},\"enc:k1:\":1}]}\n{}\n";
        assert_eq!(
            String::from_utf8(open_all(&sealed, &keys, &here).unwrap()).unwrap(),
            plain
        );
        for (document, home, fault) in [
            (sealed.as_str(), &home("m", "/other"), "`/a~1b`: "),
            (&sealed, &home("n", "/r"), "`/a~1b`: "),
            (&sealed.replace("a/b", "ab"), &here, "`/ab`: "),
            (
                &sealed.replace("enc:k1", "enc:k2"),
                &here,
                "`/a~1b`: sealed with key `k2`, which is not given",
            ),
            ("{\"a\":", &here, "standard input is no JSON"),
        ] {
            let text = format!("{:#}", open_all(document, &keys, home).unwrap_err());
            assert!(text.starts_with(fault), "{text}");
        }
    }
}
