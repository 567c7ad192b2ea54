-- The log, its head, and what follows from it. All times are microseconds since 1970 in UTC, all
-- amounts units of 1/10,000.

-- The system of record: append-only, positions from 0 without a gap. payload holds the canonical bytes
-- that are sealed; payer and payee are wallet numbers taken from it, so that a listing is an index scan;
-- link chains the row to all before it.
CREATE TABLE events (
    position bigint PRIMARY KEY,
    id       uuid   NOT NULL UNIQUE,
    payer    bigint,
    payee    bigint,
    payload  bytea  NOT NULL,
    link     bytea  NOT NULL
);
CREATE INDEX events_by_payer ON events (payer, position) WHERE payer IS NOT NULL;
CREATE INDEX events_by_payee ON events (payee, position) WHERE payee IS NOT NULL;
-- Payloads are short and hashed as they are: neither compressed nor, as far as it goes, moved out of the row.
ALTER TABLE events ALTER COLUMN payload SET STORAGE MAIN;

-- One row: the sealed size, the frontier and root of the Merkle tree, the last link of the chain. It changes with
-- each batch, so its page is kept nearly empty and the new version stays beside the old one.
CREATE TABLE head (
    single   integer PRIMARY KEY CHECK (single = 1),
    size     bigint NOT NULL,
    frontier bytea  NOT NULL,
    root     bytea  NOT NULL,
    link     bytea  NOT NULL
) WITH (fillfactor = 10);

-- Personal data, which the log does not hold, as far as it is kept here: number is the position of the event that
-- registered the owner, and that event's digest seals salt and profile.
CREATE TABLE owners (
    id         uuid   PRIMARY KEY,
    number     bigint NOT NULL UNIQUE,
    kind       text   NOT NULL CHECK (kind IN ('customer', 'business')),
    name       text,
    last_name  text,
    email      text,
    email_key  text,
    phone      text,
    salt       bytea,
    created_at bigint NOT NULL,
    UNIQUE (kind, email_key)
);

-- A projection of the log: number is the position of the event that opened the wallet, position that of
-- the last one that moved its money, version how many did. No index holds what moves, and each page has
-- room for the next version of its rows.
CREATE TABLE wallets (
    id          uuid   PRIMARY KEY,
    number      bigint NOT NULL UNIQUE,
    kind        text   NOT NULL CHECK (kind IN ('customer', 'business')),
    owner       uuid   NOT NULL,
    currency    text   NOT NULL,
    balance     bigint NOT NULL CHECK (balance >= 0),
    version     bigint NOT NULL,
    created_at  bigint NOT NULL,
    modified_at bigint NOT NULL,
    position    bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX wallets_by_owner ON wallets (owner);
CREATE UNIQUE INDEX one_wallet_per_business ON wallets (owner) WHERE kind = 'business';
