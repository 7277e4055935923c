//! A backend that is a process of its own and can be killed like the gateway: it posts each payment that it is sent, in
//! a ledger file, synced before it answers. It knows nothing of keys, so what is sent twice is posted twice.
//!
//! It is this test program, started again. The test tells it on its input where to stop, and hears on its output that it
//! did:
//!
//! | line in | |
//! |---|---|
//! | `stop received KEY`, `stop posted KEY`, `stop half KEY` | the request with this key stops there: before it is posted, after, or with half of its answer sent |
//! | `go` | whatever stopped goes on |

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::{env, fs, thread};

use crate::harness::{DEADLINE, answer, wait_for};

const LEDGER: &str = "TOLLGATE_CRASH_LEDGER";
const PORT: &str = "TOLLGATE_CRASH_PORT";

/// Where a request can stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The request is here, and not posted.
    Received,
    /// It is posted, and nothing is answered.
    Posted,
    /// Half of the answer is sent.
    Half,
}

impl Stop {
    const ALL: [(&'static str, Self); 3] = [
        ("received", Self::Received),
        ("posted", Self::Posted),
        ("half", Self::Half),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, stop)| *stop == self).unwrap().0
    }
}

/// How often each key was posted, and what its last posting is called.
pub type Posted = BTreeMap<String, (usize, String)>;

/// The bank as the test sees it.
pub struct Bank {
    ledger: PathBuf,
    port: u16,
    life: Option<Life>,
}

struct Life {
    child: Child,
    orders: ChildStdin,
    /// Lines that it said.
    said: mpsc::Receiver<String>,
}

impl Bank {
    /// Opens the bank with a ledger of this name.
    pub fn open(ledger: &Path, port: u16) -> Self {
        let mut bank = Self {
            ledger: ledger.to_owned(),
            port,
            life: None,
        };
        bank.launch();
        bank
    }

    /// Starts the process (again) and waits until it listens.
    pub fn launch(&mut self) {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "crashes::bank::process", "--nocapture"])
            .env(LEDGER, &self.ledger)
            .env(PORT, self.port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (tell, said) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            // The test harness says things, too, also at the beginning of a line.
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, line)) = line.split_once("bank: ") {
                    let _ = tell.send(line.to_owned());
                }
            }
        });
        let orders = child.stdin.take().unwrap();
        self.life = Some(Life { child, orders, said });
        self.hear("open");
    }

    /// Ends the process as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut life) = self.life.take() {
            life.child.kill().unwrap();
            life.child.wait().unwrap();
        }
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A request that an earlier gateway had sent may still come first, so it is said which is meant.
    pub fn stop_at(&mut self, stop: Stop, key: &str) {
        self.order(&format!("stop {} {key}", stop.name()));
        self.hear("armed");
    }

    /// Waits until a request has stopped.
    pub fn wait_for(&mut self, stop: Stop) {
        self.hear(stop.name());
    }

    pub fn go(&mut self) {
        self.order("go");
        self.hear("gone");
    }

    fn order(&mut self, line: &str) {
        writeln!(self.life.as_mut().unwrap().orders, "{line}").unwrap();
    }

    fn hear(&self, expected: &str) {
        let said = self.life.as_ref().unwrap().said.recv_timeout(DEADLINE);
        assert_eq!(said.as_deref(), Ok(expected), "the bank does not say so");
    }

    /// How often each key was posted, and what its last posting is called.
    pub fn posted(&self) -> Posted {
        let mut all = Posted::new();
        for line in fs::read_to_string(&self.ledger).unwrap_or_default().lines() {
            let (key, id) = line.split_once(' ').unwrap();
            let posting = all.entry(key.to_owned()).or_default();
            *posting = (posting.0 + 1, id.to_owned());
        }
        all
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Does nothing unless it is the bank.
#[test]
fn process() {
    let (Ok(ledger), Ok(port)) = (env::var(LEDGER), env::var(PORT)) else {
        return;
    };
    let port: u16 = port.parse().unwrap();
    // Somebody who looks for a free port may have it for a moment.
    let mut listener = None;
    wait_for("the port of the bank", || {
        listener = TcpListener::bind(("127.0.0.1", port)).ok();
        listener.is_some()
    });
    let listener = listener.unwrap();
    let gate = Arc::new(Gate::default());
    let ledger = fs::File::options().create(true).append(true).open(ledger).unwrap();
    let ledger = Arc::new(ledger);
    say("open");
    let door = Arc::clone(&gate);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (ledger, gate) = (Arc::clone(&ledger), Arc::clone(&door));
            thread::spawn(move || serve(stream, &ledger, &gate));
        }
    });
    for line in std::io::stdin().lines().map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("stop", order)) => gate.arm(order),
            _ => gate.open(),
        }
    }
}

fn say(line: &str) {
    // One write, whatever the threads of the harness say meanwhile.
    let _ = std::io::stdout().lock().write_all(format!("bank: {line}\n").as_bytes());
}

/// Where requests stop.
#[derive(Default)]
struct Gate {
    /// Where which request stops, and how often the gate was opened.
    state: Mutex<(Option<(Stop, String)>, usize)>,
    opened: Condvar,
}

impl Gate {
    fn arm(&self, order: &str) {
        let (name, key) = order.split_once(' ').unwrap();
        let stop = Stop::ALL.iter().find(|(own, _)| *own == name).unwrap().1;
        self.state.lock().unwrap().0 = Some((stop, key.to_owned()));
        say("armed");
    }

    fn open(&self) {
        let mut state = self.state.lock().unwrap();
        *state = (None, state.1 + 1);
        self.opened.notify_all();
        say("gone");
    }

    /// Stops here if that was ordered.
    fn pass(&self, here: Stop, key: &str) {
        let mut state = self.state.lock().unwrap();
        if state
            .0
            .as_ref()
            .is_none_or(|(stop, of)| (*stop, of.as_str()) != (here, key))
        {
            return;
        }
        state.0 = None;
        say(here.name());
        let before = state.1;
        while state.1 == before {
            state = self.opened.wait(state).unwrap();
        }
    }
}

fn serve(mut stream: TcpStream, mut ledger: &fs::File, gate: &Gate) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(key) = request(&mut reader) {
        gate.pass(Stop::Received, &key);
        let id = format!("T-{key}-{:08x}", std::process::id());
        // One write, and on disk before the answer.
        ledger.write_all(format!("{key} {id}\n").as_bytes()).unwrap();
        ledger.sync_data().unwrap();
        gate.pass(Stop::Posted, &key);
        let body = format!(r#"{{"transaction_id":"{id}"}}"#);
        let answer = answer("201 Created", "application/json", &body);
        let (head, tail) = answer.as_bytes().split_at(answer.len() - body.len() / 2);
        if stream.write_all(head).is_err() {
            return;
        }
        gate.pass(Stop::Half, &key);
        if stream.write_all(tail).is_err() {
            return;
        }
    }
}

/// Reads a whole request; its key.
fn request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut key, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        match line.split_once(": ") {
            Some(("x-idempotency-key", value)) => key = Some(value.to_owned()),
            Some(("content-length", value)) => length = value.parse().unwrap(),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    key
}
