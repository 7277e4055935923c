//! Load: `wrk` for many small requests, and a client of our own for one large answer.

use anyhow::{Context as _, Result, bail, ensure};
use memchr::memmem;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::pinned;

/// Connections that `wrk` keeps open.
pub(crate) const CONNECTIONS: usize = 32;

/// How long a stalled answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `wrk` saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Asks for `url` again and again on [`CONNECTIONS`] connections that stay open.
pub(crate) fn wrk(url: &str, headers: &[String], seconds: u64, core: Option<usize>) -> Result<Seen> {
    let mut command: Vec<String> = ["wrk", "--latency", "-t1"].map(str::to_owned).into();
    command.extend([format!("-c{CONNECTIONS}"), format!("-d{seconds}s")]);
    for header in headers {
        command.extend(["-H".to_owned(), header.clone()]);
    }
    command.push(url.to_owned());
    let command = pinned(&command, core);
    let [program, arguments @ ..] = &*command else {
        bail!("no command")
    };
    let output = Command::new(program)
        .args(arguments)
        .output()
        .context("cannot start wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "wrk failed: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "not every request to {url} was answered well:\n{text}"
    );
    parse(&text).with_context(|| format!("wrk said something new:\n{text}"))
}

fn parse(text: &str) -> Option<Seen> {
    let percentile = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name))?;
        duration(line.trim())
    };
    // `  123456 requests in 5.01s, 123.45MB read`
    let summary = text.lines().find(|line| line.contains(" requests in "))?;
    let (requests, rest) = summary.split_once(" requests in ")?;
    let (took, _) = rest.split_once(',')?;
    Some(Seen {
        requests: requests.trim().parse().ok()?,
        seconds: duration(took)?.as_secs_f64(),
        p50: percentile("50%")?,
        p99: percentile("99%")?,
    })
}

/// `635.00us`, `1.20ms`, `5.01s`, `1.00m`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let factor = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * factor))
}

/// A whole answer, head and all.
pub(crate) fn fetch(address: SocketAddr, path: &str, headers: &[String]) -> Result<Vec<u8>> {
    let mut stream = ask(address, path, headers)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// What came of an answer that is too large to keep.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
    /// Whether any of the words was in it.
    pub(crate) leaked: bool,
}

/// Reads an answer as it comes and looks for words in it, also across the seams of two reads.
pub(crate) fn flow(address: SocketAddr, path: &str, headers: &[String], words: &[&str]) -> Result<Flow> {
    let finders: Vec<_> = words.iter().map(|word| memmem::Finder::new(word.as_bytes())).collect();
    let overlap = words.iter().map(|word| word.len()).max().unwrap_or(1) - 1;
    let started = Instant::now();
    let mut stream = ask(address, path, headers)?;
    let mut buffer = vec![0; 256 * 1024];
    let (mut kept, mut bytes, mut leaked, mut tail) = (0, 0, false, Vec::new());
    loop {
        let read = stream.read(buffer.get_mut(kept..).unwrap_or_default())?;
        if read == 0 {
            break;
        }
        if bytes == 0 {
            ensure!(buffer.starts_with(b"HTTP/1.1 200 "), "{path} was not answered with 200");
        }
        bytes += read as u64;
        let filled = buffer.get(..kept + read).unwrap_or_default();
        leaked |= finders.iter().any(|finder| finder.find(filled).is_some());
        let from = filled.len().saturating_sub(overlap);
        tail = filled.get(from..).unwrap_or_default().to_vec();
        kept = tail.len();
        buffer.get_mut(..kept).unwrap_or_default().copy_from_slice(&tail);
    }
    ensure!(
        tail.ends_with(b"]}\n") || tail.ends_with(b"\r\n0\r\n\r\n"),
        "the answer to {path} was cut"
    );
    Ok(Flow {
        bytes,
        took: started.elapsed(),
        leaked,
    })
}

fn ask(address: SocketAddr, path: &str, headers: &[String]) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    Ok(stream)
}
