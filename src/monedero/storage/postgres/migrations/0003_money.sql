-- Money that is set aside: a part of the balance.
ALTER TABLE wallets ADD COLUMN held bigint NOT NULL DEFAULT 0;
ALTER TABLE wallets ADD CHECK (held >= 0 AND held <= balance);

-- A projection of the log: number is the position of the event that placed the hold, which holds all that never
-- changes, position that of the last one that changed it.
CREATE TABLE holds (
    number     bigint PRIMARY KEY,
    expires_at bigint NOT NULL,
    captured   bigint NOT NULL,
    status     text   NOT NULL CHECK (status IN ('open', 'captured', 'voided', 'expired')),
    position   bigint NOT NULL
);
CREATE INDEX holds_to_expire ON holds (expires_at) WHERE status = 'open';

-- A projection of the log: how much has been refunded of the debit or capture at the position number. One that was
-- never refunded has no row.
CREATE TABLE refunds (
    number   bigint PRIMARY KEY,
    refunded bigint NOT NULL CHECK (refunded > 0)
);

-- Idempotency keys by their digests, numbered as they came: the request that used one, and what became of it.
CREATE TABLE claims (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         bytea  NOT NULL UNIQUE,
    fingerprint bytea  NOT NULL,
    at          bigint NOT NULL,
    answers     bytea  NOT NULL
);
