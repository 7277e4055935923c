//! A PostgreSQL of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

use super::{Restarts, folder, signal, wait_for};

/// A cluster with a user `tollgate`, who needs no password on the socket, and a database `postgres`. It listens at
/// [`Postgres::folder`], and at a port of 127.0.0.1 if it was given one.
pub struct Postgres {
    folder: TempDir,
    port: Option<u16>,
    settings: Vec<String>,
    server: Option<Child>,
}

impl Postgres {
    /// Starts one on a socket alone.
    pub fn start() -> Self {
        let mut server = Self::made();
        server.launch();
        server
    }

    /// Starts one that also listens at a port, where users need their passwords and TLS, with this certificate and key.
    pub fn with_tls(port: u16, password: &str, certificate: &str, key: &str) -> Self {
        let mut server = Self::made();
        server.port = Some(port);
        let data = server.data();
        server.owned("server.crt", certificate);
        server.owned("server.key", key);
        let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(data.join("pg_hba.conf"), rules).unwrap();
        server.settings.push("ssl=on".to_owned());
        server.launch();
        server.execute(&format!("ALTER USER tollgate PASSWORD '{password}'"));
        server
    }

    fn made() -> Self {
        let folder = folder();
        let made = command("initdb")
            .args([
                "--auth=trust",
                "--username=tollgate",
                "--encoding=UTF8",
                "--no-sync",
                "-D",
            ])
            .arg(folder.path().join("data"))
            .output()
            .expect("setpriv is not installed: apt-get install util-linux");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self {
            folder,
            port: None,
            settings: Vec::new(),
            server: None,
        }
    }

    /// The folder of its socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// A file in its folder of data that is its own and nobody else's to read.
    fn owned(&self, name: &str, content: &str) {
        let file = self.data().join(name);
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let owner = fs::metadata(self.data()).unwrap();
        let (user, group) = (
            std::os::unix::fs::MetadataExt::uid(&owner),
            std::os::unix::fs::MetadataExt::gid(&owner),
        );
        std::os::unix::fs::chown(&file, Some(user), Some(group)).unwrap();
    }

    /// The same with another setting, in the words of its configuration.
    pub fn launch_with(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
        self.launch();
    }

    fn wait_until_it_answers(&self) {
        wait_for("PostgreSQL to take questions", || self.try_execute("SELECT 1").is_ok());
    }

    /// Runs statements.
    pub fn execute(&self, text: &str) -> String {
        self.try_execute(text).unwrap_or_else(|said| panic!("{said}"))
    }

    fn try_execute(&self, text: &str) -> Result<String, String> {
        let output = Command::new(program("psql"))
            .args(["-X", "-A", "-t", "-U", "tollgate", "-d", "postgres", "-c", text, "-h"])
            .arg(self.folder())
            .args(["-p", &self.port.unwrap_or(5432).to_string()])
            .output()
            .unwrap();
        let said = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(said(&output.stdout))
        } else {
            Err(said(&output.stderr))
        }
    }
}

impl Restarts for Postgres {
    /// Starts it (again) and waits until it listens.
    fn launch(&mut self) {
        let listen = if self.port.is_some() { "127.0.0.1" } else { "" };
        let mut server = command("postgres");
        server.arg("-D").arg(self.data()).arg("-k").arg(self.folder());
        server.args(["-c", &format!("listen_addresses={listen}"), "-c", "max_connections=64"]);
        server.args(["-p", &self.port.unwrap_or(5432).to_string()]);
        for setting in &self.settings {
            server.args(["-c", setting]);
        }
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder().join("log"))
            .unwrap();
        self.server = Some(server.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        self.wait_until_it_answers();
    }

    /// Ends it as `pg_ctl stop -m immediate` does: no transaction is waited for, no checkpoint is written.
    fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            signal(&server, "QUIT");
            server.wait().unwrap();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.crash();
        if std::thread::panicking() {
            eprintln!(
                "--- PostgreSQL ---\n{}",
                fs::read_to_string(self.folder().join("log")).unwrap_or_default()
            );
        }
    }
}

/// Where Debian has the server's programs.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found
        .pop()
        .expect("PostgreSQL is not installed: run deploy/packages.sh, or apt-get install postgresql")
}

/// A command of the server, which does not run as root.
fn command(name: &str) -> Command {
    let own = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap());
    if own != 0 {
        return Command::new(program(name));
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program(name));
    command
}
