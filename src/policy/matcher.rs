//! Which module, and which of its routes, takes a path.
//!
//! One tree of segments for module prefixes, one per module for its routes. The most specific pattern wins: more
//! segments first, then a literal before `{name}`, from the left. The order of lines never matters.
//!
//! Backends differ in whether they fold case, and in whether they cut off what follows a `;` (servlet containers do). A path
//! that would find another rule if it were folded so is matched by none: whichever way the backend reads it, nobody reaches
//! a rule's target outside that rule.

use foldhash::fast::RandomState;
use std::collections::HashMap;

use super::pattern::{PathPattern, Segment};
use crate::call::Path;

/// A tree of path patterns, each with a value.
#[derive(Clone, Debug)]
pub struct Matcher<T> {
    nodes: Vec<Node<T>>,
    /// A literal is not its own folding: then even a path in small letters may fold to another rule.
    mixed_case: bool,
}

#[derive(Clone, Debug)]
struct Node<T> {
    literals: HashMap<Box<str>, usize, RandomState>,
    /// The same children by folded text; two that fold to one text are both found.
    folded: HashMap<Box<str>, Vec<usize>, RandomState>,
    parameter: Option<usize>,
    value: Option<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            literals: HashMap::default(),
            folded: HashMap::default(),
            parameter: None,
            value: None,
        }
    }
}

impl<T> Default for Matcher<T> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            mixed_case: false,
        }
    }
}

/// What a matcher says of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// Exactly this pattern, whose depth in segments is the second part.
    One(T, usize),
    /// No pattern.
    Nothing,
    /// Another pattern would match if letters were folded, or `;` parameters cut off.
    Folds,
}

impl<T: Copy + PartialEq> Matcher<T> {
    /// The value at `pattern`, made by `new` if there is none yet.
    pub fn entry(&mut self, pattern: &PathPattern, new: impl FnOnce() -> T) -> Option<&mut T> {
        let mut at = 0;
        for segment in pattern.segments() {
            at = self.child(at, segment)?;
        }
        Some(self.nodes.get_mut(at)?.value.get_or_insert_with(new))
    }

    fn child(&mut self, at: usize, segment: &Segment) -> Option<usize> {
        let next = self.nodes.len();
        let node = self.nodes.get_mut(at)?;
        self.mixed_case |= matches!(segment, Segment::Literal(text) if !is_folded(text));
        let found = match segment {
            Segment::Literal(text) => {
                let found = *node.literals.entry(text.clone()).or_insert(next);
                if found == next {
                    node.folded.entry(fold(text).into()).or_default().push(next);
                }
                found
            }
            Segment::Parameter(_) => *node.parameter.get_or_insert(next),
        };
        if found == next {
            self.nodes.push(Node::default());
        }
        Some(found)
    }

    /// The most specific pattern for `path` from its segment `skip` on.
    #[must_use]
    pub fn find(&self, path: &Path, skip: usize) -> Found<T> {
        // What stands for a parameter may have any letters: only a text that is compared with literals can fold to another.
        let mut folds = self.mixed_case;
        let exact = self.best(0, path, skip, (0, None), &mut folds);
        let other = if folds {
            self.best_folded(0, path, skip, 0, None)
        } else {
            exact
        };
        match (exact, other) {
            (None, None) => Found::Nothing,
            (Some((value, depth)), Some(same)) if (value, depth) == same => Found::One(value, depth),
            _ => Found::Folds,
        }
    }

    /// Depth first, literal before parameter: of equally deep matches the first found is the most specific. Tells by `folds`
    /// if a text was compared that is not its own folding.
    fn best(
        &self,
        at: usize,
        path: &Path,
        index: usize,
        (depth, best): (usize, Option<(T, usize)>),
        folds: &mut bool,
    ) -> Option<(T, usize)> {
        let Some(node) = self.nodes.get(at) else { return best };
        let mut best = deeper(best, node.value, depth);
        let Some(segment) = path.segment(index) else {
            return best;
        };
        if !node.literals.is_empty() {
            *folds |= !is_folded(segment);
            if let Some(&child) = node.literals.get(segment) {
                best = self.best(child, path, index + 1, (depth + 1, best), folds);
            }
        }
        if let Some(child) = node.parameter {
            best = self.best(child, path, index + 1, (depth + 1, best), folds);
        }
        best
    }

    /// As [`Self::best`], as a backend would see it that folds case and cuts off `;` parameters.
    fn best_folded(
        &self,
        at: usize,
        path: &Path,
        index: usize,
        depth: usize,
        best: Option<(T, usize)>,
    ) -> Option<(T, usize)> {
        let Some(node) = self.nodes.get(at) else { return best };
        let mut best = deeper(best, node.value, depth);
        let Some(segment) = path.segment(index) else {
            return best;
        };
        if !node.folded.is_empty() {
            for &child in node.folded.get(fold(name(segment)).as_str()).into_iter().flatten() {
                best = self.best_folded(child, path, index + 1, depth + 1, best);
            }
        }
        if let Some(child) = node.parameter {
            best = self.best_folded(child, path, index + 1, depth + 1, best);
        }
        best
    }
}

fn deeper<T: Copy>(best: Option<(T, usize)>, value: Option<T>, depth: usize) -> Option<(T, usize)> {
    match (best, value) {
        (Some((_, held)), Some(value)) if depth > held => Some((value, depth)),
        (None, Some(value)) => Some((value, depth)),
        (best, _) => best,
    }
}

/// A segment without its `;` parameters. No literal of a pattern has any.
fn name(segment: &str) -> &str {
    segment.split_once(';').map_or(segment, |(name, _)| name)
}

/// Whether folding would leave the text as it is, told without folding it.
fn is_folded(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase() && byte != b';')
}

/// Folds as the laxest reader would: simple case folding through upper case, so that `ſ` meets `s` and `K` (Kelvin) meets `k`.
pub(super) fn fold(text: &str) -> String {
    text.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(patterns: &[&'static str]) -> Matcher<usize> {
        let mut matcher = Matcher::default();
        for (at, text) in patterns.iter().enumerate() {
            *matcher.entry(&PathPattern::parse(text).unwrap(), || at).unwrap() = at;
        }
        matcher
    }

    fn find(patterns: &[&'static str], path: &str) -> Option<&'static str> {
        match matcher(patterns).find(&Path::parse(path).unwrap(), 0) {
            Found::One(at, depth) => {
                assert_eq!(depth, PathPattern::parse(patterns[at]).unwrap().segments().len());
                Some(patterns[at])
            }
            Found::Nothing => None,
            Found::Folds => Some("folds"),
        }
    }

    #[test]
    fn the_most_specific_pattern_wins_in_any_order() {
        let patterns = ["/", "/a", "/a/{x}", "/a/b", "/a/{x}/c", "/a/{x}/{y}", "/{z}/b/c"];
        for (path, expected) in [
            ("/", "/"),
            ("/q", "/"),
            ("/a", "/a"),
            ("/a/", "/a"),
            ("/a/q", "/a/{x}"),
            ("/a/b", "/a/b"),
            ("/a/b/c", "/a/{x}/c"),
            ("/a/b/q", "/a/{x}/{y}"),
            ("/q/b/c", "/{z}/b/c"),
            ("/q/b/d", "/"),
            ("/a/b/c/d/e", "/a/{x}/c"),
        ] {
            assert_eq!(find(&patterns, path), Some(expected), "{path}");
            let mut reversed = patterns;
            reversed.reverse();
            assert_eq!(find(&reversed, path), Some(expected), "{path} reversed");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        for path in [
            "/api/ratesheet",
            "/api",
            "/api/rate",
            "/apirates",
            "/api/rates.bak",
            "/",
        ] {
            assert_eq!(find(&["/api/rates"], path), None, "{path}");
        }
        for path in ["/api/rates", "/api/rates/", "/api/rates/x", "/api/%72ates"] {
            assert_eq!(find(&["/api/rates"], path), Some("/api/rates"), "{path}");
        }
    }

    #[test]
    fn what_folds_to_another_rule_matches_none() {
        for (path, expected) in [
            ("/admin/x", Some("/admin")),
            ("/ADMIN/x", Some("folds")),
            ("/Admin", Some("folds")),
            ("/adm%C4%B1n", Some("folds")),
            ("/admin/tool%C5%BF", Some("folds")),
            ("/admin/tools", Some("/admin/tools")),
            ("/public/ABC", Some("/")),
            ("/reports", Some("folds")),
            ("/Reports/ABC", Some("/Reports")),
        ] {
            assert_eq!(
                find(&["/", "/admin", "/admin/tools", "/Reports"], path),
                expected,
                "{path}"
            );
        }
        assert_eq!(find(&["/admin"], "/ADMIN"), Some("folds"));
        for (path, expected) in [
            ("/admin;x", Some("folds")),
            ("/admin%3Bx/tools", Some("folds")),
            ("/admin;/tools", Some("folds")),
            ("/ADMIN;x", Some("folds")),
            ("/admin/tools;jsessionid=1", Some("folds")),
            ("/admin/tools/a;x", Some("/admin/tools")),
            ("/admin/tool;s", Some("/admin")),
            ("/adminx;y", Some("/")),
        ] {
            assert_eq!(find(&["/", "/admin", "/admin/tools"], path), expected, "{path}");
        }
        assert_eq!(find(&["/a/{id}"], "/a/1;x"), Some("/a/{id}"));
        assert_eq!(find(&["/a/{id}", "/a/b"], "/a/b;x"), Some("folds"));
        assert_eq!(find(&["/a/{id}"], "/a/A1001"), Some("/a/{id}"));
    }

    proptest::proptest! {
        /// Folding is left out only where it would change nothing.
        #[test]
        fn leaving_out_the_folding_changes_nothing(
            patterns in proptest::collection::vec("(/(a|b|A|k|\\{x\\}|\\{y\\})){0,3}", 1..6),
            path in "(/(a|A|b|B|k|K|c|a;|b;x)){0,4}",
        ) {
            let mut matcher = Matcher::default();
            for (at, text) in patterns.iter().enumerate() {
                let text = if text.is_empty() { "/" } else { text };
                if let Ok(pattern) = PathPattern::parse(text) {
                    matcher.entry(&pattern, || at);
                }
            }
            let path = Path::parse(&format!("/{}", path.trim_start_matches('/'))).unwrap();
            let exact = matcher.best(0, &path, 0, (0, None), &mut false);
            let folded = matcher.best_folded(0, &path, 0, 0, None);
            let expected = match (exact, folded) {
                (None, None) => Found::Nothing,
                (Some((at, depth)), Some(same)) if (at, depth) == same => Found::One(at, depth),
                _ => Found::Folds,
            };
            proptest::prop_assert_eq!(matcher.find(&path, 0), expected);
        }
    }
}
