-- Money that is set aside: a part of the balance.
ALTER TABLE wallets ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0 AND held <= balance);

-- A projection of the log: number is the position of the event that placed the hold, which holds all that never
-- changes, position that of the last one that changed it.
CREATE TABLE holds (
    number     INTEGER PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    captured   INTEGER NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('open', 'captured', 'voided', 'expired')),
    position   INTEGER NOT NULL
) STRICT;
CREATE INDEX holds_to_expire ON holds (expires_at) WHERE status = 'open';

-- A projection of the log: how much has been refunded of the debit or capture at the position number. One that was
-- never refunded has no row.
CREATE TABLE refunds (
    number   INTEGER PRIMARY KEY,
    refunded INTEGER NOT NULL CHECK (refunded > 0)
) STRICT;

-- Idempotency keys by their digests, numbered as they came: the request that used one, and what became of it.
CREATE TABLE claims (
    number      INTEGER PRIMARY KEY,
    key         BLOB NOT NULL UNIQUE,
    fingerprint BLOB NOT NULL,
    at          INTEGER NOT NULL,
    answers     BLOB NOT NULL
) STRICT;
