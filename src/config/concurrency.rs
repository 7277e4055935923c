//! `concurrency` of a route: writes that must not undo what their sender has not seen (S1.9; interface, section 7).

use std::time::Duration;

use super::dry_runs::OWN_PATH;
use super::fields::Fields;
use super::policy_keys::{HEADER, POINTER};
use super::problem::Problems;
use super::shape::{Section, Shape, Words, optional, required};
use super::store_keys::Stated;
use super::values;
use crate::policy::parts::{Concurrency, VersionFrom, VersionRule};

/// Longest wait for other writes to the same resource. The request's body is held in memory meanwhile.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(30);

/// Shortest.
const MIN_WAIT: Duration = Duration::from_millis(10);

/// Unless the author says otherwise.
pub(super) const DEFAULT_WAIT: Duration = Duration::from_secs(5);

static IF_MATCH: Words = Words {
    what: "setting",
    known: &["required"],
    later: &[],
    null: false,
};

/// `concurrency` of a route.
pub(super) static CONCURRENCY: Section = Section {
    name: "concurrency",
    about: "Writes say in If-Match which version of the resource they were made for.",
    keys: &[
        required(
            "if_match",
            Shape::Word(&IF_MATCH),
            "required: a write without If-Match is refused.",
        ),
        optional(
            "version",
            Shape::Section(&VERSION),
            "Tollgate gives and compares versions itself, one write at a time. Absent: the backend compares them.",
        ),
        optional(
            "wait",
            Shape::Duration {
                least: MIN_WAIT,
                most: MAX_WAIT,
            },
            "With version: how long a write waits for others to the same resource, at most 30s. Default: 5s.",
        ),
    ],
};

/// `version` of `concurrency`.
pub(super) static VERSION: Section = Section {
    name: "version",
    about: "Where the version of the resource is read. Neither pointer nor header: it is made of the whole answer, with store_keys.",
    keys: &[
        optional(
            "get",
            Shape::Text(&OWN_PATH),
            "The path of the resource, at the backend of the write. Default: the path of the write.",
        ),
        optional(
            "pointer",
            Shape::Text(&POINTER),
            "A JSON pointer to the version in the answer, a string or a number.",
        ),
        optional(
            "header",
            Shape::Text(&HEADER),
            "The header of the answer that has the version, such as ETag.",
        ),
    ],
};

/// Reads `concurrency`; none if something of it is wrong, which has been said then.
pub(super) fn read(own: &Fields<'_>, store_keys: &Stated, problems: &mut Problems) -> Option<Concurrency> {
    let own = own.section("concurrency", &CONCURRENCY)?;
    // `required` is the only word that there is.
    let _ = own.text("if_match");
    let version = own.section("version", &VERSION);
    if let Some(at) = own.key("wait")
        && version.is_none()
    {
        problems
            .error(at, "`wait` says nothing without `version`")
            .hint("the backend compares versions, and nothing waits here");
    }
    Some(Concurrency {
        version: match version {
            Some(version) => Some(rule(&version, store_keys, problems)?),
            None => None,
        },
        wait: own.duration("wait").unwrap_or(DEFAULT_WAIT),
    })
}

fn rule(own: &Fields<'_>, store_keys: &Stated, problems: &mut Problems) -> Option<VersionRule> {
    let from = match (own.text("pointer"), own.text("header")) {
        (Some(_), Some(header)) => {
            problems
                .error(header.at, "the version stands either at a `pointer` or in a `header`")
                .hint("remove one of them");
            return None;
        }
        (Some(pointer), None) => VersionFrom::Pointer(pointer.text.to_owned()),
        (None, Some(header)) => VersionFrom::Header(values::header(header.text).ok()?),
        (None, None) => {
            let what = "a version that is made of the whole answer";
            VersionFrom::Body(store_keys.needed(own.at, what, problems)?)
        }
    };
    Some(VersionRule {
        get: own.text("get").map(|text| text.text.into()),
        from,
    })
}
