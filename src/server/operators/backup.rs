//! A copy of the store and of the list of what is revoked, while they are in use, made beside them: the folder's owner takes it from there, so that nobody can have
//! a file written anywhere by asking a port.

use http::{Method, StatusCode};
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Told, Who};
use crate::audit::Event;
use crate::edge::journal::Journal;
use crate::edge::revoked::Register;
use crate::edge::store::{Copied, Store};
use crate::gateway::unix_now;

/// One copy at a time, and what became of the last one. A large one takes longer than an answer may.
#[derive(Debug, Default)]
pub(super) struct Backup(Arc<Mutex<Stage>>);

#[derive(Debug, Default)]
enum Stage {
    /// None was asked for in this life.
    #[default]
    None,
    Running,
    Done(Copies),
    Failed(String),
}

/// What the copies hold.
#[derive(Clone, Copy, Debug)]
struct Copies {
    store: Copied,
    /// Entries of the list.
    revoked: usize,
}

/// What is copied.
pub(super) struct Originals {
    pub(super) store: Store,
    pub(super) register: Option<Arc<Register>>,
}

impl Originals {
    /// The store first: of who is revoked meanwhile the copy knows.
    async fn copied(self) -> Result<Copies, String> {
        let store = self.store.back_up().await.map_err(|fault| fault.to_string())?;
        let Some(register) = self.register else {
            return Ok(Copies { store, revoked: 0 });
        };
        let copying = tokio::task::spawn_blocking(move || register.back_up(unix_now()));
        let copied = copying.await.map_err(|fault| fault.to_string())?;
        let revoked = copied.map_err(|fault| fault.to_string())?;
        Ok(Copies { store, revoked })
    }
}

impl Backup {
    /// `POST` begins a copy, `GET` says how far it is.
    pub(super) fn answer(&self, method: &Method, of: Originals, journal: Option<&Journal>, who: &Who) -> Told {
        match *method {
            Method::POST => {
                if matches!(*self.stage(), Stage::Running) {
                    return Told::refused(StatusCode::CONFLICT, "in_progress", "a copy is being made");
                }
                *self.stage() = Stage::Running;
                self.begin(of, journal.cloned(), who);
                Told {
                    status: StatusCode::ACCEPTED,
                    ..self.told()
                }
            }
            Method::GET => self.told(),
            _ => Told::refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "ask with GET or POST",
            ),
        }
    }

    fn begin(&self, of: Originals, journal: Option<Journal>, who: &Who) {
        let (state, who) = (Arc::clone(&self.0), who.clone());
        tokio::spawn(async move {
            let stage = match of.copied().await {
                Ok(copies) => {
                    if let Some(journal) = journal {
                        let event = Event::new("store_backed_up")
                            .with("keys", &copies.store.keys.to_string())
                            .with("revoked", &copies.revoked.to_string())
                            .with("via", who.via)
                            .with("from", &who.from);
                        if let Err(fault) = journal.event(event) {
                            tracing::error!(%fault, "a copy of the store could not be recorded");
                        }
                    }
                    Stage::Done(copies)
                }
                Err(fault) => {
                    tracing::error!(fault, "the store could not be copied");
                    Stage::Failed(fault)
                }
            };
            *state.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        });
    }

    fn told(&self) -> Told {
        Told::ok(match &*self.stage() {
            Stage::None => json!({ "state": "none" }),
            Stage::Running => json!({ "state": "running" }),
            Stage::Done(Copies { store, revoked }) => {
                json!({ "state": "done", "keys": store.keys, "bytes": store.bytes, "revoked": revoked })
            }
            Stage::Failed(fault) => json!({ "state": "failed", "detail": fault }),
        })
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
