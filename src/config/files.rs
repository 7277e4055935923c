//! The one place where this floor touches the disk: each file is read once, into one buffer, from which it is parsed and
//! hashed. Only regular files, and links to them as Kubernetes makes them: nothing that could block or never end.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// Most files in a policy folder.
pub const MAX_FOLDER_FILES: usize = 256;

/// Most bytes in a policy folder.
pub const MAX_FOLDER_BYTES: u64 = 16 << 20;

/// Why a file cannot be read; follows its name.
pub(super) type Unreadable = String;

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    // Asked before it is opened, because opening a FIFO waits for a writer; and after, because the file may be another one.
    regular(&fs::metadata(path).map_err(|fault| explain(&fault))?)?;
    let file = File::open(path).map_err(|fault| explain(&fault))?;
    regular(&file.metadata().map_err(|fault| explain(&fault))?)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|fault| explain(&fault))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_FILE_BYTES) {
        return Err(format!("is larger than {} MiB", MAX_FILE_BYTES >> 20));
    }
    Ok(bytes)
}

/// Whether a file is there to be read later.
pub(super) fn is_there(path: &Path) -> Result<(), Unreadable> {
    regular(&fs::metadata(path).map_err(|fault| explain(&fault))?)
}

/// Whether users who neither own the file nor are in its group may read it.
pub(super) fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

fn regular(metadata: &Metadata) -> Result<(), Unreadable> {
    if metadata.is_dir() {
        return Err("is a folder, not a file".to_owned());
    }
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    Ok(())
}

fn explain(fault: &io::Error) -> Unreadable {
    match fault.kind() {
        io::ErrorKind::NotFound => "is not there".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        io::ErrorKind::NotADirectory => "is not there: a part of its path is no folder".to_owned(),
        kind => format!("cannot be read: {kind}"),
    }
}

/// What a policy folder holds.
pub(super) struct Folder {
    /// The `*.yaml` in it, by name.
    pub(super) files: Vec<PathBuf>,
    /// `*.yml`, which an author may think to be read.
    pub(super) passed_over: Vec<PathBuf>,
}

/// Lists the files of a policy folder. Names that start with a dot belong to editors and to Kubernetes.
pub(super) fn list(path: &Path) -> Result<Folder, Unreadable> {
    let mut folder = Folder {
        files: Vec::new(),
        passed_over: Vec::new(),
    };
    for entry in fs::read_dir(path).map_err(|fault| explain(&fault))? {
        let name = entry.map_err(|fault| explain(&fault))?.file_name();
        let Some(text) = name.to_str() else { continue };
        if text.starts_with('.') {
            continue;
        }
        let extension = Path::new(text).extension().and_then(|extension| extension.to_str());
        match extension {
            Some("yaml") => folder.files.push(path.join(text)),
            Some("yml") => folder.passed_over.push(path.join(text)),
            _ => {}
        }
        if folder.files.len() > MAX_FOLDER_FILES {
            return Err(format!("has more than {MAX_FOLDER_FILES} `*.yaml` files"));
        }
    }
    folder.files.sort();
    folder.passed_over.sort();
    Ok(folder)
}

/// What tells one state of a set of files from another, without reading them: a swapped link, another file in its place,
/// another length, another time.
pub(super) fn fingerprint<'p>(
    paths: impl Iterator<Item = &'p Path>,
) -> Vec<Option<(PathBuf, u64, std::time::SystemTime)>> {
    paths
        .map(|path| {
            let target = fs::canonicalize(path).ok()?;
            let metadata = fs::metadata(&target).ok()?;
            Some((target, metadata.len(), metadata.modified().ok()?))
        })
        .collect()
}

/// The bytes as text, or line and column (in characters, from 1) of the first that is none.
pub(super) fn text(bytes: &[u8]) -> Result<&str, (u32, u32)> {
    std::str::from_utf8(bytes).map_err(|fault| {
        let (good, _) = bytes.split_at_checked(fault.valid_up_to()).unwrap_or((bytes, &[]));
        let good = String::from_utf8_lossy(good);
        let line = good.matches('\n').count() + 1;
        let col = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let narrow = |number| u32::try_from(number).unwrap_or(u32::MAX);
        (narrow(line), narrow(col))
    })
}

/// A path as the file `base` names it: relative to the folder that the file is in.
pub(super) fn resolve(base: &Path, text: &str) -> PathBuf {
    base.parent().unwrap_or(Path::new("")).join(text)
}
