//! Properties of CSV masking: against a reference that masks a table, and read again by another reader.

use proptest::prelude::*;

use super::csv::CSV;
use super::properties::chunked;
use super::{mask, run};
use crate::masking::{Delimiter, Dialect, Format, fold};

/// A table as written: by record its fields and its line end. No field is nothing where it is the only one: other readers
/// skip blank lines.
#[derive(Clone, Debug)]
struct Table {
    records: Vec<(Vec<String>, &'static str)>,
    delimiter: char,
}

impl Table {
    fn text(&self) -> String {
        let mut text = String::new();
        for (fields, end) in &self.records {
            text.push_str(&fields.join(&self.delimiter.to_string()));
            text.push_str(end);
        }
        text
    }

    fn format(&self) -> Format {
        Format::Csv(Dialect {
            delimiter: Delimiter::named(if self.delimiter == '\t' {
                "tab"
            } else {
                self.separator()
            })
            .unwrap(),
            ..Dialect::default()
        })
    }

    fn separator(&self) -> &'static str {
        match self.delimiter {
            ';' => ";",
            '|' => "|",
            _ => ",",
        }
    }
}

/// What a field says.
fn meant(raw: &str) -> String {
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => raw.to_owned(),
    }
}

fn header_field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-d]",
        1 => "[ ]?[A-D]_?[ ]?",
        1 => "\"[ \t]{0,2}-?[a-d][ \t]{0,2}\"",
        1 => "\"[e-h,;|\n]{1,4}\"",
        1 => "[e-h]{1,3}",
    ]
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ !#-+\\--:<-{}é€😀]{1,12}",
        2 => "\"([ -!#-~\r\n\té€]|\"\"){0,12}\"",
        1 => "[0-9]{8,40}",
    ]
}

fn table() -> impl Strategy<Value = Table> {
    let delimiter = prop_oneof![Just(','), Just(';'), Just('|'), Just('\t')];
    (1..6_usize, delimiter).prop_flat_map(|(columns, delimiter)| {
        let end = prop_oneof![Just("\n"), Just("\r\n")];
        let header = prop::collection::vec(header_field(), columns);
        let empty = move |field: String, blank: bool| if blank && columns > 1 { String::new() } else { field };
        let one = (field(), prop::bool::weighted(0.2)).prop_map(move |(field, blank)| empty(field, blank));
        let record = (prop::collection::vec(one, columns), end.clone());
        (header, end, prop::collection::vec(record, 0..6), any::<bool>()).prop_map(
            move |(header, end, records, closed)| {
                let mut records: Vec<_> = std::iter::once((header, end)).chain(records).collect();
                if !closed && let Some(last) = records.last_mut() {
                    last.1 = "";
                }
                Table { records, delimiter }
            },
        )
    })
}

/// `r`, `n` or `x`, and the columns that are hidden.
fn rules() -> impl Strategy<Value = (char, Vec<char>)> {
    let kind = prop_oneof![Just('r'), Just('n'), Just('x')];
    (
        kind,
        prop::collection::vec(prop_oneof![Just('a'), Just('b'), Just('c')], 1..3),
    )
}

fn is_hidden(raw: &str, hidden: &[char]) -> bool {
    let name = fold(meant(raw).trim_matches([' ', '\t']));
    hidden.iter().any(|hidden| name == hidden.to_string())
}

/// The reference: the whole table in memory, field by field.
fn reference(table: &Table, kind: char, hidden: &[char]) -> (String, u32) {
    let goes: Vec<bool> = table.records[0].0.iter().map(|raw| is_hidden(raw, hidden)).collect();
    let kept = goes.iter().filter(|goes| kind != 'r' || !**goes).count();
    let mut masked = Table {
        records: Vec::new(),
        delimiter: table.delimiter,
    };
    for (at, (fields, end)) in table.records.iter().enumerate() {
        let fields = fields.iter().zip(&goes).filter_map(|(raw, goes)| match (goes, kind) {
            (true, 'r') => None,
            (true, 'n') if at > 0 => Some(if kept == 1 { "\"\"" } else { "" }.to_owned()),
            (true, 'x') if at > 0 => Some("[REDACTED]".to_owned()),
            _ => Some(raw.clone()),
        });
        masked.records.push((fields.collect(), *end));
    }
    let fields = goes.iter().filter(|goes| **goes).count() * (table.records.len() - 1);
    (masked.text(), u32::try_from(fields).unwrap())
}

/// What another reader makes of it.
fn read(text: &[u8], delimiter: char) -> Vec<Vec<String>> {
    csv::ReaderBuilder::new()
        .delimiter(u8::try_from(delimiter).unwrap())
        .has_headers(false)
        .from_reader(text)
        .records()
        .map(|record| record.unwrap().iter().map(str::to_owned).collect())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_is_masked_as_the_reference_does_it(
        table in table(), (kind, hidden) in rules(), sizes in prop::collection::vec(1..9_usize, 1..5),
    ) {
        let words: Vec<String> = hidden.iter().enumerate()
            .map(|(at, name)| if at == 0 { name.to_string() } else { format!("|{name}") }).collect();
        let mask = mask(&format!("{kind} {}", words.join(" ")));
        let text = table.text();
        let (expected, count) = reference(&table, kind, &hidden);
        let whole = run(&mask, table.format(), [text.as_bytes()]);
        prop_assert_eq!(&whole.end, &Ok(()), "{:?}", text);
        prop_assert_eq!(String::from_utf8_lossy(&whole.out), expected, "{:?}", text);
        prop_assert_eq!(&whole.tally, &vec![count]);
        prop_assert_eq!(&run(&mask, table.format(), chunked(text.as_bytes(), &sizes)), &whole);

        // What another reader finds: all that was there in the columns that stay, and nothing of the others.
        let mut before = read(text.as_bytes(), table.delimiter);
        let after = read(&whole.out, table.delimiter);
        let stays: Vec<usize> = (0..table.records[0].0.len())
            .filter(|at| kind != 'r' || !is_hidden(&table.records[0].0[*at], &hidden)).collect();
        if let ([at], 'r') = (stays.as_slice(), kind) {
            // One column that has nothing is a blank line, and this reader skips it.
            let blank = |fields: &[String]| fields[*at].is_empty();
            let mut lines = table.records.iter();
            before.retain(|_| !lines.next().is_some_and(|(fields, _)| blank(fields)));
        }
        if stays.is_empty() {
            prop_assert_eq!(after.len(), 0);
        } else {
            prop_assert_eq!(after.len(), before.len());
        }
        for (line, record) in after.iter().enumerate() {
            prop_assert_eq!(record.len(), stays.len());
            for (field, from) in record.iter().zip(&stays) {
                let goes = line > 0 && is_hidden(&table.records[0].0[*from], &hidden);
                match kind {
                    'n' if goes => prop_assert_eq!(field, ""),
                    'x' if goes => prop_assert_eq!(field, "[REDACTED]"),
                    _ => prop_assert_eq!(field, &before[line][*from]),
                }
            }
        }
    }

    #[test]
    fn a_canary_in_a_hidden_column_never_leaves(
        table in table(), kind in prop_oneof![Just('r'), Just('n'), Just('x')], sizes in prop::collection::vec(1..9_usize, 1..5),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut table = table;
        let goes: Vec<bool> = table.records[0].0.iter().map(|raw| is_hidden(raw, &['a', 'b', 'c', 'd'])).collect();
        for (fields, _) in table.records.iter_mut().skip(1) {
            for (field, _) in fields.iter_mut().zip(&goes).filter(|(_, goes)| **goes) {
                *field = "\"CANARY\"".to_owned();
            }
        }
        // Broken after the header, it is refused or still keeps its secret.
        let mut text = table.text().into_bytes();
        let header = text.len() - Table { records: table.records[1..].to_vec(), ..table.clone() }.text().len();
        if header < text.len() {
            for (place, byte) in noise {
                let place = header + place.index(text.len() - header);
                let harmless = byte != b'\n' && byte != table.delimiter as u8;
                if harmless {
                    text[place] = byte;
                }
            }
        }
        let mask = mask(&format!("{kind} a b c d"));
        let whole = run(&mask, table.format(), [text.as_slice()]);
        prop_assert!(!String::from_utf8_lossy(&whole.out).contains("CANARY"), "{:?}", String::from_utf8_lossy(&text));
        prop_assert_eq!(&run(&mask, table.format(), chunked(&text, &sizes)), &whole);
    }

    #[test]
    fn whatever_comes_is_masked_or_refused_however_it_is_cut(
        input in "[ab,\"\n\r; \té\u{feff}]{0,60}", rules in "[rnx] a( b)?(; [rnx] b)?",
        sizes in prop::collection::vec(1..5_usize, 1..5),
    ) {
        let mask = mask(&rules);
        for format in [CSV, Format::Tsv(crate::masking::Charset::Utf8)] {
            let whole = run(&mask, format, [input.as_bytes()]);
            prop_assert_eq!(&run(&mask, format, chunked(input.as_bytes(), &sizes)), &whole);
            let nothing = run(&super::mask("v z"), format, [input.as_bytes()]);
            prop_assert_eq!(&nothing.end, &whole.end);
            prop_assert!(input.as_bytes().starts_with(&nothing.out));
        }
    }
}
