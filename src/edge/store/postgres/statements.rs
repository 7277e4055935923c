//! The statements, prepared once for each connection. `$1` of most is the time in unix seconds, null for the server's own.

use tokio_postgres::{Client, Statement};

use super::fault;
use crate::edge::store::StoreFault;

/// The time, in seconds.
macro_rules! now {
    () => {
        "coalesce($1::bigint, floor(extract(epoch FROM clock_timestamp()))::bigint)"
    };
}

/// The time, in milliseconds.
macro_rules! now_ms {
    () => {
        "coalesce($1::bigint * 1000, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
    };
}

/// All of a record but its answer.
macro_rules! listed {
    () => {
        "record, fingerprint, state, since, keep, keep_until, status, transaction_id, issuer, of_user, module, route, client_key,
            NULL::bytea AS answer"
    };
}

macro_rules! statements {
    ($($(#[doc = $about:literal])+ $name:ident = $text:expr;)+) => {
        /// All of them.
        pub(super) struct Statements {
            $($(#[doc = $about])+ pub(super) $name: Statement,)+
        }

        impl Statements {
            /// Has them all prepared at once.
            pub(super) async fn prepare(client: &Client) -> Result<Self, StoreFault> {
                let prepared = futures_util::future::try_join_all([$($text),+].map(|text| client.prepare(text)));
                let mut prepared = prepared.await.map_err(|error| fault(&error))?.into_iter();
                Ok(Self {
                    $($name: prepared.next().ok_or(StoreFault::Closed)?,)+
                })
            }
        }
    };
}

statements! {
    /// Reserves a key that is free or expired, or gives what stands there.
    reserve = concat!(
        "WITH clock AS MATERIALIZED (SELECT ", now!(), " AS instant),
        mine AS (
            INSERT INTO tollgate.keys AS stands (record, fingerprint, state, since, keep, holder, turn, issuer, of_user, module,
                route, client_key)
            SELECT $2, $3, 1, instant, $4, $5, $6, $7, $8, $9, $10, $11 FROM clock
            ON CONFLICT (record) DO UPDATE SET fingerprint = excluded.fingerprint, state = 1, since = excluded.since,
                keep = excluded.keep, keep_until = NULL, status = NULL, transaction_id = NULL, answer = NULL, holder = excluded.holder,
                turn = excluded.turn, issuer = excluded.issuer, of_user = excluded.of_user, module = excluded.module,
                route = excluded.route, client_key = excluded.client_key
            WHERE stands.state = 2 AND stands.keep_until <= excluded.since
            RETURNING since
        )
        SELECT clock.instant, (SELECT since FROM mine) AS granted, stands.*
        FROM clock LEFT JOIN tollgate.keys stands ON stands.record = $2"
    );
    /// The outcome, while nobody else has said anything; again, when it is not known whether that was heard.
    complete = concat!(
        "UPDATE tollgate.keys SET state = 2, status = $5, transaction_id = $6, answer = $8, since = ", now!(), ",
            keep_until = greatest(", now!(), ", $7) + keep
        WHERE record = $2 AND holder = $3 AND turn = $4"
    );
    /// Frees a key that runs.
    release = "DELETE FROM tollgate.keys WHERE record = $1 AND holder = $2 AND turn = $3 AND state = 1";
    /// Nobody knows what became of it.
    doubt = concat!(
        "UPDATE tollgate.keys SET state = 3, since = CASE WHEN $5 THEN ", now!(), " ELSE since END
        WHERE record = $2 AND holder = $3 AND turn = $4 AND state = 1"
    );
    /// What stands under a key.
    show = "SELECT * FROM tollgate.keys WHERE record = $1";
    /// What runs or is unknown, by name.
    list_unsettled = concat!(
        "SELECT ", listed!(), " FROM tollgate.keys WHERE state IN (1, 3) AND state = ANY($3) AND record > $1 ORDER BY record LIMIT $2"
    );
    /// What is done, by name.
    list_done = concat!(
        "SELECT ", listed!(), " FROM tollgate.keys WHERE state = 2 AND keep_until > ", now!(), " AND record > $2 ORDER BY record LIMIT $3"
    );
    /// What has a client's key, by name.
    list_named = concat!(
        "SELECT ", listed!(), " FROM tollgate.keys WHERE client_key = $4 AND record > $2 AND (state <> 2 OR keep_until > ", now!(), ")
        ORDER BY record LIMIT $3"
    );
    /// An operator says that it was done.
    rule_done = concat!(
        "UPDATE tollgate.keys SET state = 2, status = $6, transaction_id = $7, since = ", now!(), ",
            keep_until = greatest(", now!(), ", $8) + keep, holder = NULL, turn = NULL
        WHERE record = $2 AND state = 3 AND fingerprint = $3 AND since = $4 AND keep = $5"
    );
    /// An operator says that it was not.
    rule_free = "DELETE FROM tollgate.keys WHERE record = $1 AND state = 3 AND fingerprint = $2 AND since = $3 AND keep = $4";
    /// Takes a lock that is free or has ended; again, when it is not known whether that was heard.
    lock = concat!(
        "INSERT INTO tollgate.locks AS stands (name, holder, turn, ends) VALUES ($2, $3, $4, ", now_ms!(), " + $5)
        ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, turn = excluded.turn, ends = excluded.ends
        WHERE stands.ends <= ", now_ms!(), " OR (stands.holder = $3 AND stands.turn = $4)"
    );
    /// Makes it last, as long as nobody else has it.
    extend = concat!(
        "UPDATE tollgate.locks SET ends = greatest(ends, ", now_ms!(), " + $5) WHERE name = $2 AND holder = $3 AND turn = $4"
    );
    /// It is free.
    unlock = "DELETE FROM tollgate.locks WHERE name = $1 AND holder = $2 AND turn = $3";
    /// Removes locks that have ended, the oldest first.
    sweep_locks = concat!(
        "DELETE FROM tollgate.locks WHERE name IN (
            SELECT name FROM tollgate.locks WHERE ends <= ", now_ms!(), " ORDER BY ends LIMIT $2 FOR UPDATE SKIP LOCKED)"
    );
    /// A sign of life. Who was not heard of for half its lease begins anew.
    beat = concat!(
        "WITH clock AS MATERIALIZED (SELECT ", now_ms!(), " AS instant)
        INSERT INTO tollgate.holders AS stands SELECT $2, $3, instant, instant, $4 FROM clock
        ON CONFLICT (holder) DO UPDATE SET seen = greatest(stands.seen, excluded.seen),
            since = CASE WHEN stands.seen < excluded.seen - stands.lease / 2 THEN excluded.seen ELSE stands.since END
        RETURNING seen - since AS heard_for"
    );
    /// The latest time that was ever seen.
    latest = concat!(
        "UPDATE tollgate.facts SET value = greatest(value, ", now!(), ") WHERE name = 'latest' RETURNING value"
    );
    /// What runs in the name of a holder.
    mine = "SELECT record, turn FROM tollgate.keys WHERE holder = $1 AND state = 1";
    /// What ran in the names of those who are gone is unknown.
    bury = concat!(
        "UPDATE tollgate.keys SET state = 3 WHERE record IN (
            SELECT record FROM tollgate.keys ran WHERE state = 1 AND NOT EXISTS (
                SELECT FROM tollgate.holders WHERE holder = ran.holder AND seen > ", now_ms!(), " - lease)
            ORDER BY record LIMIT $2 FOR UPDATE SKIP LOCKED)"
    );
    /// And they are forgotten, once nothing runs in their names.
    bury_holders = concat!(
        "DELETE FROM tollgate.holders gone WHERE seen <= ", now_ms!(), " - lease
            AND NOT EXISTS (SELECT FROM tollgate.keys WHERE state = 1 AND holder = gone.holder)"
    );
    /// Removes what has expired, the oldest first.
    sweep = concat!(
        "DELETE FROM tollgate.keys WHERE record IN (
            SELECT record FROM tollgate.keys WHERE state = 2 AND keep_until <= ", now!(), "
            ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED)"
    );
    /// For metrics. Keys are counted by the planner: to count them one by one takes as long as there are many.
    figures = "SELECT (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'tollgate.keys'::regclass) AS keys,
        (SELECT count(*) FROM tollgate.keys WHERE state IN (1, 3) AND state = 3) AS unknown,
        pg_total_relation_size('tollgate.keys') AS bytes";
    /// A holder takes its leave: nobody will say what became of what it runs.
    leave_keys = "UPDATE tollgate.keys SET state = 3 WHERE holder = $1 AND state = 1";
    /// And is forgotten.
    leave = "DELETE FROM tollgate.holders WHERE holder = $1";
}
