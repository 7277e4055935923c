//! Which media types can be masked (RFC 9110, 8.3.1). Strict: what cannot be read in one way only is no type at all.

use super::charset::Charset;

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON text: `application/json`, and any subtype that ends in `+json` (RFC 6839, 3.1).
    Json,
    /// One JSON text per line; blank lines count for nothing.
    JsonLines,
    /// JSON texts, each after an RS and before an LF: `application/json-seq` (RFC 7464), and any subtype that ends in
    /// `+json-seq` (RFC 8091).
    JsonSequence,
    /// Records of separated fields, the first a header (RFC 4180): `text/csv`.
    Csv(Dialect),
    /// The same with tabs: `text/tab-separated-values`.
    Tsv(Charset),
    /// One XML document: `application/xml`, `text/xml`, and any subtype that ends in `+xml` (RFC 7303).
    Xml(Charset),
}

/// What a module says of its text bodies, since their `Content-Type` does not. JSON is none of them; XML has a charset only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// What stands between the fields of CSV.
    pub delimiter: Delimiter,
    /// The charset of a body that names none; one that names another cannot be read.
    pub charset: Charset,
}

/// What stands between the fields of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delimiter {
    /// `,`
    #[default]
    Comma,
    /// `;`
    Semicolon,
    /// `|`
    Pipe,
    /// A tab.
    Tab,
}

impl Delimiter {
    /// Every delimiter as an author writes it.
    pub const WORDS: &'static [&'static str] = &[",", ";", "|", "tab"];

    /// The delimiter that an author writes so.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "," => Some(Self::Comma),
            ";" => Some(Self::Semicolon),
            "|" => Some(Self::Pipe),
            "tab" => Some(Self::Tab),
            _ => None,
        }
    }

    /// As an author writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Comma => ",",
            Self::Semicolon => ";",
            Self::Pipe => "|",
            Self::Tab => "tab",
        }
    }

    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Pipe => b'|',
            Self::Tab => b'\t',
        }
    }
}

impl Format {
    /// The format that a `Content-Type` names; `None` for any other type, a charset that it may not have, a charset
    /// given twice, CSV without a header (RFC 7111, 5.1), and whatever is malformed. JSON is UTF-8, whatever the dialect.
    pub fn of(content_type: &[u8], dialect: Dialect) -> Option<Self> {
        if content_type == b"application/json" {
            return Some(Self::Json);
        }
        let MediaType {
            essence,
            charset,
            header,
        } = parse(content_type)?;
        let is_in = |wanted: Charset| {
            charset
                .as_deref()
                .is_none_or(|label| Charset::of_label(label) == Some(wanted))
        };
        let format = match essence.as_str() {
            "text/csv" | "text/tab-separated-values" => {
                let headed = header
                    .as_deref()
                    .is_none_or(|value| value.eq_ignore_ascii_case(b"present"));
                let format = match essence.as_str() {
                    "text/csv" => Self::Csv(dialect),
                    _ => Self::Tsv(dialect.charset),
                };
                return (headed && is_in(dialect.charset)).then_some(format);
            }
            "application/xml" | "text/xml" => return is_in(dialect.charset).then_some(Self::Xml(dialect.charset)),
            "application/json" => Self::Json,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Self::JsonLines
            }
            "application/json-seq" => Self::JsonSequence,
            other => {
                let (_, subtype) = other.split_once('/')?;
                let (facets, suffix) = subtype.rsplit_once('+')?;
                match suffix {
                    _ if facets.is_empty() => return None,
                    "json" => Self::Json,
                    "json-seq" => Self::JsonSequence,
                    "xml" => return is_in(dialect.charset).then_some(Self::Xml(dialect.charset)),
                    _ => return None,
                }
            }
        };
        is_in(Charset::Utf8).then_some(format)
    }

    /// The charset that a body of this format is written in.
    #[must_use]
    pub const fn charset(self) -> Charset {
        match self {
            Self::Json | Self::JsonLines | Self::JsonSequence => Charset::Utf8,
            Self::Csv(dialect) => dialect.charset,
            Self::Tsv(charset) | Self::Xml(charset) => charset,
        }
    }
}

/// Type and subtype in lower case, without parameters; `None` if the field value is malformed.
pub fn media_type(content_type: &[u8]) -> Option<String> {
    parse(content_type).map(|parsed| parsed.essence)
}

struct MediaType {
    essence: String,
    charset: Option<Vec<u8>>,
    header: Option<Vec<u8>>,
}

fn parse(field: &[u8]) -> Option<MediaType> {
    let mut rest = trim(field);
    let kind = token(&mut rest)?;
    expect(&mut rest, b'/')?;
    let subtype = token(&mut rest)?;
    let essence = String::from_utf8([kind, b"/", subtype].concat())
        .ok()?
        .to_ascii_lowercase();
    let (mut charset, mut header) = (None, None);
    loop {
        rest = trim(rest);
        if rest.is_empty() {
            return Some(MediaType {
                essence,
                charset,
                header,
            });
        }
        expect(&mut rest, b';')?;
        rest = trim(rest);
        if matches!(rest.first(), None | Some(b';')) {
            continue;
        }
        let name = token(&mut rest)?;
        expect(&mut rest, b'=')?;
        let value = match rest.first() {
            Some(b'"') => quoted(&mut rest)?,
            _ => token(&mut rest)?.to_vec(),
        };
        let known = if name.eq_ignore_ascii_case(b"charset") {
            &mut charset
        } else if name.eq_ignore_ascii_case(b"header") {
            &mut header
        } else {
            continue;
        };
        if known.replace(value).is_some() {
            return None;
        }
    }
}

/// Without the optional whitespace (RFC 9110, 5.6.3) at both ends.
fn trim(mut field: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t', rest)) = field.split_first() {
        field = rest;
    }
    while let Some((b' ' | b'\t', rest)) = field.split_last() {
        field = rest;
    }
    field
}

fn expect(rest: &mut &[u8], wanted: u8) -> Option<()> {
    let (&first, tail) = rest.split_first()?;
    *rest = tail;
    (first == wanted).then_some(())
}

/// RFC 9110, 5.6.2.
fn token<'f>(rest: &mut &'f [u8]) -> Option<&'f [u8]> {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = rest.iter().position(|byte| !is_tchar(byte)).unwrap_or(rest.len());
    let (token, tail) = rest.split_at_checked(end)?;
    *rest = tail;
    (!token.is_empty()).then_some(token)
}

/// RFC 9110, 5.6.4, unescaped.
fn quoted(rest: &mut &[u8]) -> Option<Vec<u8>> {
    expect(rest, b'"')?;
    let mut text = Vec::new();
    loop {
        let (&first, tail) = rest.split_first()?;
        *rest = tail;
        match first {
            b'"' => return Some(text),
            b'\\' => {
                let (&escaped, tail) = rest.split_first()?;
                *rest = tail;
                text.push(printable(escaped)?);
            }
            plain => text.push(printable(plain)?),
        }
    }
}

fn printable(byte: u8) -> Option<u8> {
    (byte == b'\t' || (byte >= b' ' && byte != 0x7f)).then_some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_read_strictly() {
        use Format::{Json, JsonLines, JsonSequence};
        for (field, format, essence) in [
            ("application/json", Some(Json), Some("application/json")),
            ("APPLICATION/JSON", Some(Json), Some("application/json")),
            (" application/json\t", Some(Json), Some("application/json")),
            ("application/json;charset=utf-8", Some(Json), Some("application/json")),
            (
                "application/json ; Charset=\"UTF-8\"",
                Some(Json),
                Some("application/json"),
            ),
            (
                "application/json;charset=\"utf\\-8\"",
                Some(Json),
                Some("application/json"),
            ),
            ("application/json;", Some(Json), Some("application/json")),
            ("application/json;;charset=utf-8;", Some(Json), Some("application/json")),
            (
                "application/json; profile=\"a;charset=x,\\\"\"",
                Some(Json),
                Some("application/json"),
            ),
            ("application/problem+json", Some(Json), Some("application/problem+json")),
            (
                "application/vnd.city.v2+JSON; v=2",
                Some(Json),
                Some("application/vnd.city.v2+json"),
            ),
            ("model/gltf+json", Some(Json), Some("model/gltf+json")),
            ("application/x-ndjson", Some(JsonLines), Some("application/x-ndjson")),
            ("application/NDJSON", Some(JsonLines), Some("application/ndjson")),
            ("application/jsonl", Some(JsonLines), Some("application/jsonl")),
            (
                "application/x-jsonlines; charset=utf-8",
                Some(JsonLines),
                Some("application/x-jsonlines"),
            ),
            ("application/json;charset=utf-16", None, Some("application/json")),
            ("application/json;charset=utf8", None, Some("application/json")),
            ("application/json;charset=\"\"", None, Some("application/json")),
            ("application/json-seq", Some(JsonSequence), Some("application/json-seq")),
            (
                "Application/GEO+JSON-SEQ",
                Some(JsonSequence),
                Some("application/geo+json-seq"),
            ),
            (
                "application/json-seq;charset=latin1",
                None,
                Some("application/json-seq"),
            ),
            ("application/+json-seq", None, Some("application/+json-seq")),
            ("application/json-seqs", None, Some("application/json-seqs")),
            ("application/a+json-seq+x", None, Some("application/a+json-seq+x")),
            ("application/+json", None, Some("application/+json")),
            ("application/jsonp", None, Some("application/jsonp")),
            ("text/json", None, Some("text/json")),
            ("text/html", None, Some("text/html")),
            ("application/json+gzip", None, Some("application/json+gzip")),
            ("application/json;charset=utf-8;charset=utf-8", None, None),
            ("application/json;charset=utf-8;CHARSET=utf-16", None, None),
            ("application/json, text/html", None, None),
            ("application/json;charset", None, None),
            ("application/json;charset=", None, None),
            ("application/json;charset =utf-8", None, None),
            ("application/json;charset= utf-8", None, None),
            ("application/json;charset=\"utf-8", None, None),
            ("application/json;charset=\"utf-8\"x", None, None),
            ("application/json;charset=\"utf\n8\"", None, None),
            ("application/json charset=utf-8", None, None),
            ("application /json", None, None),
            ("application/", None, None),
            ("application", None, None),
            ("/json", None, None),
            ("*", None, None),
            ("", None, None),
            ("application/j\u{e9}son", None, None),
        ] {
            for dialect in [Dialect::default(), dialect("windows-1252", Delimiter::Semicolon)] {
                assert_eq!(Format::of(field.as_bytes(), dialect), format, "{field}");
            }
            assert_eq!(media_type(field.as_bytes()).as_deref(), essence, "{field}");
        }
    }

    fn dialect(charset: &str, delimiter: Delimiter) -> Dialect {
        Dialect {
            delimiter,
            charset: Charset::named(charset).unwrap(),
        }
    }

    #[test]
    fn a_table_is_read_in_the_dialect_of_its_module() {
        let latin = dialect("iso-8859-1", Delimiter::Semicolon);
        let plain = Dialect::default();
        for (field, dialect, read) in [
            ("text/csv", plain, true),
            ("Text/CSV", plain, true),
            ("text/csv;charset=utf-8", plain, true),
            ("text/csv;charset=\"UTF-8\"; header=present", plain, true),
            ("text/csv;HEADER=Present", plain, true),
            ("text/csv;header=absent", plain, false),
            ("text/csv;header=\"absent\"", plain, false),
            ("text/csv;header=maybe", plain, false),
            ("text/csv;header=", plain, false),
            ("text/csv;header=present;header=present", plain, false),
            ("text/csv;charset=utf-8;charset=utf-8", plain, false),
            ("text/csv;charset=iso-8859-1", plain, false),
            ("text/csv;charset=us-ascii", plain, false),
            ("text/csv;charset=utf8", plain, false),
            ("text/csv;charset=\"\"", plain, false),
            ("text/csv;charset=utf-16", plain, false),
            ("text/csv", latin, true),
            ("text/csv;charset=ISO-8859-1", latin, true),
            ("text/csv;charset=latin1", latin, true),
            ("text/csv;charset=utf-8", latin, false),
            ("text/csv;charset=windows-1252", latin, false),
            ("application/csv", plain, false),
            ("text/x-csv", plain, false),
            ("text/csv+x", plain, false),
            ("text/comma-separated-values", plain, false),
        ] {
            let format = read.then_some(Format::Csv(dialect));
            assert_eq!(Format::of(field.as_bytes(), dialect), format, "{field}");
            let tabs = field
                .replace("csv", "tab-separated-values")
                .replace("CSV", "Tab-Separated-Values");
            let format = read.then_some(Format::Tsv(dialect.charset));
            assert_eq!(Format::of(tabs.as_bytes(), dialect), format, "{tabs}");
        }
        for word in Delimiter::WORDS {
            assert_eq!(Delimiter::named(word).map(Delimiter::word), Some(*word));
        }
    }

    #[test]
    fn a_document_is_read_in_the_charset_of_its_module() {
        let latin = dialect("iso-8859-1", Delimiter::Comma);
        let plain = Dialect::default();
        for (field, dialect, read) in [
            ("application/xml", plain, true),
            ("text/xml", plain, true),
            ("TEXT/XML; Charset=\"UTF-8\"", plain, true),
            ("application/soap+xml; charset=utf-8; action=\"urn:x\"", plain, true),
            ("application/vnd.city+XML", plain, true),
            ("image/svg+xml", plain, true),
            ("application/xml", latin, true),
            ("text/xml;charset=latin1", latin, true),
            ("application/atom+xml;charset=ISO-8859-1", latin, true),
            ("text/xml;charset=utf-8", latin, false),
            ("application/soap+xml;charset=utf-8", latin, false),
            ("text/xml;charset=iso-8859-1", plain, false),
            ("application/soap+xml;charset=utf-16", plain, false),
            ("application/xml;charset=utf-16", plain, false),
            ("application/xml;charset=us-ascii", plain, false),
            ("application/xml;charset=utf-8;charset=utf-8", plain, false),
            ("application/+xml", plain, false),
            ("application/xml-dtd", plain, false),
            ("application/xml-external-parsed-entity", plain, false),
            ("application/xhtml", plain, false),
            ("application/json+xml+zip", plain, false),
            ("xml", plain, false),
        ] {
            let format = read.then_some(Format::Xml(dialect.charset));
            assert_eq!(Format::of(field.as_bytes(), dialect), format, "{field}");
        }
    }
}
