//! `${NAME}` in the scalars of the gateway file (interface, section 2). A policy has none: there `${` is text (THREATS J13).

use super::problem::Problems;
use super::yaml::{Node, Value};

/// Puts environment variables in place. What they hold is not looked at again, and never repeated in a problem.
pub(super) fn expand(node: &mut Node, env: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) {
    let at = node.at;
    match &mut node.value {
        Value::Broken => {}
        Value::List(items) => items.iter_mut().for_each(|item| expand(item, env, problems)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| expand(value, env, problems)),
        Value::Scalar(scalar) => match replace(&scalar.text, env) {
            Ok(None) => {}
            Ok(Some(text)) => {
                let written = std::mem::replace(&mut scalar.text, text);
                scalar.written = Some(written);
            }
            Err(message) => {
                problems.error(at, message);
                node.value = Value::Broken;
            }
        },
    }
}

/// `None` when there is nothing to replace.
fn replace(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut parts = text.split("${");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((name, rest)) = part.split_once('}') else {
            return Err("`${` has no `}`".to_owned());
        };
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!(
                "`${{{}}}` names no environment variable",
                name.escape_default()
            ));
        }
        let value = env(name).ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
        out.push_str(&value);
        out.push_str(rest);
    }
    Ok(Some(out))
}
