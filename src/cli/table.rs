//! The matrix for a terminal: a staircase of role names above columns of one sign each, so that many roles fit.
//!
//! Rows are routes by module, and below them the module's classes of fields. More roles than fit into a line are shown in
//! several tables.

use std::fmt::Write as _;

use super::{ERROR, FAINT, GOOD, WARNING};
use crate::policy::matrix::{Access, Matrix, ModuleRows, RouteRow, Sight};
use crate::policy::parts::MaskAction;

/// Widest line, in characters.
const WIDTH: usize = 100;

/// Widest first column; a longer route stands on a line of its own.
const MAX_LABEL: usize = 56;

/// Fewest roles in one table, however long their names are.
const MIN_COLUMNS: usize = 6;

/// Each role's column: its sign and a space.
const COLUMN: usize = 2;

/// The table, with colours.
pub(super) fn render(rows: &Matrix) -> String {
    let mut out = String::new();
    let longest = rows.modules.iter().flat_map(|module| {
        let routes = module.routes.iter().map(|row| label(row).chars().count());
        routes.chain(
            module
                .classes
                .iter()
                .map(|row| row.name.chars().count() + "  fields ".len()),
        )
    });
    let width = longest.max().unwrap_or(0).min(MAX_LABEL) + 2;
    // The last name of a staircase reaches furthest.
    let name = rows
        .roles
        .iter()
        .map(|role| role.name.chars().count())
        .max()
        .unwrap_or(0)
        + "┌  @ !".len();
    let fitting = (WIDTH.saturating_sub(MARKS + width + name) / COLUMN).max(MIN_COLUMNS);
    let roles = rows.roles.len();
    let mut start = 0;
    loop {
        let end = roles.min(start + fitting);
        stairs(rows, start..end, width, &mut out);
        for module in &rows.modules {
            block(module, start..end, width, &mut out);
        }
        start = end;
        if start >= roles {
            break;
        }
        out.push('\n');
    }
    legend(rows, &mut out);
    out
}

/// Columns of marks before the roles: jurisdiction, condition, key, schema, a space.
const MARKS: usize = 5;

type Columns = std::ops::Range<usize>;

/// ```text
///   ┌ billing_analyst
///   │ ┌ rate_administrator
/// ```
fn stairs(rows: &Matrix, columns: Columns, width: usize, out: &mut String) {
    let margin = " ".repeat(width + MARKS);
    for (at, role) in rows.roles.iter().skip(columns.start).take(columns.len()).enumerate() {
        let mut mark = String::new();
        if role.addressed {
            mark.push_str(" @");
        }
        if role.conflicting {
            mark.push_str(" !");
        }
        // Writing into a string cannot fail.
        let _ = writeln!(
            out,
            "{margin}{}{}┌{} {}{mark}",
            FAINT.render(),
            "│ ".repeat(at),
            FAINT.render_reset(),
            role.name
        );
    }
}

fn block(module: &ModuleRows, columns: Columns, width: usize, out: &mut String) {
    let prefixes = module.prefixes.join(", ");
    // Writing into a string cannot fail.
    let _ = writeln!(
        out,
        "{}{}{} {prefixes}",
        BOLD.render(),
        module.name,
        BOLD.render_reset()
    );
    for words in &module.answers {
        let _ = writeln!(out, "  {}{words}{}", FAINT.render(), FAINT.render_reset());
    }
    for row in &module.routes {
        let cells = row.cells.iter().skip(columns.start).take(columns.len());
        line(&label(row), &marks(row), width, cells.map(|access| sign(*access)), out);
    }
    for row in &module.classes {
        let cells = row.cells.iter().skip(columns.start).take(columns.len());
        let label = format!("  fields {}", row.name);
        line(&label, "", width, cells.map(|sight| field_sign(*sight, row.mask)), out);
    }
}

const BOLD: anstyle::Style = anstyle::Style::new().bold();

fn line(
    label: &str,
    marks: &str,
    width: usize,
    cells: impl Iterator<Item = (anstyle::Style, &'static str)>,
    out: &mut String,
) {
    out.push_str(label);
    let mut used = label.chars().count();
    if used + 2 > width {
        out.push('\n');
        used = 0;
    }
    out.push_str(&" ".repeat(width - used));
    let _ = write!(out, "{}{marks:<MARKS$}{}", FAINT.render(), FAINT.render_reset());
    for (style, text) in cells {
        let _ = write!(out, "{}{text}{} ", style.render(), style.render_reset());
    }
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
}

fn label(row: &RouteRow) -> String {
    let methods: Vec<&str> = row.methods.iter().map(http::Method::as_str).collect();
    format!("  {} {}", methods.join(","), row.path)
}

fn marks(row: &RouteRow) -> String {
    let mark = |is: bool, sign: &'static str| if is { sign } else { "" };
    [
        mark(row.jurisdiction.is_some(), "J"),
        mark(!row.conditions.is_empty(), "W"),
        mark(row.key_required, "K"),
        mark(row.if_match, "V"),
        mark(row.schema.is_some(), "B"),
        mark(row.shadow, "S"),
    ]
    .concat()
}

fn sign(access: Access) -> (anstyle::Style, &'static str) {
    match access {
        Access::Public => (GOOD, "○"),
        Access::Allowed => (GOOD, "✓"),
        Access::NoScope => (FAINT, "·"),
        Access::Restricted => (ERROR, "×"),
    }
}

fn field_sign(sight: Sight, mask: MaskAction) -> (anstyle::Style, &'static str) {
    match (sight, mask) {
        (Sight::Closed, _) => (FAINT, "·"),
        (Sight::Visible, _) => (GOOD, "✓"),
        (Sight::Masked | Sight::Never, MaskAction::Remove) => (WARNING, "-"),
        (Sight::Masked | Sight::Never, MaskAction::Null) => (WARNING, "0"),
        (Sight::Masked | Sight::Never, MaskAction::Redact) => (WARNING, "#"),
        (Sight::Masked | Sight::Never, MaskAction::Hash) => (WARNING, "h"),
        (Sight::Masked | Sight::Never, MaskAction::Encrypt) => (WARNING, "e"),
    }
}

fn legend(rows: &Matrix, out: &mut String) {
    let routes = || rows.modules.iter().flat_map(|module| &module.routes);
    let cells = || routes().flat_map(|row| &row.cells);
    let mut first = "routes: ✓ may ask   · has not the scope".to_owned();
    for (used, text) in [
        (
            cells().any(|cell| *cell == Access::Restricted),
            "× kept out, whatever else it holds",
        ),
        (cells().any(|cell| *cell == Access::Public), "○ public"),
    ] {
        if used {
            let _ = write!(first, "   {text}");
        }
    }
    let mut lines = vec![first];
    let marks: Vec<&str> = [
        (
            routes().any(|row| row.jurisdiction.is_some()),
            "J its own jurisdictions only",
        ),
        (
            routes().any(|row| !row.conditions.is_empty()),
            "W when a condition holds",
        ),
        (routes().any(|row| row.key_required), "K an idempotency key is needed"),
        (routes().any(|row| row.if_match), "V a version in If-Match is needed"),
        (routes().any(|row| row.schema.is_some()), "B bodies must meet a schema"),
        (
            routes().any(|row| row.shadow),
            "S shadow: who may not ask is recorded, and let through",
        ),
    ]
    .into_iter()
    .filter_map(|(used, text)| used.then_some(text))
    .collect();
    lines.extend(wrapped("marks:  ", &marks));
    let marks: Vec<&str> = [
        (
            rows.roles.iter().any(|role| role.addressed),
            "@ from named addresses only",
        ),
        (
            rows.roles.iter().any(|role| role.conflicting),
            "! refused: brings roles together that exclude each other",
        ),
    ]
    .into_iter()
    .filter_map(|(used, text)| used.then_some(text))
    .collect();
    lines.extend(wrapped("roles:  ", &marks));
    if rows.modules.iter().any(|module| !module.classes.is_empty()) {
        let masks = rows
            .modules
            .iter()
            .flat_map(|module| &module.classes)
            .map(|class| class.mask);
        let sealed = |kind| masks.clone().any(|mask| mask == kind);
        let (hashed, encrypted) = (sealed(MaskAction::Hash), sealed(MaskAction::Encrypt));
        let more = match (hashed, encrypted) {
            (false, false) => "",
            (true, false) => "   h hashed",
            (false, true) => "   e encrypted",
            (true, true) => "   h hashed   e encrypted",
        };
        lines.push(format!(
            "fields: ✓ sees   - removed   0 null   # redacted{more}   · no route of the module is open"
        ));
    }
    out.push('\n');
    for line in lines {
        let _ = writeln!(out, "{}{line}{}", FAINT.render(), FAINT.render_reset());
    }
}

/// What marks mean, in lines no longer than the table.
fn wrapped(head: &str, marks: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for mark in marks {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 3 + mark.chars().count() <= WIDTH => {
                line.push_str("   ");
                line.push_str(mark);
            }
            Some(_) => lines.push(format!("{:1$}{mark}", "", head.len())),
            None => lines.push(format!("{head}{mark}")),
        }
    }
    lines
}
