//! A Redis of a test's own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

use super::{Restarts, folder, listens, signal, wait_for};

/// A server on [`Redis::socket`], and with TLS at a port of 127.0.0.1 if it was given one. Each command is on its disk
/// before it is answered, unless it was told otherwise.
pub struct Redis {
    folder: TempDir,
    settings: Vec<String>,
    server: Option<Child>,
}

impl Redis {
    /// Starts one on a socket alone.
    pub fn start() -> Self {
        Self::with(&["appendfsync always"])
    }

    /// Starts one with these lines in its configuration.
    pub fn with(settings: &[&str]) -> Self {
        let mut server = Self {
            folder: folder(),
            settings: settings.iter().map(|&line| line.to_owned()).collect(),
            server: None,
        };
        server.launch();
        server
    }

    /// Starts one that also listens at a port with TLS, with this certificate and key, and wants a password.
    pub fn with_tls(port: u16, password: &str, certificate: &str, key: &str) -> Self {
        let folder = folder();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        let settings = vec![
            "appendfsync always".to_owned(),
            format!("tls-port {port}"),
            "bind 127.0.0.1".to_owned(),
            format!("tls-cert-file {}", file("server.crt", certificate)),
            format!("tls-key-file {}", file("server.key", key)),
            "tls-auth-clients no".to_owned(),
            format!("requirepass {password}"),
        ];
        let mut server = Self {
            folder,
            settings,
            server: None,
        };
        server.launch();
        server
    }

    /// The file of its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Lets it stand still: it takes connections and answers nothing.
    pub fn freeze(&self) {
        signal(self.server.as_ref().unwrap(), "STOP");
    }

    /// And go on.
    pub fn thaw(&self) {
        signal(self.server.as_ref().unwrap(), "CONT");
    }

    /// The first line of the answer to a command.
    pub fn said(&self, command: &[&str]) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        let mut bytes = format!("*{}\r\n", command.len());
        for part in command {
            bytes.push_str(&format!("${}\r\n{part}\r\n", part.len()));
        }
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Restarts for Redis {
    /// Starts it (again) with what it finds in its folder, and waits until it answers.
    fn launch(&mut self) {
        let folder = self.folder.path().display().to_string();
        let socket = self.socket();
        let lines = format!(
            "port 0\nunixsocket {}\ndir {folder}\nlogfile {folder}/log\nsave \"\"\nappendonly yes\n{}\n",
            socket.display(),
            self.settings.join("\n")
        );
        let file = self.folder.path().join("redis.conf");
        fs::write(&file, lines).unwrap();
        let server = Command::new("redis-server")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Redis is not installed: run deploy/packages.sh, or apt-get install redis-server");
        self.server = Some(server);
        // Until it has read what is on its disk, it answers that it is loading.
        wait_for("Redis to take commands", || {
            listens(&socket) && !self.said(&["PING"]).starts_with("-LOADING")
        });
    }

    /// Ends it at once, as a crash would.
    fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
        let _ = fs::remove_file(self.socket());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.crash();
        if std::thread::panicking() {
            eprintln!(
                "--- Redis ---\n{}",
                fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
        }
    }
}
