//! `when` and `rows` of a route: compiled here, so that their problems stand at their places in the author's file.

use http::Method;

use super::fields::{Fields, Text};
use super::modules::Known;
use super::names::Names;
use super::policy_keys::ROWS;
use super::problem::{Problems, nearest, quote};
use super::values;
use crate::masking::RowPath;
use crate::policy::PathPattern;
use crate::policy::condition::{self, Condition, Mentioned};
use crate::policy::parts::{Origin, RowRule, When};
use crate::policy::pattern::Segment;

/// What a condition has to know of its route.
pub(super) struct Place<'p> {
    pub(super) pattern: &'p PathPattern,
    pub(super) methods: &'p [Method],
    pub(super) public: bool,
    pub(super) reads_body: bool,
}

/// Reads `when`.
pub(super) fn read(own: &Fields<'_>, place: &Place<'_>, known: &Known<'_>, problems: &mut Problems) -> Option<When> {
    let text = own.text("when");
    let when = text.and_then(|text| {
        Some(When {
            condition: compile(text, place, false, known, problems)?,
            origin: origin(text, problems),
        })
    });
    if let Some(at) = own.key("reads_body")
        && place.reads_body
        && text.is_none_or(|_| when.as_ref().is_some_and(|when| !when.condition.reads_body()))
    {
        problems
            .warn(at, "nothing of this route reads the body to decide")
            .hint("a condition names it `body`");
    }
    let bodiless = [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS];
    if when.as_ref().is_some_and(|when| when.condition.reads_body())
        && !place.methods.is_empty()
        && place.methods.iter().all(|method| bodiless.contains(method))
        && let Some(text) = text
    {
        let listed: Vec<String> = place.methods.iter().map(|method| quote(method.as_str())).collect();
        let message = format!(
            "the condition reads the body, which {} requests have not",
            listed.join(" and ")
        );
        problems.warn(text.at, message).hint("they are refused");
    }
    when
}

/// Reads `rows`.
pub(super) fn read_rows(
    own: &Fields<'_>,
    place: &Place<'_>,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<RowRule> {
    let own = own.section("rows", &ROWS)?;
    let at = own
        .text("at")
        // One that is no pointer has been said to be none.
        .filter(|text| values::pointer_or_root(text.text).is_ok())
        .and_then(|text| {
            RowPath::parse(text.text)
                .map_err(|fault| problems.error(text.at, fault))
                .ok()
        });
    let text = own.text("when")?;
    let condition = compile(text, place, true, known, problems)?;
    if !condition.reads_row() {
        problems
            .warn(text.at, "the condition does not look at `row`: all rows stay, or none")
            .hint("a condition on the request alone is the route's own `when`");
    }
    Some(RowRule {
        at: at?.into(),
        condition,
        origin: origin(text, problems),
    })
}

fn origin(text: Text<'_>, problems: &Problems) -> Origin {
    Origin {
        file: problems.name(text.at),
        line: text.at.line,
    }
}

/// `row`: it is asked of each row.
fn compile(
    text: Text<'_>,
    place: &Place<'_>,
    row: bool,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Condition> {
    let parameters = place
        .pattern
        .segments()
        .iter()
        .enumerate()
        .filter_map(|(at, segment)| match segment {
            Segment::Parameter(name) => Some((name.clone(), at)),
            Segment::Literal(_) => None,
        });
    let names = condition::Names {
        parameters: parameters.collect(),
        caller: !place.public,
        body: place.reads_body && !row,
        row,
    };
    let condition = match Condition::compile(text.text, &names) {
        Ok(condition) => condition,
        Err(faults) => {
            for fault in faults {
                problems
                    .error(text.within(fault.at.start, fault.at.end), fault.message)
                    .hint_if(fault.hint);
            }
            return None;
        }
    };
    mentions(text, &condition, known, problems);
    match condition.settled() {
        Some(true) => problems
            .warn(text.at, "the condition always holds")
            .hint("nothing in a request makes it false"),
        Some(false) => problems.warn(text.at, "the condition never holds").hint(if row {
            "every row is dropped"
        } else {
            "every request to this route is refused"
        }),
        None => {}
    }
    Some(condition)
}

/// A role that nobody defines and a scope that nobody grants are nearly always misspelt.
fn mentions(text: Text<'_>, condition: &Condition, known: &Known<'_>, problems: &mut Problems) {
    for mention in condition.mentions() {
        let at = text.within(mention.at.start, mention.at.end);
        match mention.of {
            Mentioned::Role => {
                let roles: &Names<'_> = known.roles;
                if !roles.has(&mention.name) {
                    problems
                        .error(at, format!("unknown role {}", quote(&mention.name)))
                        .hint_with(|| nearest(&mention.name, roles.all()));
                }
            }
            Mentioned::Scope => known.grants.need_at(&mention.name, at, problems),
        }
    }
}
