//! Which tokens and users are revoked, and an operator's word that changes it.
//!
//! As with keys, a word is in the audit log before it is in force: what cannot be recorded does not happen.

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Mutex;

use super::question::{MAX_OPERATOR, MAX_REASON};
use super::told::time;
use super::{Asked, Told, Who};
use crate::audit::Event;
use crate::edge::journal::{Journal, JournalFault};
use crate::edge::revoked::{Entry, Register, RegisterFault};
use crate::gateway::unix_now;
use crate::identity::{MAX_REVOKED_NAME, Revocation, Revoked};

/// Where the list is asked for and changed.
pub const REVOKED_PATH: &str = "/-/revoked";

/// The list, and one change at a time.
#[derive(Debug)]
pub(super) struct Revoking {
    register: Arc<Register>,
    changing: Mutex<()>,
}

/// An entry, as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    token: Option<String>,
    user: Option<String>,
    issuer: Option<String>,
    issued_before: Option<String>,
    until: Option<String>,
    reason: Option<String>,
    operator: Option<String>,
}

impl Revoking {
    /// The list.
    pub(super) fn register(&self) -> Arc<Register> {
        Arc::clone(&self.register)
    }

    pub(super) fn new(register: Arc<Register>) -> Self {
        Self {
            register,
            changing: Mutex::new(()),
        }
    }

    /// `GET` lists, `POST` revokes, `DELETE` lifts.
    pub(super) async fn answer(&self, asked: Asked<'_>, journal: Option<&Journal>) -> Result<Told, Told> {
        if asked.target != REVOKED_PATH {
            return Err(wrong(format!("there is `{REVOKED_PATH}`, without a query")));
        }
        match *asked.method {
            Method::GET => Ok(self.list()),
            Method::POST => self.revoke(Word::read(asked.body)?, journal, asked.who).await,
            Method::DELETE => self.lift(Word::read(asked.body)?, journal, asked.who).await,
            _ => Err(Told::refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "ask with GET, POST or DELETE",
            )),
        }
    }

    fn list(&self) -> Told {
        let now = unix_now();
        let entries = self.register.list(now);
        let shown: Vec<Value> = entries.iter().map(show).collect();
        Told::ok(json!({ "revoked": shown, "room": self.register.room(now) }))
    }

    async fn revoke(&self, word: Word, journal: Option<&Journal>, who: &Who) -> Result<Told, Told> {
        let journal = journal.ok_or(JournalFault::Unwritable)?;
        let _one_at_a_time = self.changing.lock().await;
        let now = unix_now();
        let (reason, operator) = (word.reason.clone(), word.operator.clone());
        let entry = Entry {
            revocation: word.revocation(now)?,
            at: now,
            reason,
            operator,
        };
        if self.register.is_full_for(&entry, now) {
            return Err(RegisterFault::Full.into());
        }
        record(journal, "revoked", &entry, who).await?;
        let shown = show(&entry);
        let register = Arc::clone(&self.register);
        let replaced = tokio::task::spawn_blocking(move || register.add(entry, now)).await;
        let replaced = replaced.map_err(|_| broken())??;
        tracing::info!(from = who.from, "an operator revoked a token or a user");
        Ok(Told {
            status: if replaced { StatusCode::OK } else { StatusCode::CREATED },
            body: json!({ "revoked": shown, "replaced": replaced }),
        })
    }

    async fn lift(&self, word: Word, journal: Option<&Journal>, who: &Who) -> Result<Told, Told> {
        let journal = journal.ok_or(JournalFault::Unwritable)?;
        if word.until.is_some() || word.issued_before.is_some() {
            return Err(wrong(
                "an entry is lifted by `token` or `user`, and by its `issuer` if it has one",
            ));
        }
        let _one_at_a_time = self.changing.lock().await;
        let now = unix_now();
        let meant = Entry {
            reason: word.reason.clone(),
            operator: word.operator.clone(),
            revocation: word.revocation(now)?,
            at: now,
        };
        let (revoked, issuer) = (meant.revocation.revoked.clone(), meant.revocation.issuer.clone());
        if !self.register.has(&revoked, issuer.as_deref(), now) {
            return Err(Told::refused(
                StatusCode::NOT_FOUND,
                "not_found",
                "there is no such entry; one for an issuer is another than the one for all",
            ));
        }
        record(journal, "revocation_lifted", &meant, who).await?;
        let register = Arc::clone(&self.register);
        let lifted = tokio::task::spawn_blocking(move || register.lift(&revoked, issuer.as_deref(), now)).await;
        let lifted = lifted.map_err(|_| broken())??;
        tracing::info!(from = who.from, "an operator lifted a revocation");
        Ok(Told::ok(json!({ "lifted": lifted.as_ref().map(show) })))
    }
}

impl Word {
    fn read(body: &[u8]) -> Result<Self, Told> {
        let word: Self = serde_json::from_slice(body).map_err(|fault| wrong(fault.to_string()))?;
        for (name, text, most) in [
            ("token", &word.token, MAX_REVOKED_NAME),
            ("user", &word.user, MAX_REVOKED_NAME),
            ("issuer", &word.issuer, MAX_REVOKED_NAME),
            ("reason", &word.reason, MAX_REASON),
            ("operator", &word.operator, MAX_OPERATOR),
        ] {
            let Some(text) = text else { continue };
            if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
                return Err(wrong(format!("`{name}` is 1-{most} bytes without control characters")));
            }
        }
        Ok(word)
    }

    fn revocation(self, now: u64) -> Result<Revocation, Told> {
        let revoked = match (self.token, self.user) {
            (Some(id), None) => Revoked::Token(id.into()),
            (None, Some(user)) => Revoked::User(user.into()),
            _ => return Err(wrong("name one of `token` (its `jti`) and `user`")),
        };
        let until = moment("until", self.until.as_deref())?;
        if until.is_some_and(|until| until <= now) {
            return Err(wrong("`until` is over already"));
        }
        let issued_before = moment("issued_before", self.issued_before.as_deref())?;
        if issued_before.is_some() && matches!(revoked, Revoked::Token(_)) {
            return Err(wrong("`issued_before` goes with `user`: a token was issued once"));
        }
        Ok(Revocation {
            revoked,
            issuer: self.issuer.map(Into::into),
            issued_before,
            until,
        })
    }
}

/// A moment in unix seconds; the next full second if it is between two.
fn moment(name: &str, text: Option<&str>) -> Result<Option<u64>, Told> {
    let Some(text) = text else { return Ok(None) };
    let time: Option<Timestamp> = text.parse().ok();
    time.and_then(|time| {
        let up = i64::from(time.subsec_nanosecond() > 0);
        u64::try_from(time.as_second().saturating_add(up)).ok()
    })
    .map(Some)
    .ok_or_else(|| wrong(format!("`{name}` is a time such as `2026-11-20T10:00:00Z`")))
}

/// An entry as operators read it.
fn show(entry: &Entry) -> Value {
    let mut shown = serde_json::Map::new();
    for (name, value) in facts(entry) {
        shown.insert(name.to_owned(), value.into());
    }
    shown.insert("at".to_owned(), json!(time(entry.at)));
    Value::Object(shown)
}

/// What an entry says.
fn facts(entry: &Entry) -> Vec<(&'static str, String)> {
    let Revocation {
        revoked,
        issuer,
        issued_before,
        until,
    } = &entry.revocation;
    let (token, user) = match revoked {
        Revoked::Token(id) => (Some(id.to_string()), None),
        Revoked::User(user) => (None, Some(user.to_string())),
    };
    let times = [("issued_before", issued_before), ("until", until)].map(|(name, at)| (name, at.and_then(time)));
    [
        ("token", token),
        ("user", user),
        ("issuer", issuer.as_deref().map(str::to_owned)),
    ]
    .into_iter()
    .chain(times)
    .chain([("reason", entry.reason.clone()), ("operator", entry.operator.clone())])
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

async fn record(journal: &Journal, event: &'static str, entry: &Entry, who: &Who) -> Result<(), Told> {
    let event = Event::new(event).with("via", who.via).with("from", &who.from);
    let event = facts(entry).iter().fold(event, |event, (name, value)| {
        // `user` would be taken for who asked.
        event.with(if *name == "user" { "of_user" } else { name }, value)
    });
    Ok(journal.event_on_disk(event)?.await?)
}

fn wrong(detail: impl AsRef<str>) -> Told {
    Told::refused(StatusCode::BAD_REQUEST, "bad_question", detail.as_ref())
}

fn broken() -> Told {
    Told::refused(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the change broke off")
}

impl From<RegisterFault> for Told {
    fn from(fault: RegisterFault) -> Self {
        match fault {
            RegisterFault::Full => Self::refused(StatusCode::CONFLICT, "list_full", &fault.to_string()),
            _ => {
                let detail = format!(
                    "{fault}; what was revoked is in force until the gateway ends, what was to be lifted is not lifted"
                );
                Self::refused(StatusCode::SERVICE_UNAVAILABLE, "not_kept", &detail)
            }
        }
    }
}
