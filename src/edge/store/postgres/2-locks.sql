-- Locks on resources of backends, each of which has ended once its time is over: milliseconds by this server's clock.
-- Holder and turn: whose it is. Name: the SHA-256 of the resource's name.
CREATE TABLE tollgate.locks (
    name   bytea  PRIMARY KEY CHECK (octet_length(name) = 32),
    holder bytea  NOT NULL,
    turn   bigint NOT NULL,
    ends   bigint NOT NULL
);
CREATE INDEX locks_ended ON tollgate.locks (ends);
