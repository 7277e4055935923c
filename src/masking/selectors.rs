//! What a policy says of fields, compiled: one table of names and one automaton of paths for all classes together.

use super::names::{Found, Names, Scratch};
use super::paths::{BadPath, Hits, Paths, Trail};
use super::{ClassId, MAX_PATH_STEPS};

/// The fields of one class, as an author names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRule {
    /// The class that they belong to.
    pub class: ClassId,
    /// Names of members, at any depth, and of columns.
    pub names: Vec<String>,
    /// Names of columns only. Space around them does not count.
    pub columns: Vec<String>,
    /// Compare names and the steps of paths as they are written, not folded.
    pub exact: bool,
    /// JSON pointers (RFC 6901) to members or elements; `*` is one step and `**` any number of steps, none included.
    pub paths: Vec<String>,
}

/// Which values of an answer belong to which classes.
#[derive(Debug, Default)]
pub struct Selectors {
    names: Names,
    /// By entry of `names`: the classes that the name stands for at any depth.
    classes: Vec<Vec<u16>>,
    /// By entry of `names`: the classes that only a column of the name belongs to.
    columns: Vec<Vec<u16>>,
    paths: Paths,
    /// The classes that have paths alone, which say nothing of columns.
    columnless: Vec<u16>,
}

/// A rule that selects nothing sensible, in words for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SelectorFault {
    rule: usize,
    text: String,
}

impl SelectorFault {
    /// Which of the rules, counted from 0.
    pub fn rule(&self) -> usize {
        self.rule
    }
}

impl Selectors {
    /// Makes the tables.
    ///
    /// # Errors
    /// The first name or path that is none.
    pub fn compile(rules: &[FieldRule]) -> Result<Self, SelectorFault> {
        let mut selectors = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            selectors.add(rule).map_err(|text| SelectorFault { rule: at, text })?;
        }
        Ok(selectors)
    }

    /// Whether nothing is selected at all.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty() && self.columns.is_empty() && self.paths.is_empty()
    }

    fn add(&mut self, rule: &FieldRule) -> Result<(), String> {
        for name in &rule.names {
            let entry = self.entry("name", name, rule.exact)?;
            push(&mut self.classes, entry, rule.class);
        }
        for name in &rule.columns {
            let entry = self.entry("column", trim(name), rule.exact)?;
            push(&mut self.columns, entry, rule.class);
        }
        if rule.names.is_empty() && rule.columns.is_empty() && !rule.paths.is_empty() {
            self.columnless.push(rule.class.0);
        }
        for path in &rule.paths {
            self.paths
                .add(path, rule.exact, rule.class, &mut self.names)
                .map_err(|fault| explain(path, fault))?;
        }
        Ok(())
    }

    /// Whether a name without escapes may be one that is asked for; most are not.
    #[inline]
    pub(super) fn may_name(&self, raw: &[u8]) -> bool {
        self.names.may_be(raw)
    }

    fn entry(&mut self, what: &str, name: &str, exact: bool) -> Result<usize, String> {
        if !exact && super::fold(name).is_empty() {
            return Err(format!(
                "{what} `{name}` has nothing to compare: `_`, `-` and case do not count without `match: exact`"
            ));
        }
        Ok(self.names.entry(name, exact) as usize)
    }

    /// The classes of a column with this name. Space around it does not count.
    pub(super) fn column(&self, name: &str) -> impl Iterator<Item = u16> + '_ {
        let Found { folded, exact } = self.names.find_plain(trim(name));
        let entries = [folded, exact].into_iter().flatten();
        entries
            .flat_map(|entry| [&self.classes, &self.columns].map(|table| table.get(entry as usize)))
            .flatten()
            .flatten()
            .copied()
    }

    /// The classes that no column can be told to belong to, although they select something.
    pub(super) fn columnless(&self) -> &[u16] {
        &self.columnless
    }

    pub(super) fn find(&self, raw: &[u8], escaped: bool, scratch: &mut Scratch) -> Found {
        self.names.find(raw, escaped, scratch)
    }

    /// The classes that a name stands for wherever it is.
    pub(super) fn named(&self, found: Found) -> impl Iterator<Item = u16> + '_ {
        let of = |entry: Option<u32>| entry.and_then(|entry| self.classes.get(entry as usize));
        of(found.folded).into_iter().chain(of(found.exact)).flatten().copied()
    }

    /// The classes that a plain name stands for, as it would as a member's name anywhere.
    pub(super) fn named_plainly(&self, name: &str) -> impl Iterator<Item = u16> + '_ {
        self.named(self.names.find_plain(name))
    }

    pub(super) fn restart(&self, trail: &mut Trail) {
        if !self.paths.is_empty() {
            trail.restart(&self.paths);
        }
    }

    pub(super) fn enter(&self, trail: &mut Trail) -> bool {
        trail.enter(&self.paths)
    }

    pub(super) fn member(&self, trail: &mut Trail, found: Found, hits: &mut Hits) {
        trail.member(&self.paths, found, hits);
    }

    pub(super) fn element(&self, trail: &mut Trail, hits: &mut Hits) {
        trail.element(&self.paths, hits);
    }
}

fn push(table: &mut Vec<Vec<u16>>, entry: usize, class: ClassId) {
    if table.len() <= entry {
        table.resize_with(entry + 1, Vec::new);
    }
    if let Some(classes) = table.get_mut(entry) {
        classes.push(class.0);
    }
}

/// A column's name without what does not count around it: spaces, tabs, and whatever else nobody sees there.
pub fn trim(name: &str) -> &str {
    name.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}'))
}

pub(super) fn explain(path: &str, fault: BadPath) -> String {
    match fault {
        BadPath::NoSlash => format!("path `{path}` must start with `/`"),
        BadPath::Root => format!("path `{path}` selects the whole answer; name a member or an element"),
        BadPath::Tilde => format!("path `{path}`: after `~` comes `0` (for `~`) or `1` (for `/`)"),
        BadPath::EmptyStep => format!(
            "path `{path}` has a step with nothing to compare: `_`, `-` and case do not count without `match: exact`"
        ),
        BadPath::TooMany => format!("path `{path}` is one too many: more than {MAX_PATH_STEPS} steps in all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(names: &[&str], paths: &[&str], exact: bool) -> FieldRule {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        FieldRule {
            class: ClassId(0),
            names: owned(names),
            columns: Vec::new(),
            exact,
            paths: owned(paths),
        }
    }

    #[test]
    fn a_rule_that_selects_nothing_sensible_is_a_fault() {
        for (name, exact, fault) in [
            ("", false, Some("name ``")),
            ("_-", false, Some("name `_-`")),
            ("_", true, None),
            ("", true, None),
        ] {
            let text = Selectors::compile(&[rule(&[], &[], false), rule(&[name], &[], exact)]);
            match (text, fault) {
                (Ok(selectors), None) => assert!(!selectors.is_empty()),
                (Err(got), Some(text)) => {
                    assert!(got.to_string().starts_with(text), "{got}");
                    assert_eq!(got.rule(), 1);
                }
                (got, _) => panic!("{name}: {got:?}"),
            }
        }
        for (path, exact, fault) in [
            ("/a", false, None),
            ("/*", false, None),
            ("/**/a", false, None),
            ("/a/**", false, None),
            ("/**/*", false, None),
            ("/a~0~1b/0", false, None),
            ("/", true, None),
            ("/a/", true, None),
            (
                "",
                false,
                Some("path `` selects the whole answer; name a member or an element"),
            ),
            (
                "/**",
                false,
                Some("path `/**` selects the whole answer; name a member or an element"),
            ),
            (
                "/**/**",
                true,
                Some("path `/**/**` selects the whole answer; name a member or an element"),
            ),
            ("a/b", false, Some("path `a/b` must start with `/`")),
            ("$.a", false, Some("path `$.a` must start with `/`")),
            (
                "/a~",
                false,
                Some("path `/a~`: after `~` comes `0` (for `~`) or `1` (for `/`)"),
            ),
            (
                "/a~2",
                false,
                Some("path `/a~2`: after `~` comes `0` (for `~`) or `1` (for `/`)"),
            ),
            (
                "/",
                false,
                Some(
                    "path `/` has a step with nothing to compare: `_`, `-` and case do not count without `match: exact`",
                ),
            ),
            (
                "/a/-",
                false,
                Some(
                    "path `/a/-` has a step with nothing to compare: `_`, `-` and case do not count without `match: exact`",
                ),
            ),
        ] {
            let got = Selectors::compile(&[rule(&[], &[path], exact)])
                .err()
                .map(|fault| fault.to_string());
            assert_eq!(got.as_deref(), fault, "{path}");
        }
        assert!(Selectors::compile(&[rule(&[], &[], false)]).unwrap().is_empty());
    }

    #[test]
    fn path_steps_have_a_limit() {
        let path = "/a".repeat(MAX_PATH_STEPS - 1);
        assert!(Selectors::compile(&[rule(&[], &[&path], false)]).is_ok());
        assert!(Selectors::compile(&[rule(&[], &[&path, "/a"], false)]).is_err());
        assert!(Selectors::compile(&[rule(&[], &[&format!("{path}/a")], false)]).is_err());
    }
}
