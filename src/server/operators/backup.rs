//! A copy of the store while it is in use, made beside it: the folder's owner takes it from there, so that nobody can have
//! a file written anywhere by asking a port.

use http::{Method, StatusCode};
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Told, Who};
use crate::audit::Event;
use crate::edge::journal::Journal;
use crate::edge::store::{Copied, Store, StoreFault};

/// One copy at a time, and what became of the last one. A large one takes longer than an answer may.
#[derive(Debug, Default)]
pub(super) struct Backup(Arc<Mutex<Stage>>);

#[derive(Debug, Default)]
enum Stage {
    /// None was asked for in this life.
    #[default]
    None,
    Running,
    Done(Copied),
    Failed(StoreFault),
}

impl Backup {
    /// `POST` begins a copy, `GET` says how far it is.
    pub(super) fn answer(&self, method: &Method, store: &Store, journal: Option<&Journal>, who: &Who) -> Told {
        match *method {
            Method::POST => {
                if matches!(*self.stage(), Stage::Running) {
                    return Told::refused(StatusCode::CONFLICT, "in_progress", "a copy is being made");
                }
                *self.stage() = Stage::Running;
                self.begin(store.clone(), journal.cloned(), who);
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

    fn begin(&self, store: Store, journal: Option<Journal>, who: &Who) {
        let (state, who) = (Arc::clone(&self.0), who.clone());
        tokio::spawn(async move {
            let stage = match store.back_up().await {
                Ok(copied) => {
                    if let Some(journal) = journal {
                        let event = Event::new("store_backed_up")
                            .with("keys", &copied.keys.to_string())
                            .with("via", who.via)
                            .with("from", &who.from);
                        if let Err(fault) = journal.event(event) {
                            tracing::error!(%fault, "a copy of the store could not be recorded");
                        }
                    }
                    Stage::Done(copied)
                }
                Err(fault) => {
                    tracing::error!(%fault, "the store could not be copied");
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
            Stage::Done(Copied { keys, bytes }) => json!({ "state": "done", "keys": keys, "bytes": bytes }),
            Stage::Failed(fault) => json!({ "state": "failed", "detail": fault.to_string() }),
        })
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
