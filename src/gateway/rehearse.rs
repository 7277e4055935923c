//! Fifth step, between the decision and its consequences: a dry run is answered here, and nothing of it goes further (S1.10;
//! interface, section 7).
//!
//! [`Intent::of`] is the fork. What may be forwarded is an [`Earnest`] call, which only a query without a dry run can make:
//! the step that forwards takes nothing else. A [`Rehearsal`] has no way to the keys or to anything that lasts, and none to a backend but
//! [`balances`]' question, in which nothing of its own request is.

use bytes::Bytes;
use http::uri::PathAndQuery;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

use super::balances;
use super::decide::Inbound;
use super::lookup::Asker;
use super::mask::Pending;
use super::record::Line;
use super::refusal::Refusal;
use crate::call::Call;
use crate::ledger::schema::Fault;
use crate::ledger::{BalanceFault, Deltas, Expected};
use crate::policy::Permit;
use crate::policy::parts::DryRun;
use crate::reason::Reason;

/// Bodies up to this size are looked at where they are; larger ones must not keep a worker's other requests waiting.
const SMALL: usize = 16 * 1024;

/// Most large bodies that are looked at at one time, in all workers: each may take some 40 MB of memory meanwhile.
const MAX_CHECKS: usize = 4;

/// Longest wait for a turn to have a large body looked at.
const MAX_CHECK_WAIT: Duration = Duration::from_secs(10);

static CHECKS: Semaphore = Semaphore::const_new(MAX_CHECKS);

/// What a permitted call wants.
#[derive(Debug)]
pub(super) enum Intent {
    /// To know what would happen.
    DryRun(Rehearsal),
    /// That it happens.
    Earnest(Earnest),
}

/// A dry run.
#[derive(Debug)]
pub(super) struct Rehearsal {
    call: Box<Call>,
}

/// A call that is no dry run, and its target. Made by [`Intent::of`] only.
#[derive(Debug)]
pub(super) struct Earnest {
    call: Box<Call>,
    /// Path and query as they came.
    target: PathAndQuery,
}

impl Intent {
    /// Reads the query, in which a dry run can be spelled in one way only.
    pub(super) fn of(call: Box<Call>, target: PathAndQuery) -> Result<Self, Refusal> {
        // What is read here is what a backend would be sent.
        if target.query() != call.query.raw() {
            return Err(Refusal::because(
                Reason::Internal,
                "the target has another query than the call",
            ));
        }
        match call.query.dry_run() {
            Ok(false) => Ok(Self::Earnest(Earnest { call, target })),
            Ok(true) => Ok(Self::DryRun(Rehearsal { call })),
            Err(fault) => Err(Refusal::because(Reason::AmbiguousRequest, fault.to_string())),
        }
    }
}

impl Earnest {
    /// The call.
    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    /// What a request is made of.
    pub(super) fn into_parts(self) -> (Box<Call>, PathAndQuery) {
        (self.call, self.target)
    }
}

impl Rehearsal {
    /// Says what the write would do.
    pub(super) async fn answer(
        self,
        permit: &Permit,
        body: Inbound,
        asker: Asker<'_>,
        line: &mut Line,
    ) -> Result<Pending, Refusal> {
        let rules = rules_of_dry_run(&self.call, permit)?;
        let body = body.read(&asker.shared.room).await?;
        let deltas = look(rules, &body, DryRun::add_up)
            .await?
            .map_err(|faults| Refusal::invalid(Reason::DryRunInvalid, faults))?;
        let expected = match &rules.balances {
            None => Vec::new(),
            Some(balances) => {
                let answer = balances::ask(asker, balances, &self.call, line).await?;
                let expected = deltas.expected(&answer, &balances.pointer);
                expected.map_err(|fault| unknown_balance(rules, fault))?
            }
        };
        let request_id = asker.arrival.request_id.to_str().unwrap_or_default();
        Ok(Pending::rehearsed(told(&deltas, &expected, request_id), line))
    }
}

fn unknown_balance(rules: &DryRun, fault: BalanceFault) -> Refusal {
    match fault {
        BalanceFault::Unreadable => Refusal::because(Reason::UpstreamBroken, fault.to_string()),
        BalanceFault::NoAccount(entry) => {
            let pointer = format!("{}/{entry}{}", rules.entries.entries, rules.entries.account);
            Refusal::invalid(
                Reason::DryRunInvalid,
                vec![Fault::new(&pointer, "is no account that has a balance")],
            )
        }
    }
}

/// The rules by which a dry run of this call is answered.
pub(super) fn rules_of_dry_run<'p>(call: &Call, permit: &'p Permit) -> Result<&'p Arc<DryRun>, Refusal> {
    rules(call, permit).ok_or_else(|| Reason::DryRunUnsupported.into())
}

/// The rules for the body of this call, if it is one that changes something.
pub(super) fn rules<'p>(call: &Call, permit: &'p Permit) -> Option<&'p Arc<DryRun>> {
    permit.route().dry_run.as_ref().filter(|_| call.is_unsafe())
}

/// Holds the body of a real write against the route's schema.
pub(super) async fn faults(rules: &Arc<DryRun>, body: &Bytes) -> Result<Vec<Fault>, Refusal> {
    look(rules, body, DryRun::check).await
}

/// Looks at a body, a large one on a thread of its own.
async fn look<T: Send + 'static>(
    rules: &Arc<DryRun>,
    body: &Bytes,
    how: fn(&DryRun, &[u8]) -> T,
) -> Result<T, Refusal> {
    if body.len() <= SMALL {
        return Ok(how(rules, body));
    }
    let Ok(Ok(turn)) = tokio::time::timeout(MAX_CHECK_WAIT, CHECKS.acquire()).await else {
        return Err(Reason::ChecksBusy.into());
    };
    let (rules, body) = (Arc::clone(rules), body.clone());
    let looked = tokio::task::spawn_blocking(move || {
        // Held until the work is done, though the client may have gone.
        let _turn = turn;
        how(&rules, &body)
    });
    looked.await.map_err(|_| Reason::Internal.into())
}

#[derive(Serialize)]
struct Told<'a> {
    dry_run: bool,
    entries: usize,
    deltas: Vec<ToldDelta<'a>>,
    total: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct ToldDelta<'a> {
    account: &'a str,
    delta: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
}

/// The answer; `expected` is empty, or has one for each account.
fn told(deltas: &Deltas, expected: &[Expected], request_id: &str) -> Bytes {
    let mut expected = expected.iter();
    let told = Told {
        dry_run: true,
        entries: deltas.entries,
        deltas: deltas
            .accounts
            .iter()
            .map(|one| {
                let expected = expected.next();
                ToldDelta {
                    account: &one.account,
                    delta: one.sum.to_plain(),
                    balance: expected.map(|expected| &*expected.balance),
                    expected: expected.map(|expected| &*expected.expected),
                }
            })
            .collect(),
        total: deltas.total.to_plain(),
        currency: deltas.currency.as_deref(),
        request_id,
    };
    // A struct of strings and numbers always serialises.
    serde_json::to_vec(&told).unwrap_or_default().into()
}
