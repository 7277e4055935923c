-- The keys that were used, and the gateways that hold some of them. Times are unix seconds by this server's clock, those
-- of holders milliseconds.

CREATE SCHEMA IF NOT EXISTS tollgate;

-- `format`: which of these files were applied. `latest`: the latest time that was ever seen; nothing is kept for less
-- because a clock went back.
CREATE TABLE tollgate.facts (
    name  text   PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO tollgate.facts VALUES ('format', 0), ('latest', 0);

-- One row for each life of a gateway.
CREATE TABLE tollgate.holders (
    holder bytea  PRIMARY KEY CHECK (octet_length(holder) = 16),
    host   text   NOT NULL,
    since  bigint NOT NULL,   -- heard of without a gap since then
    seen   bigint NOT NULL,   -- last heard of
    lease  bigint NOT NULL    -- gone, once it was not heard of for as long
);

-- state: 1 running, 2 done, 3 unknown. `since`: when it was reserved, was done, became unknown. `keep`: for how many
-- seconds it is remembered once it is done. Holder and turn: who runs it, or wrote its outcome; none once an operator
-- has settled it. Answer: sealed by the gateway, for whoever sends the request again.
CREATE TABLE tollgate.keys (
    record         bytea    PRIMARY KEY CHECK (octet_length(record) = 32),
    fingerprint    bytea    NOT NULL CHECK (octet_length(fingerprint) = 32),
    state          smallint NOT NULL CHECK (state IN (1, 2, 3)),
    since          bigint   NOT NULL,
    keep           bigint   NOT NULL,
    keep_until     bigint   CHECK ((keep_until IS NOT NULL) = (state = 2)),
    status         smallint CHECK (status BETWEEN 100 AND 999),
    transaction_id text,
    holder         bytea,
    turn           bigint   CHECK ((turn IS NULL) = (holder IS NULL)),
    issuer         text,
    of_user        text,
    module         text,
    route          text,
    client_key     text,
    answer         bytea
);
CREATE INDEX keys_done      ON tollgate.keys (keep_until) WHERE state = 2;
CREATE INDEX keys_running   ON tollgate.keys (holder) WHERE state = 1;
CREATE INDEX keys_unsettled ON tollgate.keys (record) WHERE state IN (1, 3);
CREATE INDEX keys_by_name   ON tollgate.keys (client_key, record);
