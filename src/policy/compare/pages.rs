//! What web pages may ask.

use std::fmt::Display;

use super::{Change, Effect, Kind, list};
use crate::policy::cors::{Cors, CorsRules, WebOrigin};

/// Compares what the policies say to browsers. Saying nothing is to let no page in.
pub(super) fn compare(old: Option<&Cors>, new: Option<&Cors>, changes: &mut Vec<Change>) {
    let nothing = CorsRules::default();
    let old = old.map_or(&nothing, Cors::rules);
    let CorsRules {
        origins,
        methods,
        headers,
        expose,
        credentials,
        max_age,
    } = new.map_or(&nothing, Cors::rules);
    let mut change = |effect, text: String| changes.push(Change::new(effect, Kind::Page, text));
    if let Some(text) = uncovered(origins, &old.origins) {
        change(Effect::Widens, format!("pages of {text} may ask"));
    }
    if let Some(text) = uncovered(&old.origins, origins) {
        change(Effect::Narrows, format!("pages of {text} may not ask any more"));
    }
    // What pages may do means nothing where there were none, or are none any more.
    if old.origins.is_empty() || origins.is_empty() {
        return;
    }
    for (key, old, new) in [
        ("methods", words(&old.methods), words(methods)),
        ("headers", words(&old.headers), words(headers)),
        ("expose", words(&old.expose), words(expose)),
    ] {
        let (added, removed) = super::difference(&old, &new);
        if !added.is_empty() {
            change(Effect::Widens, format!("`cors` has more `{key}`: {}", list(&added)));
        }
        if !removed.is_empty() {
            change(Effect::Narrows, format!("`cors` has fewer `{key}`: {}", list(&removed)));
        }
    }
    match (old.credentials, *credentials) {
        (false, true) => change(Effect::Widens, "pages' requests may carry credentials".to_owned()),
        (true, false) => change(
            Effect::Narrows,
            "pages' requests carry no credentials any more".to_owned(),
        ),
        _ => {}
    }
    if old.max_age != *max_age {
        change(Effect::Neutral, "`max_age` of `cors` is another".to_owned());
    }
}

/// The origins in `these` that `others` do not let in.
fn uncovered(these: &[WebOrigin], others: &[WebOrigin]) -> Option<String> {
    let missing = these
        .iter()
        .filter(|origin| !others.iter().any(|other| other.covers(origin)));
    let missing: Vec<String> = missing.map(|origin| format!("`{origin}`")).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

fn words(items: &[impl Display]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}
