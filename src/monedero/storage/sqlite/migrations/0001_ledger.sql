-- The log, its head, and what follows from it. All times are microseconds since 1970 in UTC, all
-- amounts units of 1/10,000; an id is the 16 bytes of a UUID.

-- The system of record: append-only, positions from 0 without a gap. payload holds the canonical bytes
-- that are sealed; payer and payee are wallet numbers taken from it, so that a listing is an index scan
-- (SQLite ends each index with the position, the rowid); link chains the row to all before it.
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    id       BLOB NOT NULL,
    payer    INTEGER,
    payee    INTEGER,
    payload  BLOB NOT NULL,
    link     BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_id ON events (id);
CREATE INDEX events_by_payer ON events (payer) WHERE payer IS NOT NULL;
CREATE INDEX events_by_payee ON events (payee) WHERE payee IS NOT NULL;

-- One row: the sealed size, the frontier and root of the Merkle tree, the last link of the chain.
CREATE TABLE head (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    size     INTEGER NOT NULL,
    frontier BLOB NOT NULL,
    root     BLOB NOT NULL,
    link     BLOB NOT NULL
) STRICT;

-- Personal data, which the log does not hold: number is the position of the event that registered the
-- owner, and that event's digest seals salt and profile.
CREATE TABLE owners (
    number     INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    kind       TEXT NOT NULL CHECK (kind IN ('customer', 'business')),
    name       TEXT NOT NULL,
    last_name  TEXT,
    email      TEXT NOT NULL,
    email_key  TEXT NOT NULL,
    phone      TEXT,
    salt       BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (kind, email_key)
) STRICT;

-- A projection of the log: number is the position of the event that opened the wallet, position that of
-- the last one that moved its money, version how many did. owner is an owner's number.
CREATE TABLE wallets (
    number      INTEGER PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    kind        TEXT NOT NULL CHECK (kind IN ('customer', 'business')),
    owner       INTEGER NOT NULL,
    currency    TEXT NOT NULL,
    balance     INTEGER NOT NULL CHECK (balance >= 0),
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    position    INTEGER NOT NULL
) STRICT;
CREATE INDEX wallets_by_owner ON wallets (owner);
CREATE UNIQUE INDEX one_wallet_per_business ON wallets (owner) WHERE kind = 'business';
