//! `make bench`: what Tollgate costs, measured beside HAProxy and nginx on the same machine in the same run.
//!
//! One fast backend, and before it in turn each proxy with one thread on a core of its own; load and backend have
//! another. The figure that carries over to other machines is CPU time per request as a ratio to HAProxy's, which does
//! nothing but pass requests on. Rounds alternate, so that what else the machine does hits all alike; medians count.
//!
//! Writes `target/bench/report.md`. Takes about two minutes after the release build.

mod load;
mod peers;
mod process;
mod report;

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use load::{CONNECTIONS, fetch, flow, wrk};
use peers::{CLASSIFIED, Ground, LARGE, PLAIN, SMALL};
use process::{Server, find};
use report::{Round, Row, Stream};

/// Seconds of load for each proxy in a round.
const SECONDS: u64 = 5;
/// Rounds that count.
const ROUNDS: usize = 4;
/// Seconds of load before anything is measured.
const WARM_UP: u64 = 1;

/// What the bench starts, and the package that has it.
const PROGRAMS: [(&str, &str); 5] = [
    ("haproxy", "haproxy"),
    ("nginx", "nginx-light"),
    ("wrk", "wrk"),
    ("openssl", "openssl"),
    ("taskset", "util-linux"),
];

fn main() -> ExitCode {
    // `cargo test --benches` runs this too, and should not wait for it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        eprintln!(
            "bench: programs are missing; please run:\n  sudo apt-get install -y --no-install-recommends {}",
            missing.join(" ")
        );
        return ExitCode::FAILURE;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("bench: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

/// A proxy under load, and what is asked of it.
struct Subject {
    name: &'static str,
    server: usize,
    path: &'static str,
    /// Whether classified members are expected in its answers.
    shows_classified: bool,
}

const SUBJECTS: [Subject; 4] = [
    Subject {
        name: "HAProxy, passes on",
        server: 0,
        path: SMALL,
        shows_classified: true,
    },
    Subject {
        name: "nginx, passes on",
        server: 1,
        path: SMALL,
        shows_classified: true,
    },
    Subject {
        name: "Tollgate, token + decision + audit",
        server: 2,
        path: PLAIN,
        shows_classified: true,
    },
    Subject {
        name: "Tollgate, the same + masking",
        server: 2,
        path: SMALL,
        shows_classified: false,
    },
];

fn run() -> Result<()> {
    let ground = ground()?;
    let authorization = vec![peers::token(&ground)?];
    let large = peers::write_large(&ground)?;
    let backend = peers::backend(&ground)?;

    let rows = small_answers(&ground, backend.address, &authorization)?;
    let streams = large_answer(&ground, backend.address, &authorization, large)?;

    let report = write_up(&ground, &rows, &streams)?;
    let file = ground.folder.parent().context("a folder above")?.join("report.md");
    fs::write(&file, &report)?;
    fs::remove_dir_all(ground.folder.join("www"))?;
    println!("\n{report}\nwritten to {}", file.display());
    Ok(())
}

fn ground() -> Result<Ground> {
    let target = Path::new(env!("CARGO_BIN_EXE_tollgate"))
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "target"))
        .map_or_else(|| PathBuf::from("target"), Path::to_path_buf);
    let folder = target.join("bench/run");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let cores = std::thread::available_parallelism()?.get();
    let core = |number| (cores >= 2).then_some(number);
    Ok(Ground {
        folder: folder.canonicalize()?,
        proxy_core: core(0),
        load_core: core(1),
    })
}

/// Many small answers through each proxy, in alternating rounds.
fn small_answers(ground: &Ground, backend: SocketAddr, headers: &[String]) -> Result<Vec<Row>> {
    let servers = [
        peers::haproxy(ground, backend)?,
        peers::nginx_proxy(ground, backend)?,
        peers::tollgate(ground, backend)?,
    ];
    let mut rows = Vec::new();
    for subject in &SUBJECTS {
        let server = servers.get(subject.server).context("a server")?;
        honest(subject, server, headers)?;
        rows.push(Row {
            name: subject.name,
            rounds: Vec::new(),
            rest: server.memory("VmRSS")?,
            after: 0,
        });
    }
    for round in 0..=ROUNDS {
        for (subject, row) in SUBJECTS.iter().zip(&mut rows) {
            let server = servers.get(subject.server).context("a server")?;
            let seconds = if round == 0 { WARM_UP } else { SECONDS };
            let measured = measure(server, subject.path, headers, seconds, ground.load_core)?;
            if round > 0 {
                println!(
                    "round {round}: {}: {:.0} requests/s, {:?} of CPU each",
                    subject.name, measured.rate, measured.cpu
                );
                row.rounds.push(measured);
            }
            row.after = server.memory("VmRSS")?;
        }
    }
    Ok(rows)
}

/// Looks whether a proxy does what it is measured for.
fn honest(subject: &Subject, server: &Server, headers: &[String]) -> Result<()> {
    let answer = fetch(server.address, subject.path, headers)?;
    let text = String::from_utf8_lossy(&answer);
    ensure!(
        text.starts_with("HTTP/1.1 200 ") && text.contains("A-100042"),
        "{} answered\n{text}",
        subject.name
    );
    for name in CLASSIFIED {
        ensure!(
            text.contains(name) == subject.shows_classified,
            "{}: `{name}` in\n{text}",
            subject.name
        );
    }
    Ok(())
}

fn measure(server: &Server, path: &str, headers: &[String], seconds: u64, core: Option<usize>) -> Result<Round> {
    let before = server.cpu()?;
    let seen = wrk(&format!("http://{}{path}", server.address), headers, seconds, core)?;
    let used = server.cpu()?.saturating_sub(before);
    ensure!(seen.requests > 0, "no request was answered");
    Ok(Round {
        rate: seen.requests as f64 / seen.seconds,
        cpu: Duration::from_secs_f64(used.as_secs_f64() / seen.requests as f64),
        busy: used.as_secs_f64() / seen.seconds,
        p50: seen.p50,
        p99: seen.p99,
    })
}

/// One large answer through HAProxy and, masked, through Tollgate; both start afresh, so that their most memory is this
/// answer's.
fn large_answer(ground: &Ground, backend: SocketAddr, headers: &[String], size: u64) -> Result<Vec<Stream>> {
    let mut streams = Vec::new();
    for (name, masks) in [("HAProxy, passes on", false), ("Tollgate, masks", true)] {
        let server = if masks {
            peers::tollgate(ground, backend)?
        } else {
            peers::haproxy(ground, backend)?
        };
        let before = server.cpu()?;
        let flowed = flow(server.address, LARGE, headers, &CLASSIFIED)?;
        ensure!(
            flowed.leaked != masks,
            "{name}: classified members were {}found",
            if masks { "" } else { "not " }
        );
        println!("large answer: {name}: {:?}", flowed.took);
        streams.push(Stream {
            name,
            bytes: size,
            received: flowed.bytes,
            took: flowed.took,
            cpu: server.cpu()?.saturating_sub(before),
            peak: server.memory("VmHWM")?,
        });
    }
    Ok(streams)
}

fn write_up(ground: &Ground, rows: &[Row], streams: &[Stream]) -> Result<String> {
    let processor = fs::read_to_string("/proc/cpuinfo")?
        .lines()
        .find_map(|line| {
            Some(
                line.strip_prefix("model name")?
                    .trim_start_matches([' ', '\t', ':'])
                    .to_owned(),
            )
        })
        .unwrap_or_else(|| "an unknown processor".into());
    let cores = std::thread::available_parallelism()?;
    let pinning = if ground.proxy_core.is_some() {
        "The proxy has core 0; load and backend share core 1."
    } else {
        "There is one core, which all share: latencies say little."
    };
    Ok(format!(
        "# What Tollgate costs\n\n\
         {processor}, {cores} cores seen. {pinning}\n\n\
         ## Small answers\n\n\
         0.8 KB of JSON, {CONNECTIONS} connections kept open, {ROUNDS} rounds of {SECONDS} s for each proxy in turn, medians. CPU is the proxy\n\
         process's alone, user and system. Tollgate checks an RS256 token (verified when it is first seen, then known by its\n\
         hash), decides, forwards, and writes a chained audit line for each request, on which the answers to reads do not wait;\n\
         with masking it also cuts two members out of each answer. The load is closed: each connection asks\n\
         again as soon as it is answered, so that latencies are those of a full queue, not of light load. Where the core is not\n\
         busy, load and backend could not ask faster.\n\n\
         {}\n\
         ## One large answer\n\n\
         An array of accounts, two classified members in each, read by one client.\n\n\
         {}",
        report::table(rows),
        report::streams(streams)
    ))
}
