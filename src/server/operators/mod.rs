//! What operators ask about idempotency keys, and their word on an unknown outcome (interface, section 6); which tokens
//! and users they revoke.
//!
//! The admin port asks here while a gateway runs, `tollgate idempotency` while none does: the questions and the answers
//! are the same. A word is in the audit log before it is in the store: what cannot be recorded is not settled. A crash
//! between the two leaves an outcome that is still unknown, and a line that says what was meant.

mod backup;
mod question;
mod revoked;
mod told;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Mutex;

use crate::audit::Event;
use crate::edge::journal::{Journal, JournalFault};
use crate::edge::revoked::Register;
use crate::edge::store::{Filter, Kind, Store, StoreFault};
use crate::gateway::unix_now;
use crate::ledger::{Record, RecordKey, Ruling};
use backup::{Backup, Originals};
use question::{Listing, Question, Word};
use revoked::Revoking;

pub use question::{MAX_BODY, MAX_OPERATOR, MAX_REASON, encode};
pub use revoked::REVOKED_PATH;

/// Most records with one key that are shown to choose from.
pub const MAX_CANDIDATES: usize = 16;

/// Where the questions are asked.
pub const PATH: &str = "/-/idempotency";

/// Where a copy of the store is asked for.
pub const BACKUP_PATH: &str = "/-/backup";

/// A question, as it is asked over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query: [`PATH`] and what follows, or [`BACKUP_PATH`].
    pub target: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Who asks, and which way.
    pub who: &'a Who,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Who {
    /// Which way: the admin port, or the command on a store that no gateway has.
    pub via: &'static str,
    /// The other side of the connection, or the user that the system says.
    pub from: String,
}

/// An answer: JSON for programs and for the command.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Value,
}

/// Where operators ask.
#[derive(Debug)]
pub struct Desk {
    store: Store,
    /// Absent where nothing is to be settled.
    journal: Option<Journal>,
    /// One word at a time, so that what was looked at is what is settled.
    settling: Mutex<()>,
    backup: Backup,
    revoking: Option<Revoking>,
}

impl Desk {
    /// A desk on a store. Without a journal nothing can be settled.
    #[must_use]
    pub fn new(store: Store, journal: Option<Journal>) -> Self {
        Self {
            store,
            journal,
            settling: Mutex::new(()),
            backup: Backup::default(),
            revoking: None,
        }
    }

    /// The same desk, where tokens and users can be revoked too.
    #[must_use]
    pub fn revoking(self, register: Arc<Register>) -> Self {
        Self {
            revoking: Some(Revoking::new(register)),
            ..self
        }
    }

    /// Answers a question.
    pub async fn answer(&self, asked: Asked<'_>) -> Told {
        if asked.target == BACKUP_PATH {
            let journal = self.journal.as_ref();
            let originals = Originals {
                store: self.store.clone(),
                register: self.revoking.as_ref().map(Revoking::register),
            };
            return self.backup.answer(asked.method, originals, journal, asked.who);
        }
        if let Some(revoking) = &self.revoking
            && asked.target.starts_with(REVOKED_PATH)
        {
            let answered = revoking.answer(asked, self.journal.as_ref()).await;
            return answered.unwrap_or_else(|refused| refused);
        }
        let answered = match Question::read(asked.method, asked.target, asked.body) {
            Ok(Question::List(listing)) => self.list(listing).await,
            Ok(Question::Show(name)) => self.show(&name).await,
            Ok(Question::Settle(name, word)) => self.settle(&name, word, asked.who).await,
            Err(wrong) => Err(wrong),
        };
        answered.unwrap_or_else(|refused| refused)
    }

    async fn list(&self, listing: Listing) -> Result<Told, Told> {
        let now = unix_now();
        let page = self.store.list(listing.filter, listing.after, now).await?;
        let records: Vec<Value> = page
            .records
            .iter()
            .map(|(key, record)| told::record(key, record, now))
            .collect();
        Ok(Told::ok(
            json!({ "records": records, "next": page.next.map(|key| key.to_string()) }),
        ))
    }

    async fn show(&self, name: &str) -> Result<Told, Told> {
        let (key, record) = self.find(name).await?;
        Ok(Told::ok(told::record(&key, &record, unix_now())))
    }

    /// The record of this name, or the only one with this key.
    async fn find(&self, name: &str) -> Result<(RecordKey, Record), Told> {
        let now = unix_now();
        if let Ok(key) = name.parse() {
            let record = self.store.show(key).await?;
            if let Some(record) = record.filter(|record| !record.is_expired(now)) {
                return Ok((key, record));
            }
        }
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list(Filter::Key(name.into()), after, now).await?;
            found.extend(page.records);
            after = page.next;
            if after.is_none() || found.len() > MAX_CANDIDATES {
                break;
            }
        }
        match found.len() {
            0 => Err(Told::refused(
                StatusCode::NOT_FOUND,
                "not_found",
                &format!(
                    "no record has the name or the key `{name}`; records of older versions are known by their names only"
                ),
            )),
            1 => found.pop().ok_or_else(|| StoreFault::Closed.into()),
            _ => Err(Told::ambiguous(name, &found, now)),
        }
    }

    async fn settle(&self, name: &str, word: Word, who: &Who) -> Result<Told, Told> {
        let Some(journal) = &self.journal else {
            return Err(JournalFault::Unwritable.into());
        };
        let _one_at_a_time = self.settling.lock().await;
        let (key, record) = self.find(name).await?;
        let refused = |error, detail: &str| Told::refused(StatusCode::CONFLICT, error, detail);
        match Kind::of(&record) {
            Kind::Unknown => {}
            Kind::InProgress => {
                return Err(refused(
                    "in_progress",
                    "the request still runs; its outcome is not unknown",
                ));
            }
            Kind::Done => {
                return Err(refused(
                    "already_done",
                    "the request is done; there is nothing to settle",
                ));
            }
        }
        let settled = self.record_and_rule(journal, key, &record, &word, who).await;
        if let Err(refused) = settled {
            // The line may be written later, when the disk has room again; then this one follows it.
            let event = Event::new("idempotency_not_settled").with("record", &key.to_string());
            if let Err(fault) = journal.event(event) {
                tracing::error!(%fault, record = %key, "it could not be recorded that an outcome was not settled");
            }
            return Err(refused);
        }
        tracing::info!(record = %key, word = word.name(), from = who.from, "an operator settled an unknown outcome");
        let after = self.store.show(key).await?;
        let shown = after.map(|record| told::record(&key, &record, unix_now()));
        Ok(Told::ok(
            json!({ "settled": word.name(), "name": key.to_string(), "record": shown }),
        ))
    }

    async fn record_and_rule(
        &self,
        journal: &Journal,
        key: RecordKey,
        record: &Record,
        word: &Word,
        who: &Who,
    ) -> Result<(), Told> {
        journal.event_on_disk(event(key, record, word, who))?.await?;
        let ruling = if word.is_done() {
            Ruling::Done {
                // Nobody has seen the backend's answer.
                status: None,
                transaction_id: word.transaction_id(),
            }
        } else {
            Ruling::Free
        };
        if self.store.rule(key, record.clone(), ruling, unix_now()).await? {
            Ok(())
        } else {
            Err(Told::refused(
                StatusCode::CONFLICT,
                "changed_meanwhile",
                "somebody else settled it meanwhile; look at it again",
            ))
        }
    }
}

fn event(key: RecordKey, record: &Record, word: &Word, who: &Who) -> Event {
    let mut event = Event::new("idempotency_settled")
        .with("record", &key.to_string())
        .with("as", word.name())
        .with("via", who.via)
        .with("from", &who.from);
    if let Some(owner) = &record.owner {
        event = event
            .with("of_user", &owner.user)
            .with("module", &owner.module)
            .with("route", &owner.route);
    }
    for (name, value) in word.facts() {
        event = event.with(name, value);
    }
    event
}

impl Told {
    /// A good answer.
    #[must_use]
    pub const fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body,
        }
    }

    /// A refusal, with a word for programs and a sentence for people.
    #[must_use]
    pub fn refused(status: StatusCode, error: &str, detail: &str) -> Self {
        Self {
            status,
            body: json!({ "error": error, "detail": detail }),
        }
    }

    fn ambiguous(name: &str, found: &[(RecordKey, Record)], now: u64) -> Self {
        let many = if found.len() > MAX_CANDIDATES { "more than " } else { "" };
        let count = found.len().min(MAX_CANDIDATES);
        let detail = format!("{many}{count} records have the key `{name}`; name one of them by its `record`");
        let candidates: Vec<Value> = found
            .iter()
            .take(MAX_CANDIDATES)
            .map(|(key, record)| told::record(key, record, now))
            .collect();
        Self {
            status: StatusCode::CONFLICT,
            body: json!({ "error": "ambiguous_key", "detail": detail, "candidates": candidates }),
        }
    }
}

impl From<StoreFault> for Told {
    fn from(fault: StoreFault) -> Self {
        Self::refused(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", &fault.to_string())
    }
}

impl From<JournalFault> for Told {
    fn from(fault: JournalFault) -> Self {
        let detail = format!("nothing is settled that cannot be recorded: {fault}");
        Self::refused(StatusCode::SERVICE_UNAVAILABLE, "audit_unavailable", &detail)
    }
}

#[cfg(test)]
mod tests;
