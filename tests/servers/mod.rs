//! The servers of a shared store, each of its own for a test: in a temporary folder, on a Unix socket, gone with the value.
//!
//! The unit tests of the store and the suite both start them, so that what is started is the same.

mod postgres;
mod redis;

pub use postgres::Postgres;
pub use redis::Redis;

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Longest wait for a server to do anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What all of them can.
pub trait Restarts {
    /// Starts it (again) with what it finds in its folder, and waits until it takes questions.
    fn launch(&mut self);

    /// Ends it at once.
    fn crash(&mut self);
}

/// A folder that also another user may write to: PostgreSQL does not run as root.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    folder
}

/// Looks again and again until the condition holds.
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to a process that is ours.
fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

fn listens(socket: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}
