//! How fast masking is, beside the obvious way: parse into a tree, into records or into
//! events, drop members, columns or elements, print it again.
//!
//! `cargo bench --bench masking` prints a table; without `--bench` (as `cargo test --all-targets` runs it) every row
//! is run once, to see that it works.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_xml::events::{BytesStart, Event};
use serde_json::Value;
use simd_json::prelude::Writable as _;
use sonic_rs::JsonValueMutTrait as _;
use tollgate::masking::{Action, Charset, ClassId, Dialect, FieldRule, Format, Mask, Masker, Selectors};

/// As a body comes off a socket.
const CHUNK: usize = 16 * 1024;
/// How long one row is measured.
const TIME: Duration = Duration::from_millis(600);

const NAMES: [&str; 5] = [
    "ssn",
    "phone",
    "date_of_birth",
    "assistance_eligibility",
    "subsidy_tier",
];

fn main() -> Result<(), Box<dyn Error>> {
    let time = if std::env::args().any(|arg| arg == "--bench") {
        TIME
    } else {
        Duration::ZERO
    };
    let by_name = mask(&NAMES, &[])?;
    let by_path = mask(&NAMES, &["/accounts/*/customer/address", "/**/contact/email"])?;
    let thousand: Vec<String> = (0..995).map(|at| format!("field_{at}_of_the_policy")).collect();
    let thousand: Vec<&str> = thousand.iter().map(String::as_str).chain(NAMES).collect();
    let thousand = mask(&thousand, &[])?;
    let pretty = |rows| serde_json::to_string_pretty(&serde_json::from_str::<Value>(&accounts(rows))?);
    let rows = [
        ("one account, 0.8 KB", accounts(2), &by_name),
        ("one account, with paths", accounts(2), &by_path),
        ("compact, 4 MB", accounts(10_000), &by_name),
        ("compact, 64 KB", accounts(156), &by_name),
        ("compact, 100 MB", accounts(240_000), &by_name),
        ("compact, a thousand names", accounts(10_000), &thousand),
        ("compact, with paths", accounts(10_000), &by_path),
        ("pretty, 7 MB", pretty(10_000)?, &by_name),
        ("text, 4 MB", notes(4_000), &by_name),
        ("numbers, 4 MB", readings(100_000), &by_name),
    ];
    println!(
        "{:<26} {:>10} {:>12} {:>22} {:>12} {:>12} {:>12}",
        "", "bytes", "masking", "sonic-rs", "simd-json", "serde_json", "memcpy"
    );
    for (name, body, mask) in &rows {
        let rate = |each: Duration| body.len() as f64 / each.as_secs_f64() / 1e6;
        let masking = masked(time, body, mask, Format::Json)?;
        let [sonic, simd, serde, copy] = [
            measure(time, || sonic(body))?,
            measure(time, || simd(body))?,
            measure(time, || serde(body))?,
            measure(time, || {
                black_box(black_box(body.as_bytes()).to_vec());
                Ok(())
            })?,
        ];
        println!(
            "{name:<26} {:>10} {:>7.0} MB/s {:>9.2} µs {:>7.0} MB/s {:>7.0} MB/s {:>7.0} MB/s {:>7.0} MB/s",
            body.len(),
            rate(masking),
            masking.as_secs_f64() * 1e6,
            rate(sonic),
            rate(simd),
            rate(serde),
            rate(copy),
        );
    }
    let tables = [
        ("CSV, plain, 4 MB", export(40_000, ""), &by_name),
        ("CSV, all quoted, 5 MB", export(40_000, "\""), &by_name),
        ("CSV, nothing to mask", export(40_000, ""), &mask(&["nothing"], &[])?),
    ];
    head("csv");
    for (name, body, mask) in &tables {
        let masking = masked(time, body, mask, Format::Csv(Dialect::default()))?;
        let read_and_written = measure(time, || drop_columns(black_box(body.as_bytes())))?;
        row(name, body.len(), masking, read_and_written);
    }
    let documents = [
        ("XML, elements, 4 MB", elements(12_000), &by_name),
        ("XML, attributes, 3 MB", attributes(20_000), &by_name),
        ("XML, with paths", elements(12_000), &by_path),
    ];
    head("quick-xml");
    for (name, body, mask) in &documents {
        let masking = masked(time, body, mask, Format::Xml(Charset::Utf8))?;
        let read_and_written = measure(time, || drop_elements(black_box(body)))?;
        row(name, body.len(), masking, read_and_written);
    }
    Ok(())
}

fn head(peer: &str) {
    println!("{:<26} {:>10} {:>12} {:>12} {peer:>12}", "", "bytes", "masking", "");
}

fn row(name: &str, bytes: usize, masking: Duration, peer: Duration) {
    let rate = |each: Duration| bytes as f64 / each.as_secs_f64() / 1e6;
    println!(
        "{name:<26} {bytes:>10} {:>7.0} MB/s {:>9.2} µs {:>7.0} MB/s",
        rate(masking),
        masking.as_secs_f64() * 1e6,
        rate(peer)
    );
}

fn masked(time: Duration, body: &str, mask: &Mask, format: Format) -> Result<Duration, Box<dyn Error>> {
    let mut out = Vec::with_capacity(body.len() + CHUNK);
    measure(time, || {
        out.clear();
        let mut masker = Masker::new(mask.clone(), format);
        for chunk in body.as_bytes().chunks(CHUNK) {
            masker.feed(black_box(chunk), &mut out)?;
        }
        masker.finish(&mut out)?;
        black_box(&out);
        Ok(())
    })
}

/// The best of batches of about a twentieth of `time`: what else the machine does only ever adds.
fn measure(time: Duration, mut run: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let first = Instant::now();
    run()?;
    let batch = (time.as_nanos() / 20 / first.elapsed().as_nanos().max(1)).clamp(1, 100_000);
    let batch = u32::try_from(batch)?;
    let mut best = Duration::MAX;
    let start = Instant::now();
    while best == Duration::MAX || start.elapsed() < time {
        let batch_start = Instant::now();
        for _ in 0..batch {
            run()?;
        }
        best = best.min(batch_start.elapsed() / batch);
    }
    Ok(best)
}

fn mask(names: &[&str], paths: &[&str]) -> Result<Mask, Box<dyn Error>> {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    let rule = FieldRule {
        class: ClassId(0),
        names: owned(names),
        columns: Vec::new(),
        exact: false,
        paths: owned(paths),
    };
    Ok(Mask {
        selectors: Arc::new(Selectors::compile(&[rule])?),
        actions: [Some(Action::Remove)].into(),
        rows: None,
        home: None,
    })
}

/// The obvious way: parse into a tree, drop members, print it again.
fn serde(body: &str) -> Result<(), Box<dyn Error>> {
    let mut value: Value = serde_json::from_slice(black_box(body.as_bytes()))?;
    drop_members(&mut value);
    black_box(serde_json::to_vec(&value)?);
    Ok(())
}

/// The same with the fastest trees that there are. Both want the whole body at once.
fn sonic(body: &str) -> Result<(), Box<dyn Error>> {
    fn drop_members(value: &mut sonic_rs::Value) {
        if let Some(members) = value.as_object_mut() {
            for name in NAMES {
                members.remove(&name);
            }
            members.iter_mut().for_each(|(_, value)| drop_members(value));
        } else if let Some(elements) = value.as_array_mut() {
            elements.iter_mut().for_each(drop_members);
        }
    }
    let mut value: sonic_rs::Value = sonic_rs::from_slice(black_box(body.as_bytes()))?;
    drop_members(&mut value);
    black_box(sonic_rs::to_vec(&value)?);
    Ok(())
}

fn simd(body: &str) -> Result<(), Box<dyn Error>> {
    fn drop_members(value: &mut simd_json::BorrowedValue<'_>) {
        match value {
            simd_json::BorrowedValue::Object(members) => {
                members.retain(|name, _| !NAMES.contains(&name.as_ref()));
                members.values_mut().for_each(drop_members);
            }
            simd_json::BorrowedValue::Array(elements) => elements.iter_mut().for_each(drop_members),
            _ => {}
        }
    }
    // It reads in place, and so needs a copy of its own.
    let mut bytes = black_box(body.as_bytes()).to_vec();
    let mut value = simd_json::to_borrowed_value(&mut bytes)?;
    drop_members(&mut value);
    black_box(value.encode());
    Ok(())
}

/// The best case of the tree: names are compared as they are.
fn drop_members(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !NAMES.contains(&name.as_str()));
            members.values_mut().for_each(drop_members);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_members),
        _ => {}
    }
}

/// The same with a reader and a writer of events.
fn drop_elements(body: &str) -> Result<(), Box<dyn Error>> {
    let mut reader = quick_xml::Reader::from_str(body);
    let mut writer = quick_xml::Writer::new(Vec::with_capacity(body.len()));
    loop {
        match reader.read_event()? {
            Event::Eof => break,
            Event::Start(tag) if is_named(tag.local_name().as_ref()) => {
                reader.read_to_end(tag.name())?;
            }
            Event::Empty(tag) if is_named(tag.local_name().as_ref()) => {}
            Event::Start(tag) => writer.write_event(Event::Start(without_attributes(&tag)?))?,
            Event::Empty(tag) => writer.write_event(Event::Empty(without_attributes(&tag)?))?,
            event => writer.write_event(event)?,
        }
    }
    black_box(writer.into_inner());
    Ok(())
}

fn is_named(name: &str) -> bool {
    NAMES.contains(&name)
}

fn without_attributes(tag: &BytesStart<'_>) -> Result<BytesStart<'static>, Box<dyn Error>> {
    let mut stays = BytesStart::new(tag.name().as_ref().to_owned());
    for attribute in tag.attributes() {
        let attribute = attribute?;
        if !is_named(attribute.key.local_name().as_ref()) {
            stays.push_attribute(attribute);
        }
    }
    Ok(stays)
}

/// Accounts as elements.
fn elements(rows: usize) -> String {
    let mut text = String::from("<?xml version=\"1.0\"?>\n<b:accounts xmlns:b=\"urn:b\">\n");
    for at in 0..rows {
        text.push_str(&format!(
            "  <b:account id=\"A-{at}\">\n    <b:customer><b:name>O&apos;Neill, Dana {at}</b:name><b:ssn>078-05-{at:04}</b:ssn>\
             <b:address>1 Main Street, Springfield</b:address></b:customer>\n    <b:balance currency=\"USD\">{at}.50</b:balance>\n\
             <b:subsidy_tier>T{}</b:subsidy_tier>\n    <b:status>open</b:status>\n  </b:account>\n",
            at % 5
        ));
    }
    text + "</b:accounts>\n"
}

/// The same as attributes.
fn attributes(rows: usize) -> String {
    let mut text = String::from("<accounts>");
    for at in 0..rows {
        text.push_str(&format!(
            "<account id=\"A-{at}\" name=\"Dana {at}\" ssn=\"078-05-{at:04}\" balance=\"{at}.50\" currency=\"USD\" \
             subsidy_tier=\"T{}\" status=\"open\" opened=\"2026-01-01\"/>",
            at % 5
        ));
    }
    text + "</accounts>"
}

/// The same with a reader and a writer of records.
fn drop_columns(body: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(body);
    let mut writer = csv::Writer::from_writer(Vec::with_capacity(body.len()));
    let mut record = csv::ByteRecord::new();
    let mut stays: Vec<bool> = Vec::new();
    while reader.read_byte_record(&mut record)? {
        if stays.is_empty() {
            stays = record
                .iter()
                .map(|name| !NAMES.iter().any(|own| own.as_bytes() == name))
                .collect();
        }
        for (field, _) in record.iter().zip(&stays).filter(|(_, stays)| **stays) {
            writer.write_field(field)?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    black_box(writer.into_inner()?);
    Ok(())
}

fn export(rows: usize, quote: &str) -> String {
    let line = |fields: &[&str]| {
        let fields: Vec<String> = fields.iter().map(|field| format!("{quote}{field}{quote}")).collect();
        fields.join(",") + "\r\n"
    };
    let mut out = line(&[
        "account_id",
        "status",
        "balance",
        "ssn",
        "name",
        "street",
        "zip",
        "phone",
        "tariff",
    ]);
    for at in 0..rows {
        out.push_str(&line(&[
            &format!("AC-{at:07}"),
            "active",
            &format!("{}.10", at * 37),
            &format!("123-45-{:04}", at % 10_000),
            "Dolores O'Neill-Ramirez",
            "1200 Congress Ave",
            "78701",
            "+1 512 555 0100",
            "R-2",
        ]));
    }
    out
}

fn accounts(rows: usize) -> String {
    let row = |at: usize| {
        format!(
            r#"{{"account_id":"AC-{at:07}","status":"active","balance":{}.10,"currency":"USD","ssn":"123-45-{:04}","customer":{{"name":"Dolores O'Neill-Ramirez","phone":"+1 512 555 0100","address":{{"street":"1200 Congress Ave","zip":"78701"}},"contact":{{"email":"d@example.org","preferred":true}}}},"tariff":"R-2","meters":[{{"serial":"M{at}","read":18273.25}}],"assistance_eligibility":{{"program":"CEAP","tier":2}},"last_payment":null}}"#,
            at * 37,
            at % 10_000
        )
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(r#"{{"accounts":[{}],"next":null}}"#, rows.join(","))
}

fn notes(rows: usize) -> String {
    let text = "The customer called about the March bill; the reading was estimated, and a new one is due. ".repeat(11);
    let row = |at: usize| format!(r#"{{"id":{at},"note":"{text}\n— é","ssn":"123-45-6789"}}"#);
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("[{}]", rows.join(","))
}

fn readings(rows: usize) -> String {
    let row = |at: usize| format!(r#"[{at},{}.25,-0.5,1e{},12345678901234567890]"#, at * 13, at % 30);
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(r#"{{"readings":[{}]}}"#, rows.join(","))
}
