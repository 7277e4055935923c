//! Records for a terminal. Users and routes come from tokens and requests: nothing in them moves the cursor.

use serde_json::Value;
use std::fmt::Write as _;

use crate::cli::plain;

/// The columns: a heading and a member.
const COLUMNS: [(&str, &str); 8] = [
    ("AGE", "age_seconds"),
    ("STATE", "state"),
    ("MODULE", "module"),
    ("ROUTE", "route"),
    ("USER", "user"),
    ("KEY", "key"),
    ("TRANSACTION", "transaction_id"),
    ("RECORD", "record"),
];

/// Widest column, in characters; the record's name is always whole, for it is copied from here, and so is a key.
const MAX_COLUMN: usize = 40;

/// A line for each, the oldest first.
pub(super) fn rows(mut records: Vec<Value>) -> String {
    let age = |record: &Value| record.get("age_seconds").and_then(Value::as_u64).unwrap_or(0);
    records.sort_by_key(|record| std::cmp::Reverse(age(record)));
    let mut lines: Vec<[String; COLUMNS.len()]> = vec![COLUMNS.map(|(heading, _)| heading.to_owned())];
    lines.extend(
        records
            .iter()
            .map(|record| COLUMNS.map(|(_, member)| cell(record, member))),
    );
    let mut widths = [0; COLUMNS.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(widths) {
            // Writing into a string cannot fail.
            let _ = write!(text, "{cell:<width$}  ");
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

fn cell(record: &Value, member: &str) -> String {
    let value = record.get(member).unwrap_or(&Value::Null);
    let text = match (member, value) {
        (_, Value::Null) => "-".to_owned(),
        ("age_seconds", value) => age(value.as_u64().unwrap_or(0)),
        (_, Value::String(text)) => plain(text),
        (_, other) => other.to_string(),
    };
    if matches!(member, "record" | "key" | "transaction_id") || text.chars().count() <= MAX_COLUMN {
        return text;
    }
    let mut cut: String = text.chars().take(MAX_COLUMN - 1).collect();
    cut.push('…');
    cut
}

/// The two largest units.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// Everything of one record.
pub(super) fn facts(record: &Value) -> String {
    let mut out = String::new();
    for name in [
        "record",
        "state",
        "since",
        "age_seconds",
        "issuer",
        "user",
        "module",
        "route",
        "key",
        "fingerprint",
        "original_status",
        "transaction_id",
        "keep_seconds",
        "keep_until",
    ] {
        let Some(value) = record.get(name) else { continue };
        let text = match value {
            Value::Null => "-".to_owned(),
            Value::String(text) => plain(text),
            other => other.to_string(),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{name:<16} {text}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_aligned_and_its_oldest_line_is_first() {
        let name = "ab".repeat(32);
        let records = vec![
            json!({ "record": name, "state": "unknown", "age_seconds": 59, "user": "u\u{1b}[31m", "module": "ledger",
                "route": format!("/api/{}", "x".repeat(60)), "key": "k".repeat(60) }),
            json!({ "record": name, "state": "in_progress", "age_seconds": 90_000, "user": null }),
        ];
        let text = rows(records);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("AGE   STATE        MODULE  ROUTE"), "{text}");
        assert!(lines[1].starts_with("1d1h  in_progress  -"), "{text}");
        assert!(lines[2].starts_with("59s   unknown      ledger  /api/xxx"), "{text}");
        assert!(
            lines[2].contains(&"k".repeat(60)) && lines[2].ends_with(&name),
            "{text}"
        );
        assert!(
            !lines[2].contains(&"x".repeat(MAX_COLUMN)) && lines[2].contains('…'),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn an_age_has_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m0s"),
            (3599, "59m59s"),
            (3600, "1h0m"),
            (86_399, "23h59m"),
            (86_400, "1d0h"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
