//! Small disks: folders that are file systems of their own, in a mount namespace where the gateway runs.
//!
//! Needs no privileges where the kernel lets users make namespaces. All is gone with the process that holds it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A namespace with disks in it.
pub struct Disks {
    /// Lives as long as its input.
    holder: Child,
}

impl Disks {
    /// Makes a disk of each folder below `root`.
    pub fn with(root: &Path, disks: &[(&str, &str)]) -> Self {
        let mut script = String::from("set -e\n");
        for (name, size) in disks {
            let folder = root.join(name).display().to_string();
            script += &format!("mkdir -p '{folder}'\nmount -t tmpfs -o size={size} tmpfs '{folder}'\n");
        }
        script += "echo up\nexec cat";
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`unshare` is missing: apt-get install util-linux");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(
            line, "up\n",
            "no disk can be mounted: this needs root, or user namespaces"
        );
        Self { holder }
    }

    /// A program in there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--user", "--mount"]);
        command.args(["--preserve-credentials", program]);
        command
    }

    /// Where a path in there is found from outside.
    pub fn path(&self, path: &Path) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.id());
        Path::new(&root).join(path.strip_prefix("/").unwrap())
    }

    /// Fills the disk of a folder to its last byte; what to remove to have room again.
    pub fn fill(&self, folder: &Path) -> PathBuf {
        let path = self.path(&folder.join("fill"));
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        let block = [b'x'; 4096];
        while file.write_all(&block).is_ok() {}
        while file.write_all(b"x").is_ok() {}
        path
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
