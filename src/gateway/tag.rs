//! Entity tags: what a client holds is one representation of several, and its tag says which (RFC 9110, 8.8.3).
//!
//! A view's tags begin with its mark, and those of what Tollgate compressed name the coding too: `"VIEW.abc"`,
//! `"VIEW-gzip.abc"`, and where nothing is hidden `"abc"` and `"-gzip.abc"`. The backend sees its own `"abc"` again.
//!
//! Where something is encrypted, each answer is another: its tag is weak, which is enough for a cache to ask whether what it
//! has is still true, and not for `If-Match` (RFC 9110, 8.8.1 and 13.1.1).

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write as _;

use super::compress::Wish;
use super::view::{self, Mark, View};
use crate::masking::coding::Coding;

/// Separates what Tollgate adds from the backend's own tag.
const BETWEEN: char = '.';
/// Begins the name of a coding.
const CODED: char = '-';
/// Codings that Tollgate compresses with.
const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

/// How the tags of one request's answer are written and read.
#[derive(Debug)]
pub(super) struct Tags {
    /// Of the view; none where nothing is hidden.
    mark: Option<Mark>,
    /// Rows are dropped: no tag was ever given, and none is taken.
    filtered: bool,
    /// What is tagged is never the same bytes twice.
    weak: bool,
    /// The module compresses.
    compresses: bool,
    /// With what this answer may be compressed.
    coding: Option<Coding>,
    /// `If-None-Match` as the client wrote it.
    held: String,
}

impl Tags {
    /// The tags of an answer to this request.
    pub(super) fn new(view: Option<&View>, wish: Option<&Wish>, fields: &HeaderMap) -> Self {
        Self {
            mark: view.map(View::mark),
            filtered: view.is_some_and(View::filters),
            weak: view.is_some_and(|view| view.mask.encrypts()),
            compresses: wish.is_some(),
            coding: wish.and_then(Wish::coding),
            held: if wish.is_some() {
                joined(fields, &header::IF_NONE_MATCH).unwrap_or_default()
            } else {
                String::new()
            },
        }
    }

    /// The answer's tag is the version of a resource, which is to be named in `If-Match`: it is strong, though no two answers
    /// may be the same bytes. What was read may be changed by it, and no part of an answer can be asked for by it.
    pub(super) fn of_version(self, is_version: bool) -> Self {
        Self {
            weak: self.weak && !is_version,
            ..self
        }
    }

    /// Puts the backend's own tags in place of those that the client holds.
    pub(super) fn ask(&self, fields: &mut HeaderMap) {
        if self.mark.is_none() && !self.compresses {
            return;
        }
        for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
            let Some(text) = joined(fields, &name) else { continue };
            // What a client may have changed is the resource, whichever coding it saw it in. What it has already is one
            // of those that it would get now.
            let any = name == header::IF_MATCH;
            match HeaderValue::try_from(self.theirs(&text, any)) {
                Ok(value) => fields.insert(name, value),
                Err(_) => fields.remove(name),
            };
        }
    }

    /// Writes the tag of an answer that goes out in this coding.
    pub(super) fn answer(&self, status: StatusCode, fields: &mut HeaderMap, coding: Option<Coding>) {
        if self.mark.is_none() && !self.compresses {
            return;
        }
        let Some(tag) = fields.get(header::ETAG) else { return };
        let tag = tag.to_str().ok().and_then(|tag| match status {
            StatusCode::NOT_MODIFIED if self.coding.is_some() => self.matched(tag),
            _ => self.ours(tag, coding),
        });
        match tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
            Some(tag) => fields.insert(header::ETAG, tag),
            None => fields.remove(header::ETAG),
        };
    }

    /// A 304 is about what the client holds: of the forms that the tag may have here, the one that it sent. None if it
    /// sent no tag: nobody knows then which it holds.
    fn matched(&self, tag: &str) -> Option<String> {
        let forms = [self.coding, None].map(|coding| self.ours(tag, coding));
        forms.into_iter().flatten().find(|form| {
            let opaque = form.strip_prefix("W/").unwrap_or(form);
            self.held.contains(opaque)
        })
    }

    fn prefix(&self, coding: Option<Coding>) -> String {
        let mut prefix = String::new();
        if let Some(mark) = &self.mark {
            mark.write(&mut prefix);
        }
        if let Some(coding) = coding {
            prefix.push(CODED);
            prefix.push_str(coding.name());
        }
        if !prefix.is_empty() {
            prefix.push(BETWEEN);
        }
        prefix
    }

    /// `"abc"` becomes `"VIEW.abc"`. A tag of the backend's that could be taken for one of ours is none.
    fn ours(&self, tag: &str, coding: Option<Coding>) -> Option<String> {
        let (weak, opaque) = match tag.strip_prefix("W/") {
            Some(rest) => ("W/", rest),
            None if self.weak => ("W/", tag),
            None => ("", tag),
        };
        let opaque = opaque.strip_prefix('"')?.strip_suffix('"')?;
        let prefix = self.prefix(coding);
        if prefix.is_empty()
            && CODINGS
                .iter()
                .any(|coding| opaque.starts_with(&self.prefix(Some(*coding))))
        {
            return None;
        }
        Some(format!("{weak}\"{prefix}{opaque}\""))
    }

    /// Tags of this view become the backend's own again: those of any coding, or of the one that this answer may have and
    /// of none. Any other is left to fail: it may be the backend's tag, but what this caller saw was not that.
    fn theirs(&self, list: &str, any: bool) -> String {
        let coded = CODINGS
            .into_iter()
            .filter(|coding| self.compresses && (any || self.coding == Some(*coding)));
        let prefixes: Vec<String> = coded.map(|coding| self.prefix(Some(coding))).collect();
        let plain = self.prefix(None);
        let own = |part: &str| {
            let mut known = prefixes.iter().chain([&plain]);
            known.find_map(|prefix| part.strip_prefix(prefix.as_str()).map(str::to_owned))
        };
        let mut out = String::with_capacity(list.len());
        for (at, part) in list.split('"').enumerate() {
            if at > 0 {
                out.push('"');
            }
            // Every second part stands between quotes.
            if at % 2 == 0 {
                out.push_str(part);
                continue;
            }
            match own(part) {
                Some(own) if !self.filtered => out.push_str(&own),
                _ => {
                    let _ = write!(out, "{part}{BETWEEN}not-this-view");
                }
            }
        }
        out
    }
}

/// What a tag of an answer says of its resource, without what was added for a view or a coding; none if nothing was.
pub(super) fn unmarked(tag: &str) -> Option<&str> {
    let (mark, version) = tag.split_once(BETWEEN)?;
    let (view, coding) = match mark.split_once(CODED) {
        Some((view, coding)) => (view, Some(coding)),
        None => (mark, None),
    };
    let known = coding.is_none_or(|name| CODINGS.iter().any(|coding| coding.name() == name));
    (known && (view::is_mark(view) || (view.is_empty() && coding.is_some()))).then_some(version)
}

/// All values of a field as one list; none if it is absent. What is no text is no tag either.
fn joined(fields: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = fields.get_all(name).iter().peekable();
    values.peek()?;
    let texts: Vec<&str> = values.map(|value| value.to_str().unwrap_or("\"\"")).collect();
    Some(texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masking::Action;

    fn tags(mark: &str, compresses: bool, coding: Option<Coding>, held: &str) -> Tags {
        Tags {
            mark: match mark {
                "" => None,
                "vx" => Some(Mark::of("", [Some(Action::Remove)])),
                _ => Some(Mark::of("", [None])),
            },
            filtered: false,
            weak: false,
            compresses,
            coding,
            held: held.into(),
        }
    }

    #[test]
    fn a_tag_goes_out_as_one_of_the_view_and_comes_back_as_the_backends() {
        let (ours, other) = (tags("vx", false, None, ""), tags("vo", false, None, ""));
        for tag in ["\"abc\"", "W/\"abc\"", "\"\"", "\"a.b\""] {
            let out = ours.ours(tag, None).unwrap();
            assert_ne!(out, tag);
            assert_eq!(ours.theirs(&out, false), tag);
            assert_ne!(other.theirs(&out, true), tag, "another view's tag is not taken");
            assert_ne!(
                ours.theirs(tag, true),
                tag,
                "the backend's own tag was never seen by this caller"
            );
        }
        assert_eq!(ours.theirs("*", true), "*");
        let (a, b) = (ours.ours("\"a\"", None).unwrap(), ours.ours("\"b\"", None).unwrap());
        assert_eq!(ours.theirs(&format!("{a}, {b}"), false), "\"a\", \"b\"");
        assert_eq!(ours.ours("abc", None), None);
        let filtered = Tags {
            filtered: true,
            ..tags("vx", true, None, "")
        };
        assert_ne!(filtered.theirs(&a, true), "\"a\"");
    }

    #[test]
    fn the_version_in_a_tag_is_found_whatever_was_added() {
        let mark = |number: usize| match number {
            0 => None,
            1 => Some(Mark::of("0a1b2c3d4e", [Some(Action::Remove), None])),
            _ => Some(Mark::of("01234567", [Some(Action::Null)])),
        };
        for number in 0..3 {
            for coding in [None, Some(Coding::Gzip), Some(Coding::Zstd), Some(Coding::Brotli)] {
                let tags = Tags {
                    mark: mark(number),
                    ..tags("", true, coding, "")
                };
                let out = tags.ours("\"a.7\"", coding).unwrap();
                let opaque = out.trim_matches('"');
                let added = number > 0 || coding.is_some();
                assert_eq!(unmarked(opaque), added.then_some("a.7"), "{out}");
            }
        }
        for tag in [
            "7",
            "",
            ".7",
            "x.7",
            "v-lzma.7",
            "-.7",
            "v x.7",
            "v1.7",
            "v01234567.7",
            "v0123456x.7",
            "v01234567xy.7",
        ] {
            assert_eq!(unmarked(tag), None, "{tag}");
        }
    }

    #[test]
    fn a_tag_of_what_is_encrypted_is_weak() {
        let ours = Tags {
            weak: true,
            ..tags("vx", false, None, "")
        };
        let version = Tags {
            weak: true,
            ..tags("vx", false, None, "")
        }
        .of_version(true);
        assert_eq!(version.ours("\"abc\"", None).as_deref(), Some("\"vx.abc\""));
        for tag in ["\"abc\"", "W/\"abc\""] {
            let out = ours.ours(tag, None).unwrap();
            assert_eq!(out, "W/\"vx.abc\"");
            assert_eq!(ours.theirs(&out, false), "W/\"abc\"");
        }
    }

    #[test]
    fn each_coding_has_tags_of_its_own() {
        for mark in ["", "vx"] {
            let gzip = tags(mark, true, Some(Coding::Gzip), "");
            let forms = [None, Some(Coding::Gzip), Some(Coding::Zstd), Some(Coding::Brotli)]
                .map(|coding| gzip.ours("\"abc\"", coding).unwrap());
            for (at, form) in forms.iter().enumerate() {
                assert!(!forms[..at].contains(form), "{form}");
                assert_eq!(gzip.theirs(form, true), "\"abc\"", "a precondition of a write");
                assert_eq!(
                    gzip.theirs(form, false) == "\"abc\"",
                    at < 2,
                    "{form}: only what would be answered now"
                );
                // Where nothing is compressed, no tag names a coding.
                let plain = tags(mark, false, None, "");
                assert_eq!(plain.theirs(form, true) == "\"abc\"", at == 0, "{form}");
            }
        }
        let bare = tags("", true, Some(Coding::Gzip), "");
        assert_eq!(bare.ours("\"-gzip.abc\"", None), None, "it would come back as another");
        assert_eq!(bare.ours("\"-gzipped\"", None).as_deref(), Some("\"-gzipped\""));
        let twice = bare.ours("\"-gzip.abc\"", Some(Coding::Gzip)).unwrap();
        assert_eq!(bare.theirs(&twice, false), "\"-gzip.abc\"");
    }

    #[test]
    fn what_has_not_changed_is_what_the_client_holds() {
        let gzip = |held: &str| tags("", true, Some(Coding::Gzip), held);
        for (held, want) in [
            ("\"abc\"", Some("\"abc\"")),
            ("\"-gzip.abc\"", Some("\"-gzip.abc\"")),
            ("\"x\", W/\"-gzip.abc\", \"abc\"", Some("\"-gzip.abc\"")),
            ("*", None),
            ("", None),
            ("\"-zstd.abc\"", None),
        ] {
            assert_eq!(gzip(held).matched("\"abc\"").as_deref(), want, "{held}");
        }
    }
}
