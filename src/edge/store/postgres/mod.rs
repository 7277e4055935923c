//! The store in PostgreSQL: a table of keys, one of holders, one of locks, and one statement for each question.
//!
//! A batch is one transaction, sent as a whole before anything of it is answered: two round trips become one, and two
//! hundred syncs one. When something in it fails, each question is asked again alone, so that nobody fails for another.

mod link;
mod statements;

use futures_util::future::{join_all, join3};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::StoreFault;
use super::embedded::{Answer, MAX_ANSWER_BYTES, MAX_KEYS, MAX_LISTED, MAX_SWEEP, Request, Settlement};
use super::leases::{Grip, LockName, Step};
use super::listing::{Filter, Kind, Page};
use super::shared::{Beat, Clock, Holder, MAX_KEEP, MAX_ROUNDS, Question, Server, host};
use crate::config::SharedStore;
use crate::ledger::{
    Fingerprint, MAX_SEALED_ANSWER, Owner, Record, RecordKey, Reserved, Ruling, State, Verdict, judge,
};
use link::Link;

/// How often a question is asked again whose answer was overtaken by another gateway's.
const MAX_RACES: usize = 5;

/// Talks to one database for one holder.
pub(super) struct Postgres {
    server: SharedStore,
    holder: Holder,
    clock: Clock,
    /// The latest time that any gateway saw, as of the last sign of life.
    latest: Cell<i64>,
    /// How many keys there are, about.
    keys: Cell<u64>,
    /// How large the tables are, about.
    bytes: Cell<u64>,
    max_keys: u64,
}

type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Postgres {
    pub(super) fn new(server: SharedStore, clock: Clock) -> Result<Self, StoreFault> {
        Ok(Self {
            server,
            holder: Holder::new()?,
            clock,
            latest: Cell::new(0),
            keys: Cell::new(0),
            bytes: Cell::new(0),
            max_keys: MAX_KEYS,
        })
    }

    /// An answer beyond is not kept; its outcome is.
    fn has_room_for(&self, answer: &[u8]) -> bool {
        answer.len() <= MAX_SEALED_ANSWER && self.bytes.get() < MAX_ANSWER_BYTES
    }

    fn holder(&self) -> &[u8] {
        &self.holder.0
    }

    async fn answer(&self, link: &Link, question: &Question<'_>) -> Result<Answer, StoreFault> {
        match question.request {
            Request::Reserve {
                key,
                owner,
                fingerprint,
                keep,
                ..
            } => {
                if self.keys.get() >= self.max_keys {
                    return Ok(Answer::Full);
                }
                let record = Record::running(*fingerprint, owner.clone(), 0, *keep);
                self.reserve(link, key, record, question.turn).await
            }
            Request::Settle { reserved, settlement } => self.settle(link, reserved, settlement).await,
            Request::Show { key } => {
                let row = link.row(&link.statements.show, &[&key.as_bytes().as_slice()]).await?;
                Ok(Answer::Shown(row.map(|row| record(&row)).transpose()?))
            }
            Request::List { filter, after, .. } => self.list(link, filter, *after).await.map(Answer::Listed),
            Request::Rule { key, seen, ruling, .. } => self.rule(link, key, seen, ruling).await.map(Answer::Ruled),
            Request::Lock { name, step } => self.lock(link, name, *step, question.turn).await,
            Request::Snapshot => Err(StoreFault::Closed),
        }
    }

    async fn reserve(&self, link: &Link, key: &RecordKey, wanted: Record, turn: u64) -> Result<Answer, StoreFault> {
        let State::Running { keep, .. } = wanted.state else {
            return Err(StoreFault::Closed);
        };
        let (now, keep) = (self.clock.told(), seconds(keep.min(MAX_KEEP)));
        let owner = wanted.owner.as_deref();
        let texts: [Option<String>; 5] = match owner {
            None => Default::default(),
            Some(owner) => {
                [&owner.issuer, &owner.user, &owner.module, &owner.route, &owner.key].map(|part| Some(text(part)))
            }
        };
        let [issuer, user, module, route, name] = &texts;
        let values: Values<'_> = &[
            &now,
            &key.as_bytes().as_slice(),
            &wanted.fingerprint.as_bytes().as_slice(),
            &keep,
            &self.holder(),
            &seconds(turn),
            issuer,
            user,
            module,
            route,
            name,
        ];
        for _ in 0..MAX_RACES {
            let row = link.one(&link.statements.reserve, values).await?;
            let (now, since): (i64, Option<i64>) = (column(&row, "instant")?, column(&row, "granted")?);
            if let Some(since) = since {
                let state = State::Running {
                    since: unsigned(since)?,
                    keep: unsigned(keep)?,
                };
                let reserved = Reserved::on_disk(*key, Record { state, ..wanted });
                return reserved.map_or(Err(StoreFault::Closed), |reserved| {
                    Ok(Answer::Reserved(reserved.in_turn(turn)))
                });
            }
            // Nothing, or something expired: another gateway's reservation is so new that it is not seen yet.
            let stands: Option<&[u8]> = column(&row, "record")?;
            let existing = stands.map(|_| record(&row)).transpose()?;
            match judge(existing.as_ref(), &wanted.fingerprint, unsigned(now)?) {
                Verdict::Proceed => {}
                verdict => return Ok(Answer::Refused(verdict)),
            }
        }
        Err(StoreFault::Busy)
    }

    async fn settle(&self, link: &Link, reserved: &Reserved, settlement: &Settlement) -> Result<Answer, StoreFault> {
        let (now, key, turn) = (
            self.clock.told(),
            reserved.key().as_bytes().as_slice(),
            seconds(reserved.turn()),
        );
        let statements = &link.statements;
        match settlement {
            Settlement::Complete {
                status,
                transaction_id,
                answer,
                ..
            } => {
                let answer = answer.as_deref().filter(|answer| self.has_room_for(answer));
                let status = small(status.clamp(&100, &999));
                let id = transaction_id
                    .as_deref()
                    .filter(|id| id.len() <= crate::ledger::MAX_TRANSACTION_ID)
                    .map(text);
                let values: Values<'_> = &[
                    &now,
                    &key,
                    &self.holder(),
                    &turn,
                    &status,
                    &id,
                    &self.latest.get(),
                    &answer,
                ];
                if link.count(&statements.complete, values).await? == 0 {
                    return Err(StoreFault::Overtaken);
                }
            }
            // A key that does not run in this turn any more is not freed, and its doubt is told already.
            Settlement::Release => {
                link.count(&statements.release, &[&key, &self.holder(), &turn]).await?;
            }
            Settlement::Unknown { now: since } => {
                let values: Values<'_> = &[&now, &key, &self.holder(), &turn, &since.is_some()];
                link.count(&statements.doubt, values).await?;
            }
        }
        Ok(Answer::Settled)
    }

    async fn lock(&self, link: &Link, name: &LockName, step: Step, turn: u64) -> Result<Answer, StoreFault> {
        let (now, bytes, number) = (self.clock.told(), name.as_slice(), seconds(turn));
        let statements = &link.statements;
        Ok(match step {
            Step::Take(lease) => {
                let values: Values<'_> = &[&now, &bytes, &self.holder(), &number, &milliseconds(lease)];
                match link.count(&statements.lock, values).await? {
                    0 => Answer::Taken,
                    _ => Answer::Locked(Grip { name: *name, turn }),
                }
            }
            Step::Extend(_, lease) => {
                let values: Values<'_> = &[&now, &bytes, &self.holder(), &number, &milliseconds(lease)];
                Answer::Extended(link.count(&statements.extend, values).await? == 1)
            }
            Step::Release(_) => {
                link.count(&statements.unlock, &[&bytes, &self.holder(), &number])
                    .await?;
                Answer::Settled
            }
        })
    }

    async fn rule(&self, link: &Link, key: &RecordKey, seen: &Record, ruling: &Ruling) -> Result<bool, StoreFault> {
        let State::Unknown { since, keep } = seen.state else {
            return Ok(false);
        };
        let (key, print) = (key.as_bytes().as_slice(), seen.fingerprint.as_bytes().as_slice());
        let (since, keep) = (seconds(since), seconds(keep));
        let count = match ruling {
            Ruling::Free => {
                let values: Values<'_> = &[&key, &print, &since, &keep];
                link.count(&link.statements.rule_free, values).await?
            }
            Ruling::Done { status, transaction_id } => {
                let status = status.map(|status| small(&status.clamp(100, 999)));
                let id = transaction_id.as_deref().map(text);
                let (now, latest) = (self.clock.told(), self.latest.get());
                let values: Values<'_> = &[&now, &key, &print, &since, &keep, &status, &id, &latest];
                link.count(&link.statements.rule_done, values).await?
            }
        };
        Ok(count == 1)
    }

    async fn list(&self, link: &Link, filter: &Filter, after: Option<RecordKey>) -> Result<Page, StoreFault> {
        let after = after.map_or(Vec::new(), |key| key.as_bytes().to_vec());
        let (now, most) = (self.clock.told(), i64::try_from(MAX_LISTED).unwrap_or(i64::MAX));
        let after = after.as_slice();
        let rows = match filter {
            Filter::Key(key) => {
                let values: Values<'_> = &[&now, &after, &most, &text(key)];
                link.rows(&link.statements.list_named, values).await?
            }
            Filter::Of(Kind::Done) => link.rows(&link.statements.list_done, &[&now, &after, &most]).await?,
            unsettled => {
                let states: &[i16] = match unsettled {
                    Filter::Of(Kind::Unknown) => &[UNKNOWN],
                    Filter::Of(_) => &[RUNNING],
                    _ => &[RUNNING, UNKNOWN],
                };
                link.rows(&link.statements.list_unsettled, &[&after, &most, &states])
                    .await?
            }
        };
        let records: Vec<_> = rows
            .iter()
            .map(|row| Ok((key(row)?, record(row)?)))
            .collect::<Result<_, StoreFault>>()?;
        let next = records
            .last()
            .filter(|_| records.len() >= MAX_LISTED)
            .map(|(key, _)| *key);
        Ok(Page { records, next })
    }

    /// All in one transaction; an error where it is not known whether that was carried out, and none of its answers where
    /// it was not.
    async fn together(
        &self,
        link: &Link,
        batch: &[Question<'_>],
    ) -> Result<Option<Vec<Result<Answer, StoreFault>>>, StoreFault> {
        // In the order of their keys, so that two gateways' batches wait for one another and never in a circle.
        let mut order: Vec<(usize, &Question<'_>)> = batch.iter().enumerate().collect();
        order.sort_by_key(|(_, question)| question.request.key());
        // Each is on its way before the next is asked, and the first answer is looked at after the last was.
        let (begun, answers, ended) = join3(
            link.client.batch_execute("BEGIN"),
            join_all(order.iter().map(|(_, question)| self.answer(link, question))),
            link.client.batch_execute("COMMIT"),
        )
        .await;
        begun.and(ended).map_err(|error| fault(&error))?;
        if answers.iter().any(Result::is_err) {
            return Ok(None);
        }
        let mut placed: Vec<(usize, _)> = order.iter().map(|(at, _)| *at).zip(answers).collect();
        placed.sort_by_key(|(at, _)| *at);
        Ok(Some(placed.into_iter().map(|(_, answer)| answer).collect()))
    }

    async fn sweep(&self, link: &Link) -> Result<(), StoreFault> {
        let most = i64::try_from(MAX_SWEEP).unwrap_or(i64::MAX);
        for _ in 0..MAX_ROUNDS {
            let swept = link.count(&link.statements.sweep, &[&self.clock.told(), &most]).await?;
            if usize::try_from(swept).is_ok_and(|swept| swept < MAX_SWEEP) {
                break;
            }
        }
        link.count(&link.statements.sweep_locks, &[&self.clock.told(), &most])
            .await?;
        Ok(())
    }

    /// Reservations in this holder's name that it does not have: asked for on a connection that broke.
    async fn forget_strays(&self, link: &Link, has: &dyn Fn(u64) -> bool) -> Result<(), StoreFault> {
        let rows = link.rows(&link.statements.mine, &[&self.holder()]).await?;
        for row in rows {
            let turn: i64 = column(&row, "turn")?;
            if !has(unsigned(turn)?) {
                let key = key(&row)?;
                tracing::info!(record = %key, "a reservation whose answer was lost, and for which nothing was sent, is removed");
                link.count(
                    &link.statements.release,
                    &[&key.as_bytes().as_slice(), &self.holder(), &turn],
                )
                .await?;
            }
        }
        Ok(())
    }
}

impl Server for Postgres {
    type Link = Link;

    async fn connect(&self) -> Result<Link, StoreFault> {
        Link::open(&self.server).await
    }

    fn is_broken(link: &mut Link) -> bool {
        link.client.is_closed()
    }

    async fn run(
        &self,
        link: &mut Link,
        batch: &[Question<'_>],
    ) -> Result<Vec<Result<Answer, StoreFault>>, StoreFault> {
        let link = &*link;
        if batch.len() > 1
            && let Some(answers) = self.together(link, batch).await?
        {
            return Ok(answers);
        }
        let mut answers = Vec::with_capacity(batch.len());
        for question in batch {
            let answer = self.answer(link, question).await;
            if let (Err(fault), true) = (&answer, link.client.is_closed()) {
                return Err(fault.clone());
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    async fn beat(&self, link: &mut Link, has: &dyn Fn(u64) -> bool) -> Result<Beat, StoreFault> {
        let link = &*link;
        let lease = milliseconds(self.server.lease);
        let values: Values<'_> = &[&self.clock.told(), &self.holder(), &text(&host()), &lease];
        let row = link.one(&link.statements.beat, values).await?;
        let heard_for: i64 = column(&row, "heard_for")?;
        let row = link.one(&link.statements.latest, &[&self.clock.told()]).await?;
        self.latest.set(column(&row, "value")?);
        self.forget_strays(link, has).await?;
        if heard_for >= lease {
            let most = i64::try_from(MAX_SWEEP).unwrap_or(i64::MAX);
            let lost = link.count(&link.statements.bury, &[&self.clock.told(), &most]).await?;
            if lost > 0 {
                tracing::warn!(lost, "keyed writes of a gateway that is gone have an unknown outcome");
            }
            link.count(&link.statements.bury_holders, &[&self.clock.told()]).await?;
        }
        self.sweep(link).await?;
        let row = link.one(&link.statements.figures, &[]).await?;
        let figure = |name| column::<i64>(&row, name).and_then(unsigned);
        let beat = Beat {
            keys: figure("keys")?,
            unknown: figure("unknown")?,
            bytes: figure("bytes")?,
        };
        self.keys.set(beat.keys);
        self.bytes.set(beat.bytes);
        Ok(beat)
    }

    async fn leave(&self, link: &mut Link) -> Result<(), StoreFault> {
        link.count(&link.statements.leave_keys, &[&self.holder()]).await?;
        link.count(&link.statements.leave, &[&self.holder()]).await?;
        Ok(())
    }
}

const RUNNING: i16 = 1;
const DONE: i16 = 2;
const UNKNOWN: i16 = 3;

/// A record, read as strictly as the embedded store reads its own.
fn record(row: &Row) -> Result<Record, StoreFault> {
    let damaged =
        |what: &str| StoreFault::Corrupt(format!("a row of `tollgate.keys` has {what} that is never written"));
    let fingerprint: &[u8] = column(row, "fingerprint")?;
    let fingerprint = fingerprint.try_into().map_err(|_| damaged("a fingerprint"))?;
    let (since, keep) = (unsigned(column(row, "since")?)?, unsigned(column(row, "keep")?)?);
    let state = match column(row, "state")? {
        RUNNING => State::Running { since, keep },
        UNKNOWN => State::Unknown { since, keep },
        DONE => {
            let (status, id): (Option<i16>, Option<&str>) = (column(row, "status")?, column(row, "transaction_id")?);
            let until: Option<i64> = column(row, "keep_until")?;
            State::Done {
                status: status.map(u16::try_from).transpose().map_err(|_| damaged("a status"))?,
                transaction_id: id.map(Box::from),
                completed_at: since,
                answer: column::<Option<&[u8]>>(row, "answer")?.map(Arc::from),
                keep_until: until.map_or(Err(damaged("an end")), unsigned)?,
            }
        }
        _ => return Err(damaged("a state")),
    };
    Ok(Record {
        fingerprint: Fingerprint::from_bytes(fingerprint),
        owner: owner(row)?.map(Arc::new),
        state,
    })
}

fn owner(row: &Row) -> Result<Option<Owner>, StoreFault> {
    let part = |name| column::<Option<&str>>(row, name).map(|part| part.map(Box::from));
    let parts = (
        part("issuer")?,
        part("of_user")?,
        part("module")?,
        part("route")?,
        part("client_key")?,
    );
    Ok(match parts {
        (Some(issuer), Some(user), Some(module), Some(route), Some(key)) => Some(Owner {
            issuer,
            user,
            module,
            route,
            key,
        }),
        _ => None,
    })
}

fn key(row: &Row) -> Result<RecordKey, StoreFault> {
    let bytes: &[u8] = column(row, "record")?;
    let bytes = bytes
        .try_into()
        .map_err(|_| StoreFault::Corrupt("a record's name is not 32 bytes long".to_owned()))?;
    Ok(RecordKey::from_bytes(bytes))
}

fn column<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row, name: &str) -> Result<T, StoreFault> {
    row.try_get(name)
        .map_err(|error| StoreFault::Corrupt(format!("the column `{name}`: {error}")))
}

/// PostgreSQL has no text with a NUL in it, which an issuer may put into a user's name.
fn text(part: &str) -> String {
    part.replace('\0', "\u{fffd}")
}

fn milliseconds(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
}

fn seconds(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> Result<u64, StoreFault> {
    u64::try_from(value).map_err(|_| StoreFault::Corrupt("a number is negative".to_owned()))
}

fn small(status: &u16) -> i16 {
    i16::try_from(*status).unwrap_or(i16::MAX)
}

/// What an error is to the store. The server's words never have a password in them.
fn fault(error: &tokio_postgres::Error) -> StoreFault {
    let Some(said) = error.as_db_error() else {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
        return StoreFault::Unavailable(format!("{error}{}", cause.unwrap_or_default()));
    };
    let (code, words) = (said.code(), format!("{} ({})", said.message(), said.code().code()));
    let passes = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
    ];
    // Classes: 28 who are you, 3D no such database, 42 no such thing or not allowed. What else there is comes and goes.
    let refuses = ["28", "3D", "42"].iter().any(|class| code.code().starts_with(class));
    if passes.contains(code) {
        StoreFault::Busy
    } else if refuses {
        StoreFault::Refused(words)
    } else {
        StoreFault::Unavailable(words)
    }
}
