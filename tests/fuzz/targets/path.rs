//! Paths and queries: what is taken for one must be the same to every reader, however often it decodes.

use tollgate::call::path::Path;
use tollgate::call::query::Query;

/// The bytes are a request target as it came off the wire.
pub(crate) fn run(data: &[u8]) {
    let Ok(target) = std::str::from_utf8(data) else { return };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if let Ok(path) = Path::parse(path) {
        hold_path(&path);
    }
    if let Ok(query) = Query::parse(query) {
        hold_query(&query);
    }
}

fn hold_path(path: &Path) {
    let decoded = path.decoded();
    assert!(path.raw().starts_with('/') && path.raw().is_ascii());
    assert!(!decoded.contains("//") && !decoded.contains('\\') && !decoded.contains(char::is_control));
    // Decoding again, as a careless backend does, finds no other segments.
    let mut again = decoded.to_owned();
    for _ in 0..3 {
        again = percent_decoded(&again);
        assert_eq!(again.matches('/').count(), decoded.matches('/').count(), "{again}");
        for segment in again.split('/') {
            let bare = segment.split(';').next().unwrap_or_default();
            assert!(bare != "." && bare != "..", "{again}");
            assert!(!segment.contains('\0') && !segment.contains('\\'), "{again}");
        }
    }
    let joined: String = path.segments().map(|segment| format!("/{segment}")).collect();
    assert_eq!(joined.trim_end_matches('/'), decoded.trim_end_matches('/'));
    assert_eq!(
        Path::parse(path.raw())
            .map(|same| same.decoded().to_owned())
            .ok()
            .as_deref(),
        Some(decoded)
    );
}

fn hold_query(query: &Query) {
    for (name, value) in query.parameters() {
        if let Ok(Some(only)) = query.only(&name) {
            assert_eq!(only, value, "`{name}` has two values");
        }
    }
    let _ = query.dry_run();
}

/// What is no sound escape stays, as lenient readers have it.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = digits
            .filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match byte {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
