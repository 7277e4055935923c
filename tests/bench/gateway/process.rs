//! Programs under measurement: started on cores of their own, watched through `/proc`, ended with the bench.

use anyhow::{Context as _, Result, bail};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Clock ticks in a second, in which `/proc` counts CPU time: `USER_HZ` is 100 on every Linux.
const TICKS: f64 = 100.0;

/// How long a program may take to listen.
const START: Duration = Duration::from_secs(10);

/// Where a server lives that is not in everybody's `PATH`.
const SERVER_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A running server. Ends with this value.
pub(crate) struct Server {
    child: Child,
    /// The one process that handles requests: the child, or the only worker below it.
    worker: u32,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `command` on a core and waits until it listens.
    pub(crate) fn start(
        name: &str,
        command: &[String],
        core: Option<usize>,
        folder: &Path,
        address: SocketAddr,
    ) -> Result<Self> {
        let log = File::create(folder.join(format!("{name}.log")))?;
        let command = pinned(command, core);
        let [program, arguments @ ..] = &*command else {
            bail!("no command for {name}")
        };
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut server = Self {
            worker: child.id(),
            child,
            address,
        };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!(
                    "{name} ended ({status}); see {}",
                    folder.join(format!("{name}.log")).display()
                );
            }
            if started.elapsed() > START {
                bail!("{name} does not listen on {address}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        server.worker = only_child(server.child.id()).unwrap_or(server.worker);
        Ok(server)
    }

    /// CPU time that it has used, user and system, all threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.worker))?;
        // The second field is a name in parentheses, which may hold anything.
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| -> Result<f64> { Ok(fields.get(place).context("a short stat line")?.parse()?) };
        Ok(Duration::from_secs_f64((ticks(11)? + ticks(12)?) / TICKS))
    }

    /// Memory in KiB by its name in `/proc/PID/status`: `VmRSS` now, `VmHWM` at most so far.
    pub(crate) fn memory(&self, name: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.worker))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line
            .and_then(|line| line.split_whitespace().next())
            .context("no such line in status")?;
        Ok(number.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A master must be told, since killing it would leave its worker behind.
        let told = Command::new("kill").arg(self.child.id().to_string()).status();
        let started = Instant::now();
        while told.is_ok() && started.elapsed() < START {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The worker of a server that has a master and one worker.
fn only_child(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let mut children = text.split_whitespace();
    let only = children.next()?.parse().ok()?;
    children.next().is_none().then_some(only)
}

/// The command on one core, if it is to have one.
pub(crate) fn pinned(command: &[String], core: Option<usize>) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(core) = core {
        out.extend(["taskset".to_owned(), "-c".to_owned(), core.to_string()]);
    }
    out.extend_from_slice(command);
    out
}

/// Where a program is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SERVER_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}
