//! The store in Redis: a hash for each key, sorted sets to find them by, and one script for each question.
//!
//! A script is carried out as a whole and alone, so that of many who ask for a key at once one gets it. The scripts of a batch
//! are sent together. That what is answered is on disk is up to the server's `appendfsync`, see [`link`].

mod link;
mod paces;
mod resp;

use std::sync::Arc;
use std::time::Duration;

use super::StoreFault;
use super::embedded::{Answer, MAX_ANSWER_BYTES, MAX_KEYS, MAX_LISTED, MAX_SCANNED, MAX_SWEEP, Request, Settlement};
use super::leases::{Grip, Step};
use super::listing::{Filter, Kind, Page};
use super::shared::{Beat, Clock, Holder, MAX_KEEP, MAX_ROUNDS, Question, Server, host};
use crate::config::SharedStore;
use crate::ledger::{
    MAX_SEALED_ANSWER, MAX_TRANSACTION_ID, Record, RecordKey, Reserved, Ruling, State, Verdict, judge,
};
use link::{Link, call, name};
pub use paces::{Counted, SharedPaces, SharedPacing, Whose};
use resp::{Command, Reply};

/// Talks to one server for one holder.
pub(super) struct Redis {
    server: SharedStore,
    holder: String,
    clock: Clock,
}

impl Redis {
    pub(super) fn new(server: SharedStore, clock: Clock) -> Result<Self, StoreFault> {
        Ok(Self {
            server,
            holder: hex(&Holder::new()?.0),
            clock,
        })
    }

    /// Reservations in this holder's name that it does not have: asked for on a connection that broke. `mine` is what stands
    /// in its name, records and turns by turns.
    async fn forget_strays(
        &self,
        link: &mut Link,
        mine: &[Reply],
        has: &dyn Fn(u64) -> bool,
    ) -> Result<(), StoreFault> {
        for pair in mine.chunks(2) {
            let [record, turn] = pair else {
                return Err(odd("a turn of nothing"));
            };
            let (record, turn) = (text(record)?, number(turn)?);
            if !has(turn) {
                tracing::info!(
                    record,
                    "a reservation whose answer was lost, and for which nothing was sent, is removed"
                );
                let release = call(&link.scripts.settle, self.clock.told())
                    .and(&record)
                    .and(&self.holder)
                    .and_number(turn);
                link.one(with_outcome(release, "free", None, None)).await?;
            }
        }
        Ok(())
    }

    /// The command that asks a question; none for one that a server is not asked.
    fn command(&self, link: &Link, question: &Question<'_>) -> Option<Command> {
        let (told, scripts) = (self.clock.told(), &link.scripts);
        Some(match question.request {
            Request::Reserve {
                key,
                owner,
                fingerprint,
                keep,
                ..
            } => {
                let record = Record::running(*fingerprint, owner.clone(), 0, at_most(*keep));
                let client_key = owner.as_deref().map_or("", |owner| &owner.key);
                call(&scripts.reserve, told)
                    .and(key.to_string())
                    .and(what(&record))
                    .and_number(kept(&record))
                    .and(&self.holder)
                    .and_number(question.turn)
                    .and(client_key)
                    .and_number(MAX_KEYS)
            }
            Request::Settle { reserved, settlement } => {
                let (outcome, status, id) = match settlement {
                    Settlement::Complete {
                        status, transaction_id, ..
                    } => ("done", *status, transaction_id.as_deref()),
                    Settlement::Release => ("free", 0, None),
                    Settlement::Unknown { now: Some(_) } => ("doubt_now", 0, None),
                    Settlement::Unknown { now: None } => ("doubt", 0, None),
                };
                let command = call(&scripts.settle, told)
                    .and(reserved.key().to_string())
                    .and(&self.holder)
                    .and_number(reserved.turn());
                let command = with_outcome(command, outcome, Some(status), id);
                match settlement {
                    Settlement::Complete {
                        answer: Some(answer), ..
                    } if answer.len() <= MAX_SEALED_ANSWER => command.and(answer).and_number(MAX_ANSWER_BYTES),
                    _ => command,
                }
            }
            Request::Rule { key, seen, ruling, .. } => {
                let State::Unknown { since, .. } = seen.state else {
                    return None;
                };
                let command = call(&scripts.rule, told)
                    .and(key.to_string())
                    .and(what(seen))
                    .and_number(since);
                match ruling {
                    Ruling::Free => with_outcome(command, "free", None, None),
                    Ruling::Done { status, transaction_id } => {
                        with_outcome(command, "done", *status, transaction_id.as_deref())
                    }
                }
            }
            Request::Show { key } => {
                let command = Command::new("HMGET").and(name(&key.to_string()));
                FIELDS.into_iter().fold(command, Command::and)
            }
            Request::List { filter, after, .. } => {
                let (which, client_key) = match filter {
                    Filter::Unsettled => ("unsettled", ""),
                    Filter::Of(Kind::InProgress) => ("running", ""),
                    Filter::Of(Kind::Unknown) => ("unknown", ""),
                    Filter::Of(Kind::Done) => ("done", ""),
                    Filter::Key(key) => ("named", &**key),
                };
                call(&scripts.list, told)
                    .and(which)
                    .and(after.map_or(String::new(), |key| key.to_string()))
                    .and(MAX_LISTED.to_string())
                    .and(MAX_SCANNED.to_string())
                    .and(client_key)
            }
            Request::Lock { name, step } => {
                let (word, lease) = match step {
                    Step::Take(lease) => ("take", *lease),
                    Step::Extend(_, lease) => ("extend", *lease),
                    Step::Release(_) => ("free", Duration::ZERO),
                };
                call(&scripts.lock, told)
                    .and(hex(name))
                    .and(&self.holder)
                    .and_number(question.turn)
                    .and(word)
                    .and_number(milliseconds(lease))
            }
            Request::Snapshot => return None,
        })
    }
}

/// What [`standing`] reads, in its order.
const FIELDS: [&str; 7] = ["what", "state", "since", "until", "status", "id", "answer"];

fn with_outcome(command: Command, outcome: &str, status: Option<u16>, id: Option<&str>) -> Command {
    let status = status.map_or(String::new(), |status| status.clamp(100, 999).to_string());
    let id = id.filter(|id| id.len() <= MAX_TRANSACTION_ID).unwrap_or_default();
    command.and(outcome).and(status).and(id)
}

/// A record's bytes but for what becomes of it: what the server keeps without reading it.
fn what(record: &Record) -> Vec<u8> {
    let keep = kept(record);
    let state = State::Running { since: 0, keep };
    Record {
        state,
        ..record.clone()
    }
    .encode()
}

/// How long it is remembered, as far as the server's numbers go.
fn at_most(keep: Duration) -> Duration {
    keep.min(Duration::from_secs(MAX_KEEP))
}

/// For how many seconds it is remembered once it is done; of one that is done the end is known instead.
const fn kept(record: &Record) -> u64 {
    match record.state {
        State::Running { keep, .. } | State::Unknown { keep, .. } => keep,
        State::Done { .. } => 0,
    }
}

/// What was answered to a question.
fn answered(question: &Question<'_>, value: Reply) -> Result<Answer, StoreFault> {
    match question.request {
        Request::Reserve {
            key,
            owner,
            fingerprint,
            keep,
            ..
        } => {
            let (word, now, there) = match list(value)?.as_slice() {
                [word, now] => (text(word)?, number(now)?, None),
                [word, now, there] => (text(word)?, number(now)?, Some(there.clone())),
                _ => return Err(odd("an answer to a reservation")),
            };
            let wanted = Record::running(*fingerprint, owner.clone(), now, at_most(*keep));
            match (&*word, there) {
                ("granted", None) => Reserved::on_disk(*key, wanted).map_or(Err(StoreFault::Closed), |reserved| {
                    Ok(Answer::Reserved(reserved.in_turn(question.turn)))
                }),
                ("full", None) => Ok(Answer::Full),
                ("stranger", None) => Err(stranger()),
                ("stands", Some(there)) => match judge(standing(there)?.as_ref(), fingerprint, now) {
                    Verdict::Proceed => Err(odd("a record that stands and does not")),
                    verdict => Ok(Answer::Refused(verdict)),
                },
                _ => Err(odd("an answer to a reservation")),
            }
        }
        Request::Settle { settlement, .. } => match (number(&value)?, settlement) {
            (0, Settlement::Complete { .. }) => Err(StoreFault::Overtaken),
            // A key that does not run in this turn any more is not freed, and its doubt is told already.
            _ => Ok(Answer::Settled),
        },
        Request::Rule { .. } => Ok(Answer::Ruled(number(&value)? == 1)),
        Request::Show { .. } => Ok(Answer::Shown(standing(value)?)),
        Request::List { .. } => page(value).map(Answer::Listed),
        Request::Lock { name, step } => match (step, value) {
            (Step::Take(_), Reply::Number(-1)) => Err(stranger()),
            (Step::Take(_), Reply::Number(0)) => Ok(Answer::Taken),
            (Step::Take(_), Reply::Number(1)) => Ok(Answer::Locked(Grip {
                name: *name,
                turn: question.turn,
            })),
            (Step::Extend(..), Reply::Number(said)) => Ok(Answer::Extended(said == 1)),
            (Step::Release(_), Reply::Number(_)) => Ok(Answer::Settled),
            _ => Err(odd("an answer about a lock")),
        },
        Request::Snapshot => Err(StoreFault::Closed),
    }
}

fn page(value: Reply) -> Result<Page, StoreFault> {
    let [last, rows]: [Reply; 2] = list(value)?.try_into().map_err(|_| odd("a page"))?;
    let mut page = Page::default();
    for row in list(rows)? {
        let [key, there]: [Reply; 2] = list(row)?.try_into().map_err(|_| odd("a row"))?;
        if let Some(record) = standing(there)? {
            page.records.push((record_key(&key)?, record));
        }
    }
    let last = text(&last)?;
    page.next = (!last.is_empty())
        .then(|| last.parse().map_err(|_| odd("a name")))
        .transpose()?;
    Ok(page)
}

/// A record from its [`FIELDS`], read as strictly as the embedded store reads its own; none where there is none.
fn standing(value: Reply) -> Result<Option<Record>, StoreFault> {
    let fields: [Reply; 7] = list(value)?.try_into().map_err(|_| odd("a number of fields"))?;
    let [what, state, since, until, status, id, answer] = &fields;
    let what = match what {
        Reply::Nothing => return Ok(None),
        Reply::Bytes(bytes) => bytes,
        _ => return Err(odd("a record")),
    };
    let record = Record::decode(what).map_err(|fault| StoreFault::Corrupt(fault.to_string()))?;
    let (since, keep) = (number(since)?, kept(&record));
    let state = match &*text(state)? {
        "1" => State::Running { since, keep },
        "3" => State::Unknown { since, keep },
        "2" => {
            let (status, id) = (text(status)?, text(id)?);
            let status = Some(status).filter(|status| !status.is_empty());
            State::Done {
                status: status
                    .map(|status| status.parse().map_err(|_| odd("a status")))
                    .transpose()?,
                transaction_id: Some(id.into_boxed_str()).filter(|id| !id.is_empty()),
                completed_at: since,
                answer: match answer {
                    Reply::Nothing => None,
                    Reply::Bytes(bytes) => Some(Arc::from(bytes.as_slice())),
                    _ => return Err(odd("an answer")),
                },
                keep_until: number(until)?,
            }
        }
        _ => return Err(odd("a state")),
    };
    Ok(Some(Record { state, ..record }))
}

fn record_key(value: &Reply) -> Result<RecordKey, StoreFault> {
    text(value)?.parse().map_err(|_| odd("a name"))
}

fn list(value: Reply) -> Result<Vec<Reply>, StoreFault> {
    match value {
        Reply::List(parts) => Ok(parts),
        _ => Err(odd("an answer")),
    }
}

fn text(value: &Reply) -> Result<String, StoreFault> {
    match value {
        Reply::Bytes(bytes) => String::from_utf8(bytes.clone()).map_err(|_| odd("a text")),
        _ => Err(odd("a value")),
    }
}

/// As a number, or as its digits.
fn number(value: &Reply) -> Result<u64, StoreFault> {
    match value {
        Reply::Number(number) => u64::try_from(*number).ok(),
        Reply::Bytes(bytes) => std::str::from_utf8(bytes).ok().and_then(|digits| digits.parse().ok()),
        _ => None,
    }
    .ok_or_else(|| odd("a number"))
}

fn stranger() -> StoreFault {
    StoreFault::Unavailable("it does not know this gateway any more".to_owned())
}

fn milliseconds(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
}

fn odd(what: &str) -> StoreFault {
    StoreFault::Corrupt(format!("Redis has {what} that is never written"))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Server for Redis {
    type Link = Link;

    async fn connect(&self) -> Result<Link, StoreFault> {
        Link::open(&self.server).await
    }

    fn is_broken(link: &mut Link) -> bool {
        link.is_broken()
    }

    async fn run(
        &self,
        link: &mut Link,
        batch: &[Question<'_>],
    ) -> Result<Vec<Result<Answer, StoreFault>>, StoreFault> {
        let mut commands = Vec::with_capacity(batch.len());
        let asked: Vec<bool> = batch
            .iter()
            .map(|question| {
                let command = self.command(link, question);
                let asked = command.is_some();
                commands.extend(command);
                asked
            })
            .collect();
        let mut replies = link.all(&commands).await?.into_iter();
        batch
            .iter()
            .zip(asked)
            .map(|(question, asked)| match (asked, question.request) {
                (false, Request::Rule { .. }) => Ok(Ok(Answer::Ruled(false))),
                (false, _) => Ok(Err(StoreFault::Closed)),
                (true, _) => match replies.next() {
                    // A server that has lost its scripts is connected to again, which brings them back.
                    Some(Reply::Error(said)) if said.starts_with("NOSCRIPT") => Err(fault(&said)),
                    Some(Reply::Error(said)) => Ok(Err(fault(&said))),
                    Some(reply) => Ok(answered(question, reply)),
                    None => Err(odd("fewer answers than questions")),
                },
            })
            .collect()
    }

    async fn beat(&self, link: &mut Link, has: &dyn Fn(u64) -> bool) -> Result<Beat, StoreFault> {
        let told = self.clock.told();
        let beat = call(&link.scripts.beat, told)
            .and(&self.holder)
            .and_number(milliseconds(self.server.lease))
            .and(host())
            .and(MAX_SWEEP.to_string());
        let told_back: [Reply; 4] = list(link.one(beat).await?)?
            .try_into()
            .map_err(|_| odd("an answer to a sign of life"))?;
        let [lost, keys, unknown, mine] = told_back;
        let (lost, keys, unknown) = (number(&lost)?, number(&keys)?, number(&unknown)?);
        if lost > 0 {
            tracing::warn!(lost, "keyed writes of a gateway that is gone have an unknown outcome");
        }
        self.forget_strays(link, &list(mine)?, has).await?;
        for _ in 0..MAX_ROUNDS {
            let sweep = call(&link.scripts.sweep, told).and(MAX_SWEEP.to_string());
            if number(&link.one(sweep).await?)? < MAX_SWEEP as u64 {
                break;
            }
        }
        let said = text(&link.one(Command::new("INFO").and("memory")).await?)?;
        let bytes = said.lines().find_map(|line| line.strip_prefix("used_memory:"));
        let bytes = bytes.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0);
        Ok(Beat { keys, unknown, bytes })
    }

    async fn leave(&self, link: &mut Link) -> Result<(), StoreFault> {
        loop {
            let leave = call(&link.scripts.leave, self.clock.told())
                .and(&self.holder)
                .and(MAX_SWEEP.to_string());
            if number(&link.one(leave).await?)? < MAX_SWEEP as u64 {
                return Ok(());
            }
        }
    }
}

/// What an error is to the store: it begins with a code. The server's words never have a password in them.
fn fault(said: &str) -> StoreFault {
    let code = said.split(' ').next().unwrap_or_default();
    // What else there is comes and goes: a server that loads, that is a replica, that has no memory or no disk left.
    match code {
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "WRONGTYPE" | "MOVED" | "CROSSSLOT" => StoreFault::Refused(said.to_owned()),
        _ => StoreFault::Unavailable(said.to_owned()),
    }
}
