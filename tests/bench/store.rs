//! `make bench`: what it costs to remember a payment, beside a bare loop that appends and syncs on the same disk in the same
//! run.
//!
//! A payment is two things on disk: its key before it is sent, its outcome before it is answered. Clients wait for both,
//! one payment after the other, as they do behind the gateway. It is measured with few keys in the store and with many:
//! `TOLLGATE_BENCH_KEYS` says how many, up to ten million; a million unless told. The many are put there before, all at
//! once. Meanwhile what is paid is carried to the tree as ever, so the slowest percent has that in it.
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
use tollgate::ledger::{Fingerprint, IdempotencyKey, Owner, Record, RecordKey, State};

/// How many clients pay at once.
const CLIENTS: [usize; 3] = [1, 16, 64];

/// How long each figure is measured, in so many slices, the store's and the bare loop's in turn: a disk that others use is
/// not the same from one second to the next.
const MEASURE: Duration = Duration::from_secs(4);
const SLICES: u32 = 16;

/// How many keys are few.
const FEW: u64 = 10;

/// How many are many.
const MANY: u64 = 1_000_000;

/// How long keys are kept, so that none expires.
const KEEP: Duration = Duration::from_secs(35 * 86_400);

/// What the bare loop appends for a key or an outcome, about what a record takes.
const LINE: usize = 256;

/// Payments, and how long each took.
#[derive(Default)]
struct Figures {
    took: Vec<Duration>,
    elapsed: Duration,
    /// How often the disk was asked to commit.
    commits: u64,
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
    let many = match std::env::var("TOLLGATE_BENCH_KEYS") {
        Ok(many) => many.parse().context("`TOLLGATE_BENCH_KEYS`")?,
        Err(_) => MANY,
    };
    let folder = place.join(format!("store-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder, many);
    fs::remove_dir_all(&folder)?;
    let report = measured?;
    print!("{report}");
    fs::write(root.join("store.md"), report).context("store.md")
}

fn measure(folder: &Path, many: u64) -> Result<String> {
    let mut report = String::from(
        "| | clients | payments/s | of the bare loop | commits/s | median | 99 % |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    let mut end = String::new();
    for keys in [FEW, many] {
        let state = folder.join(format!("state-{keys}"));
        let from = Instant::now();
        fill(&state, keys)?;
        let filled = from.elapsed();
        let from = Instant::now();
        let store = Store::open(&state)?;
        eprintln!("{keys} keys: filled in {filled:.1?}, opened in {:.1?}", from.elapsed());
        let next = Arc::new(AtomicU64::new(keys));
        for clients in CLIENTS {
            let (mut bare, mut figures) = (Figures::default(), Figures::default());
            for _ in 0..SLICES {
                bare.add(bare_loop(&folder.join("bare"), clients)?);
                figures.add(pay(&store, &next, clients)?);
            }
            row(&mut report, "append + fdatasync", clients, &bare, &bare)?;
            row(&mut report, &format!("store, {keys} keys"), clients, &figures, &bare)?;
        }
        let stats = store.stats();
        let from = Instant::now();
        drop(store);
        let closed = from.elapsed();
        let from = Instant::now();
        drop(Store::open(&state)?);
        writeln!(
            end,
            "{} keys take {} MiB; a clean end takes {closed:.1?}, and a start, which verifies them, {:.1?}.",
            stats.keys,
            stats.file_bytes >> 20,
            from.elapsed()
        )?;
        fs::remove_dir_all(&state)?;
    }
    writeln!(report, "\n{end}")?;
    Ok(report)
}

fn row(report: &mut String, what: &str, clients: usize, figures: &Figures, bare: &Figures) -> Result<()> {
    let (median, slow) = (figures.at(50).as_secs_f64() * 1e3, figures.at(99).as_secs_f64() * 1e3);
    let (payments, commits) = (
        figures.each_second(figures.took.len()),
        figures.each_second(figures.commits),
    );
    let part = payments / bare.each_second(bare.took.len());
    writeln!(
        report,
        "| {what} | {clients} | {payments:.0} | {part:.2} | {commits:.0} | {median:.2} ms | {slow:.2} ms |"
    )?;
    Ok(())
}

/// The least that a payment can cost: two lines, each on disk before the next thing is done. So many clients share each
/// sync as wait for it.
fn bare_loop(path: &Path, clients: usize) -> Result<Figures> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let lines = vec![b'x'; LINE * clients];
    let (started, mut took) = (Instant::now(), Vec::new());
    while started.elapsed() < MEASURE / SLICES {
        let from = Instant::now();
        for _ in 0..2 {
            file.write_all(&lines)?;
            file.sync_data()?;
        }
        took.extend(std::iter::repeat_n(from.elapsed(), clients));
    }
    fs::remove_file(path)?;
    let commits = (2 * took.len() / clients) as u64;
    Ok(Figures {
        took,
        elapsed: started.elapsed(),
        commits,
    })
}

/// Makes a store that holds so many finished payments.
fn fill(state: &Path, keys: u64) -> Result<()> {
    let mut names = (0..keys)
        .map(|of| Ok((Payment::new(of)?.name, of)))
        .collect::<Result<Vec<_>>>()?;
    names.sort_unstable();
    let at = now();
    let finished = names.into_iter().filter_map(|(name, of)| {
        let Payment { owner, print, .. } = Payment::new(of).ok()?;
        let state = State::Done {
            status: Some(201),
            transaction_id: Some(transaction(of)),
            completed_at: at,
            keep_until: at + KEEP.as_secs(),
            answer: None,
        };
        let record = Record {
            fingerprint: print,
            owner: Some(owner),
            state,
        };
        Some((name, record))
    });
    Ok(Store::make(state, finished)?)
}

/// So many clients pay, each one thing after the other, until the time is over.
fn pay(store: &Store, next: &Arc<AtomicU64>, clients: usize) -> Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let before = store.stats().commits;
    let started = Instant::now();
    let took = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let (store, next) = (store.clone(), Arc::clone(next));
            tasks.spawn(async move {
                let mut took = Vec::new();
                while started.elapsed() < MEASURE / SLICES {
                    let key = next.fetch_add(1, Ordering::Relaxed);
                    let from = Instant::now();
                    pay_once(&store, key).await?;
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
    Ok(Figures {
        took,
        elapsed: started.elapsed(),
        commits: store.stats().commits - before,
    })
}

/// A payment, as the gateway sees it.
struct Payment {
    name: RecordKey,
    owner: Arc<Owner>,
    print: Fingerprint,
}

impl Payment {
    fn new(of: u64) -> Result<Self> {
        let text = format!("payment-{of:012}");
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-idempotency-key"),
            HeaderValue::try_from(&text)?,
        )]);
        let key = IdempotencyKey::parse(&headers)?.context("no key")?;
        let who = ["https://idp.city.example", "etl-1", "ledger", "/api/ledger/sync"];
        let [issuer, user, module, route] = who;
        let mut print = Fingerprint::of(&Method::POST, route, None);
        print.body(text.as_bytes());
        Ok(Self {
            name: RecordKey::new(issuer, user, module, route, &key),
            owner: Arc::new(Owner::new(issuer, user, module, route, &key)),
            print: print.finish(),
        })
    }
}

async fn pay_once(store: &Store, of: u64) -> Result<()> {
    let Payment { name, owner, print } = Payment::new(of)?;
    let claim = store.reserve(name, Some(owner), print, KEEP, now()).await?;
    let Claim::Granted(reservation) = claim else {
        bail!("key {of} is not new");
    };
    Ok(reservation.complete(201, Some(transaction(of)), now()).await?)
}

fn transaction(of: u64) -> Box<str> {
    format!("T-{of:016}").into_boxed_str()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

impl Figures {
    /// Those of one slice more.
    fn add(&mut self, slice: Self) {
        self.took.extend(slice.took);
        self.took.sort_unstable();
        self.elapsed += slice.elapsed;
        self.commits += slice.commits;
    }

    fn at(&self, percent: usize) -> Duration {
        let place = self.took.len() * percent / 100;
        let last = self.took.len().saturating_sub(1);
        self.took.get(place.min(last)).copied().unwrap_or_default()
    }

    fn each_second(&self, count: impl TryInto<u32>) -> f64 {
        f64::from(count.try_into().unwrap_or(u32::MAX)) / self.elapsed.as_secs_f64()
    }
}
