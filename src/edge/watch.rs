//! Told of changed files.
//!
//! Folders are watched, not files: an editor renames over a file, and Kubernetes swaps a `..data` link beside it. Any event
//! is only a hint to read again. Where the kernel tells nothing (a network file system, no watches left) files are
//! looked at in short intervals instead.

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// How long nothing must have changed before files are read: a set of files is written one by one.
pub const QUIET: Duration = Duration::from_millis(100);

/// Longest wait for that quiet.
pub const MAX_WAIT: Duration = Duration::from_millis(500);

/// How often files are looked at although nobody told of a change.
const POLL: Duration = Duration::from_secs(30);

/// The same, where nobody can tell.
const POLL_BLIND: Duration = Duration::from_millis(500);

/// A watch over folders.
#[derive(Debug)]
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// With the inode that is watched: a folder may be replaced by another of its name.
    folders: BTreeMap<PathBuf, u64>,
    hints: mpsc::Receiver<()>,
    blind: bool,
}

impl Watch {
    /// Watches nothing yet. `own` is written all the time by Tollgate itself, perhaps beside what is watched, and says
    /// nothing.
    #[must_use]
    pub fn new(own: Option<&Path>) -> Self {
        // One hint is as good as many.
        let (hint, hints) = mpsc::channel(1);
        let own = own.map(places).unwrap_or_default();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_quiet(&event, &own)) {
                return;
            }
            let _ = hint.try_send(());
        });
        let watcher = watcher
            .inspect_err(|fault| tracing::warn!(%fault, "files are polled: the kernel gives no watch"))
            .ok();
        Self {
            blind: watcher.is_none(),
            watcher,
            folders: BTreeMap::new(),
            hints,
        }
    }

    /// Watches the folders of these files and folders, and no others. Tells whether a folder is watched only from now
    /// on: what changed in it before is told by nobody.
    pub fn follow<'p>(&mut self, paths: impl IntoIterator<Item = &'p Path>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let wanted: BTreeMap<PathBuf, u64> = paths
            .into_iter()
            .flat_map(folders)
            .filter_map(|folder| Some((folder.clone(), std::fs::metadata(folder).ok()?.ino())))
            .collect();
        for (gone, _) in self
            .folders
            .iter()
            .filter(|(path, inode)| wanted.get(*path) != Some(inode))
        {
            let _ = watcher.unwatch(gone);
        }
        let mut new = false;
        let mut blind = false;
        let mut watched = BTreeMap::new();
        for (folder, inode) in wanted {
            if self.folders.get(&folder) != Some(&inode) {
                if let Err(fault) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                    tracing::warn!(folder = %folder.display(), %fault, "a folder is polled: it cannot be watched");
                    blind = true;
                    continue;
                }
                new = true;
            }
            watched.insert(folder, inode);
        }
        self.folders = watched;
        self.blind = blind;
        new
    }

    /// Waits for a hint that something may have changed, and then until it is quiet again.
    pub async fn changed(&mut self) {
        let poll = if self.blind { POLL_BLIND } else { POLL };
        if tokio::time::timeout(poll, self.hints.recv()).await.is_err() {
            return;
        }
        let last = Instant::now() + MAX_WAIT;
        while timeout_at((Instant::now() + QUIET).min(last), self.hints.recv())
            .await
            .is_ok()
            && Instant::now() < last
        {}
    }
}

/// Whether an event says nothing of a change. A file that was only opened or read was read by ourselves, most of the time:
/// who takes that for a change reads again for ever.
fn is_quiet(event: &Event, own: &[PathBuf]) -> bool {
    let read = matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write));
    let ours = !event.paths.is_empty() && event.paths.iter().all(|path| own.contains(path));
    !event.need_rescan() && (read || ours)
}

/// A file under each name that its folder may be watched by.
fn places(file: &Path) -> Vec<PathBuf> {
    let name = file.file_name().unwrap_or_default();
    folders(file).into_iter().map(|folder| folder.join(name)).collect()
}

/// The folder of a path as it is named, and the one where it really is.
fn folders(path: &Path) -> Vec<PathBuf> {
    let own = |path: &Path| {
        if path.is_dir() {
            Some(path.to_owned())
        } else {
            path.parent().map(Path::to_owned)
        }
    };
    let named = own(path).map(|folder| {
        if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder
        }
    });
    let real = path.canonicalize().ok().as_deref().and_then(own);
    named.into_iter().chain(real).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[tokio::test]
    async fn each_way_of_changing_a_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("..1")).unwrap();
        fs::create_dir(at("..2")).unwrap();
        fs::write(at("..1/a.yaml"), "1").unwrap();
        fs::write(at("..2/a.yaml"), "2").unwrap();
        symlink("..1", at("..data")).unwrap();
        symlink("..data/a.yaml", at("a.yaml")).unwrap();
        fs::write(at("b.yaml"), "1").unwrap();
        let mut watch = Watch::new(None);
        let paths = [at("a.yaml"), at("b.yaml")];
        watch.follow(paths.iter().map(PathBuf::as_path));
        let told = Duration::from_secs(5);

        fs::write(at("b.yaml"), "2").unwrap();
        tokio::time::timeout(told, watch.changed())
            .await
            .expect("written in place");

        fs::write(at("b.tmp"), "3").unwrap();
        fs::rename(at("b.tmp"), at("b.yaml")).unwrap();
        tokio::time::timeout(told, watch.changed()).await.expect("renamed over");

        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        tokio::time::timeout(told, watch.changed()).await.expect("link swapped");
        assert_eq!(fs::read_to_string(at("a.yaml")).unwrap(), "2");
    }

    #[test]
    fn what_is_read_and_what_we_write_ourselves_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a.yaml", "audit.jsonl", "end"] {
            fs::write(at(name), "1").unwrap();
        }
        let (tell, told) = std::sync::mpsc::channel();
        let mut watcher = notify::recommended_watcher(move |event| {
            let _ = tell.send(event);
        })
        .unwrap();
        watcher.watch(folder.path(), RecursiveMode::NonRecursive).unwrap();

        fs::read_to_string(at("a.yaml")).unwrap();
        fs::write(at("audit.jsonl"), "line").unwrap();
        fs::remove_file(at("end")).unwrap();

        let own = places(&at("audit.jsonl"));
        let next = || told.recv_timeout(Duration::from_secs(5)).unwrap().unwrap();
        let mut quiet = 0;
        let last = loop {
            let event = next();
            if !is_quiet(&event, &own) {
                break event;
            }
            quiet += 1;
        };
        assert!(last.paths[0].ends_with("end"), "{last:?}");
        assert!(quiet >= 2, "the kernel tells of reading and writing");
        assert!(!is_quiet(&Event::new(EventKind::Any), &own), "some were lost");
        let two = last.add_path(at("audit.jsonl"));
        assert!(!is_quiet(&two, &own));
    }
}
