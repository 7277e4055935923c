//! The policy in force, and how another takes its place: all of it or nothing (invariants 1 and 6).

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::prepare::{self, Ruling};
use super::tls::Tls;
use crate::audit::Event;
use crate::config::{AuditTarget, Gateway, Problem};
use crate::edge::store::SharedPaces;
use crate::edge::tls::ClientTls;
use crate::gateway::{Rules, Shared};

/// Who asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Files changed, or may have.
    Watch,
    /// SIGHUP.
    Signal,
    /// `POST /-/reload`.
    Admin,
}

/// Replaces the rules in force.
#[derive(Debug)]
pub(super) struct Reloader {
    gateway: Gateway,
    shared: Arc<Shared>,
    tls: Vec<Arc<Tls>>,
    draining: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    version: Arc<str>,
    loaded_at: jiff::Timestamp,
    files: Vec<PathBuf>,
    /// Why the files on disk do not load; empty while they do.
    problems: Vec<Problem>,
}

impl Reloader {
    pub(super) fn new(
        gateway: Gateway,
        shared: Arc<Shared>,
        tls: Vec<Arc<Tls>>,
        version: Arc<str>,
        files: Vec<PathBuf>,
    ) -> Self {
        let loaded_at = jiff::Timestamp::now();
        shared.metrics.policy_loaded(&version, loaded_at.as_second());
        Self {
            gateway,
            shared,
            tls,
            draining: AtomicBool::new(false),
            state: Mutex::new(State {
                version,
                loaded_at,
                files,
                problems: Vec::new(),
            }),
        }
    }

    /// Loads the files and puts them in force, or says why not. A mere hint that leads to the same files as before, or
    /// to the same problems, is no attempt and leaves no trace.
    pub(super) fn reload(&self, cause: Cause) -> Result<Arc<str>, Vec<Problem>> {
        let mut state = self.state();
        let loaded = match prepare::policy(&self.gateway, Some(&self.shared.rules.load())) {
            Ok(loaded) => loaded,
            Err(problems) => {
                if cause != Cause::Watch || problems != state.problems {
                    self.refused(cause, &problems);
                    state.problems.clone_from(&problems);
                }
                return Err(problems);
            }
        };
        if cause == Cause::Watch && loaded.version == state.version && state.problems.is_empty() {
            return Ok(loaded.version);
        }
        Ok(self.put_in_force(&mut state, cause, loaded))
    }

    fn put_in_force(&self, state: &mut State, cause: Cause, loaded: Ruling) -> Arc<str> {
        let Ruling {
            policy,
            issuers,
            warnings,
            files,
            version,
        } = loaded;
        for warning in &warnings {
            tracing::warn!(problem = %warning, "policy");
        }
        let rules = Arc::new(Rules::new(policy, issuers, &self.shared.metrics));
        self.shared.rules.store(Arc::clone(&rules));
        if !rules.keys().ring.has_usable_key() {
            // A key server that was not asked before; until it answers, its tokens are refused.
            tokio::task::spawn_local(async move { rules.refresh().await });
        }
        *state = State {
            version: Arc::clone(&version),
            loaded_at: jiff::Timestamp::now(),
            files,
            problems: Vec::new(),
        };
        self.shared.metrics.policy_loaded(&version, state.loaded_at.as_second());
        self.event(cause, &version, "loaded", None);
        tracing::info!(version = &*version, cause = cause.name(), "policy in force");
        version
    }

    fn refused(&self, cause: Cause, problems: &[Problem]) {
        self.shared.metrics.policy_refused();
        for problem in problems {
            tracing::error!(%problem, "the policy on disk does not load; the last good one stays");
        }
        let first = problems.first().map(ToString::to_string);
        let version = Arc::clone(&self.shared.rules.load().policy().version);
        self.event(cause, &version, "refused", first.as_deref());
    }

    fn event(&self, cause: Cause, version: &str, result: &str, problem: Option<&str>) {
        let mut event = Event::new("policy_reload")
            .with("result", result)
            .with("cause", cause.name())
            .with("policy_version", version);
        if let Some(problem) = problem {
            event = event.with("problem", problem);
        }
        if let Err(fault) = self.shared.journal.event(event) {
            tracing::error!(%fault, "a policy reload could not be recorded");
        }
    }

    /// Reads certificates again; what does not load leaves the old one.
    pub(super) fn reload_tls(&self) {
        for tls in &self.tls {
            match tls.reload() {
                Ok(true) => tracing::info!(certificate = %tls.files().certificate.display(), "certificate in force"),
                Ok(false) => {}
                Err(fault) => tracing::error!(%fault, "the certificate on disk does not load; the last good one stays"),
            }
        }
        for (backend, _) in &self.shared.backends {
            match backend.reload_tls() {
                Ok(true) => tracing::info!("certificates for a backend are in force"),
                Ok(false) => {}
                Err(fault) => {
                    tracing::error!(%fault, "certificates for a backend do not load; the last good ones stay");
                }
            }
        }
    }

    /// Backends that are reached by TLS.
    fn backend_tls(&self) -> impl Iterator<Item = &ClientTls> {
        let backends = self.shared.backends.iter();
        backends.filter_map(|(backend, _)| backend.rules().tls.as_deref())
    }

    /// Files and folders to watch.
    pub(super) fn watched(&self) -> Vec<PathBuf> {
        let mut paths = self.state().files.clone();
        paths.push(self.gateway.policy.clone());
        for tls in &self.tls {
            let files = tls.files();
            paths.extend([files.certificate.clone(), files.key.clone()]);
            paths.extend(files.client_ca.clone());
        }
        paths.extend(self.backend_tls().flat_map(ClientTls::files).map(Path::to_owned));
        paths
    }

    /// The audit log, which may lie among the watched files.
    pub(super) fn audit_log(&self) -> Option<&Path> {
        match &self.gateway.audit.target {
            AuditTarget::File(path) => Some(path),
            AuditTarget::Stdout => None,
        }
    }

    /// The rules in force.
    pub(super) fn rules(&self) -> Arc<Rules> {
        self.shared.rules.load_full()
    }

    /// No new work is taken.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Why no request should be sent here now; empty when all is well.
    pub(super) fn unready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::Relaxed) {
            reasons.push("draining");
        }
        if !self.shared.rules.load().keys().ring.has_usable_key() {
            reasons.push("no usable key");
        }
        if !self.shared.journal.healthy() {
            reasons.push("the audit log cannot be written");
        }
        // A gateway whose shared store is away does most of its work, and no other gateway would do better.
        if !self.shared.store.is_healthy() && !self.shared.store.is_shared() {
            reasons.push("the store cannot be written");
        }
        reasons
    }

    /// What does not work although requests may be sent here.
    pub(super) fn impaired(&self) -> Vec<String> {
        let away = self.shared.store.away();
        let alone = self.shared.paces.shared().is_some_and(|paces| !paces.stats().up);
        away.map(|fault| format!("keyed writes are refused, and those by version: {fault}"))
            .into_iter()
            .chain(alone.then(|| "rate limits are counted by this gateway alone".to_owned()))
            .collect()
    }

    /// The policy in force, and whether the files on disk are another matter.
    pub(super) fn describe(&self) -> Value {
        let state = self.state();
        json!({
            "version": &*state.version,
            "loaded_at": state.loaded_at.to_string(),
            "reload_failed": !state.problems.is_empty(),
            "problems": state.problems,
        })
    }

    /// Every metric, brought up to date.
    pub(super) fn metrics_text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let stats = self.shared.store.stats();
        let upstreams = self
            .shared
            .backends
            .iter()
            .map(|(backend, _)| (Arc::clone(&backend.rules().name), backend.is_up()));
        let paces = self.shared.paces.shared().map(SharedPaces::stats).unwrap_or_default();
        self.shared
            .metrics
            .observe(self.shared.journal.records(), stats, paces, upstreams);
        self.shared.metrics.text()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Watch => "files",
            Self::Signal => "signal",
            Self::Admin => "admin",
        }
    }
}
