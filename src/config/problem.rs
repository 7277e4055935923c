//! What is wrong in a file that an author wrote: where, in whose words, and how to mend it.
//!
//! Messages are in lower case, with the author's own text in backticks, and never name a type of ours. A problem
//! carries no source line: files may hold secrets, and problems go to logs. The command line alone asks for
//! [`Problem::snippet`].

use serde::Serialize;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// Most problems that are kept of one load; the rest is counted.
pub const MAX_PROBLEMS: usize = 500;

/// Most characters of an author's text that a message repeats.
const MAX_QUOTED: usize = 80;

/// Most characters of a source line that a snippet shows.
const MAX_SNIPPET: usize = 160;

/// How much a problem weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The files do not load.
    Error,
    /// They load, and probably not as their author means.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong. `Display` renders it as `file:line:col: error: message` and, on a second line, `  hint: …`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the files load all the same.
    pub severity: Severity,
    /// The file as the author names it.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the problem is with the file as a whole.
    pub line: u32,
    /// Column in characters, from 1; 0 when the problem is with the file as a whole.
    pub col: u32,
    /// How many characters of the line it is about; 0 = unknown.
    pub len: u32,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with a file as a whole.
    #[must_use]
    pub fn of_file(file: impl Into<Arc<str>>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.into(),
            line: 0,
            col: 0,
            len: 0,
            message: message.into(),
            hint: None,
        }
    }

    /// The source line with a caret below the place, for a terminal. `text` is the file's. Not for logs: the line may
    /// hold what nobody else should read.
    #[must_use]
    pub fn snippet(&self, text: &str) -> Option<String> {
        // YAML takes a lone carriage return for a line break too (YAML 1.2, 5.4).
        let mut lines = text
            .split('\n')
            .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'));
        let line = lines.nth(usize::try_from(self.line.checked_sub(1)?).ok()?)?;
        let start = usize::try_from(self.col.checked_sub(1)?).ok()?;
        if start > MAX_SNIPPET {
            return None;
        }
        let shown: String = line
            .chars()
            .take(MAX_SNIPPET)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let room = shown.chars().count().saturating_sub(start).max(1);
        let carets = usize::try_from(self.len.max(1)).unwrap_or(1).min(room);
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        Some(format!(
            "{number} | {shown}\n{margin} | {}{}",
            " ".repeat(start),
            "^".repeat(carets)
        ))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is said of a file as a whole is said at its start: readers of this text look for `file:line:col` in every line.
        let (line, col) = (self.line.max(1), self.col.max(1));
        write!(f, "{}:{line}:{col}: {}: {}", self.file, self.severity, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// All of them, one after another, as text for a terminal or a log.
#[must_use]
pub fn render(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{problem}");
    }
    text
}

/// All of them as a JSON array, for `--format json`.
#[must_use]
pub fn render_json(problems: &[Problem]) -> String {
    serde_json::to_string_pretty(problems).unwrap_or_else(|_| "[]".to_owned())
}

/// A place in one of the files of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Span {
    /// Index in [`Problems::files`].
    pub(super) file: u16,
    /// Line, from 1.
    pub(super) line: u32,
    /// Column in characters, from 1.
    pub(super) col: u32,
    /// Characters; 0 = unknown.
    pub(super) len: u32,
}

/// Collects the problems of one load.
#[derive(Debug, Default)]
pub(super) struct Problems {
    files: Vec<Arc<str>>,
    list: Vec<Problem>,
    dropped: usize,
    errors: usize,
}

impl Problems {
    /// Makes a file known by the name that the author gives it.
    pub(super) fn file(&mut self, name: impl Into<Arc<str>>) -> u16 {
        let name = name.into();
        let at = self.files.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.files.push(name);
            self.files.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// The name of the file in which a place is.
    pub(super) fn name(&self, at: Span) -> Arc<str> {
        self.files.get(usize::from(at.file)).map(Arc::clone).unwrap_or_default()
    }

    /// A place in words: `file:line:col`.
    pub(super) fn place(&self, at: Span) -> String {
        format!("{}:{}:{}", self.name(at), at.line, at.col)
    }

    /// Notes an error; the answer takes a hint.
    pub(super) fn error(&mut self, at: Span, message: impl Into<String>) -> Noted<'_> {
        self.errors += 1;
        self.note(Severity::Error, at, message.into())
    }

    /// Notes a warning; the answer takes a hint.
    pub(super) fn warn(&mut self, at: Span, message: impl Into<String>) -> Noted<'_> {
        self.note(Severity::Warning, at, message.into())
    }

    fn note(&mut self, severity: Severity, at: Span, message: String) -> Noted<'_> {
        let file = self.name(at);
        self.push(Problem {
            severity,
            file,
            line: at.line,
            col: at.col,
            len: at.len,
            message,
            hint: None,
        })
    }

    /// Takes over a finished problem.
    pub(super) fn add(&mut self, problem: Problem) -> Noted<'_> {
        if problem.severity == Severity::Error {
            self.errors += 1;
        }
        self.push(problem)
    }

    fn push(&mut self, problem: Problem) -> Noted<'_> {
        // An error takes a warning's place when there is no room: a refusal must say at least one of its reasons.
        if self.list.len() >= MAX_PROBLEMS {
            self.dropped += 1;
            let warning = match problem.severity {
                Severity::Error => self.list.iter_mut().find(|held| held.severity == Severity::Warning),
                Severity::Warning => None,
            };
            return Noted(warning.map(|place| {
                *place = problem;
                place
            }));
        }
        self.list.push(problem);
        Noted(self.list.last_mut())
    }

    /// How many errors there are.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Sorted by place: `Ok` with the warnings when nothing keeps the files from loading.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, Vec<Problem>> {
        self.list.sort_by(|a, b| {
            (&a.file, a.line, a.col, a.severity, &a.message).cmp(&(&b.file, b.line, b.col, b.severity, &b.message))
        });
        self.list.dedup();
        if self.dropped > 0 {
            let mut more = Problem::of_file(
                self.list.last().map(|last| Arc::clone(&last.file)).unwrap_or_default(),
                format!("{} more problems are not shown", self.dropped),
            );
            if self.errors == 0 {
                more.severity = Severity::Warning;
            }
            self.list.push(more);
        }
        if self.errors == 0 {
            Ok(self.list)
        } else {
            Err(self.list)
        }
    }
}

/// A problem that was noted just now.
pub(super) struct Noted<'p>(Option<&'p mut Problem>);

impl Noted<'_> {
    /// There is nothing more to say.
    pub(super) fn done(self) {}

    /// Says how to mend it.
    pub(super) fn hint(self, hint: impl Into<String>) {
        if let Some(problem) = self.0 {
            problem.hint = Some(hint.into());
        }
    }

    /// Says how to mend it, if somebody knows; nobody is asked when the problem is not kept.
    pub(super) fn hint_with(self, hint: impl FnOnce() -> Option<String>) {
        if let Some(problem) = self.0 {
            problem.hint = hint();
        }
    }

    /// Says how to mend it, if somebody knows.
    pub(super) fn hint_if(self, hint: Option<String>) {
        if let Some(problem) = self.0 {
            problem.hint = hint;
        }
    }
}

/// An author's text in backticks, cut to a bearable length, with nothing that could fool a terminal or a log, and
/// without the user and password of a URL.
pub(super) fn quote(text: &str) -> String {
    if let Some((scheme, rest)) = text.split_once("://")
        && let authority = rest.split(['/', '?', '#']).next().unwrap_or_default()
        && let Some((user, _)) = authority.rsplit_once('@')
    {
        let rest = rest.get(user.len()..).unwrap_or_default();
        return quote_plain(&format!("{scheme}://…{rest}"));
    }
    quote_plain(text)
}

fn quote_plain(text: &str) -> String {
    let mut out = String::from("`");
    for (at, c) in text.chars().enumerate() {
        if at == MAX_QUOTED {
            out.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.push('`');
    out
}

/// Characters that change how a line is read without being seen: directions, joiners, byte-order marks.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The known name nearest to a misspelt one, as a hint; without a near one, what there is.
pub(super) fn nearest<'n>(text: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    const MAX_LISTED: usize = 16;
    // The distance is quadratic in the lengths: a text that no name can resemble is not compared.
    const MAX_COMPARED: usize = 128;
    const MAX_CANDIDATES: usize = 1000;
    let known: Vec<&str> = known.take(MAX_CANDIDATES).collect();
    let folded = text.to_lowercase();
    let near = known
        .iter()
        .filter(|name| {
            text.len().max(name.len()) <= MAX_COMPARED && text.len().abs_diff(name.len()) <= MAX_COMPARED / 3
        })
        .map(|name| (strsim::osa_distance(&folded, &name.to_lowercase()), *name))
        .min()
        .filter(|(distance, name)| {
            let shorter = name.chars().count().min(text.chars().count());
            *distance == 0 || (*distance < shorter && *distance <= 1.max(shorter / 3))
        });
    if let Some((_, name)) = near {
        return Some(format!("did you mean {}?", quote(name)));
    }
    match known.as_slice() {
        [] => None,
        list if list.len() <= MAX_LISTED => {
            let listed: Vec<String> = list.iter().map(|name| quote(name)).collect();
            Some(format!("known: {}", listed.join(", ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, col: u32) -> Span {
        Span {
            file: 0,
            line,
            col,
            len: 3,
        }
    }

    #[test]
    fn problems_are_sorted_and_rendered() {
        let mut problems = Problems::default();
        problems.file("a.yaml");
        problems.error(at(2, 5), "unknown role `x`").hint("did you mean `y`?");
        problems.warn(at(1, 1), "role `z` grants nothing");
        let list = problems.finish().unwrap_err();
        assert_eq!(
            render(&list),
            "a.yaml:1:1: warning: role `z` grants nothing\na.yaml:2:5: error: unknown role `x`\n  hint: did you mean `y`?\n"
        );
        let json: serde_json::Value = serde_json::from_str(&render_json(&list)).unwrap();
        assert_eq!(
            json[1],
            serde_json::json!({ "severity": "error", "file": "a.yaml", "line": 2, "col": 5, "len": 3,
                "message": "unknown role `x`", "hint": "did you mean `y`?" })
        );
        assert_eq!(
            Problem::of_file("b.yaml", "is not there").to_string(),
            "b.yaml:1:1: error: is not there"
        );
    }

    #[test]
    fn a_snippet_points_at_the_place() {
        let mut problems = Problems::default();
        problems.file("a.yaml");
        problems.error(at(2, 3), "no");
        let list = problems.finish().unwrap_err();
        assert_eq!(list[0].snippet("a: 1\n\té: bcd\n").unwrap(), "2 |  é: bcd\n  |   ^^^");
        assert_eq!(list[0].snippet("a\rxyz").unwrap(), "2 | xyz\n  |   ^");
        assert_eq!(list[0].snippet("a"), None);
        assert_eq!(Problem::of_file("a", "b").snippet("a"), None);
    }

    #[test]
    fn as_many_problems_are_kept_as_the_limit_says() {
        for (count, expected) in [
            (MAX_PROBLEMS, MAX_PROBLEMS),
            (MAX_PROBLEMS + 1, MAX_PROBLEMS + 1),
            (MAX_PROBLEMS + 9, MAX_PROBLEMS + 1),
        ] {
            let mut problems = Problems::default();
            problems.file("a.yaml");
            for line in 0..count {
                problems.error(at(u32::try_from(line).unwrap(), 1), "no");
            }
            let list = problems.finish().unwrap_err();
            assert_eq!(list.len(), expected);
        }
    }

    #[test]
    fn a_refusal_says_one_of_its_reasons_even_after_many_warnings() {
        let mut problems = Problems::default();
        problems.file("a.yaml");
        for line in 0..=MAX_PROBLEMS {
            problems.warn(at(u32::try_from(line).unwrap(), 1), "hm");
        }
        problems.error(at(1, 1), "no");
        let list = problems.finish().unwrap_err();
        assert!(list.iter().any(|problem| problem.message == "no"));
    }

    #[test]
    fn quoted_text_is_short_and_plain() {
        assert_eq!(quote("a\n\u{1b}[31m\u{202e}"), "`a\\n\\u{1b}[31m\\u{202e}`");
        assert_eq!(quote("redis://u:p@h@x/y@z"), "`redis://…@x/y@z`");
        assert_eq!(quote("http://h/y@z"), "`http://h/y@z`");
        assert_eq!(quote(&"x".repeat(MAX_QUOTED)).chars().count(), MAX_QUOTED + 2);
        assert_eq!(quote(&"x".repeat(MAX_QUOTED + 1)).chars().count(), MAX_QUOTED + 3);
    }

    #[test]
    fn the_nearest_name_is_offered_or_the_few_there_are() {
        let names = ["finance_admin", "meter_validator", "clerk"];
        for (text, expected) in [
            ("finance_admim", "did you mean `finance_admin`?"),
            ("Clerk", "did you mean `clerk`?"),
            ("zzzzzzzz", "known: `finance_admin`, `meter_validator`, `clerk`"),
        ] {
            assert_eq!(nearest(text, names.iter().copied()).as_deref(), Some(expected));
        }
        assert_eq!(nearest("x", std::iter::empty()), None);
        assert_eq!(
            nearest(&"x".repeat(100_000), ["x"].into_iter()).as_deref(),
            Some("known: `x`")
        );
    }
}
