//! The audit line of a request, grown step by step as the request is understood.
//!
//! Every request makes exactly one line and one count, both from the same [`Outcome`] (invariant 5). A line is
//! filed when the answer is known; one that is dropped before (the client hung up, a panic) files itself as that.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use super::refusal::{Refusal, status};
use super::rules::Rules;
use crate::audit::Entry;
use crate::call::Call;
use crate::edge::journal::{Filed, Slot};
use crate::edge::metrics::RouteMeter;
use crate::masking::{Masker, Tolerated};
use crate::policy::{Authority, Denial, Permit, Place, route};
use crate::reason::{Outcome, Reason};

/// What dropped rows are called where field classes are counted; no class can have the name.
const ROWS: &str = "(rows)";

/// An audit line in the making.
#[derive(Debug)]
pub struct Line {
    /// What is left to be filed; none once it has been.
    open: Option<Open>,
    /// Whether the answer must wait until the line is on disk.
    durable: bool,
}

#[derive(Debug)]
struct Open {
    slot: Slot,
    /// Boxed: a line is handed from step to step.
    entry: Box<Entry>,
    rules: Arc<Rules>,
    meter: Arc<RouteMeter>,
    place: Option<Place>,
    started: Instant,
    permitted: bool,
}

impl Line {
    /// Starts a line in the room that was kept for it.
    pub(super) fn open(slot: Slot, rules: &Arc<Rules>, entry: Box<Entry>, started: Instant) -> Self {
        Self {
            open: Some(Open {
                slot,
                entry,
                meter: Arc::clone(rules.unrouted()),
                place: None,
                rules: Arc::clone(rules),
                started,
                permitted: false,
            }),
            durable: false,
        }
    }

    /// When the request came, in unix seconds; before 1970 it is 1970, when no token is valid yet.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.at().as_second()).unwrap_or(0)
    }

    /// When the request came.
    pub(super) fn at(&self) -> jiff::Timestamp {
        self.open
            .as_ref()
            .map_or(jiff::Timestamp::UNIX_EPOCH, |open| open.entry.at)
    }

    /// The request is understood.
    pub(super) fn call(&mut self, call: &Call, durable: bool) {
        self.durable = durable;
        if let Some(open) = &mut self.open {
            open.entry.source = call.source;
            open.entry.endpoint = Some(Arc::clone(call.path.shared()));
        }
    }

    /// It is known who asks.
    pub(super) fn caller(&mut self, authority: &Arc<Authority>) {
        if let Some(open) = &mut self.open {
            open.entry.caller = Some(Arc::clone(authority));
        }
    }

    /// Nobody may know where the request would have gone but the operator.
    pub(super) fn sought(&mut self, call: &Call) {
        let place = self
            .open
            .as_ref()
            .and_then(|open| route(open.rules.policy(), call).ok())
            .map(|(place, _)| place);
        if let Some(place) = place {
            self.place(place, None);
        }
    }

    /// It is known where the request goes, and perhaps what scope that asks.
    pub(super) fn place(&mut self, place: Place, scope: Option<&Arc<str>>) {
        let Some(open) = &mut self.open else { return };
        let (module, route) = open.rules.policy().names(place);
        open.meter = open.rules.meter(place);
        open.place = Some(place);
        open.entry.module = module;
        open.entry.route = route;
        open.entry.requested_scope = scope.cloned();
    }

    /// It may be forwarded although a rule denies it: the rule is on trial.
    pub(super) fn would_deny(&mut self, denial: &Denial) {
        if let Some(open) = &mut self.open {
            open.entry.would_deny = Some(denial.reason);
            open.entry.detail = denial.detail.clone().map(Cow::Owned);
        }
    }

    /// The same of its body, unless a rule denies the request already.
    pub(super) fn would_refuse(&mut self, refusal: &Refusal) {
        if let Some(open) = &mut self.open
            && open.entry.would_deny.is_none()
        {
            open.entry.would_deny = Some(refusal.reason);
            open.entry.detail.clone_from(&refusal.detail);
        }
    }

    /// A backend is asked something, and the request itself is not forwarded.
    pub(super) fn asks(&mut self, permit: &Permit) {
        if let Some(open) = &mut self.open {
            open.entry.upstream = permit.module().map(|module| Arc::clone(&module.upstream_name));
        }
    }

    /// It may be forwarded.
    pub(super) fn permitted(&mut self, permit: &Permit) {
        if let Some(open) = &mut self.open {
            open.permitted = true;
        }
        self.asks(permit);
    }

    /// It is answered with what was kept, and no backend is asked.
    pub(super) fn repeats(&mut self) {
        self.detail("the kept answer of the first request".into());
        if let Some(open) = &mut self.open {
            open.entry.upstream = None;
        }
    }

    /// What did not go out of an answer.
    pub(super) fn cut(&mut self, masker: &Masker) {
        self.masked(masker.tally());
        self.tolerated(&masker.tolerated());
        let dropped = masker.dropped();
        let Some(open) = self.open.as_mut().filter(|_| dropped > 0) else {
            return;
        };
        if let Some(counter) = open.place.and_then(|place| open.rules.rows(place)) {
            counter.inc_by(u64::from(dropped));
        }
        open.entry.masked.push((ROWS.into(), dropped));
    }

    fn tolerated(&self, counts: &Tolerated) {
        let place = self.open.as_ref().and_then(|open| Some((&open.rules, open.place?)));
        let counters = place.into_iter().flat_map(|(rules, place)| rules.tolerated(place));
        for (counter, &count) in counters.zip(counts) {
            counter.inc_by(u64::from(count));
        }
    }

    /// What was masked: counts by class index.
    pub(super) fn masked(&mut self, counts: &[u32]) {
        let Some(open) = &mut self.open else { return };
        for (class, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let Some((name, counter)) = open.rules.class(class) else {
                continue;
            };
            counter.inc_by(u64::from(count));
            match open.entry.masked.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum = sum.saturating_add(count),
                None => open.entry.masked.push((Arc::clone(name), count)),
            }
        }
    }

    /// More for the operator.
    pub(super) fn detail(&mut self, detail: Cow<'static, str>) {
        if let Some(open) = &mut self.open {
            open.entry.detail = Some(detail);
        }
    }

    /// The backend's answer goes out with this status.
    pub(super) fn status(&mut self, status: u16) {
        if let Some(open) = &mut self.open {
            open.entry.status = Some(status);
        }
    }

    /// Tollgate answers itself: what it says is what the line says.
    pub(super) fn refuse(&mut self, refusal: &Refusal) -> Option<Filed> {
        if let Some(detail) = &refusal.detail {
            self.detail(detail.clone());
        }
        self.status(status(refusal.reason).as_u16());
        self.file(Outcome::Refused(refusal.reason))
    }

    /// Files the line and counts the request. Gives what to wait for if the answer must not go out before the line
    /// is on disk.
    pub(super) fn file(&mut self, outcome: Outcome) -> Option<Filed> {
        let Open {
            slot,
            mut entry,
            meter,
            started,
            ..
        } = self.open.take()?;
        entry.outcome = outcome;
        entry.duration = started.elapsed();
        let method = entry.method.as_ref().map(http::Method::as_str);
        meter.count(method, entry.status, outcome, entry.duration);
        if let Some(reason) = entry.would_deny {
            meter.would_deny(reason);
        }
        slot.file(entry, self.durable)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Some(open) = &self.open else { return };
        let outcome = if std::thread::panicking() {
            Outcome::Refused(Reason::Internal)
        } else if open.permitted {
            Outcome::Abandoned
        } else {
            Outcome::Refused(Reason::ClientClosed)
        };
        // Nobody is left to wait for it.
        let _ = self.file(outcome);
    }
}
