//! The counters of the interface's section 11, behind names of our own.
//!
//! Labels come from the policy or from closed lists, never from a request. What a route counts is looked up
//! once and kept beside the route ([`RouteMeter`]), so that counting a request costs a few atomic additions.

use foldhash::fast::RandomState;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::store::{SharedPacing, Stats};
use crate::reason::{Outcome, Reason};

/// Upper bounds of the duration histograms, in seconds.
const DURATIONS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// The label of what is not known: no module took the path, no status was sent.
const NONE: &str = "none";

/// Methods as labels; anything else is `other`.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

/// Every metric that Tollgate has.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    decisions: IntCounterVec,
    would_deny: IntCounterVec,
    duration: HistogramVec,
    upstream_duration: HistogramVec,
    upstream_up: IntGaugeVec,
    masked: IntCounterVec,
    rows: IntCounterVec,
    tolerated: IntCounterVec,
    idempotency: IntCounterVec,
    reloads: IntCounterVec,
    policy_info: IntGaugeVec,
    policy_loaded: IntGauge,
    reload_failed: IntGauge,
    audit_records: IntCounter,
    paces_shared: IntGauge,
    paces_alone: IntCounter,
    /// How far `audit_records` and `paces_alone` have been brought.
    seen: Mutex<(u64, u64)>,
    connections: IntGauge,
    turned_away: IntCounterVec,
    streams_refused: IntCounter,
    store_keys: IntGauge,
    store_bytes: IntGauge,
    store_unknown: IntGauge,
    store_up: IntGauge,
    store_waiting: IntGauge,
}

/// Why a connection is closed, whatever else it may have to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// Its address has as many as it may have.
    TooMany,
    /// It comes from no proxy whose PROXY header is believed, or does not begin with one.
    Proxy,
    /// It sends more HTTP/2 frames that ask for nothing than any client has a use for.
    Frames,
}

impl TurnedAway {
    const fn label(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::Proxy => "proxy_protocol",
            Self::Frames => "frames",
        }
    }
}

/// What one route counts, each counter found once.
#[derive(Debug)]
pub struct RouteMeter {
    metrics: Arc<Metrics>,
    module: Arc<str>,
    route: Arc<str>,
    duration: Histogram,
    /// By method and status.
    requests: RwLock<HashMap<(u8, u16), IntCounter, RandomState>>,
    /// By decision.
    decisions: RwLock<HashMap<&'static str, IntCounter, RandomState>>,
}

impl Metrics {
    /// All of them, at zero.
    ///
    /// # Errors
    /// Two metrics of one name: a mistake of ours, found by the first test.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let histograms = |name: &str, help: &str, label: &str| -> Result<HistogramVec, prometheus::Error> {
            let vec = HistogramVec::new(HistogramOpts::new(name, help).buckets(DURATIONS.to_vec()), &[label])?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let gauges = |name: &str, help: &str, label: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let vec = IntGaugeVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Arc::new(Self {
            requests: counters(
                "tollgate_requests_total",
                "Requests answered.",
                &["module", "route", "method", "status"],
            )?,
            decisions: counters("tollgate_decisions_total", "Decisions made.", &["decision", "module"])?,
            would_deny: counters(
                "tollgate_would_deny_total",
                "Requests let through that a rule in shadow mode denies.",
                &["decision", "module"],
            )?,
            duration: histograms(
                "tollgate_request_duration_seconds",
                "From a request's head to the end of its answer.",
                "module",
            )?,
            upstream_duration: histograms(
                "tollgate_upstream_duration_seconds",
                "From sending a request upstream to the head of the answer.",
                "upstream",
            )?,
            upstream_up: gauges(
                "tollgate_upstream_up",
                "1 if the last attempt to reach the upstream succeeded.",
                "upstream",
            )?,
            masked: counters(
                "tollgate_masked_fields_total",
                "Response fields and headers masked, by field class.",
                &["class"],
            )?,
            rows: counters(
                "tollgate_rows_dropped_total",
                "Rows of responses dropped, by module.",
                &["module"],
            )?,
            tolerated: counters(
                "tollgate_tolerated_total",
                "What was not quite JSON in answers that were masked, by module and kind.",
                &["module", "kind"],
            )?,
            idempotency: counters(
                "tollgate_idempotency_total",
                "Keyed writes, by what became of the key.",
                &["outcome"],
            )?,
            reloads: counters(
                "tollgate_policy_reloads_total",
                "Attempts to load the policy, by result.",
                &["result"],
            )?,
            policy_info: gauges("tollgate_policy_info", "1 for the policy in force.", "version")?,
            policy_loaded: gauge(
                "tollgate_policy_loaded_timestamp_seconds",
                "When the policy in force was loaded.",
            )?,
            reload_failed: gauge(
                "tollgate_policy_reload_failed",
                "1 while the policy files on disk do not load.",
            )?,
            audit_records: counter("tollgate_audit_records_total", "Lines written to the audit log.")?,
            paces_shared: gauge(
                "tollgate_rate_limits_shared",
                "1 while rate limits are counted in the shared store.",
            )?,
            paces_alone: counter(
                "tollgate_rate_limits_alone_total",
                "Requests with a rate limit, and bad tokens, that this gateway counted for itself because the shared store did not.",
            )?,
            seen: Mutex::default(),
            connections: gauge("tollgate_connections", "Client connections open.")?,
            turned_away: counters(
                "tollgate_connections_refused_total",
                "Client connections closed whatever else they had to ask, by reason.",
                &["reason"],
            )?,
            streams_refused: counter(
                "tollgate_streams_refused_total",
                "HTTP/2 requests refused unread because their connection had as many as it may have; they may be sent again.",
            )?,
            store_keys: gauge("tollgate_store_keys", "Idempotency keys in the store.")?,
            store_bytes: gauge("tollgate_store_bytes", "Size of the store's file in bytes.")?,
            store_up: gauge("tollgate_store_up", "1 while the store takes keyed writes.")?,
            store_waiting: gauge("tollgate_store_waiting", "Requests that wait for the store.")?,
            store_unknown: gauge(
                "tollgate_store_unknown",
                "Keyed writes whose outcome is unknown until an operator settles it.",
            )?,
            registry,
        }))
    }

    /// The text exposition format, version 0.0.4.
    ///
    /// # Errors
    /// A metric that cannot be written.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }

    /// The meter of a route, or of requests that met none.
    #[must_use]
    pub fn route(self: &Arc<Self>, module: Option<&Arc<str>>, route: Option<&Arc<str>>) -> Arc<RouteMeter> {
        let module = module.map_or_else(|| NONE.into(), Arc::clone);
        Arc::new(RouteMeter {
            duration: self.duration.with_label_values(&[&*module]),
            route: route.map_or_else(|| NONE.into(), Arc::clone),
            module,
            metrics: Arc::clone(self),
            requests: RwLock::default(),
            decisions: RwLock::default(),
        })
    }

    /// How long an upstream took to the head of its answer.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Histogram {
        self.upstream_duration.with_label_values(&[name])
    }

    /// The counter of masked fields of a class.
    #[must_use]
    pub fn masked(&self, class: &str) -> IntCounter {
        self.masked.with_label_values(&[class])
    }

    /// The counter of dropped rows of a module.
    #[must_use]
    pub fn rows(&self, module: &str) -> IntCounter {
        self.rows.with_label_values(&[module])
    }

    /// The counter of one kind of what a module tolerates in JSON.
    #[must_use]
    pub fn tolerated(&self, module: &str, kind: &str) -> IntCounter {
        self.tolerated.with_label_values(&[module, kind])
    }

    /// A keyed write, by what became of its key.
    pub fn idempotency(&self, outcome: &str) {
        self.idempotency.with_label_values(&[outcome]).inc();
    }

    /// A policy is in force from `at` (unix seconds) on.
    pub fn policy_loaded(&self, version: &str, at: i64) {
        self.reloads.with_label_values(&["success"]).inc();
        self.policy_info.reset();
        self.policy_info.with_label_values(&[version]).set(1);
        self.policy_loaded.set(at);
        self.reload_failed.set(0);
    }

    /// The files on disk do not load; the last good policy stays.
    pub fn policy_refused(&self) {
        self.reloads.with_label_values(&["failure"]).inc();
        self.reload_failed.set(1);
    }

    /// Client connections open.
    #[must_use]
    pub fn connections(&self) -> &IntGauge {
        &self.connections
    }

    /// A connection was closed, whatever else it had to ask.
    pub fn turned_away(&self, why: TurnedAway) {
        self.turned_away.with_label_values(&[why.label()]).inc();
    }

    /// An HTTP/2 request was refused unread because its connection had as many as it may have.
    pub fn stream_refused(&self) {
        self.streams_refused.inc();
    }

    /// What others know, brought up to date before it is shown.
    pub fn observe(
        &self,
        audit_records: u64,
        store: Stats,
        paces: SharedPacing,
        upstreams: impl Iterator<Item = (Arc<str>, bool)>,
    ) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (records, alone) = &mut *seen;
        for (counter, known, value) in [
            (&self.audit_records, records, audit_records),
            (&self.paces_alone, alone, paces.alone),
        ] {
            counter.inc_by(value.saturating_sub(*known));
            *known = value.max(*known);
        }
        drop(seen);
        self.paces_shared.set(i64::from(paces.up));
        for (gauge, value) in [
            (&self.store_keys, store.keys),
            (&self.store_bytes, store.file_bytes),
            (&self.store_unknown, store.unknown),
            (&self.store_up, u64::from(store.up)),
            (&self.store_waiting, u64::try_from(store.waiting).unwrap_or(u64::MAX)),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        for (name, up) in upstreams {
            self.upstream_up.with_label_values(&[&*name]).set(i64::from(up));
        }
    }
}

impl RouteMeter {
    /// One request, over. `status` is absent when no answer was sent.
    pub fn count(&self, method: Option<&str>, status: Option<u16>, outcome: Outcome, took: Duration) {
        let method = method.map_or(METHODS.len() - 1, |name| {
            METHODS.iter().position(|own| *own == name).unwrap_or(METHODS.len() - 1)
        });
        let key = (u8::try_from(method).unwrap_or(u8::MAX), status.unwrap_or(0));
        let text = METHODS.get(method).copied().unwrap_or("other");
        count_in(&self.requests, key, || {
            let status = status.map_or_else(|| NONE.to_owned(), |status| status.to_string());
            self.metrics
                .requests
                .with_label_values(&[&*self.module, &*self.route, text, &status])
        });
        let decision = outcome.decision();
        count_in(&self.decisions, decision, || {
            self.metrics.decisions.with_label_values(&[decision, &*self.module])
        });
        self.duration.observe(took.as_secs_f64());
    }

    /// The request was let through, and a rule in shadow mode denies it.
    pub fn would_deny(&self, reason: Reason) {
        let labels = [reason.decision(), &*self.module];
        self.metrics.would_deny.with_label_values(&labels).inc();
    }
}

/// Adds one to the counter at `key`, which is looked up by its labels the first time only.
fn count_in<K: std::hash::Hash + Eq>(
    known: &RwLock<HashMap<K, IntCounter, RandomState>>,
    key: K,
    find: impl FnOnce() -> IntCounter,
) {
    if let Some(counter) = known.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        counter.inc();
        return;
    }
    let counter = find();
    counter.inc();
    known
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(key, counter);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_under_each_label() {
        let metrics = Metrics::new().unwrap();
        let module: Arc<str> = "ledger".into();
        let route: Arc<str> = "/api/ledger/sync".into();
        let meter = metrics.route(Some(&module), Some(&route));
        meter.count(Some("POST"), Some(200), Outcome::Allowed, Duration::from_millis(3));
        meter.count(Some("POST"), Some(200), Outcome::Allowed, Duration::from_millis(3));
        meter.count(
            Some("BREW"),
            None,
            Outcome::Refused(Reason::UnsupportedMethod),
            Duration::ZERO,
        );
        let store = Stats {
            keys: 1,
            unknown: 3,
            file_bytes: 4096,
            ..Stats::default()
        };
        let paces = SharedPacing { up: true, alone: 5 };
        metrics.observe(7, store, paces, [("billing".into(), true)].into_iter());
        metrics.observe(9, store, paces, [("billing".into(), false)].into_iter());
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        for line in [
            r#"tollgate_requests_total{method="POST",module="ledger",route="/api/ledger/sync",status="200"} 2"#,
            r#"tollgate_requests_total{method="other",module="ledger",route="/api/ledger/sync",status="none"} 1"#,
            r#"tollgate_decisions_total{decision="ALLOWED",module="ledger"} 2"#,
            r#"tollgate_decisions_total{decision="DENIED_REQUEST",module="ledger"} 1"#,
            r#"tollgate_request_duration_seconds_count{module="ledger"} 3"#,
            "tollgate_audit_records_total 9",
            "tollgate_store_keys 1",
            "tollgate_store_bytes 4096",
            "tollgate_store_unknown 3",
            "tollgate_store_up 1",
            "tollgate_rate_limits_shared 1",
            "tollgate_rate_limits_alone_total 5",
            r#"tollgate_upstream_up{upstream="billing"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
