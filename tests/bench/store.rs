//! `make bench`: what it costs to remember a payment, beside a bare loop that appends and syncs on the same disk in the same
//! run.
//!
//! A payment is two things on disk: its key before it is sent, its outcome before it is answered. Clients wait for both,
//! one payment after the other, as they do behind the gateway. It is measured with few keys in the store and with many:
//! `TOLLGATE_BENCH_KEYS`; unless told, a million or what can be put there in [`FILL`].
//!
//! Writes `target/bench/store.md`. `TOLLGATE_BENCH_FOLDER` is where the files go; beside the build, if absent.

use anyhow::{Context as _, Result, bail};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tollgate::edge::store::{Claim, Store};
use tollgate::ledger::{Fingerprint, IdempotencyKey, Owner, RecordKey};

/// How many clients pay at once.
const CLIENTS: [usize; 3] = [1, 16, 64];

/// How long each figure is measured.
const MEASURE: Duration = Duration::from_secs(4);

/// How many keys are few.
const FEW: u64 = 10;

/// How many are many.
const MANY: u64 = 1_000_000;

/// How long the store is filled, unless it is said with how many.
const FILL: Duration = Duration::from_secs(120);

/// Clients while the store is filled: what one commit takes.
const FILLERS: usize = 256;

/// How long keys are kept, so that none expires.
const KEEP: Duration = Duration::from_secs(35 * 86_400);

/// What the bare loop appends for a key or an outcome, about what a record takes.
const LINE: usize = 256;

/// Payments, and how long each took.
struct Figures {
    payments_per_second: f64,
    median: Duration,
    slow: Duration,
    /// How often the disk was asked to commit, each second.
    commits_per_second: f64,
}

fn main() -> ExitCode {
    // `cargo test --benches` runs this too, and should not wait for it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("bench: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&root)?;
    let place = std::env::var_os("TOLLGATE_BENCH_FOLDER").map_or_else(|| root.clone(), PathBuf::from);
    let (many, time) = match std::env::var("TOLLGATE_BENCH_KEYS") {
        Ok(many) => (many.parse().context("`TOLLGATE_BENCH_KEYS`")?, Duration::MAX),
        Err(_) => (MANY, FILL),
    };
    let folder = place.join(format!("store-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder, many, time);
    fs::remove_dir_all(&folder)?;
    let report = measured?;
    print!("{report}");
    fs::write(root.join("store.md"), report).context("store.md")
}

fn measure(folder: &Path, many: u64, time: Duration) -> Result<String> {
    let mut report = String::from(
        "| | clients | payments/s | of the bare loop | commits/s | median | 99 % |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    let mut bare = Vec::new();
    for clients in CLIENTS {
        let figures = bare_loop(&folder.join("bare"), clients)?;
        row(
            &mut report,
            "append + fdatasync",
            clients,
            &figures,
            figures.payments_per_second,
        )?;
        bare.push(figures.payments_per_second);
    }
    let state = folder.join("state");
    let store = Store::open(&state)?;
    let next = Arc::new(AtomicU64::new(0));
    for keys in [FEW, many] {
        let from = Instant::now();
        fill(&store, &next, keys, time)?;
        let keys = next.load(Ordering::Relaxed);
        eprintln!("{keys} keys after {:.1} s", from.elapsed().as_secs_f64());
        for (clients, bare) in CLIENTS.into_iter().zip(&bare) {
            let figures = pay(&store, &next, clients, MEASURE, u64::MAX)?;
            row(&mut report, &format!("store, {keys} keys"), clients, &figures, *bare)?;
        }
    }
    let stats = store.stats();
    drop(store);
    let from = Instant::now();
    drop(Store::open(&state)?);
    writeln!(
        report,
        "\n{} keys take {} MiB; a start verifies them in {:.1} s.",
        stats.keys,
        stats.file_bytes >> 20,
        from.elapsed().as_secs_f64()
    )?;
    Ok(report)
}

fn row(report: &mut String, what: &str, clients: usize, figures: &Figures, bare: f64) -> Result<()> {
    let Figures {
        payments_per_second,
        median,
        slow,
        commits_per_second,
    } = figures;
    let (median, slow) = (median.as_secs_f64() * 1e3, slow.as_secs_f64() * 1e3);
    let part = payments_per_second / bare;
    writeln!(
        report,
        "| {what} | {clients} | {payments_per_second:.0} | {part:.2} | {commits_per_second:.0} | {median:.2} ms | {slow:.2} ms |"
    )?;
    Ok(())
}

/// The least that a payment can cost: two lines, each on disk before the next thing is done. So many clients share each
/// sync as wait for it.
fn bare_loop(path: &Path, clients: usize) -> Result<Figures> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let lines = vec![b'x'; LINE * clients];
    let (started, mut took) = (Instant::now(), Vec::new());
    while started.elapsed() < MEASURE {
        let from = Instant::now();
        for _ in 0..2 {
            file.write_all(&lines)?;
            file.sync_data()?;
        }
        took.extend(std::iter::repeat_n(from.elapsed(), clients));
    }
    let commits = 2 * took.len() / clients;
    Ok(figures(took, started.elapsed(), commits as u64))
}

/// Puts finished payments into the store until it holds so many.
fn fill(store: &Store, next: &Arc<AtomicU64>, keys: u64, time: Duration) -> Result<()> {
    let missing = keys.saturating_sub(next.load(Ordering::Relaxed));
    if missing > 0 {
        let clients = FILLERS.min(usize::try_from(missing)?);
        pay(store, next, clients, time, keys)?;
    }
    Ok(())
}

/// So many clients pay, each one thing after the other, until the time is over or so many keys are used.
fn pay(store: &Store, next: &Arc<AtomicU64>, clients: usize, time: Duration, keys: u64) -> Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let before = store.stats().commits;
    let started = Instant::now();
    let took = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let (store, next) = (store.clone(), Arc::clone(next));
            tasks.spawn(async move {
                let mut took = Vec::new();
                while started.elapsed() < time {
                    let key = next.fetch_add(1, Ordering::Relaxed);
                    if key >= keys {
                        next.fetch_sub(1, Ordering::Relaxed);
                        break;
                    }
                    let from = Instant::now();
                    payment(&store, key).await?;
                    took.push(from.elapsed());
                }
                anyhow::Ok(took)
            });
        }
        let mut took = Vec::new();
        while let Some(of_one) = tasks.join_next().await {
            took.extend(of_one??);
        }
        anyhow::Ok(took)
    })?;
    Ok(figures(took, started.elapsed(), store.stats().commits - before))
}

async fn payment(store: &Store, of: u64) -> Result<()> {
    let text = format!("payment-{of:012}");
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("x-idempotency-key"),
        HeaderValue::try_from(&text)?,
    )]);
    let key = IdempotencyKey::parse(&headers)?.context("no key")?;
    let who = ["https://idp.city.example", "etl-1", "ledger", "/api/ledger/sync"];
    let [issuer, user, module, route] = who;
    let owner = Arc::new(Owner::new(issuer, user, module, route, &key));
    let mut print = Fingerprint::of(&Method::POST, route, None);
    print.body(text.as_bytes());
    let name = RecordKey::new(issuer, user, module, route, &key);
    let claim = store.reserve(name, Some(owner), print.finish(), KEEP, now()).await?;
    let Claim::Granted(reservation) = claim else {
        bail!("key {of} is not new");
    };
    let id = format!("T-{of:016}").into_boxed_str();
    Ok(reservation.complete(201, Some(id), now()).await?)
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn figures(mut took: Vec<Duration>, elapsed: Duration, commits: u64) -> Figures {
    took.sort_unstable();
    let at = |percent: usize| {
        let place = took.len() * percent / 100;
        took.get(place.min(took.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    Figures {
        payments_per_second: took.len() as f64 / elapsed.as_secs_f64(),
        median: at(50),
        slow: at(99),
        commits_per_second: commits as f64 / elapsed.as_secs_f64(),
    }
}
