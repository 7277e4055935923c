//! `tollgate matrix`: who may do what, and which fields each role sees.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

use super::{load, table};
use crate::policy::matrix::{Access, Matrix as Rows, ModuleRows, RouteRow, Sight};

#[derive(Debug, Args)]
pub(super) struct Matrix {
    /// The gateway file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: MatrixFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum MatrixFormat {
    /// For a terminal.
    #[default]
    Table,
    /// For a document.
    Markdown,
    /// For a spreadsheet: one line for each role and route, or role and class.
    Csv,
    /// For a program.
    Json,
}

impl Matrix {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let Some((_, loaded)) = load(&self.config) else {
            return Ok(ExitCode::FAILURE);
        };
        let rows = loaded.policy.matrix();
        let text = match self.format {
            MatrixFormat::Table => table::render(&rows),
            MatrixFormat::Markdown => markdown(&rows),
            MatrixFormat::Csv => csv(&rows),
            MatrixFormat::Json => format!("{}\n", serde_json::to_string_pretty(&to_json(&rows))?),
        };
        anstream::print!("{text}");
        Ok(ExitCode::SUCCESS)
    }
}

/// What a route asks for besides its scope, in words.
fn also(row: &RouteRow) -> String {
    let mut asks = Vec::new();
    asks.extend(row.jurisdiction.as_ref().map(|source| format!("jurisdiction {source}")));
    asks.extend(row.conditions.iter().map(|text| format!("when {text}")));
    if row.key_required {
        asks.push("idempotency key".into());
    }
    if row.if_match {
        asks.push("If-Match".into());
    }
    asks.extend(row.schema.as_ref().map(|file| format!("schema {file}")));
    if row.shadow {
        asks.push("shadow: denials are recorded, not enforced".into());
    }
    asks.join("; ")
}

fn methods(row: &RouteRow) -> String {
    let methods: Vec<&str> = row.methods.iter().map(http::Method::as_str).collect();
    methods.join(" ")
}

fn markdown(rows: &Rows) -> String {
    let mut out = String::new();
    let header = |first: &[&str]| {
        let names = rows.roles.iter().map(|role| cell(&role.name));
        let all: Vec<String> = first.iter().map(|name| (*name).to_owned()).chain(names).collect();
        let rule = vec!["---"; all.len()].join("|");
        format!("| {} |\n|{rule}|\n", all.join(" | "))
    };
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    for module in &rows.modules {
        out.push_str(&format!(
            "## {}\n\n{}\n\n",
            cell(&module.name),
            module.prefixes.join(", ")
        ));
        if !module.answers.is_empty() {
            out.push_str(&format!("Answers: {}.\n\n", cell(&module.answers.join("; "))));
        }
        out.push_str(&header(&["route", "scope", "also asks for"]));
        for row in &module.routes {
            let mut cells = vec![
                cell(&format!("{} {}", methods(row), row.path)),
                cell(row.scope.as_deref().unwrap_or("public")),
                cell(&also(row)),
            ];
            cells.extend(row.cells.iter().map(|access| {
                match access {
                    Access::Public | Access::Allowed => "yes",
                    Access::NoScope => "",
                    Access::Restricted => "kept out",
                }
                .to_owned()
            }));
            out.push_str(&line(cells));
        }
        out.push('\n');
        if module.classes.is_empty() {
            continue;
        }
        out.push_str(&header(&["fields", "mask"]));
        for row in &module.classes {
            let mut cells = vec![cell(&row.name), row.mask.word().to_owned()];
            cells.extend(row.cells.iter().map(|sight| {
                match sight {
                    Sight::Closed => "",
                    Sight::Visible => "sees",
                    Sight::Masked => "masked",
                    Sight::Never => "masked, always",
                }
                .to_owned()
            }));
            out.push_str(&line(cells));
        }
        out.push('\n');
    }
    out
}

/// Text that cannot end its cell.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|")
}

const CSV_HEADER: &str = "kind,module,methods,path or class,scope or mask,also asks for,role,access\r\n";

fn csv(rows: &Rows) -> String {
    let mut out = String::from(CSV_HEADER);
    let mut line = |cells: [&str; 8]| {
        let cells: Vec<String> = cells.iter().map(|text| csv_cell(text)).collect();
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    };
    for module in &rows.modules {
        for row in &module.routes {
            let scope = row.scope.as_deref().unwrap_or("");
            for (role, access) in rows.roles.iter().zip(&row.cells) {
                let (methods, also) = (methods(row), also(row));
                line([
                    "route",
                    &module.name,
                    &methods,
                    &row.path,
                    scope,
                    &also,
                    &role.name,
                    access.word(),
                ]);
            }
        }
        for row in &module.classes {
            for (role, sight) in rows.roles.iter().zip(&row.cells) {
                line([
                    "fields",
                    &module.name,
                    "",
                    &row.name,
                    row.mask.word(),
                    "",
                    &role.name,
                    sight.word(),
                ]);
            }
        }
    }
    out
}

/// One cell (RFC 4180). A spreadsheet runs what begins like a formula, so that does not begin a cell.
fn csv_cell(text: &str) -> String {
    let mut plain = text.to_owned();
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        plain.insert(0, '\'');
    }
    if plain.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", plain.replace('"', "\"\""));
    }
    plain
}

fn to_json(rows: &Rows) -> Value {
    let roles = rows.roles.iter().map(
        |role| json!({ "name": &*role.name, "only_from_addresses": role.addressed, "conflicting": role.conflicting }),
    );
    let modules = rows.modules.iter().map(|module| module_to_json(rows, module));
    json!({ "roles": roles.collect::<Vec<_>>(), "modules": modules.collect::<Vec<_>>() })
}

fn module_to_json(rows: &Rows, module: &ModuleRows) -> Value {
    let by_role = |words: &mut dyn Iterator<Item = &'static str>| -> Value {
        let pairs = rows.roles.iter().zip(words);
        Value::Object(pairs.map(|(role, word)| (role.name.to_string(), json!(word))).collect())
    };
    let routes = module.routes.iter().map(|row| {
        json!({
            "path": &*row.path,
            "methods": row.methods.iter().map(http::Method::as_str).collect::<Vec<_>>(),
            "scope": row.scope.as_deref(),
            "public": row.scope.is_none(),
            "jurisdiction": row.jurisdiction,
            "conditions": row.conditions,
            "idempotency_key": row.key_required,
            "if_match": row.if_match,
            "schema": row.schema.as_deref(),
            "shadow": row.shadow,
            "roles": by_role(&mut row.cells.iter().map(|access| access.word())),
        })
    });
    let fields = module.classes.iter().map(|row| {
        json!({
            "class": &*row.name,
            "mask": row.mask.word(),
            "roles": by_role(&mut row.cells.iter().map(|sight| sight.word())),
        })
    });
    json!({
        "module": &*module.name,
        "prefixes": module.prefixes,
        "answers": module.answers,
        "routes": routes.collect::<Vec<_>>(),
        "fields": fields.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_cell_and_no_formula() {
        for (text, cell) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\nb", "\"a\nb\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (
                "=HYPERLINK(\"http://x\",\"y\")",
                "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"",
            ),
            ("", ""),
        ] {
            assert_eq!(csv_cell(text), cell, "{text:?}");
        }
        assert_eq!(cell("a|b\\"), "a\\|b\\\\");
    }
}
