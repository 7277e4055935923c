//! Paths: what is taken for one must be the same to every reader, however often it decodes.

use tollgate::call::path::Path;

use crate::escapes::percent_decoded;

/// The bytes are a request target as it came off the wire.
pub(crate) fn run(data: &[u8]) {
    let Ok(target) = std::str::from_utf8(data) else { return };
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if let Ok(path) = Path::parse(path) {
        hold(&path);
    }
}

fn hold(path: &Path) {
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
