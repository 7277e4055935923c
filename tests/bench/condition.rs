//! What a condition costs for each request, beside the interpreter of the library whose parser it shares.
//!
//! `cargo bench --bench condition` prints a table; without `--bench` every row is run once, to see that it works. The
//! library is given a context that is already made, which is the better half of its cost: a gateway would have to make
//! one for each request.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use serde_json::json;
use tollgate::call::{Call, Path, Query};
use tollgate::policy::Condition;
use tollgate::policy::bits::Bits;
use tollgate::policy::condition::{CallerFacts, Facts, Names};

/// How long one row is measured.
const TIME: Duration = Duration::from_millis(300);

/// Evaluations between two looks at the clock.
const BATCH: u32 = 1000;

/// A name, the condition, and the same in what the library can evaluate.
const ROWS: [(&str, &str); 4] = [
    (
        "account and county",
        "path.account_id.startsWith(\"A\") && \"County_A\" in caller.jurisdictions",
    ),
    (
        "S1.3 customer class",
        "path.class == \"commercial\" || \"all_classes\" in caller.roles",
    ),
    (
        "S2.7 tax authority",
        "path.authority in caller.claims.tax_authorities && caller.claims.schedule >= 7",
    ),
    ("S3.4 own rows", "path.driver_id == caller.user"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let time = if std::env::args().any(|arg| arg == "--bench") {
        TIME
    } else {
        Duration::ZERO
    };
    let parameters = ["account_id", "class", "authority", "driver_id"];
    let names = Names {
        parameters: parameters
            .iter()
            .enumerate()
            .map(|(at, name)| ((*name).into(), at))
            .collect(),
        caller: true,
        ..Names::default()
    };
    let call = Call {
        method: Method::GET,
        path: Path::parse("/A-17/commercial/TA-7/u1")?,
        query: Query::parse(None)?,
        host: "billing.city.example".into(),
        headers: HeaderMap::new(),
        source: [127, 0, 0, 1].into(),
        certificate: None,
    };
    let roles: [Arc<str>; 1] = ["auditor".into()];
    let counties = ["County_B".to_owned(), "County_A".to_owned()];
    let claims = json!({"tax_authorities": ["TA-1", "TA-7"], "schedule": 7});
    let claims = claims.as_object().ok_or("the claims are no object")?;
    let facts = Facts {
        caller: Some(CallerFacts {
            user: "u1",
            roles: &roles,
            scopes: &[],
            held: &Bits::new(0),
            jurisdictions: &counties,
            claims,
        }),
        call: &call,
        prefix: 0,
        body: None,
        row: None,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let context = context()?;
    println!("{:<22} {:>12} {:>12} {:>8}", "", "condition", "library", "ratio");
    for (name, source) in ROWS {
        let condition = Condition::compile(source, &names).map_err(|faults| format!("{name}: {faults:?}"))?;
        let program = cel::Program::compile(source)?;
        let own = measure(time, || condition.holds(black_box(&facts)).map_err(Into::into))?;
        let library = measure(time, || match program.execute(black_box(&context)) {
            Ok(cel::Value::Bool(holds)) => Ok(holds),
            other => Err(format!("{name}: {other:?}").into()),
        })?;
        println!(
            "{name:<22} {own:>9.1} ns {library:>9.1} ns {:>7.1}x",
            library / own.max(f64::MIN_POSITIVE)
        );
    }
    Ok(())
}

/// The same facts for the library.
fn context() -> Result<cel::Context<'static, 'static>, Box<dyn Error>> {
    let mut context = cel::Context::default();
    context.add_variable(
        "path",
        json!({"account_id": "A-17", "class": "commercial", "authority": "TA-7", "driver_id": "u1"}),
    )?;
    context.add_variable(
        "caller",
        json!({
            "user": "u1",
            "roles": ["auditor"],
            "jurisdictions": ["County_B", "County_A"],
            "claims": {"tax_authorities": ["TA-1", "TA-7"], "schedule": 7},
        }),
    )?;
    Ok(context)
}

/// Nanoseconds of one run: the best batch, as what else the machine does only ever adds.
fn measure(time: Duration, mut run: impl FnMut() -> Result<bool, Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let started = Instant::now();
    let mut best = f64::INFINITY;
    loop {
        let batch = Instant::now();
        for _ in 0..BATCH {
            if !black_box(run()?) {
                return Err("the condition does not hold".into());
            }
        }
        best = best.min(batch.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH));
        if started.elapsed() >= time {
            return Ok(best);
        }
    }
}
