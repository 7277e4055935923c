//! Where the answers come from: a running gateway, or the store itself.
//!
//! The lock of an embedded store says which: a port that answers may belong to another gateway. A shared store is asked
//! itself; to settle, somebody has to write to this gateway's audit log, and who has that is asked.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;

use crate::config::{Address, AuditTarget, Gateway, State};
use crate::edge::journal::{Journal, JournalFault, Target};
use crate::edge::revoked::Register;
use crate::edge::store::{Store, StoreFault};
use crate::identity::MAX_REVOKED;
use crate::server::operators::{Asked, Desk, MAX_OPERATOR, PATH, REVOKED_PATH, Told, Who};

/// How long the admin port may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Largest answer that is read from it, in bytes: a full list of revoked tokens with the longest names and reasons.
const MAX_ANSWER: usize = 64 << 20;

/// Where to ask.
pub(in super::super) struct Source {
    runtime: Runtime,
    place: Place,
}

enum Place {
    Gateway(Address),
    Store {
        desk: Box<Desk>,
        journal: Option<Journal>,
        state: Box<State>,
    },
    /// No gateway was ever started with this file.
    Nothing(PathBuf),
}

impl Source {
    /// Opens the store, or finds out that a gateway has it.
    pub(super) fn open(settings: &Gateway, to_settle: bool) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            runtime,
            place: place(settings, to_settle)?,
        })
    }

    /// Asks, and waits for the answer.
    pub(in super::super) fn ask(&self, method: &Method, target: &str, body: &Value) -> anyhow::Result<Told> {
        let body = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body)?
        };
        match &self.place {
            Place::Gateway(address) => self
                .runtime
                .block_on(async { tokio::time::timeout(PATIENCE, over_http(address, method, target, body)).await })
                .map_err(|_| anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs()))
                .flatten()
                .with_context(|| format!("the store is in use, and the admin port {address} cannot be asked")),
            Place::Store { desk, .. } => {
                let who = Who {
                    via: "command",
                    from: operator(),
                };
                Ok(self.runtime.block_on(desk.answer(Asked {
                    method,
                    target,
                    body: &body,
                    who: &who,
                })))
            }
            Place::Nothing(_) if method == Method::GET && target == REVOKED_PATH => {
                Ok(Told::ok(json!({ "revoked": [], "room": MAX_REVOKED })))
            }
            Place::Nothing(folder) => Ok(if target.starts_with(PATH) && target.contains('?') {
                Told::ok(json!({ "records": [], "next": null }))
            } else {
                let detail = format!("there is no store in `{}` yet", folder.display());
                Told::refused(http::StatusCode::NOT_FOUND, "not_found", &detail)
            }),
        }
    }
}

impl Source {
    /// Lets time pass, and what was begun here go on.
    pub(super) fn pause(&self, time: Duration) {
        // A timer is made within its runtime.
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }
}

fn place(settings: &Gateway, to_settle: bool) -> anyhow::Result<Place> {
    let gateway = || Ok(Place::Gateway(settings.admin.clone()));
    let (store, journal) = match &settings.state {
        State::Folder(folder) if !Store::is_in(folder) => return Ok(Place::Nothing(folder.clone())),
        State::Folder(folder) => match Store::open(folder) {
            Ok(store) => (store, to_settle.then(|| journal(settings)).transpose()?),
            Err(StoreFault::InUse) => return gateway(),
            Err(fault) => {
                return Err(fault).with_context(|| format!("cannot open the store in `{}`", folder.display()));
            }
        },
        State::Shared(server) => {
            let opened = match (&settings.audit.target, to_settle) {
                (_, false) => None,
                (AuditTarget::Stdout, true) => return gateway(),
                (AuditTarget::File(path), true) => match Journal::open(Target::File(path.clone())) {
                    Ok((journal, _)) => Some(journal),
                    Err(JournalFault::InUse(_)) => return gateway(),
                    Err(fault) => return Err(fault).context(UNRECORDED),
                },
            };
            let store = Store::join(server).with_context(|| format!("cannot use the store: {server}"))?;
            if let Some(fault) = store.away() {
                return Err(fault).with_context(|| format!("cannot use the store: {server}"));
            }
            (store, opened)
        }
    };
    let own = settings.state.folder();
    let register = Arc::new(Register::open(own)?);
    Ok(Place::Store {
        desk: Box::new(Desk::new(store, journal.clone()).revoking(register)),
        journal,
        state: Box::new(settings.state.clone()),
    })
}

/// Why nothing is settled without the audit log.
const UNRECORDED: &str = "nothing is settled that cannot be recorded in the audit log";

/// The gateway's audit log, whose chain goes on.
fn journal(settings: &Gateway) -> anyhow::Result<Journal> {
    let AuditTarget::File(path) = &settings.audit.target else {
        bail!(
            "the audit log goes to the gateway's standard output, so that only a running gateway can settle: start it"
        );
    };
    let (journal, _) = Journal::open(Target::File(path.clone())).context(UNRECORDED)?;
    Ok(journal)
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Place::Store {
            journal: Some(journal), ..
        } = &self.place
        {
            journal.close();
        }
    }
}

/// Says which it is.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Gateway(address) => write!(f, "a gateway runs: asking its admin port {address}"),
            Place::Store { state, .. } => match &**state {
                State::Folder(folder) => write!(f, "no gateway runs: reading the store in `{}`", folder.display()),
                State::Shared(server) => write!(f, "reading the shared store: {server}"),
            },
            Place::Nothing(folder) => write!(f, "there is no store in `{}` yet", folder.display()),
        }
    }
}

async fn over_http(address: &Address, method: &Method, target: &str, body: Vec<u8>) -> anyhow::Result<Told> {
    match address {
        Address::Tcp(address) => exchange(tokio::net::TcpStream::connect(address).await?, method, target, body).await,
        Address::Unix(path) => exchange(tokio::net::UnixStream::connect(path).await?, method, target, body).await,
    }
}

async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: &Method,
    target: &str,
    body: Vec<u8>,
) -> anyhow::Result<Told> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let bytes = Limited::new(body, MAX_ANSWER)
        .collect()
        .await
        .map_err(|fault| anyhow::anyhow!("{fault}"))?
        .to_bytes();
    connection.abort();
    let body = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "it answers {}, which is no answer of a gateway of this version",
            head.status
        )
    })?;
    Ok(Told {
        status: head.status,
        body,
    })
}

/// The user that runs this command, as the system says and not the environment; behind `sudo` also who asked for it.
pub(in super::super) fn operator() -> String {
    let Ok(uid) = std::fs::metadata("/proc/self").map(|own| own.uid()) else {
        return "unknown".to_owned();
    };
    let name = name_of(uid, &std::fs::read_to_string("/etc/passwd").unwrap_or_default());
    let name = name.unwrap_or_else(|| format!("uid {uid}"));
    let whole = match std::env::var("SUDO_USER") {
        Ok(asked) if uid == 0 => format!("{name} (sudo by {asked})"),
        _ => name,
    };
    let end = whole.floor_char_boundary(MAX_OPERATOR);
    whole.get(..end).unwrap_or_default().to_owned()
}

fn name_of(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let own: u32 = fields.nth(1)?.parse().ok()?;
        (own == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_that_the_system_gives() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nmaria:x:1000:1000::/home/maria:/bin/sh\n";
        assert_eq!(name_of(1000, passwd), Some("maria".to_owned()));
        assert_eq!(name_of(0, passwd), Some("root".to_owned()));
        assert_eq!(name_of(7, passwd), None);
        assert!(!operator().is_empty() && operator().len() <= MAX_OPERATOR);
    }
}
