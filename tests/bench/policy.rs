//! Whether size costs anything: a policy of 10,000 routes in 500 modules with 1,000 roles, beside one of ten routes.
//!
//! `cargo bench --bench policy` prints how long each takes to load (files to tables) and how many decisions a second it
//! makes: with ten requests again and again, and with two thousand in turn, which of the large policy touch so much memory
//! that it does not stay in the processor's nearest caches. `-- --growth` prints how loading grows in ten steps instead, to
//! find what is not linear. Without `--bench` (as `cargo test --all-targets` runs it) everything is run once, to see that it
//! works.

#[path = "policy/city.rs"]
mod city;

use http::{HeaderMap, Method};
use std::error::Error;
use std::hint::black_box;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, Instant};

use city::{LARGE, SMALL, Size};
use tollgate::call::{Call, Path, Query};
use tollgate::config::load_policy;
use tollgate::identity::Caller;
use tollgate::policy::{Authority, Decision, Policy, evaluate};

/// How long decisions are measured.
const TIME: Duration = Duration::from_millis(1_000);
/// How often a policy is loaded; the median counts.
const LOADS: usize = 9;
/// Requests that are made ready, each by a caller who may make it: as many for either policy, so that their own memory
/// weighs alike.
const REQUESTS: usize = 2_000;

/// Requests that are made again and again.
const FEW: usize = 10;

type Fault = Box<dyn Error>;

fn main() -> Result<(), Fault> {
    let asked = |name: &str| std::env::args().any(|arg| arg == name);
    if asked("--growth") {
        return growth();
    }
    let (loads, time) = if asked("--bench") {
        (LOADS, TIME)
    } else {
        (1, Duration::ZERO)
    };
    println!(
        "{:<28} {:>12} {:>20} {:>20}",
        "",
        "load",
        format!("one of {FEW}, again"),
        format!("{REQUESTS} in turn")
    );
    let mut rates = Vec::new();
    for size in [SMALL, LARGE] {
        let (took, policy) = load(size, loads)?;
        let policy = Arc::new(policy);
        let requests = requests(size, &policy)?;
        let few = decisions(&policy, requests.get(..FEW).unwrap_or(&requests), time)?;
        let all = decisions(&policy, &requests, time)?;
        let name = format!("{} routes, {} roles", size.modules * size.routes, size.roles);
        println!(
            "{name:<28} {:>9.1} ms {few:>17.0} ns {all:>17.0} ns",
            took.as_secs_f64() * 1e3
        );
        rates.push((took.as_secs_f64(), few, all));
    }
    if let [(small_load, small_few, small_all), (large_load, large_few, large_all)] = rates[..] {
        println!(
            "{:<28} {:>11.1}x {:>19.2}x {:>19.2}x",
            "large beside small",
            large_load / small_load,
            large_few / small_few,
            large_all / small_all
        );
    }
    Ok(())
}

/// Loads a policy of some size a few times: the median, and the policy.
fn load(size: Size, times: usize) -> Result<(Duration, Policy), Fault> {
    let folder = tempfile::tempdir()?;
    size.write(folder.path())?;
    let mut all = Vec::new();
    let mut policy = load_once(folder.path())?;
    for _ in 0..times {
        let started = Instant::now();
        policy = load_once(folder.path())?;
        all.push(started.elapsed());
    }
    all.sort();
    let median = all.get(all.len() / 2).copied().unwrap_or_default();
    Ok((median, policy))
}

fn load_once(folder: &FilePath) -> Result<Policy, Fault> {
    let loaded = load_policy(folder, &["billing".into()]).map_err(|problems| tollgate::config::render(&problems))?;
    Ok(loaded.policy)
}

/// Nanoseconds for a decision: callers are known already, as the gateway knows them after their first request.
fn decisions(policy: &Arc<Policy>, requests: &[(Call, Authority)], time: Duration) -> Result<f64, Fault> {
    let now = jiff::Timestamp::now();
    let (started, mut count) = (Instant::now(), 0_u32);
    loop {
        for (call, authority) in requests {
            match evaluate(policy, black_box(call), Some(authority), now, &mut ()) {
                Decision::Allow(permit) => _ = black_box(permit),
                other => return Err(format!("{} was not allowed: {other:?}", call.path.decoded()).into()),
            }
            count += 1;
        }
        if started.elapsed() >= time {
            return Ok(started.elapsed().as_secs_f64() * 1e9 / f64::from(count));
        }
    }
}

fn requests(size: Size, policy: &Policy) -> Result<Vec<(Call, Authority)>, Fault> {
    let all = size.modules * size.routes;
    let step = (all / REQUESTS).max(1);
    // Never two of one module in a row, as requests come.
    let places = (0..REQUESTS).map(|number| {
        let number = number * step % all;
        (number % size.modules, (number / size.modules) % size.routes)
    });
    places
        .map(|(module, route)| {
            let caller = Caller {
                issuer: "https://idp.city.example".into(),
                user: "u1".into(),
                roles: vec![size.role_for(module)],
                scopes: None,
                jurisdictions: vec!["County_A".into()],
                claims: serde_json::Map::new(),
                issued_at: None,
                expires_at: 2_000_000_000,
                token_id: None,
                bound_to: None,
            };
            let authority = Authority::new(policy, caller).map_err(|refused| format!("{refused:?}"))?;
            let call = Call {
                method: Method::GET,
                path: Path::parse(&size.path(module, route))?,
                query: Query::parse(None)?,
                host: "billing.city.example".into(),
                headers: HeaderMap::new(),
                source: [127, 0, 0, 1].into(),
                certificate: None,
            };
            Ok((call, authority))
        })
        .collect()
}

/// Time per route should not grow: ten times the policy, ten times the time.
fn growth() -> Result<(), Fault> {
    println!("{:>10} {:>12} {:>14}", "routes", "load", "per route");
    for tenths in [1, 2, 5, 10] {
        let size = Size {
            modules: LARGE.modules * tenths / 10,
            roles: LARGE.roles * tenths / 10,
            ..LARGE
        };
        let (took, _) = load(size, 3)?;
        let routes = size.modules * size.routes;
        let micros = took.as_secs_f64() * 1e6;
        println!(
            "{routes:>10} {:>9.1} ms {:>11.2} us",
            micros / 1e3,
            micros / f64::from(u32::try_from(routes)?)
        );
    }
    Ok(())
}
