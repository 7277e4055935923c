//! From files to everything that a running gateway needs. `tollgate check` goes the same way, as far as nothing is
//! opened, written or bound.

use arc_swap::ArcSwap;
use std::path::PathBuf;
use std::sync::Arc;

use super::StartFault;
use super::tls::{Tls, TlsFiles};
use crate::config::{
    self, AuditTarget, Gateway as Settings, IssuerSource, KeySource, LoadedPolicy, Problem, ServerKind, Severity, State,
};
use crate::edge::backend::{Backend, BackendRules};
use crate::edge::journal::{Journal, Target};
use crate::edge::jwks::Remote;
use crate::edge::locks::Locks;
use crate::edge::metrics::Metrics;
use crate::edge::revoked::Register;
use crate::edge::room::Room;
use crate::edge::store::{SharedPaces, Store, StoreFault};
use crate::edge::tls::{ClientTls, ClientTlsFiles};
use crate::gateway::{Attempts, IssuerKeys, Limits, Paces, Rules, Shared};
use crate::identity::{IssuerRules, KeySet};
use crate::policy::Policy;

/// A gateway that only has to be bound to its addresses.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) shared: Arc<Shared>,
    /// In the order of the listeners.
    pub(super) tls: Vec<Option<Arc<Tls>>>,
    pub(super) version: Arc<str>,
    /// Files to watch.
    pub(super) files: Vec<PathBuf>,
}

/// A policy with its keys.
#[derive(Debug)]
pub struct Ruling {
    /// The policy.
    pub policy: Policy,
    /// Whose tokens are good, and by which keys.
    pub issuers: Vec<(IssuerRules, IssuerKeys)>,
    /// What its author should look at.
    pub warnings: Vec<Problem>,
    /// Every file that was read.
    pub files: Vec<PathBuf>,
    /// Identifies those files' bytes.
    pub version: Arc<str>,
}

/// Loads the policy that the gateway file names, and its keys. What a key server said to the rules before stays good.
///
/// # Errors
/// Every problem in them.
pub fn policy(settings: &Settings, before: Option<&Rules>) -> Result<Ruling, Vec<Problem>> {
    let LoadedPolicy {
        policy,
        issuers,
        mut warnings,
        mut files,
        directories,
        version,
    } = config::load_policy(&settings.policy, &settings.upstream_names())?;
    let mut problems = Vec::new();
    let issuers: Vec<(IssuerRules, IssuerKeys)> = issuers
        .into_iter()
        .filter_map(|IssuerSource { rules, keys }| {
            keys_of(&rules, keys, before, &mut warnings)
                .map_err(|problem| problems.push(problem))
                .ok()
                .map(|keys| (rules, keys))
        })
        .collect();
    warnings.extend(unusable(settings, &issuers));
    files.extend(directories);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Ruling {
        policy,
        issuers,
        warnings,
        files,
        version,
    })
}

/// Issuers whose tokens nobody could use here: they must be bound to a client certificate, and no listener asks for one.
fn unusable(settings: &Settings, issuers: &[(IssuerRules, IssuerKeys)]) -> Vec<Problem> {
    let asks = |tls: &config::Tls| tls.client_ca.is_some();
    if settings
        .listen
        .iter()
        .filter_map(|listener| listener.tls.as_ref())
        .any(asks)
    {
        return Vec::new();
    }
    let bound = issuers.iter().filter(|(rules, _)| rules.require_bound);
    bound
        .map(|(rules, _)| {
            let message = format!(
                "issuer `{}` has `require_bound_tokens`, and no listener has a `client_ca`: its tokens are all refused",
                rules.issuer
            );
            Problem {
                severity: Severity::Warning,
                ..Problem::of_file(settings.policy.display().to_string(), message)
            }
        })
        .collect()
}

fn keys_of(
    rules: &IssuerRules,
    source: KeySource,
    before: Option<&Rules>,
    warnings: &mut Vec<Problem>,
) -> Result<IssuerKeys, Problem> {
    let allowed = &rules.algorithms;
    let (keys, path) = match source {
        KeySource::PublicKey(bytes, path) => (KeySet::public_key(&bytes, allowed), path),
        KeySource::Secret(bytes, path) => (KeySet::secret(&bytes), path),
        KeySource::JwksFile(bytes, path) => {
            let read = KeySet::jwks(&bytes, allowed).map(|(keys, skipped)| {
                warnings.extend(skipped.iter().map(|skip| {
                    let kid = skip.kid.as_deref().unwrap_or("without `kid`");
                    let message = format!("key {} (`{kid}`) is not used: it {}", skip.index + 1, skip.why);
                    Problem {
                        severity: Severity::Warning,
                        ..Problem::of_file(path.display().to_string(), message)
                    }
                }));
                keys
            });
            (read, path)
        }
        KeySource::JwksUrl { url, ca } => {
            let known = before.and_then(|rules| rules.remote(&url, ca.as_deref(), allowed));
            let remote = match known {
                Some(remote) => remote,
                None => Arc::new(
                    Remote::new(&url, ca.as_deref(), allowed)
                        .map_err(|fault| Problem::of_file(url, fault.to_string()))?,
                ),
            };
            return Ok(IssuerKeys::Remote(remote));
        }
    };
    keys.map(|keys| IssuerKeys::Fixed(Arc::new(keys)))
        .map_err(|fault| Problem::of_file(path.display().to_string(), fault.to_string()))
}

/// Loads the certificates that the gateway file names, in the order of the listeners.
///
/// # Errors
/// What is wrong with each.
pub fn tls(settings: &Settings) -> Result<Vec<Option<Arc<Tls>>>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut all = Vec::new();
    for listener in &settings.listen {
        let Some(files) = &listener.tls else {
            all.push(None);
            continue;
        };
        let loaded = Tls::load(TlsFiles {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            client_ca: files.client_ca.clone(),
        });
        match loaded {
            Ok(tls) => all.push(Some(Arc::new(tls))),
            Err(fault) => problems.push(Problem::of_file(
                files.certificate.display().to_string(),
                fault.to_string(),
            )),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

/// Opens the store. The server of a shared one may be away; then keyed writes are refused until it is there.
///
/// # Errors
/// [`StoreFault`].
pub fn store(state: &State) -> Result<Store, StoreFault> {
    match state {
        State::Folder(folder) => Store::open(folder),
        State::Shared(server) => Store::join(server),
    }
}

/// Where users' requests are counted for several gateways; none where each counts for itself.
fn shared_paces(state: &State) -> Result<Option<SharedPaces>, StoreFault> {
    match state {
        State::Shared(server) if server.kind == ServerKind::Redis => SharedPaces::start((**server).clone()).map(Some),
        State::Shared(_) | State::Folder(_) => Ok(None),
    }
}

/// Loads the certificates that the gateway file names for backends, in their order.
///
/// # Errors
/// What is wrong with each.
pub fn upstream_tls(settings: &Settings) -> Result<Vec<Option<Arc<ClientTls>>>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut all = Vec::new();
    for upstream in &settings.upstreams {
        let Some(tls) = &upstream.tls else {
            all.push(None);
            continue;
        };
        let files = ClientTlsFiles {
            authorities: tls.ca.clone(),
            identity: tls.identity.clone(),
        };
        match ClientTls::load(&tls.server_name, files) {
            Ok(tls) => all.push(Some(Arc::new(tls))),
            Err(fault) => problems.push(Problem::of_file(
                format!("upstream `{}`", upstream.name),
                fault.to_string(),
            )),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

/// Opens the audit log and the store, and puts the first rules in force.
pub(super) async fn all(settings: &Settings) -> Result<Prepared, StartFault> {
    // What authors wrote is looked at before anything is made on disk.
    let Ruling {
        policy,
        issuers,
        warnings,
        files,
        version,
    } = policy(settings, None).map_err(StartFault::Policy)?;
    for warning in &warnings {
        tracing::warn!(problem = %warning, "policy");
    }
    let tls = tls(settings).map_err(StartFault::Policy)?;
    let upstream_tls = upstream_tls(settings).map_err(StartFault::Policy)?;
    let metrics = Metrics::new()?;
    let target = match &settings.audit.target {
        AuditTarget::Stdout => Target::Stdout,
        AuditTarget::File(path) => Target::File(path.clone()),
    };
    let (journal, recovered) = Journal::open(target)?;
    if recovered.cut_bytes > 0 {
        tracing::warn!(
            bytes = recovered.cut_bytes,
            "the audit log ended in a torn line, which was cut off"
        );
    }
    let store = store(&settings.state)?;
    let locks = match &settings.state {
        State::Folder(_) => Locks::default(),
        State::Shared(server) => Locks::beside(&store, server.lease),
    };
    let revoked = Arc::new(Register::open(settings.state.folder())?);
    let workers = settings.worker_count();
    let backends = settings
        .upstreams
        .iter()
        .zip(&upstream_tls)
        .map(|(upstream, tls)| {
            let rules = BackendRules {
                name: Arc::clone(&upstream.name),
                authority: upstream.endpoint.authority(),
                connect_timeout: upstream.connect_timeout,
                timeout: upstream.timeout,
                max_connections: usize::try_from(upstream.max_connections).unwrap_or(usize::MAX),
                max_connections_per_user: upstream.max_connections_per_user,
                tls: tls.clone(),
            };
            (Arc::new(Backend::new(rules, workers)), metrics.upstream(&upstream.name))
        })
        .collect();
    let rules = Arc::new(Rules::new(policy, issuers, &metrics));
    rules.refresh().await;
    let limits = &settings.limits;
    let shared = Shared {
        room: Room::new(limits.held_bytes),
        rules: ArcSwap::new(rules),
        limits: Limits {
            header_bytes: usize::try_from(limits.header_bytes).unwrap_or(usize::MAX),
            uri_bytes: usize::try_from(limits.uri_bytes).unwrap_or(usize::MAX),
            body_bytes: limits.body_bytes,
            body_timeout: limits.body_timeout,
        },
        trusted_proxies: settings.trusted_proxies.clone(),
        sync: settings.audit.sync,
        backends,
        paces: Paces::new(shared_paces(&settings.state)?),
        attempts: Attempts::new(limits.failed_tokens),
        journal,
        store,
        locks,
        revoked,
        metrics,
    };
    Ok(Prepared {
        shared: Arc::new(shared),
        tls,
        version,
        files,
    })
}
