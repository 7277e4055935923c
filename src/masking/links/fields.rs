//! Where in a field the links are.

use super::Unreadable;

/// A response header that holds links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The value is one link: `Location`, `Content-Location`.
    Reference,
    /// Seconds, and after them `url=` with a link.
    Refresh,
    /// RFC 8288: links in `<` and `>`, each with parameters, of which `anchor` is a link too.
    Link,
}

impl Field {
    /// The kind of the field with this name, in lower case; `None` if it holds no link.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "location" | "content-location" => Self::Reference,
            "refresh" => Self::Refresh,
            "link" => Self::Link,
            _ => return None,
        })
    }
}

type Clean<'c> = dyn FnMut(&str) -> Result<String, Unreadable> + 'c;

/// The value with every link in it cleaned.
pub(super) fn clean(field: Field, value: &str, link: &mut Clean<'_>) -> Result<String, Unreadable> {
    match field {
        Field::Reference => link(value),
        Field::Refresh => refresh(value, link),
        Field::Link => links(value, link),
    }
}

fn refresh(value: &str, link: &mut Clean<'_>) -> Result<String, Unreadable> {
    let seconds = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (_, rest) = value.split_at_checked(seconds).ok_or(Unreadable)?;
    if seconds == 0 {
        return Err(Unreadable);
    }
    if rest.is_empty() {
        return Ok(value.to_owned());
    }
    let rest = blank(rest).strip_prefix([';', ',']).ok_or(Unreadable)?;
    let rest = blank(rest);
    let named = rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("url"));
    let rest = rest.get(3..).filter(|_| named).ok_or(Unreadable)?;
    let url = blank(blank(rest).strip_prefix('=').ok_or(Unreadable)?);
    let before = value.len() - url.len();
    let (before, _) = value.split_at_checked(before).ok_or(Unreadable)?;
    let cleaned = match url.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inner = url.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
            let inner = inner.filter(|inner| !inner.contains(quote)).ok_or(Unreadable)?;
            format!("{quote}{}{quote}", link(inner)?)
        }
        _ => link(url)?,
    };
    Ok(format!("{before}{cleaned}"))
}

fn links(value: &str, link: &mut Clean<'_>) -> Result<String, Unreadable> {
    let mut reader = Reader {
        rest: value,
        out: String::with_capacity(value.len()),
    };
    loop {
        reader.blank();
        if reader.take('<') {
            let url = reader.rest.split_once('>').ok_or(Unreadable)?.0;
            reader.put(url.len(), &link(url)?)?;
            if !reader.take('>') {
                return Err(Unreadable);
            }
            reader.parameters(link)?;
        }
        if reader.rest.is_empty() {
            return Ok(reader.out);
        }
        // Empty elements of a list count for nothing (RFC 9110, 5.6.1.2).
        if !reader.take(',') {
            return Err(Unreadable);
        }
    }
}

/// Reads a field and writes what is left of it.
struct Reader<'v> {
    rest: &'v str,
    out: String,
}

impl Reader<'_> {
    /// Reads so many bytes and writes others in their place.
    fn put(&mut self, length: usize, text: &str) -> Result<(), Unreadable> {
        let (_, rest) = self.rest.split_at_checked(length).ok_or(Unreadable)?;
        self.out.push_str(text);
        self.rest = rest;
        Ok(())
    }

    fn keep(&mut self, length: usize) -> Result<(), Unreadable> {
        let (kept, rest) = self.rest.split_at_checked(length).ok_or(Unreadable)?;
        self.out.push_str(kept);
        self.rest = rest;
        Ok(())
    }

    fn take(&mut self, wanted: char) -> bool {
        self.rest.starts_with(wanted) && self.keep(wanted.len_utf8()).is_ok()
    }

    fn blank(&mut self) {
        let length = self.rest.len() - blank(self.rest).len();
        let _ = self.keep(length);
    }

    fn token(&mut self) -> Result<String, Unreadable> {
        let is_tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let length = self.rest.find(|c| !is_tchar(c)).unwrap_or(self.rest.len());
        let token = self.rest.get(..length).filter(|token| !token.is_empty());
        let token = token.ok_or(Unreadable)?.to_owned();
        self.keep(length)?;
        Ok(token)
    }

    fn parameters(&mut self, link: &mut Clean<'_>) -> Result<(), Unreadable> {
        loop {
            self.blank();
            if !self.take(';') {
                return Ok(());
            }
            self.blank();
            if self.rest.is_empty() || self.rest.starts_with([';', ',']) {
                continue;
            }
            let name = self.token()?;
            self.blank();
            if !self.take('=') {
                continue;
            }
            self.blank();
            let is_link = name.eq_ignore_ascii_case("anchor");
            if self.take('"') {
                self.quoted(is_link, link)?;
            } else if is_link {
                // A token cannot hold what a link needs; what others make of it is not known.
                return Err(Unreadable);
            } else {
                self.token()?;
            }
        }
    }

    fn quoted(&mut self, is_link: bool, link: &mut Clean<'_>) -> Result<(), Unreadable> {
        let mut escaped = false;
        let end = self.rest.find(|c| match c {
            _ if escaped => {
                escaped = false;
                false
            }
            '\\' => {
                escaped = true;
                false
            }
            c => c == '"',
        });
        let end = end.ok_or(Unreadable)?;
        if is_link {
            let text = self.rest.get(..end).ok_or(Unreadable)?;
            // A backslash is nothing that a link may have.
            let cleaned = link(text)?;
            self.put(end, &cleaned)?;
        } else {
            self.keep(end)?;
        }
        if self.take('"') { Ok(()) } else { Err(Unreadable) }
    }
}

/// Without the whitespace at the start.
fn blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}
